"""Faster writing of index entries by the embedded database: a statement looks at its list of indexes once.

A job that is imported has some twenty entries in indexes. The storage asks for each of them anew what kind of
index it is, and makes its key by functions for every kind of value and format, all in Python: nine tenths of
the time of an insert. Here the list is divided up once for a statement. Entries of plain ascending indexes
are written here; those of every other index, and keys of unusual values, by the storage's own methods,
so that each entry is the same, byte by byte.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

#: Private to the storage and to its binding of WiredTiger: another version may lack them.
METHODS: Final = (
    "_write_index_entries",
    "_maybe_mark_multikey",
    "_unique_conflict",
    "_validate_geo_indexes",
    "_index_options_map",
    "_cursor",
)
STORAGE_FUNCTIONS: Final = ("_index_key_variants", "_pack_entry", "_IDX_ENTRIES_TABLE")
ENCODING: Final = ("encode_value", "_escape", "COMPOUND_SEP")
BINDING: Final = ("pack", "unpack", "Cursor")
CURSOR: Final = ("_set_key", "_set_value")
#: Names of databases, collections and indexes that stand before keys; paths of indexed fields.
_REMEMBERED: Final = 4096

Document = Mapping[str, Any]
#: Name, fields with their directions, whether it is sparse, whether it is unique.
Index = tuple[str, dict[str, Any], bool, bool]
Pack = Callable[..., Any]
Unpack = Callable[[str, Any], Any]
Encode = Callable[[Any], bytes]
IndexKeys = Callable[..., list[bytes]]


def speed_up_index_writes(storage: Any, module: Any, encoding: Any, binding: Any) -> bool:
    """Have a storage write its index entries faster; False, and nothing is changed, where a part is missing.

    Args:
        storage: whose methods are replaced.
        module: ``secantus.storage``.
        encoding: ``secantus.sortkey``.
        binding: ``wiredtiger.swig_wiredtiger``.
    """
    cursor = getattr(binding, "Cursor", None)
    parts = {
        storage: METHODS,
        module: STORAGE_FUNCTIONS,
        encoding: ENCODING,
        binding: BINDING,
        cursor: CURSOR,
    }
    if not all(hasattr(owner, name) for owner, names in parts.items() for name in names):
        return False
    binding.pack, binding.unpack = faster_pack(binding.pack), faster_unpack(binding.unpack)
    encode = faster_encode(encoding.encode_value, encoding._escape)  # noqa: SLF001 - see the module
    keys = faster_index_keys(module._index_key_variants, encode, encoding.COMPOUND_SEP)  # noqa: SLF001
    module._index_key_variants = keys  # noqa: SLF001
    made = _Keys(make=keys, encode=encode, separator=encoding.COMPOUND_SEP, pack=binding.pack)
    _Writer(storage, module, made).install()
    return True


# -- one statement -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The indexes of a collection, by what is to be done about a document."""

    #: The list that it was made of, which a statement hands from method to method.
    indexes: Sequence[Index]
    #: Each with the names of database, collection and index, packed: its entries begin with them.
    plain: list[tuple[bytes, Index]]
    #: All others, each with the path without which no document is in it; None where there is none.
    others: list[tuple[Index, str | None]]
    unique: list[tuple[Index, str | None]]
    geographic: list[Index]
    #: All paths of the indexes, with their steps.
    paths: list[tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """How keys are made: of a whole document, of one value, and what stands between the values of a key."""

    make: IndexKeys
    encode: Encode
    separator: bytes
    pack: Pack


class _Statement(threading.local):
    """What a thread's statement knows."""

    plan: _Plan | None = None
    #: The document that was written last, and the paths under which it has arrays.
    written: tuple[Any, set[str]] | None = None


class _Writer:
    """The methods of one storage that are replaced, and what stands for them."""

    def __init__(self, storage: Any, module: Any, keys: _Keys) -> None:
        self._storage = storage
        self._module = module
        self._keys = keys
        self._statement = _Statement()
        self._write = storage._write_index_entries  # noqa: SLF001
        self._mark = storage._maybe_mark_multikey  # noqa: SLF001
        self._conflict = storage._unique_conflict  # noqa: SLF001
        self._validate = storage._validate_geo_indexes  # noqa: SLF001

    def install(self) -> None:
        storage = self._storage
        storage._write_index_entries = self.write_index_entries  # noqa: SLF001
        storage._maybe_mark_multikey = self.mark_multikey  # noqa: SLF001
        storage._unique_conflict = self.unique_conflict  # noqa: SLF001
        storage._validate_geo_indexes = self.validate_geo_indexes  # noqa: SLF001

    def write_index_entries(
        self,
        database: str,
        collection: str,
        document: Any,
        indexes: Sequence[Index],
        partials: Mapping[str, Any] | None = None,
        *,
        recordid: int,
    ) -> None:
        plan = self._plan(database, collection, indexes, partials)
        cursor = self._storage._cursor(self._module._IDX_ENTRIES_TABLE)  # noqa: SLF001
        pack_entry = self._module._pack_entry  # noqa: SLF001
        values = _values(document, plan.paths)
        arrays = _paths_of_arrays(values)
        self._statement.written = document, arrays
        encoded: dict[str, bytes] = {}
        for names, (_, fields, sparse, _) in plan.plain:
            for key in self._keys_of(document, fields, values, arrays, encoded, sparse=sparse):
                _insert(cursor, names + pack_entry(key, recordid))
        rest = _that_may_hold(plan.others, document)
        if rest:
            self._write(database, collection, document, rest, partials, recordid=recordid)

    def _keys_of(
        self,
        document: Document,
        fields: Mapping[str, Any],
        values: Mapping[str, Any],
        arrays: set[str],
        encoded: dict[str, bytes],
        *,
        sparse: bool,
    ) -> Sequence[bytes]:
        """The keys of a document; a value that several indexes have is encoded once."""
        if arrays and not arrays.isdisjoint(fields):
            return self._keys.make(document, fields, sparse=sparse)
        if sparse and all(values[path] is _ABSENT for path in fields):
            return ()
        parts = []
        for path in fields:
            part = encoded.get(path)
            if part is None:
                value = values[path]
                part = encoded[path] = self._keys.encode(None if value is _ABSENT else value)
            parts.append(part)
        return (self._keys.separator.join(parts),)

    def mark_multikey(
        self,
        database: str,
        collection: str,
        document: Any,
        indexes: Sequence[Index],
        known: set[str],
    ) -> set[str]:
        written, self._statement.written = self._statement.written, None
        if written is not None and written[0] is document:
            arrays = written[1]
        else:
            plan = self._plan(database, collection, indexes, None)
            arrays = _paths_of_arrays(_values(document, plan.paths))
        if not arrays:
            return known
        concerned = [index for index in indexes if index[0] not in known and not arrays.isdisjoint(index[1])]
        if not concerned:
            return known
        marked: set[str] = self._mark(database, collection, document, concerned, known)
        return marked

    def unique_conflict(
        self,
        database: str,
        collection: str,
        document: Any,
        indexes: Sequence[Index],
        *,
        exclude_recordid: int | None,
        partials: Mapping[str, Any] | None = None,
    ) -> Any:
        plan = self._plan(database, collection, indexes, partials)
        concerned = _that_may_hold(plan.unique, document)
        if not concerned:
            return None
        return self._conflict(
            database, collection, document, concerned, exclude_recordid=exclude_recordid, partials=partials
        )

    def validate_geo_indexes(
        self,
        database: str,
        collection: str,
        document: Any,
        indexes: Sequence[Index],
        partials: Mapping[str, Any] | None = None,
    ) -> None:
        plan = self._plan(database, collection, indexes, partials)
        if plan.geographic:
            self._validate(database, collection, document, plan.geographic, partials)

    def _plan(
        self,
        database: str,
        collection: str,
        indexes: Sequence[Index],
        partials: Mapping[str, Any] | None,
    ) -> _Plan:
        """The plan of a statement's list: the next method of the statement gets the same list."""
        latest = self._statement.plan
        if latest is not None and latest.indexes is indexes:
            return latest
        if partials is None:
            partials = self._storage._partial_filters(database, collection)  # noqa: SLF001
        options = self._storage._index_options_map(database, collection)  # noqa: SLF001
        plan = _make_plan(
            indexes, partials or {}, options, lambda name: self._keys.pack("SSS", database, collection, name)
        )
        self._statement.plan = plan
        return plan


def _insert(cursor: Any, key: bytes) -> None:
    """As ``cursor[key] = b""``, of a key that is packed already."""
    cursor._key = key  # noqa: SLF001 - keeps it alive as long as the cursor has it
    cursor._set_key(key)  # noqa: SLF001
    cursor._set_value(b"")  # noqa: SLF001
    if cursor.insert() != 0:
        raise KeyError


def _make_plan(
    indexes: Sequence[Index],
    partials: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
    names_of: Callable[[str], bytes],
) -> _Plan:
    plain: list[tuple[bytes, Index]] = []
    others: list[tuple[Index, str | None]] = []
    unique: list[tuple[Index, str | None]] = []
    geographic: list[Index] = []
    for index in indexes:
        name, fields, _, is_unique = index
        of_index = options.get(name, {})
        needed = _needed_path(partials.get(name))
        is_enforced = is_unique or bool(of_index.get("prepareUnique"))
        directions = fields.values()
        if any(isinstance(direction, str) for direction in directions):
            geographic.append(index)
        if is_enforced:
            unique.append((index, needed))
        is_ascending = all(direction == 1 for direction in directions)
        if is_ascending and not is_enforced and name not in partials and of_index.get("collation") is None:
            plain.append((names_of(name), index))
        else:
            others.append((index, needed))
    paths = [(path, _steps(path)) for path in {path: None for _, fields, _, _ in indexes for path in fields}]
    return _Plan(
        indexes=indexes, plain=plain, others=others, unique=unique, geographic=geographic, paths=paths
    )


def _needed_path(partial: Any) -> str | None:
    """The path that a document must have to be in a partial index, where its filter says nothing else."""
    if isinstance(partial, Mapping):
        for path, condition in partial.items():
            if condition == {"$exists": True} and not path.startswith("$"):
                return str(path)
    return None


def _that_may_hold(indexes: Sequence[tuple[Index, str | None]], document: Document) -> list[Index]:
    """Without the partial indexes that surely do not have this document."""
    return [
        index for index, needed in indexes if needed is None or _value_at(document, needed) is not _ABSENT
    ]


# -- the fields of a document --------------------------------------------------------------------------------

_ABSENT: Final = object()
#: An array stands on the way.
_BEHIND_ARRAY: Final = object()


@lru_cache(_REMEMBERED)
def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _value_at(document: Document, path: str) -> Any:
    return _value_behind(document, _steps(path))


def _value_behind(document: Document, steps: Sequence[str]) -> Any:
    value: Any = document
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, _ABSENT)
        else:
            return _BEHIND_ARRAY if isinstance(value, list) else _ABSENT
    return value


def _values(document: Document, paths: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    return {path: _value_behind(document, steps) for path, steps in paths}


def _paths_of_arrays(values: Mapping[str, Any]) -> set[str]:
    return {path for path, value in values.items() if value is _BEHIND_ARRAY or isinstance(value, list)}


# -- keys ----------------------------------------------------------------------------------------------------


def faster_encode(encode: Encode, escape: Callable[[bytes], bytes]) -> Encode:
    """As ``encode``, for texts and nothing."""
    of_nothing, of_text = encode(None), encode("")

    def encoded(value: Any) -> bytes:
        if value is None:
            return of_nothing
        return of_text + escape(value.encode()) if type(value) is str else encode(value)

    return encoded


def faster_index_keys(index_keys: IndexKeys, encode: Encode, separator: bytes) -> IndexKeys:
    """As ``index_keys``, for ascending keys without collation, and arrays under one field alone."""

    def keys(
        document: Document, fields: Mapping[str, Any], *, sparse: bool, collation: Any = None
    ) -> list[bytes]:
        parts: list[bytes] = []
        has_any = not sparse
        for path, direction in fields.items():
            value = _value_at(document, path)
            is_of_several = isinstance(value, list) and len(fields) > 1
            if direction != 1 or collation is not None or value is _BEHIND_ARRAY or is_of_several:
                return index_keys(document, fields, sparse=sparse, collation=collation)
            if isinstance(value, list):
                return list(dict.fromkeys(map(encode, [*value, value])))
            has_any = has_any or value is not _ABSENT
            parts.append(encode(None if value is _ABSENT else value))
        return [separator.join(parts)] if has_any else []

    return keys


def faster_pack(pack: Pack) -> Pack:
    """As WiredTiger's ``pack``; names, which stand before most keys, are packed once."""
    prefix = lru_cache(_REMEMBERED)(pack)

    def packed(form: str, *values: Any) -> Any:
        if form in {"SSSu", "SSu"} and type(values[-1]) is bytes:
            return prefix(form[:-1], *values[:-1]) + values[-1]
        if form == "u" and type(values[0]) is bytes:
            return values[0]
        if form == "SSq":
            return prefix("SS", *values[:-1]) + pack("q", values[-1])
        return pack(form, *values)

    return packed


def faster_unpack(unpack: Unpack) -> Unpack:
    """As WiredTiger's ``unpack``, for the keys that begin with names, and for bytes alone."""

    def unpacked(form: str, data: Any) -> Any:
        if type(data) is bytes:
            if form == "u":
                return [data]
            if form in {"SSSu", "SSu", "SSq"}:
                parts = data.split(b"\0", len(form) - 1)
                if len(parts) == len(form):
                    last = parts.pop()
                    return [*map(bytes.decode, parts), *unpack(form[-1], last)]
        return unpack(form, data)

    return unpacked
