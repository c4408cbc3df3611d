"""What a connection may do before its login: the limits, on a server in memory."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from speechaid.embedded import login_limits
from speechaid.embedded.login_limits import MESSAGE_BYTES, SILENCE_SECONDS, LoginLimits

IDLE_SECONDS = 1000.0


class ConnectionClosedError(Exception):
    """The server's own."""


class Auth:
    """A connection's login."""

    is_authenticated = False


class Connection:
    """A socket that always has the bytes that are asked for."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []
        self.is_shut = False

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def recv(self, wanted: int) -> bytes:
        return b"x"

    def shutdown(self, _how: int) -> None:
        self.is_shut = True


class Server:
    """One message of a given length for each connection, before or after a login."""

    def __init__(self, module: Any, *, logs_in: bool = False, length: int = 100) -> None:
        self.module, self.logs_in, self.length = module, logs_in, length
        self.entered, self.leave = threading.Semaphore(0), threading.Event()
        self.errors: list[type[BaseException]] = []

    def _handle_client(self, connection: Any, _address: object) -> None:
        auth = self.module.ConnectionAuth()
        auth.is_authenticated = self.logs_in
        try:
            self.module.read_message(connection)
        except (ConnectionClosedError, TimeoutError) as exc:
            self.errors.append(type(exc))
        self.entered.release()
        assert self.leave.wait(60)


def module_of() -> Any:
    def read_message(connection: Any) -> bytes:
        wanted: int = module.length
        received = b""
        while len(received) < wanted:
            received += connection.recv(wanted - len(received))
        return received

    module = SimpleNamespace(
        read_message=read_message, ConnectionAuth=Auth, ConnectionClosed=ConnectionClosedError, length=100
    )
    return module


def limited(module: Any, server: Server, connections: int = 8) -> None:
    assert LoginLimits(module, connections=connections, idle_seconds=IDLE_SECONDS).install(server)


def test_a_message_above_the_limit_is_not_read_before_the_login() -> None:
    module = module_of()
    module.length = MESSAGE_BYTES + 1
    server = Server(module)
    server.leave.set()
    limited(module, server)
    server._handle_client(Connection(), None)
    assert server.errors == [ConnectionClosedError]


def test_after_the_login_the_servers_own_limits_apply() -> None:
    module = module_of()
    server = Server(module, logs_in=True)
    server.leave.set()
    limited(module, server)
    connection = Connection()
    server._handle_client(connection, None)
    assert (server.errors, connection.timeouts) == ([], [IDLE_SECONDS])


def test_a_message_has_to_be_complete_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of()
    server = Server(module)
    server.leave.set()
    limited(module, server)
    seconds = iter(range(1000))
    monkeypatch.setattr(login_limits, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    connection = Connection()
    server._handle_client(connection, None)
    assert server.errors == [TimeoutError]
    assert connection.timeouts[0] == SILENCE_SECONDS
    assert sorted(connection.timeouts[1:], reverse=True) == connection.timeouts[1:]


def test_connections_without_a_login_are_bounded_and_make_room_when_they_end() -> None:
    module = module_of()
    server = Server(module)
    limited(module, server, connections=2)
    connections = [Connection() for _ in range(3)]
    threads = [
        threading.Thread(target=server._handle_client, args=(connection, None)) for connection in connections
    ]
    for thread in threads:
        thread.start()
        assert server.entered.acquire(timeout=60)
    assert [connection.is_shut for connection in connections] == [False, False, True]
    server.leave.set()
    for thread in threads:
        thread.join()
    later = Connection()
    server._handle_client(later, None)
    assert not later.is_shut


def test_another_version_of_the_server_is_reported() -> None:
    module = SimpleNamespace(read_message=print, ConnectionAuth=Auth)
    assert not LoginLimits(module, connections=8, idle_seconds=1.0).install(Server(module))
