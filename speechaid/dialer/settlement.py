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
from speechaid.dialer.context import Kit
from speechaid.dialer.preflight import Look
from speechaid.model.account import Account, Reservation
from speechaid.model.batch import Batch
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document, mapping
from speechaid.model.states import JobStatus, Outcome, WorkerState
from speechaid.model.verdict import Charge, Verdict
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
SEEN_GOOD_FOR_SECONDS = 3.0
#: How a verdict names ``contact.next_phone_index``.
NEXT_PHONE_INDEX = "next_phone_index"
#: The cause of a verdict on a dial that was taken back before anybody could be called.
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Books:
    """The batch and the account by which an ended dial is judged and charged."""

    batch: Batch | None
    account: Account | None


def ended(kit: Kit, job: Job, call: Call, seen: Look | None = None) -> None:
    """Settle a call that Retell says is over; ``seen`` is the look behind which it was placed."""
    assert job.dial is not None  # noqa: S101
    classified = outcomes.classify(call, stopped_by=job.dial.stop_asked_by)
    if not classified.known:
        kit.tell(
            "call.unknown_end", job, level=WARNING, reason=call.disconnection_reason, status=call.call_status
        )
        kit.seat.count("speechaid_unknown_ends_total")
    circuit_breaker.after_call(kit, classified)
    settle(kit, job, classified.outcome, call=call, connected=classified.connected, seen=seen)


def refused(kit: Kit, job: Job, outcome: Outcome, error: str) -> None:
    """Settle a dial whose create Retell refused: there was no call."""
    settle(kit, job, outcome, call=None, connected=False, error=error)


def withdraw(kit: Kit, job: Job, *, delay_seconds: float) -> None:
    """Take back a dial that surely made no call: the job is pending again, with nothing spent.

    That, too, is decided under the job's token before any mark is touched: a worker that has lost the job
    must not release the marks of a dial which the adopter may be placing.

    Raises:
        LeaseLost: the dial is somebody else's now; nothing was written.
    """

    def decide_and_store() -> Job:
        now = kit.store.now()
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
            charge=Charge(),
        )
        return kit.store.jobs.record_verdict(job, verdict.document())

    apply(kit, kit.insist(WorkerState.SETTLING, "withdraw", job, decide_and_store))


def settle(
    kit: Kit,
    job: Job,
    outcome: Outcome,
    *,
    call: Call | None,
    connected: bool,
    error: str | None = None,
    seen: Look | None = None,
) -> None:
    """Decide, store the decision, apply it; waits for the database as long as it takes."""

    def decide_and_store() -> tuple[Job, Books]:
        books = open_books(kit, job, seen)
        verdict = decide(kit, job, outcome, books, call=call, connected=connected, error=error)
        return kit.store.jobs.record_verdict(job, verdict.document()), books

    apply(kit, *kit.insist(WorkerState.SETTLING, "verdict", job, decide_and_store))


def open_books(kit: Kit, job: Job, seen: Look | None) -> Books:
    """Batch and account as they are; as they were seen, where that was a moment ago."""
    if seen is not None and kit.clock.boottime() - seen.read_at <= SEEN_GOOD_FOR_SECONDS:
        return Books(batch=seen.batch, account=seen.account)
    dial = job.dial
    assert dial is not None  # noqa: S101
    return Books(
        batch=None if dial.batch_id is None else kit.store.batches.find(dial.batch_id),
        account=None if dial.account_id is None else kit.store.accounts.find(dial.account_id),
    )


def apply(kit: Kit, job: Job, books: Books | None = None) -> None:
    """Write what the stored verdict says, from wherever a dead worker left off.

    ``books`` spare reading again what has been read to decide.
    """
    dial = job.dial
    assert dial is not None and dial.verdict is not None  # noqa: S101, PT018
    verdict = Verdict.read(dial.verdict)

    def step(name: str, deed: object) -> None:
        assert callable(deed)  # noqa: S101
        kit.insist(WorkerState.SETTLING, name, job, deed)

    if verdict.result is not None:
        result = verdict.result
        step("result", lambda: kit.store.results.record(result))
    if verdict.do_not_call is not None:
        number = verdict.do_not_call
        step("do-not-call", lambda: kit.store.do_not_call.add(number, source="call", job_id=job.job_id))
    step("marks", lambda: consume_marks(kit, dial, verdict, books))
    if verdict.cause != WITHDRAWN:
        # Before the last write: whoever has to repeat it tells the same under the same name.
        kit.seat.count_once(*call_metrics.settled(dial.key, verdict))
    step("job", lambda: finish(kit, job, verdict))
    if verdict.cause == WITHDRAWN:
        return  # no call to tell of
    kit.seat.call_finished()
    kit.tell("call.settled", job, outcome=verdict.outcome, cause=verdict.cause, status=verdict.status)


def consume_marks(kit: Kit, dial: Dial, verdict: Verdict, books: Books | None) -> None:
    """Charge the account and add to the batch's sums; a mark that is gone was consumed already."""
    charge = verdict.charge
    if dial.account_id is not None:
        kit.store.accounts.settle(
            dial.account_id,
            dial.key,
            minutes=charge.minutes,
            credit=charge.credit,
            calls=charge.calls,
            day=charge.day,
            seen=None if books is None else books.account,
        )
    if dial.batch_id is not None:
        batch = None if books is None else books.batch
        kit.store.batches.settle_dial(dial.batch_id, dial.key, verdict.figures, seen=batch)


def enter_marks(kit: Kit, job: Job, dial: Dial) -> None:
    """Enter a dial whose call goes on already, whatever the limits say, so that it counts and is charged."""
    if dial.batch_id is not None:
        kit.store.batches.enter_dial(dial.batch_id, dial.key)
    if dial.account_id is None:
        return
    nothing = Reservation(key=dial.key, minutes=0.0, credit=0.0)
    while (account := kit.store.accounts.find(dial.account_id)) is not None:
        entered = any(entry.key == dial.key for entry in account.reservations)
        if entered or kit.store.accounts.reserve(account, nothing, job_id=job.job_id):
            return


def release_marks(kit: Kit, dial: Dial) -> None:
    """Give back what a dial that made no call holds."""
    if dial.account_id is not None:
        kit.store.accounts.settle(dial.account_id, dial.key, minutes=0, credit=0, calls=0, day="")
    if dial.batch_id is not None:
        kit.store.batches.settle_dial(dial.batch_id, dial.key, {})


def finish(kit: Kit, job: Job, verdict: Verdict) -> None:
    """The last write; an operator's request that waited for the call decides where the job would go on."""
    changes = as_job_fields(job, verdict.job)
    while not kit.store.jobs.finish(job, operator_requests.bend(changes, job.request)):
        job = kit.store.jobs.look(job)


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


def move_on(kit: Kit, job: Job, step: NextStep) -> None:
    """Put down a claimed job that had no dial, as a rule says."""
    job = legacy_reservations.give_back(kit, job)
    now = kit.store.now()
    changes = as_job_fields(job, _position(step, now) | _ends(step, now))
    kit.store.jobs.put_back(job, delay_seconds=step.delay_seconds, changes=changes)


# -- deciding --------------------------------------------------------------------------------------------


def decide(
    kit: Kit,
    job: Job,
    outcome: Outcome,
    books: Books,
    *,
    call: Call | None,
    connected: bool,
    error: str | None,
) -> Verdict:
    """The whole consequence of an ended dial, from what is known now."""
    dial = job.dial
    assert dial is not None  # noqa: S101
    batch, account = books.batch, books.account
    step = next_step(kit, job, dial, outcome, connected=connected, batch=batch, account=account)
    now = kit.store.now()
    changes = {**_position(step, now), **_ends(step, now)}
    if step.status is JobStatus.PENDING:
        changes["reserved_until"] = now + timedelta(seconds=step.delay_seconds)
    if step.dead_phone is not None:
        changes["dead_phones"] = sorted(job.dead_phones | {step.dead_phone})
    # A call belongs to the day on which it was placed, whenever it ends.
    charge = _charge(kit, account, outcome, call=call, connected=connected, at=dial.placed_at or now)
    if call is None:
        changes["last_error"] = error or str(outcome)
        result, figures = None, {}
    else:
        changes |= call_fields(call, outcome, now)
        result = result_document(kit, job, dial, call, outcome, charge=charge, connected=connected, now=now)
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
    kit: Kit,
    job: Job,
    dial: Dial,
    outcome: Outcome,
    *,
    connected: bool,
    batch: Batch | None,
    account: Account | None,
) -> NextStep:
    """What the retry rules say."""
    country = phones.country_of(batch, account, kit.settings.dialling.default_country)
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
        policy=kit.retry_policy(batch),
        jitter=kit.random.random(),
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
    kit: Kit,
    job: Job,
    dial: Dial,
    call: Call,
    outcome: Outcome,
    *,
    charge: Charge,
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
        "worker": kit.worker_id,
        **_analysis_mark(kit, dial, call, connected=connected, now=now),
    }


def _analysis_mark(kit: Kit, dial: Dial, call: Call, *, connected: bool, now: datetime) -> Document:
    """What has the call's analysis asked for later, where there was a conversation and none has come yet."""
    first = first_question(AnalysisPolicy.read(kit.settings.call))
    if first is None or not connected or call.document.get("call_analysis"):
        return {}
    wait = {"due_at": now + timedelta(seconds=first), "tries": 0, "key": dial.api_key_fingerprint}
    return {"analysis_wait": wait}


def _charge(
    kit: Kit, account: Account | None, outcome: Outcome, *, call: Call | None, connected: bool, at: datetime
) -> Charge:
    """What the account pays; nothing where there was no call."""
    if account is None or call is None:
        return Charge()
    price = metering.charge(account, outcome, minutes=call.minutes, connected=connected)
    return Charge(
        minutes=price.minutes,
        credit=price.credit,
        calls=1 if price.counts_call else 0,
        day=metering.account_day(account, kit.settings.dialling.default_timezone, at),
    )


def _figures(call: Call, outcome: Outcome, *, connected: bool) -> dict[str, float]:
    """What the batch's sums grow by: what Retell says, cents as currency units."""
    if outcome is Outcome.TEMPORARY:
        return {}
    minutes = call.minutes if connected else 0.0
    return {"total_cost": round((call.cost_cents or 0.0) / 100, 6), "total_minutes": round(minutes, 6)}
