"""The do-not-call list: numbers that are never dialled, in E.164."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model.reading import Document
from speechaid.store.table import Table


class DoNotCallList:
    """The list; ``_id`` is the number."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def add(self, number: str, *, source: str, job_id: str | None = None) -> None:
        """Add a number; an existing entry stays as it is."""
        entry = {"source": source, "job_id": job_id, "at": self._now()}
        self.table.update({"_id": number}, {"$setOnInsert": entry}, upsert=True)

    def add_many(self, numbers: Sequence[str], *, source: str) -> int:
        """Add many numbers; return how many were new."""
        known = self.listed(numbers)
        fresh = [number for number in dict.fromkeys(numbers) if number not in known]
        entry = {"source": source, "at": self._now()}
        try:
            if fresh:
                self.table.insert_many([{"_id": number, **entry} for number in fresh])
        except StoreUnavailable:
            raise
        except StoreError:  # another process added one of them meanwhile
            for number in fresh:
                self.add(number, source=source)
        return len(fresh)

    def entry(self, number: str) -> Document | None:
        """Find a number's entry (``source``, ``job_id``, ``at``); None where it is not listed."""
        return self.table.find_one({"_id": number})

    def size(self) -> int:
        """How many numbers are listed."""
        return self.table.count({})

    def listed(self, numbers: Iterable[str]) -> frozenset[str]:
        """Those of the numbers that are on the list."""
        wanted = sorted(set(numbers))
        if not wanted:
            return frozenset()
        return frozenset(
            str(row["_id"]) for row in self.table.find({"_id": {"$in": wanted}}, fields=("_id",))
        )

    def other_forms(self, limit: int) -> list[Document]:
        """Find entries whose ``_id`` no dial compares with, since it does not begin with a plus.

        Those that were read before (``mark_read``) are left out.
        """
        others = [{"$type": ["int", "long", "double", "decimal"]}, {"$lt": "+"}, {"$gte": ","}]
        found: list[Document] = []
        for other in others:
            query = {"_id": other, "read_as": {"$exists": False}}
            found += self.table.find(query, limit=limit - len(found)) if len(found) < limit else []
        return found

    def mark_read(self, entry: Document, numbers: Sequence[str]) -> None:
        """Note on such an entry under which numbers it is listed now."""
        self.table.update({"_id": entry["_id"]}, {"$set": {"read_as": list(numbers)}})

    def remove(self, number: str) -> bool:
        """Remove a number; return whether it was listed."""
        return self.table.delete({"_id": number}) > 0
