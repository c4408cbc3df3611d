"""What is left of a job, of a result and of a line when a person's data are erased."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.campaign import erasure
from speechaid.campaign.amounts import promised_sum
from speechaid.campaign.importer import job_documents
from speechaid.campaign.rows import Row
from speechaid.dialer import verdict
from speechaid.dialer.verdict import BillingView, DecisionInputs, DialEnd
from speechaid.model.call import Call
from speechaid.model.erasure import Erasure, What, of_person
from speechaid.model.job import Dial, Job
from speechaid.model.states import Outcome
from speechaid.rules.retries import RetryPolicy

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
ERASURE = Erasure(at=AT, by="retention", what=What.PERSON)
NUMBER = "+56955550071"
#: Fields of a job that a claim has, and no ended job.
OF_A_CLAIM = {"worker_id", "claim_token", "dial", "request", "foreign"}
#: Fields of a job or a result that hold whose it is, or may quote it: nothing of them stays.
OF_THE_PERSON = {
    *("to_number", "nombre", "rut", "name_key", "contact_key", "dead_phones"),
    *("contact", "call_data", "cut_fields", "unreadable", "analysis_wait"),
}


def imported() -> dict[str, Any]:
    """A job as an import writes it."""
    row = Row(
        line=2,
        name="Rosa Quilapan",
        dni="12.345.678-5",
        phones=(NUMBER,),
        lines=("56955550071",),
        company_name="Acme",
        debt_amount=1000,
        currency="CLP",
        due_date="2026-12-31",
        reference_number="ZX-4711",
        additional_info={"contrato": "ZX-4711"},
    )
    (document,) = job_documents(
        [row], batch_id="b", account_id="a", import_id="i", now=AT, new_id=lambda: "job-1"
    )
    return {"_id": 1, **document}


def decided() -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a job, and the result, as a settlement writes them."""
    job = Job.read({**imported(), "claim_token": "t", "status": "in_progress"})
    dial = Dial(
        key="k", number=NUMBER, phone_index=0, attempt=0, intent_at=AT, body="{}", api_key_fingerprint="f"
    )
    call = Call.read(
        {
            "call_id": "call_1",
            "call_status": "ended",
            "disconnection_reason": "user_hangup",
            "duration_ms": 1000,
            "transcript": "Rosa",
            "collected_dynamic_variables": {"fecha_pago_cliente": "4/12/2026", "monto_pago_cliente": "900"},
        }
    )
    policy = RetryPolicy(
        max_attempts=3,
        retry_delay_seconds=1.0,
        no_answer_delay_seconds=1.0,
        temporary_min_seconds=1.0,
        temporary_max_seconds=1.0,
        voicemail_is_success=False,
    )
    inputs = DecisionInputs(
        retry_policy=policy,
        default_timezone="UTC",
        default_country="CL",
        analysis_after_seconds=15.0,
        worker_id="w",
        jitter=0.0,
    )
    found = verdict.decide(
        job,
        dial,
        DialEnd(outcome=Outcome.ANSWERED, call=call, connected=True),
        billing=BillingView(batch=None, account=None),
        inputs=inputs,
        now=AT,
    )
    assert found.result is not None
    return dict(found.job), dict(found.result)


def test_each_field_that_speechaid_writes_stays_changes_or_goes() -> None:
    fields, result = decided()
    of_job = (imported() | fields).keys() - {verdict.NEXT_PHONE_INDEX}
    known = erasure.KEPT_OF_JOB | erasure.CHANGED_OF_JOB | OF_THE_PERSON | OF_A_CLAIM
    assert of_job - known == set()
    assert result.keys() - erasure.KEPT_OF_RESULT - {erasure.PROMISED} - OF_THE_PERSON == set()
    assert not erasure.KEPT_OF_JOB & OF_THE_PERSON
    assert not erasure.KEPT_OF_RESULT & OF_THE_PERSON


def test_an_erased_result_keeps_what_was_promised_as_numbers_and_days() -> None:
    _, result = decided()
    assert result["promised"] == {"day": "4/12/2026", "amount": "900", "currency": "CLP"}
    result["promised"]["amount"] = "Rosa pays 900"
    kept = erasure.result_without_person(result, ERASURE)
    assert kept["promised"] == {"day": "2026-12-04", "amount": erasure.UNREADABLE_PROMISE, "currency": "CLP"}


def test_an_erased_job_keeps_what_reports_count_and_names_nobody() -> None:
    document = imported() | decided()[0] | {"crm": {"name": "Rosa"}, "contact": {"name": "Rosa"}}
    left = erasure.job_without_person(document, ERASURE)
    assert "Rosa" not in repr(left)
    assert "4711" not in repr(left)
    assert "5555" not in repr(left)
    assert left["payload"] == {"debt_amount": 1000, "currency": "CLP"}
    assert left["contact"] == {"phones": [], "next_phone_index": 0}
    assert left["call_result"]["success"] is True
    assert left["call_result"]["summary"]["duration_ms"] == 1000
    assert left["fecha_pago_cliente"] == "2026-12-04"
    assert left["deduplication_key"] == "erased:1"
    assert of_person(left) == ERASURE


def test_erasing_twice_changes_nothing() -> None:
    once = erasure.job_without_person(imported() | decided()[0], ERASURE)
    assert erasure.job_without_person(once, ERASURE) == once
    result = erasure.result_without_person(decided()[1], ERASURE)
    assert erasure.result_without_person(result, ERASURE) == result


@pytest.mark.parametrize(
    ("told", "currency", "left"),
    [
        ("900", "CLP", 900),
        ("$ 1.500,50", "CLP", 1500.5),
        ("900 USD", "CLP", "USD 900"),
        ("$ 900", "EUR", "$ 900"),
        ("whatever Rosa can", "CLP", erasure.UNREADABLE_PROMISE),
        (900, None, 900),
    ],
)
def test_a_promised_sum_counts_in_reports_as_before(told: object, currency: str | None, left: object) -> None:
    document = {"_id": 1, "payload": {"currency": currency}, "monto_pago_cliente": told}
    found = erasure.job_without_person(document, ERASURE)["monto_pago_cliente"]
    assert found == left
    assert promised_sum(found, currency) == promised_sum(told, currency)


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("batch_cancelled", "batch_cancelled"),
        ("forgotten", "forgotten"),
        ("exhausted", "exhausted"),
        ("Rosa paid", None),
        ("rosa", None),
        ("no such number +56955550071", None),
    ],
)
def test_reasons_stay_where_they_are_codes(reason: str, left: str | None) -> None:
    found = erasure.job_without_person({"_id": 1, "cancel_reason": reason, "last_error": reason}, ERASURE)
    assert found.get("cancel_reason") == left
    assert found.get("last_error") == left


@pytest.mark.parametrize(
    ("amount", "left"),
    [(1000, 1000), ("1000.50", "1000.50"), ("56955550071", None), ("what Rosa owes", None), (None, None)],
)
def test_a_debt_stays_where_it_is_an_amount(amount: object, left: object) -> None:
    document = {"_id": 1, "payload": {"debt_amount": amount, "name": "Rosa"}}
    assert erasure.job_without_person(document, ERASURE)["payload"].get("debt_amount") == left


def test_what_was_paid_stays_without_the_note_about_it() -> None:
    paid = {"amount": 900, "currency": "CLP", "at": AT, "by": "ana", "note": "Rosa paid in cash"}
    found = erasure.job_without_person({"_id": 1, "paid": paid}, ERASURE)["paid"]
    assert found == {"amount": 900, "currency": "CLP", "at": AT, "by": "ana"}


def test_a_test_call_stays_one_without_the_variables_of_its_row() -> None:
    mark = {"batch_id": "b", "job_id": "row", "by": "ana", "until": AT}
    job = erasure.job_without_person({"_id": 1, "test": mark}, ERASURE)
    result = erasure.result_without_person({"_id": 1, "test": {**mark, "variables": {"n": "Rosa"}}}, ERASURE)
    assert job["test"] == result["test"] == mark


def test_a_line_of_another_program_keeps_its_times_alone() -> None:
    line = {"_id": 1, "job_id": "job-1", "message": "Rosa", "phone": 56955550071, "created_at": AT}
    assert erasure.line_without_person(line) == {"_id": 1, "job_id": "job-1", "created_at": AT}


def test_what_is_gone_says_so() -> None:
    assert ERASURE.sentence == "not stored any more (erased 2026-11-30 by retention)"
    assert Erasure.read({"erased": ERASURE.document()}) == ERASURE
    assert Erasure.read({"erased": {"at": AT, "what": "unknown"}}) is None
    assert of_person({"erased": {**ERASURE.document(), "what": "calls"}}) is None
