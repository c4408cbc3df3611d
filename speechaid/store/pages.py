"""Read a collection page by page, in the order of ``_id``: for exports, which are not held in memory whole.

One cursor is kept from the first page to the last: with a query per page, the database would sort everything
each time. Losing it loses no data, since each page can be found by the position where the last one ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import Any, Final

from bson import ObjectId
from bson.errors import InvalidId

from speechaid.errors import StoreError
from speechaid.model.reading import Document
from speechaid.store.table import Table

#: Types of ``_id``, in the database's order of types; a comparison stays within one type.
_KINDS: Final = ("number", "string", "objectId")
#: How each is parsed from text.
_READ: Final[tuple[Callable[[str], Any], ...]] = (float, str, ObjectId)
_ORDER: Final = (("_id", 1),)

#: Cursors kept at most; the least recently used is closed first. The database drops idle cursors, too.
MAX_CURSORS: Final = 4


class Pages:
    """Reads collections page by page; for one thread."""

    def __init__(self) -> None:
        #: By collection, query and position of the cursor, the most recently used last.
        self._cursors: dict[tuple[str, str, str], Generator[Document]] = {}

    def __len__(self) -> int:
        return len(self._cursors)

    def page(
        self,
        table: Table,
        query: Document,
        *,
        after: str | None,
        limit: int,
        fields: Sequence[str] | None = None,
    ) -> tuple[list[Document], str | None]:
        """Read the next documents; return them and the position after them, None at the end.

        Args:
            table: the collection.
            query: which documents.
            after: the position of an earlier page; None: from the start.
            limit: at most this many.
            fields: of each, beside ``_id``; None is all.

        Raises:
            ValueError: ``after`` is not a position.
        """
        wanted = _following(query, after)
        # Removed meanwhile: two readers of the same query never share a cursor.
        cursor = None if after is None else self._cursors.pop((table.name, str(query), after), None)
        cursor = cursor or table.stream(wanted, sort=_ORDER, fields=fields)
        try:
            found = list(islice(cursor, limit))
        except StoreError:
            # The cursor is lost, or none could be opened: the position is enough.
            return read_page(table, query, after=after, limit=limit, fields=fields)
        following = _position(found, limit)
        if following is not None:
            self._keep((table.name, str(query), following), cursor)
        return found, following

    def _keep(self, key: tuple[str, str, str], cursor: Generator[Document]) -> None:
        dropped = [self._cursors.pop(key)] if key in self._cursors else []
        self._cursors[key] = cursor
        while len(self._cursors) > MAX_CURSORS:
            dropped.append(self._cursors.pop(next(iter(self._cursors))))
        for old in dropped:
            with contextlib.suppress(StoreError):  # the database drops it in time
                old.close()


def read_page(
    table: Table,
    query: Document,
    *,
    after: str | None,
    limit: int,
    fields: Sequence[str] | None = None,
) -> tuple[list[Document], str | None]:
    """As ``Pages.page``, by one query and without a cursor: for a list of which few pages are read.

    Raises:
        ValueError: ``after`` is not a position.
    """
    wanted = query if after is None else _following(query, after)
    found = table.find(wanted, sort=_ORDER, limit=limit, fields=fields)
    return found, _position(found, limit)


def _following(query: Document, after: str | None) -> Document:
    return {**query, "$and": [*query.get("$and", ()), _after(after)]}


def _position(found: Sequence[Document], limit: int) -> str | None:
    if len(found) < limit:
        return None
    last = found[-1]["_id"]
    kind = 2 if isinstance(last, ObjectId) else 1 if isinstance(last, str) else 0
    return f"{kind}:{last}"


def _after(after: str | None) -> Document:
    """The query for the documents after a position."""
    if after is None:
        return {"_id": {"$type": list(_KINDS)}}
    word, _, value = after.partition(":")
    if word not in {"0", "1", "2"}:
        raise ValueError(f"{after!r} is not a position of an earlier page")
    kind = int(word)
    try:
        rest: Document = {"_id": {"$gt": _READ[kind](value)}}
    except (ValueError, InvalidId) as exc:
        raise ValueError(f"{after!r} is not a position of an earlier page") from exc
    later = list(_KINDS[kind + 1 :])
    return {"$or": [rest, {"_id": {"$type": later}}]} if later else rest
