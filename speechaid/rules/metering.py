"""Account balances, what a dial reserves, and what a call costs. Pure: no I/O, no clock.

Amounts are in currency units and minutes, rounded to ``PLACES`` decimals where they are computed: float drift
in long sums is far smaller than that, and a ten-thousandth of a cent is not charged.

An account with an unknown or missing plan has no balance to evaluate: its jobs are not dialled, and a call of
it that ends nevertheless is counted, but costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.model import reading
from speechaid.model.account import Account, Plan
from speechaid.model.job import Job
from speechaid.model.reading import find_zone
from speechaid.model.states import NO_CALL_OUTCOMES, Outcome
from speechaid.protocol.money import PLACES
from speechaid.rules.defaults import DiallingDefaults

_UTC: Final = ZoneInfo("UTC")


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What an open dial reserves of a balance."""

    minutes: float
    #: In currency units.
    credit: float


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """Upper bounds of an account's fields under which one more dial fits without a new evaluation."""

    #: Upper bound by field name.
    at_most: Mapping[str, float]
    #: Upper bound on the open dials of others; None: no limit.
    open_dials: int | None
    #: The day for which ``at_most`` bounds the calls; None: no daily limit.
    day: str | None


@dataclass(frozen=True, kw_only=True)
class CallCost:
    """What a call costs its account."""

    minutes: float
    #: In currency units.
    credit: float
    #: Whether it counts towards the daily limit.
    counts_call: bool


def minutes_left(account: Account, own_key: str | None = None, legacy: float = 0.0) -> float:
    """Minutes neither used nor reserved by others; what ``own_key`` itself reserves counts as left.

    Args:
        account: to read.
        own_key: reservation key of this dial.
        legacy: the legacy reservation of this dial's job; it is part of the account's reserved amount.
    """
    own = sum(entry.minutes for entry in account.reservations if entry.key == own_key)
    own += min(legacy, legacy_minutes(account))
    return round(account.minutes_purchased - account.minutes_used - account.minutes_reserved + own, PLACES)


def credit_left(account: Account, own_key: str | None = None, legacy: float = 0.0) -> float:
    """Credit neither used nor reserved by others; arguments as for ``minutes_left``."""
    own = sum(entry.credit for entry in account.reservations if entry.key == own_key)
    own += min(legacy, legacy_credit(account))
    return round(account.credit_balance - account.credit_used - account.credit_reserved + own, PLACES)


def has_balance(account: Account, own_key: str | None = None, legacy: float = 0.0) -> bool:
    """Whether the balance allows one more dial; arguments as for ``minutes_left``.

    On a credit plan the call set-up price must be left; if the set-up is free but minutes are not, the
    balance must be above 0.
    """
    if account.plan is Plan.UNLIMITED:
        return True
    if account.plan is Plan.MINUTES:
        return minutes_left(account, own_key, legacy) > 0
    if account.plan is Plan.CREDIT:
        left = credit_left(account, own_key, legacy)
        return left >= account.cost_per_call_setup and (left > 0 or account.cost_per_minute <= 0)
    return False


def has_balance_once_settled(account: Account, legacy: float = 0.0) -> bool:
    """Whether the balance would allow a dial if all open dials turned out to cost nothing.

    If not, the balance is used up; otherwise it makes sense to wait for them.
    """
    return has_balance(
        replace(
            account,
            minutes_reserved=legacy_minutes(account),
            credit_reserved=legacy_credit(account),
            reservations=(),
        ),
        legacy=legacy,
    )


def legacy_minutes(account: Account) -> float:
    """Reserved minutes without a reservation entry of an open dial: SpeechAI reserved them for jobs."""
    ours = sum(entry.minutes for entry in account.reservations)
    return max(0.0, round(account.minutes_reserved - ours, PLACES))


def legacy_credit(account: Account) -> float:
    """Like ``legacy_minutes``, for credit."""
    ours = sum(entry.credit for entry in account.reservations)
    return max(0.0, round(account.credit_reserved - ours, PLACES))


def reserved_for(job: Job) -> float:
    """The legacy reservation of this job (``reserved_amount``), in its plan's minutes or credit."""
    return max(0.0, reading.number(job.document.get("reserved_amount")) or 0.0)


def estimate(account: Account, defaults: DiallingDefaults) -> Reserve:
    """What to reserve before a dial: the estimated minutes or their price, at most what is left."""
    if account.plan is Plan.MINUTES:
        left = max(0.0, minutes_left(account))
        return Reserve(minutes=round(min(defaults.estimate_minutes, left), PLACES), credit=0.0)
    if account.plan is Plan.CREDIT:
        price = account.cost_per_call_setup + defaults.estimate_minutes * account.cost_per_minute
        left = max(0.0, credit_left(account))
        return Reserve(minutes=0.0, credit=round(min(price, left), PLACES))
    return Reserve(minutes=0.0, credit=0.0)


def headroom(account: Account, reserve: Reserve, default_timezone: str, now: datetime) -> Headroom | None:
    """How far other dials and charges may have changed an evaluated account while one more dial still fits.

    The amount left beyond the reserve is split between the fields that others change, so that each field can
    be compared on its own. None if nothing is left to split: then the account must be exactly as it was read.
    """
    at_most: dict[str, float] = {}
    spare = 0.0
    if account.plan is Plan.MINUTES:
        spare = (minutes_left(account) - reserve.minutes) / 2
        at_most = {
            "minutes_used": account.minutes_used + spare,
            "minutes_reserved": account.minutes_reserved + spare,
        }
    elif account.plan is Plan.CREDIT:
        spare = (credit_left(account) - reserve.credit) / 2
        at_most = {
            "credit_used": account.credit_used + spare,
            "credit_reserved": account.credit_reserved + spare,
        }
    slots = [] if account.max_concurrent_calls is None else [account.max_concurrent_calls - 1]
    day = None
    if account.daily_call_limit is not None:
        day = account_day(account, default_timezone, now)
        calls = account.daily_call_limit - made_today(account, day) - 1
        if account.calls_today_date != day or calls < 0:
            return None
        at_most["calls_today"] = account.calls_today + calls // 2
        slots.append(len(account.reservations) + calls - calls // 2)
    open_dials = min(slots, default=None)
    if spare < 0 or (open_dials is not None and open_dials < 0):
        return None
    return Headroom(at_most=at_most, open_dials=open_dials, day=day)


def charge(account: Account, outcome: Outcome, minutes: float, connected: bool) -> CallCost:
    """What an ended call costs.

    Args:
        account: to charge.
        outcome: of the call; a fault before any phone rang is free.
        minutes: of talk.
        connected: whether a person or a machine answered.
    """
    if outcome in NO_CALL_OUTCOMES:
        return CallCost(minutes=0.0, credit=0.0, counts_call=False)
    used_minutes = used_credit = 0.0
    if account.plan is Plan.MINUTES and connected:
        used_minutes = minutes
    elif account.plan is Plan.CREDIT and connected:
        used_credit = account.cost_per_call_setup + minutes * account.cost_per_minute
    elif account.plan is Plan.CREDIT:
        used_credit = account.cost_failed_call
    return CallCost(minutes=round(used_minutes, PLACES), credit=round(used_credit, PLACES), counts_call=True)


def account_zone(account: Account, default_timezone: str) -> ZoneInfo:
    """The time zone in which the account counts its days.

    An unknown zone is replaced by the default: counting needs some day, and a count alone blocks no call.
    """
    return find_zone(account.timezone or default_timezone) or find_zone(default_timezone) or _UTC


def account_day(account: Account, default_timezone: str, now: datetime) -> str:
    """``YYYY-MM-DD`` of an instant in the account's time zone."""
    return now.astimezone(account_zone(account, default_timezone)).date().isoformat()


def calls_today(account: Account, day: str) -> int:
    """Calls counted on this day: a count of an earlier day reads as 0, one without a day as this day's."""
    counted = account.calls_today_date
    return 0 if counted is not None and counted < day else account.calls_today


def other_dials(account: Account, own_key: str | None = None) -> int:
    """Open dials of the account, without this one."""
    return sum(1 for entry in account.reservations if entry.key != own_key)


def has_room(account: Account, own_key: str | None = None) -> bool:
    """Whether the account's concurrency limit allows one more call."""
    limit = account.max_concurrent_calls
    return limit is None or other_dials(account, own_key) < limit


def made_today(account: Account, day: str, own_key: str | None = None) -> int:
    """Calls that use up the daily limit: those counted, and open dials, which are counted at their end."""
    return calls_today(account, day) + other_dials(account, own_key)


def has_calls_left(account: Account, default_timezone: str, now: datetime) -> bool:
    """Whether the daily limit allows one more call."""
    limit = account.daily_call_limit
    return limit is None or made_today(account, account_day(account, default_timezone, now)) < limit
