"""Instants of a zone's local times, across changes of its clock. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def instants_of(day: date, seconds: int, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants (UTC) at which a local clock shows a time: one, two in a repeated hour.

    Of a time that the clock skips: instants near the change, at which it shows another time.

    Args:
        day: of the local calendar.
        seconds: since local midnight, below 86,400.
        zone: of the clock.
    """
    local = time(seconds // 3600, seconds // 60 % 60, seconds % 60)
    for fold in (0, 1):
        yield datetime.combine(day, local.replace(fold=fold), zone).astimezone(UTC)


def clock_changes(zone: ZoneInfo, after: datetime, days: int) -> Iterator[datetime]:
    """Instants within some days at which the zone's UTC offset changes, to the second; at most one a day."""
    before = after.astimezone(UTC).replace(microsecond=0)
    for _ in range(days):
        later = before + timedelta(days=1)
        if _offset(zone, before) != _offset(zone, later):
            low, high = before, later
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (
                    (middle, high) if _offset(zone, middle) == _offset(zone, before) else (low, middle)
                )
            yield high
        before = later


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """When a local day begins, or the next one where the zone skips it whole; UTC."""
    noon_before = datetime.combine(day - timedelta(days=1), time(12), zone).astimezone(UTC)
    moments = [*instants_of(day, 0, zone), *clock_changes(zone, noon_before, 2)]
    return min(moment for moment in moments if moment.astimezone(zone).date() >= day)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()
