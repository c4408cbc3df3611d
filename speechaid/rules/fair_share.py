"""The order in which batches are served: by priority, then round-robin. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

#: In the place of the number of a batch that was never served.
NEVER_SERVED: Final = -1
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class EligibleBatch:
    """A batch that has due jobs and may be called."""

    #: None: the jobs without a batch.
    batch_id: str | None
    priority: int
    #: Since when its longest due job is due; None: no job has a scheduled time, so it sorts as longest due.
    first_due: datetime | None


def order(batches: Iterable[EligibleBatch], last_served: Mapping[str | None, int]) -> list[EligibleBatch]:
    """Sort the batches into the order in which to claim from them.

    A higher priority always comes first. Within a priority the least recently served batch comes first, a
    batch never served before all others: a batch waits one round, however many jobs it has. Ties go to the
    longest due.

    Args:
        batches: in any order.
        last_served: by batch id, a number that grows with every claim; absent: never served.
    """
    return sorted(batches, key=lambda batch: rank_of(batch, last_served.get(batch.batch_id, NEVER_SERVED)))


def rank_of(batch: EligibleBatch, last_served: int) -> tuple[int, int, datetime, str]:
    """The place of a batch in that order: the lowest comes first."""
    return -batch.priority, last_served, batch.first_due or _EARLIEST, batch.batch_id or ""
