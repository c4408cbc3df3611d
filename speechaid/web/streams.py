"""Server-sent events: so many streams at once, kept open, and ended when their client's right ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from starlette.responses import StreamingResponse

from speechaid.errors import StoreUnavailable
from speechaid.model.identity import Principal
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import encode_json
from speechaid.telemetry.web_metrics import WebMetrics
from speechaid.web.access import is_still_allowed
from speechaid.web.places import Places
from speechaid.web.problems import DATABASE_AWAY, Problem

#: Seconds after which a stream without news has a comment, so that proxies keep it open.
COMMENT_SECONDS: Final = 15.0
#: Seconds between two looks at the client's token or session.
ACCESS_SECONDS: Final = 5.0
#: One client has at most one part in so many of the streams.
_SHARE_OF_CLIENT: Final = 2
#: How the OpenAPI document describes the answer.
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


class EventStreams:
    """The open streams of one kind; for one event loop."""

    def __init__(self, kind: str, metrics: WebMetrics, *, at_once: int, tick_seconds: float) -> None:
        """Begin without streams.

        Args:
            kind: one of ``EVENT_STREAMS``.
            metrics: where they are counted.
            at_once: streams at most.
            tick_seconds: between two looks for events.
        """
        self._kind = kind
        self._metrics = metrics
        self._at_once = at_once
        self._tick_seconds = tick_seconds
        self._places = Places(max(1, at_once // _SHARE_OF_CLIENT), at_once)

    def check_room(self, request: Request) -> None:
        """Check that one more may be opened for the client of this request.

        Raises:
            Problem: too many are open.
        """
        places = self._places
        if places.of_client(_client_of(request)) >= places.per_client:
            text = f"{places.per_client} streams of this client are open: close one first"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, code=ErrorCode.BUSY)
        if places.count_all() >= self._at_once:
            text = f"{self._at_once} streams are open: try again later"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=ErrorCode.BUSY)

    def open_stream(self, request: Request, events: AsyncIterator[bytes]) -> StreamingResponse:
        """The answer with these events.

        Args:
            request: whose token or session is looked at again and again.
            events: what to send at each look; nothing where it is empty. Its end, or a ``Problem``, ends the
                stream.

        Raises:
            Problem: too many are open.
        """
        self.check_room(request)
        return StreamingResponse(
            self._send(request, events),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _send(self, request: Request, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        place = self._places.take(_client_of(request))
        self._metrics.count("speechaid_web_event_streams", 1, stream=self._kind)
        sent_at = checked_at = time.monotonic()
        try:
            async for part in events:
                now = time.monotonic()
                if now >= checked_at + ACCESS_SECONDS:
                    if not await is_still_allowed(request):
                        yield problem_event("the token or session of this stream is not valid any more")
                        return
                    checked_at = now
                if part:
                    yield part
                    sent_at = now
                elif now >= sent_at + COMMENT_SECONDS:
                    yield b": nothing new\n\n"
                    sent_at = now
                await asyncio.sleep(self._tick_seconds)
        except Problem as problem:
            # The client comes back, with the id of the last event that it has.
            yield problem_event(str(problem))
        except StoreUnavailable:
            yield problem_event(DATABASE_AWAY)
        finally:
            place.release()
            self._metrics.count("speechaid_web_event_streams", -1, stream=self._kind)


def _client_of(request: Request) -> str:
    principal: Principal = request.scope["state"]["principal"]
    return principal.actor


def problem_event(detail: str) -> bytes:
    """The last event of a stream: why it ends."""
    return b"event: problem\ndata: " + encode_json({"detail": detail}) + b"\n\n"
