"""``explain``: why a person is, or is not, being called right now, and when the next chance comes.

The checks are those of the worker, made by its own functions; in front of them stand the job's own state and
the workers of this host.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.ids import the_job
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight, evaluate, next_phone, read_preflight
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.states import FINISHED, JobStatus, SuspendReason
from speechaid.protocol.text import plural
from speechaid.rules import metering
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.phones import Choice

#: Jobs ahead in the queue are counted up to here.
_MOST_AHEAD: Final = 1000
_ENDED_AT: Final = ("completed_at", "failed_at", "finished_at", "updated_at")

#: Checks that pass when somebody else is done, or does something: nobody knows when.
_OTHERS: Final = frozenset({"number free", "workers of this host"})
#: Suspensions that the daemon lifts by itself.
_COMES_BACK: Final = frozenset({SuspendReason.NO_CREDIT, SuspendReason.ACCOUNT_UNKNOWN})

Check = dict[str, Any]


def explain(context: HandlerContext, command: Invocation) -> Result:
    """Every check with its value, a sentence, and the next chance."""
    job = the_job(context.store, command.args["job"])
    worker_context = dry_run_context(context)
    seen = read_preflight(worker_context, job)
    chosen = next_phone(worker_context, job, seen)
    number = chosen.number if isinstance(chosen, Choice) else None
    now = context.store.now()
    judgement = evaluate(worker_context, job, number or "", seen) if number else None
    checks = [_standing(job, now), _due(job, now), _attempts(worker_context, job, seen), _phone(job, chosen)]
    checks += _judged(judgement)
    if number is not None:
        checks.append(_live_number(context, job, number))
    checks.append(_workers(command.fleet))
    failed = [check for check in checks if not check["passed"]]
    waits_for_others = any(check["name"] in _OTHERS for check in failed)
    chance = None if waits_for_others else _next_chance(worker_context, job, number, seen, now)
    ready = not failed and job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    return {
        "job_id": job.job_id,
        "status": job.status,
        "batch_id": job.batch_id,
        "sentence": _sentence(context, job, failed, chance, now),
        "checks": checks,
        "next_chance": chance,
        "phone": None if number is None else mask_phone(number),
        "phone_index": chosen.index if isinstance(chosen, Choice) else None,
        "ahead_in_batch": context.store.diagnostics.ahead_of(job, _MOST_AHEAD) if ready else None,
        "in_hand": _in_hand(job, now),
        "at": now,
    }


def _check(name: str, passed: bool, value: str, next_chance: datetime | None = None) -> Check:
    return {"name": name, "passed": passed, "value": value, "next_chance": next_chance}


def _standing(job: Job, now: datetime) -> Check:
    waits = job.status in {JobStatus.PENDING, JobStatus.SCHEDULED}
    return _check("job", waits or job.status is JobStatus.IN_PROGRESS, _state(job, now))


def _state(job: Job, now: datetime) -> str:
    """Where the job stands, in a few words."""
    if job.status is JobStatus.SUSPENDED:
        return f"suspended: {job.suspend_reason or 'nobody wrote down why'}"
    if job.status is JobStatus.CANCELLED:
        reason = job.document.get("cancel_reason")
        # A cancellation for which no reason was given is written down as the name of the order.
        told = "nobody wrote down why" if reason in {None, "", "cancel"} else _words(reason)
        return f"cancelled: {told}"
    if job.status is JobStatus.FAILED:
        return f"failed: {job.document.get('last_error') or 'no reason on record'}"
    if job.status is JobStatus.DONE:
        return f"done: {_words(job.document.get('last_outcome') or 'its call served its purpose')}"
    if job.status is JobStatus.IN_PROGRESS:
        return f"in progress: {_hand(job, now)}"
    return str(job.status)


def _words(reason: object) -> str:
    """A code as words: ``do not call``."""
    return str(reason).replace("_", " ")


def _hand(job: Job, now: datetime) -> str:
    dial = job.dial
    lease = job.reserved_until
    held = lease is not None and lease >= now
    if dial is None:
        return "a worker has just taken it" if held else "its worker is gone; the next free one returns it"
    if dial.verdict is not None:
        return "its call is over and being written"
    if dial.call_id is not None:
        parked = "; Retell does not confirm its end, so it is parked" if dial.parked_at else ""
        return f"in call {dial.call_id}{parked}" + ("" if held else "; to be followed on by the next worker")
    if dial.next_lookup_at is not None:
        return "whether its dial became a call is not known yet; Retell's list is looked at"
    return "being dialled" if held else "its worker is gone in the middle of a dial; the next one finds out"


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


def _attempts(worker_context: WorkerContext, job: Job, seen: Preflight) -> Check:
    limit = worker_context.retry_policy(seen.batch).max_attempts
    return _check("attempts", job.attempts < limit, f"{job.attempts} of {limit} used up")


def _phone(job: Job, chosen: object) -> Check:
    total = len(job.contact.phones)
    if isinstance(chosen, Choice):
        return _check("phone", True, f"{mask_phone(chosen.number)}, {chosen.index + 1} of {total}")
    cause = getattr(chosen, "cause", "")
    return _check("phone", False, f"none of {total} may be dialled ({str(cause).replace('_', ' ')})")


def _judged(judgement: Evaluation | None) -> list[Check]:
    if judgement is None:
        return []
    return [_check(check.name, check.passed, check.value, check.next_chance) for check in judgement.checks]


def _live_number(context: HandlerContext, job: Job, number: str) -> Check:
    holder = context.store.diagnostics.holder_of(number, besides=job)
    if holder is None:
        return _check("number free", True, "in no other live call")
    return _check("number free", False, f"in a live call of job {holder}")


def _workers(fleet: Mapping[str, Any]) -> Check:
    """Whether any worker of this host would claim it; other hosts' may."""
    supervisor, workers = fleet.get("supervisor", {}), fleet.get("workers", [])
    free = [row for row in workers if row.get("pid") and not row.get("paused") and not row.get("leaving")]
    if why := supervisor.get("no_space"):
        return _check("workers of this host", False, f"held for want of room: {why}")
    if supervisor.get("held"):
        return _check("workers of this host", False, "held: no new dial on this host")
    if supervisor.get("draining"):
        return _check("workers of this host", False, "draining: none takes a new job")
    if not free:
        return _check("workers of this host", False, f"none at work that may claim, {len(workers)} in all")
    busy = sum(1 for row in free if row.get("job"))
    return _check("workers of this host", True, f"{len(free)} at work, {busy} of them busy")


def _next_chance(
    worker_context: WorkerContext, job: Job, number: str | None, seen: Preflight, now: datetime
) -> datetime | None:
    """When it may be dialled by itself, by the worker's own rules; None where somebody must do something."""
    if number is None or job.status not in {JobStatus.PENDING, JobStatus.SCHEDULED}:
        return None
    due = max(now, job.reserved_until or now)
    return evaluate(worker_context, job, number, seen, at=due).next_chance


def _way_back(context: HandlerContext, job: Job) -> str:
    """How a suspended job comes back; the daemon looks after what hangs on the account alone."""
    if job.account_id is None or job.suspend_reason not in _COMES_BACK:
        return "waits for resume-job"
    account = context.store.accounts.find(job.account_id)
    if account is None:
        return f"returns by itself once there is an account {job.account_id}"
    if not metering.has_balance(account):
        return f"returns by itself once account {job.account_id} has credit"
    return f"returns by itself within a minute: account {job.account_id} has credit"


def _sentence(
    context: HandlerContext, job: Job, failed: list[Check], chance: datetime | None, now: datetime
) -> str:
    if job.status in FINISHED:
        when = next((job.document[name] for name in _ENDED_AT if job.document.get(name)), None)
        since = f" since {when.isoformat(timespec='seconds')}" if isinstance(when, datetime) else ""
        word, _, why = _state(job, now).partition(": ")
        return f"Nothing more happens by itself: {word}{since}, {why}"
    if job.status is JobStatus.SUSPENDED:
        return f"{_state(job, now).capitalize()}; it {_way_back(context, job)}"
    if job.status is JobStatus.IN_PROGRESS:
        return f"Now: {_hand(job, now)}"
    if not failed:
        ahead = context.store.diagnostics.ahead_of(job, _MOST_AHEAD)
        place = (
            f"{plural(ahead, 'job of its batch comes', 'jobs of its batch come')} first"
            if ahead
            else "it is among the first of its batch"
        )
        return f"Nothing keeps it: it is called as soon as a worker is free; {place}"
    why = "; ".join(f"{check['name']}: {check['value']}" for check in failed)
    if chance is None:
        return f"Not now, and not by itself: {why}"
    return f"Not now: {why}"
