"""As much of MongoDB as the store asks for, in memory: for days simulated in seconds.

Only what stands behind pymongo's collection is played; the store, its tables and everything above are real.
Jobs are found by status and batch without a scan. An operator that is not known here raises. It runs the
store's contract (``tests.integration.contract``), whose ``known_gaps`` list what it does without.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from bson import Code, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError

Document = dict[str, Any]
_MISSING = object()


class Place:
    """Rows of one status and one batch in the order in which they are due: none is first."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[int, Any], int, Document]] = []

    def add(self, serial: int, row: Document) -> None:
        insort(self._entries, (_due(row), serial, row), key=lambda entry: entry[:2])

    def drop(self, serial: int, row: Document) -> None:
        place = bisect_left(self._entries, (_due(row), serial), key=lambda entry: entry[:2])
        del self._entries[place]

    def __iter__(self) -> Iterator[Document]:
        return (row for _, _, row in self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class MemoryCursor:
    """A find in the making."""

    def __init__(
        self, rows: Iterable[Document], query: Document, fields: Sequence[str] | None, limit: int
    ) -> None:
        self._rows, self._query, self._fields, self._limit = rows, query, fields, limit

    def sort(self, keys: Sequence[tuple[str, int]]) -> MemoryCursor:
        if not (isinstance(self._rows, Place) and [name for name, _ in keys] == ["reserved_until"]):
            rows = list(filter(_matcher(self._query), self._rows))
            for name, direction in reversed(keys):
                rows.sort(key=lambda row: _order(_first(row, name)), reverse=direction < 0)
            self._rows = rows
        return self

    def clone(self) -> MemoryCursor:
        return self

    def hint(self, _: object) -> MemoryCursor:
        return self

    def rows(self) -> Iterator[Document]:
        """The rows themselves, no more than are asked for."""
        found = 0
        due = self._query.get("reserved_until", _MISSING) if isinstance(self._rows, Place) else _MISSING
        matches = _matcher(self._query)
        for row in self._rows:
            if matches(row):
                yield row
                found += 1
                if found == self._limit:
                    return
            elif due is None and row.get("reserved_until") is not None:
                return  # what follows is due at some time, too
            elif isinstance(due, dict) and "$lte" in due and _due(row) > _order(due["$lte"]):
                return

    def __iter__(self) -> Iterator[Document]:
        return (_projected(row, self._fields) for row in self.rows())


class MemoryCollection:
    """One collection."""

    def __init__(self, name: str, beside: Callable[[str], MemoryCollection] | None = None) -> None:
        self.name = name
        #: No operation is bounded here, so the client is not asked anything.
        self.database = SimpleNamespace(client=None)
        self._beside = beside or MemoryCollection
        self.rows: dict[Any, Document] = {}
        #: By status and batch.
        self.places: dict[tuple[Any, Any], Place] = defaultdict(Place)
        self._serials: dict[Any, int] = {}
        #: Each index's keys, by its name.
        self._indexes: dict[str, list[tuple[str, int]]] = {}
        self._unique_names: set[str] = set()
        #: Of each field that no two documents may have the same value of: whose each value is.
        self._unique: dict[str, dict[Any, Any]] = {}

    # -- reading -----------------------------------------------------------------------------------------

    def find(
        self, query: Document, projection: dict[str, int] | None = None, *, limit: int = 0, **_: object
    ) -> MemoryCursor:
        rows = self._candidates(query)
        return MemoryCursor(rows, query, list(projection) if projection else None, limit)

    def find_one(self, query: Document, projection: dict[str, int] | None = None) -> Document | None:
        return next(iter(self.find(query, projection, limit=1)), None)

    def distinct(self, field: str) -> list[Any]:
        return list({value for row in self.rows.values() for value in _values(row, field)})

    def count_documents(self, query: Document) -> int:
        return len(self._matching(query))

    def aggregate(self, pipeline: Sequence[Document], **_: object) -> list[Document]:
        verbs = [next(iter(stage)) for stage in pipeline]
        if verbs == ["$match", "$sort", "$group"] and isinstance(pipeline[0]["$match"].get("batch_id"), dict):
            return self._first_due(pipeline[0]["$match"])
        rows: list[Document] = list(self.rows.values())
        for place, stage in enumerate(pipeline):
            ((verb, what),) = stage.items()
            if verb == "$match":
                rows = self._matching(what) if place == 0 else list(filter(_matcher(what), rows))
            elif verb == "$sort":
                for name, direction in reversed(list(what.items())):
                    rows.sort(key=lambda row: _order(_first(row, name)), reverse=direction < 0)
            elif verb == "$group":
                rows = _grouped(rows, what)
            elif verb == "$project":
                rows = [_reshaped(row, what) for row in rows]
            elif verb == "$sample":
                rows = random.sample(rows, min(what["size"], len(rows)))
            elif verb == "$lookup":
                rows = [row | {what["as"]: self._joined(row, what)} for row in rows]
            else:
                raise NotImplementedError(verb)
        return rows

    def _joined(self, row: Document, how: Document) -> list[Document]:
        wanted = row.get(how["localField"])
        query = {how["foreignField"]: {"$in": wanted if isinstance(wanted, list) else [wanted]}}
        return [_copied(found) for found in self._beside(how["from"])._matching(query)]

    def _first_due(self, match: Document) -> list[Document]:
        """The look at one key for each batch."""
        found = []
        for batch in match["batch_id"]["$in"]:
            row = next(iter(self.places.get((match["status"], batch), ())), None)
            if row is not None:
                found.append({"_id": batch, "first_due_at": row.get("reserved_until")})
        return found

    # -- writing -----------------------------------------------------------------------------------------

    def insert_one(self, document: Document) -> None:
        row = _copied(document)
        row.setdefault("_id", ObjectId())
        if row["_id"] in self.rows:
            raise DuplicateKeyError("E11000 duplicate key", 11000)
        self._check_unique(row)
        self._keep(row)

    def insert_many(self, documents: Iterable[Document], **_: object) -> None:
        """Unordered: what can be inserted is."""
        faults = []
        for document in documents:
            try:
                self.insert_one(document)
            except DuplicateKeyError:
                faults.append({"code": 11000})
        if faults:
            raise BulkWriteError({"writeErrors": faults})

    def update_one(self, query: Document, change: Document, *, upsert: bool = False) -> SimpleNamespace:
        for row in list(MemoryCursor(self._candidates(query), query, None, 1).rows()):
            self._change(row, change)
            return SimpleNamespace(matched_count=1, modified_count=1, upserted_id=None)
        if not upsert:
            return SimpleNamespace(matched_count=0, modified_count=0, upserted_id=None)
        row = {"_id": query["_id"], **change.get("$setOnInsert", {})}
        self.insert_one(row)
        self._change(self.rows[row["_id"]], change)
        return SimpleNamespace(matched_count=0, modified_count=0, upserted_id=row["_id"])

    def update_many(self, query: Document, change: Document) -> SimpleNamespace:
        rows = self._matching(query)
        for row in rows:
            self._change(row, change)
        return SimpleNamespace(modified_count=len(rows))

    def delete_many(self, query: Document) -> SimpleNamespace:
        rows = self._matching(query)
        for row in rows:
            self._drop(row)
        return SimpleNamespace(deleted_count=len(rows))

    def create_index(
        self, keys: list[tuple[str, int]], *, name: str, unique: bool = False, **_: object
    ) -> None:
        """Nothing is found by it; a unique one holds for the documents that have its one field."""
        if any(known == keys and other != name for other, known in self._indexes.items()):
            raise OperationFailure("the same index is there under another name", 85)
        if unique and name not in self._indexes:
            ((path, _direction),) = keys
            values = [value for row in self.rows.values() for value in _values(row, path)]
            if len(set(values)) < len(values):
                raise DuplicateKeyError("E11000 duplicate key", 11000)
            self._unique[path] = {
                value: row["_id"] for row in self.rows.values() for value in _values(row, path)
            }
            self._unique_names.add(name)
        self._indexes[name] = keys

    def drop_index(self, name: str) -> None:
        del self._indexes[name]

    def index_information(self) -> dict[str, Document]:
        return {
            name: {"key": keys, **({"unique": True} if name in self._unique_names else {})}
            for name, keys in self._indexes.items()
        }

    # -- inside ------------------------------------------------------------------------------------------

    def _matching(self, query: Document) -> list[Document]:
        return list(filter(_matcher(query), self._candidates(query)))

    def _candidates(self, query: Document) -> Iterable[Document]:
        """Rows by ``_id``, or by status and batch, where the query names them."""
        wanted = query.get("_id", _MISSING)
        if isinstance(wanted, dict):
            if "$in" in wanted:
                return [self.rows[key] for key in wanted["$in"] if key in self.rows]
        elif wanted is not _MISSING:
            return [self.rows[wanted]] if wanted in self.rows else []
        statuses, batches = _named(query, "status"), _named(query, "batch_id")
        if statuses is None:
            return list(self.rows.values())
        if batches is not None and len(statuses) == len(batches) == 1:
            return self.places[statuses[0], batches[0]]
        places = (
            [(status, batch) for status in statuses for batch in batches]
            if batches is not None
            else [place for place in list(self.places) if place[0] in statuses]
        )
        return [row for place in places for row in self.places.get(place, ())]

    def _check_unique(self, row: Document) -> None:
        for path, holders in self._unique.items():
            for value in _values(row, path):
                if holders.get(value, row["_id"]) != row["_id"]:
                    raise DuplicateKeyError("E11000 duplicate key", 11000)

    def _keep(self, row: Document) -> None:
        self.rows[row["_id"]] = row
        for path, holders in self._unique.items():
            holders.update(dict.fromkeys(_values(row, path), row["_id"]))
        serial = self._serials.setdefault(row["_id"], len(self._serials))
        self.places[row.get("status"), row.get("batch_id")].add(serial, row)

    def _drop(self, row: Document) -> None:
        del self.rows[row["_id"]]
        self.places[row.get("status"), row.get("batch_id")].drop(self._serials[row["_id"]], row)
        for path, holders in self._unique.items():
            for value in _values(row, path):
                del holders[value]

    def _change(self, row: Document, change: Document) -> None:
        """All of the change, or nothing."""
        changed = _copied(row)
        for verb, fields in change.items():
            for path, value in fields.items():
                _CHANGES[verb](changed, path, _copied(value))
        self._check_unique(changed)
        self._drop(row)
        self._keep(changed)


class MemoryMongo:
    """Stands where the client stands."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.collections: dict[str, MemoryCollection] = {}
        self.admin = SimpleNamespace(command=lambda _: {"localTime": now()})

    def get_database(self, _: str, **__: object) -> MemoryMongo:
        return self

    def get_collection(self, name: str) -> MemoryCollection:
        return self.collections.setdefault(name, MemoryCollection(name, self.get_collection))

    def close(self) -> None:
        """Nothing to let go of."""


def _copied(value: Any) -> Any:
    """Documents hold nothing but documents, lists and values that cannot change."""
    if isinstance(value, dict):
        return {
            name: _copied(item) if isinstance(item, dict | list) else item for name, item in value.items()
        }
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _named(query: Document, field: str) -> list[Any] | None:
    value = query.get(field, _MISSING)
    if value is _MISSING:
        return None
    if isinstance(value, dict):
        return list(value["$in"]) if "$in" in value else None
    return [value]


def _values(node: Any, path: str) -> list[Any]:
    """All values at a path, through lists too; none where there is no such field."""
    head, _, rest = path.partition(".")
    if isinstance(node, list):
        found = [value for item in node for value in _values(item, path)]
        if head.isdigit() and int(head) < len(node):
            found += _values(node[int(head)], rest) if rest else [node[int(head)]]
        return found
    if not isinstance(node, dict) or head not in node:
        return []
    return _values(node[head], rest) if rest else [node[head]]


def _first(row: Document, path: str) -> Any:
    return next(iter(_values(row, path)), None)


def _reshaped(row: Document, fields: Document) -> Document:
    """Literals, the whole row, or what stands at a path; a path that leads nowhere is left out."""
    found: Document = {}
    for name, value in fields.items():
        if name == "_id":
            continue
        if value == 1:
            found |= {name: row[name]} if name in row else {}
        elif isinstance(value, dict):
            found[name] = value["$literal"]
        elif value == "$$ROOT":
            found[name] = row
        elif there := _values(row, value.removeprefix("$")):
            found[name] = there[0]
    return {name: _copied(value) for name, value in found.items()}


def _matches(row: Document, query: Document) -> bool:
    return _matcher(query)(row)


def _matcher(query: Document) -> Callable[[Document], bool]:
    """The query made ready once for all the rows that it looks at."""
    tests = [_test(path, wanted) for path, wanted in query.items()]

    def matches(row: Document) -> bool:
        for test in tests:  # noqa: SIM110 - the hottest loop of a simulated week
            if not test(row):
                return False
        return True

    return matches


def _test(path: str, wanted: Any) -> Callable[[Document], bool]:
    if path in {"$and", "$or"}:
        branches = [_matcher(branch) for branch in wanted]
        suffice = all if path == "$and" else any
        return lambda row: suffice(branch(row) for branch in branches)
    if isinstance(wanted, dict) and wanted and all(key.startswith("$") for key in wanted):
        checks = [(_TESTS[verb], what) for verb, what in wanted.items()]
        if "." in path:
            return lambda row: all(check(_values(row, path), what) for check, what in checks)
        return lambda row: all(check([row[path]] if path in row else [], what) for check, what in checks)
    if "." in path:
        return lambda row: _equal(_values(row, path), wanted)
    if wanted is None:
        return lambda row: _equal([row[path]] if path in row else [], None)

    def equals(row: Document) -> bool:
        value = row.get(path, _MISSING)
        if wanted != wanted:  # noqa: PLR0124 - NaN
            return bool(value != value)  # noqa: PLR0124
        return bool(value == wanted) or (isinstance(value, list) and wanted in value)

    return equals


def _equal(values: list[Any], wanted: Any) -> bool:
    if wanted is None:
        return not values or None in values
    if wanted != wanted:  # noqa: PLR0124 - NaN, which the database compares as equal
        return any(value != value for value in values)  # noqa: PLR0124
    return wanted in values or any(isinstance(value, list) and wanted in value for value in values)


def _compared(test: Callable[[Any, Any], bool]) -> Callable[[list[Any], Any], bool]:
    """Within one type alone, as the database compares; all numbers are one."""
    return lambda values, wanted: any(
        _kind(value) == _kind(wanted) and test(_fields(value), _fields(wanted)) for value in values
    )


#: In the database's order, but for bool: it stands before the numbers, since it is an int as well.
_KINDS: tuple[Any, ...] = (type(None), bool, (int, float), str, dict, list, ObjectId, datetime, Timestamp)


#: Each class that was met, and its place in ``_KINDS``.
_KIND_OF: dict[type, int] = {}


def _fields(value: Any) -> Any:
    """Documents are compared field by field, in order."""
    return list(value.items()) if isinstance(value, dict) else value


def _kind(value: Any) -> int:
    cls = type(value)
    if cls not in _KIND_OF:
        places = (place for place, kinds in enumerate(_KINDS) if isinstance(value, kinds))
        _KIND_OF[cls] = next(places, len(_KINDS))
    return _KIND_OF[cls]


#: As queries name them.
_TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "double": float,
    "int": int,
    "long": int,
    "decimal": Decimal128,
    "object": dict,
    "objectId": ObjectId,
    "array": list,
    "binData": bytes,
    "regex": Regex,
    "javascript": Code,
    "javascriptWithScope": Code,
    "dbPointer": (),
    "minKey": MinKey,
    "maxKey": MaxKey,
}


def _is_of(value: Any, names: str | list[str]) -> bool:
    wanted = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "bool" in wanted
    return any(name != "bool" and isinstance(value, _TYPES[name]) for name in wanted)


_TESTS: dict[str, Callable[[list[Any], Any], bool]] = {
    "$in": lambda values, wanted: any(_equal(values, one) for one in wanted),
    "$nin": lambda values, wanted: not any(_equal(values, one) for one in wanted),
    "$ne": lambda values, wanted: not _equal(values, wanted),
    "$eq": _equal,
    "$exists": lambda values, wanted: bool(values) is wanted,
    "$not": lambda values, wanted: not all(_TESTS[verb](values, what) for verb, what in wanted.items()),
    "$lt": _compared(lambda value, wanted: value < wanted),
    "$lte": _compared(lambda value, wanted: value <= wanted),
    "$gt": _compared(lambda value, wanted: value > wanted),
    "$gte": _compared(lambda value, wanted: value >= wanted),
    "$type": lambda values, wanted: any(_is_of(value, wanted) for value in values),
}


def _parent(row: Document, path: str) -> tuple[Document, str]:
    *parents, last = path.split(".")
    for name in parents:
        row = row.setdefault(name, {})
        if not isinstance(row, dict):
            raise WriteError(f"cannot set a field of {row!r}", 28)
    return row, last


def _set(row: Document, path: str, value: Any) -> None:
    parent, name = _parent(row, path)
    parent[name] = value


def _unset(row: Document, path: str, _: Any) -> None:
    parent, name = _parent(row, path)
    parent.pop(name, None)


def _inc(row: Document, path: str, value: Any) -> None:
    parent, name = _parent(row, path)
    before = parent.get(name, 0)
    if isinstance(before, bool) or not isinstance(before, int | float):
        raise WriteError(f"cannot add to {before!r}", 14)
    parent[name] = before + value


def _max(row: Document, path: str, value: Any) -> None:
    parent, name = _parent(row, path)
    if name not in parent or _order(parent[name]) < _order(value):
        parent[name] = value


def _push(row: Document, path: str, value: Any) -> None:
    parent, name = _parent(row, path)
    parent.setdefault(name, []).append(value)


def _pull(row: Document, path: str, value: Any) -> None:
    parent, name = _parent(row, path)
    whole = not isinstance(value, dict)
    parent[name] = [
        item for item in parent.get(name, []) if not (item == value if whole else _matches(item, value))
    ]


_CHANGES: dict[str, Callable[[Document, str, Any], None]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$max": _max,
    "$push": _push,
    "$pull": _pull,
    "$setOnInsert": lambda *_: None,
    "$rename": lambda row, path, name: row.update({name: row.pop(path)}) if path in row else None,
}


def _due(row: Document) -> tuple[int, Any]:
    return _order(row.get("reserved_until"))


def _order(value: Any) -> tuple[int, Any]:
    """First by kind, then by value; of a kind that has no order, all are equal."""
    kind = _kind(value)
    return kind, 0 if value is None or isinstance(value, dict) else value


def _projected(row: Document, fields: Sequence[str] | None) -> Document:
    if fields is None:
        whole: Document = _copied(row)
        return whole
    found: Document = {"_id": row["_id"]}
    for path in fields:
        values = _values(row, path)
        if values:
            _set(found, path, _copied(values[0]))
    return found


def _grouped(rows: list[Document], how: Document) -> list[Document]:
    groups: dict[Any, Document] = {}
    for row in rows:
        key = _evaluated(row, how["_id"])
        place = tuple(sorted(key.items())) if isinstance(key, dict) else key
        group = groups.get(place)
        if group is None:
            group = groups[place] = {"_id": key}
        for name, ((verb, what),) in ((name, rule.items()) for name, rule in how.items() if name != "_id"):
            if verb == "$first":
                group.setdefault(name, _evaluated(row, what))
            elif verb == "$sum":
                group[name] = group.get(name, 0) + (_evaluated(row, what) or 0)
            else:
                raise NotImplementedError(verb)
    return list(groups.values())


def _evaluated(row: Document, what: Any) -> Any:
    if isinstance(what, dict):
        fields = {name: _evaluated(row, value) for name, value in what.items() if _is_there(row, value)}
        if any(name.startswith("$") for name in fields):
            raise NotImplementedError(what)
        return fields
    return _first(row, what[1:]) if isinstance(what, str) and what.startswith("$") else what


def _is_there(row: Document, what: Any) -> bool:
    """Whether a path leads anywhere; all that is no path does."""
    return not (isinstance(what, str) and what.startswith("$")) or bool(_values(row, what[1:]))
