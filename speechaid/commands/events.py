"""``events``: streams the events of this host to the clients that subscribe.

A subscription is a request without a last answer. It ends when its client leaves, or has not read for
``PATIENCE_SECONDS``; items that its full queue does not take are counted; the next item has the count.
Everything here runs in the loop thread, except ``LogTap.emit``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from speechaid.commands.interfaces import CommandRefused
from speechaid.model.masking import mask_prose
from speechaid.protocol.messages import ErrorCode, Request
from speechaid.protocol.translation import say
from speechaid.telemetry.redaction import Redactor

#: Listeners at a time: each costs a message for each event.
MAX_LISTENERS: Final = 32
#: Interval of heartbeats without events, by which clients detect a dead daemon, in seconds.
HEARTBEAT_SECONDS: Final = 5.0
#: A client whose queue has been full for this long is dropped, in seconds.
PATIENCE_SECONDS: Final = 60.0
#: Log lines kept between two ticks.
_MAX_LINES: Final = 1000
_NUMBER_FIELDS: Final = frozenset({"phone", "number", "error", "text", "message", "reason", "summary"})


class Stream(Protocol):
    """Sends items to listeners (``control.ControlSocket``)."""

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        """Send one item; False if the client's queue is full, None if the client is gone."""


@dataclass(kw_only=True)
class _Listener:
    request: Request
    #: When its queue last took an item.
    accepted_at: float
    #: When an item was last offered.
    sent_at: float
    #: Items that its queue could not take since.
    missed: int = 0


class Subscriptions:
    """The clients that listen to events."""

    def __init__(self, stream: Stream, on_shown: Callable[[Request], None] = lambda _request: None) -> None:
        """Have no listener yet; ``on_shown`` is called for each event that is sent to one."""
        self._stream = stream
        self._on_shown = on_shown
        self._listeners: list[_Listener] = []
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._listeners)

    def subscribe(self, request: Request) -> None:
        """Add a listener.

        Raises:
            CommandRefused: there are ``MAX_LISTENERS`` already.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            message = say(
                "{MAX_LISTENERS} clients listen already: close one of them first", MAX_LISTENERS=MAX_LISTENERS
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
        listener = _Listener(request=request, accepted_at=self._now, sent_at=self._now)
        if self._send(listener, {"state": "listening"}):
            self._listeners.append(listener)

    def take(self, is_over: Callable[[Request], bool]) -> list[Request]:
        """Remove the listeners of which this holds, and return their requests."""
        over = [listener.request for listener in self._listeners if is_over(listener.request)]
        self._listeners = [listener for listener in self._listeners if not is_over(listener.request)]
        return over

    def publish(self, worker: str, event: str, fields: Mapping[str, Any]) -> None:
        """Send an event to the listeners whose filter it matches."""
        if not self._listeners:
            return
        item = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "worker": worker, "event": event}
        item |= {name: _masked(name, value) for name, value in fields.items()}
        self._listeners = [
            listener
            for listener in self._listeners
            if not _matches(listener.request, item) or self._send(listener, {"event": item})
        ]

    def tick(self, now: float) -> None:
        """Send heartbeats and drop clients that do not read; called about each second with boot time."""
        self._now = now
        self._listeners = [
            listener
            for listener in self._listeners
            if now - listener.sent_at < HEARTBEAT_SECONDS or self._send(listener, {"state": "listening"})
        ]

    def _send(self, listener: _Listener, item: dict[str, Any]) -> bool:
        """Send an item; returns whether to keep the listener."""
        if listener.missed:
            item = {**item, "missed": listener.missed}
        sent = self._stream.stream(listener.request, item)
        if sent is None:
            return False
        listener.sent_at = self._now
        if sent:
            listener.accepted_at, listener.missed = self._now, 0
            if "event" in item:
                self._on_shown(listener.request)
            return True
        listener.missed += 1
        return self._now - listener.accepted_at < PATIENCE_SECONDS


class LogTap(logging.Handler):
    """Keeps this process's log lines until the loop publishes them; ``emit`` is called by any thread."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(logging.INFO)
        self._redactor = redactor
        self._lines: deque[dict[str, Any]] = deque(maxlen=_MAX_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, without secrets and full phone numbers."""
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
        """Return the lines that have gathered, and forget them."""
        taken: list[dict[str, Any]] = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken


def _matches(request: Request, item: Mapping[str, Any]) -> bool:
    job, worker, batch = (request.args.get(name) for name in ("job", "worker", "batch"))
    is_other = any(value not in {None, item.get(name)} for name, value in (("job", job), ("batch", batch)))
    if request.account_id is not None and is_other:
        return False  # whole ids, which were looked up: another account's may begin with them
    if batch is not None and not str(item.get("batch", "")).startswith(batch):
        return False
    agent = request.args.get("agent")
    if agent is not None and item.get("agent") != agent:
        return False
    if job is not None and not str(item.get("job", "")).startswith(job):
        return False
    return worker is None or item.get("worker") in {worker, f"worker-{worker}"}


def _masked(name: str, value: Any) -> Any:
    return mask_prose(value) if name in _NUMBER_FIELDS and isinstance(value, str) else value
