"""One HTTP exchange over ``requests``: bounded in time and size, and certain about what was sent.

``requests`` bounds each wait for bytes, not the whole: a server that drips a byte now and then holds a client
for ever. Here what is left of the request's time bounds every read, from the status line to the last byte.

Its exceptions cannot tell either whether the request had left when the connection broke. The connections
below note it themselves: a fault before the first ``send`` is proof that nothing was sent.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import connection as urllib3_connection

#: No answer is longer; two hours' transcript with word timings stays well below.
LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
#: A connection takes at most this long, within the request's whole time.
CONNECT_SECONDS: Final = 10.0


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
    #: Case-insensitive.
    headers: Mapping[str, str]
    content: bytes


class BearerAuth(AuthBase):
    """The API key; being set as ``auth`` it also keeps ``~/.netrc`` from replacing it."""

    def __init__(self, api_key: str) -> None:
        # http.client would refuse such a key with a message that quotes it.
        if not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise ValueError("the API key is empty or has characters that no key has")
        self._key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one request."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def redact(self, content: bytes) -> bytes:
        """The content without the key."""
        return content.replace(self._key.encode(), b"***")


def open_session(base_url: str, *, auth: AuthBase, user_agent: str) -> requests.Session:
    """A session without retries, whose connections keep to the request's whole time."""
    session = requests.Session()
    session.auth = auth
    session.headers.update({"User-Agent": user_agent, "Accept": "application/json"})
    # A proxy of the environment is for the world outside; a simulator on this machine is not behind it.
    session.trust_env = not _is_loopback(urlsplit(base_url).hostname or "")
    adapter = _Adapter(max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def exchange(
    session: requests.Session, method: str, url: str, *, content: bytes | None, seconds: float
) -> Answer:
    """Send one request and read its whole answer within ``seconds``.

    Raises:
        ExchangeFailed: there is no whole answer.
    """
    _progress.sent = False
    try:
        with session.request(
            method,
            url,
            data=content,
            headers=None if content is None else {"Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), total=seconds),  # type: ignore[arg-type]
            allow_redirects=False,
            stream=True,
        ) as response:
            return Answer(status=response.status_code, headers=response.headers, content=_read(response))
    except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError) as exc:
        sent = _progress.sent
        chain = _chain(exc)
        word = _word_for(chain) if sent else "not_sent"
        raise ExchangeFailed(word, sent=sent, reason=str(chain[-1]) or type(chain[-1]).__name__) from exc


def _read(response: requests.Response) -> bytes:
    chunks = bytearray()
    for chunk in response.iter_content(65536):
        chunks += chunk
        if len(chunks) > LARGEST_ANSWER_BYTES:
            raise http.client.HTTPException("the answer is too large")
    return bytes(chunks)


def _chain(exc: BaseException) -> list[BaseException]:
    """The error and what caused it, down to the first: libraries wrap each other's errors."""
    chain: list[BaseException] = []
    cause: BaseException | None = exc
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return chain


def _word_for(chain: list[BaseException]) -> str:
    """The kind of fault; a time-out anywhere in the chain is one."""
    kinds: list[tuple[str, tuple[type[BaseException], ...]]] = [
        ("timeout", (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)),
        ("reset", (ConnectionError, http.client.IncompleteRead, urllib3.exceptions.IncompleteRead)),
        ("unreadable", (http.client.HTTPException, ValueError, urllib3.exceptions.DecodeError)),
    ]
    return next((word for word, types in kinds if any(isinstance(link, types) for link in chain)), "reset")


class _Progress(threading.local):
    """How far the request of this thread got."""

    sent: bool = False


_progress = _Progress()


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes until a moment, however slowly they drip."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds: float) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """An answer whose every read is bounded by what is left of the request's time.

    urllib3 sets just that as the socket's time-out right before it makes this object.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, seconds))


class _Connection(HTTPConnection):
    """A connection that notes when the request begins to leave."""

    response_class = _DeadlineResponse

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            _progress.sent = False  # what a proxy was sent to open the way is not the request

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _progress.sent = True
        super().send(data)

    def _new_conn(self) -> socket.socket:
        """Resolve and connect within one time-out; urllib3 grants each address its own, and names none."""
        seconds = self.timeout if isinstance(self.timeout, int | float) else CONNECT_SECONDS
        deadline = time.monotonic() + seconds
        failure: Exception = TimeoutError("no address answered in time")
        try:
            for address in _resolve(self._dns_host, self.port, seconds):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                try:
                    return urllib3_connection.create_connection(
                        (address, self.port),
                        remaining,
                        source_address=self.source_address,
                        socket_options=self.socket_options,
                    )
                except OSError as exc:
                    failure = exc
        except (OSError, UnicodeError) as exc:
            failure = exc
        raise urllib3.exceptions.NewConnectionError(self, f"no connection: {failure}") from failure


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Hands out the connections above, straight or through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager


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
