"""The time, as one small object, so that a test can turn it by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two readings and a rest."""

    def now(self) -> datetime:
        """Wall-clock time, aware UTC: for schedules and records."""

    def boottime(self) -> float:
        """Seconds since boot, never set back, counting while the machine sleeps: for deadlines."""

    def sleep(self, seconds: float) -> None:
        """Rest for so long; negative is none."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Wall-clock time, aware UTC."""
        return datetime.now(UTC)

    def boottime(self) -> float:
        """``CLOCK_BOOTTIME`` in seconds: unlike the monotonic clock it counts a suspended machine's sleep."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Rest for so long."""
        time.sleep(max(0.0, seconds))
