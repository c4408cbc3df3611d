"""Whether the caps of packs allow one call more to a person, over the entries of the ledger. Pure.

An entry stands for one dial; the ledger is one collection over batches and hosts. Entries hold facts, and
everything is counted here, so that a changed pack changes no entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.compliance.contacts import COUNTS_AS, CountsAs
from speechaid.compliance.packs import Cap, Pack, Scope, Span, Unit
from speechaid.model.states import Outcome, Purpose
from speechaid.rules.local_time import first_instant

#: How far ahead the next chance is searched.
HORIZON_DAYS: Final = 400
#: A dial that only open entries refuse is looked at again after this: they close when their calls end.
OPEN_RETRY: Final = timedelta(seconds=60)
_LEAST_STEP: Final = timedelta(seconds=1)
#: The parts of a day begin at these hours; with ``spread_attempts`` an attempt that reached nobody keeps its
#: part free of further ones for so long.
DAY_PARTS: Final = (time(0), time(12), time(17))
SPREAD: Final = timedelta(hours=24)


class SharedLines(StrEnum):
    """What a number that two people with ids share means."""

    #: Their calls count together: the stricter reading.
    TOGETHER = "together"
    #: They count apart; a number counts only where one side has no id.
    APART = "apart"


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One dial of a person."""

    #: The dial key.
    key: str
    #: National ids in their one form.
    ids: frozenset[str] = frozenset()
    #: Lines (``rules.numbers.line_identity``): the dialled one, or all of a contact without an id.
    numbers: frozenset[str] = frozenset()
    account: str | None = None
    debt: str | None = None
    #: None: not known, which counts for every purpose.
    purpose: Purpose | None = None
    #: When it was announced; aware.
    at: datetime
    #: Nobody knows yet how it ends: it counts as attempt, contact and talk.
    open: bool = False
    #: It surely made no call: it counts as nothing.
    void: bool = False
    #: None of a closed entry: nobody could explain it, and it counts as an attempt.
    outcome: Outcome | None = None
    connected: bool | None = None
    #: Whether a person answered; None: by the outcome.
    answered: bool | None = None
    #: Of a machine that answered; None: perhaps, so yes.
    message_left: bool | None = None

    @property
    def is_attempt(self) -> bool:
        """Whether a phone rang, as far as is known."""
        if self.void:
            return False
        return self.open or self.is_contact or self._counts_as is not CountsAs.NOTHING

    @property
    def is_contact(self) -> bool:
        """Whether a person answered, or a message was left."""
        is_message = self._counts_as is CountsAs.MESSAGE and self.message_left is not False
        return self.is_talk or (is_message and not self.void)

    @property
    def is_talk(self) -> bool:
        """Whether a person answered."""
        if self.void or self.open:
            return not self.void
        if self.answered is not None:
            return self.answered
        by_connection = self._counts_as is CountsAs.TALK_IF_CONNECTED and bool(self.connected)
        return by_connection or self._counts_as is CountsAs.TALK

    @property
    def _counts_as(self) -> CountsAs:
        if self.outcome is None:
            return CountsAs.TALK_IF_CONNECTED
        return COUNTS_AS[self.outcome]

    def is_counted(self, unit: Unit) -> bool:
        """Whether it counts in caps of a unit."""
        match unit:
            case Unit.ATTEMPT:
                return self.is_attempt
            case Unit.CONTACT:
                return self.is_contact
            case Unit.UNANSWERED_ATTEMPT:
                return self.is_attempt and (self.open or not self.is_contact)


@dataclass(frozen=True, kw_only=True)
class PlannedDial:
    """Whom the next call is for."""

    #: Its own entry does not count against it.
    key: str | None = None
    ids: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    account: str | None = None
    debt: str | None = None
    shared_lines: SharedLines = SharedLines.TOGETHER


@dataclass(frozen=True, kw_only=True)
class CapDecision:
    """Whether the caps allow a call, and why not."""

    allowed: bool
    #: The first cap that refuses, with its pack; None: none does.
    cap: Cap | None = None
    #: ``CL collection: weekly_contact``.
    rule: str | None = None
    source: str | None = None
    #: How many it counted.
    count: int = 0
    #: One sentence for an operator.
    sentence: str = "no cap refuses"
    #: The first instant from the asked one on at which every cap allows it, UTC, if no further call comes
    #: between; None: never, within ``HORIZON_DAYS``. Where only open entries refuse, ``OPEN_RETRY`` later.
    next_at: datetime | None = None
    #: Without the open entries it would be allowed.
    only_open: bool = False


@dataclass(frozen=True, kw_only=True)
class _CountedCap:
    """A cap with the entries that concern it."""

    pack: Pack
    cap: Cap
    zone: ZoneInfo
    entries: Sequence[LedgerEntry] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _SpreadAttempts:
    """A pack's ``spread_attempts`` with the entries that concern it."""

    pack: Pack
    zone: ZoneInfo
    entries: Sequence[LedgerEntry] = field(repr=False)

    def last_in_part(self, at: datetime) -> LedgerEntry | None:
        """The latest attempt of the last 24 hours that reached nobody, in the part of day of an instant."""
        found = [
            entry
            for entry in self.entries
            if (entry.open or (entry.is_attempt and not entry.is_talk))
            and entry.at + SPREAD > at
            and self._part(entry.at) == self._part(at)
        ]
        return max(found, key=lambda entry: entry.at, default=None)

    def release(self, at: datetime) -> datetime:
        """When the part of the day ends, or the attempt is long enough ago."""
        local, last = at.astimezone(self.zone), self.last_in_part(at)
        following = self._part(at) + 1
        is_last = following == len(DAY_PARTS)
        day = local.date() + timedelta(days=1) if is_last else local.date()
        start = datetime.combine(day, DAY_PARTS[0 if is_last else following], self.zone).astimezone(UTC)
        return start if last is None else min(start, last.at.astimezone(UTC) + SPREAD)

    def _part(self, at: datetime) -> int:
        local = at.astimezone(self.zone).time()
        return max(place for place, start in enumerate(DAY_PARTS) if start <= local)


_Rule = _CountedCap | _SpreadAttempts


def counts_against(entry: LedgerEntry, dial: PlannedDial) -> bool:
    """Whether an entry is of the person, and the account, that a dial is for. Never transitive."""
    if entry.key == dial.key or entry.account != dial.account:
        return False
    if entry.ids & dial.ids:
        return True
    by_number = dial.shared_lines is SharedLines.TOGETHER or not entry.ids or not dial.ids
    return by_number and bool(entry.numbers & dial.numbers)


def check_caps(
    *,
    packs: Sequence[Pack],
    entries: Iterable[LedgerEntry],
    dial: PlannedDial,
    zones: Sequence[ZoneInfo],
    at: datetime,
) -> CapDecision:
    """Whether every cap of the packs allows a dial at an instant.

    Args:
        packs: that hold for the number.
        entries: the ledger's of the longest span, in any order; those of other people do no harm.
        dial: whom it is for.
        zones: of the callee: days and weeks are local, and in each zone a cap has to allow it.
        at: aware.
    """
    known = [entry for entry in entries if counts_against(entry, dial)]
    counted: list[_Rule] = [
        _CountedCap(pack=pack, cap=cap, zone=zone, entries=_of_scope(known, cap, pack, dial))
        for pack in packs
        for cap in pack.caps
        for zone in zones
    ]
    counted += [
        _SpreadAttempts(pack=pack, zone=zone, entries=_of_purposes(known, pack))
        for pack in packs
        if pack.spread_attempts
        for zone in zones
    ]
    moment = at.astimezone(UTC)
    refusing = next((one for one in counted if not _allows(one, moment)), None)
    if refusing is None:
        return CapDecision(allowed=True, next_at=moment)
    closed = [replace(one, entries=[entry for entry in one.entries if not entry.open]) for one in counted]
    next_at = _next_chance(closed, moment)
    only_open = next_at == moment
    if only_open:
        next_at = moment + OPEN_RETRY
    return _refusal(refusing, moment, next_at, only_open=only_open)


def _of_scope(
    entries: Sequence[LedgerEntry], cap: Cap, pack: Pack, dial: PlannedDial
) -> Sequence[LedgerEntry]:
    of_purpose = _of_purposes(entries, pack)
    if cap.scope is Scope.PERSON or dial.debt is None:
        return of_purpose
    # One without a debt may have been about this one.
    return [entry for entry in of_purpose if entry.debt in {dial.debt, None}]


def _of_purposes(entries: Sequence[LedgerEntry], pack: Pack) -> Sequence[LedgerEntry]:
    return [entry for entry in entries if entry.purpose is None or entry.purpose in pack.counted_purposes]


def _allows(one: _Rule, at: datetime) -> bool:
    if isinstance(one, _SpreadAttempts):
        return one.last_in_part(at) is None
    cap = one.cap
    contacts = _counted_in_span(one, at)
    if cap.span is Span.DAYS_AFTER_TALK:
        return not contacts
    if len(contacts) < cap.number:
        return True
    if not cap.one_more_same_day:
        return False
    # The one more comes after the last contact allowed, on its local day, and may itself reach nobody.
    last = contacts[cap.number - 1]
    if at.astimezone(one.zone).date() != last.at.astimezone(one.zone).date():
        return False
    return not any(entry.is_attempt and entry.at >= last.at and entry is not last for entry in one.entries)


def _counted_in_span(one: _CountedCap, at: datetime) -> list[LedgerEntry]:
    """What a cap counts at an instant, in order; entries after it count too, since clocks differ."""
    cap, zone = one.cap, one.zone
    if cap.span is Span.DAYS_AFTER_TALK:
        found = [entry for entry in one.entries if entry.is_talk and entry.at + _length(cap) > at]
    else:
        of_unit = [entry for entry in one.entries if entry.is_counted(cap.unit)]
        if cap.span in {Span.ROLLING_HOURS, Span.ROLLING_DAYS}:
            found = [entry for entry in of_unit if entry.at + _length(cap) > at]
        else:
            today = at.astimezone(zone).date()
            first = today if cap.span is Span.CALENDAR_DAY else today - timedelta(days=today.weekday())
            found = [entry for entry in of_unit if entry.at.astimezone(zone).date() >= first]
    return sorted(found, key=lambda entry: (entry.at, entry.key))


def _next_chance(counted: Sequence[_Rule], at: datetime) -> datetime | None:
    """The first instant from one on at which all caps allow: each that refuses moves it on."""
    moment, last = at, at + timedelta(days=HORIZON_DAYS)
    while moment <= last:
        refusing = next((one for one in counted if not _allows(one, moment)), None)
        if refusing is None:
            return moment
        moment = max(_release(refusing, moment), moment + _LEAST_STEP)
    return None


def _release(one: _Rule, at: datetime) -> datetime:
    """The earliest instant at which a rule that refuses now may allow."""
    if isinstance(one, _SpreadAttempts):
        return one.release(at)
    cap, zone = one.cap, one.zone
    today = at.astimezone(zone).date()
    match cap.span:
        case Span.CALENDAR_DAY:
            return first_instant(today + timedelta(days=1), zone)
        case Span.CALENDAR_WEEK:
            return first_instant(today + timedelta(days=7 - today.weekday()), zone)
        case Span.DAYS_AFTER_TALK:
            return max(entry.at for entry in _counted_in_span(one, at)).astimezone(UTC) + _length(cap)
        case _:
            counted = _counted_in_span(one, at)
            return counted[len(counted) - cap.number].at.astimezone(UTC) + _length(cap)


def _length(cap: Cap) -> timedelta:
    unit = timedelta(hours=1) if cap.span is Span.ROLLING_HOURS else timedelta(days=1)
    return (cap.length or 0) * unit


def _refusal(one: _Rule, at: datetime, next_at: datetime | None, *, only_open: bool) -> CapDecision:
    when = (
        "there is no next chance"
        if next_at is None
        else f"next chance {next_at.astimezone(one.zone):%Y-%m-%d %H:%M}"
    )
    under_way = ", calls under way included" if only_open else ""
    if isinstance(one, _SpreadAttempts):
        return CapDecision(
            allowed=False,
            rule=f"{one.pack.name}: spread_attempts",
            source="the pack's own setting",
            count=1,
            sentence=f"tried in this part of the day{under_way}; {when} in {one.zone.key}",
            next_at=next_at,
            only_open=only_open,
        )
    count = len(_counted_in_span(one, at))
    return CapDecision(
        allowed=False,
        cap=one.cap,
        rule=f"{one.pack.name}: {one.cap.name}",
        source=one.pack.source_of(one.cap),
        count=count,
        sentence=f"{one.cap}: {count} counted{under_way}; {when} in {one.zone.key}",
        next_at=next_at,
        only_open=only_open,
    )
