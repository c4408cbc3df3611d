"""Parts of queries that several collections share."""

from __future__ import annotations

from datetime import datetime

from speechaid.model.reading import Document, instant, mapping, sequence, text


def begins(field: str, prefix: str) -> Document:
    """The query for values with a prefix: an index range instead of a pattern, so nothing needs escaping."""
    return {field: {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}


def keys_before(document: Document, before: datetime) -> list[str]:
    """Keys of the entries of ``open_dials`` made before that time."""
    entries = [mapping(entry) for entry in sequence(document.get("open_dials"))]
    stamped = [(text(entry.get("key")), instant(entry.get("at"))) for entry in entries]
    return [key for key, at in stamped if key is not None and at is not None and at < before]


def is_countable(value: object) -> bool:
    """Whether the database can increment this value: a number, not text or null."""
    return not isinstance(value, bool) and (isinstance(value, int | float) or hasattr(value, "to_decimal"))
