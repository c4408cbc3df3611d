"""Public holidays of a country by date, from the library ``holidays``.

The library is imported at the first question and loads one country at a time: a worker that dials under no
pack does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from types import MappingProxyType

from speechaid.compliance.packs import Holidays


def holiday_name(rule: Holidays, day: date) -> str | None:
    """The name of the holiday that a day is in a pack, or None.

    Raises:
        ValueError: the library does not have the country or subdivision; ``pack_files`` refuses such a pack.
    """
    if day in rule.extra:
        return "extra holiday"
    return _names(rule.calendar, rule.subdivisions, day.year).get(day)


def calendar_fault(calendar: str, subdivisions: Sequence[str]) -> str | None:
    """Why a calendar cannot be used, as a sentence; None: it can."""
    import holidays  # noqa: PLC0415 - see above

    known = holidays.list_supported_countries(include_aliases=False)
    if calendar not in known:
        return f"there are no holidays of the country {calendar}"
    unknown = [one for one in subdivisions if one not in known[calendar]]
    if unknown:
        allowed = ", ".join(known[calendar]) or "none"
        return f"{calendar} has no subdivision {', '.join(unknown)}; allowed: {allowed}"
    return None


@lru_cache(maxsize=256)
def _names(calendar: str, subdivisions: tuple[str, ...], year: int) -> Mapping[date, str]:
    import holidays  # noqa: PLC0415 - see above

    found: dict[date, str] = {}
    for subdivision in (None, *subdivisions):
        try:
            days = holidays.country_holidays(calendar, subdiv=subdivision, years=year, language="en_US")
        except (NotImplementedError, LookupError) as error:
            raise ValueError(f"no holidays of {calendar} {subdivision or ''}".rstrip()) from error
        # With the days of another year that the library keeps for its own ends.
        found |= {day: name for day, name in days.items() if day.year == year and day not in found}
    return MappingProxyType(found)
