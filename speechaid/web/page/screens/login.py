"""Log in and out; what was typed when a session ended comes back after the next login."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from speechaid.errors import LoginRefused, LoginsBusy, TooManyTries
from speechaid.protocol.translation import LANGUAGES, say, say_n
from speechaid.telemetry.logs import get_logger
from speechaid.web.page import forgery, words
from speechaid.web.page.languages import LANGUAGE_COOKIE
from speechaid.web.page.rendering import render
from speechaid.web.page.visits import SESSION_COOKIE, Form, Visiting, kept_fields, read_fields
from speechaid.web.problems import Problem
from speechaid.web.services import Served

log = get_logger("speechaid.web")
router = APIRouter()

START: Final = "/start"
_YEAR_SECONDS: Final = 365 * 86_400
_LONGEST_NAME: Final = 200
_LONGEST_TYPED: Final = 200_000


@router.get("/login")
async def show_login(request: Request, services: Served, path: str = START) -> Response:
    """The form; who is logged in goes on."""
    if request.scope["state"].get("principal") is not None:
        return RedirectResponse(_own(path), HTTPStatus.SEE_OTHER)
    return _form(
        request, path=path, has_users=await services.reader.on_identities(lambda s: s.identities.has_users())
    )


@router.post("/login")
async def log_in(request: Request, services: Served) -> Response:
    """Begin a session."""
    if not forgery.is_own_request(request.headers):
        text = say("this login does not come from the page: open the page again")
        raise Problem(HTTPStatus.FORBIDDEN, text, code="forbidden")
    fields = await read_fields(request)
    name, password = fields.get("name", "").strip(), fields.get("password", "")
    path, typed = _own(fields.get("path", START)), fields.get("typed", "")
    again: dict[str, Any] = {"path": path, "name": name[:_LONGEST_NAME], "typed": typed}
    address = request.client.host if request.client is not None else ""
    try:
        user = await services.reader.check_login(name, password, address)
        secret, _ = await services.reader.on_identities(lambda store: store.identities.start_session(user))
    except TooManyTries as exc:
        minutes = int(exc.seconds // 60) + 1
        text = say_n(
            "Too many failed tries. Try again in {count} minute.",
            "Too many failed tries. Try again in {count} minutes.",
            minutes,
        )
        return _form(request, **again, fault=text, status=HTTPStatus.TOO_MANY_REQUESTS)
    except LoginRefused:
        log.info("web.login_refused", address=address)
        fault = say("Name or password is wrong.")
        return _form(request, **again, fault=fault, status=HTTPStatus.UNAUTHORIZED)
    except LoginsBusy:
        fault = say("Many people log in just now. Try again in some seconds.")
        return _form(request, **again, fault=fault, status=HTTPStatus.SERVICE_UNAVAILABLE)
    shown = _typed_fields(typed)
    response: Response = RedirectResponse(path, HTTPStatus.SEE_OTHER)
    if shown:
        values = {
            **_common(request),
            "path": path,
            "typed": shown,
            "form_token": forgery.token_of(secret),
            "here": START,
        }
        response = HTMLResponse(render("typed.html", request.scope["state"]["language"], values))
    response.set_cookie(
        SESSION_COOKIE, secret, httponly=True, samesite="lax", secure=_is_secure(request), path="/"
    )
    return response


@router.post("/logout")
async def log_out(visit: Visiting, form: Form) -> Response:  # noqa: ARG001 - the form's token was checked
    """End the session."""
    await visit.services.reader.on_identities(lambda store: store.identities.end_session(visit.secret))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


@router.get("/language/{code}")
async def choose(request: Request, code: str, path: str = START) -> Response:
    """Read the page in another language from now on."""
    response = RedirectResponse(_own(path), HTTPStatus.SEE_OTHER)
    if code in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE, code, max_age=_YEAR_SECONDS, samesite="lax", secure=_is_secure(request), path="/"
        )
    return response


def ask_again(request: Request, typed: dict[str, str]) -> Response:
    """The answer to a request without a session: log in, then go on where one was."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request") == "true":
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": "/login"})
    if request.method in forgery.SAFE_METHODS:
        is_start = here in {"/", START}
        target = "/login" if is_start else str(request.url_for("show_login").include_query_params(path=here))
        return RedirectResponse(target.removeprefix(str(request.base_url).rstrip("/")), HTTPStatus.SEE_OTHER)
    kept = kept_fields(typed)
    fault = (
        say("Your session has ended. Log in again: what you typed is kept.")
        if kept
        else say("Your session has ended. Log in again.")
    )
    return _form(
        request,
        path=here,
        typed=json.dumps(kept) if kept else "",
        fault=fault,
        status=HTTPStatus.UNAUTHORIZED,
    )


def _form(
    request: Request,
    *,
    path: str,
    name: str = "",
    typed: str = "",
    fault: str | None = None,
    has_users: bool = True,
    status: int = HTTPStatus.OK,
) -> Response:
    values = {
        **_common(request),
        "path": _own(path),
        "name": name,
        "typed": typed,
        "fault": fault,
        "has_users": has_users,
        "here": "/login",
    }
    return HTMLResponse(render("login.html", request.scope["state"]["language"], values), status)


def _common(request: Request) -> dict[str, Any]:
    return {"principal": request.scope["state"].get("principal"), "language_names": words.LANGUAGE_NAMES}


def _own(path: str) -> str:
    return path if forgery.is_own_path(path) else START


def _typed_fields(typed: str) -> dict[str, str]:
    """What was typed into a form before the login, as this page itself has kept it in the form."""
    if not typed or len(typed) > _LONGEST_TYPED:
        return {}
    try:
        read = json.loads(typed)
    except ValueError:
        return {}
    if not isinstance(read, dict):
        return {}
    return kept_fields({str(name): value for name, value in read.items() if isinstance(value, str)})


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, perhaps to a proxy that this process does not know of."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
