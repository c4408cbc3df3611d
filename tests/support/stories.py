"""Stories of one job, told step by step: every database write and every HTTP request is a step.

The steps are counted by instrumentation, so that a step which is added to the code is told without a word
here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from speechaid.dialer.context import WorkerContext
from speechaid.retell.client import RetellClient
from speechaid.store.table import Table
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"


WRITES = ("insert", "update", "update_many", "delete")

#: Called around each step with its number, its name, and whether it has been done.
Hook = Callable[[int, str, bool], None]


class Steps:
    """Counts the steps of whoever runs, and calls a hook before and after each."""

    def __init__(self, hook: Hook | None = None) -> None:
        self.names: list[str] = []
        self._hook = hook or (lambda _number, _name, _done: None)

    def take(self, name: str, operation: Callable[[], Any]) -> Any:
        """One step."""
        number = len(self.names)
        self.names.append(name)
        self._hook(number, name, False)
        try:
            return operation()
        finally:
            self._hook(number, name, True)


@contextmanager
def instrumented(steps: Steps) -> Iterator[None]:
    """Have every write of a table and every request to Retell counted."""
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(Table, name, _counted(steps, getattr(Table, name), name))
        patch.setattr(RetellClient, "_request", _counted(steps, RetellClient._request, "request"))
        yield


@contextmanager
def plain() -> Iterator[None]:
    """Nothing is counted in here: somebody else is at work."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((Table, name) for name in WRITES):
            patch.setattr(owner, name, ORIGINALS[owner, name])
        patch.setattr(RetellClient, "_request", ORIGINALS[RetellClient, "_request"])
        yield


ORIGINALS: dict[tuple[type, str], Any] = {
    **{(Table, name): getattr(Table, name) for name in WRITES},
    (RetellClient, "_request"): RetellClient._request,
}


def _counted(steps: Steps, method: Callable[..., Any], verb: str) -> Callable[..., Any]:
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        what = f"{verb} {self.name}" if isinstance(self, Table) else f"{args[0]} {args[1].split('/')[2]}"
        return steps.take(what, lambda: method(self, *args, **kwargs))

    return counted


@dataclass(frozen=True)
class Story:
    """What happens to one job, told by the simulator."""

    name: str
    #: What comes of the calls to the first and to the second phone.
    first: list[str]
    second: list[str]
    status: str
    #: Calls that ring somebody, by phone.
    rung: str
    fault: dict[str, Any] | None = None
    #: Retell has the first phone marked as do-not-call.
    marked: bool = False


STORIES = [
    Story("answered", ["user_hangup"], [], "done", "A"),
    Story("second_phone_answers", ["dial_busy"], ["user_hangup"], "done", "AB"),
    Story("nobody_home", ["dial_no_answer"], ["dial_no_answer"], "failed", "AB"),
    Story("asks_not_to_be_called", ["user_requested_dnc"], [], "cancelled", "A"),
    Story("concurrency_limit_once", ["concurrency_limit_reached", "user_hangup"], [], "done", "A"),
    Story("answer_lost", ["user_hangup"], [], "done", "A", {"kind": "reset", "when": "after", "count": 1}),
    Story("request_lost", ["user_hangup"], [], "done", "A", {"kind": "reset", "when": "before", "count": 1}),
    Story("on_retells_own_list", [], [], "cancelled", "", marked=True),
]

#: Each telling has numbers of its own: Retell remembers who asked not to be called.
_numbers = itertools.count(100)


def set_the_scene(stage: Stage, story: Story) -> None:
    phones = [f"+1202555{next(_numbers):04d}" for _ in "AB"]
    scripts = zip(phones, (story.first, story.second), strict=True)
    stage.simulator.script({phone: outcomes for phone, outcomes in scripts if outcomes})
    stage.simulator.change(do_not_call=phones[:1] if story.marked else [])
    if story.fault is not None:
        stage.simulator.fault(endpoints=["create"], **story.fault)
    stage.add_batch(BATCH, account_id="acc-1", call_settings={"max_attempts": 1})
    stage.add_account(plan_type="credit_based", credit_balance=1000, cost_per_call_setup=1, cost_per_minute=2)
    stage.add_job(*phones, batch_id=BATCH, account_id="acc-1")


def go_through(stage: Stage, context: WorkerContext) -> None:
    """All that a worker does for the job, until it is over."""
    stage.run_dry(context)


def finish_what_is_left(stage: Stage, context: WorkerContext) -> None:
    """Another worker, in its round: takes over what has lapsed, dials what is due."""
    for _ in range(40):
        status = stage.job()["status"]
        if status == "in_progress":
            stage.lapse()
            stage.take_over(context)
            if "call_id" not in stage.job().get("dial", {"call_id": None}):
                stage.age_dial(900)  # nobody knows yet whether there was a call: time tells
        elif status == "pending":
            stage.make_due()
            stage.dial_next(context)
        else:
            return
    pytest.fail(f"the job never ends: {stage.job()}")


def check(stage: Stage, story: Story) -> None:
    job, results, placed_calls = stage.job(), stage.results(), stage.placed_calls()
    assert job["status"] == story.status
    assert "dial" not in job
    assert "claim_token" not in job
    assert sorted(call["call_id"] for call in placed_calls) == sorted(row["call_id"] for row in results)
    assert stage.simulator.overlaps() == []
    assert rung(job, placed_calls) == story.rung
    account = stage.database.accounts.find_one({"account_id": "acc-1"})
    assert account is not None
    assert account.get("open_dials", []) == []
    assert account["credit_reserved"] == pytest.approx(0)
    assert account["credit_used"] == pytest.approx(sum(row["charged"]["credit"] for row in results))
    batch = stage.database.batches.find_one({"batch_id": BATCH})
    assert batch is not None
    assert batch.get("open_dials", []) == []
    assert batch["total_cost"] == pytest.approx(
        sum(row["cost"] for row in results if row["outcome"] != "temporary")
    )


def rung(job: Document, placed_calls: list[Document]) -> str:
    """Which phones rang, in order; a call that met a limit rang nobody."""
    phones = job["contact"]["phones"]
    calls = [call for call in placed_calls if call["disconnection_reason"] != "concurrency_limit_reached"]
    return "".join("AB"[phones.index(call["to_number"])] for call in calls)


def steps_of(story: Story, stage: Stage) -> list[str]:
    """The steps of a story that nothing disturbs."""
    set_the_scene(stage, story)
    steps = Steps()
    with instrumented(steps):
        go_through(stage, stage.context())
    check(stage, story)
    assert {"POST create-phone-call", "update jobs", "update accounts", "update batches"} <= set(steps.names)
    return steps.names
