"""Claims, leases, and the token that every write of a job in hand names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from speechaid.errors import LeaseLost, NumberBusy
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.store.connection import Store
from speechaid.store.jobs import Jobs
from tests.integration.contract.documents import (
    LEASE,
    SPELLINGS,
    WORKER,
    A,
    B,
    add_job,
    adopt,
    ago,
    ahead,
    candidate,
    claim,
    claim_and_dial,
    dial_to,
    job,
    lapse,
    set_fields,
)

# -- claims ----------------------------------------------------------------------------------------------


def test_a_claimed_job_has_a_holder_and_a_lease_and_one_revision_more(store: Store) -> None:
    add_job(store, revision=4, foreign=True)
    before = store.now()

    claimed = claim(store)

    document = job(store)
    assert (document["status"], document["worker_id"], document["revision"]) == ("in_progress", WORKER, 5)
    assert document["claim_token"] == claimed.claim_token
    assert timedelta(seconds=LEASE - 1) < document["reserved_until"] - before < timedelta(seconds=LEASE + 60)
    assert "foreign" not in document


def test_of_two_claims_of_the_same_candidate_one_succeeds(store: Store) -> None:
    add_job(store)
    found = candidate(store)
    won = [
        store.jobs.claim(found, worker_id=f"w{number}", token=f"t{number}", lease_seconds=LEASE)
        for number in range(2)
    ]
    assert won == [True, False]
    assert job(store)["claim_token"] == "t0"


def test_a_candidate_that_was_dialled_and_returned_meanwhile_is_not_claimed(store: Store) -> None:
    add_job(store)
    stale = candidate(store)
    store.jobs.requeue(claim(store))

    assert job(store)["status"] == "pending"
    assert not store.jobs.claim(stale, worker_id="w", token="t", lease_seconds=LEASE)


def test_a_candidate_that_another_program_scheduled_anew_is_not_claimed(store: Store) -> None:
    add_job(store)
    stale = candidate(store)
    set_fields(store, reserved_until=ahead(store, hours=1))

    assert not store.jobs.claim(stale, worker_id="w", token="t", lease_seconds=LEASE)


# -- leases ----------------------------------------------------------------------------------------------


def test_lapsed_leases_come_longest_ago_first_and_jobs_without_any_lease_last(store: Store) -> None:
    held = {"status": "in_progress"}
    add_job(store, job_id="no lease", **held)
    for minutes in (1, 3, 2):
        add_job(store, job_id=f"{minutes} min", reserved_until=ago(store, minutes=minutes), **held)
    add_job(store, job_id="live", reserved_until=ahead(store, minutes=1), **held)
    add_job(store, job_id="pending", reserved_until=ago(store, minutes=9))

    ids = [found.id for found in store.jobs.lapsed(16)]

    names = ["3 min", "2 min", "1 min", "no lease"]
    assert ids == [job(store, name)["_id"] for name in names]
    assert [found.id for found in store.jobs.lapsed(2)] == ids[:2]


def test_a_live_lease_is_not_taken_over(store: Store) -> None:
    add_job(store)
    claim(store)
    assert store.jobs.lapsed(16) == []
    assert adopt(store) is None


def test_a_lease_that_was_renewed_after_it_was_read_is_not_taken_over(store: Store) -> None:
    add_job(store)
    claimed = claim(store)
    lapse(store)
    stale = candidate(store)
    store.jobs.renew(claimed, LEASE)
    set_fields(store, reserved_until=ago(store, seconds=5))  # lapsed again, at another time

    assert store.jobs.adopt(stale, worker_id="w", token="t", lease_seconds=LEASE) is None
    fresh = adopt(store, token="t")
    assert fresh is not None
    assert fresh.claim_token == "t"
    assert "foreign" not in job(store)


def test_a_job_in_progress_that_no_speechaid_claimed_is_marked_as_foreign_when_taken_over(
    store: Store,
) -> None:
    add_job(store, status="in_progress")
    taken = adopt(store)
    assert taken is not None
    assert taken.foreign
    assert job(store)["foreign"] is True


def test_a_released_lease_can_be_taken_over_at_once_or_after_the_time_that_was_named(store: Store) -> None:
    add_job(store)
    claimed = claim_and_dial(store)
    until = ahead(store, minutes=2)

    store.jobs.release_lease(claimed, until=until)
    assert store.jobs.lapsed(16) == []
    assert (job(store)["reserved_until"], "worker_id" in job(store)) == (until, False)

    store.jobs.release_lease(claimed)
    assert [found.id for found in store.jobs.lapsed(16)] == [job(store)["_id"]]


def test_a_lease_is_not_renewed_to_dial_while_an_operator_wants_something_of_the_job(store: Store) -> None:
    add_job(store)
    claimed = claim(store)
    assert store.jobs.renew_to_dial(claimed, LEASE + 60)
    before = set_and_read(store, request={"action": "cancel"})

    assert not store.jobs.renew_to_dial(claimed, LEASE + 120)
    assert job(store) == before


def set_and_read(store: Store, **fields: Any) -> Document:
    set_fields(store, **fields)
    return job(store)


# -- the fence -------------------------------------------------------------------------------------------

#: Every method by which a worker writes or reads a job in hand.
GUARDED: dict[str, Callable[[Jobs, Job, datetime], object]] = {
    "renew": lambda jobs, held, _: jobs.renew(held, LEASE),
    "renew_to_dial": lambda jobs, held, _: jobs.renew_to_dial(held, LEASE),
    "reread": lambda jobs, held, _: jobs.reread(held),
    "record_intent": lambda jobs, held, now: jobs.record_intent(held, dial_to(B, now, "key-2")),
    "record_call": lambda jobs, held, _: jobs.record_call(held, "call_1", 60),
    "note_on_dial": lambda jobs, held, now: jobs.note_on_dial(held, parked_at=now),
    "record_verdict": lambda jobs, held, _: jobs.record_verdict(held, {"outcome": "answered"}),
    "drop_reserved_amount": lambda jobs, held, _: jobs.drop_reserved_amount(held),
    "finish": lambda jobs, held, _: jobs.finish(held, {"status": "done"}),
    "keep_deleted": lambda jobs, held, _: jobs.keep_deleted(held, LEASE),
    "requeue": lambda jobs, held, _: jobs.requeue(held),
    "release_lease": lambda jobs, held, _: jobs.release_lease(held),
}


def test_the_table_of_guarded_methods_is_complete() -> None:
    takes_a_job = {
        name
        for name, method in inspect.getmembers(Jobs, inspect.isfunction)
        if not name.startswith("_") and "job" in inspect.signature(method).parameters
    }
    assert takes_a_job == set(GUARDED)


@pytest.mark.parametrize("name", GUARDED)
def test_with_a_token_that_is_not_the_jobs_nothing_is_written(store: Store, name: str) -> None:
    add_job(store)
    now = store.now()
    mine = claim_and_dial(store)
    lapse(store)
    assert adopt(store) is not None
    before = job(store)

    for foreign in (mine, replace(mine, claim_token=None), replace(mine, claim_token="made up")):
        with pytest.raises(LeaseLost):
            GUARDED[name](store.jobs, foreign, now)
    assert job(store) == before


@pytest.mark.parametrize("name", ["record_call", "note_on_dial", "record_verdict", "finish"])
def test_what_is_written_about_a_dial_names_that_dial(store: Store, name: str) -> None:
    add_job(store)
    now = store.now()
    held = claim_and_dial(store)
    before = job(store)

    with pytest.raises(LeaseLost):
        GUARDED[name](store.jobs, replace(held, dial=dial_to(A, now, "another key")), now)
    assert job(store) == before


# -- the dial --------------------------------------------------------------------------------------------


def test_a_second_intent_never_replaces_the_first(store: Store) -> None:
    add_job(store)
    held = claim(store)
    store.jobs.record_intent(held, dial_to(A, store.now()))
    with pytest.raises(LeaseLost):
        store.jobs.record_intent(held, dial_to(B, store.now(), "key-2"))
    assert job(store)["dial"]["key"] == "key-1"


def test_a_number_has_one_open_dial_across_all_jobs(store: Store) -> None:
    for name in ("job-1", "job-2"):
        add_job(store, job_id=name)
    first, second = claim_and_dial(store, job_id="job-1"), claim(store, "job-2")
    before = job(store, "job-2")

    with pytest.raises(NumberBusy):
        store.jobs.record_intent(second, dial_to(A, store.now(), "key-2"))
    assert job(store, "job-2") == before

    store.jobs.requeue(first)
    store.jobs.record_intent(second, dial_to(A, store.now(), "key-2"))
    assert job(store, "job-2")["dial"]["number"] == A


@pytest.mark.parametrize("line", sorted(SPELLINGS.keys() - {"chile"}))
@pytest.mark.parametrize("earlier_is_valid", [True, False])
def test_a_number_has_one_open_dial_in_whatever_spelling(
    store: Store, line: str, earlier_is_valid: bool
) -> None:
    """The dial in the other spelling is another program's, or an earlier version's."""
    valid, other = SPELLINGS[line]
    first, second = (valid, other) if earlier_is_valid else (other, valid)
    add_job(store, first)
    add_job(store, second, job_id="job-2")
    theirs, ours = claim_and_dial(store, first), claim(store, "job-2")
    with pytest.raises(NumberBusy):
        store.jobs.record_intent(ours, dial_to(second, store.now(), "key-2"))
    assert store.jobs.number_is_taken(second, besides=ours.id)
    assert not store.jobs.number_is_taken(first, besides=theirs.id)
    store.jobs.requeue(theirs)
    store.jobs.record_intent(ours, dial_to(second, store.now(), "key-2"))
    assert job(store, "job-2")["dial"]["number"] == second


def test_a_known_call_stands_in_the_dial_and_clears_the_jobs_crashes(store: Store) -> None:
    add_job(store, crashes=2)
    held = store.jobs.record_call(claim_and_dial(store), "call_1", 60)

    document = job(store)
    assert held.dial is not None
    assert (document["call_id"], document["dial"]["call_id"], document["crashes"]) == ("call_1", "call_1", 0)
    assert document["dial"]["placed_at"] == held.dial.placed_at == document["call_started_at"]


def test_a_call_is_followed_while_an_open_dial_has_it(store: Store) -> None:
    add_job(store)
    held = store.jobs.record_call(claim_and_dial(store), "call_1", 60)
    assert store.jobs.follows_call("call_1")
    assert not store.jobs.follows_call("call_2")
    store.jobs.requeue(held)
    assert not store.jobs.follows_call("call_1")


def test_notes_on_a_dial_leave_the_rest_of_it_as_it_is(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)
    before, at = job(store)["dial"], ahead(store, minutes=5)

    store.jobs.note_on_dial(held, empty_lookups=2, next_lookup_at=at)

    assert job(store)["dial"] == {**before, "empty_lookups": 2, "next_lookup_at": at}


def test_the_first_verdict_stands_and_is_returned_to_whoever_comes_second(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)
    store.jobs.record_verdict(held, {"outcome": "answered"})

    again = store.jobs.record_verdict(held, {"outcome": "failed"})

    assert again.dial is not None
    assert again.dial.verdict == job(store)["dial"]["verdict"] == {"outcome": "answered"}


# -- putting a job down ----------------------------------------------------------------------------------


def test_the_last_write_of_a_dial_takes_all_that_a_job_in_hand_has(store: Store) -> None:
    add_job(store, reserved_amount=1.5, foreign=True)
    held = claim_and_dial(store)
    before = job(store)["revision"]

    assert store.jobs.finish(held, {"status": "done", "last_outcome": "answered"})

    document = job(store)
    assert (document["status"], document["last_outcome"]) == ("done", "answered")
    assert document["revision"] == before + 1
    assert {"claim_token", "dial", "request", "foreign"}.isdisjoint(document)
    # What SpeechAI had reserved is to be given back.
    assert (document.get("reserved_amount"), document["reserved_to_give_back"]) == (None, 1.5)


def test_a_job_that_goes_on_keeps_what_speechai_reserved(store: Store) -> None:
    add_job(store, reserved_amount=1.5)
    assert store.jobs.finish(claim_and_dial(store), {"status": "pending"})
    assert job(store)["reserved_amount"] == 1.5
    assert "reserved_to_give_back" not in job(store)


def test_the_end_of_a_job_without_a_reservation_makes_none(store: Store) -> None:
    add_job(store)
    assert store.jobs.finish(claim_and_dial(store), {"status": "failed"})
    assert "reserved_to_give_back" not in job(store)


def test_a_request_that_came_meanwhile_keeps_the_last_write_from_being_made(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)
    before = set_and_read(store, request={"action": "cancel", "by": "ana"})

    assert not store.jobs.finish(held, {"status": "pending"})
    assert job(store) == before


def test_a_status_that_another_program_wrote_stands_and_the_rest_is_written(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)
    set_fields(store, status="cancelled")

    assert store.jobs.finish(held, {"status": "done", "last_outcome": "answered"})
    assert (job(store)["status"], job(store)["last_outcome"]) == ("cancelled", "answered")
    assert "dial" not in job(store)


def test_a_job_that_is_put_back_is_due_after_the_delay(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)
    before = store.now()
    store.jobs.requeue(held, delay_seconds=60, changes={"crashes": 1})

    document = job(store)
    assert (document["status"], document["crashes"]) == ("pending", 1)
    assert before + timedelta(seconds=60) <= document["reserved_until"] <= ahead(store, seconds=60)
    assert {"claim_token", "dial"}.isdisjoint(document)


def test_a_job_that_is_put_back_goes_where_an_operator_wants_it(store: Store) -> None:
    add_job(store)
    held = claim(store)
    set_fields(store, request={"action": "suspend", "reason": "wait"})
    store.jobs.requeue(held)
    assert (job(store)["status"], job(store)["suspend_reason"]) == ("suspended", "wait")
    assert "request" not in job(store)


def test_what_speechai_reserved_can_be_dropped_while_the_job_is_in_hand(store: Store) -> None:
    add_job(store, reserved_amount=2)
    held = store.jobs.drop_reserved_amount(claim(store))
    assert "reserved_amount" not in held.document
    assert "reserved_amount" not in job(store)


# -- workers that crash ----------------------------------------------------------------------------------


def test_a_job_in_hand_of_a_crashed_worker_goes_back_and_the_third_crash_fails_it(store: Store) -> None:
    add_job(store)
    for expected in ("returned", "returned", "failed"):
        claim(store)
        ((left, what),) = store.jobs.worker_crashed(WORKER, 3)
        assert (left.job_id, what) == ("job-1", expected)
    document = job(store)
    assert (document["status"], document["last_error"], document["attempts"]) == (
        "failed",
        "crashed_worker",
        0,
    )
    assert "claim_token" not in document


def test_an_open_dial_of_a_crashed_worker_can_be_taken_over_at_once(store: Store) -> None:
    add_job(store, crashes=7)
    claim_and_dial(store)
    assert store.jobs.lapsed(16) == []

    ((_, what),) = store.jobs.worker_crashed(WORKER, 3)

    assert what == "adoptable"
    assert job(store)["dial"]["key"] == "key-1"
    assert [found.id for found in store.jobs.lapsed(16)] == [job(store)["_id"]]


def test_an_open_dial_that_keeps_crashing_workers_waits_longer_each_time_and_is_never_given_up(
    store: Store,
) -> None:
    add_job(store)
    claim_and_dial(store)
    waits = []
    for expected in ("adoptable", "adoptable", "quarantined", "quarantined"):
        ((_, what),) = store.jobs.worker_crashed(WORKER, 3)
        waits.append(job(store)["reserved_until"])
        assert what == expected
        lapse(store)
        token = f"after {len(waits)}"
        store.jobs.adopt(candidate(store), worker_id=WORKER, token=token, lease_seconds=LEASE)
    now = store.now()
    assert waits[1] <= now < now + timedelta(seconds=20) < waits[2] < waits[3]
    assert (job(store)["status"], job(store)["dial"]["crashes"]) == ("in_progress", 4)
    assert job(store).get("crashes", 0) == 0  # that count is for jobs that were never dialled


def test_a_job_that_was_let_go_belongs_to_nobody_when_its_last_holder_crashes(store: Store) -> None:
    add_job(store)
    until = ahead(store, minutes=2)
    store.jobs.release_lease(claim_and_dial(store), until=until)
    assert store.jobs.worker_crashed(WORKER, 3) == []
    assert job(store)["reserved_until"] == until


def test_jobs_of_other_workers_and_programs_are_left_alone_after_a_crash(store: Store) -> None:
    add_job(store, job_id="theirs")
    add_job(store, job_id="SpeechAI's", status="in_progress", worker_id=WORKER)
    claim(store, "theirs", "worker-1@host-b:1")
    assert store.jobs.worker_crashed(WORKER, 3) == []
    assert job(store, "theirs")["status"] == job(store, "SpeechAI's")["status"] == "in_progress"
