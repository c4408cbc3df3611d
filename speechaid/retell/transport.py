"""One HTTP exchange, bounded in time and size, and certain about what was sent.

``http.client`` bounds each wait for bytes, not the whole: a server that drips a byte now and then holds a
client for ever. Here what is left of the request's time bounds every read, from the status line to the last
byte. And a fault before the first byte of a request was handed over is proof that nothing was sent: the
connections below note it themselves.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import os
import queue
import select
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import certifi

#: No answer is longer; two hours' transcript with word timings stays well below.
LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
#: A connection takes at most this long, within the request's whole time.
CONNECT_SECONDS: Final = 10.0

#: Faults of the network, of the server's HTTP, and of a compressed answer.
_FAULTS: Final = (OSError, http.client.HTTPException, ValueError, zlib.error)


class ExchangeFailed(Exception):  # noqa: N818 - the deed failed
    """No whole answer came.

    Attributes:
        sent: whether any of the request may have left.
        word: ``not_sent``, ``timeout``, ``reset`` or ``unreadable``.
        reason: what the system said about it.
    """

    def __init__(self, word: str, *, sent: bool, reason: str) -> None:
        super().__init__(f"{word}: {reason}")
        self.word = word
        self.reason = reason
        self.sent = sent


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    #: By name in lower case.
    headers: Mapping[str, str]
    content: bytes


class BearerAuth:
    """The API key, which no representation of this object shows."""

    def __init__(self, api_key: str) -> None:
        # http.client would refuse such a key with a message that quotes it.
        if not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise ValueError("the API key is empty or has characters that no key has")
        self._key = api_key

    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"Bearer {self._key}"

    def redact(self, content: bytes) -> bytes:
        """The content without the key."""
        return content.replace(self._key.encode(), b"***")


class Session:
    """One connection to one server, straight or through the environment's proxy; reopened as needed."""

    def __init__(self, base_url: str, *, auth: BearerAuth, user_agent: str) -> None:
        self._address = urlsplit(base_url)
        self._auth = auth
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        self._prefix = self._address.path.rstrip("/")
        self._connection: _Connection | None = None

    def prepare(self) -> None:
        """Make what an exchange needs, short of connecting.

        Raises:
            OSError: the certificates that the environment names cannot be read.
            ValueError: the address, or that of the environment's proxy, is none that can be connected to.
        """
        if self._connection is None:
            self._connection = self._unconnected(_proxy_for(self._address))

    def exchange(self, method: str, path: str, *, content: bytes | None, seconds: float) -> Answer:
        """Send one request and read its whole answer within ``seconds``.

        Raises:
            ExchangeFailed: there is no whole answer.
        """
        try:
            self.prepare()
            assert self._connection is not None  # noqa: S101 - prepare has made it
            self._connection.begin(seconds)
            headers = {**self._headers, "Authorization": self._auth.header()}
            if content is not None:
                headers["Content-Type"] = "application/json"
            self._connection.request(method, self._prefix + path, body=content, headers=headers)
            with self._connection.getresponse() as response:
                found = {name.lower(): value for name, value in response.getheaders()}
                return Answer(status=response.status, headers=found, content=_read(response))
        except _FAULTS as exc:
            sent = self._connection is not None and self._connection.sent
            self.close()
            word = _word_for(exc) if sent else "not_sent"
            raise ExchangeFailed(word, sent=sent, reason=str(exc) or type(exc).__name__) from exc

    def close(self) -> None:
        """Close the connection; the next exchange opens another."""
        if self._connection is not None:
            self._connection.close()

    def _unconnected(self, proxy: SplitResult | None) -> _Connection:
        address = self._address
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ValueError("the address of Retell is neither http:// nor https://")
        if address.scheme == "https":
            connection = _Connection(address.hostname, address.port or 443, tls=_tls_context())
            if proxy is not None:
                connection.through(proxy)
            return connection
        if proxy is None:
            return _Connection(address.hostname, address.port or 80, tls=None)
        # Asked for plain HTTP, a proxy wants the whole address.
        self._prefix = f"http://{address.netloc}{self._prefix}"
        self._headers |= _proxy_headers(proxy)
        return _Connection(proxy.hostname or "", proxy.port or 80, tls=None)


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes until a moment, however slowly they drip."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_remaining(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """An answer whose every read is bounded by what is left of the request's time: the socket's time-out."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, time.monotonic() + seconds))


class _Connection(http.client.HTTPConnection):
    """A connection that notes when a request begins to leave, and keeps to the request's whole time.

    Attributes:
        sent: whether any of the present request may have left.
    """

    response_class = _DeadlineResponse

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self.default_port = 443 if tls is not None else 80  # of the Host header
        self.sent = False
        self._tls = tls
        self._name = host
        self._deadline = 0.0
        self._create_connection = self._reach

    def through(self, proxy: SplitResult) -> None:
        """Have the proxy connect us."""
        self.set_tunnel(self.host, self.port, _proxy_headers(proxy))
        self.host, self.port = proxy.hostname or "", proxy.port or 80

    def begin(self, seconds: float) -> None:
        """A request that may take so long; a connection that the server has left is dropped."""
        self.sent = False
        self._deadline = time.monotonic() + seconds
        if self.sock is not None and _is_readable(self.sock):
            self.close()

    def connect(self) -> None:
        """Connect, through the proxy if there is one, and agree on keys."""
        try:
            super().connect()
            if self._tls is not None:
                self.sock.settimeout(_remaining(self._deadline))
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)
        finally:
            self.sent = False  # what a proxy was sent to open the way is not the request

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_remaining(self._deadline))
        self.sent = True
        super().send(data)

    def getresponse(self) -> http.client.HTTPResponse:
        """The answer's head; its reads keep to what is left of the time."""
        if self.sock is not None:
            self.sock.settimeout(_remaining(self._deadline))
        return super().getresponse()

    def _reach(self, address: tuple[str, int], *_more: Any) -> socket.socket:
        """Resolve and connect within one time-out, whichever of the name's addresses answers."""
        deadline = min(self._deadline, time.monotonic() + CONNECT_SECONDS)
        failure: Exception = TimeoutError("no address answered in time")
        for found in _resolve(*address, _remaining(deadline)):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            try:
                return socket.create_connection((found, address[1]), remaining)
            except OSError as exc:
                failure = exc
        raise failure


def _tls_context() -> ssl.SSLContext:
    """Checks certificates against the bundle that the environment names, or Mozilla's."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    is_directory = Path(named).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_directory else named, capath=named if is_directory else None
    )
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy_for(address: SplitResult) -> SplitResult | None:
    """The environment's proxy for an address; it is for the world outside, not for a simulator beside us."""
    host = address.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    named = proxies.get(address.scheme) or proxies.get("all")
    if not named:
        return None
    try:
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        usable = proxy.scheme == "http" and proxy.hostname and proxy.port != 0
    except ValueError:  # its message may quote a password
        usable = False
    if not usable:
        raise ValueError("the environment's proxy is no http:// address")
    return proxy


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _read(response: http.client.HTTPResponse) -> bytes:
    unpack = None
    if response.getheader("Content-Encoding", "").strip().lower() in {"gzip", "x-gzip"}:
        unpack = zlib.decompressobj(wbits=31)
    content = bytearray()
    while chunk := response.read(65536):
        content += chunk if unpack is None else unpack.decompress(chunk, LARGEST_ANSWER_BYTES + 1)
        if len(content) > LARGEST_ANSWER_BYTES:
            raise http.client.HTTPException("the answer is too large")
    # A read that was told how much to read does not say that the rest never came.
    if response.length or (unpack is not None and content and not unpack.eof):
        raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


def _word_for(exc: BaseException) -> str:
    """The kind of fault."""
    kinds: list[tuple[str, tuple[type[BaseException], ...]]] = [
        ("timeout", (TimeoutError,)),
        ("reset", (ConnectionError, http.client.IncompleteRead)),
        ("unreadable", (http.client.HTTPException, ValueError, zlib.error)),
    ]
    return next((word for word, types in kinds if isinstance(exc, types)), "reset")


def _remaining(deadline: float) -> float:
    """Seconds left; ``TimeoutError`` where there are none."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the request took too long")
    return remaining


def _is_readable(sock: socket.socket) -> bool:
    """Between two exchanges nothing is to be read but the end of the connection, or rubbish."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name; the system's resolver knows no time-out, so it runs in a thread of its own."""
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put([str(entry[4][0]) for entry in entries])
        except (OSError, UnicodeError) as exc:
            found.put(exc)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no address for {host} in time") from None
    if isinstance(result, Exception):
        raise result
    return result


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
