"""Log lines that an outsider can cause: the first of a kind at once, further ones as a number each minute.

A client that is refused a thousand times a second fills no disk, and hides no line of another client.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from speechaid.telemetry.logs import EventLogger

#: Lines of one kind are summed up over so many seconds; a kind that is silent for as long begins anew.
SPAN_SECONDS: Final = 60.0
#: Kinds that are told apart at a time; the clients of further ones are summed up together.
MAX_KINDS: Final = 100
OTHER_CLIENTS: Final = "others"

_Kind = tuple[str, str, str]


@dataclass
class _Sum:
    """What came of one kind since its last line."""

    level: int
    began: float
    times: int = 0


class SummedLog:
    """Sums up by event, client and cause; for any thread.

    Attributes:
        counts: how often each cause came; whoever reads them clears them with ``take_counts``.
    """

    def __init__(self, log: EventLogger, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._sums: dict[_Kind, _Sum] = {}
        self._counts: Counter[str] = Counter()

    @property
    def is_waiting(self) -> bool:
        """Whether ``tick`` or ``take_counts`` has something to do, now or within a minute."""
        return bool(self._sums or self._counts)

    def event(self, level: int, event: str, /, *, client: str, cause: str, **fields: object) -> None:
        """Log an event, or only count it.

        Args:
            level: one of ``logging``'s.
            event: its name.
            client: who caused it.
            cause: one of a few; ``take_counts`` counts by it.
            fields: shown where the event is logged.
        """
        if self._is_first(level, event, client, cause):
            self._log.event(level, event, client=client, cause=cause, **fields)

    def exception(self, event: str, /, *, client: str, cause: str, **fields: object) -> None:
        """As ``event``, for an error with the current exception."""
        if self._is_first(logging.ERROR, event, client, cause):
            self._log.exception(event, client=client, cause=cause, **fields)

    def tick(self) -> None:
        """Log the sums whose minute is over; call it each second or so."""
        now = self._now()
        due: list[tuple[_Kind, _Sum]] = []
        with self._lock:
            for kind, found in list(self._sums.items()):
                if now - found.began < SPAN_SECONDS:
                    continue
                if found.times:
                    due.append((kind, _Sum(found.level, found.began, found.times)))
                    found.began, found.times = now, 0
                else:
                    del self._sums[kind]
        for (event, client, cause), found in due:
            seconds = round(now - found.began)
            self._log.event(
                found.level, event, client=client, cause=cause, times=found.times, in_seconds=seconds
            )

    def take_counts(self) -> dict[str, int]:
        """How often each cause came since the last call."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return dict(counts)

    def _is_first(self, level: int, event: str, client: str, cause: str) -> bool:
        """Whether no line of this kind was logged in this minute; else it is summed up."""
        with self._lock:
            self._counts[cause] += 1
            kind = (event, client, cause)
            if kind not in self._sums and len(self._sums) >= MAX_KINDS:
                kind = (event, OTHER_CLIENTS, cause)
            found = self._sums.get(kind)
            if found is not None:
                found.times += 1
                return False
            self._sums[kind] = _Sum(level, self._now())
            return True
