"""What is to be erased is found by age, passed over once, and replaced only as it was read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from speechaid.campaign.erasure import result_without_person
from speechaid.model.erasure import FORGETTING, Erasure, What
from speechaid.model.job import Job
from speechaid.store.connection import Store
from speechaid.store.erasures import Position
from tests.integration.contract.documents import add_job, ago, job, one, set_fields


def erasure(store: Store, what: What = What.PERSON) -> Erasure:
    return Erasure(at=store.now(), by="retention", what=what)


def add_ended(store: Store, job_id: str, *, days: float, **fields: Any) -> None:
    ended = {"status": "done", "finished_at": ago(store, days=days)}
    add_job(store, job_id=job_id, **{**ended, **fields})


def found(store: Store, what: What, position: Position | None = None, limit: int = 9) -> list[str]:
    before = ago(store, days=30)
    walked = store.erasures.jobs_ended_before(before, what, position or Position(), limit)
    read = [store.erasures.find_job(job_id) for _, job_id in walked]
    return [one.job_id for one in read if one is not None]


def test_ended_jobs_are_found_the_oldest_first_and_those_that_wait_are_not(store: Store) -> None:
    add_ended(store, "second", days=40, status="failed")
    add_ended(store, "first", days=50)
    add_ended(store, "third", days=31, status="completed")
    add_ended(store, "lately", days=29)
    add_ended(store, "waits", days=50, status="pending")
    assert found(store, What.PERSON) == ["first", "second", "third"]
    assert found(store, What.PERSON, limit=2) == ["first", "second"]


def test_a_job_whose_calls_are_erased_is_still_found_for_its_person(store: Store) -> None:
    add_ended(store, "calls", days=40, erased={"what": "calls"})
    add_ended(store, "person", days=40, erased={"what": "person"})
    assert found(store, What.CALLS) == []
    assert found(store, What.PERSON) == ["calls"]


def test_a_walk_goes_on_behind_what_it_has_read_also_at_one_and_the_same_time(store: Store) -> None:
    at = ago(store, days=40)
    for number in range(5):
        add_ended(store, f"job-{number}", days=0, finished_at=at)
    position, seen = Position(), []
    while walked := store.erasures.jobs_ended_before(ago(store, days=30), What.PERSON, position, 2):
        for ended_at, job_id in walked:
            seen.append(job_id)
            position.move(ended_at, job_id)
    assert len(seen) == len(set(seen)) == 5


def test_the_end_of_a_job_that_has_none_is_the_latest_that_is_known(store: Store) -> None:
    completed = ago(store, days=40)
    add_job(store, job_id="job-1", status="completed", completed_at=completed)
    add_job(store, job_id="job-2", status="failed", finished_at=completed.isoformat())
    add_job(store, job_id="job-3", status="pending")
    assert store.erasures.add_missing_ends(9) == 2
    assert store.erasures.add_missing_ends(9) == 0
    assert job(store, "job-1")["finished_at"] == job(store, "job-2")["finished_at"] == completed
    assert "finished_at" not in job(store, "job-3")


def test_a_job_is_replaced_only_as_it_was_read(store: Store) -> None:
    add_ended(store, "job-1", days=40, note="Ana's")
    read = Job.read(job(store))
    set_fields(store, updated_at=store.now())
    left = {"job_id": "job-1", "erased": erasure(store).document()}
    assert not store.erasures.write_job(read, left)
    assert job(store)["note"] == "Ana's"

    assert store.erasures.write_job(Job.read(job(store)), left)
    assert set(job(store)) == {"_id", "job_id", "erased", "revision"}


def test_a_job_with_an_open_dial_is_never_replaced(store: Store) -> None:
    add_ended(store, "job-1", days=40)
    read = Job.read(job(store))
    set_fields(store, dial={"key": "k", "number": "+12025550101"})
    assert not store.erasures.write_job(read, {"job_id": "job-1"})


def test_a_result_is_replaced_once(store: Store) -> None:
    store.results.record({"call_id": "call_1", "job_id": "job-1", "contact": {"name": "Ana"}})
    result = one(store.results.table, {"call_id": "call_1"})
    left = {"call_id": "call_1", "erased": erasure(store).document()}
    assert store.erasures.write_result(result, left)
    assert not store.erasures.write_result(result, {"call_id": "call_1"})
    assert "contact" not in one(store.results.table, {"call_id": "call_1"})


def test_a_result_that_is_added_to_its_batch_meanwhile_is_not_replaced_by_what_was_read(store: Store) -> None:
    """What is due to the batch would be there again, and be added once more."""
    due = {"batch_id": "batch-1", "total_cost": 0.1, "total_minutes": 1.5}
    store.results.record({"call_id": "call_1", "dial_key": "key-1", "batch_due": due})
    result = one(store.results.table, {"call_id": "call_1"})
    store.batches.table.insert({"batch_id": "batch-1"})
    store.batch_sums.fold_all()
    left = {"call_id": "call_1", "batch_due": due, "erased": erasure(store).document()}
    assert not store.erasures.write_result(result, left)
    store.batch_sums.fold_all()
    assert one(store.batches.table, {"batch_id": "batch-1"})["total_minutes"] == 1.5


def test_what_is_due_to_a_batch_outlives_the_erasure_of_its_result(store: Store) -> None:
    due = {"batch_id": "batch-1", "total_cost": 0.1, "total_minutes": 1.5}
    store.batches.table.insert({"batch_id": "batch-1"})
    store.results.record(
        {"call_id": "call_1", "dial_key": "key-1", "batch_due": due, "contact": {"name": "Ana"}}
    )
    result = one(store.results.table, {"call_id": "call_1"})
    assert store.erasures.write_result(result, result_without_person(result, erasure(store)))
    store.batch_sums.fold_all()
    assert one(store.batches.table, {"batch_id": "batch-1"})["total_minutes"] == 1.5
    assert one(store.results.table, {"call_id": "call_1"})["contact"] == {}


def test_results_of_deleted_jobs_are_told_from_the_others(store: Store) -> None:
    add_job(store)
    for job_id in ("job-1", "gone"):
        store.results.record({"call_id": job_id, "job_id": job_id, "created_at": ago(store, days=40)})
    walked = store.erasures.results_before(ago(store, days=30), What.PERSON, Position(), 9)
    results = store.erasures.results([result_id for _, result_id in walked])
    assert len(results) == 2
    assert [result["call_id"] for result in store.erasures.without_job(results)] == ["gone"]


def test_jobs_of_a_person_are_marked_until_they_are_erased(store: Store) -> None:
    add_job(store)
    add_ended(store, "gone", days=1, erased={"what": "person"})
    ids = [job(store)["_id"], job(store, "gone")["_id"]]
    assert store.erasures.mark_forgetting(ids, by="maria", reason="asked") == 1
    (marked,) = store.erasures.being_forgotten(9)
    assert {name: marked.document[FORGETTING][name] for name in ("by", "reason")} == {
        "by": "maria",
        "reason": "asked",
    }


def test_a_file_is_forgotten_in_the_import_and_in_its_batch(store: Store) -> None:
    record = {"_id": "import-1", "file": "ana.csv", "sha256": "ab", "started_at": ago(store, days=40)}
    store.imports.records.insert(record)
    store.batches.create({"batch_id": "b", "last_import": {"import_id": "import-1", "file": "ana.csv"}})
    assert store.erasures.imports_before(ago(store, days=30), 9) == ["import-1"]
    assert store.erasures.forget_file("import-1", erasure(store, What.FILE))
    assert store.erasures.imports_before(ago(store, days=30), 9) == []
    assert "ana.csv" not in repr(store.imports.find("import-1"))
    assert "ana.csv" not in repr(store.batches.get("b").document)


def test_late_jobs_are_counted_by_the_index(store: Store) -> None:
    add_ended(store, "job-1", days=40)
    add_ended(store, "job-2", days=40, erased={"what": "calls"})
    before = store.now() - timedelta(days=30)
    assert store.erasures.count_late(before, What.CALLS, 9) == 1
    assert store.erasures.count_late(before, What.PERSON, 9) == 2
    assert store.erasures.count_late(before, What.PERSON, 1) == 1
