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
from speechaid.model.masking import mask_phone
from speechaid.model.states import FINISHED, JobStatus, SuspendReason
from speechaid.protocol.text import plural
from speechaid.rules import metering
from speechaid.rules.agent_choice import AgentChoice, Source
from speechaid.rules.checks import document_check
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.phones import Choice, PhoneState
from speechaid.rules.retry_table import RetryCause

#: Count at most this many jobs ahead in the queue.
_MAX_AHEAD: Final = 1000
_NO_REASON: Final = "no reason recorded"
#: An operator's deferred request, as it will be applied when the call is settled.
_REQUESTED: Final[Mapping[str, str]] = {
    "hang_up": "its call is to be stopped, and the job cancelled",
    "cancel": "the job is cancelled when its call has ended",
    "suspend": "the job is suspended when its call has ended",
    "reset": "the job begins anew when its call has ended",
}
_ENDED_AT: Final = ("completed_at", "failed_at", "finished_at", "updated_at")

#: Checks that depend on other calls and workers: when they pass is unknown.
_UNPREDICTABLE: Final = frozenset({"number free", "workers of this host"})
#: Suspensions that the daemon ends automatically.
_AUTOMATIC: Final = frozenset({SuspendReason.NO_CREDIT, SuspendReason.ACCOUNT_UNKNOWN})

Check = dict[str, Any]

#: The order in which a person asks: is the person still to be called, is the campaign on, is it the hour and
#: the person's turn, on which number, and is there money and somebody to call.
_ORDER: Final = (
    *("job", "request", "served", "hold", "batch", "window", "due", "attempts", "phone"),
    *("do-not-call list", "number", "number free", "agent", "document"),
    *("account", "balance", "daily limit", "account concurrency", "batch concurrency"),
    "workers of this host",
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
    by = f" (by {job.request['by']})" if job.request.get("by") else ""
    return [_check("request", False, f"{_REQUESTED[str(action)]}{by}")]


def _check(name: str, passed: bool, value: str, next_chance: datetime | None = None) -> Check:
    return {"name": name, "passed": passed, "value": value, "next_chance": next_chance}


def _status(job: Job, now: datetime) -> Check:
    waits = job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    return _check("job", waits or job.status is JobStatus.IN_PROGRESS, describe_status(job, now))


def describe_status(job: Job, now: datetime) -> str:
    """The job's status with its reason."""
    if job.status is JobStatus.SUSPENDED:
        return f"suspended: {_suspension(job)}"
    if job.status is JobStatus.CANCELLED:
        reason = job.document.get("cancel_reason")
        # A cancellation without a reason is recorded under the name of its action.
        return f"cancelled: {_NO_REASON if reason in {None, '', 'cancel'} else _words(reason)}"
    if job.status is JobStatus.FAILED:
        return f"failed: {job.document.get('last_error') or _NO_REASON}"
    if job.status is JobStatus.DONE:
        return f"done: {_words(job.document.get('last_outcome') or 'its call was successful')}"
    if job.status is JobStatus.IN_PROGRESS:
        return f"in progress: {_progress(job, now)}"
    return str(job.status)


def _suspension(job: Job) -> str:
    if job.suspend_reason == SuspendReason.NOT_STARTED:
        return f"imported and not started: speechctl resume-batch {job.batch_id}"
    return job.suspend_reason or _NO_REASON


def _words(reason: object) -> str:
    """A code as words: ``do not call``."""
    return str(reason).replace("_", " ")


def _progress(job: Job, now: datetime) -> str:
    """What a worker is doing with the job, and what an operator has requested for its end."""
    request = job.request or {}
    requested = _REQUESTED.get(str(request.get("action")))
    by = f" (by {request['by']})" if request.get("by") else ""
    return _step(job, now) + ("" if requested is None else f"; {requested}{by}")


def _step(job: Job, now: datetime) -> str:
    dial = job.dial
    lease = job.reserved_until
    leased = lease is not None and lease >= now
    if dial is None:
        return (
            "a worker has just claimed it"
            if leased
            else "its worker is gone; the next free worker requeues it"
        )
    if dial.verdict is not None:
        return "its call has ended, and its result is being recorded"
    if dial.call_id is not None:
        parked = "; Retell does not confirm its end, so it is parked" if dial.parked_at else ""
        if dial.parked_at and dial.unknown_at:
            parked = "; Retell does not know it, so it is parked"
        return f"in call {dial.call_id}{parked}" + ("" if leased else "; the next free worker follows it")
    if dial.next_lookup_at is not None:
        return "it is not known yet whether its dial became a call; Retell's call list is searched"
    return (
        "being dialled"
        if leased
        else "its worker is gone during a dial; the next free worker looks for its call"
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
        return _check("due", True, "at once" if due is None else "not waiting for a time")
    if due <= now:
        return _check("due", True, f"since {due.isoformat(timespec='seconds')}")
    return _check("due", False, f"at {due.isoformat(timespec='seconds')}", due)


def _attempts(worker_context: WorkerContext, job: Job, preflight: Preflight) -> Check:
    limit = worker_context.retry_policy(preflight.batch).max_attempts
    return _check("attempts", job.attempts < limit, f"{job.attempts} of {limit} used up")


def _is_served(chosen: object) -> bool:
    return getattr(chosen, "cause", None) is RetryCause.SERVED


def _served(job: Job) -> Check:
    waits = job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    then = ": the next worker closes it as done, without a call" if waits else ""
    return _check("served", passed=not waits, value=f"its call_result says that it was served{then}")


def _phone(job: Job, chosen: object, preflight: Preflight) -> Check:
    states = states_of_phones(job, preflight)
    counts = Counter(state for state in states.values() if state is not PhoneState.DIALLED)
    left_out = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = len(job.contact.phones)
    erased = of_person(job.document)
    if erased is not None:
        return _check("phone", False, erased.sentence)
    if isinstance(chosen, Choice):
        others = f"; of the others {left_out}" if left_out else ""
        return _check("phone", True, f"{mask_phone(chosen.number)}, {chosen.index + 1} of {total}{others}")
    if preflight.is_person_listed:
        return _check(
            "phone", False, f"none of {total} may be dialled: the person is on the do-not-call list"
        )
    cause = _words(getattr(chosen, "cause", ""))
    return _check("phone", False, f"none of {total} may be dialled ({left_out or cause})")


def _before_dial(evaluation: Evaluation) -> list[Check]:
    return [
        _check(check.name, check.passed, check.value, check.next_eligible_at) for check in evaluation.checks
    ]


def _number_free(context: HandlerContext, job: Job, number: str) -> Check:
    holder = context.store.diagnostics.holder_of(number, besides=job)
    if holder is None:
        return _check("number free", True, "in no other live call")
    # Who asks may see no other account: neither its jobs nor their ids.
    is_own = holder.account_id == job.account_id
    whose = f"of job {holder.job_id}" if is_own else "of another account's job"
    return _check("number free", False, f"in a live call {whose}")


#: Where each part of a choice comes from, in words.
_SOURCES: Final[Mapping[Source, str]] = {
    Source.BATCH: "of the batch",
    Source.SETTINGS: "of the settings",
    Source.PINNED: "pinned at the start",
    Source.RETELL: "chosen by Retell",
}


def _agent(choice: AgentChoice) -> Check:
    """Who speaks in the next call, and which number it comes from; Retell is not asked about them here."""
    version = f"version {choice.version} ({_SOURCES[choice.version_source]})"
    if choice.version is None:
        version = f"its version {_SOURCES[choice.version_source]}"
    language = "" if choice.language is None else f", in {choice.language}"
    agent = f"{choice.agent_id} ({_SOURCES[choice.agent_source]}), {version}{language}"
    number = f"from {mask_phone(choice.from_number)} ({_SOURCES[choice.number_source]})"
    return _check("agent", True, f"{agent}; {number}")


def _workers(snapshot: Mapping[str, Any], batch_id: str | None, batch: Batch | None) -> Check:
    """Whether a worker of this host may claim the job; those of other hosts may too."""
    supervisor, workers = snapshot.get("supervisor", {}), snapshot.get("workers", [])
    free = [row for row in workers if row.get("pid") and not row.get("paused") and not row.get("leaving")]
    if reason := supervisor.get("no_space"):
        return _check("workers of this host", False, f"held, too little disk space: {reason}")
    if supervisor.get("held"):
        return _check("workers of this host", False, "held: no new dial on this host")
    if may_mean(supervisor.get("paused_batches", ()), batch_id, None if batch is None else batch.name):
        return _check("workers of this host", False, "paused on this host: the database could not record it")
    if supervisor.get("draining"):
        return _check("workers of this host", False, "draining: no worker takes a new job")
    if not free:
        return _check(
            "workers of this host", False, f"none of {plural(len(workers), 'worker')} may claim a job"
        )
    busy = sum(1 for row in free if row.get("job"))
    return _check("workers of this host", True, f"{len(free)} running, {busy} of them busy")


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
        return "stays suspended until that, or speechctl resume-job"
    if job.account_id is None or job.suspend_reason not in _AUTOMATIC:
        return "stays suspended until speechctl resume-job"
    account = context.store.accounts.find(job.account_id)
    if account is None:
        return f"resumes automatically once account {job.account_id} exists"
    if not metering.has_balance(account):
        return f"resumes automatically once account {job.account_id} has credit"
    return f"resumes automatically within a minute: account {job.account_id} has credit"


def _summary(
    context: HandlerContext, job: Job, failed: list[Check], chance: datetime | None, now: datetime
) -> str:
    if job.status in FINISHED:
        when = next((job.document[name] for name in _ENDED_AT if job.document.get(name)), None)
        since = f" since {when.isoformat(timespec='seconds')}" if isinstance(when, datetime) else ""
        word, _, reason = describe_status(job, now).partition(": ")
        erased = of_person(job.document)
        whose = "" if erased is None else f"; whose it was is {erased.sentence}"
        return f"The job is finished: {word}{since}, {reason}{whose}"
    if job.status is JobStatus.SUSPENDED:
        return f"{describe_status(job, now).capitalize()}; it {_resumption(context, job)}"
    if job.status is JobStatus.IN_PROGRESS:
        return f"Now: {_progress(job, now)}"
    if not failed:
        ahead = context.store.diagnostics.ahead_of(job, _MAX_AHEAD)
        position = (
            f"{plural(ahead, 'job of its batch comes', 'jobs of its batch come')} first"
            if ahead
            else "it is among the first of its batch"
        )
        return f"Ready: it is called as soon as a worker is free; {position}"
    reasons = "; ".join(f"{check['name']}: {check['value']}" for check in failed)
    if chance is None:
        return f"Not called until this changes: {reasons}"
    return f"Not now: {reasons}"
