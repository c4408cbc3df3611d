"""Another program deletes a job at any step of its call: what was placed is recorded and charged once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from speechaid.clock import SystemClock
from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.errors import LeaseLost
from speechaid.maintenance.housekeeping import LEAK_SECONDS, Housekeeper
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage
from tests.support.stories import Steps, instrumented, uncounted

BATCH = "batch-20260101-00000001"
#: More steps than the story has.
STEPS = 22


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    common_stage.add_account(
        plan_type="credit_based", credit_balance=100, cost_per_call_setup=1, cost_per_minute=2
    )
    return common_stage


def add_job(stage: Stage) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    stage.add_job(number, batch_id=BATCH, account_id="acc-1")


def delete_job(stage: Stage) -> None:
    """As another program does: by the name of the job."""
    stage.database.jobs.delete_many({"job_id": "job-1"})


def one(stage: Stage, collection: str) -> Document:
    document = stage.database[collection].find_one({})
    assert document is not None
    return document


def assert_recorded_once(stage: Stage) -> None:
    """Each call placed has one result and one charge; nothing else is left."""
    calls, results = stage.placed_calls(), stage.results()
    assert [result["call_id"] for result in results] == [call["call_id"] for call in calls]
    assert len(calls) <= 1
    account, batch = one(stage, "accounts"), stage.batch()
    assert account.get("open_dials", []) == batch["open_dials"] == []
    assert account.get("calls_today", 0) == len(calls)
    assert account.get("credit_used", 0) == pytest.approx(sum(row["charged"]["credit"] for row in results))
    assert account.get("credit_reserved", 0) == pytest.approx(0)
    minutes = sum(row["duration_ms"] / 60_000 for row in results)
    assert batch["total_minutes"] == pytest.approx(minutes, abs=1e-5)
    for result in results:
        assert result["job_id"] == "job-1"
        assert result["contact"]["phone_used"] == calls[0]["to_number"]
        assert result["outcome"] == "answered"


def run(stage: Stage, context: WorkerContext) -> None:
    with contextlib.suppress(LeaseLost):
        stage.dial_next(context)


def finish(stage: Stage) -> None:
    """Other workers and housekeeping go on, as if hours passed."""
    survivor = stage.context("worker-2@host-b:2")
    for _ in range(8):
        stage.database.jobs.update_many(
            {"status": "in_progress"}, {"$set": {"reserved_until": stage.store.now() - timedelta(seconds=1)}}
        )
        # Past the horizon, where an empty call list proves something.
        stage.database.jobs.update_many(
            {"deleted_in_call": True, "dial.call_id": None},
            {"$set": {"dial.intent_at": stage.store.now() - timedelta(hours=3)}},
        )
        stage.recover_one(survivor)
        for name in ("accounts", "batches"):
            long_ago = stage.store.now() - timedelta(seconds=2 * LEAK_SECONDS)
            stage.database[name].update_many(
                {"open_dials.0": {"$exists": True}}, {"$set": {"open_dials.$[].at": long_ago}}
            )
        Housekeeper(stage.store).tick(stage.settings, SystemClock().boottime())


def at_step(wanted: int, act: Callable[[], None]) -> Steps:
    def hook(number: int, _name: str, done: bool) -> None:
        if number == wanted and not done:
            with uncounted():
                act()

    return Steps(hook)


@pytest.mark.parametrize("step", range(STEPS))
def test_a_call_is_settled_once_whenever_its_job_is_deleted(stage: Stage, step: int) -> None:
    add_job(stage)
    with instrumented(at_step(step, lambda: delete_job(stage))):
        run(stage, stage.context())
    finish(stage)
    assert_recorded_once(stage)


@pytest.mark.parametrize("later", [1, 3])
@pytest.mark.parametrize("step", range(4, 16))
def test_a_call_is_settled_once_if_the_worker_dies_after_its_job_was_deleted(
    stage: Stage, step: int, later: int
) -> None:
    add_job(stage)
    steps = at_step(step, lambda: delete_job(stage))
    first = steps._hook

    def hook(number: int, name: str, done: bool) -> None:
        first(number, name, done)
        if number == step + later and not done:
            raise Died

    steps._hook = hook
    with instrumented(steps), contextlib.suppress(Died):
        run(stage, stage.context())
    finish(stage)
    assert_recorded_once(stage)


def test_a_job_deleted_during_its_call_is_told_from_one_that_was_taken_over(stage: Stage) -> None:
    add_job(stage)

    def delete() -> None:
        stage.on_wait = lambda: None
        delete_job(stage)

    stage.on_wait = delete
    context = stage.context()
    stage.dial_next(context)
    assert context.link.counts["event job.deleted"] == 1  # type: ignore[attr-defined]
    assert context.link.counts["speechaid_jobs_deleted_total"] == 1  # type: ignore[attr-defined]
    assert_recorded_once(stage)
    assert stage.database.jobs.count_documents({}) == 0


def test_a_job_taken_over_during_its_call_is_left_to_the_other_worker(stage: Stage) -> None:
    add_job(stage)

    def take_over() -> None:
        stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"claim_token": "of another"}})

    stage.on_wait = take_over
    with pytest.raises(LeaseLost):
        stage.dial_next(stage.context())
    assert stage.results() == []
    assert stage.job()["dial"]["call_id"]


def test_while_a_deleted_job_is_in_its_call_its_number_stays_taken(stage: Stage) -> None:
    add_job(stage)
    number = stage.job()["contact"]["phones"][0]

    def delete_and_import_again() -> None:
        stage.on_wait = look_again
        delete_job(stage)
        stage.add_job(number, job_id="job-2")

    def look_again() -> None:
        dialled.append(stage.dial_next(other))

    dialled: list[bool] = []
    other = stage.context("worker-2@host-b:2")
    stage.on_wait = delete_and_import_again
    stage.dial_next(stage.context())
    assert dialled
    assert [call["to_number"] for call in stage.placed_calls()] == [number]
    assert stage.job("job-2")["status"] == "pending"
    assert_recorded_once(stage)


def test_a_number_that_is_dialled_for_another_job_by_then_keeps_no_call_from_being_settled(
    stage: Stage,
) -> None:
    add_job(stage)
    number = stage.job()["contact"]["phones"][0]

    def delete_and_dial_again() -> None:
        stage.on_wait = lambda: None
        delete_job(stage)
        dial = {"key": "k", "number": number, "intent_at": stage.store.now(), "body": "{}"}
        ahead = stage.store.now() + timedelta(hours=1)
        stage.add_job(
            number, job_id="job-2", status="in_progress", claim_token="t", reserved_until=ahead, dial=dial
        )

    stage.on_wait = delete_and_dial_again
    stage.dial_next(stage.context())
    assert_recorded_once(stage)


def test_a_deleted_job_is_handed_over_like_any_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    add_job(stage)
    context = stage.context()

    def leave() -> None:
        delete_job(stage)
        context.link.hand_over_requested = True

    stage.on_wait = leave
    with pytest.raises(HandOver):
        stage.dial_next(context)
    stage.on_wait = lambda: None
    assert stage.recover_one(stage.context("worker-2@host-b:2"))
    assert_recorded_once(stage)


def test_a_create_without_an_answer_is_never_sent_again_for_a_deleted_job(stage: Stage) -> None:
    add_job(stage)
    stage.simulator.fault("status", status=500, endpoints=["create"])
    steps = Steps(lambda _n, name, done: delete_job(stage) if name.startswith("POST") and done else None)
    with instrumented(steps):
        run(stage, stage.context())
    stage.simulator.clear_faults()
    assert stage.recover_one(stage.context("worker-2@host-b:2"))
    assert stage.placed_calls() == []


def test_if_the_worker_died_unnoticed_the_call_is_found_by_its_reservation_entries(stage: Stage) -> None:
    add_job(stage)

    def delete_and_die() -> None:
        delete_job(stage)
        raise Died

    stage.on_wait = delete_and_die
    with pytest.raises(Died):
        stage.dial_next(stage.context())
    stage.on_wait = lambda: None
    assert stage.database.jobs.count_documents({}) == 0
    finish(stage)
    assert len(stage.placed_calls()) == 1
    assert_recorded_once(stage)
