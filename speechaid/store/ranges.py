"""Queries that several collections ask in the same way."""

from __future__ import annotations

from speechaid.model.reading import Document


def begins(field: str, prefix: str) -> Document:
    """Values that begin so: an index range instead of a pattern, so nothing needs escaping."""
    return {field: {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}
