"""What an account has left, what a dial reserves of it, and what a call costs.

Amounts are currency units and minutes, rounded to ``PLACES`` decimals where they are worked out: sums of many
small floats drift far less than that, and a ten-thousandth of a cent is owed by nobody.

An account whose plan nobody knows (or that names none) has no balance that could be judged: it is not
dialled, and a call of it that ends all the same is counted, but costs nothing.
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
from speechaid.model.states import Outcome
from speechaid.rules.defaults import DiallingDefaults
from speechaid.rules.windows import find_zone

PLACES: Final = 6

_UTC: Final = ZoneInfo("UTC")

#: Nobody was rung: these cost nothing and do not count.
_NOT_A_CALL: Final = frozenset({Outcome.TEMPORARY, Outcome.BLOCKED, Outcome.NO_CREDIT})


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What a dial holds of a balance while it is open."""

    minutes: float
    #: In currency units.
    credit: float


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """What may stand in an account at most, for one dial more to be entered without judging it anew."""

    #: By the account's fields.
    at_most: Mapping[str, float]
    #: Open dials of others; None: any number.
    open_dials: int | None
    #: The day that the calls of ``at_most`` are counted for; None where they are not limited.
    day: str | None


@dataclass(frozen=True, kw_only=True)
class CallCost:
    """What a call costs its account."""

    minutes: float
    #: In currency units.
    credit: float
    #: Whether it counts among the day's calls.
    counts_call: bool


def minutes_left(account: Account, own_key: str | None = None, inherited: float = 0.0) -> float:
    """Minutes neither used nor held by others; what ``own_key`` itself holds counts as left.

    Args:
        account: whose balance it is.
        own_key: of the dial that asks.
        inherited: what SpeechAI reserved for the job that asks: in the account's figure, and the job's own.
    """
    own = sum(entry.minutes for entry in account.reservations if entry.key == own_key)
    own += min(inherited, legacy_minutes(account))
    return round(account.minutes_purchased - account.minutes_used - account.minutes_reserved + own, PLACES)


def credit_left(account: Account, own_key: str | None = None, inherited: float = 0.0) -> float:
    """Credit neither used nor held by others; arguments as for ``minutes_left``."""
    own = sum(entry.credit for entry in account.reservations if entry.key == own_key)
    own += min(inherited, legacy_credit(account))
    return round(account.credit_balance - account.credit_used - account.credit_reserved + own, PLACES)


def has_balance(account: Account, own_key: str | None = None, inherited: float = 0.0) -> bool:
    """Whether the balance allows one dial more; arguments as for ``minutes_left``.

    On a credit plan the price of a set-up must be left; where that is free but minutes are not, anything at
    all must be.
    """
    if account.plan is Plan.UNLIMITED:
        return True
    if account.plan is Plan.MINUTES:
        return minutes_left(account, own_key, inherited) > 0
    if account.plan is Plan.CREDIT:
        left = credit_left(account, own_key, inherited)
        return left >= account.cost_per_call_setup and (left > 0 or account.cost_per_minute <= 0)
    return False


def has_balance_once_settled(account: Account, inherited: float = 0.0) -> bool:
    """Whether there would be balance for a dial if the dials that are open now cost nothing in the end.

    Where not even then, the balance is used up; else it is worth while to wait for them.
    """
    return has_balance(
        replace(
            account,
            minutes_reserved=legacy_minutes(account),
            credit_reserved=legacy_credit(account),
            reservations=(),
        ),
        inherited=inherited,
    )


def legacy_minutes(account: Account) -> float:
    """Minutes in the account's figure that no open dial of ours holds: SpeechAI reserved them for jobs."""
    ours = sum(entry.minutes for entry in account.reservations)
    return max(0.0, round(account.minutes_reserved - ours, PLACES))


def legacy_credit(account: Account) -> float:
    """As ``inherited_minutes``, of credit."""
    ours = sum(entry.credit for entry in account.reservations)
    return max(0.0, round(account.credit_reserved - ours, PLACES))


def reserved_for(job: Job) -> float:
    """What SpeechAI reserved for this job (``reserved_amount``), in its plan's minutes or credit."""
    return max(0.0, reading.number(job.document.get("reserved_amount")) or 0.0)


def estimate(account: Account, defaults: DiallingDefaults) -> Reserve:
    """What to reserve before a dial: the price of the estimated minutes, capped by what is left."""
    if account.plan is Plan.MINUTES:
        left = max(0.0, minutes_left(account))
        return Reserve(minutes=round(min(defaults.estimate_minutes, left), PLACES), credit=0.0)
    if account.plan is Plan.CREDIT:
        price = account.cost_per_call_setup + defaults.estimate_minutes * account.cost_per_minute
        left = max(0.0, credit_left(account))
        return Reserve(minutes=0.0, credit=round(min(price, left), PLACES))
    return Reserve(minutes=0.0, credit=0.0)


def headroom(account: Account, reserve: Reserve, default_timezone: str, now: datetime) -> Headroom | None:
    """How far others' dials and charges may have moved an account that was judged, and one more still fits.

    What is left beyond the reserve is shared out among the figures that others move, so that each can be
    compared by itself. None where nothing is left to share: then only the account just as it was read
    will do.
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
    places = [] if account.max_concurrent_calls is None else [account.max_concurrent_calls - 1]
    day = None
    if account.daily_call_limit is not None:
        day = account_day(account, default_timezone, now)
        calls = account.daily_call_limit - made_today(account, day) - 1
        if account.calls_today_date != day or calls < 0:
            return None
        at_most["calls_today"] = account.calls_today + calls // 2
        places.append(len(account.reservations) + calls - calls // 2)
    open_dials = min(places, default=None)
    if spare < 0 or (open_dials is not None and open_dials < 0):
        return None
    return Headroom(at_most=at_most, open_dials=open_dials, day=day)


def charge(account: Account, outcome: Outcome, minutes: float, connected: bool) -> CallCost:
    """What a call costs once it is over.

    Args:
        account: whose balance pays.
        outcome: what the call came to; a fault that rang nobody is free.
        minutes: of talk.
        connected: whether somebody or something took the call.
    """
    if outcome in _NOT_A_CALL:
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
    """The zone in which the account counts its days.

    A zone that nobody knows reads as the default: a count needs some day, and forbids nothing by itself.
    """
    return find_zone(account.timezone or default_timezone) or find_zone(default_timezone) or _UTC


def account_day(account: Account, default_timezone: str, now: datetime) -> str:
    """``YYYY-MM-DD`` of an instant in the account's time zone."""
    return now.astimezone(account_zone(account, default_timezone)).date().isoformat()


def calls_today(account: Account, day: str) -> int:
    """Calls counted on this day: a count of an earlier day is 0, one without a day is today's."""
    counted = account.calls_today_date
    return 0 if counted is not None and counted < day else account.calls_today


def other_dials(account: Account, own_key: str | None = None) -> int:
    """Open dials of the account beside this one."""
    return sum(1 for entry in account.reservations if entry.key != own_key)


def has_room(account: Account, own_key: str | None = None) -> bool:
    """Whether the account's own number of calls at a time allows one more."""
    limit = account.max_concurrent_calls
    return limit is None or other_dials(account, own_key) < limit


def made_today(account: Account, day: str, own_key: str | None = None) -> int:
    """Calls that count against the day's limit: those counted, and those still open, counted at their end."""
    return calls_today(account, day) + other_dials(account, own_key)


def has_calls_left(account: Account, default_timezone: str, now: datetime) -> bool:
    """Whether the day's limit allows one call more."""
    limit = account.daily_call_limit
    return limit is None or made_today(account, account_day(account, default_timezone, now)) < limit
