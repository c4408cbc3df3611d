"""A proxy that lets a server hold what MongoDB holds and the stand-in servers refuse to store.

MongoDB stores texts that are not UTF-8 and dates past year 9999; the servers of the tests do not. So the
documents are stored with stand-ins of the same length, and the proxy replaces these in each message: in
answers by the hostile value, in requests (a date in a filter) back again.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

#: Stored in place of bytes that are not UTF-8.
BROKEN_TEXT: Final = "Nu~~oa"
#: Stored in place of dates that Python has no datetime for.
FAR_FUTURE: Final = datetime(9998, 7, 7, 7, 7, 7, 777_000, tzinfo=UTC)
FAR_PAST: Final = datetime(2, 7, 7, 7, 7, 7, 777_000, tzinfo=UTC)
#: Milliseconds: some million years, in bytes that occur nowhere else in a message.
_NOBODYS_YEAR: Final = 0x0123_4567_89AB_CDEF


def _date(moment: datetime) -> bytes:
    return struct.pack("<q", (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution * 1000))


#: What is stored, and what the daemon gets.
_ANSWERS: Final = (
    (BROKEN_TEXT.encode(), b"Nu\xf1\xffoa"),
    (_date(FAR_FUTURE), struct.pack("<q", _NOBODYS_YEAR)),
    (_date(FAR_PAST), struct.pack("<q", -_NOBODYS_YEAR)),
)
_REQUESTS: Final = tuple((hostile, stored) for stored, hostile in _ANSWERS)


class WireProxy:
    """Listens on a free loopback port; a context manager."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port or 27017)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        netloc = f"{login}127.0.0.1:{self._listener.getsockname()[1]}"
        query = f"{parts.query}&directConnection=true" if parts.query else "directConnection=true"
        #: The server's address through the proxy.
        self.uri = urlunsplit((parts.scheme, netloc, parts.path or "/", query, ""))

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in (self._listener, *self._sockets):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.shutdown(socket.SHUT_RDWR)
                continue
            self._sockets.append(server)
            for source, sink, replacements in ((client, server, _REQUESTS), (server, client, _ANSWERS)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(_pump, source, sink, replacements)


def _pump(source: socket.socket, sink: socket.socket, replacements: tuple[tuple[bytes, bytes], ...]) -> None:
    try:
        while header := source.recv(4, socket.MSG_WAITALL):
            body = source.recv(struct.unpack("<i", header)[0] - 4, socket.MSG_WAITALL)
            for old, new in replacements:
                if old in body:
                    body = body.replace(old, new)
            sink.sendall(header + body)
    except OSError:
        pass
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
