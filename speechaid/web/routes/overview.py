"""Root, health, the overview, lists of jobs, and the events of all hosts as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from speechaid import __version__
from speechaid.model.identity import Principal
from speechaid.model.states import JobStatus
from speechaid.protocol.log_pages import LogPages
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import encode_json
from speechaid.rules.roles import WebAction
from speechaid.store.call_logs import position_before
from speechaid.store.scoped import ScopedStore
from speechaid.telemetry.web_metrics import WebMetrics
from speechaid.web.access import METRICS_PATH, Caller, require_grant, route_grant
from speechaid.web.documents import Overview, batch_sums
from speechaid.web.pages import Paged
from speechaid.web.problems import Problem
from speechaid.web.routes.batches import list_jobs
from speechaid.web.routes.commands import CommandAnswer
from speechaid.web.services import Served, Services
from speechaid.web.streams import RESPONSES, EventStreams

open_router = APIRouter(tags=["health"])
router = APIRouter()

#: Batches that the overview sums, the last.
_SUMMED: Final = 1000
_ACCOUNTS: Final = 1000
#: Streams of events at once: each asks the daemon about every two seconds.
MAX_EVENT_STREAMS: Final = 16
EVENT_SECONDS: Final = 2.0
#: Events that are sent at once: as many as the daemon answers.
_LINES: Final = 1000
_GAP_TEXT: Final = (
    "the event of Last-Event-ID is not stored any more: events between it and the next one may be missing"
)
_GAP: Final = b"event: gap\ndata: " + encode_json({"detail": _GAP_TEXT}) + b"\n\n"


class Root(BaseModel):
    """What serves here."""

    name: str = "speechaid"
    version: str = __version__
    api: str = "/api/v1"
    openapi: str = "/api/v1/openapi.json"


class Health(BaseModel):
    """Whether the API can answer."""

    status: Literal["ok", "degraded"]
    database: Literal["up", "away"]
    daemon: Literal["up", "away"] = Field(description="without it nothing is changed and nobody is shown")


@open_router.get("/", response_model=Root, summary="What serves here")
async def root() -> Root:
    """Without a token."""
    return Root()


@open_router.get("/health", response_model=Health, summary="Whether database and daemon answer")
async def health(services: Served) -> Health:
    """Without a token; the status is 200 as long as this process answers."""
    database = "up" if await services.reader.is_up() else "away"
    daemon = await services.daemon_state()
    both = database == daemon == "up"
    return Health.model_validate(
        {"status": "ok" if both else "degraded", "database": database, "daemon": daemon}
    )


@open_router.get(METRICS_PATH, include_in_schema=False)
async def scrape_metrics(request: Request) -> Response:
    """For Prometheus on this host, or with a token that is bound to no account."""
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    if principal is not None:
        require_grant(principal, "status")
        if principal.account_id is not None:
            raise Problem(HTTPStatus.FORBIDDEN, "the metrics are of all accounts", code=ErrorCode.FORBIDDEN)
    exposed: WebMetrics = request.app.state.metrics
    content, media_type = exposed.page(request.headers.get("accept", ""))
    return Response(content, media_type=media_type)


@router.get(
    "/dashboard/overview",
    response_model=Overview,
    **route_grant(WebAction.VIEW_PROGRESS),
    summary="What is at work",
    tags=["overview"],
)
async def overview(caller: Caller, services: Served) -> dict[str, Any]:
    """Sums of the last 1000 batches, by their counters."""
    sums = await services.reader.share("overview", caller.account_id, _sums)
    return {**sums, "database": "up", "daemon": await services.daemon_state()}


def _sums(store: ScopedStore) -> dict[str, Any]:
    batches = store.batches.select(limit=_SUMMED)
    accounts = store.accounts.select(limit=_ACCOUNTS)
    return {
        "as_of": store.now(),
        "accounts": len(accounts),
        **batch_sums(batches),
        "live_calls": sum(batch.live_calls for batch in batches),
        "calls_today": sum(account.calls_today for account in accounts),
    }


@router.get(
    "/jobs",
    response_model=CommandAnswer,
    **route_grant("jobs"),
    summary="Jobs, one line each",
    tags=["jobs"],
)
async def list_all_jobs(
    *,
    caller: Caller,
    services: Served,
    account_id: Annotated[str | None, Query(max_length=200)] = None,
    batch_id: Annotated[str | None, Query(max_length=200)] = None,
    status: Annotated[JobStatus | None, Query()] = None,
    outcome: Annotated[str | None, Query(max_length=40)] = None,
    page: Paged,
) -> Response:
    """Numbers masked; who reads them is recorded."""
    args: dict[str, Any] = {"status": status, "outcome": outcome}
    if batch_id is not None:
        args["batch"] = await services.resolve(caller, "batch", batch_id)
    if account_id is not None:
        args["account"] = await services.resolve(caller, "account", account_id)
    return await list_jobs(services, caller, args, page)


@router.get(
    "/events",
    **route_grant("logs"),
    summary="Recorded events of all hosts as server-sent events",
    response_class=StreamingResponse,
    responses=RESPONSES,
    tags=["events"],
)
async def stream_events(
    *,
    request: Request,
    caller: Caller,
    services: Served,
    batch_id: Annotated[str | None, Query(max_length=200)] = None,
    last_event_id: Annotated[
        str | None, Header(pattern="^[0-9a-f]{24}$", description="the stream goes on after this event")
    ] = None,
) -> Response:
    """Each event has the id of its line in ``call_logs``: a client that comes back misses none.

    An event `gap` says that the line of `Last-Event-ID` is not stored any more.
    """
    streams: EventStreams = request.app.state.event_streams
    streams.check_room(request)
    args: dict[str, Any] = {}
    if batch_id is not None:
        args["batch"] = await services.resolve(caller, "batch", batch_id)
    first = await _lines(services, caller, args, last_event_id, 1)
    has_gap = last_event_id is not None and not first["after_is_stored"]
    if last_event_id is None:
        pages = LogPages(first["place"], (line["id"] for line in first["lines"]))
    else:
        # What arrived late may have an id before the last one that the client got.
        pages = LogPages(position_before(last_event_id), (last_event_id,))
    return streams.open_stream(request, _events(services, caller, args, pages, has_gap=has_gap))


async def _lines(
    services: Services, caller: Principal, args: dict[str, Any], after: str | None, limit: int
) -> dict[str, Any]:
    more = {} if after is None else {"after": after}
    return await services.daemon.ask(caller, "logs", {**args, **more, "limit": limit})


async def _events(
    services: Services, caller: Principal, args: dict[str, Any], pages: LogPages, *, has_gap: bool
) -> AsyncIterator[bytes]:
    """The new lines at each look, the oldest first."""
    yield b"retry: 5000\n\n" + (_GAP if has_gap else b"")
    while True:
        page = await _lines(services, caller, args, pages.after, _LINES)
        yield b"".join(map(_event, pages.take(page)))


def _event(line: dict[str, Any]) -> bytes:
    name = str(line.get("event") or "event").replace("\n", " ")
    return f"id: {line['id']}\nevent: {name}\ndata: ".encode() + encode_json(line, default=str) + b"\n\n"
