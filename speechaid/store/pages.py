"""A collection page by page, in the order of ``_id``: for exports, which hold neither all nor a cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from bson import ObjectId
from bson.errors import InvalidId

from speechaid.model.reading import Document
from speechaid.store.table import Table

#: What an ``_id`` may be, one after the other: the database compares within one of these alone.
_KINDS: Final = ("number", "string", "objectId")
#: How each is read back from its text.
_READ: Final[tuple[Callable[[str], Any], ...]] = (float, str, ObjectId)


def page(
    table: Table, query: Document, *, after: str | None, limit: int, fields: Sequence[str] | None = None
) -> tuple[list[Document], str | None]:
    """The next documents, and the place behind them; None where there are no more.

    Args:
        table: the collection.
        query: which documents.
        after: a place that an earlier page named; None begins.
        limit: at most so many.
        fields: of each; None is all.

    Raises:
        ValueError: ``after`` is no such place.
    """
    kind, last = _place(after)
    found: list[Document] = []
    while kind < len(_KINDS):
        wanted: Document = {"$type": _KINDS[kind]}
        if last is not None:
            wanted["$gt"] = last
        rows = table.find(
            {**query, "_id": wanted}, sort=[("_id", 1)], limit=limit - len(found), fields=fields
        )
        found += rows
        if len(found) == limit:
            return found, f"{kind}:{found[-1]['_id']}"
        kind, last = kind + 1, None
    return found, None


def _place(after: str | None) -> tuple[int, Any]:
    if after is None:
        return 0, None
    word, _, value = after.partition(":")
    if word not in {"0", "1", "2"}:
        raise ValueError(f"{after!r} is no place that an earlier page named")
    try:
        return int(word), _READ[int(word)](value)
    except (ValueError, InvalidId) as exc:
        raise ValueError(f"{after!r} is no place that an earlier page named") from exc
