"""Whose turn it is: by priority, and within one priority in fair rotation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_EVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class EligibleBatch:
    """A batch that has due jobs and may be called."""

    #: None stands for the jobs without a batch.
    batch_id: str | None
    priority: int
    #: Since when its longest due job is due; None where no job says: due since ever.
    first_due: datetime | None


def order(turns: Iterable[EligibleBatch], last_served: Mapping[str | None, int]) -> list[EligibleBatch]:
    """The batches in the order in which to claim from them.

    A higher priority goes first, always. Within a priority the batch whose last turn is longest past goes
    first, one that never had a turn before all others: however many jobs a batch has, it waits one round. The
    longest due goes first among equals.

    Args:
        turns: in any order.
        last_served: for each batch that had a turn a number that grows with every turn.
    """
    return sorted(
        turns,
        key=lambda turn: (
            -turn.priority,
            last_served.get(turn.batch_id, -1),
            turn.first_due or _EVER,
            turn.batch_id or "",
        ),
    )
