"""``explain``: why a person is, or is not, being called now, and when the next chance is.

The checks before a dial are evaluated by the worker's functions. Checks of the job's state precede them, and
checks of other live calls and of this host's workers follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.ids import resolve_job
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.commands.start_check import describe_choice
from speechaid.dialer.context import WorkerContext, agent_choice
from speechaid.dialer.preflight import (
    Preflight,
    evaluate,
    next_phone,
    read_preflight,
    states_of_phones,
)
from speechaid.model.batch import Batch, may_mean
from speechaid.model.erasure import of_person
from speechaid.model.job import Job
from speechaid.model.masking import mask_bare_phones, mask_phone
from speechaid.model.states import FINISHED, JobStatus, SuspendReason
from speechaid.protocol.translation import N_, Capitalised, joined, say, say_later, say_n
from speechaid.rules import metering
from speechaid.rules.agent_choice import AgentChoice, Source
from speechaid.rules.checks import document_check
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.phones import Choice, PhoneState
from speechaid.rules.retry_table import RetryCause

#: Count at most this many jobs ahead in the queue.
_MAX_AHEAD: Final = 1000
_NO_REASON: Final = say_later("no reason recorded")
#: An operator's deferred request, as it will be applied when the call is settled.
_REQUESTED: Final[Mapping[str, str]] = {
    "hang_up": say_later("its call is to be stopped, and the job cancelled"),
    "cancel": say_later("the job is cancelled when its call has ended"),
    "suspend": say_later("the job is suspended when its call has ended"),
    "reset": say_later("the job begins anew when its call has ended"),
}
_ENDED_AT: Final = ("completed_at", "failed_at", "finished_at", "updated_at")

#: Checks that depend on other calls and workers: when they pass is unknown.
_UNPREDICTABLE: Final = frozenset({N_("number free"), N_("workers of this host")})
#: Suspensions that the daemon ends automatically.
_AUTOMATIC: Final = frozenset({SuspendReason.NO_CREDIT, SuspendReason.ACCOUNT_UNKNOWN})

Check = dict[str, Any]

#: The order in which a person asks: is the person still to be called, is the campaign on, is it the hour and
#: the person's turn, on which number, and is there money and somebody to call.
_ORDER: Final = (
    *("job", "request", "served", "hold", "batch", "window", "due", "attempts", "phone"),
    *(N_("do-not-call list"), N_("hours by law"), N_("caps by law")),
    *("number", N_("number free"), "agent", "document"),
    *(
        "account",
        "balance",
        N_("daily limit"),
        N_("account concurrency"),
        N_("batch concurrency"),
    ),
    N_("workers of this host"),
)


def explain(context: HandlerContext, command: Invocation) -> Result:
    """Every check with its value, a summary, and the next chance."""
    return explain_job(context, command.snapshot, resolve_job(context.store, command.args["job"]))


def explain_job(context: HandlerContext, snapshot: Mapping[str, Any], job: Job) -> Result:
    """What ``explain`` answers about a job.

    Args:
        context: the handler's.
        snapshot: of the daemon, for the workers of this host.
        job: as read.
    """
    worker_context = dry_run_context(context)
    preflight = read_preflight(worker_context, job)
    chosen = next_phone(worker_context, job, preflight)
    number = chosen.number if isinstance(chosen, Choice) else None
    now = context.store.now()
    checks = [
        _status(job, now),
        *_requested(job),
        _due(job, now),
        _attempts(worker_context, job, preflight),
        _phone(job, chosen, preflight) if not _is_served(chosen) else _served(job),
    ]
    if number is None:
        document = document_check(job)
        checks.append(_check(document.name, document.passed, document.value))
    else:
        checks += _before_dial(evaluate(worker_context, job, number, preflight))
        checks.append(_number_free(context, job, number))
    choice = agent_choice(context.settings, preflight.batch)
    if job.status not in FINISHED:
        checks.append(_agent(choice))
    checks.append(_workers(snapshot, job.batch_id, preflight.batch))
    checks.sort(key=_place)
    failed = [check for check in checks if not check["passed"]]
    unpredictable = any(check["name"] in _UNPREDICTABLE for check in failed)
    chance = None if unpredictable else _next_chance(worker_context, job, number, preflight, now)
    ready = not failed and job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    return {
        "job_id": job.job_id,
        "status": job.status,
        "batch_id": job.batch_id,
        "sentence": _summary(context, job, failed, chance, now),
        "checks": checks,
        "next_chance": chance,
        "phone": None if number is None else mask_phone(number),
        "phone_index": chosen.index if isinstance(chosen, Choice) else None,
        "agent": describe_choice(choice),
        "ahead_in_batch": context.store.diagnostics.ahead_of(job, _MAX_AHEAD) if ready else None,
        "in_hand": _in_hand(job, now),
        "at": now,
    }


def _place(check: Check) -> int:
    """A check's place in ``_ORDER``; one that is not there comes last."""
    return _ORDER.index(check["name"]) if check["name"] in _ORDER else len(_ORDER)


def _requested(job: Job) -> list[Check]:
    """An operator's request that waits for the end of the job's call, whatever the job's status."""
    action = (job.request or {}).get("action")
    if job.request is None or action not in _REQUESTED:
        return []
    by = say(" (by {by})", by=job.request["by"]) if job.request.get("by") else ""
    return [_check("request", False, say("{REQUESTED}{by}", REQUESTED=_REQUESTED[str(action)], by=by))]


def _check(name: str, passed: bool, value: str, next_chance: datetime | None = None) -> Check:
    return {"name": name, "passed": passed, "value": value, "next_chance": next_chance}


def _status(job: Job, now: datetime) -> Check:
    waits = job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    return _check("job", waits or job.status is JobStatus.IN_PROGRESS, describe_status(job, now))


def describe_status(job: Job, now: datetime) -> str:
    """The job's status with its reason."""
    reason = _reason_of_status(job, now)
    return _words(job.status) if reason is None else joined(": ", (_words(job.status), reason))


def _reason_of_status(job: Job, now: datetime) -> str | None:
    """Why the job has its status; None for one that waits."""
    if job.status is JobStatus.SUSPENDED:
        return _suspension(job)
    if job.status is JobStatus.CANCELLED:
        reason = job.document.get("cancel_reason")
        # A cancellation without a reason is recorded under the name of its action.
        return _NO_REASON if reason in {None, "", "cancel"} else _words(reason)
    if job.status is JobStatus.FAILED:
        # Retell's words, or another program's, may quote the number.
        return mask_bare_phones(str(job.document.get("last_error") or "")) or _NO_REASON
    if job.status is JobStatus.DONE:
        outcome = job.document.get("last_outcome")
        return _words(outcome) if outcome else say("its call was successful")
    return _progress(job, now) if job.status is JobStatus.IN_PROGRESS else None


def _suspension(job: Job) -> str:
    if job.suspend_reason == SuspendReason.NOT_STARTED:
        return say("imported and not started: speechctl resume-batch {batch_id}", batch_id=job.batch_id)
    return job.suspend_reason or _NO_REASON


def _words(reason: object) -> str:
    """A code as words: ``do not call``."""
    return say(str(reason).replace("_", " "))


def _progress(job: Job, now: datetime) -> str:
    """What a worker is doing with the job, and what an operator has requested for its end."""
    request = job.request or {}
    requested = _REQUESTED.get(str(request.get("action")))
    by = say(" (by {by})", by=request["by"]) if request.get("by") else ""
    return _step(job, now) + (
        "" if requested is None else say("; {requested}{by}", requested=requested, by=by)
    )


def _step(job: Job, now: datetime) -> str:
    dial = job.dial
    lease = job.reserved_until
    leased = lease is not None and lease >= now
    if dial is None:
        return (
            say("a worker has just claimed it")
            if leased
            else say("its worker is gone; the next free worker requeues it")
        )
    if dial.verdict is not None:
        return say("its call has ended, and its result is being recorded")
    if dial.call_id is not None:
        parked = say("; Retell does not confirm its end, so it is parked") if dial.parked_at else ""
        if dial.parked_at and dial.unknown_at:
            parked = say("; Retell does not know it, so it is parked")
        return say("in call {call_id}{parked}", call_id=dial.call_id, parked=parked) + (
            "" if leased else say("; the next free worker follows it")
        )
    if dial.next_lookup_at is not None:
        return say("it is not known yet whether its dial became a call; Retell's call list is searched")
    return (
        say("being dialled")
        if leased
        else say("its worker is gone during a dial; the next free worker looks for its call")
    )


def _in_hand(job: Job, now: datetime) -> Result | None:
    if job.status is not JobStatus.IN_PROGRESS:
        return None
    dial = job.dial
    return {
        "worker": job.worker_id,
        "lease_until": job.reserved_until,
        "lease_ran_out": job.reserved_until is None or job.reserved_until < now,
        "call_id": None if dial is None else dial.call_id,
        "since": None if dial is None else dial.placed_at or dial.intent_at,
        "next_lookup_at": None if dial is None else dial.next_lookup_at,
        "request": None if job.request is None else job.request.get("action"),
    }


def _due(job: Job, now: datetime) -> Check:
    due = job.reserved_until
    if job.status not in {JobStatus.PENDING, JobStatus.SCHEDULED} or due is None:
        return _check("due", True, say("at once") if due is None else say("not waiting for a time"))
    if due <= now:
        return _check("due", True, say("since {due}", due=due.isoformat(timespec="seconds")))
    return _check("due", False, say("at {due}", due=due.isoformat(timespec="seconds")), due)


def _attempts(worker_context: WorkerContext, job: Job, preflight: Preflight) -> Check:
    limit = worker_context.retry_policy(preflight.batch).max_attempts
    return _check(
        "attempts",
        job.attempts < limit,
        say("{attempts} of {limit} used up", attempts=job.attempts, limit=limit),
    )


def _is_served(chosen: object) -> bool:
    return getattr(chosen, "cause", None) is RetryCause.SERVED


def _served(job: Job) -> Check:
    waits = job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    then = say(": the next worker closes it as done, without a call") if waits else ""
    return _check(
        "served", passed=not waits, value=say("its call_result says that it was served{then}", then=then)
    )


def _phone(job: Job, chosen: object, preflight: Preflight) -> Check:
    states = states_of_phones(job, preflight)
    counts = Counter(state for state in states.values() if state is not PhoneState.DIALLED)
    left_out = joined(
        ", ", (say("{number} {state}", number=count, state=_words(state)) for state, count in counts.items())
    )
    total = len(job.contact.phones)
    erased = of_person(job.document)
    if erased is not None:
        return _check("phone", False, erased.sentence)
    if isinstance(chosen, Choice):
        others = say("; of the others {left_out}", left_out=left_out) if left_out else ""
        return _check(
            "phone",
            True,
            say(
                "{number}, {index} of {total}{others}",
                number=mask_phone(chosen.number),
                index=chosen.index + 1,
                total=total,
                others=others,
            ),
        )
    if preflight.is_person_listed:
        return _check(
            "phone",
            False,
            say("none of {total} may be dialled: the person is on the do-not-call list", total=total),
        )
    cause = _words(getattr(chosen, "cause", ""))
    return _check(
        "phone",
        False,
        say("none of {total} may be dialled ({left_out})", total=total, left_out=left_out or cause),
    )


def _before_dial(evaluation: Evaluation) -> list[Check]:
    return [
        _check(check.name, check.passed, check.value, check.next_eligible_at) for check in evaluation.checks
    ]


def _number_free(context: HandlerContext, job: Job, number: str) -> Check:
    holder = context.store.diagnostics.holder_of(number, besides=job)
    if holder is None:
        return _check(N_("number free"), True, say("in no other live call"))
    # Who asks may see no other account: neither its jobs nor their ids.
    if holder.account_id == job.account_id:
        value = say("in a live call of job {holder}", holder=holder.job_id)
    else:
        value = say("in a live call of another account's job")
    return _check(N_("number free"), False, value)


#: Where each part of a choice comes from, in words.
_SOURCES: Final[Mapping[Source, str]] = {
    Source.BATCH: say_later("of the batch"),
    Source.SETTINGS: say_later("of the settings"),
    Source.PINNED: say_later("pinned at the start"),
    Source.RETELL: say_later("chosen by Retell"),
}


def _agent(choice: AgentChoice) -> Check:
    """Who speaks in the next call, and which number it comes from; Retell is not asked about them here."""
    version = say(
        "version {version} ({SOURCES})", version=choice.version, SOURCES=_SOURCES[choice.version_source]
    )
    if choice.version is None:
        version = say("its version {SOURCES}", SOURCES=_SOURCES[choice.version_source])
    language = "" if choice.language is None else say(", in {language}", language=choice.language)
    agent = say(
        "{agent_id} ({SOURCES}), {version}{language}",
        agent_id=choice.agent_id,
        SOURCES=_SOURCES[choice.agent_source],
        version=version,
        language=language,
    )
    number = say(
        "from {from_number} ({SOURCES})",
        from_number=mask_phone(choice.from_number),
        SOURCES=_SOURCES[choice.number_source],
    )
    return _check("agent", True, say("{agent}; {number}", agent=agent, number=number))


def _workers(snapshot: Mapping[str, Any], batch_id: str | None, batch: Batch | None) -> Check:
    """Whether a worker of this host may claim the job; those of other hosts may too."""
    supervisor, workers = snapshot.get("supervisor", {}), snapshot.get("workers", [])
    free = [row for row in workers if row.get("pid") and not row.get("paused") and not row.get("leaving")]
    if reason := supervisor.get("no_space"):
        return _check(
            N_("workers of this host"), False, say("held, too little disk space: {reason}", reason=reason)
        )
    if supervisor.get("held"):
        return _check(N_("workers of this host"), False, say("held: no new dial on this host"))
    if may_mean(supervisor.get("paused_batches", ()), batch_id, None if batch is None else batch.name):
        return _check(
            N_("workers of this host"), False, say("paused on this host: the database could not record it")
        )
    if supervisor.get("draining"):
        return _check(N_("workers of this host"), False, say("draining: no worker takes a new job"))
    if not free:
        return _check(
            N_("workers of this host"),
            False,
            say_n(
                "none of {count} worker may claim a job",
                "none of {count} workers may claim a job",
                len(workers),
            ),
        )
    busy = sum(1 for row in free if row.get("job"))
    return _check(
        N_("workers of this host"),
        True,
        say("{free} running, {busy} of them busy", free=len(free), busy=busy),
    )


def _next_chance(
    worker_context: WorkerContext, job: Job, number: str | None, preflight: Preflight, now: datetime
) -> datetime | None:
    """When the job may be dialled by the worker's rules; None where something must be changed first."""
    if number is None or job.status not in {JobStatus.PENDING, JobStatus.SCHEDULED}:
        return None
    due = max(now, job.reserved_until or now)
    return evaluate(worker_context, job, number, preflight, at=due).next_eligible_at


def _resumption(context: HandlerContext, job: Job) -> str:
    """How a suspended job resumes: automatically where that depends on its account alone."""
    if job.suspend_reason == SuspendReason.NOT_STARTED:
        return say("stays suspended until that, or speechctl resume-job")
    if job.account_id is None or job.suspend_reason not in _AUTOMATIC:
        return say("stays suspended until speechctl resume-job")
    account = context.store.accounts.find(job.account_id)
    if account is None:
        return say("resumes automatically once account {account_id} exists", account_id=job.account_id)
    if not metering.has_balance(account):
        return say("resumes automatically once account {account_id} has credit", account_id=job.account_id)
    return say(
        "resumes automatically within a minute: account {account_id} has credit", account_id=job.account_id
    )


def _summary(
    context: HandlerContext, job: Job, failed: list[Check], chance: datetime | None, now: datetime
) -> str:
    if job.status in FINISHED:
        when = next((job.document[name] for name in _ENDED_AT if job.document.get(name)), None)
        since = (
            say(" since {when}", when=when.isoformat(timespec="seconds"))
            if isinstance(when, datetime)
            else ""
        )
        reason = _reason_of_status(job, now)
        erased = of_person(job.document)
        whose = "" if erased is None else say("; whose it was is {sentence}", sentence=erased.sentence)
        return say(
            "The job is finished: {word}{since}, {reason}{whose}",
            word=_words(job.status),
            since=since,
            reason=reason,
            whose=whose,
        )
    if job.status is JobStatus.SUSPENDED:
        return say(
            "{status}; it {resumption}",
            status=Capitalised(describe_status(job, now)),
            resumption=_resumption(context, job),
        )
    if job.status is JobStatus.IN_PROGRESS:
        return say("Now: {progress}", progress=_progress(job, now))
    if not failed:
        ahead = context.store.diagnostics.ahead_of(job, _MAX_AHEAD)
        position = (
            say_n("{count} job of its batch comes first", "{count} jobs of its batch come first", ahead)
            if ahead
            else say("it is among the first of its batch")
        )
        return say("Ready: it is called as soon as a worker is free; {position}", position=position)
    reasons = joined(
        "; ", (say("{name}: {value}", name=say(check["name"]), value=check["value"]) for check in failed)
    )
    if chance is None:
        return say("Not called until this changes: {reasons}", reasons=reasons)
    return say("Not now: {reasons}", reasons=reasons)
