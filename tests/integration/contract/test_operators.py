"""What operators want of jobs: one at a time, of a job with an open dial too, and many at once."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.errors import LeaseLost, NotFound
from speechaid.model.job import Job
from speechaid.model.states import JobStatus, Outcome, SuspendReason
from speechaid.store.connection import Store
from speechaid.store.operator_requests import Requested
from tests.integration.contract.documents import (
    BATCH,
    OTHER_BATCH,
    add_job,
    ago,
    ahead,
    claim,
    claim_and_dial,
    job,
    lapse,
    set_fields,
)


def ask(store: Store, action: str, job_id: str = "job-1") -> Requested:
    return store.requests.ask(job_id, action, reason="because", by="ana")


# -- one job ---------------------------------------------------------------------------------------------


def test_a_hang_up_is_found_until_a_worker_has_asked_retell_for_it(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)
    assert ask(store, "cancel") is Requested.RECORDED
    assert store.requests.hang_ups(9) == []
    assert ask(store, "hang_up") is Requested.RECORDED
    assert store.requests.hang_ups(9) == []  # there is no call yet
    held = store.jobs.record_call(held, "call_1", 60)
    assert store.requests.hang_ups(9) == ["job-1"]
    store.jobs.note_on_dial(held, stop_asked_by="operator")
    assert store.requests.hang_ups(9) == []


def test_a_job_without_a_dial_is_cancelled_at_once_and_whoever_claimed_it_finds_out(store: Store) -> None:
    add_job(store, reserved_amount=2)
    held = claim(store)

    assert ask(store, "cancel") is Requested.DONE

    document = job(store)
    assert (document["status"], document["cancel_reason"]) == ("cancelled", "because")
    assert document["reserved_to_give_back"] == 2
    with pytest.raises(LeaseLost):
        store.jobs.renew(held, 60)


def test_a_request_on_an_open_dial_waits_in_the_job(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store)

    assert ask(store, "cancel") is Requested.RECORDED

    request = job(store)["request"]
    assert (request["action"], request["reason"], request["by"]) == ("cancel", "because", "ana")
    assert job(store)["status"] == "in_progress"
    store.jobs.renew(held, 60)


def test_a_request_on_a_job_that_another_program_left_in_progress_waits(store: Store) -> None:
    add_job(store, status="in_progress")
    assert ask(store, "suspend") is Requested.RECORDED
    assert job(store)["request"]["action"] == "suspend"


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"status": "done"}, "cancel"),
        ({"status": "pending"}, "hang_up"),
        ({"status": "cancelled", "cancel_reason": "do_not_call"}, "reset"),
    ],
    ids=["a done job is cancelled", "no dial is hung up", "do not call is reset"],
)
def test_what_leads_nowhere_is_refused(store: Store, fields: dict[str, Any], action: str) -> None:
    add_job(store, **fields)
    before = job(store)
    assert ask(store, action) is Requested.REFUSED
    assert job(store) == before


def test_nothing_can_be_asked_of_a_job_that_does_not_exist(store: Store) -> None:
    with pytest.raises(NotFound):
        ask(store, "cancel", "nobody")


def test_a_failed_job_is_reset_to_its_first_phone(store: Store) -> None:
    contact = {"phones": ["1", "2"], "next_phone_index": 1}
    add_job(store, status="failed", attempts=3, contact=contact)
    assert ask(store, "reset") is Requested.DONE
    document = job(store)
    assert (document["status"], document["attempts"]) == ("pending", 0)
    assert document["contact"] == {"phones": ["1", "2"], "next_phone_index": 0}


def test_a_suspended_job_is_resumed_unless_it_changed_since_it_was_read(store: Store) -> None:
    due = ahead(store, hours=1)
    fields: dict[str, Any] = {
        "suspend_reason": "operator",
        "suspended_at": store.now(),
        "reserved_until": due,
    }
    add_job(store, status="suspended", **fields)
    read = Job.read(job(store))

    set_fields(store, revision=9)
    assert not store.operator_actions.resume(read)
    assert store.operator_actions.resume(Job.read(job(store)))

    document = job(store)
    assert (document["status"], document["reserved_until"], document["revision"]) == ("pending", due, 10)
    assert {"suspend_reason", "suspended_at"}.isdisjoint(document)


def test_a_waiting_request_is_taken_back_as_it_was_read(store: Store) -> None:
    add_job(store)
    claim_and_dial(store)
    ask(store, "cancel")
    read = Job.read(job(store))
    ask(store, "suspend")

    assert not store.operator_actions.drop_request(read)
    assert store.operator_actions.drop_request(Job.read(job(store)))
    assert "request" not in job(store)


# -- leases that ran out ---------------------------------------------------------------------------------


def test_stuck_jobs_are_those_whose_lease_ran_out_long_ago_or_that_rest_without_one(store: Store) -> None:
    held = {"status": "in_progress"}
    add_job(store, job_id="lease", reserved_until=ago(store, minutes=20), **held)
    add_job(store, job_id="untouched", updated_at=ago(store, minutes=20), **held)
    add_job(store, job_id="nothing", **held)
    add_job(store, job_id="fresh lease", reserved_until=ago(store, minutes=5), **held)
    add_job(store, job_id="touched", updated_at=ago(store, minutes=5), **held)
    add_job(store, job_id="pending", reserved_until=ago(store, minutes=20))

    found = store.operator_actions.stuck(600, 10)

    assert {one.job_id for one in found} == {"lease", "untouched", "nothing"}
    assert [one.id for one in found] == sorted(one.id for one in found)
    assert [one.id for one in store.operator_actions.stuck(600, 10, after=found[0].id)] == [
        one.id for one in found[1:]
    ]
    assert len(store.operator_actions.stuck(600, 2)) == 2


def test_a_stuck_job_is_released_once_its_lease_is_over_and_as_it_was_read(store: Store) -> None:
    add_job(store)
    assert not store.operator_actions.release(claim(store), {"status": "pending"})
    lapse(store)
    stale = Job.read(job(store))
    set_fields(store, reserved_until=ago(store, minutes=5))

    assert not store.operator_actions.release(stale, {"status": "pending"})
    assert store.operator_actions.release(Job.read(job(store)), {"status": "pending"})
    assert job(store)["status"] == "pending"
    assert "claim_token" not in job(store)


def test_a_stuck_job_with_an_open_dial_is_not_released(store: Store) -> None:
    add_job(store)
    claim_and_dial(store)
    lapse(store)
    assert not store.operator_actions.release(Job.read(job(store)), {"status": "pending"})


# -- many jobs -------------------------------------------------------------------------------------------


def test_a_reset_revives_what_failed_but_nobody_who_asked_not_to_be_called(store: Store) -> None:
    add_job(
        store, job_id="failed", status="failed", attempts=3, crashes=2, last_error="x", failed_at=store.now()
    )
    add_job(store, job_id="no contact", status="failed", contact=None)
    add_job(store, job_id="asked", status="cancelled", cancel_reason="do_not_call")
    add_job(store, job_id="asked then failed", status="failed", last_outcome="do_not_call")
    add_job(store, job_id="done", status="done")
    query = store.operator_actions.resettable(["failed", "cancelled"], max_age_seconds=None, batch_id=None)

    assert store.operator_actions.count(query) == 2
    assert store.operator_actions.reset(query, 10) == 2

    revived = job(store, "failed")
    assert (revived["status"], revived["attempts"], revived["crashes"]) == ("pending", 0, 0)
    assert (revived["contact"]["name"], revived["contact"]["next_phone_index"]) == ("Ana", 0)
    assert {"last_error", "failed_at"}.isdisjoint(revived)
    assert job(store, "no contact")["contact"] == {"next_phone_index": 0}
    assert [job(store, name)["status"] for name in ("asked", "asked then failed", "done")] == [
        "cancelled",
        "failed",
        "done",
    ]


def test_a_reset_can_be_of_one_batch_and_of_what_ended_lately(store: Store) -> None:
    long_ago, lately = ago(store, hours=3), ago(store, minutes=5)
    failed = {"status": "failed", "batch_id": BATCH}
    add_job(store, job_id="lately", updated_at=lately, **failed)
    add_job(store, job_id="failed lately", failed_at=lately, created_at=long_ago, **failed)
    add_job(store, job_id="made lately", created_at=lately, **failed)
    add_job(store, job_id="long ago", updated_at=long_ago, failed_at=lately, **failed)
    add_job(store, job_id="other batch", status="failed", batch_id=OTHER_BATCH, updated_at=lately)

    query = store.operator_actions.resettable(["failed"], max_age_seconds=3600, batch_id=BATCH)
    assert store.operator_actions.reset(query, 10) == 3
    assert (job(store, "long ago")["status"], job(store, "other batch")["status"]) == ("failed", "failed")


def test_a_reset_changes_no_more_jobs_than_it_is_told(store: Store) -> None:
    for number in range(3):
        add_job(store, job_id=f"null {number}", status="failed", contact=None)
        add_job(store, job_id=f"full {number}", status="failed")
    query = store.operator_actions.resettable(["failed"], max_age_seconds=None, batch_id=None)
    assert [store.operator_actions.reset(query, limit) for limit in (2, 3, 9)] == [2, 3, 1]


def test_waiting_jobs_of_a_batch_are_cancelled_and_those_in_hand_are_left(store: Store) -> None:
    for status in ("pending", "scheduled", "suspended", "done"):
        add_job(store, job_id=status, status=status, batch_id=BATCH)
    add_job(store, job_id="held", batch_id=BATCH)
    claim(store, "held")
    add_job(store, job_id="other", batch_id=OTHER_BATCH)

    assert store.operator_actions.cancel_waiting(BATCH, 2, {"cancel_reason": "batch"}) == 2
    assert store.operator_actions.cancel_waiting(BATCH, 9, {"cancel_reason": "batch"}) == 1

    assert store.jobs.counts(BATCH) == {"cancelled": 3, "done": 1, "in_progress": 1}
    assert [one.job_id for one in store.operator_actions.in_progress(BATCH)] == ["held"]
    assert job(store, "other")["status"] == "pending"


def test_suspended_jobs_of_an_account_are_revived_by_reason(store: Store) -> None:
    for name, reason in (("1", "no_credit"), ("2", "account_unknown"), ("3", "operator")):
        add_job(store, job_id=name, account_id="acc-1", status="suspended", suspend_reason=reason)
    revived = [SuspendReason.NO_CREDIT, SuspendReason.ACCOUNT_UNKNOWN]
    assert [store.queue.resume_suspended("acc-1", reason, 9) for reason in revived] == [1, 1]
    assert [job(store, name)["status"] for name in "123"] == ["pending", "pending", "suspended"]


# -- finding a job ---------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_name_or_else_by_its_id(store: Store) -> None:
    add_job(store)
    store.jobs.table.insert({"status": "pending", "to_number": "1"})
    nameless = store.jobs.table.find_one({"job_id": None})
    assert nameless is not None
    assert store.jobs.get("job-1").job_id == "job-1"
    assert store.jobs.get(str(nameless["_id"])).id == nameless["_id"]
    with pytest.raises(NotFound):
        store.jobs.get("nobody")


def test_jobs_are_selected_by_batch_and_status_and_found_by_the_beginning_of_their_name(store: Store) -> None:
    for name, batch, status in (("a-1", BATCH, "done"), ("a-2", BATCH, "pending"), ("b-1", None, "done")):
        add_job(store, job_id=name, batch_id=batch, status=status)
    assert {one.job_id for one in store.jobs.select({"batch_id": BATCH}, status=None, limit=9)} == {
        "a-1",
        "a-2",
    }
    assert len(store.jobs.select({"batch_id": BATCH}, status=None, limit=1)) == 1
    selected = store.jobs.select({}, status=Job.read(job(store, "a-1")).status, limit=9)
    assert {one.job_id for one in selected} == {"a-1", "b-1"}
    assert set(store.jobs.find_by_prefix("a-")) == {"a-1", "a-2"}
    assert store.jobs.find_by_prefix("a.") == []


def test_jobs_that_speechai_completed_are_selected_with_those_that_are_done(store: Store) -> None:
    for name, status in (("a-1", "done"), ("a-2", "completed"), ("a-3", "failed")):
        add_job(store, job_id=name, batch_id=BATCH, status=status)
    selected = store.jobs.select({"batch_id": BATCH}, status=JobStatus.DONE, limit=9)
    assert {one.job_id for one in selected} == {"a-1", "a-2"}


def test_what_speechai_reserved_for_ended_jobs_is_found_until_it_is_given_back(store: Store) -> None:
    add_job(store, job_id="ended", status="done", reserved_to_give_back="2.5")
    add_job(store, job_id="other", status="done")
    (found,) = store.legacy.of_ended(10)
    assert (found.job_id, store.legacy.amount(found)) == ("ended", 2.5)
    store.legacy.clear(found)
    assert store.legacy.amount(found) is None
    assert store.legacy.of_ended(10) == []


# -- jobs of a batch that is edited, redialled or deleted --------------------------------------------------


def test_a_job_that_waits_for_a_retry_is_moved_unless_it_changed(store: Store) -> None:
    add_job(store, job_id="waits", batch_id=BATCH, attempts=1, reserved_until=ahead(store, seconds=60))
    add_job(store, job_id="first", batch_id=BATCH, reserved_until=ahead(store, seconds=60))
    add_job(store, job_id="due", batch_id=BATCH, attempts=1, reserved_until=ago(store, seconds=60))
    (waits,) = store.operator_actions.waiting_for_retry(BATCH)
    assert waits.job_id == "waits"
    assert store.operator_actions.move(waits, ahead(store, seconds=30))
    assert not store.operator_actions.move(waits, ahead(store, seconds=20))
    assert store.jobs.get("waits").revision == 1


def test_jobs_that_are_over_without_their_person_reached_are_found_by_outcome(store: Store) -> None:
    over = {"failed": "busy", "done": "voicemail", "pending": "busy", "completed": "voicemail"}
    for status, outcome in over.items():
        add_job(store, job_id=status, batch_id=BATCH, status=status, last_outcome=outcome)
    found = store.operator_actions.find_over(BATCH, [Outcome.BUSY, Outcome.VOICEMAIL])
    assert {row["job_id"] for row in found} == {"failed", "done", "completed"}
    (only,) = store.operator_actions.find_over(BATCH, [Outcome.BUSY])
    assert only["job_id"] == "failed"


def test_jobs_are_inserted_once_however_often_they_come(store: Store) -> None:
    jobs = [{"_id": f"job-{n}", "job_id": f"job-{n}", "status": "pending"} for n in range(3)]
    store.jobs.insert_missing(jobs[:2])
    store.jobs.insert_missing(jobs)
    store.jobs.insert_missing([])
    assert store.jobs.table.count({}) == 3


def test_only_jobs_that_were_never_dialled_are_deleted(store: Store) -> None:
    add_job(store, job_id="waits", batch_id=BATCH)
    add_job(store, job_id="cancelled", batch_id=BATCH, status="cancelled")
    add_job(store, job_id="claimed", batch_id=BATCH, status="in_progress", claim_token="t")
    assert store.operator_actions.count_called(BATCH) == 0
    add_job(store, job_id="called", batch_id=BATCH, call_id="call_1")
    assert store.operator_actions.count_called(BATCH) == 1
    assert store.operator_actions.count_never_called(BATCH) == 2
    assert store.operator_actions.delete_never_called(BATCH, 1) == 1
    assert store.operator_actions.delete_never_called(BATCH, 9) == 1
    assert {row["job_id"] for row in store.jobs.table.find({})} == {"claimed", "called"}
