"""Take a claimed job through one call: preflight, intent, reservation, preflight again, POST, follow, settle.

The order is the guarantee. The intent is durable before anything else happens; where packs are in force, it
is announced in the ledger before the last look at the other calls to its person; the second preflight, of
everything that may forbid the call, comes right before the POST; the call's id is stored as soon as it is
known. Whatever stops a worker between two of these steps leaves a job from which ``recovery`` can continue.

One gap cannot be closed here: a process that the kernel freezes between its last check of the clock and the
first byte of the POST sends that POST when it thaws. Retell's idempotency key makes it the same call for an
hour; after that the dial has been settled by a search of the call list, and the late POST would be a call
that no worker follows. Between the last check of the clock and the send there are some microseconds of our
own code; the preflight itself may be 3 to 6 s old by then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from logging import WARNING
from typing import TypedDict

from speechaid.dialer import (
    calling_rules,
    circuit_breaker,
    confirmation,
    deleted_jobs,
    follow,
    legacy_reservations,
    settlement,
)
from speechaid.dialer.context import WorkerContext, agent_choice
from speechaid.dialer.preflight import (
    Preflight,
    evaluate,
    next_phone,
    read_last_preflight,
    read_preflight,
)
from speechaid.errors import JobDeleted, LeaseLost, NumberBusy, StoreError, StoreUnavailable
from speechaid.model.account import Reservation
from speechaid.model.batch import Batch
from speechaid.model.call import ReportedCall
from speechaid.model.job import Dial, Job
from speechaid.model.states import CREATE_CALL_STEP, JobStatus, Outcome, WorkerState
from speechaid.retell.faults import (
    Ambiguous,
    BatchRefused,
    Blocked,
    DoNotCallRefused,
    NotPlaced,
    NotSent,
    NumberRefused,
    RateLimited,
    RetellError,
    TooLarge,
    Unexplained,
    WrongCall,
)
from speechaid.retell.requests_body import create_body, settings_fields, settings_fields_of
from speechaid.retell.variables import variables_in
from speechaid.rules import metering, outcomes
from speechaid.rules.agent_choice import AgentChoice, is_own_fault
from speechaid.rules.eligibility import Action, Check, Evaluation, Reason, window_for
from speechaid.rules.phones import Choice
from speechaid.rules.retries import NextStep
from speechaid.rules.retry_table import RetryCause
from speechaid.rules.windows import Window, WindowFault
from speechaid.store.batches import PAUSED_BY_SPEECHAID
from speechaid.telemetry import call_metrics

#: Seconds of boot-time clock for which a preflight is valid; a process frozen for longer reads it again.
PREFLIGHT_VALID_SECONDS = 3.0
#: A lease must last so many seconds longer than the request to Retell may, to be left as it is before a POST:
#: the preflight's reading may be that old when the POST is sent.
LEASE_MARGIN_SECONDS = 2 * PREFLIGHT_VALID_SECONDS
#: A dial that is not cleared within this many seconds is given up: the database is too slow to dial by. A
#: step of the database that has begun is not interrupted.
CLEARANCE_SECONDS = 30.0
#: Requeue delay (minimum, maximum), in seconds, after a closed window, a pause or a hold.
REQUEUE_SECONDS = (5.0, 15.0)
#: The same after a reason in ``NO_CAPACITY``: other calls may end at any time.
NO_CAPACITY_SECONDS = (1.0, 3.0)
#: Agent, number or another setting of the call was changed after the intent: the next intent has the new one.
SETTINGS_CHANGED = "settings_changed"
#: Reasons after which the job is soon tried again: calls in progress, or other dials just being placed, and
#: settings that changed; ``batch_not_open`` also follows from a pause.
NO_CAPACITY = frozenset(
    {
        Reason.ACCOUNT_CONCURRENCY,
        Reason.BATCH_CONCURRENCY,
        Reason.BALANCE_RESERVED,
        # Of two dials to one person at once both may be withdrawn; the claim then finds when the next is due.
        Reason.PACK_CAP,
        "batch_not_open",
        "account_contended",
        SETTINGS_CHANGED,
    }
)
#: Pending jobs of an account that cannot pay, suspended together with the claimed one: at most this many.
SUSPEND_BATCH_SIZE = 2000
#: Longest that suspending them may take.
SUSPENDING_SECONDS = 300.0
#: Tries to reserve an account's balance against other workers before the job is requeued.
RESERVATION_TRIES = 25

#: What a refused create means; ``Ambiguous`` is no refusal and is not here.
REFUSALS: dict[type[NotPlaced], Outcome] = {
    NumberRefused: Outcome.INVALID_NUMBER,
    DoNotCallRefused: Outcome.DO_NOT_CALL,
    Blocked: Outcome.BLOCKED,
    BatchRefused: Outcome.BLOCKED,
    RateLimited: Outcome.TEMPORARY,
    NotSent: Outcome.TEMPORARY,
    TooLarge: Outcome.REJECTED,
    # Excused, but only so often (``settle_refusal``).
    Unexplained: Outcome.TEMPORARY,
}


class _Settings(TypedDict):
    """The arguments of ``settings_fields``."""

    choice: AgentChoice
    timezone: str
    ring_seconds: float | None
    max_call_seconds: float | None


@dataclass(frozen=True)
class Obstacle:
    """Why a dial may not go out."""

    reason: str


def run(context: WorkerContext, job: Job, preflight: Preflight) -> None:
    """Take a freshly claimed job through one call, or requeue it untouched.

    Args:
        context: the worker's.
        job: without a dial.
        preflight: read with the job, right after the claim.

    Raises:
        LeaseLost: another worker has the job now; nothing more was written.
        StoreUnavailable: the database failed before anything was begun; the lease will lapse.
        HandOver: the worker must leave at once.
    """
    if job.faults:
        put_aside(context, job, "; ".join(job.faults))
        return
    try:
        choice = next_phone(context, job, preflight)
        planned = _plan(context, job, choice, preflight) if isinstance(choice, Choice) else None
    except Exception as fault:  # noqa: BLE001 - whatever a document holds must not cost more than its own call
        put_aside(context, job, f"{type(fault).__name__}: {fault}")
        return
    if not isinstance(choice, Choice):
        _move_on(context, job, choice)
        return
    if isinstance(planned, Evaluation):
        requeue(context, job, planned, choice)
        return
    intended = None if planned is None else record_intent(context, job, planned)
    if intended is None:
        return
    placed = place_or_withdraw(context, intended, preflight)
    if placed is not None:
        follow.run(context, *placed)


def put_aside(context: WorkerContext, job: Job, why: str) -> None:
    """Leave a job alone for a while whose document cannot be read or written; the others are served."""
    context.emit("job.unreadable", job, level=WARNING, why=why)
    context.link.count("speechaid_put_back_total", reason=Reason.JOB_UNREADABLE)
    if job.claim_token is not None:
        context.store.jobs.put_aside(job.id, job.claim_token, context.left_out.add(job.id))


def _plan(context: WorkerContext, job: Job, choice: Choice, preflight: Preflight) -> Evaluation | Dial:
    """The dial to place; the evaluation where it may not be placed now. Writes nothing."""
    evaluation = evaluate(context, job, choice.number, preflight)
    return new_dial(context, job, choice, preflight) if evaluation.may_dial else evaluation


def _move_on(context: WorkerContext, job: Job, step: NextStep) -> None:
    """Apply the next step of a job that was served already, or has no phone left."""
    if step.cause is RetryCause.SERVED:
        context.emit("job.already_served", job, level=WARNING, status=step.status)
        context.link.count("speechaid_jobs_already_served_total")
    else:
        context.emit("job.no_phone", job, cause=step.cause, status=step.status)
    settlement.apply_next_step(context, job, step)


def requeue(context: WorkerContext, job: Job, evaluation: Evaluation, choice: Choice) -> None:
    """Requeue a job that may not be dialled now, or suspend it where the evaluation says so."""
    reason = str(evaluation.reason)
    context.emit("job.put_back", job, reason=reason)
    context.link.count("speechaid_put_back_total", reason=reason)
    if job.test is not None:
        _requeue_test(context, job, reason)
    elif evaluation.action is Action.SUSPEND:
        changes = {"status": JobStatus.SUSPENDED, "suspend_reason": evaluation.suspend_reason}
        context.store.jobs.requeue(job, changes=changes)
        suspend_account_jobs(context, job, evaluation)
    elif evaluation.action is Action.SKIP_PHONE:
        dead = sorted(job.dead_phones | {choice.raw})
        context.store.jobs.requeue(job, changes={"dead_phones": dead})
    elif evaluation.refusal is not None and evaluation.reason in calling_rules.WAITS:
        _wait_for_rule(context, job, evaluation.refusal)
    else:
        context.store.jobs.requeue(job, delay_seconds=_requeue_delay(context, reason))


def _wait_for_rule(context: WorkerContext, job: Job, refusal: Check) -> None:
    """Requeue a job until its pack may allow its call, by one write: it costs nothing until then."""
    now = context.store.now()
    context.store.jobs.requeue(
        job,
        delay_seconds=calling_rules.waiting_seconds(refusal, now),
        changes={"waits_for": calling_rules.waits_for(refusal, now)},
    )


def _requeue_test(context: WorkerContext, job: Job, reason: str) -> None:
    """Wait for a place; for whatever else forbids a test call it is over, and whoever waits for it is told.

    It must not ring hours later, when the hold is lifted or the account has credit again.
    """
    if reason in NO_CAPACITY:
        context.store.jobs.requeue(job, delay_seconds=_requeue_delay(context, reason))
    else:
        ended = {"status": JobStatus.CANCELLED, "cancel_reason": reason}
        context.store.jobs.requeue(job, changes=ended)


def suspend_account_jobs(context: WorkerContext, job: Job, evaluation: Evaluation) -> None:
    """Suspend the account's other pending jobs too: none of them has to be claimed for it."""
    if job.account_id is None or evaluation.suspend_reason is None:
        return
    context.report_step(
        WorkerState.SETTLING, "suspend account's jobs", job, seconds=SUSPENDING_SECONDS, database=True
    )
    suspended = context.store.queue.suspend_waiting(
        job.account_id, evaluation.suspend_reason, SUSPEND_BATCH_SIZE
    )
    if suspended:
        context.emit("account.jobs_suspended", job, reason=evaluation.suspend_reason, jobs=suspended)


def record_intent(context: WorkerContext, job: Job, intent: Dial) -> Job | None:
    """Write the intent; the job with its dial, or None if it was requeued instead."""
    try:
        context.report_step(WorkerState.DIALLING, "intent", job)
        if intent.unlimited:
            settlement.require_level(context)
        return context.store.jobs.record_intent(job, intent)
    except LeaseLost:
        raise
    except NumberBusy:
        context.emit("dial.number_busy", job, phone=intent.number)
        context.store.jobs.requeue(job, delay_seconds=_requeue_delay(context))
    except StoreUnavailable:
        # The write may have succeeded; if the intent stayed, recovery would treat it as an ambiguous dial.
        context.retry_until_available(
            WorkerState.SETTLING, "put back", job, lambda: context.store.jobs.requeue(job)
        )
    except StoreError as fault:
        # The document takes no dial (it is full, say): no call was placed.
        put_aside(context, job, str(fault))
    return None


def new_dial(context: WorkerContext, job: Job, choice: Choice, preflight: Preflight) -> Dial:
    """The intent: everything that is needed to place this very call, or to find it again."""
    key = context.new_dial_key()
    settings = context.settings
    body = create_body(
        **_settings_of(context, preflight),
        to_number=choice.number,
        variables=variables_in(
            job,
            batch=preflight.batch,
            account=preflight.account,
            now=context.store.now(),
            default_timezone=settings.dialling.default_timezone,
            default_country=settings.dialling.default_country,
        ),
        metadata={
            "job_id": job.job_id,
            "batch_id": job.settings_batch_id,
            "account_id": job.account_id,
            # Retell's dashboard and lists tell tests from calls of the campaign by it.
            "test": None if job.test is None else "true",
        },
        key=key,
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
        calling_rule=calling_rules.dial_facts(
            job,
            choice.number,
            numbers=preflight.numbers,
            in_force=preflight.packs,
            person=preflight.person,
            batch=_window_of(context, preflight),
        ),
        unlimited=_is_unlimited(job, preflight),
    )


def _is_unlimited(job: Job, preflight: Preflight) -> bool | None:
    """Whether the job's batch limits no calls at a time; None: it does, or there is none."""
    batch = preflight.batch
    return True if job.batch_id is not None and batch is not None and not batch.is_limited else None


def _settings_of(context: WorkerContext, preflight: Preflight) -> _Settings:
    """What settings and batch say about a call, as the request needs it."""
    settings = context.settings
    call_settings = None if preflight.batch is None else preflight.batch.call_settings
    longest = call_settings.max_call_duration if call_settings else None
    window = _window_of(context, preflight)
    return {
        "choice": agent_choice(settings, preflight.batch),
        # With a faulty window there is no dial.
        "timezone": window.zone.key if isinstance(window, Window) else settings.dialling.default_timezone,
        "ring_seconds": call_settings.ring_timeout if call_settings else None,
        "max_call_seconds": longest or settings.call.max_duration_minutes * 60,
    }


def _window_of(context: WorkerContext, preflight: Preflight) -> Window | WindowFault:
    account_zone = None if preflight.account is None else preflight.account.timezone
    return window_for(preflight.batch, account_zone, context.dialling_defaults())


def is_outdated(context: WorkerContext, dial: Dial, preflight: Preflight) -> bool:
    """Whether agent, number or another setting of the call has changed since the request was written."""
    now = settings_fields(**_settings_of(context, preflight))
    return settings_fields_of(dial.request) != now


# -- placing ---------------------------------------------------------------------------------------------


def place_or_withdraw(
    context: WorkerContext, job: Job, preflight: Preflight
) -> tuple[Job, ReportedCall, Preflight] | None:
    """Place the call of a fresh intent; None if there is no call to follow: the job has been moved on.

    Until the POST is sent there can be no call, so whatever fails before it only withdraws the dial.
    """
    try:
        try:
            cleared = clear_to_dial(context, job, preflight)
        except StoreUnavailable:
            cleared = Obstacle("database_away")
        if isinstance(cleared, Obstacle):
            withdraw(context, job, cleared.reason)
            return None
    except LeaseLost:
        # If another worker has settled this dial, our entries would never be released.
        if job.dial is not None and not context.store.jobs.has_dial(job.dial.key):
            settlement.release_reservation_entries(context, job.dial)
        raise
    try:
        return *post(context, job, cleared), cleared
    except NotPlaced as refusal:
        try:
            settle_refusal(context, job, refusal)
            if isinstance(refusal, BatchRefused):
                _pause_refused_batch(context, job, cleared, refusal)
        except JobDeleted:
            if job.dial is not None:
                settlement.release_reservation_entries(context, job.dial)
            raise
        return None
    except Ambiguous as exc:
        context.emit("dial.ambiguous", job, level=WARNING, error=str(exc))
        context.link.count("speechaid_ambiguous_dials_total")
        # Recovery resolves it at once, as it would a dead worker's dial.
        context.retry_until_available(
            WorkerState.SETTLING, "leave to recovery", job, lambda: deleted_jobs.release_lease(context, job)
        )
        return None


def settle_refusal(context: WorkerContext, job: Job, refusal: NotPlaced) -> None:
    """Settle a dial whose create was refused; one unexplained refusal too many is an ordinary failure."""
    outcome, excused = REFUSALS[type(refusal)], isinstance(refusal, Unexplained)
    if excused and job.excused_faults >= outcomes.EXCUSED_AT_MOST:
        outcome, excused = Outcome.FAILED, False
    context.emit("dial.refused", job, level=WARNING, outcome=outcome, error=str(refusal))
    settlement.settle_refusal(context, job, outcome, str(refusal), excused=excused)


def _pause_refused_batch(
    context: WorkerContext, job: Job, preflight: Preflight, refusal: BatchRefused
) -> None:
    """Pause the batch whose agent or number Retell refuses: it would refuse each of its calls."""
    batch = preflight.batch
    if batch is None:
        return
    reason = f"Retell refuses its agent or number ({refusal}): edit-batch, then resume-batch"
    paused = context.retry_until_available(
        WorkerState.SETTLING,
        "pause batch",
        job,
        lambda: context.store.batches.pause_refused(batch, reason=reason),
    )
    if paused:
        context.emit("batch.paused", job, level=WARNING, by=PAUSED_BY_SPEECHAID, reason=reason)


def clear_to_dial(
    context: WorkerContext, job: Job, preflight: Preflight, *, is_replay: bool = False
) -> Preflight | Obstacle:
    """Announce, reserve, then repeat the preflight; returns that preflight if the POST may go out right now.

    Every create goes through here, first dials and replays alike: ``post`` takes what this returns. A replay
    repeats the stored request, whatever has been set since: under its key, Retell may have the call already.
    """
    assert job.dial is not None  # noqa: S101 - the intent is written
    give_up_at = context.clock.boottime() + CLEARANCE_SECONDS
    context.report_step(WorkerState.DIALLING, "reserve", job)
    if (obstacle := reserve(context, job, preflight, give_up_at)) is not None:
        return obstacle
    # The intent was acknowledged after that preflight.
    written_since = None if is_replay else preflight.read_at
    while (obstacle := _interruption(context, job.dial, preflight, give_up_at)) is None:
        began = context.clock.boottime()
        context.report_step(WorkerState.DIALLING, "preflight", job)
        looked = _look_again(context, job, preflight, written_since=written_since)
        if isinstance(looked, Obstacle):
            return looked
        preflight, written_since = looked, None
        if (obstacle := _last_evaluation(context, job, job.dial, preflight, is_replay=is_replay)) is not None:
            return obstacle
        context.report_step(
            WorkerState.DIALLING, CREATE_CALL_STEP, job, seconds=context.settings.retell.timeout_seconds
        )
        if context.clock.boottime() - began <= PREFLIGHT_VALID_SECONDS:
            return _admit(context, job.dial, preflight, valid_until=began + 2 * PREFLIGHT_VALID_SECONDS)
        context.emit("dial.look_stale", job, level=WARNING)
    return obstacle


def _look_again(
    context: WorkerContext, job: Job, preflight: Preflight, *, written_since: float | None
) -> Preflight | Obstacle:
    """Read the preflight anew, and make sure that the claim lasts as long as the request to Retell may.

    Mostly the read finds that by itself. Otherwise the lease is renewed first, which is a durable write:
    where too little of it is left, and where the latest durable write of this worker is so old that the
    primary which answers may have been replaced meanwhile.

    Args:
        context: the worker's.
        job: with its dial.
        preflight: the earlier one.
        written_since: a time of the boot-time clock after which this worker wrote durably; None: renew.
    """
    recent = written_since is not None and context.clock.boottime() - written_since <= PREFLIGHT_VALID_SECONDS
    if recent:
        leased_seconds = context.settings.retell.timeout_seconds + LEASE_MARGIN_SECONDS
        looked = read_last_preflight(context, job, leased_seconds=leased_seconds, country=preflight.country)
        if looked is not None:
            return looked
    if not context.store.jobs.renew_to_dial(job, context.settings.worker.lease_seconds):
        return Obstacle("operator_request")
    return read_preflight(context, job, country=preflight.country)


def _last_evaluation(
    context: WorkerContext, job: Job, dial: Dial, preflight: Preflight, *, is_replay: bool
) -> Obstacle | None:
    """What the last preflight has against the dial."""
    evaluation = evaluate(context, job, dial.number, preflight)
    if not evaluation.may_dial:
        return Obstacle(str(evaluation.reason))
    lacks_entry = calling_rules.lacks_entry(
        job, dial, in_force=preflight.packs, person=preflight.person, is_replay=is_replay
    ) or _lacks_batch_entry(dial, preflight.batch)
    changed = lacks_entry or (not is_replay and is_outdated(context, dial, preflight))
    return Obstacle(SETTINGS_CHANGED) if changed else None


def _lacks_batch_entry(dial: Dial, batch: Batch | None) -> bool:
    """Whether the batch got a limit after the intent was written: no dial counted this one."""
    return bool(dial.unlimited) and batch is not None and batch.is_limited


def announce(context: WorkerContext, job: Job) -> bool:
    """Enter a dial in the ledger, before the last look; False where it was settled meanwhile.

    Of two dials to one person at the same time, whichever is acknowledged second sees the other.
    """
    dial = job.dial
    if dial is None or dial.calling_rule is None:
        return True
    context.report_step(WorkerState.DIALLING, "announce", job)
    return context.store.ledger.announce(dial.key, dial.calling_rule, job=job.id)


def _admit(
    context: WorkerContext, dial: Dial, preflight: Preflight, *, valid_until: float
) -> Preflight | Obstacle:
    """Return the preflight if breaker, orders and clock allow the dial too; ``valid_until``: of boot time."""
    if not circuit_breaker.admit_dial(context, preflight.breaker_document, dial.key):
        return Obstacle("dialling_held")
    # Admitting a probe is a write, which may take time: an order may have come, or the preflight be too old.
    obstacle = _interruption(context, dial, preflight, valid_until)
    if obstacle is None:
        return preflight
    circuit_breaker.give_back_probe(context, dial.key)
    return obstacle


def _interruption(
    context: WorkerContext, dial: Dial, preflight: Preflight, give_up_at: float
) -> Obstacle | None:
    """Why clearance stops here: by an order or a signal, or because it has taken too long.

    An operator's hold or pause is in force on this host before the database has it.
    """
    if (forbidden := context.link.read_orders()) is not None:
        return Obstacle(str(forbidden))
    # A test call obeys no pause of the batch that it tests.
    name = None if preflight.batch is None or dial.batch_id is None else preflight.batch.name
    if context.link.is_batch_paused(dial.batch_id, name):
        return Obstacle(str(Reason.BATCH_PAUSED))
    return Obstacle("look_stale") if context.clock.boottime() > give_up_at else None


def reserve(context: WorkerContext, job: Job, preflight: Preflight, give_up_at: float) -> Obstacle | None:
    """Announce the dial, enter it in its batch and its account under its key; repeating changes nothing."""
    dial = job.dial
    assert dial is not None  # noqa: S101
    if (obstacle := _interruption(context, dial, preflight, give_up_at)) is not None:
        return obstacle
    if context.store.jobs.number_is_taken(dial.number, besides=job.id):
        return Obstacle("number_busy")
    if not announce(context, job):
        return Obstacle("ledger_closed")
    if (
        dial.batch_id is not None
        and dial.is_entered_in_batch
        and not _register(context, job, dial.batch_id, preflight)
    ):
        return Obstacle("batch_not_open")
    return None if dial.account_id is None else reserve_balance(context, job, dial, preflight, give_up_at)


def _register(context: WorkerContext, job: Job, batch_id: str, preflight: Preflight) -> bool:
    """Enter the dial in its batch; False where that is paused, or full.

    Dials from before the limit have no entry and are counted beside, until there is none left. None is added
    to them: their intents are durable before the last look, which finds the limit.
    """
    assert job.dial is not None  # noqa: S101
    batch = preflight.batch
    at_most = None if batch is None else batch.call_settings.max_concurrent_calls
    if batch is not None and at_most is not None and not batch.has_all_entries:
        others = context.store.jobs.count_without_entry(batch_id)
        if not others:
            context.store.batches.note_all_entries(batch_id)
        at_most = max(0, at_most - others)
    return context.store.batches.register_dial(batch_id, job.dial.key, at_most=at_most, job_id=job.job_id)


def reserve_balance(
    context: WorkerContext, job: Job, dial: Dial, preflight: Preflight, give_up_at: float
) -> Obstacle | None:
    """Reserve an estimate of the call's cost in the account, if the rules allow the dial at that moment."""
    if metering.reserved_for(job):
        # The dial's own estimate takes the place of the one that SpeechAI made for the job.
        job = legacy_reservations.release_legacy_reservation(context, job)
        preflight = read_preflight(context, job, country=preflight.country)
    defaults = context.dialling_defaults()
    for tries in range(RESERVATION_TRIES):
        evaluation = evaluate(context, job, dial.number, preflight)
        account = preflight.account
        if not evaluation.may_dial or account is None:
            return Obstacle(str(evaluation.reason))
        if any(entry.key == dial.key for entry in account.reservations):
            return None
        estimate = metering.estimate(account, defaults)
        reservation = Reservation(key=dial.key, minutes=estimate.minutes, credit=estimate.credit)
        # The first try allows other dials within the headroom; after a lost race, require the account exactly
        # as it was read.
        headroom = (
            None if tries else metering.headroom(account, estimate, defaults.timezone, context.store.now())
        )
        if context.store.accounts.reserve(
            account,
            reservation,
            job_id=job.job_id,
            batch_id=None if dial.is_entered_in_batch else dial.batch_id,
            headroom=headroom,
        ):
            return None
        if (obstacle := _interruption(context, dial, preflight, give_up_at)) is not None:
            return obstacle
        # Another dial was entered in between: evaluate what is left now.
        preflight = read_preflight(context, job, country=preflight.country)
    return Obstacle("account_contended")


def post(
    context: WorkerContext, job: Job, cleared: Preflight, *, is_replay: bool = False
) -> tuple[Job, ReportedCall]:
    """Have Retell place the call, right after ``clear_to_dial`` returned this preflight.

    The only place that sends a create.

    Args:
        context: the worker's.
        job: with the dial.
        cleared: the preflight that cleared it.
        is_replay: the same create was sent before, and its answer was lost.

    Raises:
        NotPlaced: surely no call was made; the breaker has noted the fault.
        Ambiguous: a call may or may not have been made; the breaker has noted the fault.
    """
    assert job.dial is not None  # noqa: S101
    key = job.dial.key
    try:
        call = confirmation.confirm_call(context, job, context.retell.create_call(json.loads(job.dial.body)))
    except (NotPlaced, Ambiguous) as fault:
        if isinstance(fault, WrongCall):
            confirmation.report_wrong_call(context, job, fault)
        of_batch = isinstance(fault, Blocked) and is_own_fault(
            _settings_of(context, cleared)["choice"], str(fault)
        )
        found: RetellError = BatchRefused(str(fault), status=fault.status) if of_batch else fault
        noted = circuit_breaker.after_create_fault(context, found, job.dial, is_replay=is_replay)
        if noted is fault:
            raise
        raise noted from fault
    context.link.count_once(*call_metrics.placed(key, is_test=job.test is not None))
    # Until the database has the id, only the supervisor can show an operator which call this worker has.
    named = replace(job, dial=replace(job.dial, call_id=call.call_id))
    try:
        job = context.retry_until_available(
            WorkerState.FOLLOWING,
            "record call",
            named,
            lambda: context.store.jobs.record_call(job, call.call_id, context.settings.worker.lease_seconds),
        )
    except JobDeleted:
        job = deleted_jobs.keep_deleted_job(context, named)
    circuit_breaker.after_create(context, key)
    context.emit("call.placed", job, agent=job.dial.agent_id if job.dial else None)
    return job, call


def withdraw(context: WorkerContext, job: Job, reason: str) -> None:
    """Withdraw a dial that surely made no call; retries until the database answers."""
    settlement.settle_withdrawal(context, job, delay_seconds=_requeue_delay(context, reason))
    context.emit("dial.withdrawn", job, reason=reason)
    context.link.count("speechaid_put_back_total", reason=reason)


def _requeue_delay(context: WorkerContext, reason: str = "") -> float:
    least, most = NO_CAPACITY_SECONDS if reason in NO_CAPACITY else REQUEUE_SECONDS
    return context.random.uniform(least, most)
