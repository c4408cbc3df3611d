"""By how much a growing sum grew within a window that ends now."""

from __future__ import annotations

from collections import deque
from typing import Final

#: Samples kept a window: what is told is at most this share of it too old.
_SAMPLES: Final = 60


class Increase:
    """Remembers a sum's past, at a bounded number of moments."""

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._past: deque[tuple[float, float]] = deque()

    def note(self, now: float, value: float) -> float:
        """The sum at this moment; by how much it grew since the window's beginning.

        Args:
            now: seconds of a clock that never goes back.
            value: never less than before.
        """
        if not self._past or now - self._past[-1][0] >= self.window_seconds / _SAMPLES:
            self._past.append((now, value))
        while len(self._past) > 1 and self._past[1][0] <= now - self.window_seconds:
            self._past.popleft()
        return value - self._past[0][1]
