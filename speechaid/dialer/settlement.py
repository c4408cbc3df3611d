"""An ended dial, written exactly once: result, do-not-call list, account, batch, and last the job.

The verdict is decided from the call and the settings of the moment, and stored with the dial before any of it
is applied. Each step consumes a mark that the dial left (the result's unique key, the account's and the
batch's entry of this dial, the job's token), so whoever goes on after a crash repeats no step and skips none,
and a sleeper that wakes finds nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING

from speechaid.dialer import circuit_breaker, legacy_reservations
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import Preflight
from speechaid.model.account import Account, Reservation
from speechaid.model.batch import Batch
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document, mapping
from speechaid.model.states import JobStatus, Outcome, WorkerState
from speechaid.model.verdict import AccountCharge, Verdict
from speechaid.rules import metering, operator_requests, outcomes, phones, retries
from speechaid.rules.analysis import AnalysisPolicy, first_question
from speechaid.rules.retries import NextStep
from speechaid.telemetry import call_metrics

#: Fields of Retell's call that SpeechAI keeps in ``call_result.summary``.
SUMMARY_FIELDS = (
    "call_status",
    "disconnection_reason",
    "duration_ms",
    "start_timestamp",
    "end_timestamp",
    "call_cost",
    "call_analysis",
    "recording_url",
    "recording_multi_channel_url",
    "public_log_url",
    "transcript",
    "collected_dynamic_variables",
)
#: What a customer promised, as the agent collected it.
PROMISE_FIELDS = ("fecha_pago_cliente", "monto_pago_cliente")

#: What the last look saw of batch and account serves so long to settle what was dialled behind it.
PREFLIGHT_REUSE_SECONDS = 3.0
#: How a verdict names ``contact.next_phone_index``.
NEXT_PHONE_INDEX = "next_phone_index"
#: The cause of a verdict on a dial that was taken back before anybody could be called.
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class BillingView:
    """The batch and the account by which an ended dial is judged and charged."""

    batch: Batch | None
    account: Account | None


def settle_ended_call(context: WorkerContext, job: Job, call: Call, seen: Preflight | None = None) -> None:
    """Settle a call that Retell says is over; ``seen`` is the look behind which it was placed."""
    assert job.dial is not None  # noqa: S101
    classified = outcomes.classify(call, stopped_by=job.dial.stop_asked_by)
    if not classified.known:
        context.emit(
            "call.unknown_end", job, level=WARNING, reason=call.disconnection_reason, status=call.call_status
        )
        context.link.count("speechaid_unknown_ends_total")
    circuit_breaker.after_call(context, classified)
    settle(context, job, classified.outcome, call=call, connected=classified.connected, seen=seen)


def settle_refusal(context: WorkerContext, job: Job, outcome: Outcome, error: str) -> None:
    """Settle a dial whose create Retell refused: there was no call."""
    settle(context, job, outcome, call=None, connected=False, error=error)


def settle_withdrawal(context: WorkerContext, job: Job, *, delay_seconds: float) -> None:
    """Take back a dial that surely made no call: the job is pending again, with nothing spent.

    That, too, is decided under the job's token before any mark is touched: a worker that has lost the job
    must not release the marks of a dial which the adopter may be placing.

    Raises:
        LeaseLost: the dial is somebody else's now; nothing was written.
    """

    def decide_and_store() -> Job:
        now = context.store.now()
        changes = {
            "status": JobStatus.PENDING,
            "reserved_until": now + timedelta(seconds=delay_seconds),
            "updated_at": now,
        }
        verdict = Verdict(
            outcome=Outcome.TEMPORARY,
            cause=WITHDRAWN,
            status=JobStatus.PENDING,
            job=changes,
            result=None,
            charge=AccountCharge(),
        )
        return context.store.jobs.record_verdict(job, verdict.document())

    apply(context, context.retry_until_available(WorkerState.SETTLING, "withdraw", job, decide_and_store))


def settle(
    context: WorkerContext,
    job: Job,
    outcome: Outcome,
    *,
    call: Call | None,
    connected: bool,
    error: str | None = None,
    seen: Preflight | None = None,
) -> None:
    """Decide, store the decision, apply it; waits for the database as long as it takes."""

    def decide_and_store() -> tuple[Job, BillingView]:
        books = read_billing_view(context, job, seen)
        verdict = decide(context, job, outcome, books, call=call, connected=connected, error=error)
        return context.store.jobs.record_verdict(job, verdict.document()), books

    apply(context, *context.retry_until_available(WorkerState.SETTLING, "verdict", job, decide_and_store))


def read_billing_view(context: WorkerContext, job: Job, seen: Preflight | None) -> BillingView:
    """Batch and account as they are; as they were seen, where that was a moment ago."""
    if seen is not None and context.clock.boottime() - seen.read_at <= PREFLIGHT_REUSE_SECONDS:
        return BillingView(batch=seen.batch, account=seen.account)
    dial = job.dial
    assert dial is not None  # noqa: S101
    return BillingView(
        batch=None if dial.batch_id is None else context.store.batches.find(dial.batch_id),
        account=None if dial.account_id is None else context.store.accounts.find(dial.account_id),
    )


def apply(context: WorkerContext, job: Job, books: BillingView | None = None) -> None:
    """Write what the stored verdict says, from wherever a dead worker left off.

    ``books`` spare reading again what has been read to decide.
    """
    dial = job.dial
    assert dial is not None and dial.verdict is not None  # noqa: S101, PT018
    verdict = Verdict.read(dial.verdict)

    def step(name: str, operation: object) -> None:
        assert callable(operation)  # noqa: S101
        context.retry_until_available(WorkerState.SETTLING, name, job, operation)

    if verdict.result is not None:
        result = verdict.result
        step("result", lambda: context.store.results.record(result))
    if verdict.do_not_call is not None:
        number = verdict.do_not_call
        step("do-not-call", lambda: context.store.do_not_call.add(number, source="call", job_id=job.job_id))
    step("marks", lambda: settle_reservation_entries(context, dial, verdict, books))
    if verdict.cause != WITHDRAWN:
        # Before the last write: whoever has to repeat it tells the same under the same name.
        context.link.count_once(*call_metrics.settled(dial.key, verdict))
    step("job", lambda: finish(context, job, verdict))
    if verdict.cause == WITHDRAWN:
        return  # no call to tell of
    context.link.call_finished()
    context.emit("call.settled", job, outcome=verdict.outcome, cause=verdict.cause, status=verdict.status)


def settle_reservation_entries(
    context: WorkerContext, dial: Dial, verdict: Verdict, books: BillingView | None
) -> None:
    """Charge the account and add to the batch's sums; a mark that is gone was consumed already."""
    charge = verdict.charge
    if dial.account_id is not None:
        context.store.accounts.settle(
            dial.account_id,
            dial.key,
            minutes=charge.minutes,
            credit=charge.credit,
            calls=charge.calls,
            day=charge.day,
            as_read=None if books is None else books.account,
        )
    if dial.batch_id is not None:
        batch = None if books is None else books.batch
        context.store.batches.settle_dial(dial.batch_id, dial.key, verdict.figures, as_read=batch)


def add_reservation_entries(context: WorkerContext, job: Job, dial: Dial) -> None:
    """Enter a dial whose call goes on already, whatever the limits say, so that it counts and is charged."""
    if dial.batch_id is not None:
        context.store.batches.register_live_dial(dial.batch_id, dial.key)
    if dial.account_id is None:
        return
    nothing = Reservation(key=dial.key, minutes=0.0, credit=0.0)
    while (account := context.store.accounts.find(dial.account_id)) is not None:
        entered = any(entry.key == dial.key for entry in account.reservations)
        if entered or context.store.accounts.reserve(account, nothing, job_id=job.job_id):
            return


def release_reservation_entries(context: WorkerContext, dial: Dial) -> None:
    """Give back what a dial that made no call holds."""
    if dial.account_id is not None:
        context.store.accounts.settle(dial.account_id, dial.key, minutes=0, credit=0, calls=0, day="")
    if dial.batch_id is not None:
        context.store.batches.settle_dial(dial.batch_id, dial.key, {})


def finish(context: WorkerContext, job: Job, verdict: Verdict) -> None:
    """The last write; an operator's request that waited for the call decides where the job would go on."""
    changes = as_job_fields(job, verdict.job)
    while not context.store.jobs.finish(job, operator_requests.reclassify(changes, job.request)):
        job = context.store.jobs.reread(job)


def as_job_fields(job: Job, changes: Document) -> Document:
    """A verdict's changes as paths of the job document: a stored verdict holds no path, only plain names."""
    fields = dict(changes)
    if NEXT_PHONE_INDEX in fields:
        index = fields.pop(NEXT_PHONE_INDEX)
        # SpeechAI's flat jobs may say that their contact is null, and no field can be set inside that.
        if isinstance(job.document.get("contact", {}), dict):
            fields["contact.next_phone_index"] = index
        else:
            fields["contact"] = {NEXT_PHONE_INDEX: index}
    return fields


def apply_next_step(context: WorkerContext, job: Job, step: NextStep) -> None:
    """Put down a claimed job that had no dial, as a rule says."""
    job = legacy_reservations.release_legacy_reservation(context, job)
    now = context.store.now()
    changes = as_job_fields(job, _position(step, now) | _ends(step, now))
    context.store.jobs.requeue(job, delay_seconds=step.delay_seconds, changes=changes)


# -- deciding --------------------------------------------------------------------------------------------


def decide(
    context: WorkerContext,
    job: Job,
    outcome: Outcome,
    books: BillingView,
    *,
    call: Call | None,
    connected: bool,
    error: str | None,
) -> Verdict:
    """The whole consequence of an ended dial, from what is known now."""
    dial = job.dial
    assert dial is not None  # noqa: S101
    batch, account = books.batch, books.account
    step = next_step(context, job, dial, outcome, connected=connected, batch=batch, account=account)
    now = context.store.now()
    changes = {**_position(step, now), **_ends(step, now)}
    if step.status is JobStatus.PENDING:
        changes["reserved_until"] = now + timedelta(seconds=step.delay_seconds)
    if step.dead_phone is not None:
        changes["dead_phones"] = sorted(job.dead_phones | {step.dead_phone})
    # A call belongs to the day on which it was placed, whenever it ends.
    charge = _charge(context, account, outcome, call=call, connected=connected, at=dial.placed_at or now)
    if call is None:
        changes["last_error"] = error or str(outcome)
        result, figures = None, {}
    else:
        changes |= call_fields(call, outcome, now)
        result = result_document(
            context, job, dial, call, outcome, charge=charge, connected=connected, now=now
        )
        figures = _figures(call, outcome, connected=connected)
    return Verdict(
        outcome=outcome,
        cause=step.cause,
        status=step.status,
        job=changes,
        result=result,
        charge=charge,
        figures=figures,
        do_not_call=dial.number if outcome is Outcome.DO_NOT_CALL else None,
    )


def next_step(
    context: WorkerContext,
    job: Job,
    dial: Dial,
    outcome: Outcome,
    *,
    connected: bool,
    batch: Batch | None,
    account: Account | None,
) -> NextStep:
    """What the retry rules say."""
    country = phones.country_of(batch, account, context.settings.dialling.default_country)
    position = retries.Position(
        phones=job.contact.phones,
        dead=phones.undialable(job.contact.phones, job.dead_phones, country),
        index=dial.phone_index,
        attempts=job.attempts,
    )
    return retries.decide(
        outcome,
        position=position,
        connected=connected,
        stopped_by=dial.stop_asked_by,
        policy=context.retry_policy(batch),
        jitter=context.random.random(),
    )


def _position(step: NextStep, now: datetime) -> Document:
    return {
        "status": step.status,
        "attempts": step.attempts,
        NEXT_PHONE_INDEX: step.next_phone_index,
        "updated_at": now,
    }


def _ends(step: NextStep, now: datetime) -> Document:
    """The dates and reasons that SpeechAI's reports read, by the status reached."""
    match step.status:
        case JobStatus.DONE:
            return {"completed_at": now, "finished_at": now}
        case JobStatus.FAILED:
            return {"failed_at": now, "finished_at": now, "last_error": step.cause}
        case JobStatus.CANCELLED:
            return {"finished_at": now, "cancel_reason": step.cancel_reason or step.cause}
        case JobStatus.SUSPENDED:
            return {"suspend_reason": step.suspend_reason, "suspended_at": now}
        case _:
            return {}


def call_fields(call: Call, outcome: Outcome, now: datetime) -> Document:
    """The job's fields about its latest call, in SpeechAI's form."""
    document = call.document
    collected = mapping(document.get("collected_dynamic_variables"))
    promises = {name: collected[name] for name in PROMISE_FIELDS if collected.get(name) not in (None, "")}
    return {
        "call_id": call.call_id,
        "call_started_at": call.started_at,
        "call_ended_at": call.ended_at or now,
        "call_duration_seconds": call.duration_ms / 1000,
        "call_result": {
            "success": outcome in {Outcome.ANSWERED, Outcome.CALLBACK_REQUESTED},
            "status": str(outcome),
            "summary": {name: document[name] for name in SUMMARY_FIELDS if name in document},
            "details": call.disconnection_reason,
            "timestamp": now,
        },
        "last_outcome": str(outcome),
        **promises,
    }


def result_document(
    context: WorkerContext,
    job: Job,
    dial: Dial,
    call: Call,
    outcome: Outcome,
    *,
    charge: AccountCharge,
    connected: bool,
    now: datetime,
) -> Document:
    """The ``call_results`` document: SpeechAI's fields, then ours."""
    return {
        "call_id": call.call_id,
        "job_id": job.job_id,
        "contact": {"name": job.contact.name, "dni": job.contact.dni, "phone_used": dial.number},
        "call_data": call.document,
        "call_status": None if call.call_status is None else str(call.call_status),
        "duration_ms": call.duration_ms,
        "is_successful": outcome in {Outcome.ANSWERED, Outcome.CALLBACK_REQUESTED},
        "created_at": now,
        "dial_key": dial.key,
        "batch_id": dial.batch_id,
        "account_id": dial.account_id,
        "attempt": dial.attempt,
        "phone_index": dial.phone_index,
        "outcome": str(outcome),
        "disconnection_reason": call.disconnection_reason,
        "connected": connected,
        "placed_at": dial.placed_at,
        "cost": round((call.cost_cents or 0.0) / 100, 6),
        "charged": {"minutes": charge.minutes, "credit": charge.credit},
        "worker": context.worker_id,
        **_analysis_mark(context, dial, call, connected=connected, now=now),
    }


def _analysis_mark(
    context: WorkerContext, dial: Dial, call: Call, *, connected: bool, now: datetime
) -> Document:
    """What has the call's analysis asked for later, where there was a conversation and none has come yet."""
    first = first_question(AnalysisPolicy.read(context.settings.call))
    if first is None or not connected or call.document.get("call_analysis"):
        return {}
    wait = {"due_at": now + timedelta(seconds=first), "tries": 0, "key": dial.api_key_fingerprint}
    return {"analysis_wait": wait}


def _charge(
    context: WorkerContext,
    account: Account | None,
    outcome: Outcome,
    *,
    call: Call | None,
    connected: bool,
    at: datetime,
) -> AccountCharge:
    """What the account pays; nothing where there was no call."""
    if account is None or call is None:
        return AccountCharge()
    price = metering.charge(account, outcome, minutes=call.minutes, connected=connected)
    return AccountCharge(
        minutes=price.minutes,
        credit=price.credit,
        calls=1 if price.counts_call else 0,
        day=metering.account_day(account, context.settings.dialling.default_timezone, at),
    )


def _figures(call: Call, outcome: Outcome, *, connected: bool) -> dict[str, float]:
    """What the batch's sums grow by: what Retell says, cents as currency units."""
    if outcome is Outcome.TEMPORARY:
        return {}
    minutes = call.minutes if connected else 0.0
    return {"total_cost": round((call.cost_cents or 0.0) / 100, 6), "total_minutes": round(minutes, 6)}
