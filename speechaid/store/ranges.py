"""Parts of queries that several collections share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from speechaid.model.reading import Document, instant, mapping, number, sequence, text
from speechaid.protocol.money import exact_amount

#: A fifth of what would change the last decimal that is read.
_MOST_RESIDUE: Final = 1e-7


def begins(field: str, prefix: str) -> Document:
    """The query for values with a prefix: an index range instead of a pattern, so nothing needs escaping."""
    return {field: {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}


@dataclass(frozen=True, kw_only=True)
class StaleEntry:
    """A reservation entry that is older than it should be."""

    #: The account or the batch that holds it.
    owner: str
    key: str
    at: datetime
    #: None in entries of earlier versions.
    job_id: str | None
    #: In an account's entry: the dial's batch, where that has no entry of its own.
    batch_id: str | None = None


def stale_entries(document: Document, owner: str, before: datetime) -> list[StaleEntry]:
    """The entries of ``open_dials`` made before that time."""
    found = []
    for entry in map(mapping, sequence(document.get("open_dials"))):
        key, at = text(entry.get("key")), instant(entry.get("at"))
        if key is not None and at is not None and at < before:
            job_id, batch_id = text(entry.get("job_id")), text(entry.get("batch_id"))
            found.append(StaleEntry(owner=owner, key=key, at=at, job_id=job_id, batch_id=batch_id))
    return found


def is_countable(value: object) -> bool:
    """Whether the database can increment this value: a number, not text or null."""
    return not isinstance(value, bool) and (isinstance(value, int | float) or hasattr(value, "to_decimal"))


def without_residue(value: object) -> float | None:
    """What to store in the place of a sum before the next amount is added to it; None: as it is.

    A sum that SpeechAI stored as text or null becomes a number. Of one that has gathered more binary residue
    than reading takes off safely (``protocol.money.exact_amount`` rounds to ``PLACES``), it is taken away.
    """
    if not is_countable(value):
        return number(value) or 0.0
    amount = number(value) or 0.0
    rounded = float(exact_amount(amount))
    return rounded if abs(amount - rounded) > _MOST_RESIDUE else None
