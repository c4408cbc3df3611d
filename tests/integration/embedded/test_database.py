"""The embedded database under its supervisor, with real processes and a real client."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.errors import OperationFailure

from speechaid.embedded import files
from speechaid.embedded.database import EmbeddedDatabase, published_uri
from speechaid.errors import FleetError
from tests.support.fleet_harness import is_alive

DEADLINE_SECONDS = 60.0
#: MongoDB's code.
UNAUTHORIZED = 13


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true, with a generous deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited event did not come"
        time.sleep(0.02)


def client_of(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=20_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    database = EmbeddedDatabase(tmp_path / "db")
    database.start()
    yield database
    database.stop()


def test_clients_without_the_password_are_refused(server: EmbeddedDatabase) -> None:
    address = server.uri.rpartition("@")[2]
    for uri in (f"mongodb://{address}", f"mongodb://speechaid:guess@{address}"):
        with client_of(uri) as client, pytest.raises(OperationFailure):
            client["any"]["thing"].find_one()


def test_directory_and_files_are_for_the_owner_only(server: EmbeddedDatabase) -> None:
    assert server.directory.stat().st_mode & 0o777 == 0o700
    for name in ("credentials", "address", "server.log", "server.lock"):
        assert (server.directory / name).stat().st_mode & 0o777 == 0o600, name


def test_password_is_on_no_command_line_and_in_no_log(server: EmbeddedDatabase) -> None:
    password = server.uri.partition("speechaid:")[2].partition("@")[0]
    assert password in (server.directory / "credentials").read_text()
    assert password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert password.encode() not in Path(f"/proc/{server.pid}/environ").read_bytes()
    assert password not in (server.directory / "server.log").read_text()


def test_the_web_process_may_read_campaigns_and_write_users_alone(tmp_path: Path) -> None:
    server = EmbeddedDatabase(tmp_path / "db", campaigns="speechai_db")
    own = client_of(server.start())
    with own, client_of(published_uri(server.directory, files.WEB_CREDENTIALS)) as web:
        own["speechai_db"]["jobs"].insert_one({"_id": 1})
        jobs, users = web["speechai_db"]["jobs"], web["speechai_db_web"]["users"]
        assert jobs.find_one() == {"_id": 1}
        users.insert_one({"_id": "maria"})
        assert users.find_one() == {"_id": "maria"}
        forbidden: list[Callable[[], Any]] = [
            lambda: jobs.insert_one({"_id": 2}),
            lambda: jobs.update_one({"_id": 1}, {"$set": {"a": 1}}),
            lambda: jobs.delete_one({"_id": 1}),
            lambda: jobs.create_index("a"),
            jobs.drop,
            lambda: list(jobs.aggregate([{"$match": {}}, {"$out": "copy"}])),
            lambda: web["admin"].command("createUser", "x", pwd="x" * 12, roles=["root"]),
            web["other"]["things"].find_one,
        ]
        for operation in forbidden:
            with pytest.raises(OperationFailure) as refused:
                operation()
            assert refused.value.code == UNAUTHORIZED
        assert list(own["speechai_db"]["jobs"].find()) == [{"_id": 1}]
        assert own["speechai_db"].list_collection_names() == ["jobs"]
    assert (server.directory / files.WEB_CREDENTIALS).stat().st_mode & 0o777 == 0o600
    server.stop()


def test_journaled_write_survives_a_kill_and_the_client_reconnects(server: EmbeddedDatabase) -> None:
    with client_of(server.uri) as client:
        jobs = client.get_database("campaign", write_concern=_JOURNALED)["jobs"]
        jobs.insert_one({"_id": 1})
        uri, pid = server.uri, server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not server.is_alive())

        until(lambda: _ensured(server))

        assert server.uri == uri
        assert server.pid != pid
        assert jobs.find_one({"_id": 1}) == {"_id": 1}


def test_data_and_port_survive_a_clean_stop(tmp_path: Path) -> None:
    first = EmbeddedDatabase(tmp_path)
    uri = first.start()
    with client_of(uri) as client:
        client["campaign"]["jobs"].insert_one({"_id": 1})
    first.stop()
    assert first.pid is None

    second = EmbeddedDatabase(tmp_path)
    try:
        assert second.start() == uri
        with client_of(uri) as client:
            assert client["campaign"]["jobs"].count_documents({}) == 1
    finally:
        second.stop()


def test_second_supervisor_is_refused_with_the_pid_of_the_first(server: EmbeddedDatabase) -> None:
    with pytest.raises(FleetError, match=f"in use by process {os.getpid()}"):
        EmbeddedDatabase(server.directory).start()
    assert server.is_alive()


def test_interrupt_from_a_terminal_does_not_reach_the_server(server: EmbeddedDatabase) -> None:
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid
    os.kill(server.pid, signal.SIGINT)
    os.kill(server.pid, signal.SIGHUP)
    with client_of(server.uri) as client:
        assert client.admin.command("ping")["ok"] == 1.0


def test_server_survives_a_killed_supervisor_and_the_next_adopts_it(tmp_path: Path) -> None:
    supervisor, pid = _supervisor_process(tmp_path)
    with client_of(published_uri(tmp_path)) as worker:
        worker["campaign"]["jobs"].insert_one({"_id": 1})
        supervisor.kill()
        supervisor.wait()
        worker["campaign"]["jobs"].insert_one({"_id": 2})

        successor = EmbeddedDatabase(tmp_path)
        try:
            successor.start()
            assert successor.pid == pid
            worker["campaign"]["jobs"].insert_one({"_id": 3})
            worker.close()  # closing sends a message, and would wait long for a stopped server
        finally:
            successor.stop()
    assert not is_alive(pid)


@pytest.mark.slow
def test_orphaned_server_exits_when_its_last_client_has_disconnected(tmp_path: Path) -> None:
    supervisor, pid = _supervisor_process(tmp_path)
    supervisor.kill()
    supervisor.wait()

    until(lambda: not (tmp_path / "address").exists())
    until(lambda: not is_alive(pid))

    with pytest.raises(FleetError, match="no database runs"):
        published_uri(tmp_path)


def test_replaced_credentials_file_applies_at_the_next_start(tmp_path: Path) -> None:
    first = EmbeddedDatabase(tmp_path)
    old = first.start()
    first.stop()
    (tmp_path / "credentials").unlink()

    second = EmbeddedDatabase(tmp_path)
    try:
        with client_of(second.start()) as client:
            assert client.admin.command("ping")["ok"] == 1.0
            client["campaign"]["jobs"].insert_one({"_id": 1})
        with client_of(old) as client, pytest.raises(OperationFailure):
            client["campaign"]["jobs"].find_one()
    finally:
        second.stop()


def test_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetError, match=r"file/db cannot be used: Not a directory"):
        EmbeddedDatabase(tmp_path / "file" / "db").start()


def test_damaged_data_is_reported_at_the_start_not_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "WiredTiger").write_text("not a database")
    (tmp_path / "data" / "WiredTiger.turtle").write_text("not a database")
    database = EmbeddedDatabase(tmp_path)
    with pytest.raises(FleetError, match="did not start"):
        database.start()
    assert database.pid is None


_JOURNALED = WriteConcern("majority", j=True)

_SUPERVISE = """
import sys, time
from speechaid.embedded.database import EmbeddedDatabase
database = EmbeddedDatabase(sys.argv[1])
database.start()
print(database.pid, flush=True)
time.sleep(600)
"""


def _supervisor_process(directory: Path) -> tuple[subprocess.Popen[str], int]:
    """A supervisor process of a database, and the database's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISE, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        return process, int(process.stdout.readline())


def _ensured(server: EmbeddedDatabase) -> bool:
    server.ensure()
    return server.is_alive()


def test_a_large_message_before_the_login_ends_its_connection_unread(server: EmbeddedDatabase) -> None:
    port = int(server.uri.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(struct.pack("<iiii", 40_000_000, 1, 0, 2013))
        raw.settimeout(60)
        assert raw.recv(1) == b""
    with client_of(server.uri) as client:  # a login, and then a message of more than the limit
        client["any"]["thing"].insert_one({"text": "x" * 1_000_000})
        assert client["any"]["thing"].count_documents({}) == 1


def test_messages_that_are_none_fill_no_log(server: EmbeddedDatabase) -> None:
    port = int(server.uri.rpartition(":")[2].partition("/")[0])
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(struct.pack("<iiii", -1, 1, 0, 2013))
            raw.settimeout(60)
            assert raw.recv(1) == b""
    log = (server.directory / "server.log").read_text()
    assert log.count("wire protocol error") == 2  # one line: the text, and the cause by which it is summed up
    assert log.count("database.warning") == 1
