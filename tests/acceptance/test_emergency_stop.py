"""An emergency stop on a whole daemon: while the database is stopped, and while thousands of reads wait."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from speechaid.embedded.files import read_address
from tests.support.terminal import Terminal, open_terminal

Document = dict[str, Any]


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    """Calls are long, and their workers would poll after five minutes: only an order wakes them before."""
    with open_terminal(
        talk_seconds=(6_000, 9_000),
        CALL_POLLING_INTERVAL="300",
        POLL_TIMEOUT_SECONDS="900",
        LEASE_SECONDS="1200",
    ) as opened:
        yield opened


@contextmanager
def stopped_database(terminal: Terminal) -> Iterator[None]:
    address = read_address(terminal.place / "database")
    assert address is not None
    os.kill(address.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(address.pid, signal.SIGCONT)


class Dealer:
    """A client that sends and does not wait."""

    def __init__(self, terminal: Terminal) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(f"ipc://{terminal.daemon.socket}")

    def send(self, request_id: str, command: str, **args: Any) -> None:
        header = {"v": 1, "id": request_id, "command": command, "args": args}
        self._socket.send(json.dumps(header).encode())

    def receive(self) -> Document:
        assert self._socket.poll(120_000), "no answer"
        return dict(json.loads(self._socket.recv()))

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()


@pytest.fixture
def dealer(terminal: Terminal) -> Iterator[Dealer]:
    dealer = Dealer(terminal)
    yield dealer
    dealer.close()


def here(terminal: Terminal) -> Document:
    return dict(terminal.ask("status")["supervisor"])


def is_alive(pids: set[int]) -> bool:
    return all(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: PTH110 - a process, no file of ours


def test_a_stop_is_in_force_on_this_host_while_the_database_does_not_answer(
    terminal: Terminal, dealer: Dealer
) -> None:
    batch_id = terminal.import_contacts(1, "waits", "--paused")
    workers = {int(row["pid"]) for row in terminal.ask("status")["workers"]}
    with stopped_database(terminal):
        dealer.send("pause", "pause-batch", batch=batch_id)
        dealer.send("hold", "hold", reason="complaints")
        terminal.until(lambda: here(terminal)["held"] and here(terminal)["paused_batches"] == [batch_id])
        answers: dict[str, Document] = {}
        while len(answers) < 2:
            reply = dealer.receive()
            if "progress" not in reply:
                answers[str(reply["id"])] = reply
    for request_id, text in (("hold", "this host is held"), ("pause", "this host places no call of it")):
        error = answers[request_id]["error"]
        assert error["code"] == "unavailable"
        assert text in error["message"]
    assert "paused on this host alone" in terminal.type("status")
    terminal.until(lambda: terminal.ask("status")["database"]["state"] == "up")
    terminal.until(lambda: succeeds(terminal, "pause-batch", batch_id))
    assert here(terminal)["paused_batches"] == [], "the database has it now"
    terminal.type("unhold")
    terminal.type("resume-batch", batch_id)
    assert not here(terminal)["held"]
    assert is_alive(workers), "a stopped database kills no worker"


def succeeds(terminal: Terminal, *argv: str) -> bool:
    try:
        terminal.type(*argv)
    except AssertionError:
        return False
    return True


def test_a_stop_is_answered_while_thousands_of_reads_wait(terminal: Terminal) -> None:
    batch_id = terminal.import_contacts(200, "read", "--paused")
    over = threading.Event()
    flood = threading.Thread(target=reading(terminal, over))
    flood.start()
    try:
        terminal.until(lambda: terminal.ask("status")["queue"])
        assert terminal.ask("hold", "--reason", "complaints")["held"] is True
        assert terminal.ask("pause-batch", batch_id)["was_active"] is False
    finally:
        over.set()
        flood.join()
    terminal.until(lambda: succeeds(terminal, "unhold"))
    assert not here(terminal)["held"]


def reading(terminal: Terminal, over: threading.Event) -> Callable[[], None]:
    """Keeps 4,000 reads of one client under way until it is over."""

    def read() -> None:
        dealer = Dealer(terminal)
        try:
            waiting = 0
            number = 0
            while not over.is_set():
                while waiting < 4_000:
                    dealer.send(f"r{number}", "report")
                    number, waiting = number + 1, waiting + 1
                waiting -= "progress" not in dealer.receive()
        finally:
            dealer.close()

    return read


def test_a_hang_up_stops_the_call_before_the_next_poll(terminal: Terminal) -> None:
    """Its worker would poll after five minutes."""
    job = terminal.a_live_call(terminal.import_contacts(1, "called"))
    terminal.type("hang-up", str(job["job_id"]), "--yes")
    stopped = {"job_id": job["job_id"], "dial.stop_asked_by": "operator"}
    terminal.until(lambda: terminal.database.jobs.find_one(stopped))
