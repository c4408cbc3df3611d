"""Responses that are late, reset or invalid, for the ASGI server to send."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from speechaid.demo.simulator.faults import Style

#: The key under which a request's scope holds its connection.
TRANSPORT: Final = "transport"


class ResettableProtocol(H11Protocol):
    """HTTP/1.1 that gives each request access to its connection, so that a fault can break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Store the connection for its requests."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


class ResetResponse(Response):
    """Closes the connection with a TCP reset, without a response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Abort the connection, and wait until the server has noticed."""
        transport = scope["state"][TRANSPORT]
        connection = transport.get_extra_info("socket")
        # A linger time of 0 turns the close into a reset; otherwise the client would see an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _client_gone(receive)


class DelayedResponse(Response):
    """Waits, then sends another response, unless the client disconnects first."""

    def __init__(self, seconds: float, then: Response) -> None:
        super().__init__(status_code=then.status_code)
        self._seconds = seconds
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait until the time is up or the client disconnects."""
        try:
            async with asyncio.timeout(self._seconds):
                await _client_gone(receive)
        except TimeoutError:
            await self._then(scope, receive, send)


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def garbage(style: Style, normal: Response) -> Response:
    """A body that is no call object, with the status of the normal response."""
    body = bytes(normal.body)
    bodies: dict[Style, tuple[bytes, str]] = {
        "html": (b"<html><body><h1>It works!</h1></body></html>", "text/html"),
        "truncated": (body[: len(body) // 2] or b'{"call_id": "call_', "application/json"),
        "empty": (b"", "application/json"),
        "array": (b"[1, 2, 3]", "application/json"),
        "wrong_types": (b'{"call_id": 7, "call_status": ["ended"], "items": "none"}', "application/json"),
    }
    content, media_type = bodies[style]
    # 204 must not have a body; 200 is the closest status that may.
    status = 200 if normal.status_code == 204 else normal.status_code
    return Response(content, status_code=status, media_type=media_type, headers=_date(normal))


def _date(normal: Response) -> dict[str, Any]:
    date = normal.headers.get("date")
    return {"date": date} if date else {}
