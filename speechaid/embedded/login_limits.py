"""Bounds on what a connection to the embedded database may do before it has logged in.

Any user of the machine can connect to the port. The server itself would read messages of 48 MB from each
connection, and wait a day for each of their bytes; it has no option for that before the login alone.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Final

#: Longest message in bytes: a greeting with the driver's description, or a step of the login.
MESSAGE_BYTES: Final = 64 * 1024
#: Seconds from the first byte of a message to its last.
MESSAGE_SECONDS: Final = 10.0
#: Seconds between two messages. A driver's monitor never logs in, and greets every ten seconds.
SILENCE_SECONDS: Final = 60.0


class LoginLimits:
    """Counts one server's connections that have not logged in; used by the threads of all connections."""

    def __init__(self, module: Any, *, connections: int, idle_seconds: float) -> None:
        """Wrap nothing yet.

        Args:
            module: the server's module, whose ``read_message`` is called for each message.
            connections: how many may be open without a login.
            idle_seconds: the server's own time-out, for connections that have logged in.
        """
        self._module = module
        self._connections = connections
        self._idle_seconds = idle_seconds
        self._waiting = 0
        self._lock = threading.Lock()
        self._own = threading.local()

    def install(self, server: Any) -> bool:
        """Limit this server; False where a part of it that is wrapped is missing: another version."""
        names = ("read_message", "ConnectionAuth", "ConnectionClosed")
        parts = [getattr(self._module, name, None) for name in names]
        handle = getattr(server, "_handle_client", None)
        if not all(map(callable, [*parts, handle])):
            return False
        read, make_auth, closed = parts

        def new_auth(*arguments: Any, **options: Any) -> Any:
            self._own.auth = make_auth(*arguments, **options)  # type: ignore[misc]
            return self._own.auth

        def read_message(connection: Any) -> Any:
            auth = getattr(self._own, "auth", None)
            if auth is not None and not auth.is_authenticated:
                return read(_LimitedSocket(connection, closed))  # type: ignore[misc, arg-type]
            if self._leave_waiting():
                connection.settimeout(self._idle_seconds)
            return read(connection)  # type: ignore[misc]

        def handle_client(connection: Any, address: Any) -> None:
            if not self._begin_waiting():
                # The handler then finds it closed, and decrements the server's own count.
                connection.shutdown(socket.SHUT_RDWR)
            try:
                handle(connection, address)  # type: ignore[misc]
            finally:
                self._leave_waiting()

        self._module.ConnectionAuth, self._module.read_message = new_auth, read_message
        server._handle_client = handle_client  # noqa: SLF001 - the server has no public hook
        return True

    def _begin_waiting(self) -> bool:
        with self._lock:
            if self._waiting >= self._connections:
                return False
            self._waiting += 1
            self._own.waits = True
            return True

    def _leave_waiting(self) -> bool:
        """The connection has logged in or ended; whether it was counted until now."""
        if not getattr(self._own, "waits", False):
            return False
        with self._lock:
            self._waiting -= 1
        self._own.waits = False
        return True


class _LimitedSocket:
    """Receives one message within the limits."""

    def __init__(self, connection: Any, closed: type[Exception]) -> None:
        self._connection = connection
        self._closed = closed
        self._deadline: float | None = None

    def recv(self, wanted: int) -> bytes:
        """Receive at most ``wanted`` bytes, which is the rest of the message or of its header.

        Raises:
            TimeoutError: the message did not come in time.
        """
        if wanted > MESSAGE_BYTES:
            raise self._closed
        if self._deadline is None:
            self._connection.settimeout(SILENCE_SECONDS)
        else:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
        data: bytes = self._connection.recv(wanted)
        if self._deadline is None:
            self._deadline = time.monotonic() + MESSAGE_SECONDS
        return data
