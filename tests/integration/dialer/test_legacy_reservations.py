"""What SpeechAI reserved for a job is released to its account once, however the job ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.dialer import legacy_reservations
from tests.support.stage import Stage

BATCH = "batch-20260101-00000001"
A, B = "+12025550101", "+12025550102"
Ending = Callable[[Stage], Any]


def cancelled_by_command(stage: Stage) -> None:
    stage.store.requests.ask("job-1", "cancel", reason=None, by="maria")


def cancelled_while_suspended(stage: Stage) -> None:
    stage.store.requests.ask("job-1", "suspend", reason="wait", by="maria")
    assert not legacy_reservations.release_ended_reservations(stage.store, 10), "it may still be called"
    stage.store.requests.ask("job-1", "cancel", reason=None, by="maria")


def cancelled_with_its_batch(stage: Stage) -> None:
    assert stage.store.operator_actions.cancel_waiting(BATCH, 10, {"finished_at": datetime.now(UTC)}) == 1


def cancelled_while_claimed(stage: Stage) -> None:
    job = stage.claim(stage.context())
    assert job is not None
    stage.store.requests.ask("job-1", "cancel", reason=None, by="maria")


def cancelled_by_a_request_applied_at_requeue(stage: Stage) -> None:
    job = stage.claim(stage.context())
    assert job is not None
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"request": {"action": "cancel"}}})
    stage.store.jobs.requeue(job)


def failed_because_its_workers_crashed(stage: Stage) -> None:
    stage.claim(stage.context("worker-9@host-a:9"))
    assert stage.store.jobs.worker_crashed("worker-9@host-a:9", 1)[0][1] == "failed"


def failed_without_a_phone(stage: Stage) -> None:
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"contact.phones": ["none"]}})
    stage.dial_next(stage.context())


def called_and_answered(stage: Stage) -> None:
    stage.simulator.script({A: ["user_hangup"]})
    stage.dial_next(stage.context())


def called_without_answer(stage: Stage) -> None:
    stage.simulator.script({A: ["dial_no_answer"]})
    stage.run_until_finished(stage.context())


ENDS: dict[str, Ending] = {
    "cancelled": cancelled_by_command,
    "suspended, then cancelled": cancelled_while_suspended,
    "cancelled with its batch": cancelled_with_its_batch,
    "cancelled while claimed": cancelled_while_claimed,
    "cancelled by a request": cancelled_by_a_request_applied_at_requeue,
    "failed, crashed worker": failed_because_its_workers_crashed,
    "failed, no phone": failed_without_a_phone,
    "done": called_and_answered,
    "failed": called_without_answer,
}


@pytest.fixture
def reserved(stage: Stage) -> Stage:
    """A job for which SpeechAI reserved 5 of the account's 8; the other 3 are another job's."""
    stage.add_batch()
    stage.add_account(plan_type="credit_based", credit_balance=100, credit_reserved=8, cost_per_call_setup=1)
    stage.add_job(A, batch_id=BATCH, account_id="acc-1", reserved_amount="5")
    return stage


def account(stage: Stage) -> dict[str, Any]:
    document = stage.database.accounts.find_one({"account_id": "acc-1"})
    assert document is not None
    return document


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_at_every_end_of_a_job_its_reservation_is_released_once(reserved: Stage, end: Ending) -> None:
    end(reserved)
    job = reserved.job()
    assert job["status"] in {"done", "failed", "cancelled"}
    assert "reserved_amount" not in job
    for _ in range(3):
        legacy_reservations.release_ended_reservations(reserved.store, 10)
    assert account(reserved)["credit_reserved"] == pytest.approx(3)
    assert account(reserved).get("given_back", []) == []
    assert "reserved_to_give_back" not in reserved.job()


def test_a_job_that_is_suspended_then_reset_keeps_its_reservation(reserved: Stage) -> None:
    reserved.store.requests.ask("job-1", "suspend", reason="wait", by="maria")
    reserved.store.requests.ask("job-1", "reset", reason=None, by="maria")
    assert reserved.job()["status"] == "pending"
    assert reserved.job()["reserved_amount"] == "5"
    assert legacy_reservations.release_ended_reservations(reserved.store, 10) == 0
    assert account(reserved)["credit_reserved"] == 8


def test_a_crash_between_account_and_job_releases_nothing_twice(reserved: Stage) -> None:
    cancelled_by_command(reserved)
    owner = reserved.store.accounts.find("acc-1")
    assert owner is not None
    assert reserved.store.accounts.release_legacy_reservation(owner, "job-1", minutes=0, credit=5)
    assert legacy_reservations.release_ended_reservations(reserved.store, 10) == 1
    assert account(reserved)["credit_reserved"] == pytest.approx(3)


def test_a_worker_that_stalls_while_another_releases_releases_nothing(reserved: Stage) -> None:
    cancelled_by_command(reserved)
    stale = reserved.store.accounts.find("acc-1")
    assert stale is not None
    assert legacy_reservations.release_ended_reservations(reserved.store, 10) == 1
    assert not reserved.store.accounts.release_legacy_reservation(stale, "job-1", minutes=0, credit=5)
    assert account(reserved)["credit_reserved"] == pytest.approx(3)


def test_a_job_cancelled_and_reset_at_once_is_charged_without_the_old_reservation(reserved: Stage) -> None:
    cancelled_by_command(reserved)
    reserved.store.requests.ask("job-1", "reset", reason=None, by="maria")
    called_and_answered(reserved)
    assert legacy_reservations.release_ended_reservations(reserved.store, 10) == 1
    assert account(reserved)["credit_reserved"] == pytest.approx(3)


def test_a_job_that_ended_under_speechai_is_not_touched(reserved: Stage) -> None:
    reserved.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"status": "cancelled"}})
    assert legacy_reservations.release_ended_reservations(reserved.store, 10) == 0
    assert reserved.job()["reserved_amount"] == "5"


def test_a_deleted_account_is_no_obstacle(reserved: Stage) -> None:
    cancelled_by_command(reserved)
    reserved.database.accounts.delete_many({})
    assert legacy_reservations.release_ended_reservations(reserved.store, 10) == 1
    assert "reserved_to_give_back" not in reserved.job()
