"""Stories of one job, step by step: every database write and every HTTP request is a step.

The steps are counted by instrumentation, so that a step added to the code is covered without a change here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from speechaid.compliance.packs import Cap, Confidence, Pack, Span, Unit
from speechaid.dialer.context import WorkerContext
from speechaid.model.states import Purpose
from speechaid.retell.client import RetellClient
from speechaid.store.table import Table
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"


#: What the batch of each story has chosen: the agent's id, its version, the number that calls, the language.
AGENT: Document = {
    "agent_id": "agent_story",
    "agent_version": 3,
    "from_number": "+12025550199",
    "language": "es-419",
}

#: Nobody in a story is called so often.
CAP = Cap(
    name="often",
    unit=Unit.ATTEMPT,
    number=1000,
    span=Span.CALENDAR_DAY,
    says="house rule",
    confidence=Confidence.LOW,
)
PACK = Pack(
    kind="pack",
    format=1,
    country="US",
    purpose=Purpose.COLLECTION,
    reviewed=date(2026, 11, 30),
    zones=("America/New_York",),
    sources={},
    counted_purposes=(Purpose.COLLECTION,),
    caps=(CAP,),
)

READS = ("find", "find_one", "aggregate")
WRITES = ("insert", "update", "update_many", "delete")

#: Called around each step with its number, its name, and whether it has been done.
Hook = Callable[[int, str, bool], None]


class Steps:
    """Counts the steps, and calls a hook before and after each."""

    def __init__(self, hook: Hook | None = None) -> None:
        self.names: list[str] = []
        self._hook = hook or (lambda _number, _name, _done: None)

    def run(self, name: str, operation: Callable[[], Any]) -> Any:
        """One step."""
        number = len(self.names)
        self.names.append(name)
        self._hook(number, name, False)
        try:
            return operation()
        finally:
            self._hook(number, name, True)


@contextmanager
def instrumented(steps: Steps, *, with_reads: bool = False) -> Iterator[None]:
    """Count every write of a table and every request to Retell; on request every read, too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*WRITES, *(READS if with_reads else ())):
            patch.setattr(Table, name, _counted(steps, getattr(Table, name), name))
        patch.setattr(RetellClient, "_request", _counted(steps, RetellClient._request, "request"))
        yield


@contextmanager
def uncounted() -> Iterator[None]:
    """Count nothing in here: another worker or an operator acts."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((Table, name) for name in (*WRITES, *READS)):
            patch.setattr(owner, name, ORIGINALS[owner, name])
        patch.setattr(RetellClient, "_request", ORIGINALS[RetellClient, "_request"])
        yield


ORIGINALS: dict[tuple[type, str], Any] = {
    **{(Table, name): getattr(Table, name) for name in (*WRITES, *READS)},
    (RetellClient, "_request"): RetellClient._request,
}


def _counted(steps: Steps, method: Callable[..., Any], verb: str) -> Callable[..., Any]:
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        what = f"{verb} {self.name}" if isinstance(self, Table) else f"{args[0]} {args[1].split('/')[2]}"
        return steps.run(what, lambda: method(self, *args, **kwargs))

    return counted


@dataclass(frozen=True)
class Story:
    """What happens to one job, played by the simulator."""

    name: str
    #: How the calls to the first and to the second phone end.
    first: list[str]
    second: list[str]
    status: str
    #: The phones that ring, in order.
    rung: str
    fault: dict[str, Any] | None = None
    #: Retell has the first phone on its do-not-call list.
    marked: bool = False
    #: A test call of the batch, which is paused; to the first phone, which is registered for it.
    is_test: bool = False
    #: The batch has a purpose, and a pack with a cap is in force: the dials are in the ledger.
    is_capped: bool = False
    #: The batch limits its calls at a time, and has an entry of each dial.
    is_limited: bool = False


STORIES = [
    Story("answered", ["user_hangup"], [], "done", "A"),
    Story("second_phone_answers", ["dial_busy"], ["user_hangup"], "done", "AB"),
    Story("not_answered", ["dial_no_answer"], ["dial_no_answer"], "failed", "AB"),
    Story("asks_not_to_be_called", ["user_requested_dnc"], [], "cancelled", "A"),
    Story("concurrency_limit_once", ["concurrency_limit_reached", "user_hangup"], [], "done", "A"),
    Story("answer_lost", ["user_hangup"], [], "done", "A", {"kind": "reset", "when": "after", "count": 1}),
    Story("request_lost", ["user_hangup"], [], "done", "A", {"kind": "reset", "when": "before", "count": 1}),
    Story("on_retells_own_list", [], [], "cancelled", "", marked=True),
    Story("second_phone_answers_under_a_cap", ["dial_busy"], ["user_hangup"], "done", "AB", is_capped=True),
    Story(
        "answer_lost_under_a_cap",
        ["user_hangup"],
        [],
        "done",
        "A",
        {"kind": "reset", "when": "after", "count": 1},
        is_capped=True,
    ),
    Story("answered_in_a_limited_batch", ["user_hangup"], [], "done", "A", is_limited=True),
    Story("second_phone_in_a_limited_batch", ["dial_busy"], ["user_hangup"], "done", "AB", is_limited=True),
]
#: Of test calls; no pause of the batch concerns them.
TEST_STORIES = [
    Story("test_answered", ["user_hangup"], [], "done", "A", is_test=True),
    Story("test_not_answered", ["dial_no_answer"], [], "failed", "A", is_test=True),
    Story(
        "test_answer_lost",
        ["user_hangup"],
        [],
        "done",
        "A",
        {"kind": "reset", "when": "after", "count": 1},
        is_test=True,
    ),
]

#: Each run uses new numbers: Retell remembers who asked not to be called.
_numbers = itertools.count(100)


def set_up_story(stage: Stage, story: Story) -> None:
    phones = [f"+1202555{next(_numbers):04d}" for _ in "AB"]
    scripts = zip(phones, (story.first, story.second), strict=True)
    stage.simulator.script({phone: outcomes for phone, outcomes in scripts if outcomes})
    stage.simulator.change(do_not_call=phones[:1] if story.marked else [])
    if story.fault is not None:
        stage.simulator.fault(endpoints=["create"], **story.fault)
    purpose = {"purpose": "collection"} if story.is_capped else {}
    if story.is_capped:
        stage.store.packs.install([PACK], fill="first", is_ready=True, by="maria")
    limits = {"max_concurrent_calls": 1} if story.is_limited else {}
    settings = {"max_attempts": 1, **AGENT, **purpose, **limits}
    stage.add_batch(BATCH, account_id="acc-1", call_settings=settings)
    stage.add_account(plan_type="credit_based", credit_balance=1000, cost_per_call_setup=1, cost_per_minute=2)
    if story.is_test:
        stage.store.batches.pause(BATCH, by="maria", reason=None)
        stage.add_test(phones[0], BATCH, account_id="acc-1")
    else:
        stage.add_job(*phones, batch_id=BATCH, account_id="acc-1")


def run_to_end(stage: Stage, context: WorkerContext) -> None:
    """Everything that a worker does for the job, until it is over."""
    stage.run_until_finished(context)


def finish_with(stage: Stage, context: WorkerContext) -> None:
    """Another worker: recovers the job if its lease lapsed, dials it if it is due, until it is over."""
    for _ in range(40):
        status = stage.job()["status"]
        if status == "in_progress":
            stage.lapse()
            stage.recover_one(context)
            if "call_id" not in stage.job().get("dial", {"call_id": None}):
                stage.age_dial(900)  # an ambiguous dial is resolved with time
        elif status == "pending":
            stage.make_due()
            stage.dial_next(context)
        else:
            return
    pytest.fail(f"the job never ends: {stage.job()}")


def check(stage: Stage, story: Story) -> None:
    job, results, calls = stage.job(), stage.results(), stage.placed_calls()
    assert job["status"] == story.status
    assert "dial" not in job
    assert "claim_token" not in job
    assert sorted(call["call_id"] for call in calls) == sorted(row["call_id"] for row in results)
    assert stage.simulator.overlaps() == []
    for row in (*calls, *results):
        assert {name: row[name] for name in AGENT if name != "language"} == {
            name: value for name, value in AGENT.items() if name != "language"
        }
    assert {row["language"] for row in results} <= {AGENT["language"]}
    assert all(call["agent_override"]["language"] == AGENT["language"] for call in calls)
    assert rung(job, calls) == story.rung
    if story.is_capped:
        check_ledger(stage, results)
    account = stage.database.accounts.find_one({"account_id": "acc-1"})
    assert account is not None
    assert account.get("open_dials", []) == []
    assert account["credit_reserved"] == pytest.approx(0)
    assert account["credit_used"] == pytest.approx(sum(row["charged"]["credit"] for row in results))
    stage.store.batch_sums.fold_all()
    batch = stage.database.batches.find_one({"batch_id": BATCH})
    assert batch is not None
    assert batch.get("open_dials", []) == []
    assert not any("batch_due" in row for row in results if story.is_test)
    of_campaign = [row for row in results if not story.is_test and row["outcome"] != "temporary"]
    assert batch["total_cost"] == pytest.approx(sum(row["cost"] for row in of_campaign))


def check_ledger(stage: Stage, results: list[Document]) -> None:
    """Each call has one closed entry; what is entered beside them is void."""
    entries = {row["_id"]: row for row in stage.database.speechaid_ledger.find({})}
    assert not any(row["open"] for row in entries.values())
    counted = {key: row["outcome"] for key, row in entries.items() if not row["void"]}
    assert counted == {row["dial_key"]: row["outcome"] for row in results}


def rung(job: Document, calls: list[Document]) -> str:
    """Which phones rang, in order; a call that met a limit rang none."""
    phones = job["contact"]["phones"]
    rang = [call for call in calls if call["disconnection_reason"] != "concurrency_limit_reached"]
    return "".join("AB"[phones.index(call["to_number"])] for call in rang)


def steps_of(story: Story, stage: Stage, *, with_reads: bool = False) -> list[str]:
    """The steps of a story without a fault of ours."""
    set_up_story(stage, story)
    steps = Steps()
    with instrumented(steps, with_reads=with_reads):
        run_to_end(stage, stage.context())
    check(stage, story)
    expected = {"POST create-phone-call", "update jobs", "update accounts"}
    expected |= {"update batches"} if story.is_limited else set()
    expected |= {"insert speechaid_ledger", "update speechaid_ledger"} if story.is_capped else set()
    assert expected <= set(steps.names)
    return steps.names
