"""One HTTP exchange by requests, bounded in time and size, and certain about what was sent.

The adapter below is used without a ``requests.Session``: what a session adds (redirects, cookies, ``.netrc``,
the environment read anew for each request) is what must not happen here. ``retell.connections`` keeps to the
deadline and refuses answers whose end is in doubt.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import os
import ssl
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import SplitResult, unquote, urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from speechaid.retell.connections import LARGEST_ANSWER_BYTES, Connection, Exchange, SecureConnection

#: Faults of the network, of the server's HTTP, and of a compressed answer; those of requests are OSErrors.
_FAULTS: Final = (OSError, HTTPError, http.client.HTTPException, ValueError, zlib.error)


#: The word for an answer that is too large, or no HTTP.
UNREADABLE: Final = "unreadable"


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


class BearerAuth(AuthBase):
    """The API key, which no representation of this object shows."""

    def __init__(self, api_key: str) -> None:
        # requests would refuse such a key with a message that quotes it.
        if not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise ValueError("the API key is empty or has characters that no key has")
        self._key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def redact(self, content: bytes) -> bytes:
        """The content without the key."""
        return content.replace(self._key.encode(), b"***")


class Session:
    """One connection to one server, direct or through the environment's proxy; reopened as needed.

    It may be made and prepared before a fork, and used after it. For one thread.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        auth: BearerAuth | None = None,
        accept: str = "application/json",
        system_certificates: bool = False,
    ) -> None:
        """A session that is not connected yet.

        Args:
            base_url: what the paths of requests are appended to.
            user_agent: of every request.
            auth: signs every request.
            accept: the media types that may come back.
            system_certificates: whether those of the system are trusted too, not Mozilla's alone.
        """
        self._base_url = base_url
        self._auth = auth
        self._headers = {"User-Agent": user_agent, "Accept": accept, "Accept-Encoding": "gzip"}
        self._system_certificates = system_certificates
        self._exchange = Exchange()
        self._adapter: _Adapter | None = None
        self._proxies: dict[str, str] = {}

    def prepare(self) -> None:
        """Make what an exchange needs, short of connecting.

        Raises:
            OSError: the certificates that the environment names cannot be read.
            ValueError: the address, or that of the environment's proxy, is none that can be connected to.
        """
        if self._adapter is not None:
            return
        address = urlsplit(self._base_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ValueError("the address is neither http:// nor https://")
        proxy = _proxy_for(address)
        context = _tls_context(system=self._system_certificates) if address.scheme == "https" else None
        self._proxies = {} if proxy is None else {address.scheme: proxy}
        self._adapter = _Adapter(self._exchange, context)

    def exchange(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None,
        seconds: float,
        headers: Mapping[str, str] = MappingProxyType({}),
        read_content: bool = True,
    ) -> Answer:
        """Send one request and read its whole answer within ``seconds``.

        Args:
            method: of HTTP.
            path: appended to the session's address.
            content: JSON to send.
            seconds: for names, connection, request and answer together.
            headers: of this request, beside the session's.
            read_content: False leaves the answer's content unread, and drops the connection.

        Raises:
            ExchangeFailed: there is no whole answer.
        """
        self._exchange.begin(seconds)
        try:
            self.prepare()
            assert self._adapter is not None  # noqa: S101 - prepare has made it
            request = self._request(method, path, content, headers)
            response = self._adapter.send(request, stream=True, timeout=seconds, proxies=self._proxies)
            with response:
                found = {name.lower(): value for name, value in response.raw.headers.items()}
                unpacked = _read(response.raw) if read_content else b""
                return Answer(status=response.status_code, headers=found, content=unpacked)
        except _FAULTS as exc:
            self.close()
            # From the root: what requests and urllib3 say about it names the whole address.
            raise _failure_of(exc, sent=self._exchange.sent) from _root_of(exc)

    def close(self) -> None:
        """Close the connection; the next exchange opens another."""
        if self._adapter is not None:
            self._adapter.close()

    def _request(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        sent = {**self._headers, **headers}
        if content is not None:
            sent["Content-Type"] = "application/json"
        url = self._base_url + path
        return requests.Request(method, url, headers=sent, data=content, auth=self._auth).prepare()


class _Adapter(HTTPAdapter):
    """Sends to one server, by connections that keep to the exchange's deadline; retries nothing."""

    def __init__(self, exchange: Exchange, context: ssl.SSLContext | None) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._exchange = exchange
        self._context = context
        self._pool: urllib3.HTTPConnectionPool | None = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> urllib3.HTTPConnectionPool:
        """The one pool; requests would work out for each request which of its pools fits."""
        if self._pool is None:
            pool = cast(
                "urllib3.HTTPConnectionPool", super().get_connection_with_tls_context(*args, **kwargs)
            )
            secure = isinstance(pool, urllib3.HTTPSConnectionPool)
            pool.ConnectionCls = SecureConnection if secure else Connection
            pool.conn_kw["exchange"] = self._exchange
            self._pool = pool
        return self._pool

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """The server, and our certificates: requests would read them after the fork, in each worker."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {} if self._context is None else {"ssl_context": self._context}

    def cert_verify(self, *_args: Any) -> None:
        """Nothing to add: the context has the certificates, and requires one that fits the host."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """The proxy's password in UTF-8 (RFC 7617), of which requests knows Latin-1 alone."""
        address = urlsplit(proxy)
        if address.username is None:
            return {}
        pair = f"{unquote(address.username)}:{unquote(address.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        super().close()
        self._pool = None


def _tls_context(*, system: bool) -> ssl.SSLContext:
    """Checks certificates against the bundle that the environment names, or Mozilla's.

    Args:
        system: whether the system's certificates (or those of ``SSL_CERT_FILE``) are trusted as well.
    """
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    bundle = named or certifi.where()
    is_directory = Path(bundle).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_directory else bundle, capath=bundle if is_directory else None
    )
    if system:
        context.load_default_certs()
    return context


def _proxy_for(address: SplitResult) -> str | None:
    """The environment's proxy for an address; it is for the world outside, not for a simulator beside us."""
    host = address.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    named = proxies.get(address.scheme) or proxies.get("all")
    if not named:
        return None
    url = named if "://" in named else f"http://{named}"
    try:
        proxy = urlsplit(url)
        usable = proxy.scheme == "http" and proxy.hostname and proxy.port != 0 and parse_url(url).host
    except ValueError:  # its message may quote a password
        usable = None
    if not usable:
        raise ValueError("the environment's proxy is no http:// address")
    return url


def _read(raw: Any) -> bytes:
    """The content of an answer, unpacked; urllib3 would take half a gzip stream for a whole one."""
    unpack = None
    if raw.headers.get("Content-Encoding", "").strip().lower() in {"gzip", "x-gzip"}:
        unpack = zlib.decompressobj(wbits=31)
    content = bytearray()
    while chunk := raw.read(65536, decode_content=False):
        content += chunk if unpack is None else unpack.decompress(chunk, LARGEST_ANSWER_BYTES + 1)
        if len(content) > LARGEST_ANSWER_BYTES:
            raise http.client.HTTPException("the answer is too large")
    if unpack is not None and content and not unpack.eof:
        raise http.client.IncompleteRead(b"")
    return bytes(content)


def _failure_of(exc: BaseException, *, sent: bool) -> ExchangeFailed:
    root = _root_of(exc)
    return ExchangeFailed(
        _word_for(root) if sent else "not_sent", sent=sent, reason=str(root) or type(root).__name__
    )


def _root_of(exc: BaseException) -> BaseException:
    """The fault itself, below what requests and urllib3 made of it."""
    while isinstance(exc, (requests.RequestException, HTTPError)):
        below = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
        if below is None:
            break
        exc = below
    return exc


def _word_for(exc: BaseException) -> str:
    """The kind of fault."""
    kinds: list[tuple[str, tuple[type[BaseException], ...]]] = [
        ("timeout", (TimeoutError,)),
        ("reset", (ConnectionError, http.client.IncompleteRead)),
        (UNREADABLE, (http.client.HTTPException, ValueError, zlib.error)),
    ]
    return next((word for word, types in kinds if isinstance(exc, types)), "reset")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
