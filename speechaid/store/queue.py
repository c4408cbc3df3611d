"""Waiting jobs: due batches, candidates for a claim, and suspending or resuming all jobs of an account.

No query's cost grows with the number of jobs that may not be called now: each names the batches it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bson.timestamp import Timestamp

from speechaid.model.job import Job
from speechaid.model.reading import Document, due_time, instant, is_out_of_range, text, whole
from speechaid.model.states import JobStatus, SuspendReason, status_dates, transition
from speechaid.model.test_calls import TESTS
from speechaid.store.jobs import Candidate, update_each
from speechaid.store.table import Table, as_stored, suppress_faults
from speechaid.store.test_calls import of_campaigns

#: Jobs changed by one write, which takes seconds on a slow server; the client's time-out is half a minute.
CHUNK_SIZE: Final = 500
#: Matches texts alone, as a range of an index; not every server reads an index for ``$type``.
ANY_TEXT: Final[Document] = {"$gte": ""}
#: Batches count as due if their first job is due within this time: whoever asks knows when to ask again.
SOON: Final = timedelta(seconds=1.5)
#: The index of SpeechAI's retries; the embedded server reads a sparse index only with a hint.
RETRIES: Final = "speechaid_old_retries"
#: The index of jobs that wait for a rule; as sparse.
WAITING: Final = "speechaid_waits_for_rule"
#: Up to this many batches are queried one by one.
MAX_SINGLE_QUERIES: Final = 4
#: Values that no query compares with a time, and which may be read as one, as ranges of an index.
READ_AS_TIMES: Final[tuple[Document, ...]] = ({"$gte": float("-inf")}, ANY_TEXT, {"$gte": Timestamp(0, 0)})
#: The types that are no time and are read as none; of these no index has ranges on every server.
_NO_TIMES: Final = (
    *("object", "array", "bool", "binData", "objectId", "regex", "javascript", "javascriptWithScope"),
    *("dbPointer", "minKey", "maxKey"),
)
#: Values that no query of a due time or a lease finds, by the status of their job: leases that are none lapse
#: at once, while a job that waits for what is no time goes on waiting.
_WRITTEN_OTHERWISE: Final[Mapping[JobStatus, tuple[Document, ...]]] = {
    JobStatus.PENDING: READ_AS_TIMES,
    # Few jobs are in progress: of them a type may be asked for without an index.
    JobStatus.IN_PROGRESS: (*READ_AS_TIMES, {"$eq": float("nan")}, {"$type": [*_NO_TIMES]}),
}
#: Statuses whose other spellings are corrected: the others are only read.
_RESPELLED: Final = (JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.IN_PROGRESS)


@dataclass(frozen=True, kw_only=True)
class DueBatch:
    """A batch (None: the jobs without one) that has pending jobs, and when the first is due."""

    batch_id: str | None
    #: None: the first has no time, and is due.
    first_due_at: datetime | None


class Queue:
    """Queries and writes for waiting jobs."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    # -- due batches and candidates ----------------------------------------------------------------------

    def due_batches(self, batch_ids: Collection[str] | None = None) -> list[DueBatch]:
        """Which of these batches have pending jobs, and the first due time of each.

        None asks for all batches, and for the jobs without one.

        MongoDB reads one index key per batch, whatever the number of jobs: the sort begins with the grouped
        field, and only the first of each group is used. Compatible servers read every pending job for that,
        so up to ``MAX_SINGLE_QUERIES`` batches are queried one by one; then batches without a job due now, or
        ``SOON``, are left out.
        """
        if batch_ids is not None and len(batch_ids) <= MAX_SINGLE_QUERIES:
            return [due for name in sorted(batch_ids) if (due := self._due_now(name)) is not None]
        which = {} if batch_ids is None else {"batch_id": {"$in": sorted(batch_ids)}}
        rows = self.table.aggregate(
            [
                {"$match": {"status": JobStatus.PENDING, **which}},
                {"$sort": {"batch_id": 1, "reserved_until": 1}},
                {"$group": {"_id": "$batch_id", "first_due_at": {"$first": "$reserved_until"}}},
            ]
        )
        found = (_due_batch(text(row["_id"]), row.get("first_due_at")) for row in rows)
        return [due for due in found if due is not None]

    def _due_now(self, batch_id: str) -> DueBatch | None:
        ready: Document = {"status": JobStatus.PENDING, "batch_id": batch_id}
        if self.table.find({**ready, "reserved_until": None}, limit=1, fields=("_id",)):
            return DueBatch(batch_id=batch_id, first_due_at=None)
        soon = {**ready, "reserved_until": {"$lte": self._now() + SOON}}
        rows = self.table.find(soon, sort=[("reserved_until", 1)], limit=1, fields=("reserved_until",))
        return _due_batch(batch_id, rows[0].get("reserved_until")) if rows else None

    def due_without_batch(self) -> DueBatch | None:
        """As ``due_batches``, for the jobs without a batch."""
        waiting = {"status": JobStatus.PENDING, "batch_id": None}
        rows = self.table.find(waiting, sort=[("reserved_until", 1)], limit=1, fields=("reserved_until",))
        return _due_batch(None, rows[0].get("reserved_until")) if rows else None

    def due_tests(self) -> DueBatch | None:
        """As ``due_batches``, for the jobs of test calls."""
        return self._due_now(TESTS)

    def next_with_pending(self, batch_id: str) -> str | None:
        """The name of the next batch after this one, in order, that has pending jobs."""
        query: Document = {"status": JobStatus.PENDING, "batch_id": {"$gt": batch_id, "$ne": TESTS}}
        rows = self.table.find(query, sort=[("batch_id", 1)], limit=1, fields=("batch_id",))
        return next((text(row.get("batch_id")) for row in rows), None)

    def candidates(
        self,
        batch_id: str | None,
        limit: int,
        *,
        without: Collection[str | None] = (),
        without_jobs: Collection[Any] = (),
    ) -> list[Candidate]:
        """Find due jobs of one batch, longest due first.

        Args:
            batch_id: None for the jobs without a batch.
            limit: at most this many.
            without: accounts whose jobs are left out; None among them: jobs without an account.
            without_jobs: ``_id`` of jobs that are left out.
        """
        ready: Document = {"status": JobStatus.PENDING, "batch_id": batch_id}
        if without:
            ready["account_id"] = {"$nin": list(without)}
        if without_jobs:
            ready["_id"] = {"$nin": list(without_jobs)}
        # Two ranges of one index instead of a disjunction: without a time, then due by now.
        found = self.table.find({**ready, "reserved_until": None}, limit=limit, fields=Candidate.FIELDS)
        if len(found) < limit:
            due = {**ready, "reserved_until": {"$lte": self._now()}}
            found += self.table.find(
                due, sort=[("reserved_until", 1)], limit=limit - len(found), fields=Candidate.FIELDS
            )
        return [Candidate.read(document) for document in found]

    # -- whole accounts ----------------------------------------------------------------------------------

    def suspend_waiting(self, account_id: str, reason: SuspendReason, limit: int) -> int:
        """Suspend at most ``limit`` pending jobs of an account that cannot pay; return how many.

        A job with a reservation of SpeechAI can still be paid for, and stays pending.
        """
        query = {"status": JobStatus.PENDING, "account_id": account_id, "reserved_amount": None}
        query = of_campaigns(query)
        now = self._now()
        change: Document = {
            "$set": {
                "status": transition(JobStatus.SUSPENDED, JobStatus.PENDING),
                "suspend_reason": reason,
                **status_dates(JobStatus.SUSPENDED, now),
                "updated_at": now,
            },
            "$inc": {"revision": 1},
        }
        return self._in_chunks(query, change, limit)

    def accounts_with_suspended(self, reason: SuspendReason) -> list[str]:
        """Names of accounts with jobs suspended for this reason."""
        rows = self.table.aggregate(
            [
                {"$match": {"status": JobStatus.SUSPENDED, "suspend_reason": reason}},
                {"$group": {"_id": "$account_id"}},
            ]
        )
        return [str(row["_id"]) for row in rows if row["_id"] is not None]

    def resume_suspended(self, account_id: str, reason: SuspendReason, limit: int) -> int:
        """Make at most ``limit`` of an account's jobs pending that this reason suspended; return how many."""
        query = {"status": JobStatus.SUSPENDED, "suspend_reason": reason, "account_id": account_id}
        change: Document = {
            "$set": {
                "status": transition(JobStatus.PENDING, JobStatus.SUSPENDED),
                "updated_at": self._now(),
            },
            "$unset": {"suspend_reason": "", "suspended_at": ""},
            "$inc": {"revision": 1},
        }
        return self._in_chunks(query, change, limit)

    def release_waiting(self, batch_id: str | None, limit: int) -> int:
        """Make at most ``limit`` jobs due that wait for a rule of a pack; return how many.

        Args:
            batch_id: None: of all batches.
            limit: to be repeated until none is left.
        """
        query: Document = {"waits_for.at": {"$exists": True}, "status": JobStatus.PENDING}
        if batch_id is not None:
            query["batch_id"] = batch_id
        rows = self.table.find(query, limit=limit, fields=("_id",), hint=WAITING)
        change: Document = {"$set": {"reserved_until": self._now()}, "$unset": {"waits_for": ""}}
        change["$inc"] = {"revision": 1}
        return update_each(self.table, query, [row["_id"] for row in rows], change) if rows else 0

    def _in_chunks(self, query: Document, change: Document, limit: int) -> int:
        changed = 0
        while changed < limit:
            wanted = min(CHUNK_SIZE, limit - changed)
            ids = [row["_id"] for row in self.table.find(query, limit=wanted, fields=("_id",))]
            if not ids:
                break
            changed += update_each(self.table, query, ids, change)
            if len(ids) < wanted:
                break
        return changed

    # -- jobs that SpeechAI left -------------------------------------------------------------------------

    def make_scheduled_pending(self) -> int:
        """Make SpeechAI's ``scheduled`` jobs pending, due as before; return how many."""
        query: Document = {"status": JobStatus.SCHEDULED}
        change: Document = {
            "$set": {"status": transition(JobStatus.PENDING, JobStatus.SCHEDULED)},
            "$inc": {"revision": 1},
        }
        return self._in_chunks(query, change, 20 * CHUNK_SIZE)

    def legacy_retries(self, limit: int) -> list[Job]:
        """Find at most ``limit`` failed jobs whose retry by SpeechAI is due, longest due first.

        Only what ``requeue_legacy_retry`` and the rules need of each is read. A time that is stored as text
        is converted before, of at most as many jobs; one that cannot be read is removed, since no query
        would ever find it due.
        """
        failed: Document = {"status": JobStatus.FAILED}
        written = {**failed, "next_try_at": ANY_TEXT}
        for row in self.table.find(written, limit=limit, fields=("next_try_at",), hint=RETRIES):
            due_at = instant(row["next_try_at"])
            change = {"$set": {"next_try_at": due_at}} if due_at else {"$unset": {"next_try_at": ""}}
            as_read = {**failed, "_id": row["_id"], "next_try_at": as_stored(row["next_try_at"])}
            with suppress_faults():
                self.table.update(as_read, change)
        found = self.table.find(
            {**failed, "next_try_at": {"$lte": self._now()}},
            sort=[("next_try_at", 1)],
            limit=limit,
            fields=("job_id", "status", "revision", "next_try_at", "batch_id", "attempts", "tries"),
            hint=RETRIES,
        )
        return [Job.read(document) for document in found]

    def drop_legacy_retry(self, job: Job) -> bool:
        """Remove the retry of a job that has no attempt left; False where it is not as read."""
        return self.table.update(_retry_as_read(job), {"$unset": {"next_try_at": ""}})

    def requeue_legacy_retry(self, job: Job) -> bool:
        """Make such a job pending; False where status, revision or retry time are not as read."""
        change: Document = {
            "$set": {
                "status": transition(JobStatus.PENDING, job.status),
                "reserved_until": None,
                "updated_at": self._now(),
            },
            "$unset": {"next_try_at": ""},
            "$inc": {"revision": 1},
        }
        return update_each(self.table, _retry_as_read(job), [job.id], change) == 1

    def convert_due_times(self) -> int:
        """Convert lease and due times that are stored as text, number or timestamp; return how many.

        A query never compares these with a time. An unreadable due time stays, and its job is not called: who
        wrote it did not want the call at once. A job in progress with an unreadable lease has none.
        """
        rows = [
            row
            for status, values in _WRITTEN_OTHERWISE.items()
            for written in values  # one range of the index each
            for row in self.table.find(
                {"status": status, "reserved_until": written},
                limit=20 * CHUNK_SIZE,
                fields=("reserved_until", "status", "revision"),
                hint="speechaid_lapsed",
            )
        ]
        converted = 0
        for row in rows:
            written = row["reserved_until"]
            time = due_time(written)
            blank = isinstance(written, str) and not written.strip()
            if time is None and not blank and row["status"] == JobStatus.PENDING:
                continue
            revision = row.get("revision")
            as_read = {
                "_id": row["_id"],
                "reserved_until": as_stored(written),
                "revision": as_stored(revision),
            }
            change = {"reserved_until": time, "revision": whole(revision) + 1}
            with suppress_faults():
                converted += self.table.update(as_read, {"$set": change})
        return converted

    def respell_statuses(self, found: Iterable[object]) -> int:
        """Rewrite other spellings of the statuses of waiting and claimed jobs, ``PENDING``; return how many.

        Args:
            found: the statuses that jobs have now.
        """
        changed = 0
        for word in found:
            status = next((one for one in _RESPELLED if str(word).strip().lower() == one), None)
            if status is not None and word != status:
                change: Document = {"$set": {"status": transition(status, status)}, "$inc": {"revision": 1}}
                changed += self._in_chunks({"status": word}, change, 20 * CHUNK_SIZE)
        return changed


def _retry_as_read(job: Job) -> Document:
    fields = ("status", "revision", "next_try_at")
    return {"_id": job.id, **{name: as_stored(job.document.get(name)) for name in fields}}


def _due_batch(batch_id: str | None, first: object) -> DueBatch | None:
    """The batch with its first due time as stored; None where that is a date which never comes.

    Values of other types sort before dates: behind such a job there may be others that are due.
    """
    moment = due_time(first)
    if moment is None and (isinstance(first, datetime) or is_out_of_range(first)):
        return None
    return DueBatch(batch_id=batch_id, first_due_at=moment)
