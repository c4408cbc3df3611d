"""Decide what an ended dial means for its job, account and batch. Pure: no I/O, no clock, no randomness.

``settlement`` reads what is needed, stores the verdict with the dial, and applies it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.call import PROMISE_FIELDS, ReportedCall, collected_promises
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document, mapping, text
from speechaid.model.states import SUCCESSFUL_OUTCOMES, JobStatus, Outcome, status_dates
from speechaid.model.storable import LARGEST_DOCUMENT_BYTES, bson_size, describe_cuts, fit_document
from speechaid.model.test_calls import TESTS
from speechaid.model.verdict import AccountCharge, Verdict
from speechaid.retell.requests_body import VARIABLES, language_of
from speechaid.rules import metering, phones, retries
from speechaid.rules.retries import NextStep, RetryPolicy
from speechaid.rules.retry_table import RetryCause

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
#: At most so much of Retell's call object is stored: in the result, and most of it in the job's document.
STORED_ANSWER_BYTES = 5 * 1024 * 1024
#: Left free in the job's document for everything else that a verdict and a claim write there.
RESERVED_BYTES = 256 * 1024
#: Fields of Retell's call that are cut last.
KEPT_FIELDS = ("call_id", "call_status", "disconnection_reason", "duration_ms", "call_cost", "metadata")
#: How a verdict names ``contact.next_phone_index``.
NEXT_PHONE_INDEX = "next_phone_index"
#: What a result holds for its batch's sums until it is added there (``store.batch_sums``).
BATCH_DUE = "batch_due"
#: Where a result holds the rest of its verdict.
DECISION = "decision"
#: The cause of the verdict on a dial that was withdrawn before a call could exist.
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class DialEnd:
    """How a dial ended."""

    outcome: Outcome
    #: None where Retell refused the create: there was no call.
    call: ReportedCall | None
    #: Whether someone or something answered the call.
    connected: bool
    #: Retell's reason for a refusal, or what is wrong with an answer that cannot be read.
    error: str | None = None
    #: Whether get-call's answer cannot be read: ``call`` is what Retell's list tells. The job ends.
    unreadable: bool = False
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
    #: How much of Retell's call object is stored at most, in bytes of BSON.
    answer_bytes: int = STORED_ANSWER_BYTES


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
        stored, cuts = _stored_answer(job, dial, end.call, inputs.answer_bytes)
        changes |= _call_fields(end.call, stored, cuts, end, now)
        promised = collected_promises(end.call.document) if job.test is None else {}
        changes |= promised
        agent = _agent_fields(dial, end.call)
        # By these jobs are found whose last call had this agent, or came from this number.
        changes |= {"last_agent_id": agent["agent_id"], "last_from_number": agent["from_number"]}
        result = _result_document(job, dial, end.call, end, charge=charge, inputs=inputs, now=now)
        result |= {"call_data": stored, **({"cut_fields": cuts} if cuts else {})}
        if promised:
            result["promised"] = _promise_of_call(job, promised)
        figures = _batch_figures(end.call, end)
        if dial.batch_id is not None and not dial.is_entered_in_batch and any(figures.values()):
            result[BATCH_DUE] = {"batch_id": dial.batch_id, **figures}
    return Verdict(
        outcome=end.outcome,
        cause=step.cause,
        status=step.status,
        job=changes,
        result=result,
        charge=charge,
        figures=figures,
        do_not_call=_number_called(dial, end.call) if end.outcome is Outcome.DO_NOT_CALL else None,
    )


def result_with_decision(verdict: Verdict) -> Document:
    """The result of a call with all of its verdict; the job's summary is made from the result again."""
    assert verdict.result is not None  # noqa: S101
    fields = {name: value for name, value in verdict.document().items() if name != "result"}
    call_result = {name: value for name, value in verdict.job["call_result"].items() if name != "summary"}
    decision = {**fields, "job": {**verdict.job, "call_result": call_result}}
    return {**verdict.result, DECISION: decision}


def read_decision(result: Document) -> Verdict | None:
    """The verdict that a stored result holds; None where it holds none, or none that can be read."""
    summary = _summary(mapping(result.get("call_data")))
    try:
        verdict = Verdict.read({**mapping(result.get(DECISION)), "result": None})
        call_result = {**verdict.job["call_result"], "summary": summary}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    rest = {name: value for name, value in result.items() if name != DECISION}
    return replace(verdict, job={**verdict.job, "call_result": call_result}, result=rest)


def without_summary(changes: Document) -> Document:
    """A job's fields about its latest call without what Retell sent."""
    call_result = mapping(changes.get("call_result"))
    return {**changes, "call_result": {**call_result, "summary": {}}} if call_result else changes


def _summary(call: Mapping[str, Any]) -> Document:
    return {name: call[name] for name in SUMMARY_FIELDS if name in call}


def _number_called(dial: Dial, call: ReportedCall | None) -> str:
    """The dial's number; that of the call where the dial's is not known (``store.jobs.keep_deleted``)."""
    known = call.to_number if call is not None and dial.number == dial.key else None
    return known or dial.number


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


def unknown_call(now: datetime) -> Verdict:
    """The verdict on a call that Retell does not know: the job fails, and is not called again by itself.

    Nothing is charged or recorded as a call: nothing is known about one.
    """
    changes = {"status": JobStatus.FAILED, "last_error": str(RetryCause.CALL_UNKNOWN), "updated_at": now}
    return Verdict(
        outcome=Outcome.FAILED,
        cause=RetryCause.CALL_UNKNOWN,
        status=JobStatus.FAILED,
        job={**changes, **status_dates(JobStatus.FAILED, now)},
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
    dates = status_dates(step.status, now)
    match step.status:
        case JobStatus.FAILED:
            return {**dates, "last_error": step.cause}
        case JobStatus.CANCELLED:
            return {**dates, "cancel_reason": step.cancel_reason or step.cause}
        case JobStatus.SUSPENDED:
            return {**dates, "suspend_reason": step.suspend_reason}
        case _:
            return {**dates}


def _next_step(job: Job, dial: Dial, end: DialEnd, billing: BillingView, inputs: DecisionInputs) -> NextStep:
    country = phones.country_of(billing.batch, billing.account, inputs.default_country)
    position = retries.Position(
        phones=job.contact.phones,
        dead=phones.undialable(
            job.contact.phones,
            job.dead_phones,
            country,
            accept_unassigned=phones.accepts_unassigned(job, billing.batch),
        ),
        index=dial.phone_index,
        attempts=job.attempts,
    )
    step = retries.decide(
        end.outcome,
        position=position,
        connected=end.connected,
        stopped_by=dial.stop_asked_by,
        policy=inputs.retry_policy,
        jitter=inputs.jitter,
    )
    if job.test is not None and step.status in {JobStatus.PENDING, JobStatus.SUSPENDED}:
        # Whoever waited for the call knows how it ended, and may ask for another.
        return replace(step, status=JobStatus.FAILED, delay_seconds=0.0)
    if end.unreadable and step.status is JobStatus.PENDING:
        # Its next call's answer would be as unreadable: this job ends, and keeps nobody busy.
        return replace(step, status=JobStatus.FAILED, cause=RetryCause.ANSWER_UNREADABLE, delay_seconds=0.0)
    return step


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


def _stored_answer(
    job: Job, dial: Dial, call: ReportedCall, limit_bytes: int
) -> tuple[Document, list[Document]]:
    """As much of Retell's call object as fits beside the rest of the job's document; and what was cut."""
    room = LARGEST_DOCUMENT_BYTES - RESERVED_BYTES - bson_size(job.document) - bson_size(dial.document())
    stored, cuts = fit_document(call.document, min(limit_bytes, room // 2), keep=KEPT_FIELDS)
    return stored, describe_cuts(cuts)


def _call_fields(
    call: ReportedCall, stored: Document, cuts: list[Document], end: DialEnd, now: datetime
) -> Document:
    """The job's fields about its latest call, in SpeechAI's form."""
    return {
        "call_id": call.call_id,
        "call_started_at": call.started_at,
        "call_ended_at": call.ended_at or now,
        "call_duration_seconds": call.duration_ms / 1000,
        "call_result": {
            "success": end.outcome in SUCCESSFUL_OUTCOMES,
            "status": str(end.outcome),
            "summary": _summary(stored),
            "details": call.disconnection_reason,
            "timestamp": now,
            **({"cut_fields": cuts} if cuts else {}),
            **({"unreadable": end.error} if end.unreadable else {}),
        },
        "last_outcome": str(end.outcome),
    }


def _promise_of_call(job: Job, promised: Document) -> Document:
    """The promise as a result keeps it: a later call may replace it in the job."""
    day, amount = (promised.get(name) for name in PROMISE_FIELDS)
    currency = text(mapping(job.document.get("payload")).get("currency"))
    fields = {"day": day, "amount": amount, "currency": currency}
    return {name: value for name, value in fields.items() if value is not None}


def _result_document(
    job: Job,
    dial: Dial,
    call: ReportedCall,
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
        "contact": {
            "name": job.contact.name,
            "dni": job.contact.dni,
            "phone_used": _number_called(dial, call),
        },
        "call_status": None if call.call_status is None else str(call.call_status),
        "duration_ms": call.duration_ms,
        "is_successful": end.outcome in SUCCESSFUL_OUTCOMES,
        "created_at": now,
        "dial_key": dial.key,
        "batch_id": dial.batch_id if job.test is None else TESTS,
        "account_id": dial.account_id,
        "attempt": dial.attempt,
        "phone_index": dial.phone_index,
        "outcome": str(end.outcome),
        "disconnection_reason": call.disconnection_reason,
        "connected": end.connected,
        "placed_at": dial.placed_at,
        **_recorded_rule(dial),
        **_agent_fields(dial, call),
        "cost": round((call.cost_cents or 0.0) / 100, 6),
        "charged": {"minutes": charge.minutes, "credit": charge.credit},
        "worker": inputs.worker_id,
        **({"unreadable": end.error} if end.unreadable else {}),
        **(
            {}
            if job.test is None
            else {"test": {**job.test.document(), "variables": dict(mapping(dial.request.get(VARIABLES)))}}
        ),
        **_analysis_fields(dial, call, end, inputs.analysis_after_seconds, now),
    }


def _recorded_rule(dial: Dial) -> Document:
    """Under which rule a call was placed, for those who ask for evidence; nothing where no pack held."""
    facts = dial.calling_rule
    if facts is None or facts.get("rule") is None:
        return {}
    return {"calling_rule": {name: facts.get(name) for name in ("purpose", "pack", "rule", "zones", "debt")}}


def _agent_fields(dial: Dial, call: ReportedCall) -> Document:
    """Who spoke, from which number, in which language: as Retell says that it was, else as it was asked for.

    Retell alone says which version it was; the language is in the request alone.
    """
    asked = dial.request
    return {
        "agent_id": call.agent_id or text(asked.get("override_agent_id")),
        "agent_version": call.agent_version,
        "from_number": call.from_number or text(asked.get("from_number")),
        "language": language_of(asked),
    }


def _analysis_fields(
    dial: Dial, call: ReportedCall, end: DialEnd, after_seconds: float | None, now: datetime
) -> Document:
    """If a connected call has no analysis yet, schedule a query."""
    if after_seconds is None or not end.connected or end.unreadable or call.document.get("call_analysis"):
        return {}
    wait = {"due_at": now + timedelta(seconds=after_seconds), "tries": 0, "key": dial.api_key_fingerprint}
    return {"analysis_wait": wait}


def _batch_figures(call: ReportedCall, end: DialEnd) -> dict[str, float]:
    """What the batch's sums grow by, as Retell reports it; cents become currency units."""
    if end.outcome is Outcome.TEMPORARY:
        return {}
    minutes = call.minutes if end.connected else 0.0
    return {"total_cost": round((call.cost_cents or 0.0) / 100, 6), "total_minutes": round(minutes, 6)}
