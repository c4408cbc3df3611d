"""Queries of ``explain``, ``forecast`` and ``doctor``; none is on a hot path, each is bounded.

What counts or lists jobs and calls does so for campaigns, without test calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Hashable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Final, TypeVar

from speechaid.model.erasure import What
from speechaid.model.job import Job
from speechaid.model.reading import Document, number, text
from speechaid.model.states import JobStatus, Outcome, SuspendReason
from speechaid.rules.numbers import all_spellings, line_identity
from speechaid.store.jobs import LIVE_NUMBER, read_job
from speechaid.store.table import Table, as_stored
from speechaid.store.test_calls import of_campaigns

#: Statuses of jobs that wait or failed.
_NOT_DONE: Final = (JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED, JobStatus.FAILED)

Key = TypeVar("Key", bound=Hashable)


class Diagnostics:
    """Queries over jobs and results that explain a state to an operator."""

    def __init__(self, jobs: Table, results: Table, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._results = results
        self._now = now

    def ahead_of(self, job: Job, limit: int) -> int:
        """How many due jobs of the batch come before this one; at most ``limit``."""
        # As stored: test calls wait among themselves.
        batch_id = job.document.get("batch_id")
        ready: Document = {
            "status": JobStatus.PENDING,
            "batch_id": as_stored(batch_id),
            "_id": {"$ne": job.id},
        }
        if job.reserved_until is None:
            return 0  # such jobs come first
        earlier = [{"reserved_until": None}, {"reserved_until": {"$lt": job.reserved_until}}]
        return len(self._jobs.find({**ready, "$or": earlier}, limit=limit, fields=("_id",)))

    def stream_waiting(self, batch_id: str | None) -> Generator[Job]:
        """Yield the jobs that are ready or scheduled, of one batch or of all, in no order."""
        waiting: Document = {"status": {"$in": [JobStatus.PENDING, JobStatus.SCHEDULED]}}
        query = of_campaigns(waiting if batch_id is None else {**waiting, "batch_id": batch_id})
        with closing(self._jobs.stream(query)) as rows:
            yield from map(read_job, rows)

    def holder_of(self, number_: str, besides: Job) -> Job | None:
        """Another job with an open dial to this number's line; None where there is none."""
        spellings = {"$exists": True, "$in": list(all_spellings(number_))}
        query = {"dial.number": spellings, "_id": {"$ne": besides.id}}
        return next(map(read_job, self._jobs.find(query, limit=1, hint=LIVE_NUMBER)), None)

    def busy_numbers(self, numbers: Collection[str]) -> frozenset[str]:
        """Those of the numbers whose line has an open dial."""
        # Open dials are no more than workers; a query that names many numbers is slower than all of them.
        rows = self._jobs.find({"dial.number": {"$exists": True}}, fields=("dial.number",), hint=LIVE_NUMBER)
        lines = {line_identity(str(row["dial"]["number"])) for row in rows}
        return frozenset(one for one in numbers if line_identity(one) in lines)

    def open_dials(self, limit: int) -> list[Job]:
        """Find jobs with an open dial."""
        return [read_job(row) for row in self._jobs.find({"dial.number": {"$exists": True}}, limit=limit)]

    def unreadable(self, limit: int) -> list[str]:
        """Names of jobs that wait or failed and have no readable phone, sorted; at most ``limit``."""
        no_text = {"$not": {"$type": "string"}}
        query: Document = {
            "status": {"$in": [*_NOT_DONE]},
            # Also true where the contact is text, or its phones a number: then there is no first phone.
            "contact.phones.0": no_text,
            "contact.phone": no_text,
            "to_number": no_text,
            "erased.what": {"$ne": What.PERSON},
        }
        rows = self._jobs.find(of_campaigns(query), limit=limit, fields=("job_id",))
        return sorted(text(row.get("job_id")) or str(row["_id"]) for row in rows)

    def unreadable_answers(self, seconds: float, limit: int) -> list[str]:
        """Names of jobs whose call ended within the last ``seconds`` without a readable answer, sorted."""
        since = self._now() - timedelta(seconds=seconds)
        query = of_campaigns({"created_at": {"$gte": since}, "unreadable": {"$exists": True}})
        return sorted(
            {str(row.get("job_id")) for row in self._results.find(query, limit=limit, fields=("job_id",))}
        )

    def served_jobs(self, limit: int) -> list[str]:
        """Names of waiting jobs that say of themselves that they were served, sorted; at most ``limit``."""
        query: Document = {
            "status": {"$in": [JobStatus.PENDING, JobStatus.SCHEDULED]},
            "call_result.success": {"$nin": [None, False]},
        }
        ends = ("completed_at", "finished_at", "call_result.success", "call_result.timestamp")
        fields = ("job_id", "reset_at", "crashes", *ends)
        rows = self._jobs.find(of_campaigns(query), limit=limit, fields=fields)
        return sorted(job.job_id for job in map(Job.read, rows) if job.is_served)

    def rejected_jobs(self, limit: int) -> list[str]:
        """Names of failed jobs whose requests Retell cannot take."""
        query = of_campaigns({"status": JobStatus.FAILED, "last_outcome": Outcome.REJECTED})
        rows = self._jobs.find(query, limit=limit, fields=("job_id",))
        return sorted(text(row.get("job_id")) or str(row["_id"]) for row in rows)

    def suspended_for(self) -> dict[str, int]:
        """Count suspended jobs by reason."""
        rows = self._jobs.aggregate(
            [
                {"$match": of_campaigns({"status": JobStatus.SUSPENDED})},
                {"$group": {"_id": "$suspend_reason", "jobs": {"$sum": 1}}},
            ]
        )
        return {str(row["_id"]): int(row["jobs"]) for row in rows}

    def awaiting_account(self) -> dict[str, int]:
        """Count jobs by account that wait, or are suspended because their account is unknown."""
        waiting: Document = {"status": {"$in": [JobStatus.PENDING, JobStatus.SCHEDULED]}}
        suspended = {"status": JobStatus.SUSPENDED, "suspend_reason": SuspendReason.ACCOUNT_UNKNOWN}
        rows = self._jobs.aggregate(
            [
                {"$match": of_campaigns({"$or": [waiting, suspended]})},
                {"$group": {"_id": "$account_id", "jobs": {"$sum": 1}}},
            ]
        )
        named = ((text(row["_id"]), int(row["jobs"])) for row in rows)
        return _summed((account_id, jobs) for account_id, jobs in named if account_id is not None)

    def tried_again(self) -> dict[int, int]:
        """Count pending and failed jobs by the attempts that they have used."""
        rows = self._jobs.aggregate(
            [
                {"$match": of_campaigns({"status": {"$in": [JobStatus.PENDING, JobStatus.FAILED]}})},
                {"$group": {"_id": "$attempts", "jobs": {"$sum": 1}}},
            ]
        )
        return _summed((int(number(row["_id"]) or 0), int(row["jobs"])) for row in rows)

    def recent_outcomes(self, seconds: float) -> dict[tuple[str, str], int]:
        """Count calls that ended within the last ``seconds``, by outcome and Retell's reason."""
        since = self._now() - timedelta(seconds=seconds)
        rows = self._results.aggregate(
            [
                {"$match": of_campaigns({"created_at": {"$gte": since}})},
                {
                    "$group": {
                        "_id": {"outcome": "$outcome", "reason": "$disconnection_reason"},
                        "calls": {"$sum": 1},
                    }
                },
            ]
        )
        return _summed(
            ((str(row["_id"].get("outcome")), str(row["_id"].get("reason"))), int(row["calls"]))
            for row in rows
        )

    def recent_calls(self, limit: int) -> list[Document]:
        """Find the results of the latest dials, with length and cost only."""
        return self._results.find(
            of_campaigns({}),
            sort=[("_id", -1)],
            limit=limit,
            fields=("duration_ms", "connected", "cost", "placed_at"),
        )


def _summed(counts: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    """Counts by key: values that the database tells apart (2 and "2", null and none) may be read as one."""
    sums: Counter[Key] = Counter()
    for key, count in counts:
        sums[key] += count
    return dict(sums)
