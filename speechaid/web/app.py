"""The application: routes under ``/api/v1`` and ``/api``, problems, limits, who asks."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from speechaid import __version__
from speechaid.settings.groups import WebSettings
from speechaid.telemetry.web_metrics import WebMetrics
from speechaid.web import problems
from speechaid.web.access import METRICS_PATH, OPEN_PATHS, Authentication, FindPrincipal
from speechaid.web.limits import RequestLimits
from speechaid.web.page.app import build_page, to_start
from speechaid.web.parameters import refuse_unknown_parameters
from speechaid.web.routes import accounts, batches, commands, overview
from speechaid.web.services import Services
from speechaid.web.streams import EventStreams

OPENAPI_PATH: Final = "/api/v1/openapi.json"
#: Beside those that begin with ``/api/``.
_OF_THE_API: Final = OPEN_PATHS | {METRICS_PATH, "/api"}
#: Errors that every route may answer.
_ERRORS: Final = (
    *(HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
    *(HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    *(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
    *(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE),
    HTTPStatus.GATEWAY_TIMEOUT,
)


def build(services: Services, find: FindPrincipal, settings: WebSettings) -> ASGIApp:
    """The application with its limits."""
    metrics = WebMetrics()
    app = build_api(services, metrics)
    app.openapi()  # kept by the framework: it would hold up other requests later
    api = Authentication(app, find, settings.requests_per_client)
    return RequestLimits(
        ByPath(api, build_page(services, settings.requests_per_client, metrics)), settings, metrics
    )


class ByPath:
    """The API and the page beside each other; the root is the page's for browsers, the API's for programs."""

    def __init__(self, api: ASGIApp, page: ASGIApp) -> None:
        self._api = api
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        is_api = path in _OF_THE_API or path.startswith("/api/") or scope["type"] != "http"
        if path == "/" and b"text/html" in dict(scope["headers"]).get(b"accept", b""):
            await to_start()(scope, receive, send)
        elif is_api:
            await self._api(scope, receive, send)
        else:
            await self._page(scope, receive, send)


def build_api(services: Services | None = None, metrics: WebMetrics | None = None) -> FastAPI:
    """The routes alone; without services, for the OpenAPI document."""
    app = FastAPI(
        title="speechaid",
        version=__version__,
        description="Outbound AI phone-call campaigns: never twice, never lost. docs/api.md begins here.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.error_responses(*_ERRORS),
    )
    app.state.services = services
    app.state.metrics = metrics = metrics or WebMetrics()
    app.state.progress_streams = EventStreams(
        "progress", metrics, at_once=batches.MAX_PROGRESS_STREAMS, tick_seconds=batches.PROGRESS_SECONDS
    )
    app.state.event_streams = EventStreams(
        "events", metrics, at_once=overview.MAX_EVENT_STREAMS, tick_seconds=overview.EVENT_SECONDS
    )
    problems.add_handlers(app)
    api = APIRouter(dependencies=[Depends(refuse_unknown_parameters)])
    for router in (batches.router, accounts.router, overview.router):
        api.include_router(router)
    commands.add_routes(api)
    app.include_router(overview.open_router)
    app.include_router(api, prefix="/api/v1")
    app.include_router(api, prefix="/api", include_in_schema=False)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Put the schema of a problem, to which all errors refer, into the OpenAPI document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "ProblemDocument" not in schemas:
            own = problems.ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= own.pop("$defs", {})
            schemas["ProblemDocument"] = own
            for path in document["paths"].values():
                for operation in path.values():
                    # The framework's own form of this error, which no route answers.
                    operation["responses"].pop("422", None)
                    operation["responses"] |= {
                        str(status): answer for status, answer in problems.error_responses(*_ERRORS).items()
                    }
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
