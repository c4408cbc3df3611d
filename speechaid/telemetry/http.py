"""``/metrics``, ``/healthz`` and ``/readyz``: the only HTTP server of the daemon, in threads of its own.

It reads the board and nothing else: no database, no lock of the loop's. It listens from the start on, so that
a taken address stops the start; it answers few clients at a time, each within a bound, and the oldest of too
many gives way, so that none can keep the others out.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final

from speechaid.errors import TelemetryError
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.metrics import Exposition
from speechaid.telemetry.snapshot import SnapshotHolder

#: A client has so long for its request, and for each piece of the answer, in seconds.
CLIENT_SECONDS: Final = 10.0
#: Answered at a time; for one more the connection that has been there longest is closed.
CLIENTS_AT_ONCE: Final = 16
#: ``shutdown`` is noticed after so many seconds.
_POLL_SECONDS: Final = 0.2

log = get_logger("speechaid.metrics")

Answer = tuple[HTTPStatus, str, bytes]


class MetricsServer:
    """Listens from the start on; serves from ``start`` to ``close``."""

    def __init__(self, address: str, snapshots: SnapshotHolder) -> None:
        """Bind.

        Args:
            address: ``HOST:PORT``; port 0 takes a free one.
            snapshots: what is served.

        Raises:
            TelemetryError: the address is taken, or none of this machine's.
        """
        pages = _Pages(snapshots)
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
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
        """Where it listens: ``HOST:PORT``."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> None:
        """Answer, from now on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and give the address back."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Pages:
    """What is told on each path."""

    def __init__(self, snapshots: SnapshotHolder) -> None:
        self._board = snapshots
        self._exposition = Exposition(snapshots)
        self.by_path: dict[str, Callable[[str], Answer]] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": lambda _: _verdict(self._board.unhealthy()),
            "/readyz": lambda _: _verdict(self._board.not_ready()),
        }

    def _metrics(self, accept: str) -> Answer:
        content, content_type = self._exposition.page(accept)
        return HTTPStatus.OK, content_type, content

    def _index(self, _accept: str) -> Answer:
        return HTTPStatus.OK, "text/plain; charset=utf-8", b"speechaid: /metrics /healthz /readyz\n"


def _verdict(reasons: list[str]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    body = json.dumps({"ok": not reasons, "reasons": reasons}) + "\n"
    return status, "application/json", body.encode()


class _Server(ThreadingMixIn, TCPServer):
    # Not the library's HTTPServer, which asks the resolver for this host's name, however long that takes.
    allow_reuse_address = True
    daemon_threads = True
    # The end of the daemon waits for no client.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        #: Connections that are not over, the oldest first.
        self._open: deque[Any] = deque()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.append(request)
            if len(self._open) > CLIENTS_AT_ONCE:
                # Its thread finds the end of the line, and closes it.
                with contextlib.suppress(OSError):
                    self._open.popleft().shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nobody's trouble."""


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

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Scrapes are no events."""
