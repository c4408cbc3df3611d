"""Whether the hours of packs and batch allow a call at an instant, and when they do next.

Pure but for the calendar of holidays, which the library ``holidays`` keeps.

A pack's hours are the callee's: they are open where the local clock of each possible zone of the callee is
inside them. As in ``rules.windows``, a skipped hour is never inside, and one that comes twice is treated
alike both times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.compliance.packs import SUNDAY, HolidayRule, InvalidPack, Pack, Statement, days_text
from speechaid.compliance.public_holidays import holiday_name
from speechaid.model.states import Purpose
from speechaid.protocol.translation import say
from speechaid.rules import windows
from speechaid.rules.local_time import clock_changes, instants_of
from speechaid.rules.windows import Window, WindowFault

#: How far ahead an opening is searched. Hours repeat each week: what has none within these days, holidays
#: included, has none.
HORIZON_DAYS: Final = 100
_WHOLE_DAY: Final = ((0, 24 * 60),)
#: The rule where no pack has one.
BATCH_RULE: Final = "the batch's hours"


@dataclass(frozen=True, kw_only=True)
class HoursDecision:
    """Whether a call is allowed by the hours, and why."""

    allowed: bool
    #: What decided: ``CL collection: windows``.
    rule: str
    #: Where that comes from: the law, the paper, or a house rule.
    source: str
    #: One sentence for an operator.
    sentence: str
    #: The first allowed instant from the asked one on, UTC; None: never, within ``HORIZON_DAYS``.
    next_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class _Reason:
    rule: str
    source: str
    sentence: str


#: Says why a call is not allowed at an instant, or None; and the first allowed instant from one on, or None.
_Condition = tuple[Callable[[datetime], _Reason | None], Callable[[datetime], datetime | None]]


def check_hours(
    *,
    country: str,
    purpose: Purpose,
    packs: Sequence[Pack | InvalidPack],
    batch: Window | WindowFault,
    zones: Sequence[ZoneInfo],
    at: datetime,
) -> HoursDecision:
    """Whether a call is allowed at an instant; what cannot be understood allows none.

    Args:
        country: of the number, ISO 3166.
        purpose: of the batch.
        packs: those that hold for them; none: the batch's hours alone hold.
        batch: its own hours, in its own zone.
        zones: of the callee (``callee_zones``).
        at: aware.
    """
    name = f"{country} {purpose}"
    if isinstance(batch, WindowFault):
        of_batch = _Reason(rule=BATCH_RULE, source="the batch", sentence=batch.sentence)
        return _decision(of_batch, allowed=False, next_at=None)
    fault = _fault(name, packs, zones)
    if fault is not None:
        return _decision(fault, allowed=False, next_at=None)
    usable = [pack for pack in packs if isinstance(pack, Pack)]
    conditions = [_of_pack(pack, zone) for pack in usable for zone in zones]
    conditions.append(_of_batch(batch))
    next_at = _next_opening(conditions, at)
    closed = next((reason for why, _ in conditions if (reason := why(at)) is not None), None)
    if closed is not None:
        when = "it never opens" if next_at is None else f"it opens at {_shown(next_at, zones, batch)}"
        reason = _Reason(rule=closed.rule, source=closed.source, sentence=f"{closed.sentence}; {when}")
        return _decision(reason, allowed=False, next_at=next_at)
    return _decision(_why_open(name, usable, zones, batch, at), allowed=True, next_at=at.astimezone(UTC))


def is_pack_open(pack: Pack, zone: ZoneInfo, at: datetime) -> bool:
    """Whether a pack's hours and holidays allow a call in a zone at an instant."""
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in _spans(pack, local.date()))


def next_pack_opening(pack: Pack, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The first instant from one on at which a pack allows a call in a zone, UTC; None within the horizon."""
    if is_pack_open(pack, zone, at):
        return at.astimezone(UTC)
    low = at.astimezone(UTC)
    for _ in range(HORIZON_DAYS):
        high = low + timedelta(days=1)
        first, last = (moment.astimezone(zone).date() for moment in (low, high))
        days = [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]
        moments = set(clock_changes(zone, low, 1))
        for day in days:
            for start, _end in _spans(pack, day):
                moments.update(instants_of(day, start * 60, zone))
        for moment in sorted(moments):
            if low < moment <= high and is_pack_open(pack, zone, moment):
                return moment
        low = high
    return None


def _spans(pack: Pack, day: date) -> Sequence[tuple[int, int]]:
    """The hours of a local day in minutes since midnight."""
    rule = pack.holidays.rule if pack.holidays is not None else HolidayRule.IGNORED
    weekday = day.isoweekday()
    if rule is not HolidayRule.IGNORED and _holiday(pack, day) is not None:
        if rule is HolidayRule.BARRED:
            return ()
        weekday = SUNDAY
    return _WHOLE_DAY if pack.windows is None else pack.windows.spans_of(weekday)


def _holiday(pack: Pack, day: date) -> str | None:
    return None if pack.holidays is None else holiday_name(pack.holidays, day)


def _fault(name: str, packs: Sequence[Pack | InvalidPack], zones: Sequence[ZoneInfo]) -> _Reason | None:
    """Why nothing is allowed at any time."""
    for pack in packs:
        if isinstance(pack, InvalidPack):
            sentence = f"the pack {name} cannot be used: {'; '.join(pack.faults)}"
            return _Reason(rule=f"{name}: invalid pack", source="speechaid", sentence=sentence)
    if packs and not zones:
        sentence = "the zone of the person called is not known"
        return _Reason(rule=f"{name}: zone", source="speechaid", sentence=sentence)
    return None


def _of_pack(pack: Pack, zone: ZoneInfo) -> _Condition:
    def why(at: datetime) -> _Reason | None:
        return None if is_pack_open(pack, zone, at) else _why_closed(pack, zone, at)

    return why, lambda at: next_pack_opening(pack, zone, at)


def _of_batch(batch: Window) -> _Condition:
    def why(at: datetime) -> _Reason | None:
        if windows.is_open(batch, at):
            return None
        return _Reason(rule=BATCH_RULE, source="the batch", sentence=f"{batch} is closed")

    return why, lambda at: windows.next_opening(batch, at)


def _next_opening(conditions: Sequence[_Condition], at: datetime) -> datetime | None:
    """The first instant from one on at which all conditions hold: each in turn moves it on."""
    moment = at.astimezone(UTC)
    last = moment + timedelta(days=HORIZON_DAYS)
    while moment <= last:
        latest = moment
        for _, next_opening in conditions:
            opening = next_opening(latest)
            if opening is None:
                return None
            latest = max(latest, opening)
        if latest == moment:
            return moment
        moment = latest
    return None


def _why_closed(pack: Pack, zone: ZoneInfo, at: datetime) -> _Reason:
    local = at.astimezone(zone)
    day = local.date()
    holiday = _holiday(pack, day)
    statement: Statement | None = pack.windows
    part = "windows"
    if holiday is not None and pack.holidays is not None and pack.holidays.rule is not HolidayRule.IGNORED:
        statement, part = pack.holidays, "holidays"
        what = say("barred") if pack.holidays.rule is HolidayRule.BARRED else say("like a Sunday")
        found = say("{day} is a holiday ({holiday}), {what}", day=day, holiday=holiday, what=what)
    elif not _spans(pack, day):
        found = say("no calls on {days}", days=days_text([day.isoweekday()]))
    else:
        allowed = ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in _spans(pack, day))
        found = say("{time} is outside {hours}", time=f"{local:%H:%M}", hours=allowed)
    source = "speechaid" if statement is None else pack.source_of(statement)
    return _Reason(
        rule=f"{pack.name}: {part}",
        source=source,
        sentence=say("{found}, in {zone}", found=found, zone=zone.key),
    )


def _why_open(
    name: str, packs: Sequence[Pack], zones: Sequence[ZoneInfo], batch: Window, at: datetime
) -> _Reason:
    if not packs:
        sentence = say("no rule is known for {name}: {window} is open", name=name, window=batch)
        return _Reason(rule=BATCH_RULE, source=say("the batch"), sentence=sentence)
    pack, zone = packs[0], zones[0]
    hours = (
        say("no hours are known") if pack.windows is None else say("{hours} allows", hours=str(pack.windows))
    )
    local = at.astimezone(zone)
    day = days_text([local.isoweekday()])
    sentence = say(
        "{hours}: {day} {time} in {zone}", hours=hours, day=day, time=f"{local:%H:%M}", zone=zone.key
    )
    source = "speechaid" if pack.windows is None else pack.source_of(pack.windows)
    return _Reason(rule=f"{pack.name}: windows", source=source, sentence=sentence)


def _decision(reason: _Reason, *, allowed: bool, next_at: datetime | None) -> HoursDecision:
    return HoursDecision(
        allowed=allowed, rule=reason.rule, source=reason.source, sentence=reason.sentence, next_at=next_at
    )


def _shown(moment: datetime, zones: Sequence[ZoneInfo], batch: Window) -> str:
    zone = zones[0] if zones else batch.zone
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
