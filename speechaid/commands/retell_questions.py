"""What commands ask Retell: each question in a thread of its own, so that no other work waits for Retell.

The database thread only looks now and then whether the answer has come, and does other work meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from speechaid.commands.dry_run import retell_client
from speechaid.commands.interfaces import Continue, HandlerContext, Result
from speechaid.protocol.translation import say
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import RetellError, RetellUnavailable

#: Questions under way at most; each ends within its time, and the others wait for a place.
AT_ONCE: Final = 4
#: Between two looks for the answer, in seconds.
_POLL_SECONDS: Final = 0.02
#: For what a thread needs beside its requests, in seconds.
_GRACE_SECONDS: Final = 0.5

_places: Final = threading.BoundedSemaphore(AT_ONCE)

T = TypeVar("T")


def ask_retell(
    context: HandlerContext,
    question: Callable[[RetellClient], T],
    then: Callable[[HandlerContext, T | RetellError], Result | Continue],
    *,
    within_seconds: float,
) -> Result | Continue:
    """Ask Retell, then go on with the answer in the thread of the command.

    Args:
        context: the handler's.
        question: runs in another thread; the client is its own, and no request of it takes longer than
            ``within_seconds``.
        then: gets the answer, or the fault where none came in time.
        within_seconds: the longest that the command waits, but for half a second.
    """
    asked = _Question(question=question, then=then, within_seconds=within_seconds)
    return asked.begin(context)


class _Question(Generic[T]):
    """One question: it waits for a place, is asked in a thread, and its answer is waited for."""

    def __init__(
        self,
        *,
        question: Callable[[RetellClient], T],
        then: Callable[[HandlerContext, T | RetellError], Result | Continue],
        within_seconds: float,
    ) -> None:
        self._question = question
        self._then = then
        self._within_seconds = within_seconds
        self._deadline = time.monotonic() + within_seconds + _GRACE_SECONDS
        self._answer: Future[T] = Future()

    def begin(self, context: HandlerContext) -> Result | Continue:
        """Ask as soon as there is a place."""
        if not _places.acquire(blocking=False):
            late = say("{AT_ONCE} other questions have no answer of Retell yet", AT_ONCE=AT_ONCE)
            return self._again(context, self.begin, late)
        try:
            threading.Thread(target=self._run, args=(context,), name="retell-question", daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            _places.release()
            return self._then(context, RetellUnavailable(say("this host allows no more threads")))
        return self._wait(context)

    def _run(self, context: HandlerContext) -> None:
        timeout_seconds = min(self._within_seconds, context.settings.retell.timeout_seconds)
        try:
            with retell_client(context, timeout_seconds) as client:
                self._answer.set_result(self._question(client))
        except Exception as exc:  # noqa: BLE001 - the command's thread raises it again
            self._answer.set_exception(exc)
        finally:
            _places.release()

    def _wait(self, context: HandlerContext) -> Result | Continue:
        if not self._answer.done():
            late = say(
                "no answer from Retell within {within_seconds:g} s", within_seconds=self._within_seconds
            )
            return self._again(context, self._wait, late)
        fault = self._answer.exception()
        if fault is None:
            return self._then(context, self._answer.result())
        if isinstance(fault, RetellError):
            return self._then(context, fault)
        raise fault

    def _again(
        self, context: HandlerContext, step: Callable[[HandlerContext], Result | Continue], fault: str
    ) -> Result | Continue:
        """Come back later, or go on with the fault where the time is over."""
        if time.monotonic() < self._deadline:
            return Continue(after_seconds=_POLL_SECONDS, step=step)
        return self._then(context, RetellUnavailable(fault))
