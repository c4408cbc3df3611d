"""Commands that a process carries out: reports, exports, and the files of imports; and clients that leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from pymongo.database import Database

from speechaid.importing import process
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.protocol.client import Client
from speechaid.protocol.messages import ErrorCode
from speechaid.store.connection import connect
from tests.integration.control.test_commands import Operator, settings_for
from tests.support.fakes import served
from tests.support.fleet_harness import until

Document = dict[str, Any]


@pytest.fixture
def database_thread(database: Database[Document], database_uri: str) -> Iterator[DatabaseThread]:
    settings = settings_for(database_uri, database.name)
    thread = DatabaseThread(connect(settings.database), settings)
    yield thread
    thread.close()
    assert pids(thread) == frozenset()


@pytest.fixture
def operator(
    tmp_path: Path, database_thread: DatabaseThread, database: Database[Document], database_uri: str
) -> Iterator[Operator]:
    store = connect(settings_for(database_uri, database.name).database)
    store.prepare()
    path = tmp_path / "control.sock"
    with served(path, database_thread) as service, Client(path) as client:
        yield Operator(client, service, store, database)
    store.close()


@pytest.fixture
def kept_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of queries stays, however slow this machine is."""
    monkeypatch.setattr(process, "KEPT_SECONDS", 600.0)
    monkeypatch.setattr(process, "YOUNG_SECONDS", 600.0)


def pids(thread: DatabaseThread) -> frozenset[int]:
    with thread.readers.child_pids() as found:
        return found or frozenset()


def many(rows: int) -> str:
    return "\n".join(
        ["nombre,telefono", *(f"P {number},+569{61_000_000 + number}" for number in range(rows))]
    )


@pytest.mark.usefixtures("kept_long")
def test_pages_of_an_export_come_from_one_process(
    operator: Operator, database_thread: DatabaseThread
) -> None:
    operator.database.jobs.insert_many(
        [{"_id": f"j{number:02}", "job_id": f"j{number:02}"} for number in range(25)]
    )
    rows: list[str] = []
    after: str | None = None
    seen: set[int] = set()
    while True:
        page = operator.run("export", what="jobs", limit=10, **({} if after is None else {"after": after}))
        rows += [row[0] for row in page["rows"]]
        seen |= pids(database_thread)
        after = page["next"]
        if after is None:
            break
    assert rows == [f"j{number:02}" for number in range(25)]
    assert len(seen) == 1


@pytest.mark.usefixtures("kept_long")
def test_the_process_of_a_report_has_neither_the_key_nor_the_address_where_others_read_them(
    operator: Operator, database_thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, database_uri: str
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", "key_0123456789abcdef")
    monkeypatch.setenv("MONGO_URI", database_uri)
    assert operator.run("report")["jobs"]["total"] == 0
    (pid,) = pids(database_thread)
    for name in ("environ", "cmdline"):
        shown = Path(f"/proc/{pid}/{name}").read_bytes()
        assert b"0123456789abcdef" not in shown
        assert database_uri.encode() not in shown


def test_a_process_without_work_is_ended(
    operator: Operator, database_thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as kept:
        kept.setattr(process, "KEPT_SECONDS", 600.0)
        operator.run("report")
        (pid,) = pids(database_thread)
    until(lambda: not pids(database_thread), "its end")
    assert not Path(f"/proc/{pid}").exists()


def test_a_refusal_in_the_process_is_the_commands(operator: Operator) -> None:
    assert operator.refusal("report", batch="nothing").code == ErrorCode.NOT_FOUND
    assert operator.refusal("export", what="dnc", batch="b").code == ErrorCode.BAD_ARGUMENT
    assert operator.refusal("export", what="jobs", after="nowhere").code == ErrorCode.BAD_ARGUMENT
    assert operator.run("report")["jobs"]["total"] == 0


@pytest.mark.usefixtures("kept_long")
def test_a_report_after_a_killed_process_is_made_by_another(
    operator: Operator, database_thread: DatabaseThread
) -> None:
    operator.run("report")
    (pid,) = pids(database_thread)
    os.kill(pid, signal.SIGKILL)
    # The whole of it: its first thread may be gone, and the others not yet.
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    until(lambda: os.waitid(os.P_PID, pid, ended) is not None, "its end")
    assert operator.run("report")["jobs"]["total"] == 0
    assert pid not in pids(database_thread)


def test_more_readings_than_places_say_that_they_wait_and_are_all_answered(
    operator: Operator, tmp_path: Path
) -> None:
    with dealer(tmp_path) as socket:
        for number in range(3):
            send(socket, f"r{number}", "import", many(2_000), filename=f"{number}.csv", dry_run=True)
        states: dict[str, list[str]] = {}
        answers: dict[str, Document] = {}
        while len(answers) < 3:
            assert socket.poll(120_000), "no answer"
            reply = json.loads(socket.recv())
            if "progress" in reply:
                states.setdefault(reply["id"], []).append(reply["progress"]["state"])
            else:
                answers[reply["id"]] = reply["result"]
    waited = [each for each, said in states.items() if "waiting for other files and reports" in said]
    assert waited == ["r2"]
    assert [answers[each]["good_rows"] for each in sorted(answers)] == [2_000] * 3


@pytest.mark.parametrize(
    ("command", "is_write"),
    [("import", False), ("dnc-import", False), ("import", True), ("dnc-import", True)],
)
def test_a_reading_ends_with_its_client_unless_it_is_for_a_write(
    operator: Operator, database_thread: DatabaseThread, tmp_path: Path, command: str, is_write: bool
) -> None:
    rows = 300 if is_write else 100_000
    with dealer(tmp_path) as socket:
        send(socket, "r", command, many(rows), filename="march.csv", dry_run=not is_write)
        until(lambda: pids(database_thread), "a reader")
    (pid,) = pids(database_thread)
    until(lambda: not pids(database_thread), "its end")
    assert not Path(f"/proc/{pid}").exists()
    if is_write:
        collection = {"import": "jobs", "dnc-import": "speechaid_do_not_call"}[command]
        until(lambda: operator.database[collection].count_documents({}) == rows, "the write")
    else:
        until(lambda: operator.run("batches") is not None, "an answer to another command")


@contextlib.contextmanager
def dealer(tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    """A client that sends and does not wait."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(f"ipc://{tmp_path / 'control.sock'}")
    yield socket
    socket.close(linger=0)
    context.term()


def send(socket: zmq.Socket[bytes], request_id: str, command: str, file: str, **args: Any) -> None:
    header = {"v": 1, "id": request_id, "command": command, "args": args}
    socket.send_multipart([json.dumps(header).encode(), file.encode()])
