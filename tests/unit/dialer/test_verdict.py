"""What an ended dial means for its job, account and batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from speechaid.dialer.verdict import (
    BillingView,
    DecisionInputs,
    DialEnd,
    decide,
    read_decision,
    result_with_decision,
    withdrawal,
)
from speechaid.model.account import Account
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.states import JobStatus, Outcome
from speechaid.model.test_calls import TESTS
from speechaid.model.verdict import Verdict
from speechaid.rules.retries import RetryPolicy

A, B = "+56912340001", "+56912340002"
PLACED_AT = datetime(2026, 3, 4, 2, 59, tzinfo=UTC)  # 23:59 of the day before in Santiago
NOW = PLACED_AT + timedelta(minutes=5)
JOB = Job.read({"_id": 1, "job_id": "job-1", "contact": {"phones": [A, B]}, "attempts": 0})
DIAL = Dial(
    key="key-1",
    number=A,
    phone_index=0,
    attempt=0,
    intent_at=PLACED_AT,
    body="{}",
    api_key_fingerprint="fingerprint",
    account_id="acc-1",
    call_id="call-1",
    placed_at=PLACED_AT,
)
ACCOUNT = Account.read(
    {
        "account_id": "acc-1",
        "plan_type": "credit_based",
        "credit_balance": 100,
        "cost_per_call_setup": 1,
        "cost_per_minute": 2,
        "timezone": "America/Santiago",
    }
)
INPUTS = DecisionInputs(
    retry_policy=RetryPolicy(
        max_attempts=3,
        retry_delay_seconds=1800,
        no_answer_delay_seconds=3600,
        temporary_min_seconds=60,
        temporary_max_seconds=120,
        voicemail_is_success=False,
    ),
    default_timezone="UTC",
    default_country="CL",
    analysis_after_seconds=60,
    worker_id="worker-1@host-a:1",
    jitter=0.5,
)


def answered(**fields: Any) -> DialEnd:
    call = {"call_id": "call-1", "call_status": "ended", "duration_ms": 90_000, **fields}
    return DialEnd(outcome=Outcome.ANSWERED, call=Call.read(call), connected=True)


def no_call(outcome: Outcome) -> DialEnd:
    return DialEnd(outcome=outcome, call=None, connected=False, error="refused")


def verdict_on(end: DialEnd, inputs: DecisionInputs = INPUTS) -> Verdict:
    billing = BillingView(batch=None, account=ACCOUNT)
    return decide(JOB, DIAL, end, billing=billing, inputs=inputs, now=NOW)


def test_an_answered_call_completes_the_job_and_counts_for_the_day_on_which_it_was_placed() -> None:
    verdict = verdict_on(answered())
    assert (verdict.status, verdict.job["completed_at"]) == (JobStatus.DONE, NOW)
    assert (verdict.charge.credit, verdict.charge.calls) == (1 + 1.5 * 2, 1)
    assert verdict.charge.day == "2026-03-03"
    assert verdict.result is not None
    assert verdict.result["worker"] == INPUTS.worker_id


def test_a_temporary_fault_spends_nothing_and_is_due_again_after_a_delay_spread_by_the_jitter() -> None:
    verdict = verdict_on(no_call(Outcome.TEMPORARY))
    assert (verdict.status, verdict.job["attempts"]) == (JobStatus.PENDING, 0)
    assert verdict.job["reserved_until"] == NOW + timedelta(seconds=90)
    assert (verdict.charge.credit, verdict.result, verdict.figures) == (0, None, {})


def test_an_invalid_number_is_dead_and_the_next_phone_follows() -> None:
    verdict = verdict_on(no_call(Outcome.INVALID_NUMBER))
    assert (verdict.job["dead_phones"], verdict.job["next_phone_index"]) == ([A], 1)


def test_a_person_who_asks_not_to_be_called_is_listed() -> None:
    assert verdict_on(no_call(Outcome.DO_NOT_CALL)).do_not_call == A
    assert verdict_on(answered()).do_not_call is None


@pytest.mark.parametrize(
    ("end", "inputs", "due_at"),
    [
        (answered(), INPUTS, NOW + timedelta(seconds=60)),
        (answered(call_analysis={"call_summary": "paid"}), INPUTS, None),
        (answered(), replace(INPUTS, analysis_after_seconds=None), None),
        (replace(answered(), connected=False), INPUTS, None),
    ],
    ids=["missing", "already there", "switched off", "not connected"],
)
def test_the_analysis_is_asked_for_later_only_if_a_connected_call_came_without_it(
    end: DialEnd, inputs: DecisionInputs, due_at: datetime | None
) -> None:
    result = verdict_on(end, inputs).result
    assert result is not None
    assert result.get("analysis_wait", {}).get("due_at") == due_at


def test_a_withdrawn_dial_leaves_the_job_pending_and_costs_nothing() -> None:
    verdict = withdrawal(NOW, delay_seconds=10)
    assert verdict.job == {
        "status": JobStatus.PENDING,
        "reserved_until": NOW + timedelta(seconds=10),
        "updated_at": NOW,
    }
    assert (verdict.charge.credit, verdict.charge.calls, verdict.result) == (0, 0, None)


def test_a_verdict_read_back_from_its_document_is_equal() -> None:
    verdict = verdict_on(answered())
    assert Verdict.read(verdict.document()) == verdict


def test_an_excused_fault_spends_nothing_and_is_counted() -> None:
    verdict = verdict_on(replace(no_call(Outcome.TEMPORARY), excused=True))
    assert (verdict.status, verdict.job["attempts"], verdict.job["next_phone_index"]) == (
        JobStatus.PENDING,
        0,
        0,
    )
    assert verdict.job["excused_faults"] == 1
    assert "excused_faults" not in verdict_on(no_call(Outcome.TEMPORARY)).job


def test_a_request_that_retell_cannot_take_ends_its_job_with_the_reason() -> None:
    verdict = verdict_on(no_call(Outcome.REJECTED))
    assert (verdict.status, verdict.cause) == (JobStatus.FAILED, "rejected")
    assert (verdict.job["last_error"], verdict.job["last_outcome"]) == ("refused", "rejected")
    assert verdict.job["attempts"] == 0
    assert (verdict.charge.credit, verdict.charge.calls) == (0, 0)


TEST = Job.read(
    {
        "_id": 1,
        "job_id": "test-1",
        "batch_id": TESTS,
        "test": {"batch_id": "batch-1", "job_id": "job-7", "by": "maria", "until": NOW},
        "contact": {"phones": [A]},
        "attempts": 0,
    }
)


def verdict_on_test(end: DialEnd) -> Verdict:
    dial = replace(DIAL, body='{"retell_llm_dynamic_variables": {"nombre": "Ana"}}')
    return decide(TEST, dial, end, billing=BillingView(batch=None, account=ACCOUNT), inputs=INPUTS, now=NOW)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_test_call_is_one_call_whatever_its_end(outcome: Outcome) -> None:
    verdict = verdict_on_test(replace(answered(), outcome=outcome, connected=False))
    assert verdict.status in {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED}


def test_a_test_call_is_charged_as_the_plan_says_and_stands_in_no_campaign() -> None:
    collected = {"fecha_pago_cliente": "2026-04-01", "monto_pago_cliente": "5000"}
    verdict = verdict_on_test(answered(collected_dynamic_variables=collected))
    assert verdict.status is JobStatus.DONE
    assert (verdict.charge.credit, verdict.charge.calls) == (1 + 1.5 * 2, 1)
    assert verdict.job.keys().isdisjoint(collected)
    assert verdict.result is not None
    assert verdict.result["batch_id"] == TESTS
    assert verdict.result["test"]["batch_id"] == "batch-1"
    assert verdict.result["test"]["variables"] == {"nombre": "Ana"}


@pytest.mark.parametrize(
    "call",
    [
        {
            "call_status": "ended",
            "disconnection_reason": "user_hangup",
            "transcript": "bla",
            "extra": {"a": 1},
        },
        {"call_status": "not_connected", "disconnection_reason": "dial_no_answer"},
        {"call_status": "ended", "collected_dynamic_variables": {"monto_pago_cliente": "100"}},
    ],
)
def test_a_decision_is_read_from_its_result_as_it_was_made(call: dict[str, Any]) -> None:
    answer = Call.read({"call_id": "call-1", "duration_ms": 61_000, **call})
    end = DialEnd(outcome=Outcome.NO_ANSWER, call=answer, connected=False)
    billing = BillingView(batch=None, account=ACCOUNT)
    decided = decide(JOB, DIAL, end, billing=billing, inputs=INPUTS, now=NOW)
    options: Any = bson.CodecOptions(tz_aware=True)
    stored = bson.decode(bson.encode(result_with_decision(decided)), codec_options=options)
    assert read_decision(stored) == decided


def test_the_answer_of_retell_is_stored_once_in_a_result() -> None:
    answer = Call.read({"call_id": "call-1", "call_status": "ended", "transcript": "one of a kind"})
    end = DialEnd(outcome=Outcome.ANSWERED, call=answer, connected=True)
    billing = BillingView(batch=None, account=ACCOUNT)
    decided = decide(JOB, DIAL, end, billing=billing, inputs=INPUTS, now=NOW)
    assert bson.encode(result_with_decision(decided)).count(b"one of a kind") == 1


@pytest.mark.parametrize("stored", [{}, {"decision": None}, {"decision": "done"}, {"decision": {"job": {}}}])
def test_a_result_without_a_readable_decision_has_none(stored: dict[str, Any]) -> None:
    assert read_decision(stored) is None
