"""The database killed with SIGKILL in every phase of a call and restarted: nothing lost, nothing repeated.

The tests use a separate server with durable commits, restarted on the same port.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pymongo import MongoClient

from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.embedded import database
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.errors import LeaseLost, StoreUnavailable
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.settings import Settings
from speechaid.store.connection import Store, connect
from tests.support.common_stage import phone
from tests.support.stage import QuietLink, Stage, open_stage
from tests.support.stories import Steps, instrumented, uncounted

BATCH = "batch-20260101-00000001"
DEADLINE_SECONDS = 60.0


class Server:
    """The server, and ways to stop it and bring it back."""

    def __init__(self, directory: Path) -> None:
        self.database = EmbeddedDatabase(directory)
        self.uri = self.database.start()

    def kill(self) -> None:
        pid = self.database.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: not self.database.is_alive())

    def freeze(self) -> None:
        assert self.database.pid is not None
        os.kill(self.database.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.database.pid is not None
        os.kill(self.database.pid, signal.SIGCONT)

    def bring_back(self) -> None:
        def back() -> bool:
            self.database.ensure()
            return self.database.is_alive()

        self.until(back)

    @staticmethod
    def until(there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not there():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "BACKOFF_SECONDS", (0.0,))
        opened = Server(tmp_path_factory.mktemp("database"))
        yield opened
        opened.database.stop()


@pytest.fixture(scope="module")
def own_stage(server: Server) -> Iterator[Stage]:
    # Workers that take less than a second to find the server gone.
    uri = f"{server.uri}&serverSelectionTimeoutMS=200&connectTimeoutMS=200"
    with (
        MongoClient[dict[str, Any]](server.uri, tz_aware=True, serverSelectionTimeoutMS=10_000) as client,
        open_stage(client[f"away_{secrets.token_hex(4)}"], uri) as opened,
    ):
        yield opened


@pytest.fixture
def stage(own_stage: Stage, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(recovery, "CLOCKS_AGREE_SECONDS", float("inf"))
    set_up(own_stage)
    yield own_stage
    own_stage.on_wait = lambda: None
    server.bring_back()
    own_stage.clear()


def connected(store: Store) -> None:
    """Wait until its driver has found the server: with its short time-outs a busy machine may need tries."""

    def answers() -> bool:
        with contextlib.suppress(StoreUnavailable):
            store.jobs.counts()
            return True
        return False

    Server.until(answers)


def worker(stage: Stage, name: str = "worker-1@host-a:1") -> WorkerContext:
    """The context of a connected worker."""
    context = stage.context(name)
    connected(context.store)
    return context


def set_up(stage: Stage) -> None:
    connected(stage.store)
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    stage.add_batch(BATCH)
    stage.add_account(plan_type="credit_based", credit_balance=100, cost_per_call_setup=1)
    stage.add_job(number, batch_id=BATCH, account_id="acc-1")


def check(stage: Stage) -> None:
    """The one call was placed once, recorded once, charged once; no reservation is left."""
    (call,), (result,) = stage.placed_calls(), stage.results()
    job = stage.job()
    assert (job["status"], job["call_id"], result["call_id"]) == ("done", call["call_id"], call["call_id"])
    assert not {"dial", "claim_token"} & job.keys()
    account, batch = stage.database.accounts.find_one({}), stage.batch()
    assert account is not None
    assert account["open_dials"] == batch["open_dials"] == []
    assert account["credit_used"] == pytest.approx(result["charged"]["credit"])
    assert account["credit_used"] == pytest.approx(1)
    assert account["credit_reserved"] == pytest.approx(0)
    assert account["calls_today"] == 1
    assert batch["total_cost"] == pytest.approx(result["cost"])


def finish(stage: Stage) -> None:
    """Another worker recovers or dials the job until it is over."""
    connected(stage.store)
    survivor = worker(stage, "worker-2@host-b:2")
    for _ in range(10):
        status = stage.job()["status"]
        if status == "in_progress":
            stage.lapse()
            stage.recover_one(survivor)
        elif status == "pending":
            stage.make_due()
            stage.dial_next(survivor)
        else:
            return
    pytest.fail(f"the job never ends: {stage.job()}")


def steps_of_a_call(stage: Stage) -> list[str]:
    """The steps of an undisturbed call; the stage is as before."""
    steps = Steps()
    with instrumented(steps):
        stage.dial_next(worker(stage))
    check(stage)
    return steps.names


@pytest.mark.slow
def test_a_server_killed_before_any_step_of_a_call_loses_nothing_and_repeats_nothing(
    stage: Stage, server: Server
) -> None:
    names = steps_of_a_call(stage)
    raised = 0
    # One poll is like another.
    tried = [
        number for number, name in enumerate(names) if name != "GET get-call" or name not in names[:number]
    ]
    for fatal in tried:
        stage.clear()
        set_up(stage)

        def kill(number: int, _name: str, done: bool, fatal: int = fatal) -> None:
            if (number, done) == (fatal, False):
                server.kill()
                stage.on_wait = bring_back_at_second_wait(stage, server)

        context = worker(stage)
        try:
            with instrumented(Steps(kill)):
                stage.dial_next(context)
        except StoreUnavailable:
            raised += 1  # nothing had begun
        server.bring_back()
        stage.on_wait = lambda: None
        finish(stage)
        try:
            check(stage)
        except AssertionError as exc:
            pytest.fail(f"killed before step {fatal} ({names[fatal]}): {exc}")
    assert raised < 3  # only before the intent; afterwards the worker waits for the database


def bring_back_at_second_wait(stage: Stage, server: Server) -> Callable[[], None]:
    """The first wait passes without a database: the first retry fails too."""
    waits = iter([False, True])

    def on_wait() -> None:
        if next(waits, False):
            server.bring_back()

    return on_wait


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["POST create-phone-call", "GET get-call", "insert call_results", "update batches"]
)
def test_a_job_whose_lease_lapsed_while_the_server_was_away_is_settled_by_its_adopter_with_one_call(
    stage: Stage, server: Server, step: str
) -> None:
    killed: list[str] = []
    steps_done: list[str] = []

    def adopt() -> None:
        stage.on_wait = lambda: None
        server.bring_back()
        with uncounted():
            finish(stage)

    def kill(_number: int, name: str, done: bool) -> None:
        steps_done.append(name)
        # The batch is written twice: before the call, and at settlement.
        if (
            name == step
            and done
            and (step != "update batches" or "insert call_results" in steps_done)
            and not killed
        ):
            killed.append(name)
            server.kill()
            stage.on_wait = adopt

    if step == "update batches":
        # With a limit the batch has an entry of each dial.
        limit = {"call_settings.max_concurrent_calls": 5, "has_all_entries": True}
        stage.database.batches.update_one({}, {"$set": limit})
    context = worker(stage)
    with instrumented(Steps(kill)), pytest.raises(LeaseLost):
        stage.dial_next(context)
    assert killed == [step]
    check(stage)


@pytest.mark.slow
def test_a_call_that_the_database_does_not_have_yet_is_reported_by_its_worker(
    stage: Stage, server: Server
) -> None:
    context = worker(stage)
    link = cast("QuietLink", context.link)
    shown: list[tuple[str, str | None]] = []
    bring_back = bring_back_at_second_wait(stage, server)

    def on_wait() -> None:
        shown.append((link.steps[-1], link.call))
        bring_back()

    def kill(_number: int, name: str, done: bool) -> None:
        if name == "POST create-phone-call" and done:
            server.kill()
            stage.on_wait = on_wait

    with instrumented(Steps(kill)):
        stage.dial_next(context)
    (call,) = stage.placed_calls()
    assert shown[0] == ("following: record call (database away)", call["call_id"])
    check(stage)


@pytest.mark.slow
def test_a_worker_asked_to_leave_while_the_server_is_away_leaves_and_another_settles_its_job(
    stage: Stage, server: Server
) -> None:
    context = worker(stage)

    def leave() -> None:
        context.link.hand_over_requested = True

    def kill(_number: int, name: str, done: bool) -> None:
        if name == "insert call_results" and not done and server.database.is_alive():
            server.kill()
            stage.on_wait = leave

    with instrumented(Steps(kill)), pytest.raises(HandOver):
        stage.dial_next(context)
    server.bring_back()
    stage.on_wait = lambda: None
    finish(stage)
    check(stage)


@pytest.mark.slow
def test_no_call_is_placed_while_the_server_is_away(stage: Stage, server: Server) -> None:
    context = worker(stage)
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    server.kill()
    with pytest.raises(StoreUnavailable):
        recovery.recover_one(context)
    stage.on_wait = bring_back_at_second_wait(stage, server)
    dial.run(context, claimed.job, claimed.preflight)
    assert stage.placed_calls() == []
    assert stage.job()["status"] == "pending"
    finish(stage)
    check(stage)


def test_a_database_that_hangs_is_reported_away_before_the_database_thread_s_query_times_out(
    server: Server, settings: Settings
) -> None:
    database_thread = DatabaseThread(
        connect(settings.database, uri=f"{server.uri}&connectTimeoutMS=300&heartbeatFrequencyMS=500"),
        settings,
    )

    def is_reported(state: str) -> bool:
        return str(database_thread.stats()["database"]["state"]) == state

    try:
        server.until(lambda: is_reported("up"))
        server.freeze()
        try:
            server.until(lambda: is_reported("away"))
            assert "does not answer" in database_thread.stats()["database"]["error"]
        finally:
            server.thaw()
        server.until(lambda: is_reported("up"))
    finally:
        database_thread.close()
