"""Who asks: a bearer token becomes a principal before anything of the request's body is read."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
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
from speechaid.web.problems import Problem

#: Paths that anybody may ask for.
OPEN_PATHS: Final = frozenset({"/", "/health"})
#: The path of the metrics: a token, or a request of this host itself.
METRICS_PATH: Final = "/metrics"
#: Headers that a reverse proxy adds: its requests come from this host, and are of others.
_FORWARDED: Final = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)
#: Longest token that is looked up, in characters.
_TOKEN_LENGTH: Final = 256
_BEARER: Final = HTTPBearer(auto_error=False, description="a token of `speechctl token-add`")

#: The principal of a token, with the address that it came from; None: no valid one.
FindPrincipal = Callable[[str, str], Awaitable[Principal | None]]


class UnderWay:
    """Counts the requests that each client has under way; for one event loop."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._counts: Counter[str] = Counter()

    @contextlib.contextmanager
    def one_more(self, actor: str) -> Iterator[bool]:
        """Count one more of this client meanwhile; whether those are too many."""
        self._counts[actor] += 1
        try:
            yield self._counts[actor] > self._at_once
        finally:
            self._counts[actor] -= 1
            if not self._counts[actor]:
                del self._counts[actor]


class Authentication:
    """Lets requests with a valid token pass, and of each token so many at a time."""

    def __init__(self, app: ASGIApp, find: FindPrincipal, at_once: int) -> None:
        self._app = app
        self._find = find
        self._at_once = at_once
        self._under_way = UnderWay(at_once)

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
        with self._under_way.one_more(principal.actor) as is_too_many:
            if is_too_many:
                text = f"{self._at_once} requests of this token are under way: wait for an answer"
                busy = Problem(HTTPStatus.TOO_MANY_REQUESTS, text, code=ErrorCode.BUSY)
                await busy.to_response()(scope, receive, send)
            else:
                await self._app(scope, receive, send)

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
        try:
            principal = await self._find(token, address)
        except StoreUnavailable as exc:
            text = f"the token cannot be checked: {exc}"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=ErrorCode.UNAVAILABLE) from exc
        if principal is None:
            raise _unauthorized("the token is not valid: unknown, revoked or expired")
        return principal


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
