"""``/metrics``, ``/healthz`` and ``/readyz``: the only HTTP server of the daemon, in its own threads.

It reads only the latest snapshot: no database, no lock of the loop. It binds at the start, so that an address
in use stops the start. It serves few clients at a time, each within a time limit; of too many, the oldest is
disconnected, so that no client can block the others.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final

from speechaid.errors import TelemetryError
from speechaid.protocol.text import encode_json
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.metrics import Exposition
from speechaid.telemetry.snapshot import SnapshotHolder

#: Seconds that a client may take for its request, and for each part of the answer.
CLIENT_SECONDS: Final = 10.0
#: Clients served at a time; for one more, the oldest connection is closed.
CLIENTS_AT_ONCE: Final = 16
#: Seconds within which ``shutdown`` takes effect.
_POLL_SECONDS: Final = 0.2

_PORT: Final = re.compile(":[0-9]{0,5}$")

log = get_logger("speechaid.metrics")

Answer = tuple[HTTPStatus, str, bytes]


class MetricsServer:
    """Binds at construction; serves from ``start`` to ``close``."""

    def __init__(self, address: str, holder: SnapshotHolder, hosts: Collection[str] = ()) -> None:
        """Bind the address.

        Args:
            address: ``HOST:PORT``; port 0 takes a free one.
            holder: the source of the snapshots.
            hosts: names, in lower case, that requests may ask for besides those of ``is_local_name``.

        Raises:
            TelemetryError: the address is in use, or not one of this machine.
        """
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        pages = _Pages(holder, {*hosts, host.lower()})
        try:
            family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
            server_class = type("_Server", (_Server,), {"address_family": family})
            self._server: _Server = server_class(place[:2], partial(_Handler, pages))
        except OSError as exc:
            raise TelemetryError(
                f"metrics cannot be served on {address}: {exc.strerror or exc}; set"
                " SPEECHAID_METRICS_ADDRESS to another HOST:PORT, or to off"
            ) from exc
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """The bound address: ``HOST:PORT``."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> None:
        """Start serving."""
        thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True
        )
        thread.start()
        self._thread = thread  # only now: ``close`` would wait without end for one that never ran

    def close(self) -> None:
        """Stop serving and release the address."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Pages:
    """The page of each path."""

    def __init__(self, holder: SnapshotHolder, hosts: Collection[str]) -> None:
        self.hosts = hosts
        self._holder = holder
        self._exposition = Exposition(holder)
        self.by_path: dict[str, Callable[[str], Answer]] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": lambda _: _verdict(self._holder.unhealthy()),
            "/readyz": lambda _: _verdict(self._holder.not_ready()),
        }

    def _metrics(self, accept: str) -> Answer:
        content, content_type = self._exposition.page(accept)
        return HTTPStatus.OK, content_type, content

    def _index(self, _accept: str) -> Answer:
        return HTTPStatus.OK, "text/plain; charset=utf-8", b"speechaid: /metrics /healthz /readyz\n"


def is_local_name(host: str) -> bool:
    """Whether no other machine's name can be meant: an IP address, or ``localhost``.

    A web page can give its own name our address and have a visitor's browser read from it what it likes (DNS
    rebinding); the browser then asks for the page's name. An address in its place was typed by somebody.
    """
    try:
        return bool(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def host_name(header: str) -> str:
    """The name that a ``Host`` header asks for, in lower case and without its port."""
    return _PORT.sub("", header.strip().lower()).rstrip(".")


def _verdict(reasons: list[str]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    body = encode_json({"ok": not reasons, "reasons": reasons}) + b"\n"
    return status, "application/json", body


class _Server(ThreadingMixIn, TCPServer):
    # Not the library's HTTPServer, which resolves this host's name, however long that takes.
    allow_reuse_address = True
    daemon_threads = True
    # ``server_close`` does not wait for clients.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        #: Open connections, the oldest first.
        self._open: deque[Any] = deque()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.append(request)
            if len(self._open) > CLIENTS_AT_ONCE:
                # Its thread reads the end of the stream, and closes the connection.
                with contextlib.suppress(OSError):
                    self._open.popleft().shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect in the middle."""


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS
    server_version = "speechaid"
    sys_version = ""

    def __init__(self, pages: _Pages, *args: Any) -> None:
        self._pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if not self._is_for_us():
            self.send_error(
                HTTPStatus.MISDIRECTED_REQUEST, explain="The Host header: see SPEECHAID_METRICS_HOSTS"
            )
            return
        page = self._pages.by_path.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            status, content_type, content = page(self.headers.get("Accept", ""))
        except Exception:
            log.exception("metrics.failed", path=self.path)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    def _is_for_us(self) -> bool:
        """Whether the request asks for a name of this server; programs that send no name are no browsers."""
        host = host_name(self.headers.get("Host", "localhost"))
        return is_local_name(host) or host in self._pages.hosts

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Do not log scrapes."""
