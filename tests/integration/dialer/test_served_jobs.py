"""A pending job that says of itself that it was served is closed, not called, unless an operator reset it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from speechaid.commands.doctor.doctor import doctor
from speechaid.commands.explain import explain
from speechaid.commands.forecast import forecast
from speechaid.commands.interfaces import HandlerContext, Invocation
from speechaid.dialer.context import WorkerContext
from tests.support.common_stage import phone
from tests.support.fakes import finished
from tests.support.stage import Document, Stage


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


@pytest.fixture
def context(stage: Stage) -> WorkerContext:
    return stage.context()


def add_served(stage: Stage, **fields: Any) -> str:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    result = {"success": True, "timestamp": stage.store.now() - timedelta(days=1)}
    stage.add_job(number, **{"call_result": result, **fields})
    return number


def ask(stage: Stage, handler: Any, **args: Any) -> Document:
    context = HandlerContext(store=stage.store, settings=stage.settings, in_loop=lambda answer: answer())
    command = Invocation(args=args, actor="a test", attachment=None, progress=lambda _: None, snapshot={})
    return finished(handler(context, command), context)


@pytest.mark.parametrize("success", [True, 1, "true"], ids=repr)
def test_it_is_closed_as_done_and_every_command_says_so_before(
    stage: Stage, context: WorkerContext, success: object
) -> None:
    served_at = stage.store.now() - timedelta(days=1)
    add_served(stage, call_result={"success": success}, completed_at=served_at)

    explained = ask(stage, explain, job="job-1")
    assert "its call_result says that it was served" in explained["sentence"]
    assert explained["phone"] is None
    forecast_rows = ask(stage, forecast, batch=None, limit=10)
    assert [(row["reason"], row["examples"]) for row in forecast_rows["skipped"]] == [
        ("already served", ["job-1"])
    ]
    assert forecast_rows["dials"] == []
    findings = {row["code"]: row for row in ask(stage, doctor)["findings"]}
    assert findings["served_jobs"]["evidence"] == "1 job: job-1"

    assert stage.dial_next(context)

    job = stage.job()
    assert job["status"] == "done"
    assert job["completed_at"] == served_at
    assert job["finished_at"] > served_at
    assert stage.placed_calls() == []
    assert context.link.counts["event job.already_served"] == 1  # type: ignore[attr-defined]
    assert context.link.counts["speechaid_jobs_already_served_total"] == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fields", [{}, {"call_result": {"success": True}}], ids=["with time", "without time"]
)
def test_after_an_operator_s_reset_it_is_called_again(
    stage: Stage, context: WorkerContext, fields: Document
) -> None:
    add_served(stage, status="done", **fields)
    query = stage.store.operator_actions.resettable(["done"], max_age_seconds=None, batch_id=None)
    assert stage.store.operator_actions.reset(query, 10) == 1

    assert stage.run_until_finished(context)["status"] == "done"
    assert len(stage.placed_calls()) == 1


def test_a_reset_before_the_result_does_not_count(stage: Stage, context: WorkerContext) -> None:
    add_served(stage, reset_at=stage.store.now() - timedelta(days=2))
    assert stage.dial_next(context)
    assert (stage.job()["status"], stage.placed_calls()) == ("done", [])


def test_a_job_that_an_earlier_version_reset_is_called_again(stage: Stage, context: WorkerContext) -> None:
    add_served(stage, crashes=0, attempts=0)
    assert stage.run_until_finished(context)["status"] == "done"
    assert len(stage.placed_calls()) == 1


def test_a_job_of_ours_that_another_program_puts_back_is_not_called_twice(
    stage: Stage, context: WorkerContext
) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup", "user_hangup"]})
    stage.add_job(number)
    assert stage.run_until_finished(context)["status"] == "done"
    stage.database.jobs.update_one({}, {"$set": {"status": "pending", "reserved_until": None}})
    assert stage.run_until_finished(context)["status"] == "done"
    assert len(stage.placed_calls()) == 1


def test_a_job_without_success_is_called(stage: Stage, context: WorkerContext) -> None:
    add_served(stage, call_result={"success": False, "timestamp": stage.store.now()})
    assert stage.run_until_finished(context)["status"] == "done"
    assert len(stage.placed_calls()) == 1
