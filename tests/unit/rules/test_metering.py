"""What an account has left, what a dial reserves, what a call costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.account import Account, Plan, Reservation
from speechaid.model.states import Outcome
from speechaid.rules.defaults import DiallingDefaults
from speechaid.rules.metering import (
    CallCost,
    Reserve,
    account_day,
    calls_today,
    charge,
    credit_left,
    estimate,
    has_balance,
    has_balance_once_settled,
    has_calls_left,
    has_room,
    headroom,
    legacy_credit,
    minutes_left,
    other_dials,
)

DEFAULTS = DiallingDefaults(timezone="UTC", hours=None, days=None, country="CL", estimate_minutes=3)


def account(plan: str | None = "unlimited", **fields: Any) -> Account:
    return Account.read({"account_id": "acme", "plan_type": plan, **fields})


def on_minutes(purchased: float = 100, used: float = 0, reserved: float = 0, **fields: Any) -> Account:
    amounts = {"minutes_purchased": purchased, "minutes_used": used, "minutes_reserved": reserved}
    return account("minutes_based", **amounts, **fields)


def on_credit(balance: float = 100, used: float = 0, reserved: float = 0, **fields: Any) -> Account:
    prices = {"cost_per_call_setup": 0.5, "cost_per_minute": 0.2, "cost_failed_call": 0.1}
    amounts = {"credit_balance": balance, "credit_used": used, "credit_reserved": reserved}
    return account("credit_based", **(prices | amounts | fields))


def dial(key: str, minutes: float = 0, credit: float = 0) -> dict[str, Any]:
    return {"key": key, "minutes": minutes, "credit": credit}


def test_a_legacy_reservation_is_available_to_its_own_job_only() -> None:
    whose = on_credit(10, 0, 10, open_dials=[dial("ours", credit=4)])
    assert legacy_credit(whose) == 6
    assert credit_left(whose) == 0
    assert credit_left(whose, legacy=2) == 2
    # Never more than the account's reserved amount.
    assert credit_left(whose, legacy=100) == 6
    assert minutes_left(on_minutes(10, 4, 6), legacy=3) == 3


def test_a_balance_reserved_only_by_open_dials_is_not_used_up() -> None:
    assert has_balance_once_settled(on_credit(10, 0, 10, open_dials=[dial("ours", credit=10)]))
    assert not has_balance_once_settled(on_credit(10, 10, 0))
    assert not has_balance_once_settled(on_credit(10, 0, 10))


@pytest.mark.parametrize(
    ("whose", "expected"),
    [
        (account("unlimited"), True),
        (on_minutes(10, 9.99), True),
        (on_minutes(10, 10), False),
        (on_minutes(10, 11), False),
        (on_minutes(10, 5, 5), False),
        (on_minutes(0.3, 0.1, 0.2), False),
        (on_credit(0.5), True),
        (on_credit(0.49), False),
        (on_credit(10, 9, 0.6), False),
        (on_credit(0.3, 0.1, 0.2, cost_per_call_setup=0), False),
        (on_credit(0, cost_per_call_setup=0, cost_per_minute=0), True),
        (account("gold", credit_balance=100, minutes_purchased=100), False),
        (account(None, minutes_purchased=100), False),
    ],
    ids=[
        "unlimited",
        "a little left",
        "all used",
        "more than all used",
        "the rest is reserved",
        "only a rounding error left",
        "just one set-up",
        "less than a set-up",
        "the rest is reserved, credit",
        "nothing left where only minutes cost",
        "everything is free",
        "an unknown plan",
        "no plan named",
    ],
)
def test_whether_the_balance_allows_a_dial(whose: Account, expected: bool) -> None:
    assert has_balance(whose) is expected


def test_a_dial_s_own_reservation_is_not_counted_against_it() -> None:
    last_minutes = on_minutes(3, 0, 3, open_dials=[dial("mine", minutes=3)])
    assert minutes_left(last_minutes) == 0
    assert not has_balance(last_minutes)
    assert minutes_left(last_minutes, "mine") == 3
    assert has_balance(last_minutes, "mine")
    assert not has_balance(last_minutes, "another's")
    last_credit = on_credit(1.1, 0, 1.1, open_dials=[dial("mine", credit=1.1)])
    assert credit_left(last_credit) == 0
    assert has_balance(last_credit, "mine")
    assert not has_balance(last_credit)


@pytest.mark.parametrize(
    ("whose", "reserve"),
    [
        (on_minutes(100), Reserve(minutes=3, credit=0)),
        (on_minutes(10, 8), Reserve(minutes=2, credit=0)),
        (on_minutes(10, 12), Reserve(minutes=0, credit=0)),
        (on_credit(100), Reserve(minutes=0, credit=1.1)),
        (on_credit(0.7), Reserve(minutes=0, credit=0.7)),
        (account("unlimited"), Reserve(minutes=0, credit=0)),
        (account("gold"), Reserve(minutes=0, credit=0)),
    ],
    ids=[
        "minutes",
        "minutes, at most what is left",
        "minutes, overdrawn",
        "credit",
        "credit, at most what is left",
        "unlimited",
        "an unknown plan",
    ],
)
def test_what_a_dial_reserves(whose: Account, reserve: Reserve) -> None:
    assert estimate(whose, DEFAULTS) == reserve


@pytest.mark.parametrize(
    ("whose", "outcome", "minutes", "connected", "cost"),
    [
        (on_minutes(), Outcome.ANSWERED, 1.5, True, CallCost(minutes=1.5, credit=0, counts_call=True)),
        (on_minutes(), Outcome.VOICEMAIL, 0.25, True, CallCost(minutes=0.25, credit=0, counts_call=True)),
        (on_minutes(), Outcome.FAILED, 0.5, True, CallCost(minutes=0.5, credit=0, counts_call=True)),
        (on_minutes(), Outcome.NO_ANSWER, 0, False, CallCost(minutes=0, credit=0, counts_call=True)),
        (on_credit(), Outcome.ANSWERED, 1.5, True, CallCost(minutes=0, credit=0.8, counts_call=True)),
        (on_credit(), Outcome.STOPPED, 1, True, CallCost(minutes=0, credit=0.7, counts_call=True)),
        (on_credit(), Outcome.ANSWERED, 0, True, CallCost(minutes=0, credit=0.5, counts_call=True)),
        (on_credit(), Outcome.BUSY, 0, False, CallCost(minutes=0, credit=0.1, counts_call=True)),
        (on_credit(), Outcome.BUSY, 0.4, False, CallCost(minutes=0, credit=0.1, counts_call=True)),
        (on_credit(), Outcome.TEMPORARY, 0, False, CallCost(minutes=0, credit=0, counts_call=False)),
        (on_credit(), Outcome.BLOCKED, 0, False, CallCost(minutes=0, credit=0, counts_call=False)),
        (account("unlimited"), Outcome.ANSWERED, 9, True, CallCost(minutes=0, credit=0, counts_call=True)),
        (account("gold"), Outcome.ANSWERED, 9, True, CallCost(minutes=0, credit=0, counts_call=True)),
    ],
    ids=[
        "minutes, answered",
        "minutes, voicemail",
        "minutes, broken off",
        "minutes, not connected",
        "credit, answered",
        "credit, stopped",
        "credit, answered and hung up at once",
        "credit, not connected",
        "credit, not connected, with a duration",
        "temporary",
        "blocked",
        "unlimited",
        "an unknown plan",
    ],
)
def test_what_a_call_costs(
    whose: Account, outcome: Outcome, minutes: float, connected: bool, cost: CallCost
) -> None:
    assert charge(whose, outcome, minutes, connected) == cost


def test_amounts_are_rounded_to_six_decimals() -> None:
    assert charge(on_minutes(), Outcome.ANSWERED, 1 / 3, True).minutes == 0.333333
    assert charge(on_credit(), Outcome.ANSWERED, 2 / 3, True).credit == 0.633333


@given(
    st.sampled_from([None, *Plan]),
    st.sampled_from(list(Outcome)),
    st.floats(0, 1000),
    st.booleans(),
)
def test_a_cost_is_never_negative(
    plan: str | None, outcome: Outcome, minutes: float, connected: bool
) -> None:
    cost = charge(account(plan, cost_per_minute=0.2, cost_failed_call=0.1), outcome, minutes, connected)
    assert cost.minutes >= 0
    assert cost.credit >= 0
    assert cost.minutes == 0 or cost.credit == 0


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_a_reservation_never_overdraws(purchased: float, used: float, reserved: float) -> None:
    whose = on_minutes(purchased, used, reserved)
    held = estimate(whose, DEFAULTS).minutes
    assert 0 <= held <= 3
    assert not has_balance(whose) or held <= minutes_left(whose)


@pytest.mark.parametrize(
    ("zone", "default", "day"),
    [
        ("America/Santiago", "UTC", "2026-03-01"),
        (None, "America/Santiago", "2026-03-01"),
        (None, "UTC", "2026-03-02"),
        ("Asia/Tokyo", "UTC", "2026-03-02"),
        ("Mars/Olympus", "America/Santiago", "2026-03-01"),
        ("Mars/Olympus", "Mars/Olympus", "2026-03-02"),
    ],
)
def test_days_are_counted_in_the_account_s_zone(zone: str | None, default: str, day: str) -> None:
    assert account_day(account(timezone=zone), default, datetime(2026, 3, 2, 1, tzinfo=UTC)) == day


@pytest.mark.parametrize(
    ("counted", "expected"),
    [("2026-03-02", 7), ("2026-03-01", 0), ("2025-12-31", 0), (None, 7), ("2026-03-03", 7)],
    ids=["today", "yesterday", "last year", "no day: today's", "a day ahead counts"],
)
def test_a_count_of_an_earlier_day_reads_as_zero(counted: str | None, expected: int) -> None:
    whose = account(calls_today=7, calls_today_date=counted)
    assert calls_today(whose, "2026-03-02") == expected


def test_the_dials_of_others_are_counted_without_this_one() -> None:
    whose = account(open_dials=[dial("a"), dial("b")])
    assert (other_dials(whose), other_dials(whose, "a"), other_dials(whose, "c")) == (2, 1, 2)


# -- headroom ----------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FRACTION = st.floats(0, 1)


@given(
    plan=st.sampled_from(Plan),
    left=st.floats(0.7, 500),
    concurrent=st.none() | st.integers(1, 5),
    daily=st.none() | st.integers(1, 9),
    open_now=st.integers(0, 4),
    used=FRACTION,
    held=FRACTION,
    made=FRACTION,
    opened=FRACTION,
)
def test_for_any_changes_within_the_headroom_one_more_dial_fits(
    *,
    plan: Plan,
    left: float,
    concurrent: int | None,
    daily: int | None,
    open_now: int,
    used: float,
    held: float,
    made: float,
    opened: float,
) -> None:
    make = {Plan.MINUTES: on_minutes, Plan.CREDIT: on_credit}.get(plan)
    entries = [dial(f"other-{n}") for n in range(open_now)]
    limits: dict[str, Any] = {
        "max_concurrent_calls": concurrent,
        "daily_call_limit": daily,
        "open_dials": entries,
    }
    counted: dict[str, Any] = {"calls_today": 0, "calls_today_date": "2026-03-02"}
    read = make(left, 1, -1, **limits, **counted) if make else account(**limits, **counted)
    has_space = has_balance(read) and has_room(read) and has_calls_left(read, "UTC", NOON)
    room = headroom(read, estimate(read, DEFAULTS), "UTC", NOON)
    if not has_space or room is None:
        assert not (has_space and (left > 4 or plan is Plan.UNLIMITED)), "an account with room has headroom"
        return
    changed = {
        name: getattr(read, name) + fraction * (most - getattr(read, name))
        for fraction, (name, most) in zip((used, held), room.at_most.items(), strict=False)
        if name != "calls_today"
    }
    if "calls_today" in room.at_most:
        changed["calls_today"] = int(made * room.at_most["calls_today"])
    most_open = 50 if room.open_dials is None else room.open_dials
    others = int(opened * most_open)
    now = replace(
        read,
        **changed,
        reservations=tuple(Reservation(key=f"x{n}", minutes=0, credit=0) for n in range(others)),
    )
    assert has_balance(now)
    assert has_room(now)
    assert has_calls_left(now, "UTC", NOON)


def test_without_a_rest_beyond_the_reserve_the_headroom_is_the_current_amounts() -> None:
    read = on_minutes(10, 6, 2)
    room = headroom(read, Reserve(minutes=2, credit=0), "UTC", NOON)
    assert room is not None
    assert room.at_most == {"minutes_used": 6, "minutes_reserved": 2}
    assert headroom(read, Reserve(minutes=3, credit=0), "UTC", NOON) is None


def test_a_count_of_another_day_gives_no_headroom_under_a_daily_limit() -> None:
    read = account(daily_call_limit=100, calls_today=100, calls_today_date="2026-03-01")
    assert has_calls_left(read, "UTC", NOON)
    assert headroom(read, Reserve(minutes=0, credit=0), "UTC", NOON) is None
