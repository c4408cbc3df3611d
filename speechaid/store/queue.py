"""Jobs that wait: whose are due, which to take first, and whole accounts' jobs put aside and brought back.

Nothing here grows with the number of jobs that may not be called now: every look names the batches it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from speechaid.model.job import Job
from speechaid.model.reading import Document, instant, text
from speechaid.model.states import JobStatus, SuspendReason, transition
from speechaid.store.jobs import Candidate
from speechaid.store.table import Table

#: Jobs changed by one write: seconds on a slow server, whose clients give up after half a minute.
CHUNK_SIZE: Final = 500
#: So few batches are asked one by one whether they have due jobs.
MAX_SINGLE_QUERIES: Final = 4


@dataclass(frozen=True, kw_only=True)
class DueBatch:
    """A batch (None: the jobs without one) that has pending jobs, and when the first is due."""

    batch_id: str | None
    #: None: due since always.
    first_due_at: datetime | None


class Queue:
    """The jobs collection as those see it who look for work."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    # -- whose turn --------------------------------------------------------------------------------------

    def due_batches(self, batch_ids: Collection[str] | None = None) -> list[DueBatch]:
        """Which of these batches (of all, None among them) have pending jobs, and when the first is due.

        MongoDB looks at one index key for each batch, whatever the number of jobs: the sort begins with what
        is grouped by, and only the first of each group is asked for. Servers of its family read every pending
        job for that, so few batches are asked singly; then those whose jobs all wait for later are left out.
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
        """The same of the jobs without a batch."""
        waiting = {"status": JobStatus.PENDING, "batch_id": None}
        rows = self.table.find(waiting, sort=[("reserved_until", 1)], limit=1, fields=("reserved_until",))
        first = next((instant(row.get("reserved_until")) for row in rows), None)
        return DueBatch(batch_id=None, first_due_at=first) if rows else None

    def next_with_pending(self, batch_id: str) -> str | None:
        """The first batch after this one, in the order of names, that has pending jobs."""
        query: Document = {"status": JobStatus.PENDING, "batch_id": {"$gt": batch_id}}
        rows = self.table.find(query, sort=[("batch_id", 1)], limit=1, fields=("batch_id",))
        return next((text(row.get("batch_id")) for row in rows), None)

    def candidates(
        self, batch_id: str | None, limit: int, *, without: Collection[str | None] = ()
    ) -> list[Candidate]:
        """Due jobs of one batch, longest due first.

        Args:
            batch_id: None for the jobs without a batch.
            limit: at most so many.
            without: accounts whose jobs are left out; None: jobs without one.
        """
        ready: Document = {"status": JobStatus.PENDING, "batch_id": batch_id}
        if without:
            ready["account_id"] = {"$nin": list(without)}
        # Two ranges of one index instead of a disjunction: never reserved, then due by now.
        found = self.table.find({**ready, "reserved_until": None}, limit=limit, fields=Candidate.FIELDS)
        if len(found) < limit:
            due = {**ready, "reserved_until": {"$lte": self._now()}}
            found += self.table.find(
                due, sort=[("reserved_until", 1)], limit=limit - len(found), fields=Candidate.FIELDS
            )
        return [Candidate.read(document) for document in found]

    # -- whole accounts ----------------------------------------------------------------------------------

    def suspend_waiting(self, account_id: str, reason: SuspendReason, limit: int) -> int:
        """Put aside waiting jobs of an account that cannot pay; how many, at most ``limit``.

        A job for which SpeechAI reserved something can still be paid, and is left.
        """
        query = {"status": JobStatus.PENDING, "account_id": account_id, "reserved_amount": None}
        now = self._now()
        change: Document = {
            "$set": {
                "status": transition(JobStatus.SUSPENDED, JobStatus.PENDING),
                "suspend_reason": reason,
                "suspended_at": now,
                "updated_at": now,
            },
            "$inc": {"revision": 1},
        }
        return self._in_chunks(query, change, limit)

    def accounts_with_suspended(self, reason: SuspendReason) -> list[str]:
        """Accounts that have jobs suspended for this reason."""
        rows = self.table.aggregate(
            [
                {"$match": {"status": JobStatus.SUSPENDED, "suspend_reason": reason}},
                {"$group": {"_id": "$account_id"}},
            ]
        )
        return [str(row["_id"]) for row in rows if row["_id"] is not None]

    def resume_suspended(self, account_id: str, reason: SuspendReason, limit: int) -> int:
        """Jobs that this reason had put aside are pending again; how many, at most ``limit``."""
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

    # -- what SpeechAI left ------------------------------------------------------------------------------

    def make_scheduled_pending(self) -> int:
        """SpeechAI's ``scheduled`` jobs become pending; their time stays. How many there were."""
        query: Document = {"status": JobStatus.SCHEDULED}
        change: Document = {
            "$set": {"status": transition(JobStatus.PENDING, JobStatus.SCHEDULED)},
            "$inc": {"revision": 1},
        }
        return self._in_chunks(query, change, 20 * CHUNK_SIZE)

    def legacy_retries(self) -> list[Job]:
        """Jobs that SpeechAI failed, to be tried again at a time that has come, or is written as text."""
        failed: Document = {"status": JobStatus.FAILED}
        found = self.table.find({**failed, "next_try_at": {"$lte": self._now()}})
        found += self.table.find({**failed, "next_try_at": {"$type": "string"}})
        return [Job.read(document) for document in found]

    def requeue_legacy_retry(self, job: Job) -> bool:
        """Such a job is pending again; False where it changed since it was read."""
        as_read = {name: job.document.get(name) for name in ("status", "revision", "next_try_at")}
        change: Document = {
            "$set": {
                "status": transition(JobStatus.PENDING, job.status),
                "reserved_until": None,
                "updated_at": self._now(),
            },
            "$unset": {"next_try_at": ""},
            "$inc": {"revision": 1},
        }
        return self.table.update({"_id": job.id, **as_read}, change)

    def convert_text_times(self) -> int:
        """Times of waiting and held jobs that stand there as text become times; how many.

        What cannot be read as a time is none: due at once. No query compares a text with a time.
        """
        statuses: Sequence[Any] = [JobStatus.PENDING, JobStatus.IN_PROGRESS]
        query = {"status": {"$in": list(statuses)}, "reserved_until": {"$type": "string"}}
        rows = self.table.find(query, limit=20 * CHUNK_SIZE, fields=("reserved_until",))
        for row in rows:
            written = row["reserved_until"]
            self.table.update(
                {"_id": row["_id"], "reserved_until": written},
                {"$set": {"reserved_until": instant(written)}, "$inc": {"revision": 1}},
            )
        return len(rows)
