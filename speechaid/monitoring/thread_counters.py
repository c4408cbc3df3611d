"""What a thread beside the loop counts, to be taken by the loop each second and added to the sums."""

from __future__ import annotations

from collections import deque
from typing import Final

from speechaid.fleet.messages import Counts, count_key
from speechaid.telemetry.metric_table import Increment, observation

#: Increments kept until they are taken.
KEPT: Final = 10_000


class ThreadCounters:
    """Increments from one thread to another; none waits for the other."""

    def __init__(self) -> None:
        self._told: deque[Increment] = deque(maxlen=KEPT)

    def count(self, name: str, **labels: str) -> None:
        """One more."""
        self._told.append((name, labels, 1.0))

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        """A request to Retell (``retell.client.Observer``)."""
        self.count("speechaid_retell_requests_total", endpoint=endpoint, code=code)
        self._told.extend(
            observation("speechaid_retell_request_duration_seconds", seconds, endpoint=endpoint)
        )

    def take(self) -> Counts:
        """The increments since the last time."""
        counts: Counts = {}
        while self._told:
            name, labels, by = self._told.popleft()
            key = count_key(name, labels)
            counts[key] = counts.get(key, 0.0) + by
        return counts
