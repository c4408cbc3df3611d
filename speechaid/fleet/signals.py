"""Signals as a queue: handlers do nothing, the loop reads the queue when it is ready."""

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

    The queue is the pipe that the interpreter writes each signal's number into (``signal.set_wakeup_fd``), so
    no signal between two reads is lost, and each one ends a wait.
    """

    def __init__(self, wanted: Collection[signal.Signals]) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._wanted = frozenset(wanted)
        self._before = {number: signal.signal(number, _do_nothing) for number in self._wanted}

    def fileno(self) -> int:
        """Readable while signals wait."""
        return self._reader

    def take(self) -> list[signal.Signals]:
        """The signals since the last call."""
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = os.read(self._reader, 4096)
        return [signal.Signals(number) for number in numbers if number in self._wanted]

    def close(self) -> None:
        """Restore the previous handlers."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)


def ignore(numbers: Collection[signal.Signals]) -> None:
    """Ignore these signals."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Block all signals inside; those that came are delivered after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Python writes to the wake-up pipe only for signals with a handler."""
