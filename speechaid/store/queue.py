"""Waiting jobs: due batches, candidates for a claim, and suspending or resuming all jobs of an account.

No query's cost grows with the number of jobs that may not be called now: each names the batches it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from speechaid.model.job import Job
from speechaid.model.reading import Document, instant, text
from speechaid.model.states import JobStatus, SuspendReason, status_dates, transition
from speechaid.store.jobs import Candidate
from speechaid.store.table import Table

#: Jobs changed by one write, which takes seconds on a slow server; the client's time-out is half a minute.
CHUNK_SIZE: Final = 500
#: Matches texts alone, as a range of an index; not every server reads an index for ``$type``.
ANY_TEXT: Final[Document] = {"$gte": ""}
#: The index of SpeechAI's retries; the embedded server reads a sparse index only with a hint.
RETRIES: Final = "speechaid_old_retries"
#: Up to this many batches are queried one by one.
MAX_SINGLE_QUERIES: Final = 4


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
        so up to ``MAX_SINGLE_QUERIES`` batches are queried one by one; then batches without a job due now are
        left out.
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
        return [
            DueBatch(batch_id=text(row["_id"]), first_due_at=instant(row.get("first_due_at"))) for row in rows
        ]

    def _due_now(self, batch_id: str) -> DueBatch | None:
        ready: Document = {"status": JobStatus.PENDING, "batch_id": batch_id}
        if self.table.find({**ready, "reserved_until": None}, limit=1, fields=("_id",)):
            return DueBatch(batch_id=batch_id, first_due_at=None)
        past = {**ready, "reserved_until": {"$lte": self._now()}}
        rows = self.table.find(past, sort=[("reserved_until", 1)], limit=1, fields=("reserved_until",))
        return next(
            (DueBatch(batch_id=batch_id, first_due_at=instant(row["reserved_until"])) for row in rows), None
        )

    def due_without_batch(self) -> DueBatch | None:
        """As ``due_batches``, for the jobs without a batch."""
        waiting = {"status": JobStatus.PENDING, "batch_id": None}
        rows = self.table.find(waiting, sort=[("reserved_until", 1)], limit=1, fields=("reserved_until",))
        first = next((instant(row.get("reserved_until")) for row in rows), None)
        return DueBatch(batch_id=None, first_due_at=first) if rows else None

    def next_with_pending(self, batch_id: str) -> str | None:
        """The name of the next batch after this one, in order, that has pending jobs."""
        query: Document = {"status": JobStatus.PENDING, "batch_id": {"$gt": batch_id}}
        rows = self.table.find(query, sort=[("batch_id", 1)], limit=1, fields=("batch_id",))
        return next((text(row.get("batch_id")) for row in rows), None)

    def candidates(
        self, batch_id: str | None, limit: int, *, without: Collection[str | None] = ()
    ) -> list[Candidate]:
        """Find due jobs of one batch, longest due first.

        Args:
            batch_id: None for the jobs without a batch.
            limit: at most this many.
            without: accounts whose jobs are left out; None among them: jobs without an account.
        """
        ready: Document = {"status": JobStatus.PENDING, "batch_id": batch_id}
        if without:
            ready["account_id"] = {"$nin": list(without)}
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

    def _in_chunks(self, query: Document, change: Document, limit: int) -> int:
        changed = 0
        while changed < limit:
            wanted = min(CHUNK_SIZE, limit - changed)
            ids = [row["_id"] for row in self.table.find(query, limit=wanted, fields=("_id",))]
            if not ids:
                break
            changed += self.table.update_many({**query, "_id": {"$in": ids}}, change)
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
            self.table.update({**failed, "_id": row["_id"], "next_try_at": row["next_try_at"]}, change)
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
        return self.table.update(_retry_as_read(job), change)

    def convert_text_times(self) -> int:
        """Convert lease and due times stored as text; return how many.

        A query never compares text with a time. An unreadable time becomes None: due at once.
        """
        statuses: Sequence[Any] = [JobStatus.PENDING, JobStatus.IN_PROGRESS]
        query = {"status": {"$in": list(statuses)}, "reserved_until": ANY_TEXT}
        rows = self.table.find(
            query, limit=20 * CHUNK_SIZE, fields=("reserved_until",), hint="speechaid_lapsed"
        )
        for row in rows:
            written = row["reserved_until"]
            self.table.update(
                {"_id": row["_id"], "reserved_until": written},
                {"$set": {"reserved_until": instant(written)}, "$inc": {"revision": 1}},
            )
        return len(rows)


def _retry_as_read(job: Job) -> Document:
    return {"_id": job.id, **{name: job.document.get(name) for name in ("status", "revision", "next_try_at")}}
