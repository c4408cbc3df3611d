"""One claimed job through one call: look, intent, reservation, last look, POST, follow, settle.

The order is the promise. The intent is durable before anything else happens; the last look at everything that
may forbid the call stands right before the POST; the call's id is stored as soon as it is known. Whatever
stops a worker between two of these steps leaves a job from which ``recovery`` can tell what to do.

One gap cannot be closed from here: a process that the kernel freezes between its last check of the clock and
the first byte of the POST sends that POST when it thaws. Retell's idempotency key makes it the same call for
an hour; after that the dial was settled by look-up, and the late POST would be a call that nobody follows.
The lease, the look and the POST stand so close together that the gap is some microseconds of our own code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from logging import WARNING

from speechaid.dialer import circuit_breaker, follow, legacy_reservations, settlement
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight, evaluate, next_phone, read_preflight
from speechaid.errors import LeaseLost, NumberBusy, StoreUnavailable
from speechaid.model.account import Reservation
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.states import JobStatus, Outcome, WorkerState
from speechaid.retell.faults import (
    Ambiguous,
    Blocked,
    DoNotCallRefused,
    NotPlaced,
    NotSent,
    NumberRefused,
    RateLimited,
)
from speechaid.retell.requests_body import create_body
from speechaid.retell.variables import variables_for
from speechaid.rules import metering
from speechaid.rules.eligibility import Action, Evaluation, Reason
from speechaid.rules.phones import Choice
from speechaid.telemetry import call_metrics

#: Seconds of boot-time clock that a look stays good for; a process frozen for longer looks again.
PREFLIGHT_VALID_SECONDS = 3.0
#: Seconds after which a job is looked at again that a window, a pause or a hold kept back.
REQUEUE_SECONDS = (5.0, 15.0)
#: The same where a place was taken a moment before: places become free at any time.
NO_CAPACITY_SECONDS = (1.0, 3.0)
#: What only calls in progress, or others' dials on their way, stand in the way of.
NO_CAPACITY = frozenset(
    {
        Reason.ACCOUNT_CONCURRENCY,
        Reason.BATCH_CONCURRENCY,
        Reason.BALANCE_RESERVED,
        "batch_not_open",
        "account_contended",
    }
)
#: Waiting jobs of an account that cannot pay which are put aside together with the one that was claimed.
SUSPEND_BATCH_SIZE = 2000
#: Longest that this may take.
SUSPENDING_SECONDS = 300.0
#: Tries for a place in an account's ledger against other workers before the job is put back.
RESERVATION_TRIES = 25

#: What a refused create means; ``Ambiguous`` is no refusal and is not here.
REFUSALS: dict[type[NotPlaced], Outcome] = {
    NumberRefused: Outcome.INVALID_NUMBER,
    DoNotCallRefused: Outcome.DO_NOT_CALL,
    Blocked: Outcome.BLOCKED,
    RateLimited: Outcome.TEMPORARY,
    NotSent: Outcome.TEMPORARY,
}


@dataclass(frozen=True)
class Obstacle:
    """The dial may not go out: what kept it back."""

    reason: str


def run(context: WorkerContext, job: Job, seen: Preflight) -> None:
    """Take a freshly claimed job through one call, or give it back untouched.

    Args:
        context: the worker's things.
        job: without a dial.
        seen: with the job, right after it was claimed.

    Raises:
        LeaseLost: the job belongs to somebody else now; nothing more was written.
        StoreUnavailable: the database went away before anything was begun; the lease will lapse.
        HandOver: the worker was told to leave at once.
    """
    choice = choose_phone(context, job, seen)
    if choice is None:
        return
    judgement = evaluate(context, job, choice.number, seen)
    if not judgement.may_dial:
        requeue(context, job, judgement, choice)
        return
    try:
        context.report_step(WorkerState.DIALLING, "intent", job)
        job = context.store.jobs.record_intent(job, new_dial(context, job, choice, seen))
    except NumberBusy:
        context.emit("dial.number_busy", job, phone=choice.number)
        context.store.jobs.requeue(job, delay_seconds=_requeue_delay(context))
        return
    except StoreUnavailable:
        # It may have been written, and would look like a dial that nobody knows the fate of.
        unbegun = job
        context.retry_until_available(
            WorkerState.SETTLING, "put back", job, lambda: context.store.jobs.requeue(unbegun)
        )
        return
    answer = place_or_withdraw(context, job, seen)
    if answer is not None:
        follow.run(context, *answer)


def choose_phone(context: WorkerContext, job: Job, seen: Preflight) -> Choice | None:
    """The phone to dial; None where there is none left, and the job has been moved on."""
    chosen = next_phone(context, job, seen)
    if isinstance(chosen, Choice):
        return chosen
    context.emit("job.no_phone", job, cause=chosen.cause, status=chosen.status)
    settlement.apply_next_step(context, job, chosen)
    return None


def requeue(context: WorkerContext, job: Job, judgement: Evaluation, choice: Choice) -> None:
    """Give a job back that may not be dialled now: untouched, or suspended where its account says so."""
    reason = str(judgement.reason)
    context.emit("job.put_back", job, reason=reason)
    context.link.count("speechaid_put_back_total", reason=reason)
    if judgement.action is Action.SUSPEND:
        changes = {"status": JobStatus.SUSPENDED, "suspend_reason": judgement.suspend_reason}
        context.store.jobs.requeue(job, changes=changes)
        suspend_account_jobs(context, job, judgement)
    elif judgement.action is Action.SKIP_PHONE:
        dead = sorted(job.dead_phones | {choice.raw})
        context.store.jobs.requeue(job, changes={"dead_phones": dead})
    else:
        context.store.jobs.requeue(job, delay_seconds=_requeue_delay(context, reason))


def suspend_account_jobs(context: WorkerContext, job: Job, judgement: Evaluation) -> None:
    """What suspends one job of an account suspends all that wait: none of them has to be claimed for it."""
    if job.account_id is None or judgement.suspend_reason is None:
        return
    context.report_step(WorkerState.SETTLING, "suspend account's jobs", job, seconds=SUSPENDING_SECONDS)
    suspended = context.store.queue.suspend_waiting(
        job.account_id, judgement.suspend_reason, SUSPEND_BATCH_SIZE
    )
    if suspended:
        context.emit("account.jobs_suspended", job, reason=judgement.suspend_reason, jobs=suspended)


def new_dial(context: WorkerContext, job: Job, choice: Choice, seen: Preflight) -> Dial:
    """The intent: everything that is needed to place this very call, or to find it again."""
    key = context.new_token()
    settings = context.settings
    call_settings = None if seen.batch is None else seen.batch.call_settings
    longest = (
        call_settings.max_call_duration if call_settings else None
    ) or settings.call.max_duration_minutes * 60
    zone = str(
        (call_settings.timezone if call_settings else None)
        or (seen.account.timezone if seen.account else None)
        or settings.dialling.default_timezone
    )
    body = create_body(
        from_number=settings.retell.from_number,
        to_number=choice.number,
        agent_id=settings.retell.agent_id,
        variables=variables_for(job, now=context.store.now(), zone=zone),
        metadata={"job_id": job.job_id, "batch_id": job.batch_id, "account_id": job.account_id},
        key=key,
        ring_seconds=call_settings.ring_timeout if call_settings else None,
        max_call_seconds=longest,
    )
    return Dial(
        key=key,
        number=choice.number,
        phone_index=choice.index,
        attempt=job.attempts,
        intent_at=context.store.now(),
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        api_key_fingerprint=context.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
    )


# -- placing ---------------------------------------------------------------------------------------------


def place_or_withdraw(
    context: WorkerContext, job: Job, seen: Preflight
) -> tuple[Job, Call, Preflight] | None:
    """Place the call of a fresh intent; None where no call came of it and the job has been moved on.

    Until the POST is sent nobody can have made a call, so whatever goes wrong before it is simply taken back.
    """
    try:
        try:
            last = clear_to_dial(context, job, seen)
        except StoreUnavailable:
            last = Obstacle("database_away")
        if isinstance(last, Obstacle):
            withdraw(context, job, last.reason)
            return None
    except LeaseLost:
        # Marks entered after the adopter had settled this very dial would be held for ever.
        if job.dial is not None and not context.store.jobs.has_dial(job.dial.key):
            settlement.release_reservation_entries(context, job.dial)
        raise
    try:
        return *post(context, job), last
    except NotPlaced as refusal:
        settlement.settle_refusal(context, job, REFUSALS[type(refusal)], str(refusal))
        return None
    except Ambiguous as exc:
        context.emit("dial.ambiguous", job, level=WARNING, error=str(exc))
        context.link.count("speechaid_ambiguous_dials_total")
        # Recovery settles it from here as it would for a dead worker's dial, at once.
        context.retry_until_available(
            WorkerState.SETTLING, "leave to recovery", job, lambda: context.store.jobs.release_lease(job)
        )
        return None


def clear_to_dial(context: WorkerContext, job: Job, seen: Preflight) -> Preflight | Obstacle:
    """Reserve, and take the last look: that look, where the POST may go out this very moment."""
    assert job.dial is not None  # noqa: S101 - the intent is written
    context.report_step(WorkerState.DIALLING, "reserve", job)
    if (obstacle := reserve(context, job, seen)) is not None:
        return obstacle
    while True:
        began = context.clock.boottime()
        context.report_step(WorkerState.DIALLING, "last look", job)
        # This proves that the lease is still ours, and gives it time for the POST.
        if not context.store.jobs.renew_to_dial(job, context.settings.worker.lease_seconds):
            return Obstacle("operator_request")
        seen = read_preflight(context, job, country=seen.country)
        judgement = evaluate(context, job, job.dial.number, seen)
        if not judgement.may_dial:
            return Obstacle(str(judgement.reason))
        context.report_step(
            WorkerState.DIALLING, "create call", job, seconds=context.settings.retell.timeout_seconds
        )
        if context.clock.boottime() - began > PREFLIGHT_VALID_SECONDS:
            context.emit("dial.look_stale", job, level=WARNING)
            continue
        if not circuit_breaker.admit_dial(context, seen.breaker_document):
            return Obstacle("dialling_held")
        # Only a probe's gate writes, and may take time: such a one looks again at the clock alone.
        if context.clock.boottime() - began <= 2 * PREFLIGHT_VALID_SECONDS:
            return seen
        return Obstacle("look_stale")


def post(context: WorkerContext, job: Job) -> tuple[Job, Call]:
    """Have Retell place the call; the very next thing after a clear look.

    Raises:
        NotPlaced: surely no call was made; the breaker has been told.
        Ambiguous: nobody knows; the breaker has been told.
    """
    assert job.dial is not None  # noqa: S101
    try:
        call = context.retell.create_call(json.loads(job.dial.body))
    except (NotPlaced, Ambiguous) as fault:
        circuit_breaker.after_create_fault(context, fault)
        raise
    context.link.count_once(*call_metrics.placed(job.dial.key))
    # Until the database has it, the supervisor alone can tell an operator which call this worker has.
    named = replace(job, dial=replace(job.dial, call_id=call.call_id))
    job = context.retry_until_available(
        WorkerState.FOLLOWING, "record call", named, lambda: context.store.jobs.record_call(job, call.call_id)
    )
    circuit_breaker.after_create(context)
    context.emit("call.placed", job)
    return job, call


def reserve(context: WorkerContext, job: Job, seen: Preflight) -> Obstacle | None:
    """Enter the dial in its batch and its account, under its key; repeating it changes nothing."""
    dial = job.dial
    assert dial is not None  # noqa: S101
    if dial.batch_id is not None:
        at_most = None if seen.batch is None else seen.batch.call_settings.max_concurrent_calls
        if not context.store.batches.register_dial(dial.batch_id, dial.key, at_most=at_most):
            return Obstacle("batch_not_open")
    return None if dial.account_id is None else reserve_balance(context, job, dial, seen)


def reserve_balance(context: WorkerContext, job: Job, dial: Dial, seen: Preflight) -> Obstacle | None:
    """Hold an estimate of the account's balance for this dial, as exactly as the rules judge it."""
    if metering.reserved_for(job):
        # The dial's own estimate takes the place of the one that SpeechAI made for the job.
        job = legacy_reservations.release_legacy_reservation(context, job)
        seen = read_preflight(context, job, country=seen.country)
    defaults = context.dialling_defaults()
    for tries in range(RESERVATION_TRIES):
        judgement = evaluate(context, job, dial.number, seen)
        if not judgement.may_dial or seen.account is None:
            return Obstacle(str(judgement.reason))
        if any(entry.key == dial.key for entry in seen.account.reservations):
            return None
        estimate = metering.estimate(seen.account, defaults)
        held = Reservation(key=dial.key, minutes=estimate.minutes, credit=estimate.credit)
        # Where much is left others' dials do not matter; where little is, or once one did, all of them do.
        headroom = (
            None
            if tries
            else metering.headroom(seen.account, estimate, defaults.timezone, context.store.now())
        )
        if context.store.accounts.reserve(seen.account, held, job_id=job.job_id, headroom=headroom):
            return None
        # Somebody else's dial came in between: what is left must be judged anew.
        seen = read_preflight(context, job, country=seen.country)
    return Obstacle("account_contended")


def withdraw(context: WorkerContext, job: Job, reason: str) -> None:
    """Take a dial back that surely made no call; waits for the database as long as it takes."""
    settlement.settle_withdrawal(context, job, delay_seconds=_requeue_delay(context, reason))
    context.emit("dial.withdrawn", job, reason=reason)
    context.link.count("speechaid_put_back_total", reason=reason)


def _requeue_delay(context: WorkerContext, reason: str = "") -> float:
    least, most = NO_CAPACITY_SECONDS if reason in NO_CAPACITY else REQUEUE_SECONDS
    return context.random.uniform(least, most)
