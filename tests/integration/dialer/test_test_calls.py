"""A test call: placed as a row of its batch would be, counted for no campaign, and once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from speechaid.commands.test_calls import document_of_test
from speechaid.dialer.claim import JobClaimer
from speechaid.model.states import SuspendReason
from speechaid.model.test_calls import TESTS, BatchTest
from speechaid.retell.variables import own_variables
from speechaid.store.jobs import read_job
from speechaid.store.preflight import PreflightDocuments, PreflightQueries
from speechaid.store.queue_stats import QueueStats
from tests.support.common_stage import phone
from tests.support.reports import report_of
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH, account_id="acc-1")
    common_stage.add_account(plan_type="unlimited")
    return common_stage


def answering(stage: Stage) -> str:
    """A number whose owner answers, and hangs up after a talk."""
    number = phone()
    stage.simulator.script({number: ["user_hangup"] * 3})
    return number


def placed_call(stage: Stage) -> Document:
    (call,) = stage.placed_calls()
    return call


def test_it_is_called_as_a_row_of_its_batch_whatever_pause_and_window_say(stage: Stage) -> None:
    begins = stage.store.now() + timedelta(hours=2)
    hours = {"start": f"{begins:%H:%M}", "end": f"{begins + timedelta(hours=1):%H:%M}"}
    stage.store.batches.write_settings(
        stage.store.batches.get(BATCH),
        {"call_settings.allowed_hours": hours, "call_settings.timezone": "Etc/UTC"},
        by="maria",
    )
    stage.store.batches.pause(BATCH, by="maria", reason=None)
    stage.store.holds.hold_batches("token", by="maria", reason=None)
    number = answering(stage)
    stage.add_test(number, BATCH, account_id="acc-1")
    assert stage.run_until_finished(stage.context())["status"] == "done"
    call = placed_call(stage)
    assert call["to_number"] == number
    assert (call["metadata"]["batch_id"], call["metadata"]["test"]) == (BATCH, "true")
    (result,) = stage.results()
    assert (result["batch_id"], result["test"]["batch_id"]) == (TESTS, BATCH)
    assert result["test"]["variables"]["monto_total"] == "1000"


@pytest.mark.parametrize(
    ("plan", "charged"),
    [
        ({"plan_type": "credit_based", "credit_balance": 100, "cost_per_call_setup": 1}, "credit"),
        ({"plan_type": "minutes_based", "minutes_purchased": 100}, "minutes"),
    ],
    ids=["credit", "minutes"],
)
def test_the_account_pays_and_the_batch_counts_nothing(
    stage: Stage, plan: dict[str, Any], charged: str
) -> None:
    stage.add_account("acc-2", cost_per_minute=2, **plan)
    stage.add_test(answering(stage), BATCH, account_id="acc-2")
    before = stage.store.batches.get(BATCH).document
    stage.run_until_finished(stage.context())
    (result,) = stage.results()
    account = stage.store.accounts.find("acc-2")
    assert account is not None
    used = account.document["credit_used"] if charged == "credit" else account.document["minutes_used"]
    assert used == pytest.approx(result["charged"][charged])
    assert used > 0
    assert account.document["calls_today"] == 1
    assert account.document["open_dials"] == []
    assert stage.store.batches.get(BATCH).document == before


def test_no_count_no_report_and_no_metric_of_campaigns_has_it(stage: Stage) -> None:
    stage.add_test(phone(), BATCH, account_id="acc-1")
    context = stage.context()
    stage.run_until_finished(context)
    assert stage.store.jobs.counts_by_batch() == {}
    assert stage.store.jobs.counts() == {}
    for batch_id in (None, BATCH):
        report = report_of(stage.store, batch_id)
        assert (report["calls"]["total"], report["jobs"]["total"], report["promises"]["jobs"]) == (0, 0, 0)
        tables = ("days", "hours", "attempts", "agents", "batches")
        assert not any(report[table] for table in tables)
        assert report["analyses"] == {"calls": 0, "successful": 0, "waiting": 0, "by_sentiment": {}}
    diagnostics = stage.store.diagnostics
    assert diagnostics.recent_calls(9) == []
    assert diagnostics.recent_outcomes(3600) == {}
    assert diagnostics.tried_again() == {}
    assert not list(stage.store.imports.jobs_without_keys("acc-1"))
    link: Any = context.link
    counted = {name for name in link.counts if name.startswith("speechaid_calls")}
    assert counted == set()
    assert link.counts["speechaid_test_calls_total"] == 1


def test_waiting_tests_are_left_out_of_the_queue_s_counts_and_of_what_befalls_whole_accounts(
    stage: Stage,
) -> None:
    stage.add_test(phone(), BATCH, account_id="acc-1")
    assert stage.store.queue.suspend_waiting("acc-1", SuspendReason.NO_CREDIT, 100) == 0
    assert QueueStats(stage.store.jobs.table, stage.store.now).due() == []
    assert stage.store.queue.next_with_pending("") is None
    reset = stage.store.operator_actions.resettable(["pending"], max_age_seconds=None, batch_id=None)
    assert stage.store.operator_actions.count(reset) == 0


def test_what_nobody_answers_is_not_tried_again(stage: Stage) -> None:
    number = phone()
    stage.simulator.script({number: ["dial_no_answer", "user_hangup"]})
    stage.add_test(number, BATCH, account_id="acc-1")
    job = stage.run_until_finished(stage.context())
    assert (job["status"], job["last_outcome"]) == ("failed", "no_answer")
    placed_call(stage)


def test_it_goes_before_jobs_that_wait_longer_and_are_urgent(stage: Stage) -> None:
    stage.add_batch("batch-20260101-00000002", priority=3)
    stage.add_job(phone(), job_id="job-2", batch_id="batch-20260101-00000002")
    stage.add_job(phone(), job_id="job-3")
    stage.add_test(phone(), BATCH, job_id="test-1", account_id="acc-1", reserved_until=stage.store.now())
    claimed = stage.claim(stage.context())
    assert claimed is not None
    assert claimed.job_id == "test-1"


def forbid(stage: Stage, what: str, number: str) -> None:
    match what:
        case "test_number_unregistered":
            assert stage.store.test_calls.remove_number(number)
        case "held":
            stage.store.holds.hold(by="maria", reason=None)
        case "batch_cancelled":
            stage.store.batches.cancel(BATCH, by="maria", reason=None)
        case "account_inactive":
            stage.database.accounts.update_one({"account_id": "acc-1"}, {"$set": {"status": "suspended"}})
        case "do_not_call_list":
            stage.store.do_not_call.add(number, source="maria")


@pytest.mark.parametrize(
    "what",
    ["test_number_unregistered", "held", "batch_cancelled", "account_inactive", "do_not_call_list"],
)
def test_what_comes_to_forbid_it_before_the_last_look_ends_it_without_a_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    number = phone()
    stage.add_test(number, BATCH, account_id="acc-1")
    read = PreflightQueries.read_to_dial

    def meanwhile(queries: PreflightQueries, *args: Any, **fields: Any) -> PreflightDocuments | None:
        forbid(stage, what, number)
        return read(queries, *args, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(PreflightQueries, "read_to_dial", meanwhile)
        stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    stage.run_until_finished(stage.context("worker-2@host-b:2"))
    assert stage.placed_calls() == []
    # Under a hold nothing is claimed: then it is over when its time is.
    assert stage.job()["status"] == ("pending" if what == "held" else "cancelled")


def test_what_no_worker_places_in_time_is_over(stage: Stage) -> None:
    stage.add_test(phone(), BATCH, job_id="test-1", wait_seconds=-60)
    stage.add_test(phone(), BATCH, job_id="test-2", wait_seconds=60)
    assert stage.store.test_calls.end_expired() == 1
    job = stage.job("test-1")
    assert (job["status"], job["cancel_reason"]) == ("cancelled", "test_expired")
    assert stage.job("test-2")["status"] == "pending"


def test_a_worker_that_claims_a_test_after_its_time_places_no_call(stage: Stage) -> None:
    stage.add_test(phone(), BATCH, account_id="acc-1", wait_seconds=-1)
    stage.store.holds.note_tests(stage.store.now() + timedelta(minutes=5))
    assert stage.dial_next(stage.context())
    assert (stage.job()["status"], stage.job()["cancel_reason"]) == ("cancelled", "test_expired")
    assert stage.placed_calls() == []


def test_a_number_that_is_registered_for_another_account_gets_no_test(stage: Stage) -> None:
    number = phone()
    stage.add_test(number, BATCH, account_id="acc-1")
    stage.store.test_calls.add_number(number, account_id="acc-2", note=None, by="maria")
    stage.dial_next(stage.context())
    assert stage.job()["cancel_reason"] == "test_number_unregistered"
    assert stage.placed_calls() == []


def test_a_number_that_is_in_a_live_call_is_waited_for(stage: Stage) -> None:
    number = answering(stage)
    stage.add_job(number, job_id="job-2")
    other = stage.context()
    context = stage.context("worker-2@host-b:2")
    stage.add_test(number, BATCH, job_id="test-1", account_id="acc-1", status="suspended")

    def meanwhile() -> None:
        stage.on_wait = lambda: None
        stage.database.jobs.update_one({"job_id": "test-1"}, {"$set": {"status": "pending"}})
        assert stage.dial_next(context)
        assert stage.job("test-1")["status"] == "pending"

    stage.on_wait = meanwhile
    assert stage.dial_next(other)
    assert stage.run_until_finished(context, "test-1")["status"] == "done"
    assert len(stage.placed_calls()) == 2
    assert stage.simulator.overlaps() == []


def test_somebody_who_looks_on_sees_since_when_it_is_connected(stage: Stage) -> None:
    seen: list[Any] = []
    stage.on_wait = lambda: seen.append(stage.job().get("dial", {}).get("connected_at"))
    stage.add_test(answering(stage), BATCH, account_id="acc-1")
    stage.run_until_finished(stage.context())
    assert seen[0] is None
    assert seen[-1] is not None


def test_a_job_deleted_during_its_test_call_is_settled_as_a_test(stage: Stage) -> None:
    stage.add_test(phone(), BATCH, account_id="acc-1")

    def delete() -> None:
        stage.database.jobs.delete_many({"job_id": "job-1", "deleted_in_call": None})

    stage.on_wait = delete
    stage.dial_next(stage.context())
    (result,) = stage.results()
    assert (result["batch_id"], result["test"]["batch_id"]) == (TESTS, BATCH)
    assert stage.database.jobs.count_documents({}) == 0


def test_the_agent_gets_what_it_gets_for_the_row(stage: Stage) -> None:
    own, number = answering(stage), answering(stage)
    payload = {
        "debt_amount": 7500,
        "name": "of the payload",
        "additional_info": {"fecha_maxima": "2026-12-31"},
    }
    contact = {"name": "Ana", "dni": "1-9", "ciudad": "Arica", "phones": [own], "next_phone_index": 0}
    fields: Document = {"batch_id": BATCH, "account_id": "acc-1", "payload": payload, "contact": contact}
    stage.add_job(own, job_id="row-7", **fields)
    row = read_job(stage.job("row-7"))
    now = stage.store.now()
    mark = BatchTest(batch_id=BATCH, job_id="row-7", by="maria", until=now + timedelta(minutes=5))
    test = document_of_test(row, mark, number=number, account_id="acc-1", now=now)
    stage.store.test_calls.add_number(number, account_id=None, note=None, by="maria")
    registered = stage.store.test_calls.find_number(number)
    assert registered is not None
    assert stage.store.test_calls.create(registered, test, mark.until)
    context = stage.context()
    assert stage.dial_next(context)
    assert stage.dial_next(context)
    of_test, of_row = (
        call["retell_llm_dynamic_variables"]
        for _, call in sorted(
            (one["call_data"]["to_number"] == own, one["call_data"]) for one in stage.results()
        )
    )
    times = {name for name in of_row if name.startswith("current_time")}
    assert {name: value for name, value in of_test.items() if name not in times} == {
        name: value for name, value in of_row.items() if name not in times
    }
    assert (of_test["nombre"], of_test["RUT"], of_test["ciudad"]) == ("Ana", "1-9", "Arica")


def test_an_older_form_of_the_row_s_contact_gives_the_same_variables(stage: Stage) -> None:
    row = read_job({"_id": 1, "nombre": "Luis", "rut": "2-7", "to_number": "+56912345678", "payload": None})
    now = stage.store.now()
    mark = BatchTest(batch_id=BATCH, job_id="row-7", by="maria", until=now)
    test = document_of_test(row, mark, number="+56955550099", account_id=None, now=now)
    assert own_variables(read_job({"_id": 2, **test})) == own_variables(row)


def test_it_is_placed_with_the_agent_and_number_of_its_batch(stage: Stage) -> None:
    settings = {"agent_id": "agent_march", "agent_version": 4, "from_number": "+56225550000"}
    stage.database.batches.update_one({"batch_id": BATCH}, {"$set": {"call_settings": settings}})
    stage.add_test(answering(stage), BATCH, account_id="acc-1")
    stage.run_until_finished(stage.context())
    assert placed_call(stage)["from_number"] == "+56225550000"
    (result,) = stage.results()
    assert (result["agent_id"], result["from_number"]) == ("agent_march", "+56225550000")


def test_a_worker_that_looks_for_nothing_finds_no_test(stage: Stage) -> None:
    """Where no test was asked for lately, no query looks for one."""
    stage.add_test(phone(), BATCH, account_id="acc-1")
    stage.database.speechaid_holds.delete_one({"_id": "tests"})
    assert JobClaimer(stage.context()).claim() is None
