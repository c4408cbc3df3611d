"""The endpoints over HTTP: key check, faults, response, request log."""

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

from speechaid.demo.simulator import directory
from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.broken_responses import DelayedResponse, ResetResponse, garbage
from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.document import describe, revived, with_fields
from speechaid.demo.simulator.faults import Endpoint, FaultTable, Injection, Kind, Subject
from speechaid.demo.simulator.settings import Settings
from speechaid.demo.simulator.workspace import Workspace
from speechaid.model.masking import fingerprint

#: Wall-clock seconds since the epoch.
Clock = Callable[[], float]
#: How many create requests are kept for tests to inspect.
CREATES_KEPT: Final = 1000


#: Where a document holds JSON that is sent as it is.
_RAW: Final = "\0raw"


class AdjustableClock:
    """A clock that tests can set forward instead of waiting."""

    def __init__(self, source: Clock) -> None:
        self._source = source
        self._ahead = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._source() + self._ahead

    def advance(self, seconds: float) -> None:
        """Set it forward."""
        self._ahead += seconds


class RequestLog:
    """Requests counted by endpoint and result, and the latest create requests."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._creates: deque[dict[str, Any]] = deque(maxlen=CREATES_KEPT)

    def add(self, endpoint: Endpoint, result: str, document: object, now: float) -> None:
        """Count one request; ``result`` is an HTTP status, ``reset`` or ``hang``."""
        self._counts[endpoint, result] += 1
        if endpoint is Endpoint.CREATE:
            self._creates.append({"at": now, "result": result, "body": document})

    def clear(self) -> None:
        """ResetResponse all counts."""
        self._counts.clear()
        self._creates.clear()

    def document(self) -> dict[str, Any]:
        """Counts as ``{endpoint: {result: count}}``, and the creates, oldest first."""
        counts: dict[str, dict[str, int]] = {}
        for (endpoint, result), count in sorted(self._counts.items()):
            counts.setdefault(endpoint, {})[result] = count
        return {"counts": counts, "creates": list(self._creates)}


class Simulator:
    """The parts behind the routes."""

    def __init__(self, workspace: Workspace, clock: AdjustableClock) -> None:
        self.workspace = workspace
        self.clock = clock
        self.faults = FaultTable(workspace.settings.seed)
        self.request_log = RequestLog()

    async def serve(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer one request, with the faults that apply to it."""
        document = _document(await request.body())
        subject = self._subject(endpoint, request, document)
        injection = self.faults.inject(subject)
        response = await self._answer(subject, request, document, injection)
        self.request_log.add(endpoint, _result(response), document, self.clock())
        return DelayedResponse(injection.delay_after, response) if injection.delay_after else response

    async def _answer(
        self, subject: Subject, request: Request, document: object, injection: Injection
    ) -> Response:
        fault = injection.fault
        if fault is not None and fault.when == "before":
            await asyncio.sleep(injection.delay_before)
            return self._faulty_response(injection, None, subject)
        try:
            self._check_key(request)
            normal = await self._run_operation(subject, request, document, injection.delay_before)
        except Refusal as refusal:
            normal = self._error(refusal.status, refusal.message, refusal.headers)
        return normal if fault is None else self._faulty_response(injection, normal, subject)

    async def _run_operation(
        self, subject: Subject, request: Request, document: object, delay: float
    ) -> Response:
        """Run the endpoint's operation, ``delay`` seconds late, even if the client has disconnected."""
        if subject.endpoint is Endpoint.CREATE:
            return await self._create(subject, document, delay)
        await asyncio.sleep(delay)
        read = _DIRECTORY.get(subject.endpoint)
        if read is not None:
            return self.json(read(self.workspace.settings, request))
        workspace, now, call_id = self.workspace, self.clock(), subject.call_id or ""
        if subject.endpoint is Endpoint.STOP:
            workspace.stop(call_id, now)
            return Response(status_code=204)
        if subject.endpoint is Endpoint.LIST:
            rewrite = self.rewriter(Endpoint.LIST)
            return self.json(workspace.list_calls(document, now, rewrite, self.is_listed))
        if subject.endpoint is Endpoint.CONCURRENCY:
            return self.json(workspace.concurrency_document(now))
        return self._call(Endpoint.GET, workspace.get(call_id))

    async def _create(self, subject: Subject, document: object, delay: float) -> Response:
        workspace, clock = self.workspace, self.clock
        accepted = workspace.open(document, subject.api_key_fingerprint or "", clock())
        if isinstance(accepted, Call):
            await asyncio.sleep(delay)
            return self._call(Endpoint.CREATE, workspace.get(accepted.call_id), 201)
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            workspace.abandon(accepted)
            raise
        return self._call(Endpoint.CREATE, workspace.place(accepted, clock()), 201)

    def _call(self, endpoint: Endpoint, call: Call, status: int = 200) -> Response:
        """A call object, as the faults let it be reported."""
        document = self.rewriter(endpoint)(call, describe(call, self.clock()))
        raw = document.pop(_RAW, "")
        response = self.json(document, status)
        if raw:
            body = bytes(response.body)[:-1] + b"," + raw.encode() + b"}"
            response = Response(body, status, {"date": response.headers["date"]}, "application/json")
        return response

    def _faulty_response(self, injection: Injection, normal: Response | None, subject: Subject) -> Response:
        """The fault's response; ``normal``: the regular response, if the operation ran."""
        fault = injection.fault
        assert fault is not None  # noqa: S101 - callers check
        if fault.kind is Kind.RESET:
            return ResetResponse()
        if fault.kind is Kind.HANG:
            return DelayedResponse(injection.seconds, normal or ResetResponse())
        if fault.kind is Kind.GARBAGE:
            return garbage(fault.style, normal or self.json({}))
        status, message = fault.answer or (500, "")
        return self._error(status, subject.with_numbers(message), fault.answer_headers(self.clock()))

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if not any(hmac.compare_digest(given, key.encode()) for key in self.workspace.settings.api_keys):
            raise Refusal(401, "API key is missing or invalid.")

    def _subject(self, endpoint: Endpoint, request: Request, document: object) -> Subject:
        fields = document if isinstance(document, dict) else {}
        call_id = request.path_params.get("call_id")
        call = self.workspace.find(call_id) if call_id else None
        to_number = call.to_number if call else fields.get("to_number")
        from_number = call.from_number if call else fields.get("from_number")
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return Subject(
            endpoint=endpoint,
            call_id=call_id,
            to_number=to_number if isinstance(to_number, str) else None,
            from_number=from_number if isinstance(from_number, str) else None,
            api_key_fingerprint=fingerprint(key),
        )

    def is_listed(self, call: Call) -> bool:
        """Whether no fault keeps this call out of the list."""
        subject = Subject(endpoint=Endpoint.LIST, call_id=call.call_id, to_number=call.to_number)
        return not self.faults.leaves_out(subject)

    def rewriter(self, endpoint: Endpoint) -> Callable[[Call, dict[str, Any]], dict[str, Any]]:
        """A function that applies the faults which misreport a call to its document."""

        def rewrite(call: Call, document: dict[str, Any]) -> dict[str, Any]:
            subject = Subject(endpoint=endpoint, call_id=call.call_id, to_number=call.to_number)
            over = endpoint is not Endpoint.CREATE and call.is_over(self.clock())
            for fault in self.faults.rewrites(subject, over=over):
                if fault.kind is Kind.REVIVED:
                    document = revived(document)
                elif fault.kind is Kind.REWRITTEN:
                    document = with_fields(document, fault.fields, fault.without, fault.fill)
                    if fault.raw and endpoint is not Endpoint.LIST:
                        document[_RAW] = fault.raw
                else:
                    document = {**document, "disconnection_reason": fault.reason}
            return document

        return rewrite

    def json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """A JSON response with the date of the simulator's clock."""
        skew = self.workspace.settings.date_skew_seconds
        date = formatdate(self.clock() + skew, usegmt=True)
        return JSONResponse(content, status_code=status, headers={"date": date, **(headers or {})})

    def _error(self, status: int, message: str, headers: dict[str, str]) -> Response:
        if status == 204:
            return Response(status_code=status, headers=headers)
        return self.json({"status": "error", "message": message}, status, headers)


def _document(body: bytes) -> object:
    """The JSON of a request; invalid JSON reads as null, which no endpoint accepts as a body."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _result(response: Response) -> str:
    if isinstance(response, ResetResponse):
        return "reset"
    return "hang" if isinstance(response, DelayedResponse) else str(response.status_code)


#: What reads agents, prompts and numbers: all that they need is in the settings.
_DIRECTORY: Final[dict[Endpoint, Callable[[Settings, Request], dict[str, Any]]]] = {
    Endpoint.AGENT: lambda has, asked: directory.agent_document(
        has.agents, asked.path_params["name"], asked.query_params
    ),
    Endpoint.AGENTS: lambda has, asked: directory.agents_page(has.agents, asked.query_params),
    Endpoint.LLM: lambda has, asked: directory.prompt_document(
        has.agents, asked.path_params["name"], "retell-llm"
    ),
    Endpoint.FLOW: lambda has, asked: directory.prompt_document(
        has.agents, asked.path_params["name"], "conversation-flow"
    ),
    Endpoint.NUMBER: lambda has, asked: directory.number_document(has.numbers, asked.path_params["name"]),
    Endpoint.NUMBERS: lambda has, asked: directory.numbers_page(has.numbers, asked.query_params),
}

_ROUTES: Final[tuple[tuple[str, str, Endpoint], ...]] = (
    ("POST", "/v2/create-phone-call", Endpoint.CREATE),
    ("GET", "/v2/get-call/{call_id}", Endpoint.GET),
    ("POST", "/v3/list-calls", Endpoint.LIST),
    ("POST", "/v2/stop-call/{call_id}", Endpoint.STOP),
    ("GET", "/get-concurrency", Endpoint.CONCURRENCY),
    ("GET", "/get-agent/{name}", Endpoint.AGENT),
    ("POST", "/v2/list-agents", Endpoint.AGENTS),
    ("GET", "/get-retell-llm/{name}", Endpoint.LLM),
    ("GET", "/get-conversation-flow/{name}", Endpoint.FLOW),
    ("GET", "/get-phone-number/{name}", Endpoint.NUMBER),
    ("GET", "/v2/list-phone-numbers", Endpoint.NUMBERS),
)


def build(simulator: Simulator, control_routes: Sequence[BaseRoute]) -> Starlette:
    """The ASGI application: Retell's endpoints and the simulator's control endpoints."""

    def handler(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await simulator.serve(endpoint, request)

        return handle

    async def not_found(request: Request, exc: Exception) -> Response:
        status = exc.status_code if isinstance(exc, HTTPException) else 500
        return simulator.json({"status": "error", "message": f"No such endpoint: {request.url.path}"}, status)

    routes = [Route(path, handler(endpoint), methods=[method]) for method, path, endpoint in _ROUTES]
    return Starlette(
        routes=[*routes, *control_routes],
        exception_handlers={HTTPException: not_found},
    )
