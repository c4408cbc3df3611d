"""A worker stopped dead at every step between claim and settled; another takes over; ledger against records.

The steps are found by running each story once with every database write and every HTTP request counted. Then
it is told again and again, each time with the worker dead before, or after, one more of these steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from speechaid.kit import Kit
from speechaid.retell.client import RetellClient
from speechaid.store.table import Table
from tests.stage import Document, Stage

BATCH = "batch-20260101-00000001"
WRITES = ("insert", "update", "update_and_read", "update_many", "delete")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Steps:
    """Counts the steps of whoever runs; stops it dead before or after one of them."""

    kill_at: int | None = None
    after: bool = False
    names: list[str] = field(default_factory=list)

    def take(self, name: str, deed: Callable[[], Any]) -> Any:
        number = len(self.names)
        self.names.append(name)
        if number == self.kill_at and not self.after:
            raise Killed(f"before {name}")
        try:
            return deed()
        finally:
            if number == self.kill_at:
                raise Killed(f"after {name}")


@contextmanager
def instrumented(steps: Steps) -> Iterator[None]:
    """Have every write of a table and every request to Retell counted."""
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(Table, name, _counted(steps, getattr(Table, name), name))
        patch.setattr(RetellClient, "_request", _counted(steps, RetellClient._request, "request"))
        yield


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


def go_through(stage: Stage, kit: Kit) -> None:
    """All that a worker does for the job, until it is over."""
    stage.run_dry(kit)


def finish_what_is_left(stage: Stage, kit: Kit) -> None:
    """Another worker, in its round: takes over what has lapsed, dials what is due."""
    for _ in range(40):
        status = stage.job()["status"]
        if status == "in_progress":
            stage.lapse()
            stage.take_over(kit)
        elif status == "pending":
            stage.make_due()
            stage.dial_next(kit)
        else:
            return
    pytest.fail(f"the job never ends: {stage.job()}")


def check(stage: Stage, story: Story) -> None:
    job, results, ledger = stage.job(), stage.results(), stage.ledger()
    assert job["status"] == story.status
    assert "dial" not in job
    assert "claim_token" not in job
    assert sorted(call["call_id"] for call in ledger) == sorted(row["call_id"] for row in results)
    assert stage.simulator.overlaps() == []
    assert rung(job, ledger) == story.rung
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


def rung(job: Document, ledger: list[Document]) -> str:
    """Which phones rang, in order; a call that met a limit rang nobody."""
    phones = job["contact"]["phones"]
    calls = [call for call in ledger if call["disconnection_reason"] != "concurrency_limit_reached"]
    return "".join("AB"[phones.index(call["to_number"])] for call in calls)


def steps_of(story: Story, stage: Stage) -> Steps:
    set_the_scene(stage, story)
    kit = stage.kit()
    steps = Steps()
    with instrumented(steps):
        go_through(stage, kit)
    check(stage, story)
    return steps


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_worker_that_dies_at_any_step_loses_and_doubles_nothing(stage: Stage, story: Story) -> None:
    steps = steps_of(story, stage)
    assert {"POST create-phone-call", "update jobs", "update accounts", "update batches"} <= set(steps.names)
    told = 0
    for number in range(len(steps.names)):
        for after in (False, True):
            stage.clear()
            set_the_scene(stage, story)
            victim = stage.kit("worker-1@host-a:1")
            fatal = Steps(kill_at=number, after=after)
            with instrumented(fatal), pytest.raises(Killed):
                go_through(stage, victim)
            finish_what_is_left(stage, stage.kit("worker-2@host-b:2"))
            try:
                check(stage, story)
            except AssertionError as exc:
                when = "after" if after else "before"
                pytest.fail(f"killed {when} step {number} ({fatal.names[number]}): {exc}")
            told += 1
    assert told == 2 * len(steps.names)
