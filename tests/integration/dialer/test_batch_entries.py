"""A batch without a limit of calls at a time has no entries of dials; one that gets a limit counts them."""

from __future__ import annotations

import pytest

from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.model.levels import Level
from speechaid.model.reading import Document
from tests.support.common_stage import phone
from tests.support.stage import Stage
from tests.support.stories import Steps, instrumented, uncounted

BATCH = "batch-20260101-00000001"
POST = "POST create-phone-call"


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    common_stage.add_account(plan_type="minutes_based", minutes_purchased=1000)
    return common_stage


def batch(stage: Stage) -> Document:
    found = stage.database.batches.find_one({})
    assert found is not None
    return found


def add_job(stage: Stage, name: str = "job-1", **fields: object) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    stage.add_job(number, job_id=name, **{"batch_id": BATCH, "account_id": "acc-1", **fields})


def limit(stage: Stage, calls: int) -> None:
    stage.database.batches.update_one({}, {"$set": {"call_settings.max_concurrent_calls": calls}})


def leave_in_call(stage: Stage, name: str = "job-1") -> None:
    """A call that goes on: its worker is gone."""
    add_job(stage, name)

    def die(_number: int, step: str, done: bool) -> None:
        if step == "update jobs" and done and "call_id" in stage.job(name).get("dial", {}):
            raise Died

    with instrumented(Steps(die)), pytest.raises(Died):
        stage.dial_next(stage.context())


def test_a_dial_of_a_batch_without_a_limit_writes_nothing_into_the_batch(stage: Stage) -> None:
    add_job(stage)
    steps = Steps()
    with instrumented(steps):
        stage.dial_next(stage.context())
    assert "update batches" not in steps.names
    (result,) = stage.results()
    minutes = result["duration_ms"] / 60_000
    assert result["batch_due"]["total_minutes"] == pytest.approx(minutes, abs=1e-6)
    stage.store.batch_sums.fold_all()
    assert batch(stage)["total_minutes"] == pytest.approx(minutes, abs=1e-6)
    assert "batch_due" not in stage.results()[0]


def test_the_level_is_required_before_the_first_such_intent(stage: Stage) -> None:
    add_job(stage)
    steps = Steps()
    with instrumented(steps):
        stage.dial_next(stage.context())
    level = stage.database.speechaid_holds.find_one({"_id": "level"})
    assert level is not None
    assert level["needs"] == Level.DECISIONS_IN_RESULTS
    jobs = [at for at, name in enumerate(steps.names) if name == "update jobs"]
    assert jobs[0] < steps.names.index("update speechaid_holds") < jobs[1]


def test_a_job_without_an_account_has_its_entry_in_the_batch(stage: Stage) -> None:
    add_job(stage, account_id=None)
    entered: list[int] = []

    def note(_number: int, name: str, done: bool) -> None:
        if (name, done) == (POST, False):
            entered.append(len(batch(stage)["open_dials"]))

    with instrumented(Steps(note)):
        stage.dial_next(stage.context())
    assert entered == [1]
    assert batch(stage)["open_dials"] == []
    assert batch(stage)["total_minutes"] > 0
    assert "batch_due" not in stage.results()[0]


def test_a_call_from_before_a_limit_counts_under_it(stage: Stage) -> None:
    leave_in_call(stage)
    limit(stage, 1)
    add_job(stage, "job-2")
    context = stage.context("worker-2@host-b:2")
    stage.dial_next(context)
    assert len(stage.placed_calls()) == 1
    assert stage.job("job-2")["status"] == "pending"

    limit(stage, 2)
    stage.make_due("job-2")
    live: list[Document] = []

    def note(_number: int, name: str, done: bool) -> None:
        if (name, done) == (POST, False):
            live.append(batch(stage))

    with instrumented(Steps(note)):
        stage.dial_next(context)
    assert len(stage.placed_calls()) == 2
    assert len(live[0]["open_dials"]) == 1
    assert "has_all_entries" not in batch(stage)


def test_once_no_such_call_is_left_the_batch_has_all_entries_for_good(stage: Stage) -> None:
    leave_in_call(stage)
    limit(stage, 1)
    stage.lapse()
    context = stage.context("worker-2@host-b:2")
    assert stage.recover_one(context)
    add_job(stage, "job-2")
    stage.dial_next(context)
    assert stage.job("job-2")["status"] == "done"
    assert batch(stage)["has_all_entries"] is True

    stage.database.batches.update_one({}, {"$unset": {"call_settings.max_concurrent_calls": ""}})
    add_job(stage, "job-3")
    stage.dial_next(context)
    by_job = {row["job_id"]: "batch_due" in row for row in stage.results()}
    assert by_job == {"job-1": True, "job-2": False, "job-3": False}
    stage.store.batch_sums.fold_all()
    minutes = sum(row["duration_ms"] / 60_000 for row in stage.results())
    assert batch(stage)["total_minutes"] == pytest.approx(minutes, abs=1e-5)


@pytest.mark.parametrize("step", ["update jobs", "update accounts"])
def test_a_limit_that_is_set_on_the_way_to_a_dial_withdraws_it(stage: Stage, step: str) -> None:
    """After the intent, or after the reservation: the last look finds the limit, and no entry."""
    add_job(stage)
    context = stage.context()
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    done_steps: list[str] = []

    def set_limit(_number: int, name: str, done: bool) -> None:
        if done and name == step and not done_steps:
            done_steps.append(name)
            with uncounted():
                limit(stage, 5)

    with instrumented(Steps(set_limit)):
        dial.run(context, claimed.job, claimed.preflight)
    assert stage.placed_calls() == []
    assert (stage.job()["status"], stage.job()["attempts"]) == ("pending", 0)
    account = stage.database.accounts.find_one({})
    assert account is not None
    assert account["open_dials"] == []

    stage.run_until_finished(context)
    assert (stage.job()["status"], len(stage.placed_calls())) == ("done", 1)


def test_a_call_to_a_valid_number_ends_the_run_of_invalid_ones(stage: Stage) -> None:
    stage.database.batches.update_one({}, {"$set": {"invalid_run": ["a", "b"]}})
    add_job(stage)
    stage.dial_next(stage.context())
    assert "invalid_run" not in batch(stage)
