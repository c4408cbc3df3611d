"""In which time zone a called line is. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

import phonenumbers

from speechaid.model.reading import find_zone

#: Countries of several zones whose numbers tell theirs, by the metadata of ``phonenumbers``.
TELLING_COUNTRIES: Final = frozenset({"BR", "MX", "US"})
#: A number with more zones may be anywhere in its country: it tells none.
_MAX_ZONES: Final = 4


def callee_zones(
    line: str, country: str, *, pack_zones: Sequence[str], batch_zone: ZoneInfo | None
) -> tuple[ZoneInfo, ...]:
    """The zones in one of which a line is; a call has to be allowed in each of them.

    The number's own where it tells (an area across a border of zones has two). Else the batch's, if it is a
    zone of the country; else the country's first: hours are the callee's, and a batch for people in Bogotá
    may have the zone of Santiago.

    Args:
        line: E.164, as ``rules.numbers.line_identity`` gives it.
        country: ISO 3166 code of the number's country.
        pack_zones: of the country's pack; empty: no pack.
        batch_zone: None: not known.

    Returns:
        Empty where nothing tells a zone.
    """
    told = _zones_of_number(line) if country in TELLING_COUNTRIES else ()
    if told:
        return told
    if batch_zone is not None and (not pack_zones or batch_zone.key in pack_zones):
        return (batch_zone,)
    first = find_zone(pack_zones[0]) if pack_zones else None
    return () if first is None else (first,)


def _zones_of_number(line: str) -> tuple[ZoneInfo, ...]:
    # Its tables are large: only who calls these countries loads them.
    from phonenumbers import timezone  # noqa: PLC0415

    try:
        number = phonenumbers.parse(line)
    except phonenumbers.NumberParseException:
        return ()
    names = timezone.time_zones_for_geographical_number(number)
    zones = [zone for name in names if (zone := find_zone(name)) is not None]
    return tuple(zones) if len(zones) == len(names) <= _MAX_ZONES else ()
