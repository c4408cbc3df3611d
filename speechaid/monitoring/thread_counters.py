"""Counters of a thread other than the loop's, which takes them each second and adds them to the sums."""

from __future__ import annotations

from collections import deque
from typing import Final

from speechaid.fleet.messages import Counts, count_key
from speechaid.telemetry.metric_table import Increment, observation

#: Increments kept until they are taken.
KEPT: Final = 10_000


class ThreadCounters:
    """Increments passed from one thread to another; neither waits for the other."""

    def __init__(self) -> None:
        self._increments: deque[Increment] = deque(maxlen=KEPT)

    def count(self, name: str, **labels: str) -> None:
        """Count one more."""
        self._increments.append((name, labels, 1.0))

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to Retell (``retell.client.Observer``)."""
        self.count("speechaid_retell_requests_total", endpoint=endpoint, code=code)
        self._increments.extend(
            observation("speechaid_retell_request_duration_seconds", seconds, endpoint=endpoint)
        )

    def take(self) -> Counts:
        """Return the increments since the last call."""
        counts: Counts = {}
        while self._increments:
            name, labels, by = self._increments.popleft()
            key = count_key(name, labels)
            counts[key] = counts.get(key, 0.0) + by
        return counts
