"""A job's life against the real wire database and the Retell simulator."""

from __future__ import annotations

import pytest

from tests.stage import Stage

A, B = "+12025550101", "+12025550102"


def test_an_answered_call_is_done_recorded_and_charged_once(stage: Stage) -> None:
    stage.add_batch(account_id="acc-1")
    stage.add_account(plan_type="credit_based", credit_balance=100, cost_per_call_setup=1, cost_per_minute=2)
    stage.add_job(A, batch_id="batch-20260101-00000001", account_id="acc-1")
    stage.simulator.script({A: ["user_hangup"]})

    stage.dial_next(stage.kit())

    job, (result,) = stage.job(), stage.results()
    assert job["status"] == "done"
    assert "dial" not in job
    assert "claim_token" not in job
    assert job["call_result"]["success"] is True
    assert result["call_id"] == job["call_id"] == stage.simulator.ledger()[0]["call_id"]
    account = stage.database.accounts.find_one({"account_id": "acc-1"})
    assert account is not None
    minutes = result["duration_ms"] / 60_000
    assert account["credit_used"] == pytest.approx(1 + 2 * minutes, abs=1e-6)
    assert account["credit_reserved"] == pytest.approx(0)
    assert account["open_dials"] == []
    assert account["calls_today"] == 1
    batch = stage.database.batches.find_one({})
    assert batch is not None
    assert batch["open_dials"] == []
    assert batch["total_minutes"] == pytest.approx(minutes, abs=1e-6)


def test_two_phones_and_nobody_home_make_six_calls_and_a_failed_job(stage: Stage) -> None:
    stage.add_job(A, B)
    stage.simulator.script({"*": ["dial_no_answer"]})

    job = stage.run_dry(stage.kit())

    assert (job["status"], job["attempts"]) == ("failed", 3)
    assert [call["to_number"] for call in stage.simulator.ledger()] == [A, B] * 3
    assert len(stage.results()) == 6
    assert stage.simulator.overlaps() == []


def test_a_phone_in_national_form_is_dialled_in_the_country_of_its_batch(stage: Stage) -> None:
    stage.add_account(plan_type="unlimited", country="US")
    batch = stage.add_batch(country="MX")
    stage.add_job("55 1234 5678", batch_id=batch, account_id="acc-1")
    assert stage.dial_next(stage.kit())
    assert [call["to_number"] for call in stage.ledger()] == ["+525512345678"]
