"""Calls at once, as Retell counts them: asked for now and then by one thread of the supervisor's process.

For the eyes of operators alone. No dial waits for it and no breaker hears of it, so that a question that
fails changes nothing; it is asked the less often the longer it fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from speechaid.fleet.messages import Counts
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.retell.client import Observer, RetellClient
from speechaid.retell.faults import RetellError
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.snapshot import ConcurrencyReading

log = get_logger("speechaid.monitoring.retell_concurrency")

#: Between two questions, in seconds; twice as long after each that failed, up to the second.
REST_SECONDS: Final = (30.0, 600.0)


class RetellConcurrencyMonitor:
    """Asks from its making to ``close``; the rest is for the loop's thread and returns at once."""

    def __init__(self, open_client: Callable[[Observer], RetellClient]) -> None:
        """Begin to ask.

        Args:
            open_client: opens a client of its own, that tells the observer of each request.
        """
        self._open_client = open_client
        self._latest: ConcurrencyReading | None = None
        self._tally = ThreadCounters()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="concurrency", daemon=True)
        self._thread.start()

    def latest(self) -> ConcurrencyReading | None:
        """What Retell said last; None where it does not say."""
        return self._latest

    def take_counts(self) -> Counts:
        """The requests since the last time, as increments."""
        return self._tally.take()

    def close(self) -> None:
        """Ask no more; a question on its way is not waited for."""
        self._closing.set()

    def _run(self) -> None:
        least, most = REST_SECONDS
        rest = 1.0
        with self._open_client(self._tally.request) as client:
            while not self._closing.wait(rest):
                try:
                    answer = client.get_concurrency()
                except RetellError as fault:
                    log.debug("concurrency.unknown", error=str(fault))
                    self._latest, rest = None, min(most, max(least, rest * 2))
                else:
                    self._latest, rest = ConcurrencyReading(used=answer.current, limit=answer.limit), least
