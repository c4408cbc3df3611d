"""Counts for metrics and alerts: served by an index, or bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from speechaid.model.reading import Document, instant, mapping, text
from speechaid.model.states import JobStatus
from speechaid.store.table import Table
from speechaid.store.test_calls import of_campaigns

#: Jobs in progress that are read at most; no fleet has more.
MAX_JOBS = 2000
_FIRST_DATE = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class DueJobs:
    """The due jobs of one batch and account (None: the jobs without one)."""

    batch_id: str | None
    account_id: str | None
    jobs: int
    #: The earliest due time; None where no job has one.
    since: datetime | None


@dataclass(frozen=True, kw_only=True)
class InProgress:
    """Jobs in progress that may need attention."""

    #: Jobs whose lease has run out.
    lapsed: int
    #: When the oldest of those leases ran out; None where none did.
    lapsed_since: datetime | None
    #: Calls whose end Retell does not confirm.
    parked: int


class QueueStats:
    """Counts over the jobs collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def due(self) -> list[DueJobs]:
        """Count due jobs by batch and account."""
        # A missing time sorts before every other value, and numbers and texts before every date: these are
        # no times until they are converted (``Queue.convert_due_times``).
        is_time = {"$or": [{"$lte": ["$reserved_until", None]}, {"$gte": ["$reserved_until", _FIRST_DATE]}]}
        is_due: Document = {"$and": [is_time, {"$lte": ["$reserved_until", self._now()]}]}
        rows = self.table.aggregate(
            [
                {"$match": of_campaigns({"status": JobStatus.PENDING})},
                {
                    "$group": {
                        # Both are keys of the index that serves this.
                        "_id": {"batch_id": "$batch_id", "account_id": "$account_id"},
                        "jobs": {"$sum": {"$cond": [is_due, 1, 0]}},
                        "since": {"$min": "$reserved_until"},
                    }
                },
            ]
        )
        return [
            DueJobs(
                batch_id=text(row["_id"].get("batch_id")),
                account_id=text(row["_id"].get("account_id")),
                jobs=int(row["jobs"]),
                since=instant(row.get("since")),
            )
            for row in rows
            if row["jobs"]
        ]

    def waiting_since(self, batch_id: str | None) -> datetime | None:
        """When a pending job of the batch without a due time was created; None where there is none."""
        query: Document = {"status": JobStatus.PENDING, "batch_id": batch_id, "reserved_until": None}
        rows = self.table.find(query, limit=1, fields=("created_at",))
        return next((instant(row.get("created_at")) for row in rows), None)

    def in_progress(self) -> InProgress:
        """Count jobs in progress whose lease has run out or is missing, and parked calls."""
        fields = ("reserved_until", "dial.parked_at")
        rows = self.table.find({"status": JobStatus.IN_PROGRESS}, limit=MAX_JOBS, fields=fields)
        now = self._now()
        leases = [instant(row.get("reserved_until")) for row in rows]
        ran_out = [lease for lease in leases if lease is not None and lease < now]
        return InProgress(
            lapsed=len(ran_out) + leases.count(None),
            lapsed_since=min(ran_out, default=None),
            parked=sum(mapping(row.get("dial")).get("parked_at") is not None for row in rows),
        )
