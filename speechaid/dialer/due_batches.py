"""Find batches that have due jobs and may be called now, one page of batches at a time.

The cost of a read must not grow with the number of batches. So it reads one page of them, in the order of
their names, and those of a raised priority; the next read takes the next page, and each worker starts at a
random batch, so that together the workers cover all pages all the time. If all batches fit on one page, as
they mostly do, each read sees all of them. A page without work is followed at once by the last page that had
some, then by the page with the next pending job, and by a few more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from speechaid.dialer.context import WorkerContext
from speechaid.model.batch import Batch
from speechaid.rules import eligibility
from speechaid.store.queue import SOON, DueBatch

#: Batches on a page, and batches of a raised priority read at most.
PAGE = 64
RAISED = 256
#: Pages without work that one read goes through in a row.
PAGES_AT_ONCE = 8
#: The accounts' time zones are read again after this many seconds.
ZONES_SECONDS = 10.0


@dataclass(frozen=True)
class PagePosition:
    """Where a page begins: after a batch, or with it."""

    name: str = ""
    including: bool = True


BEGIN = PagePosition()


class DueBatches:
    """One worker's position among all batches."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._has_random_start = False
        self._next = BEGIN
        #: Where the page begins that was read last, and the last one that had work.
        self._current = BEGIN
        self._last_with_work = BEGIN
        #: When the window opens next of a batch that was read last, if that is soon.
        self.next_opening: datetime | None = None
        self._zones: set[str | None] = {None}
        self._zones_until = 0.0

    def read(self) -> list[DueBatch]:
        """Active batches inside their calling window with pending jobs; and the jobs without a batch.

        The window is checked first: the jobs of a batch outside it are not read.

        Raises:
            StoreUnavailable: the database is away.
        """
        store = self._context.store
        self._read_zones()
        self.next_opening = None
        due: list[DueBatch] = []
        checked: set[str] = set()
        for number, page in enumerate(self._pages()):
            of_page = self._with_work([batch for batch in page if batch.batch_id not in checked])
            if of_page:
                self._last_with_work = self._current
            due += of_page
            if number == 0 and not self._is_whole:
                checked = {batch.batch_id for batch in page}
                raised = [
                    batch
                    for batch in store.batches.above_normal_priority(RAISED)
                    if batch.batch_id not in checked
                ]
                due += self._with_work(raised)
                checked |= {batch.batch_id for batch in raised}
            if due:
                break
        without_batch = store.queue.due_without_batch()
        return due + ([] if without_batch is None else [without_batch])

    def _with_work(self, batches: list[Batch]) -> list[DueBatch]:
        now = self._context.store.now()
        active = [batch for batch in batches if batch.is_active]
        names = [batch.batch_id for batch in active if self._in_window(batch, now)]
        # Windows open with a minute.
        minute = (now + SOON).replace(second=0, microsecond=0)
        if minute > now and any(
            batch.batch_id not in names and self._in_window(batch, minute) for batch in active
        ):
            self.next_opening = minute
        return self._context.store.queue.due_batches(names) if names else []

    def _in_window(self, batch: Batch, moment: datetime) -> bool:
        """A batch without a zone uses those of its jobs' accounts, which may be any."""
        defaults = self._context.dialling_defaults()
        zones = self._zones if batch.call_settings.timezone is None else (None,)
        return any(eligibility.batch_may_be_called(batch, zone, defaults, moment) for zone in zones)

    def _read_zones(self) -> None:
        now = self._context.clock.boottime()
        if now >= self._zones_until:
            self._zones = {None, *self._context.store.accounts.zones()}
            self._zones_until = now + ZONES_SECONDS

    # -- pages -------------------------------------------------------------------------------------------

    @property
    def _is_whole(self) -> bool:
        """Whether the page that was read last holds all batches."""
        return self._current == BEGIN and self._next == BEGIN

    def _pages(self) -> Iterator[list[Batch]]:
        """The pages of one read, each wanted only if those before it had no work."""
        yield self._first_page()
        if self._is_whole:
            return
        go_on = self._next
        if self._last_with_work != self._current:
            page, self._next = self._read_page(self._last_with_work), go_on
            yield page
        pending = self._next_with_pending(go_on)
        if pending is None:
            return
        self._next = PagePosition(pending)
        for _ in range(PAGES_AT_ONCE):
            yield self._read_page(self._next)

    def _next_with_pending(self, position: PagePosition) -> str | None:
        """The batch with the next pending job, continuing from the beginning after the last one."""
        queue = self._context.store.queue
        return queue.next_with_pending(position.name) or (
            queue.next_with_pending("") if position.name else None
        )

    def _first_page(self) -> list[Batch]:
        page = self._read_page(self._next)
        if not self._has_random_start and self._next != BEGIN:
            name = self._context.store.batches.random_name()
            page = self._read_page(BEGIN if name is None else PagePosition(name))
        self._has_random_start = True
        return page

    def _read_page(self, position: PagePosition) -> list[Batch]:
        page = self._context.store.batches.page(position.name, PAGE, including=position.including)
        self._current = position
        self._next = PagePosition(page[-1].batch_id, including=False) if len(page) == PAGE else BEGIN
        return page
