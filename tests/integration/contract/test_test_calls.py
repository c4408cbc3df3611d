"""Test calls: registered numbers, which row is tried, one test to a number, and what leaves them out."""

from __future__ import annotations

from typing import Any

from speechaid.model.states import SuspendReason
from speechaid.model.test_calls import TESTS
from speechaid.store.connection import Store
from speechaid.store.queue import DueBatch
from speechaid.store.test_calls import RegisteredNumber, of_campaigns
from tests.integration.contract.documents import BATCH, A, add_job, ago, ahead, job

NUMBER = "+56955550099"
#: A Mexican line in its older spelling, and as it is dialled now.
OLDER, NEWER = "+5215512345678", "+525512345678"


def register(store: Store, number: str = NUMBER, account_id: str | None = None) -> RegisteredNumber:
    store.test_calls.add_number(number, account_id=account_id, note=None, by="maria")
    found = store.test_calls.find_number(number)
    assert found is not None
    return found


def add_test(store: Store, job_id: str = "test-1", *, minutes: float = 5, **fields: Any) -> None:
    until = ahead(store, minutes=minutes) if minutes > 0 else ago(store, minutes=-minutes)
    mark = {"batch_id": BATCH, "job_id": "row-1", "by": "maria", "until": until}
    fields = {"reserved_until": ago(store, minutes=1), **fields}
    add_job(store, job_id=job_id, batch_id=TESTS, test=mark, **fields)


def test_a_number_is_registered_once_in_whatever_spelling(store: Store) -> None:
    register(store, NEWER)
    store.test_calls.add_number(OLDER, account_id="acc-1", note="again", by="luis")
    (one,) = store.test_calls.find_numbers()
    assert (one.number, one.account_id, one.note, one.by) == (NEWER, "acc-1", "again", "luis")
    assert store.test_calls.remove_number(OLDER)
    assert not store.test_calls.remove_number(OLDER)
    assert store.test_calls.find_number(NEWER) is None


def test_a_preflight_of_a_test_tells_whether_its_number_is_registered_for_the_account(store: Store) -> None:
    register(store, NEWER, account_id="acc-1")
    add_test(store)
    test = job(store, "test-1")

    def registered(account_id: str | None, *, of_test: bool = True) -> frozenset[str]:
        return store.preflight.read(
            test["_id"], "f", account_id=account_id, batch_id=BATCH, numbers=[OLDER, NUMBER], of_test=of_test
        ).registered

    assert registered("acc-1") == {OLDER}
    assert registered("acc-2") == frozenset()
    assert registered(None) == frozenset()
    assert registered("acc-1", of_test=False) == frozenset()


def test_a_row_is_found_by_its_place_in_the_order_of_arrival(store: Store) -> None:
    add_job(store, job_id="job-1", batch_id=BATCH, contact={"phones": []})
    add_job(store, job_id="job-0", batch_id="another")
    add_job(store, job_id="job-2", batch_id=BATCH, contact={"phones": ["+56912345671"]})
    found = [store.test_calls.find_row(BATCH, position) for position in (1, 2, 3, None)]
    assert [None if one is None else one.job_id for one in found] == ["job-1", "job-2", None, "job-2"]
    assert store.test_calls.find_row("nowhere", None) is None


def test_of_two_tests_to_a_number_one_begins(store: Store) -> None:
    registered = register(store)
    until = ahead(store, minutes=5)
    mark = {"batch_id": BATCH, "job_id": "row-1", "by": "maria", "until": until}
    document = {"batch_id": TESTS, "status": "pending", "test": mark}
    assert store.test_calls.create(registered, {**document, "job_id": "test-1"}, until)
    assert not store.test_calls.create(registered, {**document, "job_id": "test-2"}, until)
    assert store.holds.read("f").tests_until == until
    running = store.test_calls.find_open(register(store))
    assert running is not None
    assert running.job_id == "test-1"


def test_a_test_that_is_over_or_was_not_placed_in_time_is_not_open(store: Store) -> None:
    registered = register(store)
    add_test(store, "test-1", status="done")
    add_test(store, "test-2", minutes=-1)
    add_test(store, "test-3", minutes=-1, status="in_progress")
    for latest, is_open in (("test-1", False), ("test-2", False), ("test-3", True), ("gone", False)):
        store.test_calls.numbers.update({"_id": NUMBER}, {"$set": {"latest": latest}})
        found = store.test_calls.find_number(NUMBER)
        assert found is not None
        assert (store.test_calls.find_open(found) is not None) is is_open
    assert registered.latest is None


def test_workers_look_for_tests_until_the_last_of_them_is_over(store: Store) -> None:
    assert store.holds.read("f").tests_until is None
    later, sooner = ahead(store, minutes=5), ahead(store, minutes=1)
    store.holds.note_tests(later)
    store.holds.note_tests(sooner)
    assert store.holds.read("f").tests_until == later


def test_due_tests_are_found_apart_from_all_other_jobs(store: Store) -> None:
    add_job(store, job_id="job-1")
    assert store.queue.due_tests() is None
    due = ago(store, minutes=1)
    add_test(store, reserved_until=due, account_id="acc-1")
    assert store.queue.due_tests() == DueBatch(batch_id=TESTS, first_due_at=due)
    (candidate,) = store.queue.candidates(TESTS, 9)
    assert (candidate.tested_batch_id, candidate.account_id) == (BATCH, "acc-1")
    assert [one.id for one in store.queue.candidates(None, 9)] == [job(store, "job-1")["_id"]]


def test_tests_that_nobody_placed_in_time_are_ended_and_no_other_job(store: Store) -> None:
    add_test(store, "test-1", minutes=-1)
    add_test(store, "test-2", minutes=1)
    add_test(store, "test-3", minutes=-1, status="in_progress")
    add_job(store, job_id="job-1", batch_id=BATCH)
    assert store.test_calls.end_expired() == 1
    assert store.test_calls.end_expired() == 0
    ended = job(store, "test-1")
    assert (ended["status"], ended["cancel_reason"]) == ("cancelled", "test_expired")
    assert [job(store, name)["status"] for name in ("test-2", "test-3", "job-1")] == [
        "pending",
        "in_progress",
        "pending",
    ]


def test_what_is_asked_about_campaigns_leaves_tests_out(store: Store) -> None:
    add_test(store, account_id="acc-1")
    add_job(store, job_id="job-1", account_id="acc-1")
    add_job(store, job_id="job-2", batch_id=BATCH, account_id="acc-1")
    found = store.jobs.table.find(of_campaigns({"account_id": "acc-1"}))
    assert sorted(row["job_id"] for row in found) == ["job-1", "job-2"]
    assert of_campaigns({"batch_id": BATCH}) == {"batch_id": BATCH}
    assert [row["job_id"] for row in store.people.find(store.people.of_phone([], [A], None), 9)] == [
        "job-1",
        "job-2",
    ]
    assert store.queue.next_with_pending("") == BATCH
    assert store.queue.next_with_pending(BATCH) is None
    assert store.queue.suspend_waiting("acc-1", SuspendReason.NO_CREDIT, 9) == 2
    assert job(store, "test-1")["status"] == "pending"
