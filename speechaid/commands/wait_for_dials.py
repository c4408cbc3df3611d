"""Waiting until no dial is on its way any more: what pause, hold and cancel promise with their answer.

The write makes every later dial fail its last look; those that had it already hold an open intent under a
live lease. Calls that are going on are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import plural
from speechaid.store.jobs import OpenDials

#: Seconds between two looks at the dials that are waited for.
_LOOK_AGAIN_SECONDS: Final = 0.2
#: Beyond two Retell requests, a dial on its way has this long to be recorded or given up, in seconds.
_GRACE_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class DialWait:
    """What is waited for, and what is said in the end."""

    #: Counts the dials in question.
    count: Callable[[HandlerContext], OpenDials]
    #: What was done, for the message of one that waited too long: ``batch ... is paused``.
    done: str
    #: The answer, beside the figures of the dials.
    result: Result
    #: Which command to give again.
    again: str
    #: Epoch seconds by the database's clock.
    deadline: float

    def wait(self, context: HandlerContext, command: Invocation, seen: int = 0) -> Result | Continue:
        """The answer once no dial is on its way; until then another look a moment later."""
        dials = self.count(context)
        waited_for = max(seen, dials.on_their_way)
        if dials.on_their_way == 0:
            figures = {"live_calls": dials.live_calls, "ambiguous": dials.ambiguous}
            return {**self.result, "waited_for": waited_for, **figures}
        if context.store.now().timestamp() > self.deadline:
            message = (
                f"{self.done}, but {plural(dials.on_their_way, 'dial has', 'dials have')} been on the way "
                f"for too long to wait: a call may still come of it; ask again with {self.again}"
            )
            raise CommandRefused(ErrorCode.TIMEOUT, message)
        command.progress({"state": "waiting", "on_their_way": dials.on_their_way})
        return Continue(
            after_seconds=_LOOK_AGAIN_SECONDS, step=lambda context: self.wait(context, command, waited_for)
        )


def wait_for_dials(
    context: HandlerContext,
    command: Invocation,
    count: Callable[[HandlerContext], OpenDials],
    *,
    done: str,
    again: str,
    result: Result,
) -> Result | Continue:
    """Answer with ``result`` once no dial that ``count`` counts is on its way."""
    deadline = context.store.now().timestamp() + 2 * context.settings.retell.timeout_seconds + _GRACE_SECONDS
    return DialWait(count=count, done=done, result=result, again=again, deadline=deadline).wait(
        context, command
    )
