"""The analyst: a thread of the supervisor's process that fetches what Retell made of ended calls.

It has a connection to the database and to Retell of its own; nothing waits for it. What one host's analyst
can do, some four calls a second, is more than two hundred workers end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

from speechaid.errors import StoreError
from speechaid.fleet.messages import Counts
from speechaid.maintenance import call_analysis
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.retell.client import Observer, RetellClient
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.call_analysis")

#: Between two looks, in seconds: where nothing more was due, and where Retell or the database is away.
REST_SECONDS: Final = 2.0
AWAY_SECONDS: Final = 30.0
#: The end of the daemon waits so long for a question on its way.
CLOSING_SECONDS: Final = 2.0


class CallAnalysisThread:
    """Works from its making to ``close``."""

    def __init__(
        self,
        settings: Settings,
        open_store: Callable[[], Store],
        open_client: Callable[[Observer], RetellClient],
    ) -> None:
        """Begin to work.

        Args:
            settings: the bounds.
            open_store: a store of its own.
            open_client: a client of its own, that tells the observer of each request.
        """
        self._settings = settings
        self._open_store = open_store
        self._open_client = open_client
        self._tally = ThreadCounters()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="analyst", daemon=True)
        self._thread.start()

    def take_counts(self) -> Counts:
        """What was counted since the last time."""
        return self._tally.take()

    def apply_settings(self, settings: Settings) -> None:
        """New settings after a reload."""
        self._settings = settings

    def close(self) -> None:
        """Ask no more."""
        self._closing.set()
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        rest = REST_SECONDS
        with closing(self._open_store()) as store, self._open_client(self._tally.request) as retell:
            while not self._closing.wait(rest):
                rest = self._round(store, retell)

    def _round(self, store: Store, retell: RetellClient) -> float:
        """One look; seconds until the next."""
        retell.timeout_seconds = self._settings.retell.timeout_seconds
        try:
            bounds = call_analysis.analysis_policy(self._settings)
            found, answers = call_analysis.fetch_due(store, retell, bounds, self._count, self._closing.is_set)
        except StoreError as exc:
            log.debug("analysis.postponed", error=str(exc))
            return AWAY_SECONDS
        except Exception:
            log.exception("analysis.failed")
            return AWAY_SECONDS
        if not answers:
            return AWAY_SECONDS
        return 0.0 if found == call_analysis.AT_ONCE else REST_SECONDS

    def _count(self, result: str) -> None:
        self._tally.count("speechaid_analyses_total", result=result)
