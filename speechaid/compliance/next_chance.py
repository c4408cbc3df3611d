"""Hours and caps together: whether a call is allowed, and when it is next. Pure but for the holidays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.compliance.caps import CapDecision, LedgerEntry, PlannedDial, check_caps
from speechaid.compliance.hours import HoursDecision, check_hours
from speechaid.compliance.packs import InvalidPack, Pack
from speechaid.model.states import Purpose
from speechaid.rules.windows import Window, WindowFault

#: How far ahead the next chance is searched.
HORIZON_DAYS: Final = 400


@dataclass(frozen=True, kw_only=True)
class RuleDecision:
    """What the calling rules say of one call."""

    hours: HoursDecision
    #: None where the hours cannot be understood: caps are not asked.
    caps: CapDecision | None
    #: The first instant from the asked one on at which both allow it, UTC; None: none was found.
    next_at: datetime | None

    @property
    def allowed(self) -> bool:
        """Whether the call may be placed at the asked instant."""
        return self.hours.allowed and self.caps is not None and self.caps.allowed


def check_rules(
    *,
    country: str,
    purpose: Purpose,
    packs: Sequence[Pack | InvalidPack],
    batch: Window | WindowFault,
    zones: Sequence[ZoneInfo],
    entries: Sequence[LedgerEntry],
    dial: PlannedDial,
    at: datetime,
) -> RuleDecision:
    """Whether a call is allowed by hours and caps at an instant; arguments as of these two."""

    def hours_at(moment: datetime) -> HoursDecision:
        return check_hours(country=country, purpose=purpose, packs=packs, batch=batch, zones=zones, at=moment)

    usable = [pack for pack in packs if isinstance(pack, Pack)]

    def caps_at(moment: datetime, entries: Sequence[LedgerEntry]) -> CapDecision:
        return check_caps(packs=usable, entries=entries, dial=dial, zones=zones, at=moment)

    hours = hours_at(at)
    if hours.next_at is None:
        return RuleDecision(hours=hours, caps=None, next_at=None)
    caps = caps_at(at, entries)
    # Open entries close when their calls end: they do not move the next chance to another day.
    closed = [entry for entry in entries if not entry.open]
    chance, last = caps.next_at, at.astimezone(UTC) + timedelta(days=HORIZON_DAYS)
    while chance is not None and chance <= last:
        opening = hours_at(chance).next_at
        if opening is None:
            break
        chance = caps_at(opening, closed).next_at
        if chance == opening:
            return RuleDecision(hours=hours, caps=caps, next_at=opening)
    return RuleDecision(hours=hours, caps=caps, next_at=None)
