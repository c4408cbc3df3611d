"""Parts of queries that several collections share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from speechaid.model.reading import Document, instant, mapping, sequence, text


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


def stale_entries(document: Document, owner: str, before: datetime) -> list[StaleEntry]:
    """The entries of ``open_dials`` made before that time."""
    found = []
    for entry in map(mapping, sequence(document.get("open_dials"))):
        key, at = text(entry.get("key")), instant(entry.get("at"))
        if key is not None and at is not None and at < before:
            found.append(StaleEntry(owner=owner, key=key, at=at, job_id=text(entry.get("job_id"))))
    return found


def is_countable(value: object) -> bool:
    """Whether the database can increment this value: a number, not text or null."""
    return not isinstance(value, bool) and (isinstance(value, int | float) or hasattr(value, "to_decimal"))
