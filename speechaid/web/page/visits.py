"""One request of a logged-in user: who asks, in which language, what the daemon says, and the page as answer.

What a screen reads or does goes the ways of the API: ``require_grant``, the scoped store, the daemon on
behalf of the user.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from speechaid.model.identity import Principal
from speechaid.protocol.client import Progress
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.specs.specification import Access
from speechaid.protocol.translation import reader_language, say
from speechaid.web.access import require_grant
from speechaid.web.daemon import answer_language
from speechaid.web.page import forgery, words
from speechaid.web.page.languages import LANGUAGE_COOKIE, choose_language
from speechaid.web.page.rendering import render
from speechaid.web.problems import Problem
from speechaid.web.services import Services, services_of

_T = TypeVar("_T")

SESSION_COOKIE: Final = "speechaid_session"
#: Seconds for which one status of the daemon serves all readers.
_STATUS_SECONDS: Final = 2.0
#: Seconds that a page waits for it; later, the daemon counts as away.
_STATUS_WAIT_SECONDS: Final = 3.0
#: Seconds that a page waits for what may come after it.
_SOON_SECONDS: Final = 0.1
#: What a form may have; and of it, what is kept when the session has ended, in characters.
_MAX_FIELDS: Final = 200
_MAX_KEPT: Final = 64 * 1024
_TEXT_FORM: Final = "application/x-www-form-urlencoded"
#: Reads whose answer several users get: none shows people, since who looks at them is recorded.
SHARED: Final = frozenset({"status", "alerts", "batch"})
_TOKEN_FIELD: Final = "form_token"  # noqa: S105 - the field's name


class LoggedOut(Exception):  # noqa: N818 - an answer
    """There is no session, or it is over; what was typed is kept."""

    def __init__(self, typed: Mapping[str, str] | None = None) -> None:
        super().__init__("no session")
        self.typed = dict(typed or {})


class Invalid(Exception):  # noqa: N818 - an answer
    """A form that has faults: by field, what is wrong."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(faults.values()))
        self.faults = dict(faults)


def language_of_request(request: Request) -> str:
    """The language in which a request is answered."""
    return choose_language(
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language"),
        reader_language(os.environ),
    )


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request of a user."""

    request: Request
    services: Services
    caller: Principal
    language: str
    #: What opens the session.
    secret: str

    def may(self, what: str) -> bool:
        """Whether the user may do this."""
        try:
            require_grant(self.caller, what)
        except Problem:
            return False
        return True

    @property
    def sees_all(self) -> bool:
        """Whether the user is bound to no account."""
        return self.caller.account_id is None

    async def ask(
        self,
        command: str,
        args: Mapping[str, Any] | None = None,
        *,
        attachment: bytes | None = None,
        on_progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Have the daemon carry out a command, as the API does.

        Raises:
            Problem: the role does not allow it, the daemon refused, or it is away.
        """
        require_grant(self.caller, command)
        given = {name: value for name, value in (args or {}).items() if value is not None}
        if COMMANDS[command].access is not Access.WRITE:
            return await self.services.daemon.ask(self.caller, command, given, attachment=attachment)
        try:
            return await self.services.daemon.ask(
                self.caller, command, given, attachment=attachment, on_progress=on_progress
            )
        finally:
            # The next screen shows what was done.
            self.services.reader.forget_shared()

    async def share(self, command: str, args: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """As ``ask``, of a read: one answer serves this user for so many seconds.

        Of one of ``SHARED`` it serves all of one role, account and language.
        """
        require_grant(self.caller, command)
        key = (
            *(command, json.dumps(args, sort_keys=True), self.language),
            *(self.caller.role, self.caller.account_id),
            None if command in SHARED else self.caller.actor,
        )
        return await self.services.reader.share_result(key, lambda: self.ask(command, args), seconds)

    async def soon(self, work: Awaitable[_T], seconds: float = _SOON_SECONDS) -> tuple[_T | None, bool]:
        """What is there in a moment, and whether it is late; what is late goes on."""
        try:
            return await asyncio.wait_for(work, seconds), False
        except TimeoutError:
            return None, True

    async def status(self) -> dict[str, Any] | None:
        """The daemon's status; None where it is away, or the user is bound to an account."""
        if not self.sees_all:
            return None
        try:
            return (await self.soon(self.share("status", {}, _STATUS_SECONDS), _STATUS_WAIT_SECONDS))[0]
        except Problem:
            return None

    async def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """A screen, with what every screen shows around it."""
        known = await self.status()
        is_up = known is not None or (not self.sees_all and await self.services.daemon.is_up())
        values = {
            **self.common_values(),
            "daemon_is_up": is_up,
            "hold": None if known is None else known.get("fleet_hold"),
            "known": known,
            **values,
        }
        return HTMLResponse(render(template, self.language, values), status)

    def part(self, template: str, **values: Any) -> str:
        """A part of a screen, which takes the place of its former state."""
        return render(template, self.language, {**self.common_values(), **values})

    def common_values(self) -> dict[str, Any]:
        """What every template may use."""
        return {
            "caller": self.caller,
            "role": words.ROLES[self.caller.role],
            "role_names": words.ROLES,
            "may": self.may,
            "sees_all": self.sees_all,
            "path": self.request.url.path,
            "here": self.here,
            "form_token": forgery.token_of(self.secret),
            "language_names": words.LANGUAGE_NAMES,
            "campaign_states": words.CAMPAIGN_STATES,
            "settings_names": words.SETTINGS,
            "purposes": words.PURPOSES,
            "people_states": words.PEOPLE_STATES,
            "faults": {},
            "notice": None,
        }

    @property
    def is_part(self) -> bool:
        """Whether a page asks for a part of itself."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def here(self) -> str:
        """Path and query of this page."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    def redirect_to(self, path: str) -> Response:
        """Show another screen, after something was done."""
        return RedirectResponse(path, HTTPStatus.SEE_OTHER)


async def _visit(request: Request) -> Visit:
    """The visit of this request.

    Raises:
        LoggedOut: there is no session.
        Problem: the request does not come from the page.
    """
    principal: Principal | None = request.scope["state"].get("principal")
    if request.method not in forgery.SAFE_METHODS and not forgery.is_own_request(request.headers):
        raise _foreign()
    if principal is None:
        raise LoggedOut(await read_fields(request))
    return Visit(
        request=request,
        services=services_of(request),
        caller=principal,
        language=request.scope["state"]["language"],
        secret=request.cookies[SESSION_COOKIE],
    )


#: The parameter of a route for logged-in users.
Visiting = Annotated[Visit, Depends(_visit)]


def needs_grant(what: str) -> dict[str, Any]:
    """Arguments of a route's decorator: the command or action that the user's role must be allowed.

    It is checked before the route's function runs, as ``web.access.requires`` does for the API.
    """

    def check(visit: Visiting) -> None:
        require_grant(visit.caller, what)

    return {"dependencies": [Depends(check)]}


async def _form(request: Request, visit: Visiting) -> dict[str, str]:
    """The fields of a form of this session.

    Raises:
        Problem: the form is not one of this session's pages.
    """
    fields = await read_fields(request)
    if not forgery.is_token_of(visit.secret, fields.pop(_TOKEN_FIELD, "")):
        raise _foreign()
    return fields


#: The parameter of a route that changes something: its form, whose origin was checked.
Form = Annotated[dict[str, str], Depends(_form)]


async def read_fields(request: Request) -> dict[str, str]:
    """The texts of a form; files are left out.

    Of a stranger no form with files is read: it would take room on the disk.
    """
    media = request.headers.get("content-type", "").lower()
    is_stranger = request.scope["state"].get("principal") is None
    if request.method in forgery.SAFE_METHODS or (is_stranger and not media.startswith(_TEXT_FORM)):
        return {}
    form = await request.form(max_fields=_MAX_FIELDS)
    return {name: value for name, value in form.items() if isinstance(value, str)}


def kept_fields(typed: Mapping[str, str]) -> dict[str, str]:
    """Of what was typed, what is shown again after a login: no token, no password, and not without end."""
    kept = {name: value for name, value in typed.items() if name != _TOKEN_FIELD and "password" not in name}
    return kept if sum(map(len, kept.values())) <= _MAX_KEPT else {}


def _foreign() -> Problem:
    text = say("this form does not come from a page of this session: open the page again, and send it there")
    return Problem(HTTPStatus.FORBIDDEN, text, code="forbidden")


def choose_answer_language(request: Request) -> str:
    """From now on answer this request in its reader's language; that language."""
    language = language_of_request(request)
    answer_language.set(language)
    return language
