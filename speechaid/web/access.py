"""Who asks: a bearer token becomes a principal before anything of the request's body is read."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from speechaid.errors import StoreUnavailable
from speechaid.model.identity import Principal
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules.roles import may
from speechaid.telemetry.http import host_name, is_local_name
from speechaid.telemetry.logs import get_logger
from speechaid.web.places import HEALTH_PATH, Kind, Places, current_kind
from speechaid.web.problems import Problem

log = get_logger("speechaid.web")

#: Paths that anybody may ask for.
OPEN_PATHS: Final = frozenset({"/", HEALTH_PATH})
#: The path of the metrics: a token, or a request of this host itself.
METRICS_PATH: Final = "/metrics"
#: Headers that a reverse proxy adds: its requests come from this host, and are of others.
_FORWARDED: Final = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)
#: Longest token that is looked up, in characters.
_TOKEN_LENGTH: Final = 256
_BEARER: Final = HTTPBearer(auto_error=False, description="a token of `speechctl token-add`")

#: For so many seconds after a look at it a token may stop calls while the database is away.
BELIEVED_SECONDS: Final = 300.0
#: Seconds that the look at such a token may take, where it stops calls.
URGENT_CHECK_SECONDS: Final = 1.0
_MAX_KNOWN: Final = 1000
#: Requests of one client that stop calls, at once: beside its others.
_URGENT_PER_CLIENT: Final = 8

#: The principal of a token, with the address that it came from; None: no valid one.
FindPrincipal = Callable[[str, str], Awaitable[Principal | None]]


class KnownTokens:
    """The tokens that were valid a short time ago, by the digest of their secret; for one event loop.

    While the database is away nobody can look a token up, nor revoke it: those who showed a valid one
    shortly before may still stop calls, and do nothing else.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    def note(self, token: str, principal: Principal | None) -> None:
        """Record what a look at the database has found; None: not valid."""
        digest = _digest(token)
        self._known.pop(digest, None)
        if principal is not None:
            self._known[digest] = (self._now(), principal)
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)

    def find(self, token: str) -> Principal | None:
        """Whose token this was within the last ``BELIEVED_SECONDS``."""
        at, principal = self._known.get(_digest(token), (float("-inf"), None))
        return principal if self._now() - at <= BELIEVED_SECONDS else None


class Authentication:
    """Lets requests with a valid token pass, and of each token so many at a time."""

    def __init__(self, app: ASGIApp, find: FindPrincipal, at_once: int) -> None:
        self._app = app
        self._find = find
        self._known = KnownTokens()
        self._places = places_by_kind(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or _is_local_scrape(scope):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._authenticate(scope)
        except Problem as problem:
            await problem.to_response()(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        scope["state"]["is_still_allowed"] = partial(self._is_still_allowed, scope, principal)
        places = self._places[current_kind.get()]
        with places.take(principal.actor) as place:
            if place.is_too_many:
                text = f"{places.per_client} requests of this token are under way: wait for an answer"
                busy = Problem(HTTPStatus.TOO_MANY_REQUESTS, text, code=ErrorCode.BUSY)
                await busy.to_response()(scope, receive, send)
            else:
                await self._app(scope, receive, place.until_stream(send))

    async def _is_still_allowed(self, scope: Scope, principal: Principal) -> bool:
        """Whether the same token still has the same rights; true while that cannot be looked up."""
        try:
            return await self._authenticate(scope) == principal
        except Problem as problem:
            return problem.document.status != HTTPStatus.UNAUTHORIZED

    async def _authenticate(self, scope: Scope) -> Principal:
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = headers[0].decode("latin-1").partition(" ") if len(headers) == 1 else ("", "", "")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_LENGTH:
            raise _unauthorized("Authorization: Bearer TOKEN is missing; speechctl token-add makes a token")
        address = scope["client"][0] if scope.get("client") else ""
        known = self._known.find(token) if current_kind.get() is Kind.URGENT else None
        try:
            principal = await self._look_up(token, address, None if known is None else URGENT_CHECK_SECONDS)
        except (StoreUnavailable, TimeoutError, Problem) as exc:
            if known is not None:
                log.warning("web.token_believed", user=known.name)
                return known
            if isinstance(exc, Problem):
                raise
            text = "the token cannot be checked: the database is away, or does not answer in time"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=ErrorCode.UNAVAILABLE) from exc
        if principal is None:
            raise _unauthorized("the token is not valid: unknown, revoked or expired")
        return principal

    async def _look_up(self, token: str, address: str, seconds: float | None) -> Principal | None:
        async with asyncio.timeout(seconds):
            principal = await self._find(token, address)
        self._known.note(token, principal)
        return principal


def places_by_kind(at_once: int) -> dict[Kind, Places]:
    """The places of the clients of one kind of login: ordinary ones, and those of what stops calls."""
    return {
        Kind.ORDINARY: Places(at_once),
        Kind.URGENT: Places(_URGENT_PER_CLIENT),
        Kind.HEALTH: Places(at_once),
    }


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _is_local_scrape(scope: Scope) -> bool:
    """Whether a program of this host asks for the metrics: by no proxy, and by no name of a web page's."""
    if scope["path"] != METRICS_PATH:
        return False
    headers = dict(scope["headers"])
    client = scope["client"][0] if scope.get("client") else ""
    return (
        headers.keys().isdisjoint(_FORWARDED)
        and is_local_name(host_name(headers.get(b"host", b"").decode("latin-1")))
        and is_local_name(client)
        and ip_address(client).is_loopback
    )


def _unauthorized(detail: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED, detail, code="unauthorized", headers={"WWW-Authenticate": "Bearer"}
    )


def _caller(request: Request, _header: Annotated[Any, Security(_BEARER)]) -> Principal:
    principal: Principal = request.scope["state"]["principal"]
    return principal


#: The parameter of a route that has the principal.
Caller = Annotated[Principal, Depends(_caller)]


async def is_still_allowed(request: Request) -> bool:
    """Whether the token or session of a request that lasts is as valid as at its beginning."""
    check: Callable[[], Awaitable[bool]] = request.scope["state"]["is_still_allowed"]
    return await check()


def require_grant(principal: Principal, what: str) -> None:
    """Check that the principal's role may give this command, or do this action.

    Raises:
        Problem: it may not.
    """
    if not may(principal.role, what):
        text = say("the role {role} may not do this ({what})", role=str(principal.role), what=str(what))
        raise Problem(HTTPStatus.FORBIDDEN, text, code=ErrorCode.FORBIDDEN)


def route_grant(what: str) -> dict[str, Any]:
    """Arguments of a route's decorator: the command or action that the principal's role must be allowed.

    It is checked before the route's function runs, and stands in the OpenAPI document as ``x-requires``.
    """

    def check(caller: Caller) -> None:
        require_grant(caller, what)

    return {"dependencies": [Depends(check)], "openapi_extra": {"x-requires": str(what)}}
