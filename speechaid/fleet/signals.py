"""Signals as a queue: nothing happens in a handler, the loop reads what came when it is ready."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Final

#: Every signal that can be blocked; blocked across a fork, so that none hits a child without handlers.
ALL_SIGNALS: Final = signal.valid_signals()


class SignalQueue:
    """The signals that arrived, oldest first, behind a descriptor that a poller can watch.

    The queue is the pipe that the interpreter's own handler writes each signal's number into
    (``signal.set_wakeup_fd``), so a signal between two looks is never lost and always wakes the sleeper.
    """

    def __init__(self, wanted: Collection[signal.Signals]) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._wanted = frozenset(wanted)
        self._before = {number: signal.signal(number, _leave_it_to_the_queue) for number in self._wanted}

    def fileno(self) -> int:
        """Readable while signals wait."""
        return self._reader

    def take(self) -> list[signal.Signals]:
        """What came since the last look."""
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = os.read(self._reader, 4096)
        return [signal.Signals(number) for number in numbers if number in self._wanted]

    def close(self) -> None:
        """Put back the handlers that stood before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)


def ignore(numbers: Collection[signal.Signals]) -> None:
    """Let these signals pass without effect."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """No signal is delivered inside; those that came are, behind it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_it_to_the_queue(_number: int, _frame: FrameType | None) -> None:
    """Python wants a handler before it writes to the wake-up pipe; this is all that it does."""
