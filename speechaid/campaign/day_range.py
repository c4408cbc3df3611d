"""A range of whole days, as a report takes it; pure.

A day is that of a time zone: the same range begins and ends at other moments in another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, Self
from zoneinfo import ZoneInfo

from speechaid.protocol.translation import say, say_later


class RelativeDay(StrEnum):
    """A day by its distance from now; the value is what people type."""

    TODAY = "today"
    YESTERDAY = "yesterday"

    def day_at(self, today: date) -> date:
        """The day, where ``today`` is the current one."""
        return today if self is RelativeDay.TODAY else today - timedelta(days=1)


Day = date | RelativeDay
_ALLOWED: Final = say_later("write it as 2026-11-30, or today, or yesterday")


def read_day(option: str, text: str) -> Day:
    """A day as typed.

    Args:
        option: names it in the fault.
        text: ``YYYY-MM-DD``, ``today`` or ``yesterday``.

    Raises:
        ValueError: it is none; the message says what is allowed.
    """
    word = text.strip().lower()
    if word in set(RelativeDay):
        return RelativeDay(word)
    try:
        return date.fromisoformat(word)
    except ValueError as exc:
        raise ValueError(
            say("{option}: {text!r} is not a day; {ALLOWED}", option=option, text=text, ALLOWED=_ALLOWED)
        ) from exc


@dataclass(frozen=True, kw_only=True)
class DayRange:
    """From the first day to the last, both included; None: without a limit."""

    first: Day | None = None
    last: Day | None = None

    @classmethod
    def read(cls, *, day: str | None, first: str | None, last: str | None) -> Self:
        """Read what was typed for ``--day``, ``--from`` and ``--to``.

        Raises:
            ValueError: one is no day, or they contradict each other; the message says what is allowed.
        """
        if day is not None and (first is not None or last is not None):
            raise ValueError(say("day: give either --day, or --from and --to"))
        if day is not None:
            only = read_day("day", day)
            return cls(first=only, last=only)
        return cls(
            first=None if first is None else read_day("from", first),
            last=None if last is None else read_day("to", last),
        )

    @property
    def is_limited(self) -> bool:
        """Whether it leaves any day out."""
        return self.first is not None or self.last is not None

    def days_in(self, zone: ZoneInfo, now: datetime) -> tuple[date | None, date | None]:
        """The first and the last day in this zone.

        Raises:
            ValueError: the last day is before the first.
        """
        today = now.astimezone(zone).date()
        first, last = (one.day_at(today) if isinstance(one, RelativeDay) else one for one in self._ends)
        if first is not None and last is not None and last < first:
            raise ValueError(say("to: {last} is before --from {first}", last=last, first=first))
        return first, last

    def span_in(self, zone: ZoneInfo, now: datetime) -> tuple[datetime | None, datetime | None]:
        """The moment with which it begins in this zone, and the one before which it ends; aware UTC.

        Raises:
            ValueError: the last day is before the first.
        """
        first, last = self.days_in(zone, now)
        return (
            None if first is None else begin_of(first, zone),
            None if last is None or last == date.max else begin_of(last + timedelta(days=1), zone),
        )

    @property
    def _ends(self) -> tuple[Day | None, Day | None]:
        return self.first, self.last


def begin_of(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day; where the clock skips midnight, the moment of the skip. Aware UTC."""
    try:
        return datetime.combine(day, time(), zone).astimezone(UTC)
    except OverflowError:  # within hours of the first or the last year
        return datetime.combine(day, time(), UTC)
