"""HTTP connections for requests' adapter: one deadline and one size for each exchange, and nothing left over.

urllib3 and ``http.client`` bound each wait for bytes, not the whole: a server that sends a byte now and then
holds a client for ever. The connections below set what is left of the exchange's time before every operation
on the socket. They note when the first byte of a request may have left: a fault before that is proof that
nothing was sent. And they refuse answers whose end is in doubt, since what is left of one answer would be
taken for the next one.
"""

from __future__ import annotations

import functools
import http.client
import io
import itertools
import queue
import re
import socket
import ssl
import threading
import time
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HeaderParsingError, NewConnectionError
from urllib3.util import connection
from urllib3.util.response import assert_header_parsing
from urllib3.util.wait import wait_for_read

#: No answer is longer, packed or unpacked; two hours' transcript with word timings stays well below.
LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
#: Status line, headers and interim answers together: http.client takes a hundred lines of 64 KiB.
LARGEST_HEAD_BYTES: Final = 256 * 1024
#: A connection takes at most this long, within the exchange's whole time.
CONNECT_SECONDS: Final = 10.0

#: Interim (1xx) answers that are skipped before the answer itself.
_MOST_INTERIM_ANSWERS: Final = 8
#: Lines after the last chunk, and the longest line around chunks.
_MOST_TRAILERS: Final = 100
_LONGEST_LINE_BYTES: Final = 8192
#: RFC 9112, 7.1: int() also takes a sign, ``0x``, underscores and leading blanks.
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_CONTENT_LENGTH: Final = re.compile(r"[0-9]{1,15}")


class Exchange:
    """The state of the exchange that a session is in; shared by the session and its connection.

    Attributes:
        deadline: when it has to be over, in seconds of ``time.monotonic``.
        sent: whether any byte of the request may have left.
        leftover: whether the server sent more than the answer: its connection must not be used again.
    """

    def __init__(self) -> None:
        self.deadline = 0.0
        self.sent = False
        self.leftover = False

    def begin(self, seconds: float) -> None:
        """Start an exchange that may take so many seconds."""
        self.deadline = time.monotonic() + seconds
        self.sent = False

    def remaining(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: there are none.
        """
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the request took too long")
        return remaining


class Connection(HTTPConnection):
    """A connection that keeps to the deadline of its exchange; also a mixin for TLS."""

    def __init__(self, *args: Any, exchange: Exchange, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchange = exchange
        self.response_class = functools.partial(_Response, exchange=exchange)  # type: ignore[assignment]

    @property
    def is_connected(self) -> bool:
        """Whether it may carry another request: the server has neither left nor sent anything since."""
        if self._exchange.leftover or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return False
        return super().is_connected

    def connect(self) -> None:
        """Connect, through the proxy if there is one, and agree on keys."""
        sent = self._exchange.sent
        try:
            super().connect()
        finally:
            self._exchange.sent = sent  # what a proxy was sent to open the way is not the request
        self._exchange.leftover = False

    def send(self, data: Any) -> None:
        """Send bytes; the first ones of a request only while the server is silent."""
        if self.sock is None:
            self.connect()
        if not self._exchange.sent and self._has_spoken():
            raise ConnectionError("the server closed or spoke before the request")
        self.sock.settimeout(self._exchange.remaining())
        self._exchange.sent = True
        super().send(data)

    def _has_spoken(self) -> bool:
        """Whether the server has closed or sent anything; under TLS it may begin, with session tickets."""
        return not isinstance(self.sock, ssl.SSLSocket) and wait_for_read(self.sock, 0.0)

    def _new_conn(self) -> socket.socket:
        """Resolve the name and connect to whichever of its addresses answers."""
        try:
            return self._reach()
        except (OSError, UnicodeError) as exc:
            raise NewConnectionError(self, str(exc)) from exc

    def _reach(self) -> socket.socket:
        deadline = min(self._exchange.deadline, time.monotonic() + CONNECT_SECONDS)
        addresses = _resolve(self._dns_host, self.port, min(CONNECT_SECONDS, self._exchange.remaining()))
        failure: OSError = TimeoutError("no address answered in time")
        for number, address in enumerate(addresses, start=1):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            # An address that swallows packets leaves half of the time to those that follow.
            seconds = remaining if number == len(addresses) else remaining / 2
            try:
                return connection.create_connection(
                    (address, self.port), seconds, socket_options=self.socket_options
                )
            except OSError as exc:
                failure = exc
        raise failure

    def _tunnel(self) -> None:
        super()._tunnel()
        if self._exchange.leftover:
            raise ConnectionError("the proxy sent more than its answer")
        self.sock.settimeout(self._exchange.remaining())  # for the handshake, which is next


class SecureConnection(Connection, HTTPSConnection):
    """The same with TLS."""


class _BoundedReader(io.RawIOBase):
    """A socket's bytes until the exchange's deadline, and no more of them than an answer may have."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._exchange = exchange
        self.allowed_bytes = LARGEST_HEAD_BYTES
        self.has_ended = False
        #: Makes the reader say that nothing has arrived, so that a buffer above shows only what it holds.
        self.is_silent = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_silent:
            return None
        self._sock.settimeout(self._exchange.remaining())
        count = self._raw.readinto(buffer)
        self.has_ended = count == 0
        self.allowed_bytes -= count or 0
        if self.allowed_bytes < 0:
            raise http.client.HTTPException("the answer is too large")
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _AnswerFile(io.BufferedReader):
    """The bytes of one answer; notes at its end whether it holds bytes that belong to no answer."""

    def __init__(self, reader: _BoundedReader, exchange: Exchange) -> None:
        super().__init__(reader)
        self.reader = reader
        self._exchange = exchange

    def close(self) -> None:
        if not self.closed:
            self.reader.is_silent = True
            self._exchange.leftover = self._exchange.leftover or bool(self.peek(1))
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose end is beyond doubt."""

    def __init__(self, sock: socket.socket, *args: Any, exchange: Exchange, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._file = _AnswerFile(_BoundedReader(self.fp.detach(), sock, exchange), exchange)
        self.fp = self._file

    def begin(self) -> None:
        """Read the head of the answer, and skip interim ones.

        Raises:
            http.client.HTTPException: it is none, or does not say where the body ends.
        """
        super().begin()
        for _ in range(_MOST_INTERIM_ANSWERS):
            if not 100 <= self.status < 200:
                break
            if self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException("a change of protocol that was not asked for")
            # http.client skips 100 alone, and would take 103 for the answer.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        else:
            raise http.client.HTTPException("too many interim answers")
        self._check_head()
        self._file.reader.allowed_bytes += LARGEST_ANSWER_BYTES
        if self.chunked:
            self.chunked = False
            if self.length is None:  # 204 and 304 have no body, whatever they say
                self.fp = io.BufferedReader(_Chunks(self._file))

    def _check_head(self) -> None:
        if self._file.reader.has_ended:  # http.client takes the end of the connection for that of the head
            raise http.client.IncompleteRead(b"")
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:  # its text quotes what was sent
            raise http.client.HTTPException("a header that cannot be read") from None
        if any("\0" in name + value for name, value in self.msg.items()):
            raise http.client.HTTPException("a header with NUL")
        lengths = {length.strip(" \t") for length in self.msg.get_all("Content-Length", ())}
        codings = [coding.strip().lower() for coding in self.msg.get_all("Transfer-Encoding", ())]
        if lengths and codings:
            raise http.client.HTTPException("both a length and a transfer coding")
        if len(lengths) > 1 or not all(_CONTENT_LENGTH.fullmatch(length) for length in lengths):
            raise http.client.HTTPException("the length is no number, or several")
        if codings not in ([], ["chunked"]):
            raise http.client.HTTPException("a transfer coding other than chunked")


class _Chunks(io.RawIOBase):
    """The body of a chunked answer, without the sizes and the trailers (RFC 9112, 7.1)."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__()
        self._file = file
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left == 0 and not self._ended:
            self._left = self._next_size()
        if self._ended:
            return 0
        view = memoryview(buffer)[: self._left]
        count = self._file.readinto(view)
        if not count:
            raise http.client.IncompleteRead(b"")
        self._left -= count
        if self._left == 0 and self._line() != b"\r\n":
            raise http.client.HTTPException("a chunk does not end where its size says")
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _next_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._line())
        if size is None:
            raise http.client.HTTPException("a chunk without a size")
        length = int(size[1], 16)
        if length == 0:
            self._skip_trailers()
            self._ended = True
        return length

    def _skip_trailers(self) -> None:
        for _ in range(_MOST_TRAILERS):
            # The body is whole: the end of the connection is as good as the empty line.
            if self._file.peek(1) == b"" or self._line() == b"\r\n":
                return
        raise http.client.HTTPException("too many lines after the last chunk")

    def _line(self) -> bytes:
        line = self._file.readline(_LONGEST_LINE_BYTES)
        if line.endswith(b"\n"):
            return line
        if len(line) == _LONGEST_LINE_BYTES:
            raise http.client.LineTooLong("chunk")
        raise http.client.IncompleteRead(line)


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name; the system's resolver has no time-out, so it runs in a thread."""
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found.put(_in_turn(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as exc:
            found.put(exc)

    threading.Thread(target=resolve, name="resolve", daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no address for {host} in time") from None
    if isinstance(result, Exception):
        raise result
    return result


def _in_turn(entries: list[Any]) -> list[str]:
    """The addresses, IPv6 and IPv4 alternating (RFC 8305, 4): a family without a route costs one attempt."""
    preferred = [str(entry[4][0]) for entry in entries if entry[0] == entries[0][0]]
    others = [str(entry[4][0]) for entry in entries if entry[0] != entries[0][0]]
    return [address for pair in itertools.zip_longest(preferred, others) for address in pair if address]
