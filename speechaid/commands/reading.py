"""Waits for a reader process, step by step: the database thread does other work meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.importing.process import Reader
from speechaid.protocol.translation import N_

#: Between two looks at a process that had nothing to say.
_POLL_SECONDS: Final = 0.02
#: The same for one that waits, and has others before it.
_WAITING_SECONDS: Final = 0.25


class Reading(Protocol):
    """What a reader process does for a command."""

    reader: Reader

    def poll(self) -> bool:
        """Take what has come; whether that was all."""


def await_reader(
    context: HandlerContext,
    command: Invocation,
    reading: Reading,
    then: Callable[[HandlerContext], Result | Continue],
    *,
    shows_progress: bool = True,
    needs_client: bool,
) -> Result | Continue:
    """Poll until the reading is finished, then go on.

    Args:
        context: of this step.
        command: gets progress: that the reading waits for its turn, or how many rows have been read.
        reading: has begun.
        then: the next step of the command.
        needs_client: the reading ends where the client has left.
        shows_progress: say that it is read; otherwise only that it waits.
    """
    shown: dict[str, Any] = {}

    def step(context: HandlerContext) -> Result | Continue:
        nonlocal shown
        before = reading.reader.received
        if reading.poll():
            return then(context)
        progress = _progress(reading.reader)
        if progress != shown and (shows_progress or reading.reader.is_waiting):
            shown = progress
            command.progress(progress)
        give_up = reading.reader.close if needs_client else None
        return Continue(after_seconds=_delay(reading.reader, before), step=step, give_up=give_up)

    return step(context)


def _delay(reader: Reader, received_before: int) -> float:
    """Many may wait for their turn: only the next ones are looked at often."""
    if reader.is_waiting and not reader.is_near:
        return _WAITING_SECONDS
    return 0.0 if reader.received > received_before else _POLL_SECONDS


def _progress(reader: Reader) -> dict[str, Any]:
    if reader.is_waiting:
        return {"state": N_("waiting for other files and reports")}
    return {"state": "reading", **({"done": reader.done} if reader.done else {})}
