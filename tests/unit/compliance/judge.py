"""A judge of campaigns who knows the law as people read it, and nothing of speechaid.

Written from the table of rules that the packs were made from, not from the packs: it imports nothing of the
project, and decides in another way, hour by hour. Hours are of the person called; a week begins on Monday; a
voicemail is a contact where a message was left, else an attempt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

#: From and to which hour people may be called, by weekday from 1; on holidays never.
HOURS: dict[str, dict[int, tuple[int, int]]] = {
    "CL": dict.fromkeys(range(1, 7), (8, 20)),
    "CO": {**dict.fromkeys(range(1, 6), (7, 19)), 6: (8, 15)},
    "MX": dict.fromkeys(range(1, 6), (7, 22)),
    "PE": dict.fromkeys(range(1, 6), (7, 20)),
    "EC": dict.fromkeys(range(1, 6), (7, 20)),
    "PY": {**dict.fromkeys(range(1, 6), (8, 18)), 6: (8, 12)},
    "AR": dict.fromkeys(range(1, 6), (9, 20)),
}
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Person:
    """Somebody on a list."""

    name: str
    #: None: the list has none.
    national_id: str | None
    number: str
    zone: ZoneInfo


@dataclass(frozen=True)
class Call:
    """A call as the telephone company would list it; only those that rang."""

    person: Person
    at: datetime
    #: A person answered, or a machine took a message.
    reached: bool


@dataclass(frozen=True)
class Wish:
    """A call that a batch wanted from ``due`` on and placed at ``at``; None: never, until ``end``."""

    person: Person
    due: datetime
    at: datetime | None
    end: datetime
    #: The batch's own hours, by its own clock: first and last hour, and weekdays.
    hours: tuple[int, int]
    days: frozenset[int]
    batch_zone: ZoneInfo


def complaints(country: str, calls: Sequence[Call], wishes: Sequence[Wish]) -> Iterator[str]:
    """What the campaign did wrong: a call that was forbidden, or one left out that was allowed and due."""
    for place, call in enumerate(calls):
        before = [other for other in calls[:place] if _is_same(other.person, call.person)]
        why = forbids(country, call.person, call.at, before)
        if why is not None:
            yield f"{call.person.name} was called at {call.at.astimezone(call.person.zone)}: {why}"
    for wish in wishes:
        known = [call for call in calls if _is_same(call.person, wish.person)]
        moment = wish.due
        while moment < (wish.at or wish.end):
            if _is_in_batch(wish, moment):
                before = [call for call in known if call.at < moment + timedelta(minutes=1)]
                if forbids(country, wish.person, moment, before) is None:
                    local = moment.astimezone(wish.person.zone)
                    yield f"{wish.person.name} could have been called at {local}"
                    break
            moment += HOUR


def forbids(country: str, person: Person, moment: datetime, before: Sequence[Call]) -> str | None:
    """Why a call is forbidden, given the calls of the same person before."""
    local = moment.astimezone(person.zone)
    span = HOURS[country].get(local.isoweekday())
    if span is None or not span[0] <= local.hour < span[1]:
        return "outside the hours"
    if f"{local:%Y-%m-%d}" in _barred(country, local.year):
        return "a holiday"
    monday = f"{local - timedelta(days=local.weekday()):%Y-%m-%d}"
    dated = [(f"{call.at.astimezone(person.zone):%Y-%m-%d}", call.reached) for call in before]
    return _CAPS[country]([row for row in dated if row[0] >= monday], f"{local:%Y-%m-%d}")


#: The calls of the week so far, each with its day and whether somebody was reached.
Week = Sequence[tuple[str, bool]]


def _chile(week: Week, _today: str) -> str | None:
    return "a second contact in a week" if any(reached for _, reached in week) else None


def _colombia(week: Week, today: str) -> str | None:
    if (today, True) in week:
        return "a second contact on a day"
    return "a third contact in a week" if sum(reached for _, reached in week) >= 2 else None


def _ecuador(week: Week, today: str) -> str | None:
    return "a second attempt on a day" if today in dict(week) else None


def _argentina(week: Week, today: str) -> str | None:
    return "a third attempt on a day" if [day for day, _ in week].count(today) >= 2 else None


def _paraguay(week: Week, today: str) -> str | None:
    answers = [reached for _, reached in week]
    if answers.count(False) >= 3:
        return "a fourth attempt after three in vain"
    if True not in answers:
        return None
    first = answers.index(True)
    is_over = week[first][0] != today or len(week) > first + 1
    return "after an answer only one more, and on the same day" if is_over else None


def _uncapped(_week: Week, _today: str) -> str | None:
    return None


_CAPS = {
    "CL": _chile,
    "CO": _colombia,
    "MX": _uncapped,
    "PE": _uncapped,
    "EC": _ecuador,
    "PY": _paraguay,
    "AR": _argentina,
}


def _is_in_batch(wish: Wish, moment: datetime) -> bool:
    local = moment.astimezone(wish.batch_zone)
    return local.isoweekday() in wish.days and wish.hours[0] <= local.hour < wish.hours[1]


def _is_same(one: Person, other: Person) -> bool:
    return one.number == other.number or (
        one.national_id is not None and one.national_id == other.national_id
    )


@lru_cache
def _barred(country: str, year: int) -> frozenset[str]:
    return frozenset(f"{day:%Y-%m-%d}" for day in holidays.country_holidays(country, years=year))
