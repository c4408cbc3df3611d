"""The do-not-call list: numbers that are never dialled, in E.164.

A number is looked up in every form that leads to its line (``rules.numbers.all_spellings``), so that it
does not matter under which one it was listed, nor by which version. It is listed under each form that a call
can be placed with, since daemons of earlier versions look up nothing but the number that they dial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model.reading import Document
from speechaid.rules.numbers import all_spellings, dialled_spellings, line_identity
from speechaid.store.table import Table

#: The embedded database compares each entry that it finds with the whole query.
FORMS_PER_QUERY = 60
#: On an entry that was added because it is another spelling of this number.
SPELLING_OF = "spelling_of"


class DoNotCallList:
    """The list; ``_id`` is the number."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def add(self, number: str, *, source: str, job_id: str | None = None) -> None:
        """Add a number, in each form that it can be dialled in; an existing entry stays as it is."""
        for entry in _entries(number, {"source": source, "job_id": job_id, "at": self._now()}):
            self.table.update({"_id": entry.pop("_id")}, {"$setOnInsert": entry}, upsert=True)

    def add_many(self, numbers: Sequence[str], *, source: str) -> int:
        """Add many numbers; return how many lines were new."""
        of_line = {line_identity(number): number for number in reversed(numbers)}
        wanted = list(of_line.values())
        shared = {"source": source, "at": self._now()}
        entries = [entry for number in wanted for entry in _entries(number, shared)]
        existing = self._ids([entry["_id"] for entry in entries])
        missing = [entry for entry in entries if entry["_id"] not in existing]
        try:
            if missing:
                self.table.insert_many(missing)
        except StoreUnavailable:
            raise
        except StoreError:  # another process added one of them meanwhile
            for number in wanted:
                self.add(number, source=source)
        return len(wanted) - len(numbers_of(wanted, existing))

    def entry(self, number: str) -> Document | None:
        """Find a number's entry (``source``, ``job_id``, ``at``), the oldest where spellings have several."""
        found = self.table.find({"_id": {"$in": list(all_spellings(number))}})
        return min(found, key=lambda entry: (SPELLING_OF in entry, str(entry.get("at"))), default=None)

    def size(self) -> int:
        """How many numbers are listed."""
        return self.table.count({SPELLING_OF: None})

    def listed(self, numbers: Iterable[str]) -> frozenset[str]:
        """Those of the numbers whose line is on the list, in whatever form."""
        wanted = frozenset(numbers)
        return numbers_of(wanted, self._ids(searched_forms(wanted)))

    def _ids(self, forms: Sequence[str]) -> set[object]:
        """Those of the forms that have an entry."""
        portions = (forms[first : first + FORMS_PER_QUERY] for first in range(0, len(forms), FORMS_PER_QUERY))
        queries: Iterator[Document] = ({"_id": {"$in": portion}} for portion in portions)
        return {row["_id"] for query in queries for row in self.table.find(query, fields=("_id",))}

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

    def mark_read(self, form: Any, numbers: Sequence[str]) -> None:
        """Note on the entry of such a form under which numbers it is listed now."""
        self.table.update({"_id": form}, {"$set": {"read_as": list(numbers)}})

    def remove(self, number: str) -> bool:
        """Remove a number, in all its forms; return whether it was listed."""
        return self.table.delete({"_id": {"$in": list(all_spellings(number))}}) > 0


def searched_forms(numbers: Iterable[str]) -> list[str]:
    """Every form under which one of these numbers may be listed, in order."""
    return sorted({form for number in numbers for form in all_spellings(number)})


def numbers_of(numbers: Iterable[str], entries: Iterable[object]) -> frozenset[str]:
    """Those of the numbers that one of the list's entries, given by ``_id``, leads to."""
    lines = {line_identity(str(entry)) for entry in entries}
    return frozenset(number for number in numbers if line_identity(number) in lines)


def _entries(number: str, fields: Document) -> list[Document]:
    """The entry of a number, and one for each other form that it can be dialled in."""
    others = (form for form in dialled_spellings(number) if form != number)
    return [{"_id": number, **fields}, *({"_id": form, **fields, SPELLING_OF: number} for form in others)]
