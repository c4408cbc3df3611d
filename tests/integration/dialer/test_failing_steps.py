"""A step that the database refuses every time is reported with its error, and stops no other step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from speechaid.clock import SystemClock
from speechaid.commands.doctor.doctor import doctor
from speechaid.commands.interfaces import HandlerContext, Invocation
from speechaid.fleet.messages import Command, WorkerIdentity
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.retell.client import open_retell
from speechaid.rules.repeated_failures import REPEATED
from speechaid.rules.turn import Turn, TurnKind
from speechaid.store.connection import connect
from speechaid.worker import Worker, WorkerParts
from tests.support.common_stage import phone
from tests.support.fakes import finished
from tests.support.stage import Document, QuietLink, Stage

REFUSAL = "Unrecognized pipeline stage name"


class WorkersLink(QuietLink):
    """A link as the worker's loop needs it."""

    stop_requested = orphaned = draining = paused = False

    def __init__(self) -> None:
        super().__init__()
        self.failing: dict[str, str] = {}
        #: A turn of each in each pass of the worker's loop, again and again.
        self.kinds = itertools.cycle([TurnKind.CLAIM])
        #: How each of them ended.
        self.ends: list[Document] = []

    def take_turn(self) -> Turn | None:
        number = len(self.ends) + 1
        until = SystemClock().boottime() + 60
        return Turn(number=number, kind=next(self.kinds), until=until, is_fresh=True)

    def note_claim(self, **_found: object) -> None:
        pass

    def end_turn(self, **found: object) -> None:
        self.ends.append(found)

    def commands(self, timeout_seconds: float) -> list[Command]:
        assert timeout_seconds >= 0
        return []


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.simulator.script({"*": ["user_hangup"]})
    return common_stage


@pytest.fixture
def link() -> WorkersLink:
    return WorkersLink()


@pytest.fixture
def worker(stage: Stage, link: WorkersLink) -> Iterator[Worker]:
    parts = WorkerParts(
        settings=stage.settings, store=connect(stage.settings.database), retell=open_retell(stage.settings)
    )
    identity = WorkerIdentity(slot="worker-1", host="host-a", pid=1)
    made = Worker(cast("SupervisorLink", link), identity, parts)
    made.context.wait = stage._wait
    yield made
    made.close()


class Refusal:
    """The server refuses what a test names; the driver raises as it does for any refusal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status: str | None = None
        self.group: Any = None
        find, aggregate = Collection.find, Collection.aggregate

        def find_or_refuse(collection: Any, query: Document, *args: Any, **options: Any) -> Any:
            if self.status is not None and query.get("status") == self.status:
                raise OperationFailure(REFUSAL, 40324)
            return find(collection, query, *args, **options)

        def aggregate_or_refuse(collection: Any, stages: Sequence[Document], **options: Any) -> Any:
            if any(self.group == group["$group"]["_id"] for group in stages if "$group" in group):
                raise OperationFailure(REFUSAL, 40324)
            return aggregate(collection, stages, **options)

        monkeypatch.setattr(Collection, "find", find_or_refuse)
        monkeypatch.setattr(Collection, "aggregate", aggregate_or_refuse)


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> Refusal:
    return Refusal(monkeypatch)


def test_a_claim_that_is_refused_each_time_is_reported_until_it_succeeds(
    stage: Stage, worker: Worker, link: WorkersLink, refusal: Refusal
) -> None:
    stage.add_job(phone())
    refusal.status = "pending"
    for _ in range(REPEATED - 1):
        worker.work_once()
    assert link.failing == {}
    worker.work_once()
    assert list(link.failing) == ["claim"]
    assert REFUSAL in link.failing["claim"]

    refusal.status = None
    worker.work_once()

    assert link.failing == {}
    assert stage.job()["status"] == "done"


def test_a_recovery_that_is_refused_each_time_is_reported_and_stops_no_claim(
    stage: Stage, worker: Worker, link: WorkersLink, refusal: Refusal
) -> None:
    stage.add_job(phone())
    link.kinds = itertools.cycle([TurnKind.RECOVER, TurnKind.CLAIM])
    refusal.status = "in_progress"
    for _ in range(2 * REPEATED):
        worker.work_once()
    assert list(link.failing) == ["recovery"]
    assert stage.job()["status"] == "done"


def test_a_worker_forgets_what_it_leaves_out_where_no_query_can_name_it(
    stage: Stage, worker: Worker, link: WorkersLink
) -> None:
    past = stage.store.now() - timedelta(minutes=1)
    stage.add_job(phone(), job_id="lapsed", status="in_progress", reserved_until=past, claim_token="t")
    stage.add_job(phone(), job_id="due")
    worker.context.left_out.add(object())  # nothing that the driver can encode
    link.kinds = itertools.cycle([TurnKind.RECOVER, TurnKind.CLAIM])

    for _ in range(6):
        worker.work_once()

    assert stage.job("due")["status"] == "done"
    assert link.failing == {}


def test_a_task_of_housekeeping_that_is_refused_is_reported_and_the_others_are_done(
    stage: Stage, refusal: Refusal
) -> None:
    stage.add_job(phone(), reserved_until="2026-01-02T03:04:05")
    stage.database.speechaid_holds.insert_one({"_id": "fleet", "on": True, "by": "an operator"})
    refusal.group = "$account_id"  # of jobs that wait for credit
    housekeeper = Housekeeper(stage.store)
    for number in range(REPEATED):
        assert housekeeper.failures.repeated_errors() == {}
        housekeeper.tick(stage.settings, 1000.0 * (number + 1))

    assert list(housekeeper.failures.repeated_errors()) == ["suspended_jobs"]
    assert housekeeper.stats()["database"] == {"state": "up"}
    assert housekeeper.stats()["fleet_hold"]["by"] == "an operator"
    assert not isinstance(stage.job()["reserved_until"], str)

    refusal.group = None
    housekeeper.tick(stage.settings, 9000.0)
    assert housekeeper.failures.repeated_errors() == {}


def test_counts_that_are_refused_leave_the_rest_of_housekeeping(stage: Stage, refusal: Refusal) -> None:
    stage.add_job(phone(), reserved_until="2026-01-02T03:04:05")
    refusal.group = {"batch_id": "$batch_id", "status": "$status"}
    housekeeper = Housekeeper(stage.store)
    for number in range(REPEATED):
        housekeeper.tick(stage.settings, 1000.0 * (number + 1))
    assert list(housekeeper.failures.repeated_errors()) == ["counts"]
    assert not isinstance(stage.job()["reserved_until"], str)


def test_a_batch_that_takes_no_counters_costs_no_other_batch_its_own(stage: Stage) -> None:
    for name in ("odd", "sound", "sound"):
        stage.add_job(phone(), batch_id=name)
    batches = stage.database.batches
    batches.insert_many([{"batch_id": "odd"}, {"batch_id": "sound"}, {"batch_id": "other", "total_jobs": 1}])
    batches.create_index("total_jobs", unique=True, sparse=True)
    housekeeper = Housekeeper(stage.store)
    try:
        for number in range(REPEATED):
            housekeeper.tick(stage.settings, 1000.0 * (number + 1))
    finally:
        batches.drop_index("total_jobs_1")

    assert housekeeper.failures.repeated_errors().keys() == {"batch_counters"}
    assert "batch odd" in housekeeper.failures.repeated_errors()["batch_counters"]
    assert stage.database.batches.find_one({"batch_id": "sound"}, {"_id": 0, "total_jobs": 1}) == {
        "total_jobs": 2
    }
    assert {row["batch_id"] for row in housekeeper.stats()["batches"]} == {"odd", "sound"}


def test_doctor_names_what_the_database_refuses_and_shows_the_rest(stage: Stage, refusal: Refusal) -> None:
    stage.add_job(phone(), batch_id="gone")
    refusal.group = "$suspend_reason"
    context = HandlerContext(store=stage.store, settings=stage.settings, in_loop=lambda answer: answer())
    command = Invocation(args={}, actor="a test", attachment=None, progress=lambda _: None, snapshot={})

    found = {row["code"]: row for row in finished(doctor(context, command), context)["findings"]}

    assert REFUSAL in found["database_refuses"]["evidence"]
    assert "database_away" not in found
