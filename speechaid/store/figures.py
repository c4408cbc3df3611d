"""Questions whose answers are counted for metrics and alerts: what an index holds, or bounded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from speechaid.model.reading import Document, instant, text
from speechaid.model.states import JobStatus
from speechaid.store.table import Table

#: Jobs that are looked at one by one: a fleet has no more of them in hand.
AT_MOST = 2000


@dataclass(frozen=True, kw_only=True)
class Due:
    """The due jobs of one batch (None: those without one)."""

    batch_id: str | None
    jobs: int
    #: When the first of those with a time became due; None where none has one.
    since: datetime | None


@dataclass(frozen=True, kw_only=True)
class Lapsed:
    """Jobs in progress whose lease has run out."""

    jobs: int
    #: When the oldest of those leases ran out; None where no lease stands there.
    since: datetime | None


class Figures:
    """The jobs collection as those see it who count."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def due(self) -> list[Due]:
        """Pending jobs whose time has come, by batch."""
        found: dict[str | None, Due] = {}
        # Two ranges of one index instead of a disjunction: never reserved, then due by now.
        for range_ in (None, {"$lte": self._now()}):
            rows = self.table.aggregate(
                [
                    {"$match": {"status": JobStatus.PENDING, "reserved_until": range_}},
                    {
                        "$group": {
                            "_id": "$batch_id",
                            "jobs": {"$sum": 1},
                            "since": {"$min": "$reserved_until"},
                        }
                    },
                ]
            )
            for row in rows:
                batch_id = text(row["_id"])
                before = found.get(batch_id)
                found[batch_id] = Due(
                    batch_id=batch_id,
                    jobs=int(row["jobs"]) + (before.jobs if before else 0),
                    since=instant(row.get("since")),
                )
        return list(found.values())

    def waiting_since(self, batch_ids: Collection[str | None]) -> datetime | None:
        """When one of the first jobs that never had a time was created; None where there is none."""
        query: Document = {
            "status": JobStatus.PENDING,
            "batch_id": {"$in": list(batch_ids)},
            "reserved_until": None,
        }
        row = self.table.find_one(query, fields=("created_at",))
        return None if row is None else instant(row.get("created_at"))

    def lapsed(self) -> Lapsed:
        """Jobs in progress whose lease has run out, or that never had one."""
        held: Document = {"status": JobStatus.IN_PROGRESS}
        rows = self.table.find(
            {**held, "reserved_until": {"$lt": self._now()}},
            sort=[("reserved_until", 1)],
            limit=AT_MOST,
            fields=("reserved_until",),
        )
        without = self.table.find({**held, "reserved_until": None}, limit=AT_MOST, fields=("_id",))
        since = next((instant(row.get("reserved_until")) for row in rows), None)
        return Lapsed(jobs=len(rows) + len(without), since=since)

    def parked(self) -> int:
        """Calls whose end Retell does not confirm."""
        query: Document = {"dial.number": {"$exists": True}, "dial.parked_at": {"$ne": None}}
        return len(self.table.find(query, limit=AT_MOST, fields=("_id",)))
