"""Bounds of every request: its size, its time, how many run at once; and its line in the log.

Below the framework: what is too much is refused before anything of it is parsed.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speechaid.settings.groups import WebSettings
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.metric_table import observe
from speechaid.telemetry.web_metrics import WebMetrics
from speechaid.web.places import Kind, Places, current_kind, is_stream, kind_of
from speechaid.web.problems import Problem

log = get_logger("speechaid.web")

#: Longest body of a request without a file, in bytes, and what a form may have beside its file.
BODY_BYTES: Final = 1024 * 1024
#: Longest head of a request, in bytes.
HEAD_BYTES: Final = 16 * 1024
#: Bytes of a header beside its name and its value: a colon, a space and the end of the line.
_HEADER_MARKS: Final = 4
#: Requests with a file that are received at once: each takes room on the disk.
FORMS_AT_ONCE: Final = 8
#: Requests that stop calls at once, and questions whether all is up: beside the others.
URGENT_AT_ONCE: Final = 32
HEALTH_AT_ONCE: Final = 16
#: Seconds that a client may pause in the middle of a request, or of reading its answer.
PAUSE_SECONDS: Final = 20.0
#: Of all places, one address takes at most one part in so many, or those of one token.
_SHARE_OF_ADDRESS: Final = 2
#: What every answer has, unless the application says otherwise: the page has scripts of its own.
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
#: Methods that are told apart in the metrics: a client may write anything.
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class RequestLimits:
    """The outermost application: counts, bounds and logs requests."""

    def __init__(self, app: ASGIApp, settings: WebSettings, metrics: WebMetrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        of_address = max(settings.requests // _SHARE_OF_ADDRESS, settings.requests_per_client)
        self._places = {
            Kind.ORDINARY: Places(of_address, settings.requests),
            Kind.URGENT: Places(URGENT_AT_ONCE // _SHARE_OF_ADDRESS, URGENT_AT_ONCE),
            Kind.HEALTH: Places(HEALTH_AT_ONCE, HEALTH_AT_ONCE),
        }
        self._forms = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _BoundedRequest(scope, receive, send, self._settings)
        # Before anything is known of its token: a stranger may send any number of those.
        client = scope["client"][0] if scope.get("client") else ""
        kind = kind_of(scope["method"], scope["path"])
        places = self._places[kind]
        busy = _fault_of_head(scope) or self._busy(places, client, is_form=request.is_form)
        self._forms += request.is_form
        self._metrics.count("speechaid_web_requests_under_way")
        current_kind.set(kind)
        try:
            with places.take(client) as place:
                send = place.until_stream(request.send)
                respond = self._app if busy is None else busy.to_response()
                await respond(scope, request.receive, send)
        finally:
            self._forms -= request.is_form
            self._metrics.count("speechaid_web_requests_under_way", -1)
            request.record(self._metrics)

    def _busy(self, places: Places, client: str, *, is_form: bool) -> Problem | None:
        if is_form and self._forms >= FORMS_AT_ONCE:
            text = "other files are being received: try again later"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code="busy")
        if places.of_client(client) >= places.per_client and client not in (self._settings.proxies or ()):
            text = f"{places.per_client} requests of this address are under way: wait for an answer"
            return Problem(HTTPStatus.TOO_MANY_REQUESTS, text, code="busy")
        if places.in_all is not None and places.count_all() >= places.in_all:
            text = f"{places.in_all} requests are under way: try again later"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code="busy")
        return None


def _fault_of_head(scope: Scope) -> Problem | None:
    """What is wrong with the head of a request; the server bounds only what comes in several pieces."""
    headers = scope["headers"]
    size = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) + _HEADER_MARKS for name, value in headers)
    close = {"Connection": "close"}
    if size > HEAD_BYTES:
        text = f"the head of the request is longer than {HEAD_BYTES} bytes"
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return Problem(status, text, code="too_large", headers=close)
    if {name for name, _ in headers} >= {b"transfer-encoding", b"content-length"}:
        # A proxy in front of this might take the other one for the body's end (RFC 9112, section 6.1).
        text = "Content-Length and Transfer-Encoding exclude each other"
        return Problem(HTTPStatus.BAD_REQUEST, text, code="bad_request", headers=close)
    return None


class _BoundedRequest:
    """One request with its limits; ``receive`` and ``send`` take the place of the server's."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: WebSettings) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.monotonic()
        self._deadline = self._began + settings.request_seconds
        headers = dict(scope["headers"])
        self.is_form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        self._limit = BODY_BYTES + (settings.upload_mb * 1024 * 1024 if self.is_form else 0)
        length = headers.get(b"content-length", b"0")
        self._too_large = not length.isdigit() or int(length) > self._limit
        self._received = 0
        self._complete = False
        self._status = 0
        self._is_stream = False

    async def receive(self) -> Message:
        """The next part of the body, within its size and its time."""
        if self._complete:
            return await self._receive()
        if self._too_large:
            raise self._too_long()
        left = min(PAUSE_SECONDS, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except TimeoutError as exc:
            text = "the request did not come in time"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, text, {"Connection": "close"}) from exc
        self._received += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._received > self._limit:
            raise self._too_long()
        return message

    def _too_long(self) -> HTTPException:
        self._complete = True
        text = f"the request is longer than {self._limit} bytes"
        return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, {"Connection": "close"})

    async def send(self, message: Message) -> None:
        """Send a part of the answer to a client that reads it."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._is_stream = is_stream(message)
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            missing = [(name, value) for name, value in _HEADERS if name not in names]
            message = {**message, "headers": [*given, *missing]}
        try:
            await asyncio.wait_for(self._send(message), PAUSE_SECONDS)
        except TimeoutError as exc:
            raise ConnectionAbortedError("the client does not read its answer") from exc

    def record(self, metrics: WebMetrics) -> None:
        """One line: the route and not the path, which may hold a number; never the query or a header."""
        route = getattr(self._scope.get("route"), "path", None)
        self._count(metrics, route)
        principal = self._scope.get("state", {}).get("principal")
        log.info(
            "web.request",
            method=self._scope["method"],
            route=route or "none",
            status=self._status or None,
            seconds=time.monotonic() - self._began,
            user=None if principal is None else principal.name,
            address=self._scope["client"][0] if self._scope.get("client") else None,
        )

    def _count(self, metrics: WebMetrics, route: str | None) -> None:
        """Count it; the labels are the routes that there are, whatever a client asks for."""
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        shown = "none" if route is None else route.removeprefix("/api").removeprefix("/v1") or "/"
        status = f"{self._status // 100}xx" if self._status else "none"
        metrics.count("speechaid_web_requests_total", route=shown, method=method, status=status)
        if not self._is_stream:
            duration = time.monotonic() - self._began
            observe(metrics.count, "speechaid_web_request_duration_seconds", duration, route=shown)
