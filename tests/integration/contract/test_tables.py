"""What the store counts on everywhere: faults by their kind, comparison by type, indexes, pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from speechaid.errors import StoreError
from speechaid.model.masking import mask_phone
from speechaid.store.connection import Store
from speechaid.store.indexes import OPEN_NUMBERS
from speechaid.store.inspection import missing_indexes, other_workers, read_topology, write_durably
from speechaid.store.jobs import COUNTED, LIVE_NUMBER
from speechaid.store.pages import Pages
from speechaid.store.table import Duplicate, Table
from tests.integration.contract.documents import A, add_job, ago, claim, job

# -- faults ----------------------------------------------------------------------------------------------


def test_a_second_document_of_the_same_id_is_a_duplicate_and_changes_nothing(store: Store) -> None:
    table = store.holds.table
    table.insert({"_id": "a", "n": 1})
    with pytest.raises(Duplicate):
        table.insert({"_id": "a", "n": 2})
    assert table.find_one({"_id": "a"}) == {"_id": "a", "n": 1}


def test_of_many_documents_those_are_inserted_that_can_be_and_the_fault_quotes_none(store: Store) -> None:
    table = store.do_not_call.table
    table.insert({"_id": A})
    with pytest.raises(StoreError) as fault:
        table.insert_many([{"_id": A}, {"_id": "other"}])
    assert A not in str(fault.value)
    assert table.count({"_id": "other"}) == 1


def test_a_number_that_no_document_can_hold_is_a_fault_of_the_store(store: Store) -> None:
    with pytest.raises(StoreError):
        add_job(store, amount=2**70)


@pytest.mark.parametrize("value", ["text", None], ids=str)
def test_nothing_is_added_to_what_is_no_number(store: Store, value: object) -> None:
    add_job(store, amount=value)
    with pytest.raises(StoreError):
        store.jobs.table.update({"job_id": "job-1"}, {"$inc": {"amount": 1}})
    assert job(store)["amount"] == value


def test_no_field_is_set_inside_null(store: Store) -> None:
    add_job(store, contact=None)
    with pytest.raises(StoreError):
        store.jobs.table.update({"job_id": "job-1"}, {"$set": {"contact.next_phone_index": 1}})


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"x": 1}, "$unset": {"x": ""}},
        {"$set": {"x": {}, "x.y": 1}},
        {"$rename": {"x": "z"}, "$set": {"z": 1}},
    ],
    ids=["set and unset", "a field and one within", "renamed onto one that is set"],
)
def test_an_update_that_changes_a_field_in_two_ways_is_refused(store: Store, change: dict[str, Any]) -> None:
    add_job(store, x={"y": 0})
    before = job(store)
    with pytest.raises(StoreError):
        store.jobs.table.update({"job_id": "job-1"}, change)
    assert job(store) == before


def test_an_update_changes_one_document_and_says_whether_one_was_there(store: Store) -> None:
    for name in ("1", "2"):
        add_job(store, job_id=name, x=1)
    assert store.jobs.table.update({"x": 1}, {"$set": {"x": 2}})
    assert store.jobs.table.update({"x": 2}, {"$set": {"x": 2}}), "matched counts, changed or not"
    assert not store.jobs.table.update({"x": 3}, {"$set": {"x": 2}})
    assert store.jobs.table.count({"x": 1}) == 1


# -- comparison ------------------------------------------------------------------------------------------


def test_null_and_a_missing_field_are_equal_and_nothing_else_is(store: Store) -> None:
    for name, fields in (
        ("null", {"x": None}),
        ("missing", {}),
        ("false", {"x": False}),
        ("empty", {"x": ""}),
    ):
        add_job(store, job_id=name, **fields)
    add_job(store, job_id="list", x=[])
    assert names(store, {"x": None}) == {"null", "missing"}
    assert names(store, {"x": {"$ne": None}}) == {"false", "empty", "list"}
    assert names(store, {"x": {"$exists": True}}) == {"null", "false", "empty", "list"}


def test_a_value_is_compared_with_those_of_its_own_kind_alone(store: Store) -> None:
    now = store.now()
    for name, value in (("1", 1), ("2.5", 2.5), ("text", "2"), ("time", now), ("null", None), ("true", True)):
        add_job(store, job_id=name, x=value)
    assert names(store, {"x": {"$gt": 1}}) == {"2.5"}
    assert names(store, {"x": {"$lte": 1.0}}) == {"1"}
    assert names(store, {"x": {"$gte": ""}}) == {"text"}
    assert names(store, {"x": {"$lte": now}}) == {"time"}
    assert names(store, {"x": {"$not": {"$gt": 1}}}) == {"1", "text", "time", "null", "true"}
    assert names(store, {"x": {"$type": "string"}}) == {"text"}


def test_a_naive_time_is_utc(store: Store) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    add_job(store, reserved_until=at.replace(tzinfo=None))
    assert job(store)["reserved_until"] == at
    assert names(store, {"reserved_until": at}) == {"job-1"}


def test_fields_in_lists_are_found_each_and_by_their_place(store: Store) -> None:
    add_job(store, job_id="two", x=[{"key": "a"}, {"key": "b"}])
    add_job(store, job_id="one", x=[{"key": "c"}])
    assert names(store, {"x.key": "b"}) == {"two"}
    assert names(store, {"x.key": {"$ne": "b"}}) == {"one"}
    assert names(store, {"x.1": {"$exists": False}}) == {"one"}


def test_what_has_no_value_sorts_before_all_that_have_one(store: Store) -> None:
    for name, fields in (("2", {"x": 2}), ("missing", {}), ("1", {"x": 1})):
        add_job(store, job_id=name, **fields)
    found = store.jobs.table.find({}, sort=[("x", 1)], fields=("job_id",))
    assert [row["job_id"] for row in found] == ["missing", "1", "2"]


def test_of_a_document_only_the_wanted_fields_are_read_and_what_is_not_there_is_left_out(
    store: Store,
) -> None:
    add_job(store, dial={"key": "k", "number": A})
    (found,) = store.jobs.table.find({}, fields=("dial.number", "nothing"))
    assert found == {"_id": job(store)["_id"], "dial": {"number": A}}


def names(store: Store, query: dict[str, Any]) -> set[str]:
    return {row["job_id"] for row in store.jobs.table.find(query)}


# -- indexes ---------------------------------------------------------------------------------------------


def index_names(table: Table) -> set[str]:
    return set(table._collection.index_information())


def test_every_index_is_there_after_the_start_and_a_second_start_changes_nothing(empty_store: Store) -> None:
    assert missing_indexes(empty_store)
    empty_store.prepare()
    before = {table.name: index_names(table) for table, _ in empty_store.indexed()}
    for table, wanted in empty_store.indexed():
        assert {index.name for index in wanted} <= before[table.name]
    assert missing_indexes(empty_store) == []
    empty_store.prepare()
    assert {table.name: index_names(table) for table, _ in empty_store.indexed()} == before


def test_an_index_of_the_same_keys_under_another_name_serves_as_well(empty_store: Store) -> None:
    empty_store.jobs.table.create_index([("job_id", 1)], name="job_id_1")
    empty_store.prepare()
    empty_store.prepare()
    assert "job_id_1" in index_names(empty_store.jobs.table)
    assert missing_indexes(empty_store) == []


def test_a_unique_index_over_documents_that_repeat_its_key_is_named_with_the_jobs(empty_store: Store) -> None:
    for name in ("job-1", "job-2"):
        add_job(empty_store, job_id=name, dial={"number": A})
    remarks = empty_store.prepare()
    assert len(remarks) == 2
    assert remarks[0].startswith(f"index {LIVE_NUMBER} (")
    assert remarks[1] == f"jobs job-1 and job-2 have one open number, {mask_phone(A)}"
    assert missing_indexes(empty_store) == [f"jobs.{LIVE_NUMBER}"]
    assert not empty_store.jobs.numbers_are_unique()

    empty_store.jobs.table.delete({"job_id": "job-1"})
    assert empty_store.prepare() == []
    assert missing_indexes(empty_store) == []
    assert empty_store.jobs.numbers_are_unique()
    assert OPEN_NUMBERS.name not in index_names(empty_store.jobs.table)


def test_results_with_one_dial_twice_are_named_and_a_result_is_still_recorded_once(
    empty_store: Store,
) -> None:
    for _ in range(2):
        empty_store.results.table.insert({"job_id": "job-1", "dial_key": "k"})
    (remark,) = empty_store.prepare()
    assert remark.startswith("index speechaid_result_dial (")
    recorded = [empty_store.results.record({"job_id": "job-2", "dial_key": "m"}) for _ in range(2)]
    assert recorded == [True, False]


def test_an_index_that_somebody_dropped_is_done_without(empty_store: Store) -> None:
    add_job(empty_store, status="done")
    assert empty_store.jobs.table.find({}, hint=LIVE_NUMBER)[0]["job_id"] == "job-1"
    count = {"$group": {"_id": "$status", "jobs": {"$sum": 1}}}
    assert empty_store.jobs.table.aggregate([count], hint=COUNTED) == [{"_id": "done", "jobs": 1}]


# -- pages -----------------------------------------------------------------------------------------------


@pytest.fixture
def documents(store: Store) -> list[Any]:
    """The ids of a few documents of each kind that an id may be, in order."""
    ids = [0, 1.5, 2, "0", "1", *sorted(ObjectId() for _ in range(4))]
    store.jobs.insert_many([{"_id": name} for name in reversed(ids)])
    return ids


def read_on(store: Store, pages: Pages, after: str | None, limit: int) -> Iterator[Any]:
    while True:
        found, after = pages.page(store.jobs.table, {}, after=after, limit=limit)
        yield from (row["_id"] for row in found)
        if after is None:
            return


@pytest.mark.parametrize("limit", [1, 2, 4, 20])
def test_pages_hold_every_document_once_in_order(store: Store, documents: list[Any], limit: int) -> None:
    assert list(read_on(store, Pages(), None, limit)) == documents


@pytest.mark.parametrize("place", range(1, 9))
def test_whoever_comes_later_goes_on_from_any_place(store: Store, documents: list[Any], place: int) -> None:
    _, after = Pages().page(store.jobs.table, {}, after=None, limit=place)
    assert after is not None
    assert list(read_on(store, Pages(), after, 3)) == documents[place:]


# -- what ``speechaid check`` asks -----------------------------------------------------------------------


def test_a_server_says_that_it_takes_writes(store: Store) -> None:
    assert read_topology(store).writable


def test_a_write_is_confirmed_and_leaves_nothing(store: Store) -> None:
    assert write_durably(store) >= 0
    assert store.jobs.table.sibling("speechaid_checks").count({}) == 0


def test_jobs_that_another_program_works_on_are_told_from_ours(store: Store) -> None:
    add_job(store, job_id="ours")
    claim(store, "ours")
    held = {"status": "in_progress"}
    add_job(store, job_id="1", updated_at=ago(store, seconds=5), started_at="odd", worker_id="bot-1", **held)
    add_job(store, job_id="2", call_started_at=ago(store, seconds=9), worker_id="bot-2", **held)
    add_job(store, job_id="3", updated_at=ago(store, days=9), **held)
    found = other_workers(store)
    assert (found.jobs, found.worker) == (2, "bot-1")


# -- the clock -------------------------------------------------------------------------------------------


def test_the_servers_clock_is_read_to_the_millisecond(store: Store) -> None:
    assert abs(store.skew_seconds()) < 60
    assert store.now().microsecond % 1000 == 0
    assert store.now().utcoffset() == timedelta(0)
