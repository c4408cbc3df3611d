"""Retell's count of concurrent calls, queried now and then by one thread of the supervisor's process.

No dial waits for it, and its faults do not count for the circuit breaker; an answer may close one that
nothing else would (``circuit_breaker.after_answer``). While the query fails, it is repeated less and less
often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from speechaid.clock import Clock
from speechaid.fleet.messages import Counts
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.retell.client import Observer, RetellClient
from speechaid.retell.faults import RetellError
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.snapshot import ConcurrencyReading

log = get_logger("speechaid.monitoring.retell_concurrency")

#: Seconds between two queries: the least, and the most; doubled after each that failed.
INTERVAL_SECONDS: Final = (30.0, 600.0)


class RetellConcurrencyMonitor:
    """Runs from its construction to ``close``; the methods are for the loop's thread and return at once."""

    def __init__(self, open_client: Callable[[Observer], RetellClient], clock: Clock) -> None:
        """Start the thread.

        Args:
            open_client: opens this thread's own client, which reports each request to the observer.
            clock: dates the answers.
        """
        self._clock = clock
        self._open_client = open_client
        self._latest: ConcurrencyReading | None = None
        self._counters = ThreadCounters()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="concurrency", daemon=True)
        self._thread.start()

    def latest(self) -> ConcurrencyReading | None:
        """Retell's latest answer; None where the last query failed."""
        return self._latest

    def take_counts(self) -> Counts:
        """Return the counted requests since the last call, as increments."""
        return self._counters.take()

    def close(self) -> None:
        """Stop querying; does not wait for a request on its way."""
        self._closing.set()

    def _run(self) -> None:
        least, most = INTERVAL_SECONDS
        delay = 1.0
        with self._open_client(self._counters.request) as client:
            while not self._closing.wait(delay):
                try:
                    answer = client.get_concurrency()
                except RetellError as fault:
                    log.debug("concurrency.unknown", error=str(fault))
                    self._latest, delay = None, min(most, max(least, delay * 2))
                else:
                    at = self._clock.boottime()
                    self._latest = ConcurrencyReading(used=answer.current, limit=answer.limit, at=at)
                    delay = least
