"""From claim to settlement, against a real database server and the Retell simulator."""

from __future__ import annotations

import pytest

from speechaid.dialer import circuit_breaker
from speechaid.dialer.preflight import read_preflight
from speechaid.model.levels import Level
from speechaid.model.states import NoNewCalls
from speechaid.rules import metering
from speechaid.store.table import Table
from tests.support.stage import Document, QuietLink, Stage

A, B = "+12025550101", "+12025550102"


def test_an_answered_call_is_done_recorded_and_charged_once(stage: Stage) -> None:
    stage.add_batch(account_id="acc-1")
    stage.add_account(plan_type="credit_based", credit_balance=100, cost_per_call_setup=1, cost_per_minute=2)
    stage.add_job(A, batch_id="batch-20260101-00000001", account_id="acc-1")
    stage.simulator.script({A: ["user_hangup"]})

    stage.dial_next(stage.context())

    job, (result,) = stage.job(), stage.results()
    assert job["status"] == "done"
    assert "dial" not in job
    assert "claim_token" not in job
    assert job["call_result"]["success"] is True
    assert result["call_id"] == job["call_id"] == stage.simulator.placed_calls()[0]["call_id"]
    account = stage.database.accounts.find_one({"account_id": "acc-1"})
    assert account is not None
    minutes = result["duration_ms"] / 60_000
    assert account["credit_used"] == pytest.approx(1 + 2 * minutes, abs=1e-6)
    assert account["credit_reserved"] == pytest.approx(0)
    assert account["open_dials"] == []
    assert account["calls_today"] == 1
    batch = stage.batch()
    assert batch["open_dials"] == []
    assert batch["total_minutes"] == pytest.approx(minutes, abs=1e-6)


def test_two_phones_without_an_answer_make_six_calls_and_a_failed_job(stage: Stage) -> None:
    stage.add_job(A, B)
    stage.simulator.script({"*": ["dial_no_answer"]})

    job = stage.run_until_finished(stage.context())

    assert (job["status"], job["attempts"]) == ("failed", 3)
    assert [call["to_number"] for call in stage.simulator.placed_calls()] == [A, B] * 3
    assert len(stage.results()) == 6
    assert stage.simulator.overlaps() == []


def test_a_phone_in_national_form_is_dialled_in_the_country_of_its_batch(stage: Stage) -> None:
    stage.add_account(plan_type="unlimited", country="US")
    batch = stage.add_batch(country="MX")
    stage.add_job("55 1234 5678", batch_id=batch, account_id="acc-1")
    assert stage.dial_next(stage.context())
    assert [call["to_number"] for call in stage.placed_calls()] == ["+525512345678"]


def test_a_preflight_is_one_round_trip(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.add_account(plan_type="unlimited", country="CL")
    batch = stage.add_batch(name="march")
    stage.add_job(A, B, batch_id=batch, account_id="acc-1")
    stage.store.do_not_call.add(B, source="operator")
    stage.store.holds.hold(by="operator", reason="fire drill")
    context = stage.context()
    job = stage.store.jobs.get("job-1")
    asked: list[str] = []
    for name in ("find", "find_one", "aggregate"):
        ask = getattr(Table, name)

        def counted(table: Table, *args: object, ask: object = ask, **options: object) -> object:
            asked.append(table.name)
            assert callable(ask)
            return ask(table, *args, **options)

        monkeypatch.setattr(Table, name, counted)

    preflight = read_preflight(context, job)

    assert asked == ["jobs"]
    assert preflight.account is not None
    assert preflight.batch is not None
    assert (preflight.account.country, preflight.batch.document["name"]) == ("CL", "march")
    assert preflight.listed == {B}
    assert [hold.reason for hold in preflight.holds] == ["fire drill"]


def test_a_listed_phone_in_national_form_is_recognised_by_the_country_of_its_account(stage: Stage) -> None:
    stage.add_account(plan_type="unlimited", country="MX")
    stage.add_job("55 1234 5678", account_id="acc-1")
    stage.store.do_not_call.add("+525512345678", source="operator")
    assert read_preflight(stage.context(), stage.store.jobs.get("job-1")).listed == {"+525512345678"}


def change_account_before_reservation(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, change: Document
) -> list[int]:
    """Change the account right before its first reservation is written; returns the count of tries."""
    reserve, tries = stage.store.accounts.__class__.reserve, [0]

    def reserved(*args: object, **options: object) -> bool:
        if not tries[0]:
            stage.database.accounts.update_one({"account_id": "acc-1"}, change)
        tries[0] += 1
        return bool(reserve(*args, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(stage.store.accounts.__class__, "reserve", reserved)
    return tries


OTHER_DIAL = {
    "$push": {"open_dials": {"key": "anothers", "minutes": 3.0, "credit": 0.0}},
    "$inc": {"minutes_reserved": 3.0, "ledger_revision": 1},
}


def test_with_a_large_balance_a_dial_goes_out_although_another_was_entered_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_account(plan_type="minutes_based", minutes_purchased=100)
    stage.add_job(A, account_id="acc-1")
    tries = change_account_before_reservation(monkeypatch, stage, OTHER_DIAL)
    assert stage.dial_next(stage.context())
    assert (len(stage.placed_calls()), tries) == (1, [1])


def test_no_dial_goes_out_if_another_one_took_the_last_minutes_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_account(plan_type="minutes_based", minutes_purchased=3)
    stage.add_job(A, account_id="acc-1")
    change_account_before_reservation(monkeypatch, stage, OTHER_DIAL)
    stage.dial_next(stage.context())
    account = stage.store.accounts.find("acc-1")
    assert account is not None
    assert stage.placed_calls() == []
    assert metering.minutes_left(account) == 0
    assert [entry.key for entry in account.reservations] == ["anothers"]


@pytest.mark.parametrize("order", ["hold", "pause", "pause by name"])
def test_an_order_that_arrives_after_the_last_preflight_stops_the_dial(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Only this host's line has it: the database still allows the call."""
    batch = stage.add_batch(name="March")
    stage.add_job(A, batch_id=batch)
    context = stage.context()
    link = context.link
    assert isinstance(link, QuietLink)
    original = circuit_breaker.admit_dial

    def admit_dial(*arguments: object) -> bool:
        if order == "hold":
            link.read_orders = lambda: NoNewCalls.HOST_HELD
        link.paused_batches = {"pause": {batch}, "pause by name": {"March"}}.get(order, set())
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(circuit_breaker, "admit_dial", admit_dial)
    stage.dial_next(context)
    assert stage.placed_calls() == []
    job = stage.job()
    assert (job["status"], job["attempts"]) == ("pending", 0)
    assert "dial" not in job


def test_a_batch_that_is_paused_on_this_host_is_not_claimed_from(stage: Stage) -> None:
    stage.add_job(A, batch_id=stage.add_batch())
    context = stage.context()
    assert isinstance(context.link, QuietLink)
    context.link.paused_batches = {"batch-20260101-00000001"}
    assert not stage.dial_next(context)
    assert "claim_token" not in stage.job()


@pytest.mark.parametrize("needs", [max(Level) + 1, "two", None, 1.5])
def test_a_database_that_requires_more_than_this_daemon_heeds_is_not_dialled_from(
    stage: Stage, needs: object
) -> None:
    stage.add_job(A, batch_id=stage.add_batch())
    stage.store.holds.table.insert({"_id": "level", "needs": needs, "why": "the calls of 2031"})
    stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    assert (stage.job()["status"], stage.job()["attempts"]) == ("pending", 0)


def test_a_level_that_comes_after_the_claim_withdraws_the_dial(stage: Stage) -> None:
    stage.add_job(A, batch_id=stage.add_batch())
    context = stage.context()
    assert isinstance(context.link, QuietLink)

    def require_more() -> None:
        assert "dial" in stage.job()
        fields = {"$set": {"needs": max(Level) + 1}}
        stage.store.holds.table.update({"_id": "level"}, fields, upsert=True)

    context.link.read_orders = require_more
    stage.dial_next(context)
    assert stage.placed_calls() == []
    assert (stage.job()["status"], "dial" in stage.job()) == ("pending", False)


@pytest.mark.parametrize("in_batch", [True, False])
def test_a_pause_of_all_batches_stops_the_jobs_of_batches_alone(stage: Stage, in_batch: bool) -> None:
    """Before the pause is written into each batch, on every host."""
    stage.add_job(A, batch_id=stage.add_batch() if in_batch else None)
    stage.store.holds.hold_batches("token", by="ana", reason=None)
    stage.dial_next(stage.context())
    assert len(stage.placed_calls()) == (0 if in_batch else 1)
    stage.store.holds.release_batches("another pause")
    assert stage.store.holds.read("key").batches_hold is not None
    stage.store.holds.release_batches("token")
    assert stage.store.holds.read("key").batches_hold is None
