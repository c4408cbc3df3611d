"""How soon the database answers: a short query each second, in a thread and on a connection of its own.

It waits behind no other work of this process, so that its time tells how the database is. Short reads that
must not wait either come after it (``on_answer``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

from speechaid.clock import Clock, SystemClock
from speechaid.errors import StoreError
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: Seconds between two queries.
INTERVAL_SECONDS: Final = 1.0
#: Longest that one may take; then the next is sent, on a new connection.
PROBE_SECONDS: Final = 10.0
#: Options of the driver for the probe's client: a database that is away is no slow one, and found out sooner.
OPTIONS: Final = {"maxPoolSize": 1, "serverSelectionTimeoutMS": 500}


class DatabaseProbe:
    """Runs from its construction to ``close``; the methods are for any thread, and return at once."""

    def __init__(self, open_store: Callable[[], Store], clock: Clock | None = None) -> None:
        """Start the thread.

        Args:
            open_store: opens this thread's own store.
            clock: for tests.
        """
        #: Called in this thread after each query that was answered; ``StoreError`` is logged.
        self.on_answer: Callable[[Store], None] = lambda _store: None
        self._open_store = open_store
        self._clock = clock or SystemClock()
        #: When the present try began; None: there is none.
        self._began: float | None = None
        #: When the first try began that has had no answer; None: the last one had.
        self._unanswered_since: float | None = None
        self._took = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database-probe", daemon=True)
        self._thread.start()

    def took_seconds(self) -> float:
        """How long the present try has lasted, or the last one took, whichever is longer."""
        return max(self._took, self._since(self._began))

    def silent_seconds(self) -> float:
        """For how long there has been no answer, or how long the last one took, whichever is longer."""
        return max(self._took, self._since(self._unanswered_since))

    def close(self) -> None:
        """Stop asking; does not wait for a query on its way."""
        self._closing.set()

    def _since(self, moment: float | None) -> float:
        return 0.0 if moment is None else self._clock.boottime() - moment

    def _run(self) -> None:
        with closing(self._open_store()) as store:
            while not self._closing.wait(INTERVAL_SECONDS):
                self._ask(store)

    def _ask(self, store: Store) -> None:
        self._began = began = self._clock.boottime()
        if self._unanswered_since is None:
            self._unanswered_since = began
        try:
            store.holds.find_hold()
            self._unanswered_since = None
        except StoreError as fault:
            log.debug("database.probe_failed", error=str(fault))
        except Exception:
            log.exception("database.probe_failed")
        self._took, self._began = self._clock.boottime() - began, None
        if self._unanswered_since is None:
            self._read_more(store)

    def _read_more(self, store: Store) -> None:
        try:
            self.on_answer(store)
        except StoreError as fault:
            log.debug("database.read_failed", error=str(fault))
        except Exception:
            log.exception("database.read_failed")
