"""The embedded database writes its index entries faster, and writes the same entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from speechaid.embedded.index_cache import cache_index_reads
from speechaid.embedded.index_writes import (
    BINDING,
    CURSOR,
    ENCODING,
    METHODS,
    STORAGE_FUNCTIONS,
    faster_encode,
    faster_index_keys,
    faster_pack,
    faster_unpack,
    speed_up_index_writes,
)
from speechaid.store.indexes import JOBS

secantus = pytest.importorskip("secantus")
from secantus import sortkey  # noqa: E402 - behind the look for the extra
from secantus import storage as storage_module  # noqa: E402
from secantus.commands import CommandContext, dispatch  # noqa: E402
from wiredtiger import swig_wiredtiger  # noqa: E402

Document = dict[str, Any]

PACK, UNPACK = swig_wiredtiger.pack, swig_wiredtiger.unpack

TEXTS = st.text(alphabet=st.sampled_from("aé\0\x01ÿ-ñ日"), max_size=6)
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), TEXTS),
    *(
        st.binary(max_size=4),
        st.datetimes(),
        st.just(ObjectId("0" * 24)),
        st.just(Regex("a")),
        st.just(Int64(7)),
    ),
    st.just(Decimal128("1.5")),
)
NESTED = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc0"), inner, max_size=3)
    ),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3)
FIELDS = st.dictionaries(
    st.sampled_from(("a", "b", "c", "a.b", "a.b.c", "a.0", "b.c")),
    st.sampled_from((1, 1, 1, -1)),
    min_size=1,
    max_size=3,
)


@given(DOCUMENTS, FIELDS, st.booleans())
def test_the_keys_of_any_document_are_those_of_the_storage(
    document: Document, fields: dict[str, int], sparse: bool
) -> None:
    encode = faster_encode(sortkey.encode_value, sortkey._escape)
    keys = faster_index_keys(storage_module._index_key_variants, encode, sortkey.COMPOUND_SEP)
    wanted = storage_module._index_key_variants(document, fields, sparse=sparse)
    assert keys(document, fields, sparse=sparse) == wanted


@given(st.lists(TEXTS, min_size=3, max_size=3), st.binary(max_size=6), st.integers(-(2**62), 2**62))
def test_keys_are_packed_and_unpacked_as_the_binding_does(names: list[str], last: bytes, number: int) -> None:
    pack, unpack = faster_pack(PACK), faster_unpack(UNPACK)
    for form, values in (
        ("SSSu", (*names, last)),
        ("SSu", (*names[:2], last)),
        ("SSq", (*names[:2], number)),
        *(("SS", tuple(names[:2])), ("SSS", tuple(names)), ("u", (last,)), ("q", (number,))),
    ):
        packed = PACK(form, *values)
        assert pack(form, *values) == packed
        assert unpack(form, packed) == UNPACK(form, packed)


def test_what_is_no_key_fails_as_before() -> None:
    for form, data in (("SSSu", b"a\0b"), ("SSu", b""), ("SSq", b"a\0b\0"), ("u", None)):
        assert _outcome(faster_unpack(UNPACK), form, data) == _outcome(UNPACK, form, data)


def _outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as exc:  # noqa: BLE001 - whatever it raises, both raise it
        return type(exc)


# -- a whole storage -----------------------------------------------------------------------------------------


@pytest.fixture
def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions of the modules are put back after the test."""
    for module, names in ((storage_module, ("_index_key_variants",)), (swig_wiredtiger, BINDING)):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))


class Server:
    """A storage of its own, in this process."""

    def __init__(self, place: Path, *, is_fast: bool) -> None:
        self.server = secantus.SecantusDBServer(host="127.0.0.1", port=0, storage_path=str(place))
        self.storage = self.server.storage
        assert cache_index_reads(self.storage)
        if is_fast:
            assert speed_up_index_writes(self.storage, storage_module, sortkey, swig_wiredtiger)

    def run(self, command: str, collection: str, **fields: Any) -> Document:
        context = CommandContext(
            connection_id=0, storage=self.storage, cursors=self.server.cursors, db_name="db"
        )
        reply: Document = dispatch({command: collection, "$db": "db", **fields}, context)
        return {
            name: reply[name] for name in ("ok", "n", "nModified", "code", "writeErrors") if name in reply
        }

    def rows(self, table: str) -> list[tuple[Any, bytes]]:
        cursor = self.storage._cursor(table)
        found = []
        while cursor.next() == 0:
            found.append((tuple(cursor.get_key()), bytes(cursor.get_value())))
        return found


def indexes() -> Iterator[Document]:
    for index in JOBS:
        yield {"key": dict(index.keys), "name": index.name, **index.options}
    yield {"key": {"number": 1}, "name": "unique", "unique": True, "sparse": True}
    yield {"key": {"status": -1, "tags": 1}, "name": "descending"}
    yield {"key": {"name": 1}, "name": "collated", "collation": {"locale": "es", "strength": 1}}
    yield {
        "key": {"payload.amount": 1},
        "name": "partial",
        "partialFilterExpression": {"payload.amount": {"$gt": 10}},
    }
    yield {"key": {"place": "2d"}, "name": "place"}


def documents() -> list[Document]:
    at = datetime(2026, 7, 31, 12, tzinfo=UTC)
    job = {
        "status": "pending",
        "batch_id": "b1",
        "account_id": "acc",
        "reserved_until": None,
        "created_at": at,
    }
    people: Document = {
        "person_keys": ["id:1", "line:2"],
        "contact": {"phones": ["+1", "+2"], "dni": "1", "name": "Ñ"},
    }
    return [
        {"_id": 1, "job_id": "j1", **job, "number": 5},
        {"_id": 2, "job_id": "j2", **job, **people, "name_key": "n", "number": 5},
        {"_id": 3, "job_id": "j3", **job, **people, "tags": [1, "x", [2]], "name": "José"},
        {"_id": 4, **job, "dial": {"number": "+1", "key": "k"}, "payload": {"amount": 11}},
        {"_id": 5, **job, "dial": {"number": "+1"}},
        {"_id": 6, "contact": [{"phones": "+3"}, {"phones": ["+4"]}], "dial": [{"number": "+5"}]},
        {"_id": 7, "place": [10, 20], "payload": {"amount": 9}, "name": "JOSE", "number": None},
        {"_id": 8, "place": [1000, 2000]},
        {"_id": 1, "job_id": "again"},
    ]


@pytest.mark.usefixtures("put_back")
def test_inserts_updates_and_deletes_leave_the_same_tables(tmp_path: Path) -> None:
    left: list[tuple[list[Document], list[Any], list[Any], list[Any]]] = []
    for is_fast in (False, True):
        server = Server(tmp_path / str(is_fast), is_fast=is_fast)
        try:
            replies = [
                server.run("createIndexes", "jobs", indexes=list(indexes())),
                server.run("insert", "jobs", documents=documents(), ordered=False),
                server.run(
                    "update",
                    "jobs",
                    updates=[
                        {
                            "q": {"_id": 1},
                            "u": {"$set": {"status": "done", "tags": ["late"], "dial.number": "+9"}},
                        },
                        {
                            "q": {"_id": 2},
                            "u": {"$unset": {"contact": ""}, "$set": {"dial": {"number": "+9"}}},
                        },
                        {"q": {"_id": 7}, "u": {"$set": {"place": [5000, 1]}}},
                        {"q": {"status": "pending"}, "u": {"$set": {"account_id": "other"}}, "multi": True},
                    ],
                    ordered=False,
                ),
                server.run("delete", "jobs", deletes=[{"q": {"_id": 3}, "limit": 1}]),
                server.run("insert", "jobs", documents=[{"_id": 10, "number": 5}, {"_id": 11, "number": 6}]),
            ]
            entries = server.rows(storage_module._IDX_ENTRIES_TABLE)
            unique = server.rows(storage_module._UNIQ_TABLE)
            left.append((replies, entries, unique, server.rows(storage_module._IDX_TABLE)))
        finally:
            server.storage.close()
    plain, fast = left
    assert len(plain[1]) > 60
    for was, now in zip(plain, fast, strict=True):
        assert now == was


def test_another_version_of_the_storage_is_left_unchanged() -> None:
    class Parts:
        pass

    def parts(names: tuple[str, ...]) -> Parts:
        made = Parts()
        for name in names:
            setattr(made, name, len)
        return made

    whole = METHODS, STORAGE_FUNCTIONS, ENCODING, BINDING, CURSOR
    for missing in range(len(whole)):
        *given_parts, cursor = [
            parts(names[:-1] if place == missing else names) for place, names in enumerate(whole)
        ]
        if hasattr(given_parts[-1], "Cursor"):
            given_parts[-1].Cursor = cursor
        before = [dict(vars(part)) for part in given_parts]
        assert not speed_up_index_writes(*given_parts)
        assert [vars(part) for part in given_parts] == before
