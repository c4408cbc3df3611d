"""Test calls: the numbers that are registered for them, their jobs, and the filter that leaves them out.

Of ``speechaid_test_numbers`` there are a few documents: ``{_id: number, account_id, note, by, at, latest}``.
``latest`` is the job of the last test to that number, by which two tests at the same time are told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, Self

from speechaid.model.job import Job
from speechaid.model.reading import Document, instant, text
from speechaid.model.states import JobStatus
from speechaid.model.test_calls import TESTS
from speechaid.rules.checks import Reason
from speechaid.rules.numbers import all_spellings, line_identity
from speechaid.store.holds import Holds
from speechaid.store.jobs import clear_claim, read_job, update_each
from speechaid.store.table import Table, as_stored

#: Tests that one tick of housekeeping ends at most; there are never so many.
_MOST_ENDED: Final = 100
#: Jobs looked at for the first row with a phone.
_FIRST_ROWS: Final = 100
#: A test that waits has at most so many more seconds until housekeeping ends it.
GRACE_SECONDS: Final = 5.0


def of_campaigns(query: Document) -> Document:
    """The query without test calls, which belong to no campaign; as it is where it names a batch."""
    return query if "batch_id" in query else {**query, "batch_id": {"$ne": TESTS}}


@dataclass(frozen=True, kw_only=True)
class RegisteredNumber:
    """A number that may get test calls."""

    #: E.164.
    number: str
    #: Only for tests of this account's batches; None: of every batch.
    account_id: str | None
    note: str | None
    by: str | None
    at: datetime | None
    #: The job of the latest test to it.
    latest: str | None
    document: Document = field(repr=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From its document."""
        return cls(
            number=str(document["_id"]),
            account_id=text(document.get("account_id")),
            note=text(document.get("note")),
            by=text(document.get("by")),
            at=instant(document.get("at")),
            latest=text(document.get("latest")),
            document=document,
        )

    def may_serve(self, account_id: str | None) -> bool:
        """Whether it may get tests of this account's batches."""
        return self.account_id is None or self.account_id == account_id


def registered_among(
    numbers: Collection[str], documents: Iterable[Document], account_id: str | None
) -> frozenset[str]:
    """Those of the numbers whose line one of these documents registers for the account's tests."""
    found = map(RegisteredNumber.read, documents)
    lines = {line_identity(one.number) for one in found if one.may_serve(account_id)}
    return frozenset(number for number in numbers if line_identity(number) in lines)


class TestCalls:
    """The registered numbers, and the jobs of test calls."""

    #: Not a class of tests, whatever its name says to pytest.
    __test__ = False

    def __init__(self, numbers: Table, jobs: Table, holds: Holds, now: Callable[[], datetime]) -> None:
        self.numbers = numbers
        self._jobs = jobs
        self._holds = holds
        self._now = now

    # -- numbers -----------------------------------------------------------------------------------------

    def find_numbers(self) -> list[RegisteredNumber]:
        """Find every registered number, in order."""
        return [RegisteredNumber.read(row) for row in self.numbers.find({}, sort=[("_id", 1)])]

    def find_number(self, number: str) -> RegisteredNumber | None:
        """Find the registration of a number, in whatever spelling of its line."""
        rows = self.numbers.find({"_id": {"$in": list(all_spellings(number))}}, limit=1)
        return RegisteredNumber.read(rows[0]) if rows else None

    def add_number(self, number: str, *, account_id: str | None, note: str | None, by: str) -> None:
        """Register a number, or write its account and note again."""
        known = self.find_number(number)
        fields = {"account_id": account_id, "note": note, "by": by, "at": self._now()}
        wanted = number if known is None else known.number
        self.numbers.update({"_id": wanted}, {"$set": fields}, upsert=True)

    def remove_number(self, number: str) -> bool:
        """Remove a number, in all its spellings; return whether it was registered."""
        return self.numbers.delete({"_id": {"$in": list(all_spellings(number))}}) > 0

    # -- jobs --------------------------------------------------------------------------------------------

    def find_row(self, batch_id: str, position: int | None) -> Job | None:
        """Find a job of a batch by its place, from 1, in the order in which they came in.

        Without a place it is the first that has a phone. None where there is no such job.
        """
        of_batch = {"batch_id": batch_id}
        order = [("_id", 1)]
        if position is None:
            first = map(read_job, self._jobs.find(of_batch, sort=order, limit=_FIRST_ROWS))
            return next((job for job in first if job.contact.phones), None)
        with closing(self._jobs.stream(of_batch, sort=order, fields=("_id",))) as ids:
            row = next(islice(ids, position - 1, None), None)
        found = None if row is None else self._jobs.find_one({"_id": row["_id"]})
        return None if found is None else read_job(found)

    def find_open(self, registered: RegisteredNumber) -> Job | None:
        """Find the latest test to a number where it is not over; None where another may begin."""
        document = None if registered.latest is None else self._jobs.find_one({"job_id": registered.latest})
        job = None if document is None else read_job(document)
        if job is None or job.test is None or job.status not in {JobStatus.PENDING, JobStatus.IN_PROGRESS}:
            return None
        return None if job.status is JobStatus.PENDING and job.test.until < self._now() else job

    def create(self, registered: RegisteredNumber, document: Document, until: datetime) -> bool:
        """Insert the job of a test; False where another test to this number began in the meantime.

        Args:
            registered: as it was read before ``find_open``.
            document: the job.
            until: when the job is given up at the latest; workers look for tests as long.
        """
        job_id = document["job_id"]
        as_read = {
            "_id": registered.document["_id"],
            "latest": as_stored(registered.document.get("latest")),
        }
        if not self.numbers.update(as_read, {"$set": {"latest": job_id}}):
            return False
        self._holds.note_tests(until)
        self._jobs.insert(document)
        return True

    def end_expired(self) -> int:
        """Cancel the tests that no worker placed in time; return how many."""
        # The batch first: the embedded server looks up the first field that has an index; all jobs may wait.
        waiting: Document = {"batch_id": TESTS, "status": JobStatus.PENDING}
        past = {**waiting, "test.until": {"$lt": self._now() - timedelta(seconds=GRACE_SECONDS)}}
        ids = [row["_id"] for row in self._jobs.find(past, limit=_MOST_ENDED, fields=("_id",))]
        if not ids:
            return 0
        fields: dict[str, Any] = {"status": JobStatus.CANCELLED, "cancel_reason": Reason.TEST_EXPIRED}
        return update_each(self._jobs, past, ids, clear_claim(fields, self._now(), JobStatus.PENDING))
