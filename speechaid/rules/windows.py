"""Calling windows: when a batch may be dialled, by the local time of its time zone. Pure: no I/O, no clock.

A window is open at an instant if the local time of its zone is inside it. This also covers daylight saving: a
skipped hour is never inside, and a local time that comes twice is treated alike both times, even if the
window thereby closes and opens again. A window over midnight belongs to the day on which it opens.

Invalid settings give a ``WindowFault``: the batch is not dialled, and the fault says why. Equal start and end
are invalid too: they could mean always or never, and a call cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from speechaid.model.reading import find_zone, shown
from speechaid.protocol.translation import say
from speechaid.rules.local_time import clock_changes, instants_of

_DAY: Final = 86_400
ALL_DAYS: Final = frozenset(range(1, 8))
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
#: How far ahead openings are searched: a clock change can skip a weekly window once.
_HORIZON_DAYS: Final = 22


class DailyHours(Protocol):
    """Daily hours as in the settings, each ``HH:MM``."""

    @property
    def start(self) -> str:
        """When it opens."""

    @property
    def end(self) -> str:
        """When it closes; if before the start, on the next day."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """When a batch may be called. Seconds since local midnight; the end is exclusive."""

    start_seconds: int
    #: 86,400: midnight at the end of the day. If not after the start, on the next day.
    end_seconds: int
    #: 1 (Monday) to 7 (Sunday); for a window over midnight the day on which it opens.
    days: frozenset[int]
    zone: ZoneInfo
    #: Closed before this moment (aware); None: there is no such moment.
    starts_at: datetime | None = None

    @property
    def is_always(self) -> bool:
        """Whether it never closes."""
        is_whole = self.start_seconds == 0 and self.end_seconds == _DAY and self.days == ALL_DAYS
        return is_whole and self.starts_at is None

    def __str__(self) -> str:
        days = (
            say("every day")
            if self.days == ALL_DAYS
            else say("days {days}", days=",".join(map(str, sorted(self.days))))
        )
        hours = say(
            "{start}-{end} {days} {key}",
            start=_clock(self.start_seconds),
            end=_clock(self.end_seconds),
            days=days,
            key=self.zone.key,
        )
        if self.starts_at is None:
            return hours
        local = self.starts_at.astimezone(self.zone)
        return say("{hours}, not before {moment}", hours=hours, moment=f"{local:%Y-%m-%d %H:%M}")


@dataclass(frozen=True, kw_only=True)
class WindowFault:
    """Invalid settings of a window or of a limit beside it; nothing is dialled under them."""

    #: One sentence for an operator.
    sentence: str


def read_window(
    allowed_hours: object,
    days_of_week: object,
    timezone: object,
    start_at: object = None,
    *,
    default_hours: DailyHours | Mapping[str, Any] | None,
    default_days: Sequence[int] | None,
    default_timezone: str,
) -> Window | WindowFault:
    """Read the window from the values of a batch's ``call_settings``.

    Args:
        allowed_hours: ``{start, end}``, each ``HH:MM``; None: the default.
        days_of_week: a list of 1 (Monday) to 7 (Sunday), 0 read as Sunday; None: the default.
        timezone: an IANA name; None: the default.
        start_at: ``read_start``; None: at once.
        default_hours: None: the whole day.
        default_days: None: every day.
        default_timezone: the account's, else the settings'.
    """
    try:
        start, end = _hours(default_hours if allowed_hours is None else allowed_hours)
        zone = _zone(default_timezone if timezone is None else timezone)
        return Window(
            start_seconds=start,
            end_seconds=end,
            days=_days(default_days if days_of_week is None else days_of_week),
            zone=zone,
            starts_at=None if start_at is None else _start(start_at, zone),
        )
    except _InvalidSettingError as fault:
        return WindowFault(sentence=str(fault))


def read_start(value: object, zone: tzinfo) -> datetime | None:
    """The moment of ``2026-12-01T09:00``, by the clock of the zone unless it names its own; None: it is none.

    A time of a database is one, too: in UTC where it has no zone.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        read = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
        # What lies outside the years of a calendar when it is put into UTC is no moment either.
        found = None if read is None else (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found


def is_open(window: Window, now: datetime) -> bool:
    """Whether a call may be placed at this instant (aware)."""
    if window.starts_at is not None and now < window.starts_at:
        return False
    local = now.astimezone(window.zone)
    seconds = local.hour * 3600 + local.minute * 60 + local.second
    today = local.isoweekday()
    if window.start_seconds < window.end_seconds:
        return today in window.days and window.start_seconds <= seconds < window.end_seconds
    yesterday = 7 if today == 1 else today - 1
    return (today in window.days and seconds >= window.start_seconds) or (
        yesterday in window.days and seconds < window.end_seconds
    )


def next_opening(window: Window, now: datetime) -> datetime | None:
    """The first instant from now on at which the window is open, aware UTC; now itself if it is open.

    None if there is no opening within three weeks of that, or of the window's start.
    """
    first = now if window.starts_at is None else max(now, window.starts_at)
    if is_open(window, first):
        return first.astimezone(UTC)
    return next((moment for moment in _changes(window, first) if is_open(window, moment)), None)


class _InvalidSettingError(Exception):
    """Carries a fault's sentence to ``read_window``."""


def _hours(value: object) -> tuple[int, int]:
    if value is None:
        return 0, _DAY
    if isinstance(value, Mapping):
        start_text, end_text = value.get("start"), value.get("end")
    else:
        start_text, end_text = getattr(value, "start", None), getattr(value, "end", None)
    start, end = _seconds(start_text), _seconds(end_text)
    if start is None or end is None or start == _DAY:
        raise _InvalidSettingError(
            say("allowed_hours {value} cannot be understood: start and end must be HH:MM", value=shown(value))
        )
    if start == end:
        raise _InvalidSettingError(
            say("allowed_hours {value} starts and ends at the same time", value=shown(value))
        )
    return start, end


def _seconds(value: object) -> int | None:
    """``HH:MM`` or ``HH:MM:SS`` as seconds since midnight; ``24:00`` is the day's end."""
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    total = hour * 3600 + minute * 60 + second
    return total if minute < 60 and second < 60 and total <= _DAY else None


def _days(value: object) -> frozenset[int]:
    if value is None:
        return ALL_DAYS
    days = [_day(entry) for entry in value] if isinstance(value, list | tuple | set | frozenset) else []
    known = [day for day in days if day is not None]
    if not days or len(known) < len(days):
        raise _InvalidSettingError(
            say(
                "days_of_week {value} cannot be understood: a list of days from 1 (Monday) to 7 (Sunday)",
                value=shown(value),
            )
        )
    return frozenset(known)


def _day(value: object) -> int | None:
    """1 to 7; 0 is Sunday; accepts digits in a string and whole floats, no names."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in range(8):
        return None
    return int(value) or 7


def _start(value: object, zone: ZoneInfo) -> datetime:
    found = read_start(value, zone)
    if found is None:
        raise _InvalidSettingError(
            say("start_at {value} is not a time such as 2026-12-01T09:00", value=shown(value))
        )
    return found


def _zone(value: object) -> ZoneInfo:
    zone = find_zone(value.strip()) if isinstance(value, str) else None
    if zone is None:
        raise _InvalidSettingError(say("timezone {value} is not a known IANA zone", value=shown(value)))
    return zone


def _changes(window: Window, now: datetime) -> Iterator[datetime]:
    """Every instant after now at which the window may open or close, sorted."""
    first = now.astimezone(window.zone).date() - timedelta(days=1)
    return (moment for moment in _changes_from(window, first) if moment > now)


@lru_cache(maxsize=256)
def _changes_from(window: Window, first: date) -> tuple[datetime, ...]:
    """Every instant from a local day on at which the window may open or close, sorted.

    Kept: a forecast asks for it at each minute of the same days.
    """
    begins = datetime.combine(first, time(), window.zone)
    # From a day before the day that is asked about: as far ahead as from that day itself.
    moments = set(clock_changes(window.zone, begins, _HORIZON_DAYS + 2))
    for day in (first + timedelta(days=ahead) for ahead in range(_HORIZON_DAYS)):
        for seconds in {0, window.start_seconds, window.end_seconds % _DAY}:
            moments.update(instants_of(day, seconds, window.zone))
    return tuple(sorted(moments))


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
