"""HTTP connections with a time for the head of each request: uvicorn waits for it without end."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

#: Seconds that a client has for the head of a request, from the connection or the request's first byte on.
HEAD_SECONDS: Final = 10.0
#: Open connections at most; one more is closed at once.
MAX_CONNECTIONS: Final = 512


class TimedConnection(H11Protocol):
    """One connection; it is closed where the head of a request does not come in time."""

    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time stops with a complete head, and starts with the next request."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_waiting()
        elif self._head_due is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Between two requests the server's own time for idle connections counts."""
        self._stop_waiting()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_due = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
