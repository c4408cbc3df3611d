"""Which jobs a worker claims, and which it does not even read, against the real wire database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.dialer.claim import CONTENDED_MISSES, FETCH_SIZE, JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.rules.turn import TurnEnd, TurnKind, TurnScheduler
from speechaid.store.table import Table
from tests.support.stage import Document, FrozenClock, Stage

A, B = "batch-20260101-0000000a", "batch-20260101-0000000b"
CLOSED = {"allowed_hours": {"start": "09:00", "end": "18:00"}, "days_of_week": ["never"]}


def phone(number: int) -> str:
    return f"+1202555{number:04d}"


def add_jobs(stage: Stage, prefix: str, count: int, **fields: Any) -> None:
    now = stage.store.now()
    stage.database.jobs.insert_many(
        {
            "job_id": f"{prefix}-{number}",
            "status": "pending",
            "contact": {"name": prefix, "phones": [phone(number)], "next_phone_index": 0},
            "attempts": 0,
            "reserved_until": now - timedelta(seconds=count - number),
            "created_at": now,
            **fields,
        }
        for number in range(count)
    )


class Touched:
    """Jobs that were read, by their batch, and how many claims were tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        self.claims = 0
        find, update = Table.find, Table.update

        def counted_find(table: Table, query: Document, **options: Any) -> list[Document]:
            rows = find(table, query, **options)
            if table.name == "jobs":
                self.read += [str(query.get("batch_id")) for _ in rows]
            return rows

        def counted_update(table: Table, query: Document, change: Any, **options: Any) -> bool:
            if table.name == "jobs" and query.get("status") == "pending":
                self.claims += 1
            return update(table, query, change, **options)

        monkeypatch.setattr(Table, "find", counted_find)
        monkeypatch.setattr(Table, "update", counted_update)


def claimed(stage: Stage, context: WorkerContext, at_most: int) -> list[str]:
    """The jobs that one worker claims, and keeps, until none is left for it."""
    claimer = JobClaimer(context)
    names: list[str] = []
    while len(names) < at_most and (found := claimer.claim()) is not None:
        names.append(found.job.job_id)
    return names


def test_a_batch_outside_its_window_costs_a_batch_inside_its_window_no_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_batch(A, call_settings=CLOSED, priority=3)
    stage.add_batch(B)
    add_jobs(stage, "asleep", 2000, batch_id=A)
    add_jobs(stage, "awake", 20, batch_id=B)
    touched = Touched(monkeypatch)

    names = claimed(stage, stage.context(), 100)

    assert sorted(names) == sorted(f"awake-{number}" for number in range(20))
    assert touched.claims == 20
    assert A not in touched.read


@pytest.mark.parametrize(
    "fields",
    [
        {"max_concurrent_calls": 1, "open_dials": [{"key": "k", "job_id": "x"}]},
        {"daily_call_limit": 5, "calls_today": 5},
        {"status": "suspended"},
        {
            "plan_type": "minutes_based",
            "minutes_purchased": 3,
            "minutes_reserved": 3,
            "open_dials": [{"key": "k", "job_id": "x", "minutes": 3}],
        },
    ],
    ids=["no free call slot", "daily limit reached", "not active", "balance reserved by calls in progress"],
)
def test_jobs_of_an_account_that_allows_no_call_now_are_not_claimed_and_requeued_over_and_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, fields: Document
) -> None:
    stage.add_account(**({"plan_type": "unlimited"} | fields))
    stage.add_batch(A, account_id="acc-1")
    add_jobs(stage, "waiting", 100, batch_id=A, account_id="acc-1")
    touched = Touched(monkeypatch)
    context = stage.context()

    claimer = JobClaimer(context)
    assert [claimer.claim() for _ in range(50)] == [None] * 50
    assert touched.claims == 0
    assert len(touched.read) <= 100  # read once, then known

    stage.database.accounts.update_one(
        {},
        {
            "$set": {"status": "active", "calls_today": 0, "minutes_reserved": 0},
            "$unset": {"open_dials": ""},
        },
    )
    claimer = JobClaimer(context)
    assert claimer.claim() is not None


def test_a_slot_that_becomes_free_is_used_by_the_worker_that_saw_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_account(plan_type="unlimited", max_concurrent_calls=1, open_dials=[{"key": "k", "job_id": "x"}])
    stage.add_batch(A, account_id="acc-1")
    add_jobs(stage, "waiting", 3, batch_id=A, account_id="acc-1")
    context = stage.context()
    claimer = JobClaimer(context)
    assert claimer.claim() is None

    stage.database.accounts.update_one({}, {"$set": {"open_dials": []}})
    now = context.clock.boottime()
    monkeypatch.setattr(context.clock, "boottime", lambda: now + 1.3)  # a read is valid for about a second
    assert claimer.claim() is not None


def test_a_full_batch_is_skipped_and_others_go_on(stage: Stage) -> None:
    stage.add_batch(A, call_settings={"max_concurrent_calls": 1}, open_dials=[{"key": "k"}], priority=3)
    stage.add_batch(B)
    add_jobs(stage, "full", 5, batch_id=A)
    add_jobs(stage, "free", 5, batch_id=B)
    assert {name.split("-")[0] for name in claimed(stage, stage.context(), 20)} == {"free"}


def test_in_a_mixed_batch_jobs_of_another_account_are_claimed_although_the_owner_s_is_full(
    stage: Stage,
) -> None:
    stage.add_account("full", plan_type="unlimited", max_concurrent_calls=0)
    stage.add_account("free", plan_type="unlimited")
    stage.add_batch(A, account_id="full")
    add_jobs(stage, "full", 100, batch_id=A, account_id="full")
    add_jobs(stage, "free", 3, batch_id=A, account_id="free")
    add_jobs(stage, "unowned", 2, batch_id=A)
    names = claimed(stage, stage.context(), 20)
    assert sorted(name.split("-")[0] for name in names) == ["free"] * 3 + ["unowned"] * 2


def test_jobs_without_a_batch_are_claimed_past_those_of_an_account_that_allows_no_call(stage: Stage) -> None:
    stage.add_account("full", plan_type="unlimited", daily_call_limit=0)
    add_jobs(stage, "full", 100, account_id="full")
    add_jobs(stage, "free", 3)
    assert {name.split("-")[0] for name in claimed(stage, stage.context(), 20)} == {"free"}


def test_a_window_without_a_zone_uses_the_zone_of_each_job_s_account(stage: Stage) -> None:
    """Noon in one zone is midnight in the other; the batch's account is the one at midnight."""
    hour = stage.store.now().hour
    noon, midnight = f"Etc/GMT{hour - 12:+d}", f"Etc/GMT{hour if hour < 12 else hour - 24:+d}"
    stage.add_account("awake", plan_type="unlimited", timezone=noon)
    stage.add_account("asleep", plan_type="unlimited", timezone=midnight)
    settings = {"allowed_hours": {"start": "10:00", "end": "15:00"}}
    stage.add_batch(A, account_id="asleep", call_settings=settings)
    add_jobs(stage, "asleep", 40, batch_id=A, account_id="asleep")
    add_jobs(stage, "awake", 3, batch_id=A, account_id="awake")
    names = claimed(stage, stage.context(), 50)
    assert [name.split("-")[0] for name in names] == ["awake"] * 3


@pytest.mark.slow
def test_one_claim_suspends_all_jobs_of_an_account_without_credit_and_a_top_up_resumes_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_account(plan_type="credit_based", credit_balance=0, cost_per_call_setup=1)
    stage.add_batch(A, account_id="acc-1")
    add_jobs(stage, "poor", 700, batch_id=A, account_id="acc-1")
    add_jobs(stage, "paid", 1, batch_id=A, account_id="acc-1", reserved_amount=5)
    stage.add_account("other", plan_type="unlimited")
    add_jobs(stage, "other", 1, batch_id=A, account_id="other", status="suspended", suspend_reason="operator")
    context = stage.context()
    touched = Touched(monkeypatch)

    while stage.dial_next(context):
        pass

    counts = stage.store.jobs.counts(A)
    assert counts == {"suspended": 702}
    assert touched.claims <= 3
    assert stage.placed_calls() == []
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(context.settings, now=100.0)
    assert stage.store.jobs.counts(A) == {"suspended": 702}

    stage.database.accounts.update_one({"account_id": "acc-1"}, {"$set": {"credit_balance": 10}})
    housekeeper.tick(context.settings, now=200.0)

    assert stage.store.jobs.counts(A) == {"suspended": 1, "pending": 701}
    assert stage.job("other-0")["suspend_reason"] == "operator"
    assert "suspend_reason" not in stage.job("poor-1")


def test_an_unknown_account_suspends_its_jobs_until_it_exists(stage: Stage) -> None:
    stage.add_batch(A)
    add_jobs(stage, "lost", 30, batch_id=A, account_id="acc-9")
    context = stage.context()
    while stage.dial_next(context):
        pass
    assert stage.store.jobs.counts(A) == {"suspended": 30}
    assert stage.job("lost-3")["suspend_reason"] == "account_unknown"

    stage.add_account("acc-9", plan_type="unlimited")
    Housekeeper(stage.store).tick(context.settings, now=100.0)
    assert stage.store.jobs.counts(A) == {"pending": 30}


def test_a_worker_with_short_calls_claims_on_without_waiting_for_the_next_read(stage: Stage) -> None:
    stage.add_batch(A)
    add_jobs(stage, "job", 3 * FETCH_SIZE, batch_id=A)
    context = stage.context()
    context.clock = FrozenClock(context.clock.boottime())
    assert len(set(claimed(stage, context, 1000))) == 3 * FETCH_SIZE


def test_a_worker_that_loses_its_claims_fetches_more_jobs_instead_of_trying_each(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_batch(A)
    add_jobs(stage, "job", 2 * FETCH_SIZE, batch_id=A)
    claimer = JobClaimer(stage.context())
    assert claimer.claim() is not None
    others = JobClaimer(stage.context("worker-2@host-a:1"))
    while others.claim() is not None:  # all but the last few
        if stage.database.jobs.count_documents({"status": "pending"}) == 4:
            break
    touched = Touched(monkeypatch)
    assert claimer.claim() is not None
    assert touched.claims <= CONTENDED_MISSES + 1


def test_a_full_batch_is_left_after_one_read(stage: Stage) -> None:
    stage.add_batch(A, call_settings={"max_concurrent_calls": 1})
    add_jobs(stage, "job", 5, batch_id=A)
    context = stage.context()
    claimer = JobClaimer(context)
    assert claimer.claim() is not None
    stage.store.batches.register_live_dial(A, "dial-1")
    assert claimer.claim() is None
    stage.store.batches.settle_dial(A, "dial-1", {})
    assert JobClaimer(context).claim() is not None


# -- by turns ------------------------------------------------------------------------------------------------


def test_workers_that_have_claimed_nothing_yet_share_fairly_by_what_comes_with_their_turns(
    stage: Stage,
) -> None:
    stage.add_batch(A)
    stage.add_batch(B)
    add_jobs(stage, "large", 500, batch_id=A)
    add_jobs(stage, "small", 50, batch_id=B)
    context, scheduler = stage.context(), TurnScheduler()
    served = []
    for slot in range(1, 17):
        scheduler.note_request(slot, 0.0, after_job=False)
        turns, _ = scheduler.give(0.0)
        turn = next(turn for turn in turns.values() if turn.kind is TurnKind.CLAIM)
        found = JobClaimer(context).claim(fresh=turn.is_fresh, served=turn.served)  # a worker of its own
        assert found is not None
        served.append(found.job.batch_id)
        scheduler.note_end(slot, TurnEnd(number=turn.number, got=True, more=True, served=served[-1]), 0.0)
    assert served in ([A, B] * 8, [B, A] * 8)


def test_a_look_that_trusts_nothing_finds_what_was_added_since_the_last(stage: Stage) -> None:
    stage.add_batch(A)
    context = stage.context()
    context.clock = FrozenClock(context.clock.boottime())
    claimer = JobClaimer(context)
    assert claimer.claim() is None
    add_jobs(stage, "new", 1, batch_id=A)
    assert claimer.claim() is None
    found = claimer.claim(fresh=True)
    assert found is not None
    assert found.job.job_id == "new-0"
    assert not claimer.has_more()


def test_more_jobs_are_known_of_until_the_last_is_claimed(stage: Stage) -> None:
    stage.add_batch(A)
    add_jobs(stage, "some", 3, batch_id=A)
    claimer = JobClaimer(stage.context())
    more = []
    while claimer.claim() is not None:
        more.append(claimer.has_more())
    assert more == [True, True, False]


def test_a_look_says_when_the_next_job_becomes_due(stage: Stage) -> None:
    stage.add_batch(A)
    context = stage.context()
    context.clock = FrozenClock(context.clock.boottime())
    due_at = stage.store.now() + timedelta(seconds=60)
    add_jobs(stage, "later", 1, batch_id=A)
    stage.database.jobs.update_one({}, {"$set": {"reserved_until": due_at}})
    claimer = JobClaimer(context)
    now = due_at - timedelta(seconds=1)
    context.store.now = context.store.queue._now = lambda: now  # type: ignore[method-assign]
    assert claimer.claim() is None
    next_due_at = claimer.next_due_at()
    assert next_due_at is not None
    assert next_due_at - context.clock.boottime() == pytest.approx(1.0)


def test_a_look_says_when_a_window_opens(stage: Stage) -> None:
    now = datetime(2026, 3, 4, 8, 59, 59, tzinfo=UTC)
    hours = {"allowed_hours": {"start": "09:00", "end": "18:00"}, "timezone": "UTC"}
    stage.add_batch(A, call_settings=hours)
    context = stage.context()
    context.clock = FrozenClock(context.clock.boottime())
    context.store.now = lambda: now  # type: ignore[method-assign]
    claimer = JobClaimer(context)
    assert claimer.claim() is None
    next_due_at = claimer.next_due_at()
    assert next_due_at is not None
    assert next_due_at - context.clock.boottime() == pytest.approx(1.0)
    now -= timedelta(seconds=30)
    assert claimer.claim(fresh=True) is None
    assert claimer.next_due_at() is None
