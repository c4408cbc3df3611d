"""Erase what is older than the settings allow, in portions that a tick of the housekeeping has time for.

Three spans, in days: of an ended job's person, of what its calls have left, of a file's name. Each walk goes
from the oldest document to the youngest that is due, passes over what has to wait, and rests before the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from logging import INFO
from typing import Any, Final

from speechaid.campaign import erasure as left
from speechaid.clock import Clock
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.maintenance.erasing import Counts, erase_calls, erase_person
from speechaid.model.erasure import BY_RETENTION, Erasure, What
from speechaid.model.reading import Document
from speechaid.settings import Settings
from speechaid.store.call_logs import new_record_id
from speechaid.store.connection import Store
from speechaid.store.erasures import Position
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.database_thread")

#: A tick erases for so long at most, in seconds: commands wait for it.
TICK_BUDGET_SECONDS: Final = 0.2
#: Documents read at once.
PORTION: Final = 50
#: Documents looked for at once, of which a walk keeps time and ``_id`` until it comes to them. The embedded
#: database reads all that are due for each look: 2 s of 100,000.
LOOK: Final = 5_000
#: Seconds between the end of a walk and the next one.
REST_SECONDS: Final = 60.0
#: One record in ``call_logs`` sums up what was erased in so many seconds at most.
RECORD_SECONDS: Final = 3600.0


@dataclass(kw_only=True)
class _Walk:
    """A walk over documents that are due, the oldest first."""

    position: Position = field(default_factory=Position)
    #: Those that the last look found and that are still to be done, with their times. A look may take longer
    #: than a tick has: they stay for the ticks after it.
    found: deque[tuple[datetime, Any]] = field(default_factory=deque)
    #: Nothing is behind the found ones.
    is_last: bool = False

    def find_more(self, find: Callable[[Position, int], list[tuple[datetime, Any]]]) -> None:
        """Find more where all found ones are done."""
        if not self.found and not self.is_last:
            self.found.extend(find(self.position, LOOK))
            self.is_last = len(self.found) < LOOK

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end."""
        return self.is_last and not self.found

    def move(self) -> None:
        """Go on after the first of the found ones."""
        self.position.move(*self.found.popleft())


class Retention:
    """Erases a portion at each tick; for one thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._walks: dict[str, _Walk] = {}
        self._rests_until: dict[str, float] = {}
        self._tick_until = 0.0
        #: Whether there was no time for all of it.
        self.has_more = False
        #: What the latest portion has erased.
        self.last_counts = Counts()
        self._refused: list[str] = []
        #: The current record: its id, since when, and what it sums up.
        self._record: tuple[object, float, Counts] | None = None

    def erase_portion(self, settings: Settings) -> None:
        """Erase what is due, for ``TICK_BUDGET_SECONDS`` at most; ``last_counts`` says how much it was.

        Raises:
            StoreUnavailable: the database is away.
            StoreError: it refuses some of the documents; the others are erased.
        """
        days = settings.retention
        self._tick_until = self._clock.boottime() + TICK_BUDGET_SECONDS
        self.last_counts, self._refused, self.has_more = Counts(), [], False
        try:
            if days.job_days or days.transcript_days:
                self._walk("ends", self._add_missing_ends)
            # The smaller part first: of a person who goes soon, the calls may have to go now.
            for what, span in ((What.CALLS, days.transcript_days), (What.PERSON, days.job_days)):
                if span:
                    before = self._store.now() - timedelta(days=span)
                    self._walk(f"jobs {what}", partial(self._erase_jobs, what, before))
                    self._walk(f"results {what}", partial(self._erase_results, what, before))
            if days.upload_days:
                before = self._store.now() - timedelta(days=days.upload_days)
                self._walk("imports", partial(self._erase_files, before))
        finally:
            if self.last_counts.total:
                self._write_record()
        if self._refused:
            raise StoreError(f"{len(self._refused)} documents take no erasure: {self._refused[0]}")

    def _walk(self, name: str, portion: Callable[[_Walk], bool]) -> None:
        """Go on with a walk while there is time; at its end it rests."""
        if self._rests_until.get(name, 0.0) > self._clock.boottime():
            return
        walk = self._walks.setdefault(name, _Walk())
        while self._has_time():
            if portion(walk):
                del self._walks[name]
                self._rests_until[name] = self._clock.boottime() + REST_SECONDS
                return
        self.has_more = True

    def _has_time(self) -> bool:
        return self._clock.boottime() < self._tick_until

    # -- portions: each returns whether it was the last one ------------------------------------------------

    def _add_missing_ends(self, _walk: _Walk) -> bool:
        return self._store.erasures.add_missing_ends(PORTION) < PORTION

    def _erase_jobs(self, what: What, before: datetime, walk: _Walk) -> bool:
        erase = erase_person if what is What.PERSON else erase_calls
        walk.find_more(partial(self._store.erasures.jobs_ended_before, before, what))
        while walk.found and self._has_time():
            _, job_id = walk.found[0]
            with self._refusable():
                erase(self._store, job_id, self._erasure(what), self.last_counts, ended_before=before)
            walk.move()
        return walk.is_done

    def _erase_results(self, what: What, before: datetime, walk: _Walk) -> bool:
        """Results whose jobs were deleted: no job leads to them."""
        walk.find_more(partial(self._store.erasures.results_before, before, what))
        ids = [result_id for _, result_id in islice(walk.found, PORTION)]
        for result in self._store.erasures.without_job(self._store.erasures.results(ids)):
            with self._refusable():
                self._erase_result(what, result)
        for _ in ids:
            walk.move()
        return walk.is_done

    def _erase_result(self, what: What, result: Document) -> None:
        if left.awaits_analysis([result]):
            return
        erasures, erasure = self._store.erasures, self._erasure(what)
        if what is What.PERSON:
            is_done = erasures.write_result(result, left.result_without_person(result, erasure))
        else:
            is_done = erasures.write_result_without_call(result, left.kept_of_call(result), erasure)
        self.last_counts.results += is_done

    def _erase_files(self, before: datetime, _walk: _Walk) -> bool:
        found = self._store.erasures.imports_before(before, PORTION)
        for import_id in found:
            with self._refusable():
                self.last_counts.imports += self._store.erasures.forget_file(
                    import_id, self._erasure(What.FILE)
                )
        return len(found) < PORTION

    def _erasure(self, what: What) -> Erasure:
        return Erasure(at=self._store.now(), by=BY_RETENTION, what=what)

    @contextmanager
    def _refusable(self) -> Iterator[None]:
        """A document that the database refuses keeps no other from being erased."""
        try:
            yield
        except StoreUnavailable:
            raise
        except StoreError as fault:
            self._refused.append(str(fault))

    # -- the record --------------------------------------------------------------------------------------

    def _write_record(self) -> None:
        """Add to the record of the hour, which says how much was erased, and nothing of whom."""
        now = self._clock.boottime()
        if self._record is None or now - self._record[1] > RECORD_SECONDS:
            self._record = (new_record_id(), now, Counts())
        record_id, _, sums = self._record
        sums.add(self.last_counts)
        self._store.logs.note_erasure(record_id, by=BY_RETENTION, **sums.as_fields())
        log.event(INFO, "retention.erased", **self.last_counts.as_fields())
