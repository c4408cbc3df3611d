"""What is asked of several documents: what may forbid a dial, what waits and why, counts for figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from speechaid.errors import StoreError
from speechaid.model.job import Job
from speechaid.model.states import JobStatus
from speechaid.store.connection import Store
from speechaid.store.do_not_call import person_forms
from speechaid.store.queue_stats import DueJobs, QueueStats
from speechaid.store.table import INSERTED_AT_ONCE
from tests.integration.contract.documents import (
    BATCH,
    OTHER_BATCH,
    SPELLINGS,
    A,
    B,
    add_job,
    ago,
    ahead,
    candidate,
    claim,
    claim_and_dial,
    job,
    lapse,
    set_fields,
)

KEY = "fingerprint"


# -- what may forbid a dial ------------------------------------------------------------------------------


@pytest.fixture
def grounds(store: Store) -> Store:
    """Something of everything that may forbid a dial, and a job to dial."""
    store.holds.hold(by="ana", reason="x")
    store.holds.write_breaker(KEY, {"failures": 1}, expected_revision=None)
    store.holds.write_breaker("other", {"failures": 2}, expected_revision=None)
    for name in ("acc-1", "acc-2"):
        store.accounts.table.insert({"account_id": name})
    for name in (BATCH, OTHER_BATCH):
        store.batches.create({"batch_id": name})
    store.do_not_call.add(B, source="call")
    store.do_not_call.add("+12025550199", source="call")
    add_job(store, A, B, account_id="acc-1", batch_id=BATCH)
    return store


def test_everything_that_may_forbid_a_dial_is_read_at_once(grounds: Store) -> None:
    seen = grounds.preflight.read(
        job(grounds)["_id"], KEY, account_id="acc-1", batch_id=BATCH, numbers=[A, B]
    )
    assert seen.holds.hold is not None
    assert seen.holds.breaker is not None
    assert seen.account is not None
    assert seen.batch is not None
    assert (seen.holds.hold.reason, seen.holds.breaker["failures"]) == ("x", 1)
    assert (seen.account.account_id, seen.batch.batch_id) == ("acc-1", BATCH)
    assert seen.asked == {A, B}
    assert seen.listed == {B}


def test_what_is_not_there_or_not_asked_for_is_none(grounds: Store) -> None:
    name = job(grounds)["_id"]
    gone = grounds.preflight.read(
        name, "nobody", account_id="gone", batch_id="gone", numbers=["+12025550198"]
    )
    assert (gone.holds.breaker, gone.account, gone.batch, gone.listed) == (None, None, None, frozenset())
    unasked = grounds.preflight.read(name, KEY, account_id=None, batch_id=None, numbers=[])
    assert (unasked.account, unasked.batch, unasked.listed) == (None, None, frozenset())
    assert unasked.holds.hold is not None


def test_a_claimed_job_is_read_with_what_may_forbid_its_dial(grounds: Store) -> None:
    held = claim(grounds)
    found = grounds.preflight.read_with_job(
        held.id, str(held.claim_token), KEY, account_id="acc-1", batch_id=BATCH, numbers=[A, B]
    )
    assert found is not None
    read, seen = found
    assert read.document == job(grounds)
    assert seen.asked == {A, B}
    assert seen.listed == {B}
    assert seen.batch is not None
    lost = grounds.preflight.read_with_job(held.id, "other", KEY, account_id=None, batch_id=None, numbers=[A])
    assert lost is None


@pytest.mark.parametrize("account", ["acc-1", "*"])
def test_a_listed_person_forbids_the_dial_in_the_same_read(grounds: Store, account: str) -> None:
    key = "id:123456785"
    grounds.do_not_call.add_person(account, key, source="call")
    grounds.do_not_call.add_person("acc-2", "id:9", source="call")
    held = claim(grounds)
    of_other = person_forms("acc-2", key) if account == "acc-1" else person_forms("acc-2", "id:7")
    for person, expected in ((person_forms("acc-1", key), True), (of_other, False), ([], False)):
        wanted: dict[str, Any] = {
            "account_id": "acc-1",
            "batch_id": BATCH,
            "numbers": [A, B],
            "person": person,
        }
        seen = grounds.preflight.read(held.id, KEY, **wanted)
        found = grounds.preflight.read_with_job(held.id, str(held.claim_token), KEY, **wanted)
        assert found is not None
        for documents in (seen, found[1]):
            assert documents.is_person_listed is expected
            assert documents.listed == {B}
            assert documents.asked_person == set(person)


@pytest.mark.parametrize("contact", [None, {"phones": B}, {"phones": []}, "text"], ids=str)
def test_a_claimed_job_with_an_odd_contact_is_read_all_the_same(grounds: Store, contact: object) -> None:
    set_fields(grounds, contact=contact)
    held = claim(grounds)
    phones = candidate(grounds).phones
    assert phones == ((B,) if contact == {"phones": B} else ())
    found = grounds.preflight.read_with_job(
        held.id, str(held.claim_token), KEY, account_id=None, batch_id=None, numbers=phones
    )
    assert found is not None
    assert found[0].document == job(grounds)
    assert found[1].listed == found[1].asked == frozenset(phones)


@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=SPELLINGS)
def test_a_number_that_was_listed_in_another_spelling_forbids_the_dial(
    store: Store, spellings: tuple[str, str]
) -> None:
    valid, other = spellings
    store.do_not_call.table.insert({"_id": other, "source": "an earlier version"})
    add_job(store, valid)
    held = claim(store)
    seen = store.preflight.read(held.id, KEY, account_id=None, batch_id=None, numbers=[A, valid])
    assert seen.listed == {valid}
    found = store.preflight.read_with_job(
        held.id, str(held.claim_token), KEY, account_id=None, batch_id=None, numbers=[A, valid]
    )
    assert found is not None
    assert found[1].listed == {valid}
    assert store.do_not_call.listed([A, valid]) == {valid}


@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=SPELLINGS)
def test_an_open_dial_to_another_spelling_of_a_number_makes_it_busy(
    store: Store, spellings: tuple[str, str]
) -> None:
    valid, other = spellings
    add_job(store, other, job_id="theirs")
    claim_and_dial(store, other, job_id="theirs")
    add_job(store, valid, job_id="ours")
    assert store.diagnostics.busy_numbers([A, valid]) == {valid}
    holder = store.diagnostics.holder_of(valid, besides=Job.read(job(store, "ours")))
    assert holder is not None
    assert holder.job_id == "theirs"


# -- jobs one by one -------------------------------------------------------------------------------------


def test_jobs_ahead_of_one_are_the_earlier_ones_of_its_batch(store: Store) -> None:
    for name, minutes in (("first", 3), ("mine", 2), ("later", 1)):
        add_job(store, job_id=name, batch_id=BATCH, reserved_until=ago(store, minutes=minutes))
    add_job(store, job_id="always", batch_id=BATCH)
    add_job(store, job_id="other", batch_id=OTHER_BATCH)
    assert store.diagnostics.ahead_of(Job.read(job(store, "mine")), 9) == 2
    assert store.diagnostics.ahead_of(Job.read(job(store, "mine")), 1) == 1
    assert store.diagnostics.ahead_of(Job.read(job(store, "always")), 9) == 0


def test_jobs_that_wait_are_those_that_are_ready_or_scheduled(store: Store) -> None:
    add_job(store, job_id="2", batch_id=BATCH, reserved_until=ahead(store, hours=2), status="scheduled")
    add_job(store, job_id="1", batch_id=BATCH, reserved_until=ago(store, hours=1))
    add_job(store, job_id="0", batch_id=BATCH)
    add_job(store, job_id="done", batch_id=BATCH, status="done")
    add_job(store, job_id="of another", batch_id=OTHER_BATCH)
    waiting = {found.job_id for found in store.diagnostics.stream_waiting(BATCH)}
    assert waiting == {"0", "1", "2"}
    assert {found.job_id for found in store.diagnostics.stream_waiting(None)} == {*waiting, "of another"}


def test_numbers_in_live_calls_are_found_with_the_jobs_that_have_them(store: Store) -> None:
    for name, number in (("job-1", A), ("job-2", B)):
        add_job(store, job_id=name)
        claim_and_dial(store, number, name, key=name)
    add_job(store, job_id="idle")
    assert store.diagnostics.busy_numbers([A, B, "+12025550199"]) == {A, B}
    holder = store.diagnostics.holder_of(A, Job.read(job(store, "job-2")))
    assert holder is not None
    assert holder.job_id == "job-1"
    assert store.diagnostics.holder_of(A, Job.read(job(store, "job-1"))) is None
    assert {found.job_id for found in store.diagnostics.open_dials(9)} == {"job-1", "job-2"}
    assert store.jobs.has_dial("job-1")
    assert not store.jobs.has_dial("job-3")


def test_open_dials_are_counted_by_what_may_become_of_them(store: Store) -> None:
    for number in range(5):
        add_job(store, job_id=f"{number}")
        held = claim_and_dial(store, f"+1202555010{number}", f"{number}", key=f"{number}", batch_id=BATCH)
        if number == 0:
            store.jobs.record_call(held, "call_0", 60)
        if number == 1:
            lapse(store, "1")
        if number == 2:
            rests_until = ahead(store, hours=1)
            store.jobs.note_on_dial(held, next_lookup_at=rests_until)
            store.jobs.release_lease(held, until=rests_until)
        if number == 3:
            store.jobs.record_verdict(held, {"outcome": "answered"})
    add_job(store, job_id="no batch")
    claim_and_dial(store, "+12025550199", "no batch", key="no batch")

    of_batch = store.jobs.open_dials(BATCH)
    assert (of_batch.live_calls, of_batch.ambiguous, of_batch.on_their_way) == (1, 2, 1)
    assert store.jobs.open_dials(of_batches=True) == of_batch
    assert store.jobs.open_dials().on_their_way == 2
    assert store.jobs.open_dials(OTHER_BATCH).on_their_way == 0
    assert store.jobs.dials_on_their_way() == 2
    assert store.jobs.dials_on_their_way(of_batches=True) == of_batch.on_their_way
    assert store.jobs.dials_on_their_way(BATCH) == of_batch.on_their_way
    assert store.jobs.dials_on_their_way(OTHER_BATCH) == 0


def test_jobs_without_any_phone_that_can_be_read_are_named(store: Store) -> None:
    rows: list[dict[str, Any]] = [
        {"job_id": "fine", "contact": {"phones": [A]}},
        {"job_id": "flat", "to_number": A},
        {"job_id": "one", "contact": {"phone": A}},
        {"job_id": "none"},
        {"job_id": "empty", "contact": {"phones": []}},
        {"job_id": "number", "contact": {"phones": 12025550101}},
        {"job_id": "numbers", "contact": {"phones": [12025550101]}},
        {"job_id": "text", "contact": A},
    ]
    store.jobs.insert_many([{"status": "failed", **row} for row in rows])
    add_job(store, job_id="done", status="done", contact=None)
    assert store.diagnostics.unreadable(9) == ["empty", "none", "number", "numbers", "text"]
    assert len(store.diagnostics.unreadable(2)) == 2


# -- counts ----------------------------------------------------------------------------------------------


def test_jobs_are_counted_by_status_and_by_batch(store: Store) -> None:
    for number, (batch, status) in enumerate(
        ((BATCH, "done"), (BATCH, "done"), (BATCH, "pending"), (OTHER_BATCH, "done"), (None, "odd"))
    ):
        add_job(store, job_id=f"{number}", batch_id=batch, status=status)
    add_job(store, job_id="no batch", status="odd")

    assert store.jobs.counts() == {"done": 3, "pending": 1, "odd": 2}
    assert store.jobs.counts(BATCH) == {"done": 2, "pending": 1}
    # No batch is no batch, be the field null or not there.
    assert store.jobs.counts_by_batch() == {
        BATCH: {"done": 2, "pending": 1},
        OTHER_BATCH: {"done": 1},
        None: {"odd": 2},
    }


def test_suspended_jobs_are_counted_by_reason_and_by_the_account_that_is_wanted(store: Store) -> None:
    suspended = {"status": "suspended"}
    add_job(store, job_id="1", account_id="acc-1", suspend_reason="account_unknown", **suspended)
    add_job(store, job_id="2", account_id="acc-2", suspend_reason="no_credit", **suspended)
    add_job(store, job_id="3", account_id="acc-1")
    add_job(store, job_id="4", account_id="acc-3", status="scheduled")
    add_job(store, job_id="5")
    add_job(store, job_id="6", account_id="acc-1", status="done")
    for account in (7, "7", 7.0):
        add_job(store, job_id=f"{account!r}", account_id=account)
    assert store.diagnostics.suspended_for() == {"account_unknown": 1, "no_credit": 1}
    assert store.diagnostics.awaiting_account() == {"acc-1": 2, "acc-3": 1, "7": 3}


def test_jobs_are_counted_by_the_passes_that_they_used_up(store: Store) -> None:
    for number, attempts in enumerate((0, 2, 2, "2", None)):
        add_job(store, job_id=f"{number}", attempts=attempts, status="failed" if number else "pending")
    add_job(store, job_id="done", attempts=1, status="done")
    assert store.diagnostics.tried_again() == {0: 2, 2: 3}


def test_recent_calls_are_counted_by_outcome_and_reason_and_read_latest_first(store: Store) -> None:
    for number, (minutes, outcome, reason) in enumerate(
        ((1, "answered", "user_hangup"), (2, "answered", "user_hangup"), (3, "busy", None), (90, "busy", "x"))
    ):
        store.results.record(
            {
                "dial_key": f"{number:024x}",
                "created_at": ago(store, minutes=minutes),
                "outcome": outcome,
                "disconnection_reason": reason,
                "duration_ms": number,
                "call_data": {},
            }
        )
    latest_key = f"{4:024x}"
    store.results.record(
        {"dial_key": latest_key, "created_at": store.now(), "outcome": "busy", "duration_ms": 4}
    )
    assert store.diagnostics.recent_outcomes(3600) == {("answered", "user_hangup"): 2, ("busy", "None"): 2}
    latest = store.diagnostics.recent_calls(2)
    assert [row["duration_ms"] for row in latest] == [4, 3]
    assert "call_data" not in latest[0]


def test_due_jobs_are_counted_by_batch_and_account_with_the_time_of_the_first(store: Store) -> None:
    figures = QueueStats(store.jobs.table, store.now)
    first = ago(store, hours=2)
    add_job(store, job_id="1", batch_id=BATCH, reserved_until=first)
    add_job(store, job_id="2", batch_id=BATCH, reserved_until=ago(store, hours=1))
    add_job(store, job_id="3", batch_id=BATCH, reserved_until=ahead(store, hours=1))
    add_job(store, job_id="4", reserved_until=None, created_at=first)
    add_job(store, job_id="5", batch_id=OTHER_BATCH, reserved_until=ahead(store, hours=1))
    add_job(store, job_id="6", batch_id=BATCH, account_id="acc-1", reserved_until=first)

    due = sorted(figures.due(), key=lambda entry: (str(entry.batch_id), str(entry.account_id)))

    assert due == [
        DueJobs(batch_id=None, account_id=None, jobs=1, since=None),
        DueJobs(batch_id=BATCH, account_id=None, jobs=2, since=first),
        DueJobs(batch_id=BATCH, account_id="acc-1", jobs=1, since=first),
    ]
    assert figures.waiting_since(None) == first
    assert figures.waiting_since(BATCH) is None


def test_lapsed_leases_and_parked_calls_are_counted(store: Store) -> None:
    figures = QueueStats(store.jobs.table, store.now)
    oldest = ago(store, hours=2)
    held: dict[str, Any] = {"status": JobStatus.IN_PROGRESS}
    add_job(store, job_id="1", reserved_until=oldest, **held)
    add_job(store, job_id="2", reserved_until=ago(store, hours=1), **held)
    add_job(store, job_id="3", **held)
    parked: dict[str, datetime] = {"parked_at": oldest}
    add_job(store, job_id="4", reserved_until=ahead(store, hours=1), dial={"number": A, **parked}, **held)
    found = figures.in_progress()
    assert (found.lapsed, found.lapsed_since, found.parked) == (3, oldest, 1)


def test_the_variables_of_a_batch_are_read_from_the_jobs_that_wait(store: Store) -> None:
    payload = {"debt_amount": 1000, "additional_info": {"color": "rojo"}}
    waits = {"status": "suspended", "suspend_reason": "not_started"}
    add_job(store, A, job_id="pending", batch_id="b", payload=payload, transcript="long")
    add_job(store, A, job_id="not-started", batch_id="b", payload=payload, **waits)
    add_job(store, A, job_id="set-aside", batch_id="b", status="suspended", suspend_reason="no_credit")
    add_job(store, A, job_id="done", batch_id="b", status="done")
    add_job(store, A, job_id="other", batch_id="c")
    found = {row["job_id"]: row for row in store.imports.waiting_variables("b")}
    assert found.keys() == {"pending", "not-started"}
    assert found["pending"]["payload"] == payload
    assert found["pending"]["contact"]["phones"] == [A]
    assert "transcript" not in found["pending"]


def test_many_jobs_are_inserted_in_portions_and_a_duplicate_keeps_none_of_the_others_out(
    grounds: Store,
) -> None:
    grounds.jobs.table.insert({"_id": "many-3", "job_id": "many-3"})
    rows = [{"_id": f"many-{number}", "job_id": f"many-{number}"} for number in range(INSERTED_AT_ONCE + 5)]
    with pytest.raises(StoreError):
        grounds.jobs.insert_many(rows)
    assert grounds.jobs.table.count({"_id": {"$in": [row["_id"] for row in rows]}}) == len(rows)
