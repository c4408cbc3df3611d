"""The application of the page: sessions, faults as screens, static files."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speechaid.errors import SpeechaidError, StoreUnavailable
from speechaid.model.identity import Principal
from speechaid.protocol.translation import say, say_later
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.web_metrics import WebMetrics
from speechaid.web.access import places_by_kind
from speechaid.web.page import words
from speechaid.web.page.drafts import Drafts
from speechaid.web.page.rendering import STATIC, render
from speechaid.web.page.screens import (
    accounts,
    agents,
    campaign_start,
    campaigns,
    changes,
    do_not_call,
    emergency,
    login,
    new_campaign,
    people,
    reports,
    start,
    users,
)
from speechaid.web.page.visits import SESSION_COOKIE, LoggedOut, choose_answer_language
from speechaid.web.places import current_kind
from speechaid.web.problems import Problem
from speechaid.web.services import Services
from speechaid.web.streams import EventStreams

log = get_logger("speechaid.web")

#: No script and no style but the page's own files; forms go nowhere else.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    # With no-referrer a browser would not say from where a form comes.
    (b"referrer-policy", b"same-origin"),
)
_OF_READER: Final = (b"vary", b"Cookie, Accept-Language")
_KEPT: Final = (b"cache-control", b"public, max-age=31536000, immutable")
#: What was asked for is not there, in words for people.
_NOT_FOUND: Final = say_later("this page does not exist, or what it showed is gone")


def build_page(services: Services, at_once: int, metrics: WebMetrics) -> ASGIApp:
    """The page with its sessions."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.services = services
    app.state.streams = EventStreams(
        "page", metrics, at_once=campaigns.MAX_LIVE, tick_seconds=campaigns.LIVE_SECONDS
    )
    app.state.drafts = Drafts()
    screens = (
        *(login, start, emergency, new_campaign, campaigns, people, reports),
        *(do_not_call, accounts, agents, changes, users, campaign_start),
    )
    for screen in screens:
        app.include_router(screen.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    _add_handlers(app)
    return Sessions(app, services, at_once)


class Sessions:
    """Finds the user of each request by its cookie, and bounds what one user has under way."""

    def __init__(self, app: FastAPI, services: Services, at_once: int) -> None:
        self.app = app
        self._services = services
        self._places = places_by_kind(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_static = scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = _KEPT if is_static and message["status"] < HTTPStatus.BAD_REQUEST else _OF_READER
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS, more]}
            await send(message)

        if is_static:
            await self.app(scope, receive, send_with_headers)
            return
        request = Request(scope, receive)
        state = scope.setdefault("state", {})
        state["language"] = choose_answer_language(request)
        respond: ASGIApp
        try:
            principal = await self._find(request)
        except Problem as problem:
            respond = _fault_page(request, problem.document.status, problem.detail)
            await respond(scope, receive, send_with_headers)
            return
        except StoreUnavailable as exc:
            respond = _fault_page(request, HTTPStatus.SERVICE_UNAVAILABLE, _text_of(exc))
            await respond(scope, receive, send_with_headers)
            return
        state["principal"] = principal
        state["is_still_allowed"] = partial(self._is_still_allowed, request, principal)
        places = self._places[current_kind.get()]
        with places.take("" if principal is None else principal.actor) as place:
            respond = self.app
            if principal is not None and place.is_too_many:
                text = say("too many requests of this user are under way: wait for an answer")
                respond = _fault_page(request, HTTPStatus.TOO_MANY_REQUESTS, text)
            await respond(scope, receive, place.until_stream(send_with_headers))

    async def _is_still_allowed(self, request: Request, principal: Principal | None) -> bool:
        """Whether the session is open still, with the same rights; true while that cannot be looked up.

        A page that is only open does not keep its session open.
        """
        secret = request.cookies.get(SESSION_COOKIE, "")
        try:
            found = await self._services.reader.on_identities(
                lambda store: store.identities.find_session(secret, is_use=False)
            )
        except (Problem, StoreUnavailable):
            return True
        return found is not None and found[1] == principal

    async def _find(self, request: Request) -> Principal | None:
        secret = request.cookies.get(SESSION_COOKIE)
        if secret is None:
            return None
        found = await self._services.reader.on_identities(lambda store: store.identities.find_session(secret))
        return None if found is None else found[1]


def _add_handlers(app: FastAPI) -> None:
    @app.exception_handler(LoggedOut)
    async def _logged_out(request: Request, exc: LoggedOut) -> Response:
        return login.ask_again(request, exc.typed)

    @app.exception_handler(Problem)
    async def _problem(request: Request, exc: Problem) -> Response:
        return _fault_page(request, exc.document.status, exc.detail)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        is_missing = exc.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
        return _fault_page(request, exc.status_code, _NOT_FOUND if is_missing else str(exc.detail))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, _exc: RequestValidationError) -> Response:
        return _fault_page(request, HTTPStatus.NOT_FOUND, _NOT_FOUND)

    @app.exception_handler(StoreUnavailable)
    async def _away(request: Request, exc: StoreUnavailable) -> Response:
        return _fault_page(request, HTTPStatus.SERVICE_UNAVAILABLE, _text_of(exc))

    @app.exception_handler(SpeechaidError)
    async def _refused(request: Request, exc: SpeechaidError) -> Response:
        log.error("web.fault", text=str(exc))
        return _fault_page(request, HTTPStatus.BAD_GATEWAY, _text_of(exc))

    @app.exception_handler(Exception)
    async def _fault(request: Request, exc: Exception) -> Response:
        text = say(
            "a programming error ({name}); the log of speechaid web has the details", name=type(exc).__name__
        )
        return _fault_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, text)


def _text_of(exc: Exception) -> str:
    return exc.args[0] if exc.args and isinstance(exc.args[0], str) else str(exc)


def _fault_page(request: Request, status: int, text: str) -> Response:
    """A fault as a screen: what happened, what to do, and the way back."""
    if request.headers.get("hx-request") == "true":
        # A part of a screen: the rest stays as it is.
        return Response(status_code=status)
    state = request.scope.get("state", {})
    language = state.get("language") or choose_answer_language(request)
    values = {
        "status": status,
        "text": text,
        "principal": state.get("principal"),
        "language_names": words.LANGUAGE_NAMES,
        "here": "/start",
    }
    return HTMLResponse(render("fault.html", language, values), status)


def to_start() -> Response:
    """From the root to the first screen."""
    return RedirectResponse("/start", HTTPStatus.SEE_OTHER)
