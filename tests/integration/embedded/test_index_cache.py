"""The embedded database reads its list of indexes once per statement; a statement sees its own changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from speechaid.embedded.index_cache import WRAPPED_METHODS, cache_index_reads

Document = dict[str, Any]


class CountingStorage:
    """The wrapped methods of a storage; counts how often the list is read."""

    def __init__(self) -> None:
        self.read = 0

    def _iter_indexes(self, _: str, __: str) -> Iterator[tuple[str, Document, Document]]:
        self.read += 1
        return iter([("by_a", {"a": 1}, {})])

    def _batch_transaction(self, **_: Any) -> Any:
        raise NotImplementedError

    def _maybe_mark_multikey(self, *_: Any) -> set[str]:
        raise NotImplementedError

    def find_matching(self, database: str, collection: str) -> list[Any]:
        return [list(self._iter_indexes(database, collection)) for _ in range(5)]


def test_each_statement_reads_the_list_once() -> None:
    storage = CountingStorage()
    assert cache_index_reads(storage)
    for statement in (1, 2):
        assert storage.find_matching("d", "c") == [[("by_a", {"a": 1}, {})]] * 5
        assert storage.read == statement
    list(storage._iter_indexes("d", "c"))
    list(storage._iter_indexes("d", "c"))
    assert storage.read == 4, "outside a statement nothing is cached"


def test_a_storage_without_the_methods_is_left_unchanged() -> None:
    assert not cache_index_reads(object())


def test_the_installed_storage_has_the_wrapped_methods(tmp_path: Path) -> None:
    secantus = pytest.importorskip("secantus")
    server = secantus.SecantusDBServer(host="127.0.0.1", port=0, storage_path=str(tmp_path))
    try:
        assert all(hasattr(server.storage, name) for name in WRAPPED_METHODS)
        assert cache_index_reads(server.storage)
    finally:
        server.storage.close()


def test_an_index_that_gets_its_first_array_within_one_insert_still_finds_and_sorts(
    database: Database[Document],
) -> None:
    table = database.jobs
    table.create_index([("tags", 1)])
    table.insert_many([{"_id": 1, "tags": 5}, {"_id": 2, "tags": [9, 1]}, {"_id": 3, "tags": 7}])
    assert [row["_id"] for row in table.find({}).sort("tags", 1)] == [2, 1, 3]
    assert {row["_id"] for row in table.find({"tags": 9})} == {2}
    table.update_one({"_id": 1}, {"$set": {"tags": [9]}})
    assert {row["_id"] for row in table.find({"tags": 9})} == {1, 2}


def test_an_index_made_between_two_statements_applies_to_the_second(database: Database[Document]) -> None:
    table = database.jobs
    table.insert_one({"number": 1})
    table.create_index([("number", 1)], unique=True)
    with pytest.raises(DuplicateKeyError):
        table.insert_one({"number": 1})
    table.insert_many([{"number": number} for number in range(2, 50)])
    assert table.count_documents({"number": {"$gte": 2}}) == 48
    table.drop_index("number_1")
    table.insert_one({"number": 1})
    assert table.count_documents({"number": 1}) == 2
