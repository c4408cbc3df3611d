"""A week in four time zones over a clock change, checked by code that uses none of our rules."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from speechaid.store.queue import Queue
from tests.support.week import PlacedCall, Week

#: A week is simulated before the first test of its kind: minutes on a machine that does other work, too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Document = dict[str, Any]
HOUR, DAY = 3600.0, 86_400.0

#: Chile sets its clocks back in the night to Sunday, 5 April 2026; New York forward on Sunday, 8 March.
WEEKS = {
    "Chile's clocks go back": (datetime(2026, 4, 1, tzinfo=UTC), 1),
    # With a third of the jobs.
    "New York's clocks go forward": (datetime(2026, 3, 4, tzinfo=UTC), 3),
}

ACCOUNTS: dict[str, Document] = {
    "cl": {
        "plan_type": "credit_based",
        "credit_balance": 5000,
        "cost_per_call_setup": 0.35,
        "cost_per_minute": 0.17,
        "cost_failed_call": 0.03,
        "timezone": "America/Santiago",
        "max_concurrent_calls": 3,
        "daily_call_limit": 260,
    },
    "ar": {
        "plan_type": "minutes_based",
        "minutes_purchased": 90,
        "timezone": "America/Argentina/Buenos_Aires",
    },
    "mx": {"plan_type": "unlimited", "timezone": "America/Mexico_City", "daily_call_limit": 400},
    "us": {
        "plan_type": "credit_based",
        "credit_balance": 40,
        "cost_per_call_setup": 0.25,
        "cost_per_minute": 0.4,
        "timezone": "America/New_York",
        "max_concurrent_calls": 4,
    },
}


def hours(start: str, end: str, zone: str | None, *days: int, **more: Any) -> Document:
    settings: Document = {"allowed_hours": {"start": start, "end": end}, **more}
    if zone is not None:
        settings["timezone"] = zone
    return settings | ({"days_of_week": list(days)} if days else {})


BATCHES: dict[str, tuple[str | None, int, int, Document]] = {
    "office": ("cl", 1, 400, hours("09:00", "18:00", "America/Santiago", 1, 2, 3, 4, 5)),
    "night": ("cl", 2, 250, hours("20:00", "02:00", "America/Santiago")),
    "noon": ("ar", 1, 300, hours("10:00", "13:30", "America/Argentina/Buenos_Aires", 1, 2, 3, 4, 5, 6)),
    "weekend": (
        "mx",
        3,
        120,
        hours("22:00", "06:00", "America/Mexico_City", 5, 6, 0, max_concurrent_calls=1),
    ),
    "york": ("us", 1, 300, hours("08:30", "17:30", "America/New_York")),
    "early": ("us", 1, 60, hours("01:30", "04:00", "America/New_York")),
    "of its accounts": ("mx", 1, 200, hours("09:00", "12:00", None, retry_delay_hours=5)),
    "paused": ("cl", 3, 80, hours("09:00", "18:00", "America/Santiago")),
    "not understood": ("mx", 3, 40, hours("9am", "6pm", "America/Mexico_City")),
}
PAUSED = (1.5 * DAY, 4.25 * DAY)
HELD = (2 * DAY + 15 * HOUR, 2 * DAY + 16 * HOUR)
TOP_UP_AT = 4.6 * DAY
LISTED_AT = 1.7 * DAY


@pytest.fixture(params=list(WEEKS.values()), ids=list(WEEKS), scope="module")
def week(request: pytest.FixtureRequest) -> Week:
    """The week, when it is over."""
    start, share = request.param
    week = Week(start=start)
    fill(week, share)
    idle_check = IdleCheck(week)
    week.on_idle = idle_check.is_waiting
    week.run(7)
    assert idle_check.idle_moments > 1000
    return week


def fill(week: Week, share: int) -> None:
    for name, fields in ACCOUNTS.items():
        week.store.accounts.table.insert({"account_id": name, "status": "active", **fields})
    serial = 0
    for name, (account, priority, jobs, settings) in BATCHES.items():
        week.store.batches.create(
            {"batch_id": name, "account_id": account, "priority": priority, "call_settings": settings}
        )
        for _ in range(jobs // share):
            serial += 1
            # In the mixed batch every third job belongs to another account, in another zone.
            owner = "us" if name == "of its accounts" and serial % 3 == 0 else account
            add_job(week, serial, batch_id=name, account_id=owner)
    for _ in range(50):
        serial += 1
        add_job(week, serial)
    at = week.clock.at
    accounts, batches = week.store.accounts.table, week.store.batches
    at(PAUSED[0], lambda: void(batches.pause("paused", by="test", reason=None)))
    at(PAUSED[1], lambda: void(batches.resume("paused", by="test")))
    at(HELD[0], lambda: week.store.holds.hold(by="test", reason=None))
    at(HELD[1], lambda: void(week.store.holds.unhold(by="test")))
    at(TOP_UP_AT, lambda: void(accounts.update({"account_id": "ar"}, {"$inc": {"minutes_purchased": 200}})))
    at(TOP_UP_AT, lambda: void(accounts.update({"account_id": "us"}, {"$inc": {"credit_balance": 150}})))
    listed = [phone(number, 0) for number in range(1, serial, 13)]
    at(LISTED_AT, lambda: void(week.store.do_not_call.add_many(listed, source="test")))


def void(_: object) -> None:
    """What is scheduled returns nothing."""


def phone(serial: int, place: int) -> str:
    return f"+5691{serial:04d}{place:03d}"


def add_job(week: Week, serial: int, **fields: Any) -> None:
    phones = [phone(serial, place) for place in range(1 + serial % 3)]
    week.store.jobs.table.insert(
        {
            "job_id": f"job-{serial}",
            "status": "pending",
            "attempts": 0,
            "reserved_until": None,
            "contact": {"name": "Ana", "phones": phones, "next_phone_index": 0},
            **fields,
        }
    )


# -- the check ---------------------------------------------------------------------------------------------


def in_hours(settings: Document, zone: str | None, moment: datetime) -> bool:
    """Whether local time, compared as text, is in the window; uses none of the code under test."""
    wall = moment.astimezone(ZoneInfo(settings.get("timezone") or zone or "UTC"))
    opens, closes = settings["allowed_hours"]["start"], settings["allowed_hours"]["end"]
    if len(opens) != 5:
        return False
    days = {day or 7 for day in settings.get("days_of_week", range(1, 8))}
    shown = wall.strftime("%H:%M")
    if opens < closes:
        return opens <= shown < closes and wall.isoweekday() in days
    evening = shown >= opens
    day = wall.isoweekday() if evening else (wall.date() - timedelta(days=1)).isoweekday()
    return (evening or shown < closes) and day in days


def window_of(job: Document, moment: datetime) -> bool:
    if "batch_id" not in job:
        return True
    zone = ACCOUNTS[job["account_id"]].get("timezone")
    return in_hours(BATCHES[job["batch_id"]][3], zone, moment)


class IdleCheck:
    """Reads the raw documents whenever a worker has found nothing to do: no job should be waiting."""

    #: A job that was requeued for a limit or a pause is claimed again within this many seconds.
    LONGEST_WAIT = 20.0

    def __init__(self, week: Week) -> None:
        self.week = week
        self.idle_moments = 0
        self._waiting: str | None = None
        self._since = 0.0
        self._read = 0
        #: By account: each call and the day on which it was placed in the account's zone.
        self._calls: dict[str, list[tuple[PlacedCall, date]]] = defaultdict(list)

    def is_waiting(self) -> bool:
        self.idle_moments += 1
        waiting = next(self.waiting(), None)
        now = self.week.clock
        if waiting != self._waiting:
            self._waiting, self._since = waiting, now.seconds
        waits = now.seconds - self._since
        assert waiting is None or waits <= self.LONGEST_WAIT, f"{waiting} waits {waits} s until {now.now()}"
        return waiting is not None

    def waiting(self) -> Iterator[str]:
        week, now = self.week, self.week.clock.now()
        seconds = week.clock.seconds
        if HELD[0] <= seconds <= HELD[1] + self.LONGEST_WAIT or seconds < self.LONGEST_WAIT:
            return
        for batch in [*BATCHES, None]:
            places = week.mongo.get_collection("jobs").places
            pending = places.get(("pending", batch), ())
            if not pending:
                continue
            if batch == "paused" and PAUSED[0] <= seconds <= PAUSED[1] + self.LONGEST_WAIT:
                continue
            most = BATCHES[batch][3].get("max_concurrent_calls") if batch else None
            if most is not None and len(places.get(("in_progress", batch), ())) >= most:
                continue
            before = now - timedelta(seconds=self.LONGEST_WAIT)
            callable_now: dict[str | None, bool] = {}
            for job in pending:
                due_at, owner = job.get("reserved_until"), job.get("account_id")
                if due_at is not None and due_at > before:
                    break  # those after it are due later
                if owner not in callable_now:
                    open_now = window_of(job, now) and window_of(job, before)
                    callable_now[owner] = open_now and self.account_allows(owner)
                if callable_now[owner]:
                    yield str(job["job_id"])

    def made_today(self, name: str) -> int:
        """Calls of an account that were placed today in its zone, and are over."""
        week, zone = self.week, ZoneInfo(ACCOUNTS[name]["timezone"])
        today = week.clock.now().astimezone(zone).date()
        for call in islice(week.retell.calls.values(), self._read, None):
            self._read += 1
            owner = call.metadata.get("account_id")
            if owner is not None:
                owner_zone = ZoneInfo(ACCOUNTS[owner]["timezone"])
                self._calls[owner].append((call, moment(week, call.placed_at).astimezone(owner_zone).date()))
        made = 0
        for call, day in reversed(self._calls[name]):
            if day != today:
                break
            made += call.reason != "concurrency_limit_reached" and call.ended_at <= week.clock.seconds
        return made

    def account_allows(self, name: str | None) -> bool:
        if name is None:
            return True
        week, account = self.week, ACCOUNTS[name]
        places = week.mongo.get_collection("jobs").places
        live = [job for batch in [*BATCHES, None] for job in places.get(("in_progress", batch), ())]
        mine = [job for job in live if job.get("account_id") == name]
        if len(mine) >= account.get("max_concurrent_calls", 1000):
            return False
        limit = account.get("daily_call_limit")
        if limit is not None and len(mine) + self.made_today(name) >= limit:
            return False
        # An account that may be out of credit may wait.
        document = next(row for row in week.rows("accounts").values() if row["account_id"] == name)
        credit = document.get("credit_balance", 0) - document.get("credit_used", 0)
        minutes = document.get("minutes_purchased", 0) - document.get("minutes_used", 0)
        match account["plan_type"]:
            case "credit_based":
                left = round(credit - document.get("credit_reserved", 0), 4)
                return bool(left >= account["cost_per_call_setup"])
            case "minutes_based":
                return bool(round(minutes - document.get("minutes_reserved", 0), 4) > 0)
        return True


def moment(week: Week, seconds: float) -> datetime:
    return week.start + timedelta(seconds=seconds)


def most_at_once(calls: list[PlacedCall]) -> int:
    changes = sorted([(call.placed_at, 1) for call in calls] + [(call.ended_at, -1) for call in calls])
    live = most = 0
    for _, change in changes:
        live += change
        most = max(most, live)
    return most


# -- what must hold ----------------------------------------------------------------------------------------


def jobs_by_name(week: Week) -> dict[str, Document]:
    return {row["job_id"]: row for row in week.rows("jobs").values()}


def calls_by(week: Week, name: str) -> dict[str | None, list[PlacedCall]]:
    found: dict[str | None, list[PlacedCall]] = defaultdict(list)
    for call in sorted(week.retell.calls.values(), key=lambda call: call.placed_at):
        found[call.metadata.get(name)].append(call)
    return found


def test_thousands_of_calls_were_placed_in_every_zone(week: Week) -> None:
    assert len(week.retell.calls) > 1000
    for batch, calls in calls_by(week, "batch_id").items():
        assert len(calls) > 10, batch
    assert set(calls_by(week, "batch_id")) == {*BATCHES, None} - {"not understood"}


def test_no_call_was_placed_outside_its_window(week: Week) -> None:
    jobs = jobs_by_name(week)
    for call in week.retell.calls.values():
        job = jobs[call.metadata["job_id"]]
        assert window_of(job, moment(week, call.placed_at)), (job, moment(week, call.placed_at))


def test_no_limit_was_exceeded_at_any_moment(week: Week) -> None:
    for name, calls in calls_by(week, "account_id").items():
        if name is None:
            continue
        account = ACCOUNTS[name]
        assert most_at_once(calls) <= account.get("max_concurrent_calls", 10**9)
        zone = ZoneInfo(account["timezone"])
        by_day: dict[object, int] = defaultdict(int)
        for call in calls:
            if call.reason != "concurrency_limit_reached":
                by_day[moment(week, call.placed_at).astimezone(zone).date()] += 1
        assert max(by_day.values()) <= account.get("daily_call_limit", 10**9)
    for batch, calls in calls_by(week, "batch_id").items():
        limit = BATCHES[batch][3].get("max_concurrent_calls") if batch else None
        assert most_at_once(calls) <= (limit or 10**9)
    # The limits were reached, else this proves nothing.
    assert most_at_once(calls_by(week, "account_id")["cl"]) == 3
    assert most_at_once(calls_by(week, "batch_id")["weekend"]) == 1


def test_no_call_was_placed_during_pause_or_hold_or_to_a_listed_number(week: Week) -> None:
    listed = {row["_id"]: row for row in week.rows("speechaid_do_not_call").values()}
    assert len(listed) > 20
    for call in week.retell.calls.values():
        assert not HELD[0] < call.placed_at < HELD[1]
        if call.metadata.get("batch_id") == "paused":
            assert not PAUSED[0] < call.placed_at < PAUSED[1]
        if call.number in listed:
            assert moment(week, call.placed_at) <= listed[call.number]["at"]
    by_number: dict[str, list[PlacedCall]] = defaultdict(list)
    for call in week.retell.calls.values():
        by_number[call.number].append(call)
    assert all(most_at_once(calls) <= 1 for calls in by_number.values())


def test_every_balance_is_exact_to_the_cent(week: Week) -> None:
    """Summed from Retell's record of calls, in decimals."""
    documents = {row["account_id"]: row for row in week.rows("accounts").values()}
    over = [call for call in week.retell.calls.values() if is_settled(week, call)]
    assert len(over) >= len(week.retell.calls) - week.workers
    for name, account in ACCOUNTS.items():
        credit = minutes = Decimal(0)
        for call in over:
            if call.metadata.get("account_id") != name or call.reason == "concurrency_limit_reached":
                continue
            talked = Decimal(str(call.minutes))
            minutes += talked
            if call.connected_at is None:
                credit += Decimal(str(account.get("cost_failed_call", 0)))
            else:
                credit += Decimal(str(account.get("cost_per_call_setup", 0)))
                credit += talked * Decimal(str(account.get("cost_per_minute", 0)))
        document = documents[name]
        if account["plan_type"] == "credit_based":
            assert document["credit_used"] == pytest.approx(float(credit), abs=0.005)
        if account["plan_type"] == "minutes_based":
            assert document["minutes_used"] == pytest.approx(float(minutes), abs=0.005)
        held = sum(entry["credit"] for entry in document.get("open_dials", []))
        assert document.get("credit_reserved", 0) == pytest.approx(held, abs=0.005)
    for batch_id, calls in calls_by(week, "batch_id").items():
        if batch_id is not None:
            batch = next(row for row in week.rows("batches").values() if row["batch_id"] == batch_id)
            together = sum(call.minutes for call in calls if is_settled(week, call))
            assert batch["total_minutes"] == pytest.approx(together, abs=0.005)
            assert batch["total_cost"] == pytest.approx(together * 0.11, abs=0.005)


def is_settled(week: Week, call: PlacedCall) -> bool:
    results = {row["call_id"] for row in week.rows("call_results").values()}
    return call.call_id in results


def test_no_call_was_placed_on_an_empty_balance_and_a_top_up_resumed_the_jobs(week: Week) -> None:
    # What a call cost is known once it is settled: until then its estimate is reserved, which it may overrun.
    settled_at = {
        row["call_id"]: (row["created_at"] - week.start).total_seconds()
        for row in week.rows("call_results").values()
    }
    for name, field in (("us", "credit"), ("ar", "minutes")):
        account = ACCOUNTS[name]
        calls = calls_by(week, "account_id")[name]
        for number, call in enumerate(calls):
            paid = Decimal(0)
            for earlier in calls[:number]:
                unknown_yet = settled_at.get(earlier.call_id, math.inf) >= call.placed_at
                if unknown_yet or earlier.reason == "concurrency_limit_reached":
                    continue
                talked = Decimal(str(earlier.minutes))
                if field == "minutes":
                    paid += talked
                elif earlier.connected_at is not None:
                    setup, price = account["cost_per_call_setup"], account["cost_per_minute"]
                    paid += Decimal(str(setup)) + talked * Decimal(str(price))
            had = Decimal(account["credit_balance"] if field == "credit" else account["minutes_purchased"])
            had += (150 if field == "credit" else 200) if call.placed_at > TOP_UP_AT else 0
            assert had - paid > 0, (name, call)
        # The balance was empty before the top-up, and calls went on after it.
        assert not any(TOP_UP_AT - 3 * HOUR < call.placed_at < TOP_UP_AT for call in calls)
        assert any(call.placed_at > TOP_UP_AT for call in calls)


def test_retries_kept_their_delay_and_no_job_had_more_than_its_attempts(week: Week) -> None:
    jobs = jobs_by_name(week)
    for name, calls in calls_by(week, "job_id").items():
        job = jobs[str(name)]
        phones = job["contact"]["phones"]
        rang = [call for call in calls if call.reason != "concurrency_limit_reached"]
        assert len(rang) <= 3 * len(phones)
        delay = 5 * HOUR if job.get("batch_id") == "of its accounts" else 30 * 60
        for before, after in pairwise(rang):
            if phones.index(after.number) <= phones.index(before.number):
                assert after.placed_at - before.ended_at >= delay
        assert job["attempts"] <= 3
        if any(call.reason in {"user_hangup", "agent_hangup"} for call in rang):
            assert job["status"] in {"done", "in_progress"}
            assert sum(call.reason in {"user_hangup", "agent_hangup"} for call in rang) == 1


def test_every_call_is_recorded_once_and_every_job_s_status_has_its_reason(week: Week) -> None:
    results = [row["call_id"] for row in week.rows("call_results").values()]
    assert len(results) == len(set(results))
    listed = week.rows("speechaid_do_not_call").keys()
    unfinished = [job for job in week.rows("jobs").values() if job["status"] not in {"done", "failed"}]
    for job in unfinished:
        assert job["status"] in {"pending", "in_progress", "suspended", "cancelled"}
        if job["status"] == "suspended":
            assert job["suspend_reason"] == "no_credit"
        if job["status"] == "cancelled":
            assert job["cancel_reason"] in {"do_not_call", "on_do_not_call_list"}
        if job.get("cancel_reason") == "on_do_not_call_list":
            assert listed & set(job["contact"]["phones"])
    counted = Queue(week.store.jobs.table, week.store.now).due_batches()
    assert "not understood" in {entry.batch_id for entry in counted}
