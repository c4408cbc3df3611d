"""A collection page by page, in the order of ``_id``: for exports, which are not held as a whole.

One cursor is kept from the first page to the last: a find for each would have the database sort everything
anew each time. Nothing is lost with it, since each page can be found by the place where the one before ended.
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

#: What an ``_id`` may be, in the database's order of kinds; it compares within one of these alone.
_KINDS: Final = ("number", "string", "objectId")
#: How each is read back from its text.
_READ: Final[tuple[Callable[[str], Any], ...]] = (float, str, ObjectId)
_ORDER: Final = (("_id", 1),)

#: Cursors kept at most; the one left alone for longest goes first. The database forgets them in time, too.
KEPT_AT_MOST: Final = 4


class Pages:
    """Reads collections page by page; for one thread."""

    def __init__(self) -> None:
        #: By what is read and the place that the cursor has come to, those used last at the end.
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
        """The next documents, and the place behind them; None where there are no more.

        Args:
            table: the collection.
            query: which documents.
            after: a place that an earlier page named; None begins.
            limit: at most so many.
            fields: of each, beside ``_id``; None is all.

        Raises:
            ValueError: ``after`` is no such place.
        """
        wanted = {**query, "$and": [*query.get("$and", ()), _behind(after)]}
        # Taken out: two who read the same never share a cursor.
        cursor = None if after is None else self._cursors.pop((table.name, str(query), after), None)
        cursor = cursor or table.stream(wanted, sort=_ORDER, fields=fields)
        try:
            found = list(islice(cursor, limit))
        except StoreError:
            # The cursor is gone with its server, or there is none to be had: the place alone will do.
            found = table.find(wanted, sort=_ORDER, limit=limit, fields=fields)
            return found, _place(found, limit)
        following = _place(found, limit)
        if following is not None:
            self._keep((table.name, str(query), following), cursor)
        return found, following

    def _keep(self, key: tuple[str, str, str], cursor: Generator[Document]) -> None:
        gone = [self._cursors.pop(key)] if key in self._cursors else []
        self._cursors[key] = cursor
        while len(self._cursors) > KEPT_AT_MOST:
            gone.append(self._cursors.pop(next(iter(self._cursors))))
        for old in gone:
            with contextlib.suppress(StoreError):  # the database forgets it by itself
                old.close()


def _place(found: Sequence[Document], limit: int) -> str | None:
    if len(found) < limit:
        return None
    last = found[-1]["_id"]
    kind = 2 if isinstance(last, ObjectId) else 1 if isinstance(last, str) else 0
    return f"{kind}:{last}"


def _behind(after: str | None) -> Document:
    """Which documents come behind a place."""
    if after is None:
        return {"_id": {"$type": list(_KINDS)}}
    word, _, value = after.partition(":")
    if word not in {"0", "1", "2"}:
        raise ValueError(f"{after!r} is no place that an earlier page named")
    kind = int(word)
    try:
        rest: Document = {"_id": {"$gt": _READ[kind](value)}}
    except (ValueError, InvalidId) as exc:
        raise ValueError(f"{after!r} is no place that an earlier page named") from exc
    later = list(_KINDS[kind + 1 :])
    return {"$or": [rest, {"_id": {"$type": later}}]} if later else rest
