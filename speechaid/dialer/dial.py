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
from speechaid.dialer.context import Kit
from speechaid.dialer.preflight import Look, judge, look, next_phone
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
from speechaid.rules.eligibility import Action, Judgement, Reason
from speechaid.rules.phones import Choice
from speechaid.telemetry import call_metrics

#: Seconds of boot-time clock that a look stays good for; a process frozen for longer looks again.
LOOK_GOOD_FOR_SECONDS = 3.0
#: Seconds after which a job is looked at again that a window, a pause or a hold kept back.
PUT_BACK_SECONDS = (5.0, 15.0)
#: The same where a place was taken a moment before: places become free at any time.
NO_PLACE_SECONDS = (1.0, 3.0)
#: What only calls in progress, or others' dials on their way, stand in the way of.
NO_PLACE = frozenset(
    {
        Reason.ACCOUNT_CONCURRENCY,
        Reason.BATCH_CONCURRENCY,
        Reason.BALANCE_RESERVED,
        "batch_not_open",
        "account_contended",
    }
)
#: Waiting jobs of an account that cannot pay which are put aside together with the one that was claimed.
SUSPENDED_AT_ONCE = 2000
#: Longest that this may take.
SUSPENDING_SECONDS = 300.0
#: Tries for a place in an account's ledger against other workers before the job is put back.
LEDGER_TRIES = 25

#: What a refused create means; ``Ambiguous`` is no refusal and is not here.
REFUSALS: dict[type[NotPlaced], Outcome] = {
    NumberRefused: Outcome.INVALID_NUMBER,
    DoNotCallRefused: Outcome.DO_NOT_CALL,
    Blocked: Outcome.BLOCKED,
    RateLimited: Outcome.TEMPORARY,
    NotSent: Outcome.TEMPORARY,
}


@dataclass(frozen=True)
class NotNow:
    """The dial may not go out: what kept it back."""

    reason: str


def run(kit: Kit, job: Job, seen: Look) -> None:
    """Take a freshly claimed job through one call, or give it back untouched.

    Args:
        kit: the worker's things.
        job: without a dial.
        seen: with the job, right after it was claimed.

    Raises:
        LeaseLost: the job belongs to somebody else now; nothing more was written.
        StoreUnavailable: the database went away before anything was begun; the lease will lapse.
        LetGo: the worker was told to leave at once.
    """
    choice = choose_phone(kit, job, seen)
    if choice is None:
        return
    judgement = judge(kit, job, choice.number, seen)
    if not judgement.may_dial:
        put_back(kit, job, judgement, choice)
        return
    try:
        kit.report(WorkerState.DIALLING, "intent", job)
        job = kit.store.jobs.record_intent(job, new_dial(kit, job, choice, seen))
    except NumberBusy:
        kit.tell("dial.number_busy", job, phone=choice.number)
        kit.store.jobs.put_back(job, delay_seconds=_spread(kit))
        return
    except StoreUnavailable:
        # It may have been written, and would look like a dial that nobody knows the fate of.
        unbegun = job
        kit.insist(WorkerState.SETTLING, "put back", job, lambda: kit.store.jobs.put_back(unbegun))
        return
    answer = place_or_withdraw(kit, job, seen)
    if answer is not None:
        follow.run(kit, *answer)


def choose_phone(kit: Kit, job: Job, seen: Look) -> Choice | None:
    """The phone to dial; None where there is none left, and the job has been moved on."""
    chosen = next_phone(kit, job, seen)
    if isinstance(chosen, Choice):
        return chosen
    kit.tell("job.no_phone", job, cause=chosen.cause, status=chosen.status)
    settlement.move_on(kit, job, chosen)
    return None


def put_back(kit: Kit, job: Job, judgement: Judgement, choice: Choice) -> None:
    """Give a job back that may not be dialled now: untouched, or suspended where its account says so."""
    reason = str(judgement.reason)
    kit.tell("job.put_back", job, reason=reason)
    kit.seat.count("speechaid_put_back_total", reason=reason)
    if judgement.action is Action.SUSPEND:
        changes = {"status": JobStatus.SUSPENDED, "suspend_reason": judgement.suspend_reason}
        kit.store.jobs.put_back(job, changes=changes)
        suspend_others(kit, job, judgement)
    elif judgement.action is Action.SKIP_PHONE:
        dead = sorted(job.dead_phones | {choice.raw})
        kit.store.jobs.put_back(job, changes={"dead_phones": dead})
    else:
        kit.store.jobs.put_back(job, delay_seconds=_spread(kit, reason))


def suspend_others(kit: Kit, job: Job, judgement: Judgement) -> None:
    """What suspends one job of an account suspends all that wait: none of them has to be claimed for it."""
    if job.account_id is None or judgement.suspend_reason is None:
        return
    kit.report(WorkerState.SETTLING, "suspend account's jobs", job, seconds=SUSPENDING_SECONDS)
    suspended = kit.store.queue.suspend_waiting(job.account_id, judgement.suspend_reason, SUSPENDED_AT_ONCE)
    if suspended:
        kit.tell("account.jobs_suspended", job, reason=judgement.suspend_reason, jobs=suspended)


def new_dial(kit: Kit, job: Job, choice: Choice, seen: Look) -> Dial:
    """The intent: everything that is needed to place this very call, or to find it again."""
    key = kit.new_token()
    settings = kit.settings
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
        variables=variables_for(job, now=kit.store.now(), zone=zone),
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
        intent_at=kit.store.now(),
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        api_key_fingerprint=kit.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
    )


# -- placing ---------------------------------------------------------------------------------------------


def place_or_withdraw(kit: Kit, job: Job, seen: Look) -> tuple[Job, Call, Look] | None:
    """Place the call of a fresh intent; None where no call came of it and the job has been moved on.

    Until the POST is sent nobody can have made a call, so whatever goes wrong before it is simply taken back.
    """
    try:
        try:
            last = clear_to_dial(kit, job, seen)
        except StoreUnavailable:
            last = NotNow("database_away")
        if isinstance(last, NotNow):
            withdraw(kit, job, last.reason)
            return None
    except LeaseLost:
        # Marks entered after the adopter had settled this very dial would be held for ever.
        if job.dial is not None and not kit.store.jobs.has_dial(job.dial.key):
            settlement.release_marks(kit, job.dial)
        raise
    try:
        return *post(kit, job), last
    except NotPlaced as refusal:
        settlement.refused(kit, job, REFUSALS[type(refusal)], str(refusal))
        return None
    except Ambiguous as exc:
        kit.tell("dial.ambiguous", job, level=WARNING, error=str(exc))
        kit.seat.count("speechaid_ambiguous_dials_total")
        # Recovery settles it from here as it would for a dead worker's dial, at once.
        kit.insist(WorkerState.SETTLING, "leave to recovery", job, lambda: kit.store.jobs.let_go(job))
        return None


def clear_to_dial(kit: Kit, job: Job, seen: Look) -> Look | NotNow:
    """Reserve, and take the last look: that look, where the POST may go out this very moment."""
    assert job.dial is not None  # noqa: S101 - the intent is written
    kit.report(WorkerState.DIALLING, "reserve", job)
    if (obstacle := reserve(kit, job, seen)) is not None:
        return obstacle
    while True:
        began = kit.clock.boottime()
        kit.report(WorkerState.DIALLING, "last look", job)
        # This proves that the lease is still ours, and gives it time for the POST.
        if not kit.store.jobs.renew_to_dial(job, kit.settings.worker.lease_seconds):
            return NotNow("operator_request")
        seen = look(kit, job, country=seen.country)
        judgement = judge(kit, job, job.dial.number, seen)
        if not judgement.may_dial:
            return NotNow(str(judgement.reason))
        kit.report(WorkerState.DIALLING, "create call", job, seconds=kit.settings.retell.timeout_seconds)
        if kit.clock.boottime() - began > LOOK_GOOD_FOR_SECONDS:
            kit.tell("dial.look_stale", job, level=WARNING)
            continue
        if not circuit_breaker.pass_gate(kit, seen.breaker_document):
            return NotNow("dialling_held")
        # Only a probe's gate writes, and may take time: such a one looks again at the clock alone.
        if kit.clock.boottime() - began <= 2 * LOOK_GOOD_FOR_SECONDS:
            return seen
        return NotNow("look_stale")


def post(kit: Kit, job: Job) -> tuple[Job, Call]:
    """Have Retell place the call; the very next thing after a clear look.

    Raises:
        NotPlaced: surely no call was made; the breaker has been told.
        Ambiguous: nobody knows; the breaker has been told.
    """
    assert job.dial is not None  # noqa: S101
    try:
        call = kit.retell.create_call(json.loads(job.dial.body))
    except (NotPlaced, Ambiguous) as fault:
        circuit_breaker.after_create_fault(kit, fault)
        raise
    kit.seat.count_once(*call_metrics.placed(job.dial.key))
    # Until the database has it, the supervisor alone can tell an operator which call this worker has.
    named = replace(job, dial=replace(job.dial, call_id=call.call_id))
    job = kit.insist(
        WorkerState.FOLLOWING, "record call", named, lambda: kit.store.jobs.record_call(job, call.call_id)
    )
    circuit_breaker.after_create(kit)
    kit.tell("call.placed", job)
    return job, call


def reserve(kit: Kit, job: Job, seen: Look) -> NotNow | None:
    """Enter the dial in its batch and its account, under its key; repeating it changes nothing."""
    dial = job.dial
    assert dial is not None  # noqa: S101
    if dial.batch_id is not None:
        at_most = None if seen.batch is None else seen.batch.call_settings.max_concurrent_calls
        if not kit.store.batches.register_dial(dial.batch_id, dial.key, at_most=at_most):
            return NotNow("batch_not_open")
    return None if dial.account_id is None else reserve_balance(kit, job, dial, seen)


def reserve_balance(kit: Kit, job: Job, dial: Dial, seen: Look) -> NotNow | None:
    """Hold an estimate of the account's balance for this dial, as exactly as the rules judge it."""
    if metering.reserved_for(job):
        # The dial's own estimate takes the place of the one that SpeechAI made for the job.
        job = legacy_reservations.give_back(kit, job)
        seen = look(kit, job, country=seen.country)
    defaults = kit.dialling_defaults()
    for tries in range(LEDGER_TRIES):
        judgement = judge(kit, job, dial.number, seen)
        if not judgement.may_dial or seen.account is None:
            return NotNow(str(judgement.reason))
        if any(entry.key == dial.key for entry in seen.account.reservations):
            return None
        estimate = metering.estimate(seen.account, defaults)
        held = Reservation(key=dial.key, minutes=estimate.minutes, credit=estimate.credit)
        # Where much is left others' dials do not matter; where little is, or once one did, all of them do.
        headroom = (
            None if tries else metering.headroom(seen.account, estimate, defaults.timezone, kit.store.now())
        )
        if kit.store.accounts.reserve(seen.account, held, job_id=job.job_id, headroom=headroom):
            return None
        # Somebody else's dial came in between: what is left must be judged anew.
        seen = look(kit, job, country=seen.country)
    return NotNow("account_contended")


def withdraw(kit: Kit, job: Job, reason: str) -> None:
    """Take a dial back that surely made no call; waits for the database as long as it takes."""
    settlement.withdraw(kit, job, delay_seconds=_spread(kit, reason))
    kit.tell("dial.withdrawn", job, reason=reason)
    kit.seat.count("speechaid_put_back_total", reason=reason)


def _spread(kit: Kit, reason: str = "") -> float:
    least, most = NO_PLACE_SECONDS if reason in NO_PLACE else PUT_BACK_SECONDS
    return kit.random.uniform(least, most)
