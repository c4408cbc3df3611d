"""The five endpoints over HTTP: key check, faults, answer, tally."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.document import describe, revived
from speechaid.demo.simulator.exchange import Exchange
from speechaid.demo.simulator.faults import Endpoint, FaultTable, Kind, Strike, Subject
from speechaid.demo.simulator.spoiled import Late, Reset, garbage
from speechaid.model.masking import fingerprint

#: Wall-clock seconds since the epoch.
Clock = Callable[[], float]
#: How many create requests are kept for a test to look at.
CREATES_KEPT: Final = 1000


class AdjustableClock:
    """A clock that can be set forward, so that a test need not wait for an hour to pass."""

    def __init__(self, source: Clock) -> None:
        self._source = source
        self._ahead = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._source() + self._ahead

    def advance(self, seconds: float) -> None:
        """Set it forward."""
        self._ahead += seconds


class Tally:
    """Requests counted by endpoint and what came of them, and the last create requests."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._creates: deque[dict[str, Any]] = deque(maxlen=CREATES_KEPT)

    def note(self, endpoint: Endpoint, result: str, document: object, now: float) -> None:
        """Count one request; ``result`` is a status, or ``reset`` or ``hang``."""
        self._counts[endpoint, result] += 1
        if endpoint is Endpoint.CREATE:
            self._creates.append({"at": now, "result": result, "body": document})

    def clear(self) -> None:
        """Start from zero."""
        self._counts.clear()
        self._creates.clear()

    def shown(self) -> dict[str, Any]:
        """Counts as ``{endpoint: {result: count}}``, and the creates, oldest first."""
        counts: dict[str, dict[str, int]] = {}
        for (endpoint, result), count in sorted(self._counts.items()):
            counts.setdefault(endpoint, {})[result] = count
        return {"counts": counts, "creates": list(self._creates)}


class Simulator:
    """The pieces behind the routes."""

    def __init__(self, exchange: Exchange, clock: AdjustableClock) -> None:
        self.exchange = exchange
        self.clock = clock
        self.faults = FaultTable(exchange.settings.seed)
        self.tally = Tally()

    async def serve(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer one request, or spoil it."""
        document = _document(await request.body())
        subject = self._subject(endpoint, request, document)
        strike = self.faults.strike(subject)
        response = await self._answer(subject, request, document, strike)
        self.tally.note(endpoint, _result(response), document, self.clock())
        return Late(strike.delay_after, response) if strike.delay_after else response

    async def _answer(self, subject: Subject, request: Request, document: object, strike: Strike) -> Response:
        fault = strike.fault
        if fault is not None and fault.when == "before":
            await asyncio.sleep(strike.delay_before)
            return self._spoil(strike, None)
        try:
            self._check_key(request)
            honest = await self._carry_out(subject, document, strike.delay_before)
        except Refusal as refusal:
            honest = self._error(refusal.status, refusal.message, refusal.headers)
        return honest if fault is None else self._spoil(strike, honest)

    async def _carry_out(self, subject: Subject, document: object, delay: float) -> Response:
        """Do what the endpoint is for, ``delay`` seconds late; a client that has left changes nothing."""
        if subject.endpoint is Endpoint.CREATE:
            return await self._create(subject, document, delay)
        await asyncio.sleep(delay)
        exchange, now, call_id = self.exchange, self.clock(), subject.call_id or ""
        if subject.endpoint is Endpoint.STOP:
            exchange.stop(call_id, now)
            return Response(status_code=204)
        if subject.endpoint is Endpoint.LIST:
            return self.json(exchange.list_calls(document, now, self.told(Endpoint.LIST)))
        if subject.endpoint is Endpoint.CONCURRENCY:
            return self.json(exchange.concurrency_document(now))
        call = exchange.get(call_id)
        return self.json(self.told(Endpoint.GET)(call, describe(call, now)))

    async def _create(self, subject: Subject, document: object, delay: float) -> Response:
        exchange, clock = self.exchange, self.clock
        accepted = exchange.open(document, subject.api_key_fingerprint or "", clock())
        if isinstance(accepted, Call):
            await asyncio.sleep(delay)
            return self.json(describe(exchange.get(accepted.call_id), clock()), 201)
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            exchange.abandon(accepted)
            raise
        return self.json(describe(exchange.place(accepted, clock()), clock()), 201)

    def _spoil(self, strike: Strike, honest: Response | None) -> Response:
        """The fault's answer; ``honest`` is what was to be said, where the work was done."""
        fault = strike.fault
        assert fault is not None  # noqa: S101 - callers have looked
        if fault.kind is Kind.RESET:
            return Reset()
        if fault.kind is Kind.HANG:
            return Late(strike.seconds, honest or Reset())
        if fault.kind is Kind.GARBAGE:
            return garbage(fault.style, honest or self.json({}))
        status, message = fault.answer or (500, "")
        return self._error(status, message, fault.answer_headers(self.clock()))

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if not any(hmac.compare_digest(given, key.encode()) for key in self.exchange.settings.api_keys):
            raise Refusal(401, "API key is missing or invalid.")

    def _subject(self, endpoint: Endpoint, request: Request, document: object) -> Subject:
        fields = document if isinstance(document, dict) else {}
        call_id = request.path_params.get("call_id")
        call = self.exchange.find(call_id) if call_id else None
        to_number = call.to_number if call else fields.get("to_number")
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return Subject(
            endpoint=endpoint,
            call_id=call_id,
            to_number=to_number if isinstance(to_number, str) else None,
            api_key_fingerprint=fingerprint(key),
        )

    def told(self, endpoint: Endpoint) -> Callable[[Call, dict[str, Any]], dict[str, Any]]:
        """What changes a call object on its way out: the faults that lie about a call that is over."""

        def tell(call: Call, document: dict[str, Any]) -> dict[str, Any]:
            if not call.is_over(self.clock()):
                return document
            subject = Subject(endpoint=endpoint, call_id=call.call_id, to_number=call.to_number)
            for fault in self.faults.tales(subject):
                if fault.kind is Kind.REVIVED:
                    document = revived(document)
                else:
                    document = {**document, "disconnection_reason": fault.reason}
            return document

        return tell

    def json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """A JSON answer with the simulator's own date."""
        skew = self.exchange.settings.date_skew_seconds
        date = formatdate(self.clock() + skew, usegmt=True)
        return JSONResponse(content, status_code=status, headers={"date": date, **(headers or {})})

    def _error(self, status: int, message: str, headers: dict[str, str]) -> Response:
        if status == 204:
            return Response(status_code=status, headers=headers)
        return self.json({"status": "error", "message": message}, status, headers)


def _document(body: bytes) -> object:
    """The JSON of a request; bytes that are none read as null, which no endpoint takes for a body."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _result(response: Response) -> str:
    if isinstance(response, Reset):
        return "reset"
    return "hang" if isinstance(response, Late) else str(response.status_code)


_ROUTES: Final[tuple[tuple[str, str, Endpoint], ...]] = (
    ("POST", "/v2/create-phone-call", Endpoint.CREATE),
    ("GET", "/v2/get-call/{call_id}", Endpoint.GET),
    ("POST", "/v3/list-calls", Endpoint.LIST),
    ("POST", "/v2/stop-call/{call_id}", Endpoint.STOP),
    ("GET", "/get-concurrency", Endpoint.CONCURRENCY),
)


def build(simulator: Simulator, panel: Sequence[BaseRoute]) -> Starlette:
    """The ASGI application: Retell's endpoints, and the simulator's own ``panel``."""

    def handler(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await simulator.serve(endpoint, request)

        return handle

    async def no_such_thing(request: Request, exc: Exception) -> Response:
        status = exc.status_code if isinstance(exc, HTTPException) else 500
        return simulator.json({"status": "error", "message": f"No such endpoint: {request.url.path}"}, status)

    routes = [Route(path, handler(endpoint), methods=[method]) for method, path, endpoint in _ROUTES]
    return Starlette(
        routes=[*routes, *panel],
        exception_handlers={HTTPException: no_such_thing},
    )
