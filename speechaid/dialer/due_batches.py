"""Which batches have due jobs and may be called now: looked for a page of batches at a time.

What a look costs must not grow with the number of batches. So it reads one page of them, in the order of
their names, and those of a raised priority; the next look reads the next page, and each worker begins at a
batch drawn by lot, so that all pages are looked at all the time. Where all batches fit on one page, as they
mostly do, that is all of them each time. A page without work is followed at once by the last one that had
some, then by the one where the next pending job lies, and by a few more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speechaid.dialer.context import WorkerContext
from speechaid.model.batch import Batch
from speechaid.rules import eligibility
from speechaid.store.queue import DueBatch

#: Batches that are read at a time, and of a raised priority at most.
PAGE = 64
RAISED = 256
#: Pages in a row without work, after which the worker does something else before it goes on.
PAGES_AT_ONCE = 8
#: Time zones of accounts are known for so long.
ZONES_SECONDS = 10.0


@dataclass(frozen=True)
class PagePosition:
    """Where a page begins: after a batch, or with it."""

    name: str = ""
    including: bool = True


BEGIN = PagePosition()


class DueBatches:
    """One worker's place among all batches."""

    def __init__(self, context: WorkerContext) -> None:
        self._kit = context
        self._drawn = False
        self._next = BEGIN
        #: Where the page begins that was read last, and the last one that had work.
        self._here = BEGIN
        self._fruitful = BEGIN
        self._zones: set[str | None] = {None}
        self._zones_until = 0.0

    def read(self) -> list[DueBatch]:
        """Batches that are active, inside their window and have pending jobs; and the jobs without a batch.

        Windows first: the jobs of a batch outside its window are not even looked for.

        Raises:
            StoreUnavailable: the database is away.
        """
        store = self._kit.store
        self._read_zones()
        found: list[DueBatch] = []
        asked: set[str] = set()
        for number, page in enumerate(self._pages()):
            more = self._with_work([batch for batch in page if batch.batch_id not in asked])
            if more:
                self._fruitful = self._here
            found += more
            if number == 0 and not self._is_whole:
                asked = {batch.batch_id for batch in page}
                raised = [
                    one for one in store.batches.above_normal_priority(RAISED) if one.batch_id not in asked
                ]
                found += self._with_work(raised)
                asked |= {batch.batch_id for batch in raised}
            if found:
                break
        without_batch = store.queue.due_without_batch()
        return found + ([] if without_batch is None else [without_batch])

    def _with_work(self, batches: list[Batch]) -> list[DueBatch]:
        names = [batch.batch_id for batch in batches if batch.is_active and self._in_window(batch)]
        return self._kit.store.queue.due_batches(names) if names else []

    def _in_window(self, batch: Batch) -> bool:
        """A batch without a zone keeps the hours of its jobs' accounts, whichever those are."""
        defaults, now = self._kit.dialling_defaults(), self._kit.store.now()
        zones = self._zones if batch.call_settings.timezone is None else (None,)
        return any(eligibility.batch_may_be_called(batch, zone, defaults, now) for zone in zones)

    def _read_zones(self) -> None:
        now = self._kit.clock.boottime()
        if now >= self._zones_until:
            self._zones = {None, *self._kit.store.accounts.zones()}
            self._zones_until = now + ZONES_SECONDS

    # -- pages -------------------------------------------------------------------------------------------

    @property
    def _is_whole(self) -> bool:
        """Whether the page that was read last holds all batches."""
        return self._here == BEGIN and self._next == BEGIN

    def _pages(self) -> Iterator[list[Batch]]:
        """Pages to look at, each only where those before it had no work."""
        yield self._first_page()
        if self._is_whole:
            return
        go_on = self._next
        if self._fruitful != self._here:
            page, self._next = self._read(self._fruitful), go_on
            yield page
        pending = self._next_with_pending(go_on)
        if pending is None:
            return
        self._next = PagePosition(pending)
        for _ in range(PAGES_AT_ONCE):
            yield self._read(self._next)

    def _next_with_pending(self, place: PagePosition) -> str | None:
        """The batch where the next pending job lies, round to the beginning."""
        queue = self._kit.store.queue
        return queue.next_with_pending(place.name) or (queue.next_with_pending("") if place.name else None)

    def _first_page(self) -> list[Batch]:
        page = self._read(self._next)
        if not self._drawn and self._next != BEGIN:
            drawn = self._kit.store.batches.random_name()
            page = self._read(BEGIN if drawn is None else PagePosition(drawn))
        self._drawn = True
        return page

    def _read(self, place: PagePosition) -> list[Batch]:
        page = self._kit.store.batches.page(place.name, PAGE, including=place.including)
        self._here = place
        self._next = PagePosition(page[-1].batch_id, including=False) if len(page) == PAGE else BEGIN
        return page
