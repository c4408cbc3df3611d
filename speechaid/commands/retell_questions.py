"""What commands ask Retell: each question in a thread of its own, so that no other work waits for Retell.

The database thread only looks now and then whether the answer has come, and does other work meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from speechaid.commands.dry_run import retell_client
from speechaid.commands.interfaces import Continue, HandlerContext, Result
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import RetellError, RetellUnavailable

#: Questions under way at most; each ends within its time.
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
    answer: Future[T] = Future()
    deadline = time.monotonic() + within_seconds + _GRACE_SECONDS
    timeout_seconds = min(within_seconds, context.settings.retell.timeout_seconds)

    def run() -> None:
        try:
            with retell_client(context, timeout_seconds) as client:
                answer.set_result(question(client))
        except Exception as exc:  # noqa: BLE001 - the command's thread raises it again
            answer.set_exception(exc)
        finally:
            _places.release()

    def wait(context: HandlerContext) -> Result | Continue:
        if not answer.done():
            if time.monotonic() < deadline:
                return Continue(after_seconds=_POLL_SECONDS, step=wait)
            return then(context, RetellUnavailable(f"no answer from Retell within {within_seconds:g} s"))
        fault = answer.exception()
        if fault is None:
            return then(context, answer.result())
        if isinstance(fault, RetellError):
            return then(context, fault)
        raise fault

    if not _places.acquire(blocking=False):
        return then(context, RetellUnavailable(f"{AT_ONCE} questions to Retell are under way already"))
    try:
        threading.Thread(target=run, name="retell-question", daemon=True).start()
    except RuntimeError:  # the system allows no more threads
        _places.release()
        return then(context, RetellUnavailable("this host allows no more threads"))
    return wait(context)
