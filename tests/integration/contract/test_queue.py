"""Jobs that wait: which batches have due ones, which job comes first, and whole accounts put aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from bson import Code, MaxKey, MinKey, ObjectId, Regex, Timestamp

from speechaid.model.job import Job
from speechaid.model.states import SuspendReason
from speechaid.store.connection import Store
from speechaid.store.queue import CHUNK_SIZE, MAX_SINGLE_QUERIES, DueBatch
from tests.integration.contract.documents import BATCH, OTHER_BATCH, add_job, ago, ahead, job, set_fields

NO_CREDIT = SuspendReason.NO_CREDIT
#: So many that they are asked about together.
MANY = [f"batch-{number}" for number in range(MAX_SINGLE_QUERIES + 1)]


def names(store: Store, ids: list[Any]) -> list[str]:
    return [store.jobs.table.find_one({"_id": wanted})["job_id"] for wanted in ids]  # type: ignore[index]


# -- whose turn ------------------------------------------------------------------------------------------


def test_of_few_batches_those_are_named_that_have_a_due_job(store: Store) -> None:
    first = ago(store, minutes=2)
    add_job(store, job_id="1", batch_id="due", reserved_until=ago(store, minutes=1))
    add_job(store, job_id="2", batch_id="due", reserved_until=first)
    add_job(store, job_id="3", batch_id="later", reserved_until=ahead(store, minutes=1))
    add_job(store, job_id="4", batch_id="always", reserved_until=None)
    add_job(store, job_id="5", batch_id="always", reserved_until=first)
    add_job(store, job_id="6", batch_id="over", status="done", reserved_until=first)

    assert store.queue.due_batches(["due", "later", "always", "over"]) == [
        DueBatch(batch_id="always", first_due_at=None),
        DueBatch(batch_id="due", first_due_at=first),
    ]


def test_of_many_batches_those_are_named_that_have_a_pending_job(store: Store) -> None:
    first, later = ago(store, minutes=2), ahead(store, minutes=1)
    add_job(store, job_id="1", batch_id=MANY[0], reserved_until=later)
    add_job(store, job_id="2", batch_id=MANY[1], reserved_until=later)
    add_job(store, job_id="3", batch_id=MANY[1], reserved_until=first)
    add_job(store, job_id="4", batch_id=MANY[2])
    add_job(store, job_id="5", batch_id=MANY[2], reserved_until=first)
    add_job(store, job_id="6", batch_id="not asked for", reserved_until=first)

    assert by_name(store.queue.due_batches(MANY)) == {MANY[0]: later, MANY[1]: first, MANY[2]: None}


def test_all_batches_with_a_pending_job_are_named_and_the_jobs_without_a_batch_too(store: Store) -> None:
    first = ago(store, minutes=2)
    add_job(store, job_id="1", batch_id=BATCH, reserved_until=first)
    add_job(store, job_id="2", reserved_until=first)
    assert by_name(store.queue.due_batches()) == {BATCH: first, None: first}


def by_name(found: list[DueBatch]) -> dict[str | None, datetime | None]:
    assert len({due.batch_id for due in found}) == len(found)
    return {due.batch_id: due.first_due_at for due in found}


@pytest.mark.parametrize("batch", [{}, {"batch_id": None}], ids=["no field", "null"])
def test_the_first_job_without_a_batch_is_found(store: Store, batch: dict[str, None]) -> None:
    first = ago(store, minutes=2)
    assert store.queue.due_without_batch() is None
    add_job(store, job_id="1", reserved_until=ago(store, minutes=1), **batch)
    add_job(store, job_id="2", reserved_until=first, **batch)
    assert store.queue.due_without_batch() == DueBatch(batch_id=None, first_due_at=first)
    add_job(store, job_id="3", **batch)
    assert store.queue.due_without_batch() == DueBatch(batch_id=None, first_due_at=None)


def test_the_next_batch_with_pending_jobs_is_found_in_the_order_of_names(store: Store) -> None:
    add_job(store, job_id="1", batch_id="c")
    add_job(store, job_id="2", batch_id="b")
    add_job(store, job_id="3", batch_id="a2", status="done")
    add_job(store, job_id="4")
    assert store.queue.next_with_pending("a") == "b"
    assert store.queue.next_with_pending("b") == "c"
    assert store.queue.next_with_pending("c") is None


# -- candidates ------------------------------------------------------------------------------------------


def test_candidates_are_the_due_jobs_of_one_batch_longest_due_first(store: Store) -> None:
    for minutes in (1, 3, 2):
        add_job(store, job_id=f"{minutes} min", batch_id=BATCH, reserved_until=ago(store, minutes=minutes))
    add_job(store, job_id="always", batch_id=BATCH, reserved_until=None)
    add_job(store, job_id="later", batch_id=BATCH, reserved_until=ahead(store, minutes=1))
    add_job(store, job_id="other batch", batch_id=OTHER_BATCH)
    add_job(store, job_id="held", batch_id=BATCH, status="in_progress")

    found = names(store, [one.id for one in store.queue.candidates(BATCH, 10)])

    assert found == ["always", "3 min", "2 min", "1 min"]
    assert names(store, [one.id for one in store.queue.candidates(BATCH, 2)]) == found[:2]


def test_a_candidate_carries_what_a_claim_compares(store: Store) -> None:
    due = ago(store, minutes=1)
    add_job(store, batch_id=BATCH, reserved_until=due, revision=7, account_id="acc-1")
    (found,) = store.queue.candidates(BATCH, 10)
    assert (found.revision, found.reserved_until, found.claim_token) == (7, due, None)
    assert found.account_id == "acc-1"


def test_candidates_leave_out_accounts_that_are_named_and_jobs_without_one_if_wanted(store: Store) -> None:
    for name in ("acc-1", "acc-2", "acc-3"):
        add_job(store, job_id=name, account_id=name, reserved_until=ago(store, minutes=1))
    add_job(store, job_id="nobody's")

    def without(*accounts: str | None) -> set[str]:
        return set(names(store, [one.id for one in store.queue.candidates(None, 10, without=accounts)]))

    assert without("acc-1", "acc-3") == {"acc-2", "nobody's"}
    assert without("acc-1", None) == {"acc-2", "acc-3"}


# -- whole accounts --------------------------------------------------------------------------------------


def test_waiting_jobs_of_an_account_are_put_aside_and_brought_back(store: Store) -> None:
    add_job(store, job_id="1", account_id="acc-1", revision=1)
    add_job(store, job_id="reserved", account_id="acc-1", reserved_amount=1)
    add_job(store, job_id="held", account_id="acc-1", status="in_progress")
    add_job(store, job_id="other", account_id="acc-2")

    assert store.queue.suspend_waiting("acc-1", NO_CREDIT, 10) == 1

    put_aside = job(store, "1")
    assert (put_aside["status"], put_aside["suspend_reason"], put_aside["revision"]) == (
        "suspended",
        "no_credit",
        2,
    )
    assert store.queue.accounts_with_suspended(NO_CREDIT) == ["acc-1"]
    assert store.queue.accounts_with_suspended(SuspendReason.ACCOUNT_UNKNOWN) == []
    assert store.queue.resume_suspended("acc-1", SuspendReason.ACCOUNT_UNKNOWN, 10) == 0
    assert store.queue.resume_suspended("acc-1", NO_CREDIT, 10) == 1
    assert job(store, "1")["status"] == "pending"
    assert {"suspend_reason", "suspended_at"}.isdisjoint(job(store, "1"))


def test_more_jobs_than_one_portion_are_put_aside_and_no_more_than_the_limit(store: Store) -> None:
    rows = [
        {"job_id": f"{number}", "status": "pending", "account_id": "acc-1"}
        for number in range(CHUNK_SIZE + 9)
    ]
    store.jobs.insert_many(rows)
    assert store.queue.suspend_waiting("acc-1", NO_CREDIT, CHUNK_SIZE + 5) == CHUNK_SIZE + 5
    assert store.jobs.table.count({"status": "pending"}) == 4
    assert store.queue.resume_suspended("acc-1", NO_CREDIT, 3) == 3


# -- what SpeechAI left ----------------------------------------------------------------------------------


def test_scheduled_jobs_become_pending_and_keep_their_time(store: Store) -> None:
    at = ahead(store, hours=1)
    add_job(store, status="scheduled", reserved_until=at)
    assert store.queue.make_scheduled_pending() == 1
    assert (job(store)["status"], job(store)["reserved_until"], job(store)["revision"]) == ("pending", at, 1)
    assert store.queue.make_scheduled_pending() == 0


def test_old_retries_are_found_by_a_time_that_has_come_written_as_text_or_not(store: Store) -> None:
    failed = {"status": "failed"}
    add_job(store, job_id="due", next_try_at=ago(store, minutes=1), **failed)
    add_job(store, job_id="text", next_try_at="2026-01-01T00:00:00", **failed)
    add_job(store, job_id="later", next_try_at=ahead(store, minutes=1), **failed)
    add_job(store, job_id="text-later", next_try_at="2999-01-01T00:00:00", **failed)
    add_job(store, job_id="odd", next_try_at="tomorrow", **failed)
    add_job(store, job_id="never", next_try_at=None, **failed)
    add_job(store, job_id="done", next_try_at=ago(store, minutes=1), status="done")

    assert [one.job_id for one in store.queue.legacy_retries(1)] == ["text"]  # due for longer
    found = store.queue.legacy_retries(9)

    assert [one.job_id for one in found] == ["text", "due"]
    assert job(store, "text-later")["next_try_at"].year == 2999
    assert "next_try_at" not in job(store, "odd")
    assert store.queue.requeue_legacy_retry(found[1])
    assert (job(store, "due")["status"], job(store, "due")["reserved_until"]) == ("pending", None)
    assert "next_try_at" not in job(store, "due")


@pytest.mark.parametrize("change", [{"status": "done"}, {"revision": 1}, {"next_try_at": "tomorrow"}])
def test_an_old_retry_that_changed_since_it_was_read_is_left(store: Store, change: dict[str, Any]) -> None:
    add_job(store, status="failed", next_try_at=ago(store, minutes=1))
    (found,) = store.queue.legacy_retries(9)
    set_fields(store, **change)
    before = job(store)
    assert not store.queue.requeue_legacy_retry(found)
    assert not store.queue.drop_legacy_retry(found)
    assert job(store) == before


def test_times_that_are_text_or_numbers_become_times(store: Store) -> None:
    add_job(store, job_id="text", reserved_until="2026-01-02T03:04:05+00:00", revision=1)
    add_job(store, job_id="odd", reserved_until="soon")
    add_job(store, job_id="milliseconds", reserved_until=1_767_323_045_000)
    add_job(store, job_id="no lease", reserved_until="soon", status="in_progress")
    for number, odd in enumerate([True, False, float("nan"), {"at": 1}, -1.5]):
        add_job(store, job_id=f"no lease {number}", reserved_until=odd, status="in_progress")
    add_job(store, job_id="time", reserved_until=ago(store, minutes=1))
    add_job(store, job_id="done", reserved_until="soon", status="done")

    assert store.queue.convert_due_times() == 8

    text = job(store, "text")
    assert Job.read(text).reserved_until == text["reserved_until"]
    assert (text["reserved_until"].isoformat(), text["revision"]) == ("2026-01-02T03:04:05+00:00", 2)
    assert job(store, "milliseconds")["reserved_until"] == text["reserved_until"]
    assert job(store, "no lease")["reserved_until"] is None
    assert [job(store, f"no lease {number}")["reserved_until"] for number in range(5)] == [None] * 5
    # Who wrote it did not want the call at once: the job is not due until somebody corrects it.
    assert job(store, "odd")["reserved_until"] == "soon"
    assert job(store, "done")["reserved_until"] == "soon"
    assert store.queue.convert_due_times() == 0


#: A due time or lease of a type that no query compares with a time. None: the server stores no such thing.
OTHER_TYPES: dict[str, Any] = {
    "bytes": b"soon",
    "object id": ObjectId("0" * 24),
    "pattern": Regex("^2026"),
    "code": Code("f()"),
    "least key": MinKey(),
    "largest key": MaxKey(),
    "list": [],
    "document": {},
    "true": True,
}


@pytest.mark.parametrize("written", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_a_lease_of_another_type_lapses_and_a_due_time_of_it_never_comes(store: Store, written: Any) -> None:
    add_job(store, job_id="lease", reserved_until=written, status="in_progress", claim_token="t")
    add_job(store, job_id="waits", reserved_until=written, batch_id=BATCH)

    assert store.queue.convert_due_times() == 1

    assert job(store, "lease")["reserved_until"] is None
    assert [one.claim_token for one in store.jobs.lapsed(9)] == ["t"]
    assert store.queue.candidates(BATCH, 9) == []


def test_a_time_that_is_a_timestamp_of_mongodb_becomes_a_time(store: Store) -> None:
    past, later = ago(store, minutes=1), ahead(store, hours=1)
    add_job(store, job_id="due", reserved_until=Timestamp(past, 1), batch_id=BATCH)
    add_job(store, job_id="later", reserved_until=Timestamp(later, 1), batch_id=BATCH)
    add_job(store, job_id="lapsed", reserved_until=Timestamp(past, 1), status="in_progress")
    add_job(store, job_id="no time", reserved_until=Timestamp(1, 1), batch_id=BATCH)

    assert store.queue.convert_due_times() == 3

    assert names(store, [one.id for one in store.queue.candidates(BATCH, 9)]) == ["due"]
    assert names(store, [one.id for one in store.jobs.lapsed(9)]) == ["lapsed"]
    assert job(store, "later")["reserved_until"] == later.replace(microsecond=0)
    assert job(store, "no time")["reserved_until"] == Timestamp(1, 1)
