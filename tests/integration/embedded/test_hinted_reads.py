"""The embedded database looks up in the index that a query names, and finds the same documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechaid.embedded.hinted_reads import can_use_index, fields_first, use_hinted_indexes
from speechaid.embedded.index_cache import cache_index_reads
from speechaid.store.indexes import ACCOUNT_JOBS, JOBS, PERSON_KEYS

secantus = pytest.importorskip("secantus")
from secantus import storage as storage_module  # noqa: E402 - behind the look for the extra
from secantus.commands import CommandContext, dispatch  # noqa: E402

Document = dict[str, Any]

SCALARS = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(("x", "y", "")))
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
DOCUMENTS = st.lists(
    st.dictionaries(st.sampled_from(("a", "b", "s")), VALUES, max_size=3), min_size=1, max_size=12
)
CLAUSES = st.one_of(
    SCALARS,
    st.builds(lambda values: {"$in": values}, st.lists(SCALARS, min_size=1, max_size=3)),
    st.builds(lambda value: {"$gte": value}, st.one_of(st.integers(0, 3), st.just(""))),
    st.builds(lambda low, high: {"$gt": low, "$lte": high}, st.integers(0, 2), st.integers(1, 3)),
    st.sampled_from(({"$exists": True}, {"$exists": False}, {"$ne": 1}, {"$type": "string"})),
)
QUERIES = st.dictionaries(st.sampled_from(("a", "b", "s")), CLAUSES, min_size=1, max_size=3)
HINTS = ("by_a", "by_a_b", "by_s", "by_b_partial")


class Reader:
    """A storage in this process, asked as a client asks it."""

    def __init__(self, place: Path) -> None:
        self.server = secantus.SecantusDBServer(host="127.0.0.1", port=0, storage_path=str(place))
        self.storage = self.server.storage
        self.walks = 0
        self.plain = self.storage.find_matching
        assert use_hinted_indexes(self.storage, storage_module)
        self.by_index = self.storage.find_matching
        assert cache_index_reads(self.storage)

    def run(self, command: str, collection: str, **fields: Any) -> Document:
        context = CommandContext(
            connection_id=0, storage=self.storage, cursors=self.server.cursors, db_name="db"
        )
        reply: Document = dispatch({command: collection, "$db": "db", **fields}, context)
        assert reply["ok"] == 1, reply
        return reply

    def count_walks(self) -> None:
        for name in ("_walk_index_in_order", "_multikey_hint_docs", "_scan_docs", "_scan_docs_natural"):
            setattr(self.storage, name, self._counted(getattr(self.storage, name)))

    def _counted(self, method: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.walks += 1
            return method(*arguments, **options)

        return counted


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("hints"))
    made.run(
        "createIndexes",
        "any",
        indexes=[
            {"key": {"a": 1}, "name": "by_a"},
            {"key": {"a": 1, "b": 1}, "name": "by_a_b"},
            {"key": {"s": 1}, "name": "by_s", "sparse": True},
            {"key": {"b": 1}, "name": "by_b_partial", "partialFilterExpression": {"b": {"$exists": True}}},
        ],
    )
    yield made
    made.storage.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(DOCUMENTS, QUERIES, st.sampled_from(HINTS))
def test_any_hinted_query_finds_the_same_documents(
    reader: Reader, documents: list[Document], query: Document, hint: str
) -> None:
    reader.run("delete", "any", deletes=[{"q": {}, "limit": 0}])
    reader.run("insert", "any", documents=[{"_id": place, **one} for place, one in enumerate(documents)])
    walked = reader.plain("db", "any", query, hint=hint)
    found = reader.by_index("db", "any", query, hint=hint)
    assert sorted(row["_id"] for row in found) == sorted(row["_id"] for row in walked)


def test_look_ups_of_jobs_walk_no_index(reader: Reader) -> None:
    reader.run(
        "createIndexes",
        "jobs",
        indexes=[{"key": dict(index.keys), "name": index.name, **index.options} for index in JOBS],
    )
    jobs = [
        {"_id": number, "status": "pending", "batch_id": "b", "account_id": "acc", "reserved_until": None}
        | {"person_keys": [f"id:{number}", f"line:{number}"], "name_key": f"n{number}"}
        for number in range(30)
    ]
    reader.run("insert", "jobs", documents=jobs)
    reader.count_walks()
    for query, hint, found in (
        ({"status": "pending", "reserved_until": {"$gte": ""}}, "speechaid_lapsed", 0),
        ({"account_id": "acc", "person_keys": {"$in": ["id:3", "line:4"]}}, PERSON_KEYS, 2),
        ({"account_id": "acc", "batch_id": {"$ne": "b"}}, ACCOUNT_JOBS, 0),
        ({"name_key": {"$gte": "n7", "$lt": "n8"}, "batch_id": {"$ne": "t"}}, "speechaid_name_key", 1),
        (
            {"status": "done", "erased.what": None, "finished_at": {"$gte": ""}},
            "speechaid_job_retention",
            0,
        ),
    ):
        reply = reader.run("find", "jobs", filter=query, hint=hint)
        assert len(reply["cursor"]["firstBatch"]) == found, query
    assert reader.walks == 0


def test_a_hint_that_decides_what_is_found_is_kept() -> None:
    fields, operators = {"a": 1, "b": 1}, ("$eq", "$gte", "$in")
    for query in (
        *({"b": 1}, {"a": {"$ne": 1}}, {"a": {"$exists": True}}, {"$or": [{"a": 1}], "a": 1}),
        {"a": {"$in": [{"b": 1}]}},
    ):
        assert not can_use_index(query, fields, operators), query
    assert can_use_index({"a": None}, fields, operators)
    assert not can_use_index({"a": 1}, {"a": "2d"}, operators)
    assert list(fields_first({"c": 1, "b": 2, "a": 3}, fields)) == ["a", "b", "c"]


def test_another_version_of_the_storage_is_left_unchanged() -> None:
    assert not use_hinted_indexes(object(), storage_module)
