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
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import encode_json
from speechaid.telemetry.web_metrics import WebMetrics
from speechaid.web.access import is_still_allowed
from speechaid.web.problems import Problem

#: Seconds after which a stream without news has a comment, so that proxies keep it open.
COMMENT_SECONDS: Final = 15.0
#: Seconds between two looks at the client's token or session.
ACCESS_SECONDS: Final = 5.0
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
        self._open = 0

    def check_room(self) -> None:
        """Check that one more may be opened.

        Raises:
            Problem: too many are open.
        """
        if self._open >= self._at_once:
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
        self.check_room()
        return StreamingResponse(
            self._send(request, events),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _send(self, request: Request, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._count(1)
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
        except (Problem, StoreUnavailable) as problem:
            # The client comes back, with the id of the last event that it has.
            yield problem_event(str(problem))
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        self._open += by
        self._metrics.count("speechaid_web_event_streams", by, stream=self._kind)


def problem_event(detail: str) -> bytes:
    """The last event of a stream: why it ends."""
    return b"event: problem\ndata: " + encode_json({"detail": detail}) + b"\n\n"
