"""The do-not-call list: numbers that are never dialled, in E.164.

A number is looked up in every form that leads to its line (``rules.numbers.all_spellings``), so that it
does not matter under which one it was listed, nor by which version. It is listed under each form that a call
can be placed with, since daemons of earlier versions look up nothing but the number that they dial.

A person is listed by national id, for one account or for all (``person_forms``): then no number of the
person's jobs is dialled. The entry lists the numbers that came onto the list with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model.reading import Document
from speechaid.rules.numbers import all_spellings, dialled_spellings, line_identity
from speechaid.store.ranges import begins
from speechaid.store.table import Table

#: The embedded database compares each entry that it finds with the whole query; but most numbers are not
#: listed, and an import asks for tens of thousands.
FORMS_PER_QUERY = 500
#: On an entry that was added because it is another spelling of this number.
SPELLING_OF = "spelling_of"
#: On an entry that is a person: the key of the id (``campaign.people.id_key``).
PERSON = "person"
#: On a number: whether it is listed for itself, and not only through people; missing: an earlier version's.
FOR_ITSELF = "for_itself"
#: On a number: the entries of the people through whom it is listed.
PEOPLE = "people"
#: In the place of an account: every account.
ANY_ACCOUNT = "*"


class DoNotCallList:
    """The list; ``_id`` is the number."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def add(self, number: str, *, source: str, job_id: str | None = None) -> None:
        """Add a number, in each form that it can be dialled in; an existing one is for itself now, too."""
        for entry in _entries(number, {"source": source, "job_id": job_id, "at": self._now()}):
            change = {"$setOnInsert": entry, "$set": {FOR_ITSELF: True}}
            self.table.update({"_id": entry.pop("_id")}, change, upsert=True)

    def add_many(self, numbers: Sequence[str], *, source: str) -> int:
        """Add many numbers; return how many lines were new."""
        of_line = {line_identity(number): number for number in reversed(numbers)}
        wanted = list(of_line.values())
        shared = {"source": source, "at": self._now(), FOR_ITSELF: True}
        entries = [entry for number in wanted for entry in _entries(number, shared)]
        existing = self._ids([entry["_id"] for entry in entries])
        for query in _portions([entry["_id"] for entry in entries]):
            self.table.update_many(query, {"$set": {FOR_ITSELF: True}})
        # Read again: one that was listed through a person may be gone since.
        marked = self._ids([entry["_id"] for entry in entries], {FOR_ITSELF: True})
        missing = [entry for entry in entries if entry["_id"] not in marked]
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
        return min(found, key=_age_of_entry, default=None)

    def entries_of_lines(self, numbers: Iterable[str]) -> dict[str, Document]:
        """Find the entries of numbers, by line; the oldest where spellings of one have several."""
        found: dict[str, Document] = {}
        for query in _portions(searched_forms(numbers)):
            for entry in sorted(self.table.find(query), key=_age_of_entry, reverse=True):
                found[line_identity(str(entry["_id"]))] = entry
        return found

    def size(self) -> int:
        """How many numbers are listed."""
        return self.table.count({SPELLING_OF: None, PERSON: None})

    # -- people ------------------------------------------------------------------------------------------

    def add_person(self, account: str | None, id_key: str, *, source: str, job_id: str | None = None) -> bool:
        """Add a person; an existing entry stays as it is. Whether it is new.

        Args:
            account: the account's id, ``ANY_ACCOUNT``, or None: jobs without an account.
            id_key: of the national id.
            source: who listed the person, and why.
            job_id: the job at whose call's end it was asked for.
        """
        name = _person_entry(account, id_key)
        known = self.table.find_one({"_id": name}, fields=("_id",)) is not None
        entry = {PERSON: id_key, "account_id": account, "source": source, "job_id": job_id, "at": self._now()}
        # As of an entry whose form is read already: no version takes it for a number, or misses one in it.
        self.table.update({"_id": name}, {"$setOnInsert": {**entry, "read_as": [PERSON]}}, upsert=True)
        return not known

    def add_numbers_of_person(
        self, account: str | None, id_key: str, numbers: Sequence[str], *, source: str
    ) -> None:
        """List the numbers of a listed person; each is noted on the person first, then the person on it.

        Those that were listed before are noted apart (``shared``): they stay when the person is taken off,
        unless they are listed through nobody else and not for themselves.
        """
        person, listed = _person_entry(account, id_key), self.listed(numbers)
        for number in numbers:
            if number in listed:
                known = {"_id": person, "numbers": {"$ne": number}}
                self.table.update(known, {"$addToSet": {"shared": number}})
            else:
                self.table.update({"_id": person}, {"$addToSet": {"numbers": number}})
            for entry in _entries(number, {"source": source, "job_id": None, "at": self._now()}):
                form = {"_id": entry.pop("_id")}
                change = {"$setOnInsert": {**entry, FOR_ITSELF: False}, "$addToSet": {PEOPLE: person}}
                self.table.update(form, change, upsert=True)

    def release(self, number: str, people: Sequence[str], *, came_with: bool) -> Document | None:
        """Take people off a number, which is deleted where nobody else holds it and nothing else lists it.

        Args:
            number: in E.164.
            people: their entries.
            came_with: it is among the ``numbers`` of one: an earlier version's entry is theirs.

        Returns:
            An entry that stays; None where the number is not listed any more.
        """
        forms = list(all_spellings(number))
        entries: Document = {"_id": {"$in": forms}}
        if came_with:
            naming = {**begins("_id", "person:"), "numbers": {"$in": forms}}
            others = [row["_id"] for row in self.table.find(naming) if row["_id"] not in people]
            change = {"$set": {FOR_ITSELF: False}, "$addToSet": {PEOPLE: {"$each": others}}}
            self.table.update_many({**entries, FOR_ITSELF: {"$exists": False}}, change)
        self.table.update_many(
            {**entries, PEOPLE: {"$in": list(people)}}, {"$pull": {PEOPLE: {"$in": list(people)}}}
        )
        self.table.delete({**entries, FOR_ITSELF: False, f"{PEOPLE}.0": {"$exists": False}})
        return min(self.table.find(entries), key=_stays_longest, default=None)

    def people_entries(self, id_key: str, account: str | None = None) -> list[Document]:
        """Find the entries of a person: of this account and of all, the oldest first.

        Args:
            id_key: of the national id.
            account: the account's id; None: any.
        """
        query: Document = begins("_id", _person_entry("", id_key))
        if account is not None:
            query = {"_id": {"$in": person_forms(account, id_key)}}
        return sorted(self.table.find(query), key=_age_of_entry)

    def listed_people(self, forms: Sequence[str]) -> frozenset[str]:
        """Those of the people, given by ``person_forms``, who are listed."""
        # Most lists have no person, and an import asks for thousands.
        if len(forms) > FORMS_PER_QUERY and not self.table.find(begins("_id", "person:"), limit=1):
            return frozenset()
        return frozenset(map(str, self._ids(forms)))

    def remove_person(self, entry: Document) -> bool:
        """Remove a person's entry; the numbers that came with it are removed before. Whether it was there."""
        return self.table.delete({"_id": entry["_id"]}) > 0

    def people_size(self) -> int:
        """How many people are listed."""
        return self.table.count({PERSON: {"$exists": True}})

    # -- entries of other forms --------------------------------------------------------------------------

    def listed(self, numbers: Iterable[str]) -> frozenset[str]:
        """Those of the numbers whose line is on the list, in whatever form."""
        wanted = frozenset(numbers)
        return numbers_of(wanted, self._ids(searched_forms(wanted)))

    def listed_lines(self, lines: Sequence[str]) -> frozenset[str]:
        """Those of the lines (``rules.numbers.line_identity``) that are listed, for counts of thousands.

        An entry that version 0.1 wrote in another form is not found: ``listed`` decides about calls.
        """
        return frozenset(map(str, self._ids(lines)))

    def _ids(self, forms: Sequence[str], such: Mapping[str, object] | None = None) -> set[object]:
        """Those of the forms that have an entry; ``such``: one with these fields."""
        queries = [{**query, **(such or {})} for query in _portions(forms)]
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
        """Remove a number, in all its forms, and from its people; return whether it was listed."""
        forms = {"$in": list(all_spellings(number))}
        for name in ("numbers", "shared"):
            self.table.update_many({**begins("_id", "person:"), name: forms}, {"$pull": {name: forms}})
        return self.table.delete({"_id": forms}) > 0


def person_forms(account: str | None, id_key: str | None) -> list[str]:
    """Every entry by which a person of this account may be listed; none for a person without an id.

    Args:
        account: the account's id; None: jobs without an account.
        id_key: of the national id; None: there is none.
    """
    if id_key is None:
        return []
    return list(dict.fromkeys((_person_entry(account, id_key), _person_entry(ANY_ACCOUNT, id_key))))


def _person_entry(account: str | None, id_key: str) -> str:
    return f"person:{id_key}:{account or ''}"


def _age_of_entry(entry: Document) -> tuple[bool, str]:
    return SPELLING_OF in entry, str(entry.get("at"))


def _stays_longest(entry: Document) -> bool:
    return entry.get(FOR_ITSELF) is False


def _portions(forms: Sequence[str]) -> Iterator[Document]:
    """Queries for entries of these forms."""
    for first in range(0, len(forms), FORMS_PER_QUERY):
        yield {"_id": {"$in": list(forms[first : first + FORMS_PER_QUERY])}}


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
