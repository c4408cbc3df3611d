"""Waits until no dial is in flight: after the answer to pause, hold or cancel, no new call is placed.

The write of these commands fails every later preflight. A dial that had passed its last preflight already has
an open intent under a live lease: it is in flight, and waited for. Calls in progress are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say_n
from speechaid.store.jobs import OpenDials

#: Interval between two counts of dials in flight.
_POLL_SECONDS: Final = 0.05
#: Time, beyond two requests to Retell, for a dial in flight to be recorded or given up, in seconds.
_GRACE_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class DialWait:
    """What to wait for, and the answer."""

    #: Counts the dials to wait for, by an index of them.
    on_their_way: Callable[[HandlerContext], int]
    #: Counts all open dials, for the answer.
    count: Callable[[HandlerContext], OpenDials]
    #: What has been done, for the message of a time-out: ``batch ... is paused``.
    done: str
    #: The answer, without the numbers of dials.
    result: Result
    #: The command to repeat.
    again: str
    #: Epoch seconds of the database's clock.
    deadline: float

    def begin(self, context: HandlerContext, command: Invocation) -> Result | Continue:
        """Like ``wait``, but the first look is the answer's too: with a slow database each look counts."""
        dials = self.count(context)
        if dials.on_their_way == 0:
            return self._answer(dials, 0)
        return self._go_on(context, command, dials.on_their_way, dials.on_their_way, 0)

    def wait(
        self, context: HandlerContext, command: Invocation, waited_for: int, reported: int
    ) -> Result | Continue:
        """The answer, or ``Continue`` while a dial is in flight.

        Args:
            context: the handler's.
            command: gets progress.
            waited_for: the most dials seen so far.
            reported: how many the latest progress message had.
        """
        on_their_way = self.on_their_way(context)
        waited_for = max(waited_for, on_their_way)
        if on_their_way == 0:
            return self._answer(self.count(context), waited_for)
        return self._go_on(context, command, on_their_way, waited_for, reported)

    def _answer(self, dials: OpenDials, waited_for: int) -> Result:
        counts = {"live_calls": dials.live_calls, "ambiguous": dials.ambiguous}
        return {**self.result, "waited_for": waited_for, **counts}

    def _go_on(
        self, context: HandlerContext, command: Invocation, on_their_way: int, waited_for: int, reported: int
    ) -> Continue:
        if context.store.now().timestamp() > self.deadline:
            message = say_n(
                "{done}, but {count} earlier dial may still become a call; repeat {again} to wait again",
                "{done}, but {count} earlier dials may still become a call; repeat {again} to wait again",
                on_their_way,
                done=self.done,
                again=self.again,
            )
            raise CommandRefused(ErrorCode.TIMEOUT, message)
        if on_their_way != reported:
            command.progress({"state": "waiting", "on_their_way": on_their_way})
        return Continue(
            after_seconds=_POLL_SECONDS,
            step=lambda context: self.wait(context, command, waited_for, on_their_way),
        )


def wait_for_dials(
    context: HandlerContext,
    command: Invocation,
    batch_id: str | None = None,
    *,
    of_batches: bool = False,
    done: str,
    again: str,
    result: Result,
) -> Result | Continue:
    """Answer with ``result`` once no dial is in flight: of the batch, of all batches, or at all."""
    deadline = context.store.now().timestamp() + 2 * context.settings.retell.timeout_seconds + _GRACE_SECONDS
    return DialWait(
        on_their_way=lambda context: context.store.jobs.dials_on_their_way(batch_id, of_batches=of_batches),
        count=lambda context: context.store.jobs.open_dials(batch_id, of_batches=of_batches),
        done=done,
        result=result,
        again=again,
        deadline=deadline,
    ).begin(context, command)
