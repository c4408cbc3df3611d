"""Decide what an ended dial means for its job, account and batch. Pure: no I/O, no clock, no randomness.

``settlement`` reads what is needed, stores the verdict with the dial, and applies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document, mapping
from speechaid.model.states import SUCCESSFUL_OUTCOMES, JobStatus, Outcome
from speechaid.model.verdict import AccountCharge, Verdict
from speechaid.rules import metering, phones, retries
from speechaid.rules.retries import NextStep, RetryPolicy

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
#: How a verdict names ``contact.next_phone_index``.
NEXT_PHONE_INDEX = "next_phone_index"
#: The cause of the verdict on a dial that was withdrawn before a call could exist.
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class DialEnd:
    """How a dial ended."""

    outcome: Outcome
    #: None where Retell refused the create: there was no call.
    call: Call | None
    #: Whether someone or something answered the call.
    connected: bool
    #: Retell's reason for a refusal.
    error: str | None = None
    #: Nothing is spent, because neither person nor number is at fault; counted, so that it has an end.
    excused: bool = False


@dataclass(frozen=True, kw_only=True)
class BillingView:
    """The batch and the account used to decide and charge the dial; None where there is none."""

    batch: Batch | None
    account: Account | None


@dataclass(frozen=True, kw_only=True)
class DecisionInputs:
    """Settings of the moment, the deciding worker and a random number."""

    retry_policy: RetryPolicy
    default_timezone: str
    default_country: str | None
    #: From now until Retell is first asked for the call's analysis; None: never.
    analysis_after_seconds: float | None
    worker_id: str
    #: In [0, 1); spreads temporary delays.
    jitter: float


def decide(
    job: Job, dial: Dial, end: DialEnd, *, billing: BillingView, inputs: DecisionInputs, now: datetime
) -> Verdict:
    """Decide everything that follows from an ended dial."""
    step = _next_step(job, dial, end, billing, inputs)
    changes = position_fields(step, now)
    if step.status is JobStatus.PENDING:
        changes["reserved_until"] = now + timedelta(seconds=step.delay_seconds)
    if step.dead_phone is not None:
        changes["dead_phones"] = sorted(job.dead_phones | {step.dead_phone})
    if end.excused:
        changes["excused_faults"] = job.excused_faults + 1
    if end.outcome is Outcome.REJECTED:
        changes["last_outcome"] = str(end.outcome)  # by which doctor finds the job
    # A call counts for the day on which it was placed, whenever it ends.
    charge = _charge(billing.account, end, inputs.default_timezone, placed_at=dial.placed_at or now)
    if end.call is None:
        changes["last_error"] = end.error or str(end.outcome)
        result, figures = None, {}
    else:
        changes |= _call_fields(end.call, end.outcome, now)
        result = _result_document(job, dial, end.call, end, charge=charge, inputs=inputs, now=now)
        figures = _batch_figures(end.call, end)
    return Verdict(
        outcome=end.outcome,
        cause=step.cause,
        status=step.status,
        job=changes,
        result=result,
        charge=charge,
        figures=figures,
        do_not_call=dial.number if end.outcome is Outcome.DO_NOT_CALL else None,
    )


def withdrawal(now: datetime, *, delay_seconds: float) -> Verdict:
    """The verdict on a dial that surely made no call: the job is pending again, and nothing is spent."""
    changes = {
        "status": JobStatus.PENDING,
        "reserved_until": now + timedelta(seconds=delay_seconds),
        "updated_at": now,
    }
    return Verdict(
        outcome=Outcome.TEMPORARY,
        cause=WITHDRAWN,
        status=JobStatus.PENDING,
        job=changes,
        result=None,
        charge=AccountCharge(),
    )


def position_fields(step: NextStep, now: datetime) -> Document:
    """Job fields for where a job stands after ``step``, with the dates and reasons of the status reached."""
    return {
        "status": step.status,
        "attempts": step.attempts,
        NEXT_PHONE_INDEX: step.next_phone_index,
        "updated_at": now,
        **_status_fields(step, now),
    }


def _status_fields(step: NextStep, now: datetime) -> Document:
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


def _next_step(job: Job, dial: Dial, end: DialEnd, billing: BillingView, inputs: DecisionInputs) -> NextStep:
    country = phones.country_of(billing.batch, billing.account, inputs.default_country)
    position = retries.Position(
        phones=job.contact.phones,
        dead=phones.undialable(job.contact.phones, job.dead_phones, country),
        index=dial.phone_index,
        attempts=job.attempts,
    )
    return retries.decide(
        end.outcome,
        position=position,
        connected=end.connected,
        stopped_by=dial.stop_asked_by,
        policy=inputs.retry_policy,
        jitter=inputs.jitter,
    )


def _charge(
    account: Account | None, end: DialEnd, default_timezone: str, *, placed_at: datetime
) -> AccountCharge:
    """What the account pays; nothing where there was no call."""
    if account is None or end.call is None:
        return AccountCharge()
    cost = metering.charge(account, end.outcome, minutes=end.call.minutes, connected=end.connected)
    return AccountCharge(
        minutes=cost.minutes,
        credit=cost.credit,
        calls=1 if cost.counts_call else 0,
        day=metering.account_day(account, default_timezone, placed_at),
    )


def _call_fields(call: Call, outcome: Outcome, now: datetime) -> Document:
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
            "success": outcome in SUCCESSFUL_OUTCOMES,
            "status": str(outcome),
            "summary": {name: document[name] for name in SUMMARY_FIELDS if name in document},
            "details": call.disconnection_reason,
            "timestamp": now,
        },
        "last_outcome": str(outcome),
        **promises,
    }


def _result_document(
    job: Job,
    dial: Dial,
    call: Call,
    end: DialEnd,
    *,
    charge: AccountCharge,
    inputs: DecisionInputs,
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
        "is_successful": end.outcome in SUCCESSFUL_OUTCOMES,
        "created_at": now,
        "dial_key": dial.key,
        "batch_id": dial.batch_id,
        "account_id": dial.account_id,
        "attempt": dial.attempt,
        "phone_index": dial.phone_index,
        "outcome": str(end.outcome),
        "disconnection_reason": call.disconnection_reason,
        "connected": end.connected,
        "placed_at": dial.placed_at,
        "cost": round((call.cost_cents or 0.0) / 100, 6),
        "charged": {"minutes": charge.minutes, "credit": charge.credit},
        "worker": inputs.worker_id,
        **_analysis_fields(dial, call, end, inputs.analysis_after_seconds, now),
    }


def _analysis_fields(
    dial: Dial, call: Call, end: DialEnd, after_seconds: float | None, now: datetime
) -> Document:
    """If a connected call has no analysis yet, schedule a query."""
    if after_seconds is None or not end.connected or call.document.get("call_analysis"):
        return {}
    wait = {"due_at": now + timedelta(seconds=after_seconds), "tries": 0, "key": dial.api_key_fingerprint}
    return {"analysis_wait": wait}


def _batch_figures(call: Call, end: DialEnd) -> dict[str, float]:
    """What the batch's sums grow by, as Retell reports it; cents become currency units."""
    if end.outcome is Outcome.TEMPORARY:
        return {}
    minutes = call.minutes if end.connected else 0.0
    return {"total_cost": round((call.cost_cents or 0.0) / 100, 6), "total_minutes": round(minutes, 6)}
