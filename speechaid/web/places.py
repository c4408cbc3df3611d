"""How many requests may be under way: of each client, and in all; which requests have places of their own.

What stops calls, and the question whether database and daemon answer, must not wait behind other requests:
neither in front of the application nor where it reads the database.
"""

from __future__ import annotations

import re
from collections import Counter
from contextvars import ContextVar
from enum import StrEnum
from http import HTTPMethod
from types import TracebackType
from typing import Final, Self

from starlette.types import Message, Send

from speechaid.protocol.commands import COMMANDS
from speechaid.web.command_table import ROUTES

_STREAM: Final = b"text/event-stream"


class Kind(StrEnum):
    """Which places a request takes."""

    ORDINARY = "ordinary"
    #: It stops calls.
    URGENT = "urgent"
    HEALTH = "health"


HEALTH_PATH: Final = "/health"
#: Orders of the page that stop calls: by methods, and the path.
_OF_PAGE: Final = (
    (frozenset({HTTPMethod.GET, HTTPMethod.POST}), "/stop"),
    (frozenset({HTTPMethod.POST}), "/campaigns/{batch_id}/pause"),
    (frozenset({HTTPMethod.POST}), "/campaigns/{batch_id}/cancel"),
)
_URGENT: Final = tuple(
    (frozenset(methods), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)))
    for methods, path in (
        *_OF_PAGE,
        *((route.methods, f"/api(?:/v1)?{route.path}") for route in ROUTES if COMMANDS[route.command].urgent),
    )
)

#: The kind of the request that is being served.
current_kind: ContextVar[Kind] = ContextVar("current_kind", default=Kind.ORDINARY)


def kind_of(method: str, path: str) -> Kind:
    """Which places a request takes."""
    if path == HEALTH_PATH:
        return Kind.HEALTH
    is_urgent = any(method in methods and pattern.fullmatch(path) for methods, pattern in _URGENT)
    return Kind.URGENT if is_urgent else Kind.ORDINARY


class Places:
    """Counts what is under way; for one event loop."""

    def __init__(self, per_client: int, in_all: int | None = None) -> None:
        """Begin with none.

        Args:
            per_client: at most of one client.
            in_all: at most of all; None: any number.
        """
        self.per_client = per_client
        self.in_all = in_all
        self._counts: Counter[str] = Counter()

    def of_client(self, client: str) -> int:
        """How many of this client are under way."""
        return self._counts[client]

    def count_all(self) -> int:
        """How many are under way."""
        return self._counts.total()

    def take(self, client: str) -> Place:
        """Count one more of this client, until its place is released."""
        return Place(self._counts, client, self.per_client)


class Place:
    """One that is counted; a context manager."""

    def __init__(self, counts: Counter[str], client: str, most: int) -> None:
        self._counts: Counter[str] | None = counts
        self._client = client
        counts[client] += 1
        #: Whether it is one too many of its client.
        self.is_too_many = counts[client] > most

    def release(self) -> None:
        """Count it no more."""
        counts, self._counts = self._counts, None
        if counts is None:
            return
        counts[self._client] -= 1
        if not counts[self._client]:
            del counts[self._client]

    def until_stream(self, send: Send) -> Send:
        """``send`` that releases the place where the answer is a stream: those are counted apart."""

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and is_stream(message):
                self.release()
            await send(message)

        return send_on

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.release()


def is_stream(message: Message) -> bool:
    """Whether an answer begins that is a stream of events."""
    headers: dict[bytes, bytes] = dict(message.get("headers", ()))
    return headers.get(b"content-type", b"").startswith(_STREAM)
