"""``events``: what happens on this host, told to whoever listens, as it happens.

A subscription is a request that never gets its last answer. It ends when its client leaves, and when a client
reads so slowly that its queue is full for long: what it misses meanwhile is counted and told. Everything here
runs in the loop's thread, but for ``LogTap.emit``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from speechaid.commands.interfaces import CommandRefused
from speechaid.model.masking import mask_bare_phones
from speechaid.protocol.messages import ErrorCode, Request
from speechaid.telemetry.redaction import Redactor

#: Listeners at a time: each costs a message for each event.
MOST_LISTENERS: Final = 32
#: A sign of life where nothing happens, so that a client tells silence from a dead daemon, in seconds.
SIGN_OF_LIFE_SECONDS: Final = 5.0
#: A client that takes nothing for so long has stopped reading, in seconds.
PATIENCE_SECONDS: Final = 60.0
#: Log lines kept between two ticks.
_LINES_KEPT: Final = 1000
_NUMBER_FIELDS: Final = frozenset({"phone", "number", "error", "text", "message"})


class Stream(Protocol):
    """The end of the control socket that the listeners hang on."""

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        """Send one item; False: its queue is full, None: the client is gone."""


@dataclass(kw_only=True)
class _Listener:
    request: Request
    heard_at: float
    told_at: float
    missed: int = 0


class Subscriptions:
    """Who listens to what."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._listeners: list[_Listener] = []
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._listeners)

    def subscribe(self, request: Request) -> None:
        """Let a client listen from now on.

        Raises:
            Refused: too many listen already.
        """
        if len(self._listeners) >= MOST_LISTENERS:
            message = f"{MOST_LISTENERS} clients listen already: end one of them"
            raise CommandRefused(ErrorCode.REFUSED, message)
        listener = _Listener(request=request, heard_at=self._now, told_at=self._now)
        if self._send(listener, {"state": "listening"}):
            self._listeners.append(listener)

    def publish(self, worker: str, event: str, fields: Mapping[str, Any]) -> None:
        """Tell everybody whom it concerns."""
        if not self._listeners:
            return
        item = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "worker": worker, "event": event}
        item |= {name: _masked(name, value) for name, value in fields.items()}
        self._listeners = [
            listener
            for listener in self._listeners
            if not _concerns(listener.request, item) or self._send(listener, {"event": item})
        ]

    def tick(self, now: float) -> None:
        """Called each second or so with the boot-time clock: signs of life, and an end to patience."""
        self._now = now
        self._listeners = [
            listener
            for listener in self._listeners
            if now - listener.told_at < SIGN_OF_LIFE_SECONDS or self._send(listener, {"state": "listening"})
        ]

    def _send(self, listener: _Listener, item: dict[str, Any]) -> bool:
        """Whether the client is still to be kept."""
        if listener.missed:
            item = {**item, "missed": listener.missed}
        sent = self._stream.stream(listener.request, item)
        if sent is None:
            return False
        listener.told_at = self._now
        if sent:
            listener.heard_at, listener.missed = self._now, 0
            return True
        listener.missed += 1
        return self._now - listener.heard_at < PATIENCE_SECONDS


class LogTap(logging.Handler):
    """Keeps this process's log lines until the loop tells them on; ``emit`` may come from any thread."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(logging.INFO)
        self._redactor = redactor
        self._lines: deque[dict[str, Any]] = deque(maxlen=_LINES_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, without what no line may show."""
        fields = getattr(record, "fields", None) or {}
        event = getattr(record, "event", "log")
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        line = {"text": None if text == event else text, **fields}
        shown = self._redactor.fields({name: value for name, value in line.items() if value is not None})
        self._lines.append({**shown, "event": self._redactor.text(str(event)), "level": record.levelname})

    def take(self) -> list[dict[str, Any]]:
        """The lines since the last time."""
        taken: list[dict[str, Any]] = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken


def _concerns(request: Request, item: Mapping[str, Any]) -> bool:
    job, worker = request.args.get("job"), request.args.get("worker")
    if job is not None and not str(item.get("job", "")).startswith(job):
        return False
    return worker is None or item.get("worker") in {worker, f"worker-{worker}"}


def _masked(name: str, value: Any) -> Any:
    return mask_bare_phones(value) if name in _NUMBER_FIELDS and isinstance(value, str) else value
