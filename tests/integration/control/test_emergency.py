"""What stops calls waits for no other work: the database thread is blocked, the clients send far too much."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zmq
from pymongo.database import Database

from speechaid.commands.admission import IN_ALL, PER_CLIENT
from speechaid.commands.interfaces import HandlerContext
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.maintenance.emergency_thread import EmergencyThread, emergency_store
from speechaid.protocol.client import Client, Refused
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import connect
from tests.support.fakes import FakeDaemon, Service, served
from tests.support.fleet_harness import until

Document = dict[str, Any]
PATIENCE_SECONDS = 60


def settings_for(uri: str, name: str) -> Settings:
    environ = {
        "MONGO_URI": uri,
        "MONGO_DB": name,
        "RETELL_API_KEY": "key_0123456789abcdef",
        "RETELL_BASE_URL": "http://127.0.0.1:1",
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+15005550006",
        "RETELL_TIMEOUT_SECONDS": "5",
    }
    return get_settings(environ, env_file=None)


class Host:
    """A daemon with both threads, a fleet in memory, and one client."""

    def __init__(self, path: Path, service: Service, threads: tuple[DatabaseThread, EmergencyThread]) -> None:
        self.path = path
        self.daemon: FakeDaemon = service.daemon
        self.database_thread, self.emergency_thread = threads

    def ask(self, command: str, **args: Any) -> Document:
        with Client(self.path) as client:
            return client.ask(command, args, timeout_seconds=PATIENCE_SECONDS)

    @contextmanager
    def blocked(self, submit: Callable[..., None]) -> Iterator[None]:
        """Keep a thread busy: everything submitted to it waits."""
        begun, go_on = threading.Event(), threading.Event()

        def block(_context: HandlerContext) -> None:
            begun.set()
            assert go_on.wait(PATIENCE_SECONDS)

        submit(block, lambda _result: None)
        assert begun.wait(PATIENCE_SECONDS)
        try:
            yield
        finally:
            go_on.set()


class Dealer:
    """A client that sends without waiting for answers."""

    def __init__(self, path: Path) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(f"ipc://{path}")

    def send(self, request_id: str, command: str, **args: Any) -> None:
        header = {"v": 1, "id": request_id, "command": command, "args": args}
        self._socket.send(json.dumps(header).encode())

    def receive(self) -> Document:
        """The next message that is no progress."""
        while True:
            assert self._socket.poll(PATIENCE_SECONDS * 1000), "no answer"
            reply: Document = json.loads(self._socket.recv())
            if "progress" not in reply:
                return reply

    def progress(self) -> Document:
        assert self._socket.poll(PATIENCE_SECONDS * 1000), "no progress"
        return dict(json.loads(self._socket.recv())["progress"])

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()


@pytest.fixture
def host(tmp_path: Path, database: Database[Document], database_uri: str) -> Iterator[Host]:
    settings = settings_for(database_uri, database.name)
    store = connect(settings.database)
    store.prepare()
    store.close()
    database_thread = DatabaseThread(connect(settings.database), settings)
    emergency_thread = EmergencyThread(
        emergency_store(settings.database), settings, database_thread.add_answer
    )
    path = tmp_path / "control.sock"
    with served(path, database_thread, emergency_thread) as service:
        yield Host(path, service, (database_thread, emergency_thread))
    emergency_thread.close()
    database_thread.close()


@pytest.fixture
def dealer(host: Host) -> Iterator[Dealer]:
    dealer = Dealer(host.path)
    yield dealer
    dealer.close()


def test_what_stops_calls_is_done_while_the_database_thread_is_busy(
    host: Host, database: Database[Document]
) -> None:
    batch_id = host.ask("create-batch", name="one")["batch_id"]
    other_id = host.ask("create-batch", name="other")["batch_id"]
    dial: Document = {"key": "k", "number": "+56912345671", "call_id": "call_1", "batch_id": batch_id}
    dial["intent_at"] = datetime.now(UTC)
    database.jobs.insert_one(
        {"job_id": "job-1", "status": "in_progress", "claim_token": "t", "batch_id": batch_id, "dial": dial}
    )
    with host.blocked(host.database_thread.submit):
        assert host.ask("pause-batch", batch=batch_id)["was_active"] is True
        assert host.ask("hang-up", job="job-1")["call_id"] == "call_1"
        assert host.ask("pause-all")["paused"] == 1
        assert host.ask("hold")["held"] is True
    found = database.jobs.find_one({"job_id": "job-1"})
    assert found is not None
    assert found["request"]["action"] == "hang_up"
    assert host.daemon.hung_up == ["job-1"], "the worker of this host was not told"
    assert {row["batch_id"] for row in database.batches.find({"is_active": False})} == {batch_id, other_id}


def test_a_cancelled_batch_is_closed_before_its_jobs_are_cancelled(
    host: Host, database: Database[Document], dealer: Dealer
) -> None:
    batch_id = host.ask("create-batch", name="one")["batch_id"]
    database.jobs.insert_one({"job_id": "job-1", "status": "pending", "batch_id": batch_id})
    with host.blocked(host.database_thread.submit):
        dealer.send("a", "cancel-batch", batch=batch_id)
        until(
            lambda: database.batches.find_one({"batch_id": batch_id, "is_active": False}),
            "the batch is closed",
        )
        assert database.jobs.count_documents({"status": "cancelled"}) == 0
    assert dealer.receive()["result"]["cancelled"] == 1


def test_a_pause_is_in_force_on_this_host_before_the_database_has_it(
    host: Host, database: Database[Document], dealer: Dealer
) -> None:
    batch_id = host.ask("create-batch", name="one")["batch_id"]
    with host.blocked(host.emergency_thread.submit):
        dealer.send("a", "pause-batch", batch=batch_id[:12])
        dealer.send("b", "pause-all")
        assert dealer.progress() == dealer.progress() == {"state": "accepted"}
        assert host.daemon.paused_batches == {batch_id[:12], ""}
        assert database.batches.count_documents({"is_active": False}) == 0
    assert {dealer.receive()["id"], dealer.receive()["id"]} == {"a", "b"}
    assert host.daemon.paused_batches == set(), "the database has the pauses: they hold for every host"
    assert database.batches.count_documents({"is_active": False}) == 1


def test_a_pause_of_a_batch_that_does_not_exist_leaves_nothing_in_force(host: Host) -> None:
    with pytest.raises(Refused, match="there is no batch"):
        host.ask("pause-batch", batch="batch-none")
    assert host.daemon.paused_batches == set()


def test_a_dry_run_of_a_cancellation_pauses_nothing(host: Host, dealer: Dealer) -> None:
    batch_id = host.ask("create-batch", name="one")["batch_id"]
    with host.blocked(host.emergency_thread.submit):
        dealer.send("a", "cancel-batch", batch=batch_id, dry_run=True)
        assert dealer.progress() == {"state": "accepted"}
        assert host.daemon.paused_batches == set()
    assert dealer.receive()["result"]["dry_run"] is True


def test_equal_requests_that_wait_are_one(host: Host, database: Database[Document], dealer: Dealer) -> None:
    batch_id = host.ask("create-batch", name="one")["batch_id"]
    with host.blocked(host.emergency_thread.submit):
        for number in range(PER_CLIENT):
            dealer.send(f"r{number}", "pause-batch", batch=batch_id, reason="complaints")
            assert dealer.progress() == {"state": "accepted"}
    answers = [dealer.receive() for _ in range(PER_CLIENT)]
    assert {answer["id"] for answer in answers} == {f"r{number}" for number in range(PER_CLIENT)}
    # Each of them would have found the batch paused by the one before.
    assert all(answer["result"]["was_active"] for answer in answers)
    until(
        lambda: database.call_logs.count_documents({"command": "pause-batch"}) == PER_CLIENT,
        "each of them is recorded",
    )


def test_a_request_after_an_equal_one_has_run_takes_effect_again(host: Host) -> None:
    batch_id = host.ask("create-batch", name="one", hours="00:00-24:00")["batch_id"]
    for command, expected in (("pause-batch", True), ("resume-batch", False), ("pause-batch", True)):
        assert host.ask(command, batch=batch_id)["was_active"] is expected


def test_a_client_with_too_many_requests_under_way_is_refused_at_once(host: Host, dealer: Dealer) -> None:
    with host.blocked(host.database_thread.submit):
        for number in range(4_000):
            dealer.send(f"r{number}", "batches")
        refused = dealer.receive()
        assert refused["error"]["code"] == "busy"
        assert f"{PER_CLIENT} requests of this client" in refused["error"]["message"]
        # The same client's emergency stop is taken all the same, and done.
        dealer.send("stop", "hold")
        while (answer := dealer.receive())["id"] != "stop":
            assert answer["error"]["code"] == "busy"
        assert answer["result"]["held"] is True
    assert {dealer.receive()["id"] for _ in range(PER_CLIENT)} == {f"r{n}" for n in range(PER_CLIENT)}


def test_an_emergency_stop_that_is_refused_is_in_force_on_this_host(host: Host, dealer: Dealer) -> None:
    with host.blocked(host.emergency_thread.submit):
        for number in range(PER_CLIENT):
            dealer.send(f"r{number}", "hang-up", job=f"job-{number}")
        dealer.send("stop", "hold")
        refused = dealer.receive()
        assert (refused["id"], refused["error"]["code"]) == ("stop", "busy")
        assert "this host is held" in refused["error"]["message"]
        assert host.daemon.held
    assert IN_ALL > PER_CLIENT


def test_a_pause_of_all_holds_every_batch_until_each_is_paused(
    host: Host, database: Database[Document], dealer: Dealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechaid.commands.batches._PORTION", 1)
    for number in range(3):
        host.ask("create-batch", name=f"batch {number}")
    seen: list[tuple[bool, int]] = []
    original = type(host.emergency_thread._store.batches).pause_all

    def pause_all(self: Any, **arguments: Any) -> int:
        mark = database.speechaid_holds.find_one({"_id": "batches"}) or {}
        seen.append((bool(mark.get("on")), database.batches.count_documents({"is_active": True})))
        return original(self, **arguments)

    monkeypatch.setattr(type(host.emergency_thread._store.batches), "pause_all", pause_all)
    assert host.ask("pause-all")["paused"] == 3
    assert seen == [(True, 3), (True, 2), (True, 1), (True, 0)]
    mark = database.speechaid_holds.find_one({"_id": "batches"})
    assert mark is not None
    assert mark["on"] is False


def test_a_pause_of_all_that_was_broken_off_ends_with_resume_all(
    host: Host, database: Database[Document]
) -> None:
    database.speechaid_holds.insert_one({"_id": "batches", "on": True, "by": "ana", "token": "lost"})
    assert host.ask("resume-all") == {"resumed": 0}
    mark = database.speechaid_holds.find_one({"_id": "batches"})
    assert mark is not None
    assert mark["on"] is False
