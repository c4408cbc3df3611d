"""Time as an object, so that a test can set it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two readings and a sleep."""

    def now(self) -> datetime:
        """Wall-clock time, aware UTC: for schedules and records."""

    def boottime(self) -> float:
        """Seconds since boot, monotonic, counting while the machine sleeps: for deadlines."""

    def sleep(self, seconds: float) -> None:
        """Sleep this long; not at all where negative."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time, aware UTC."""
        return datetime.now(UTC)

    def boottime(self) -> float:
        """``CLOCK_BOOTTIME`` in seconds: unlike ``CLOCK_MONOTONIC`` it counts while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Sleep this long; not at all where negative."""
        time.sleep(max(0.0, seconds))
