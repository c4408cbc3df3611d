"""How much a counter grew within a time window that ends now. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from typing import Final

#: Samples kept per window; the result's age error is at most the window divided by this.
_SAMPLES: Final = 60


class Increase:
    """Keeps a bounded number of a counter's past samples."""

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._past: deque[tuple[float, float]] = deque()

    def note(self, now: float, value: float) -> float:
        """Record the counter's value; return its increase since the window's beginning.

        Args:
            now: seconds of a monotonic clock.
            value: of the counter, never less than before.
        """
        if not self._past or now - self._past[-1][0] >= self.window_seconds / _SAMPLES:
            self._past.append((now, value))
        while len(self._past) > 1 and self._past[1][0] <= now - self.window_seconds:
            self._past.popleft()
        return value - self._past[0][1]
