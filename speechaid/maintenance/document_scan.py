"""Look for documents with fields that cannot be read, a portion at a time, and remember which they are.

No call depends on it: workers pass over such documents by themselves. It names them to an operator. On the
same way it counts the waiting jobs of other programs with a number that its numbering plan does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from speechaid.clock import Clock
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model import faults
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.faults import FieldFault
from speechaid.model.job import Job
from speechaid.model.masking import mask_phones, mask_prose
from speechaid.model.reading import Document, as_printable, text, usable_name, yes_or_no
from speechaid.model.states import FINISHED
from speechaid.rules import circuit_breaker, numbers, phones, windows
from speechaid.rules.windows import WindowFault
from speechaid.store.connection import Store
from speechaid.store.holds import FLEET, key_of
from speechaid.store.jobs import read_job
from speechaid.store.table import Table
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.document_scan")

#: Seconds of one portion, and between the beginnings of two rounds over all documents.
PORTION_SECONDS: Final = 0.1
ROUND_SECONDS: Final = 20.0
#: Numbers are read in one round of so many seconds: that costs more than the rest of a job.
COUNT_SECONDS: Final = 3600.0
#: Documents that are remembered at most.
MAX_FOUND: Final = 500
#: The latest records of calls and events that are looked at; older ones are read by nothing but reports.
LATEST_RECORDS: Final = 2000
#: The collection whose faults that forbid calls have an alert of their own, ``BatchNotUnderstood``.
BATCHES: Final = "batches"
DO_NOT_CALL_LIST: Final = "do-not-call list"
#: Documents between two looks at the clock.
_STEP: Final = 20

#: A collection's name for operators, its documents, the field with their name, and what reads them.
_Source = tuple[
    str, Callable[[], Iterable[Document]], str | None, Callable[[Document], tuple[FieldFault, ...]]
]


@dataclass(frozen=True, kw_only=True)
class UnreadableDocument:
    """A document, and one of its fields that cannot be read."""

    collection: str
    #: Its name for operators, else its ``_id`` as text.
    name: str
    fault: FieldFault
    #: Its ``_id`` where that is a number of the do-not-call list, as it stands there; never shown.
    listed_as: str | None = field(default=None, repr=False)

    @property
    def sentence(self) -> str:
        """The field and what is wrong with it."""
        return as_printable(self.fault.sentence)

    @property
    def is_of_batch(self) -> bool:
        """Whether it forbids the calls of a batch, so that this is ``not_understood``."""
        return self.collection == BATCHES and self.fault.forbids

    @property
    def is_of_do_not_call_list(self) -> bool:
        """Whether it is a listed number in a form that no dial compares with."""
        return self.collection == DO_NOT_CALL_LIST and self.fault.field == "_id"

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> UnreadableDocument:
        """From its row."""
        fault = FieldFault(field=row["field"], what=row["what"], forbids=row["forbids"])
        return cls(collection=row["collection"], name=row["name"], fault=fault)

    def as_row(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "collection": self.collection,
            "name": self.name,
            "field": self.fault.field,
            "what": as_printable(self.fault.what),
            "forbids": self.fault.forbids,
        }


class DocumentScan:
    """Goes round over all documents that calls depend on; for one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stream: Iterator[list[UnreadableDocument]] | None = None
        self._round_due_at = 0.0
        #: Of the round before, and of this one.
        self._before: list[UnreadableDocument] = []
        self._now: list[UnreadableDocument] = []
        self._unassigned_before: Counter[str] = Counter()
        self._unassigned_now: Counter[str] = Counter()
        #: Whether this round counts them, and when the next one does.
        self._counts = False
        self._count_due_at = 0.0
        #: What the country of a job's national numbers depends on; read in each round before the jobs.
        self._batches: dict[str, Batch] = {}
        self._accounts: dict[str, Account] = {}
        self._default_country: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the last look came to the end of a round."""
        return self._stream is None

    def all_found(self) -> list[UnreadableDocument]:
        """What the last whole round found, and this one so far; what forbids calls first."""
        seen = {
            (one.collection, one.name, one.listed_as, one.fault.field): one
            for one in (*self._before, *self._now)
        }
        return sorted(seen.values(), key=lambda one: not one.fault.forbids)[:MAX_FOUND]

    def unassigned_numbers(self) -> dict[str, int]:
        """Waiting jobs of other programs with a number that no numbering plan has, and is dialled; by batch.

        Of the last whole round that counted (``COUNT_SECONDS``); of this one so far where it is the first.
        The key of jobs without a batch is empty.
        """
        return dict(self._unassigned_before or self._unassigned_now)

    def check_more(
        self, clock: Clock, seconds: float = PORTION_SECONDS, *, default_country: str | None = None
    ) -> None:
        """Look at more documents, for so many seconds, until the end of a round.

        Args:
            clock: for the seconds.
            seconds: at most, but for the last few documents.
            default_country: of national numbers whose batch and account have no country.

        Raises:
            StoreUnavailable: the database is away.
        """
        began = clock.boottime()
        if self._stream is None:
            if began < self._round_due_at:
                return
            self._round_due_at = began + ROUND_SECONDS
            self._default_country = default_country
            self._counts = began >= self._count_due_at
            self._count_due_at = began + COUNT_SECONDS if self._counts else self._count_due_at
            self._stream = self._all()
        for found in self._stream:
            if len(self._now) < MAX_FOUND:
                self._now += found
            if clock.boottime() - began >= seconds:
                return
        self._stream, self._before, self._now = None, self._now, []
        if self._counts:
            self._unassigned_before, self._unassigned_now = self._unassigned_now, Counter()

    def _all(self) -> Iterator[list[UnreadableDocument]]:
        """The findings of every few documents."""
        store = self._store
        waiting = {"status": {"$nin": [*FINISHED, "completed"]}}
        sources: tuple[_Source, ...] = (
            ("holds", lambda: store.holds.table.stream({}), None, _hold_faults),
            ("accounts", lambda: store.accounts.table.stream({}), "account_id", self._account_faults),
            (BATCHES, lambda: store.batches.table.stream({}), "batch_id", self._batch_faults),
            ("jobs", lambda: store.jobs.table.stream(waiting), "job_id", self._job_faults),
            (DO_NOT_CALL_LIST, lambda: store.do_not_call.table.stream({}), None, _entry_faults),
            ("call_results", lambda: _latest(store.results.table, LATEST_RECORDS), None, faults.of_record),
            ("call_logs", lambda: _latest(store.logs.table, LATEST_RECORDS), None, faults.of_record),
        )
        for collection, documents, named, read in sources:
            found: list[UnreadableDocument] = []
            try:
                for number, document in enumerate(documents()):
                    found += _named(collection, document, named, read)
                    if number % _STEP == 0:
                        yield found
                        found = []
            except StoreUnavailable:
                raise
            except StoreError as exc:
                # A document that cannot even be transferred ends the look at its collection alone.
                log.warning("documents.not_read", collection=collection, error=str(exc))
            yield found

    def _account_faults(self, document: Document) -> tuple[FieldFault, ...]:
        account = Account.read(document)
        self._accounts[account.account_id] = account
        return account.field_faults

    def _batch_faults(self, document: Document) -> tuple[FieldFault, ...]:
        batch = Batch.read(document)
        self._batches[batch.batch_id] = batch
        return _faults_of_batch(batch)

    def _job_faults(self, document: Document) -> tuple[FieldFault, ...]:
        job = read_job(document)
        # The import of a file has looked at its numbers already.
        if self._counts and job.import_id is None:
            self._count_unassigned(job)
        return job.field_faults

    def _count_unassigned(self, job: Job) -> None:
        batch = self._batches.get(job.batch_id or "")
        if not phones.accepts_unassigned(job, batch):
            return
        country = phones.country_of(batch, self._accounts.get(job.account_id or ""), self._default_country)
        readings = (numbers.read(phone, country) for phone in job.contact.phones)
        if any(isinstance(found, numbers.Number) and not found.is_valid for found in readings):
            self._unassigned_now[job.batch_id or ""] += 1


def _latest(table: Table, limit: int) -> Iterator[Document]:
    return islice(table.stream({}, sort=[("_id", -1)]), limit)


def _named(
    collection: str, document: Document, field: str | None, read: Callable[[Document], tuple[FieldFault, ...]]
) -> list[UnreadableDocument]:
    known = None if field is None else usable_name(document.get(field))
    called = mask_phones(known or as_printable(document["_id"]))
    listed_as = None
    if collection == DO_NOT_CALL_LIST:
        called, listed_as = mask_prose(called), text(document["_id"])
    return [
        UnreadableDocument(collection=collection, name=called, fault=fault, listed_as=listed_as)
        for fault in read(document)
    ]


def _faults_of_batch(batch: Batch) -> tuple[FieldFault, ...]:
    settings = batch.call_settings
    window = windows.read_window(
        settings.allowed_hours,
        settings.days_of_week,
        settings.timezone,
        settings.start_at,
        default_hours=None,
        default_days=None,
        default_timezone="UTC",
    )
    sentences = [*settings.faults, *([window.sentence] if isinstance(window, WindowFault) else [])]
    limits = (FieldFault(field="call_settings", what=sentence, forbids=True) for sentence in sentences)
    return (*limits, *batch.field_faults)


def _hold_faults(document: Document) -> tuple[FieldFault, ...]:
    name, found = str(document["_id"]), faults.of_record(document)
    field = None
    if name == FLEET and yes_or_no(document.get("on")) is None:
        field = "on"
    elif name.startswith(key_of("")) and not circuit_breaker.is_understood(document):
        field = "state"
    unread = () if field is None else (FieldFault(field=field, what="cannot be read", forbids=True),)
    return (*found, *unread)


def _entry_faults(document: Document) -> tuple[FieldFault, ...]:
    number = document["_id"]
    if document.get("read_as") or (isinstance(number, str) and number[:1] == "+" and number[1:].isdecimal()):
        return faults.of_record(document)
    # No dial compares with it, so whoever is meant may be called.
    return (
        FieldFault(field="_id", what="is not a number in E.164: add it again with dnc-add", forbids=False),
    )
