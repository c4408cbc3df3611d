"""Reads dates as people of a country write them. Pure.

Month and weekday names come from the CLDR (``babel``), in Spanish, Portuguese and English.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final

from babel.dates import get_day_names, get_month_names

from speechaid.protocol.translation import say

#: No date of a person is written longer.
MAX_CHARACTERS: Final = 60
#: Dates outside are typing errors, and no spreadsheet's number (see ``_SERIAL``).
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
#: Countries that write the month before the day, and so do the programs set to them.
MONTH_FIRST: Final = frozenset({"US", "PR", "PH"})
_LANGUAGES: Final = ("es", "pt", "en")
#: Short forms that the CLDR lacks.
_MORE_MONTHS: Final = {"setiembre": 9, "agto": 8}

#: Day 1 of spreadsheets is 1 January 1900, and they count a 29 February 1900 that never was.
_SPREADSHEET_EPOCH: Final = date(1899, 12, 30)
#: 2000-01-01 to 2099-12-31 as a spreadsheet's number of the day.
_SERIAL: Final = range(36526, 73051)
_SERIAL_TEXT: Final = re.compile(r"(\d{5})(?:[.,]\d{1,12})?")

_TIME: Final = (
    r"(?:[t ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?"
    r"(?: ?[ap]\.? ?m\.?)?(?: ?(?:z|utc|[+-]\d{2}:?\d{2}))?)?"
)
_YEAR_FIRST: Final = re.compile(rf"(\d{{4}})([-/. ])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
_COMPACT: Final = re.compile(rf"(\d{{4}})(\d{{2}})(\d{{2}}){_TIME}")
_COMPACT_YEAR_LAST: Final = re.compile(r"(\d{2})(\d{2})((?:19|20|21)\d{2})")
_YEAR_LAST: Final = re.compile(rf"(\d{{1,2}})([-/. ])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}")
_NAMED: Final = re.compile(
    rf"(\d{{1,2}})[oa]?(?:[-/., ]| de )([a-z]+)\.?(?:[-/., ]| del? )(\d{{4}}|\d{{2}}){_TIME}"
)
_NAMED_FIRST: Final = re.compile(rf"([a-z]+)\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}}){_TIME}")
_MONTH_AND_YEAR: Final = re.compile(
    r"([a-z]+)\.?(?:[-/., ]| del? )(\d{4}|\d{2})|(\d{1,2})[-/.](\d{4})|(\d{4})[-/.](\d{1,2})"
)
_ZEROS: Final = re.compile(r"[0\-/.:t z]+")
#: How spreadsheets show the day 0, in the orders of the region.
_NO_DATES: Final = frozenset({"0/1/1900", "00/01/1900", "1/0/1900", "01/00/1900", "1900-01-00", "00-01-1900"})


class DateOrder(StrEnum):
    """Whether day or month comes first, as ``--map 'TITLE=due-date:ORDER'`` takes it."""

    DAY_FIRST = "dmy"
    MONTH_FIRST = "mdy"


class DateFault(StrEnum):
    """Why a text is not read as a date; the value is the sentence for people."""

    NOT_A_DATE = "this is not a date"
    NO_DAY = "the date names no day"
    NOT_IN_THE_CALENDAR = "the calendar has no such day"
    OUT_OF_RANGE = "the year is out of range"


@dataclass(frozen=True, kw_only=True)
class Day:
    """A date that was read."""

    day: date
    #: What was assumed beyond the plain reading, or None.
    assumed: str | None = None
    #: The only order that the text can be in; None where it has a month's name, or the year first, or where
    #: both orders are possible.
    written_in: DateOrder | None = field(default=None, compare=False)
    #: What it would be in the other order, where that is a date, too, and another one.
    other_day: date | None = field(default=None, compare=False)


def order_of(country: str) -> DateOrder:
    """The order of a country's people; of one that is not known, the day first."""
    return DateOrder.MONTH_FIRST if country.upper() in MONTH_FIRST else DateOrder.DAY_FIRST


@lru_cache(maxsize=4096)
def read_date(text: str, order: DateOrder) -> Day | DateFault | None:
    """Read a cell; None for a date of zeros (``0000-00-00``), which programs write for no date.

    Args:
        text: as written, also with a weekday before and a time behind.
        order: of day and month, where both are 12 or less.
    """
    if len(text) > MAX_CHARACTERS * 2:
        return DateFault.NOT_A_DATE
    plain = _plain(text)
    if plain in _NO_DATES or ("0" in plain and _ZEROS.fullmatch(plain)):
        return None
    # "mar" is Tuesday in Spanish and March in English: the whole text first.
    for candidate in dict.fromkeys((plain, _without_weekday(plain))):
        found = _read(candidate, order)
        if found is not None:
            return found
    return DateFault.NO_DAY if _names_a_month(plain) else DateFault.NOT_A_DATE


def day_or_none(text: str, country: str = "") -> date | None:
    """The date alone; None where the text is none."""
    found = read_date(text, order_of(country))
    return found.day if isinstance(found, Day) else None


def _read(plain: str, order: DateOrder) -> Day | DateFault | None:
    return (
        _read_year_first(plain, order)
        or _read_year_last(plain, order)
        or _read_named(plain)
        or _read_serial(plain)
    )


def _plain(text: str) -> str:
    """Lower case, no accents, single blanks."""
    letters = unicodedata.normalize("NFD", text.casefold().strip().strip("'\""))
    kept = "".join(c for c in letters if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return " ".join(kept.replace("\u00ba", "").replace("\u00b0", "").split())


def _without_weekday(plain: str) -> str:
    """Without the weekday before the date; it is not compared with the date."""
    word, _, rest = plain.partition(" ")
    return rest.lstrip(", ") if rest and word.strip(",.") in _weekdays() else plain


def _read_year_first(plain: str, order: DateOrder) -> Day | DateFault | None:
    if match := _YEAR_FIRST.fullmatch(plain):
        return _day(match[1], match[3], match[4])
    if match := _COMPACT.fullmatch(plain):
        # Of eight digits that are a date with the year first, none is one with the year last.
        first, last = _day(match[1], match[2], match[3]), _COMPACT_YEAR_LAST.fullmatch(plain)
        if isinstance(first, Day) or last is None:
            return first
        found = _read_year_last(f"{last[1]}/{last[2]}/{last[3]}", order)
        return found if isinstance(found, Day) else first
    return None


def _read_year_last(plain: str, order: DateOrder) -> Day | DateFault | None:
    match = _YEAR_LAST.fullmatch(plain)
    if match is None:
        return None
    first, second, year = match[1], match[3], match[4]
    # 13 to 31 can only be the day, in either position.
    if int(second) > 12:
        return _day(year, first, second, written_in=DateOrder.MONTH_FIRST)
    if int(first) > 12:
        return _day(year, second, first, written_in=DateOrder.DAY_FIRST)
    day, month = (second, first) if order is DateOrder.MONTH_FIRST else (first, second)
    other = None if int(day) == int(month) else _day(year, day, month)
    return _day(year, month, day, other_day=other.day if isinstance(other, Day) else None)


def _read_named(plain: str) -> Day | DateFault | None:
    if match := _NAMED.fullmatch(plain):
        day, name, year = match[1], match[2], match[3]
    elif match := _NAMED_FIRST.fullmatch(plain):
        name, day, year = match[1], match[2], match[3]
    else:
        return None
    month = _months().get(name)
    return DateFault.NOT_A_DATE if month is None else _day(year, str(month), day)


def _read_serial(plain: str) -> Day | DateFault | None:
    match = _SERIAL_TEXT.fullmatch(plain)
    if match is None or int(match[1]) not in _SERIAL:
        return None
    day = _SPREADSHEET_EPOCH + timedelta(days=int(match[1]))
    return Day(day=day, assumed=say("a spreadsheet's number of the day"))


def _names_a_month(plain: str) -> bool:
    match = _MONTH_AND_YEAR.fullmatch(plain)
    return match is not None and (match[1] is None or match[1] in _months())


def _day(
    year: str,
    month: str,
    day: str,
    *,
    written_in: DateOrder | None = None,
    other_day: date | None = None,
) -> Day | DateFault:
    full_year = int(year) if len(year) == 4 else 2000 + int(year)
    try:
        found = datetime(full_year, int(month), int(day)).date()  # noqa: DTZ001 - a date without a time
    except ValueError:
        return DateFault.NOT_IN_THE_CALENDAR
    if not FIRST_YEAR <= full_year <= LAST_YEAR:
        return DateFault.OUT_OF_RANGE
    return Day(day=found, written_in=written_in, other_day=other_day)


@cache
def _months() -> dict[str, int]:
    names = {
        _plain(name).strip("."): number
        for language in _LANGUAGES
        for width in ("wide", "abbreviated")
        for context in ("format", "stand-alone")
        for number, name in get_month_names(width, context, language).items()
    }
    return names | _MORE_MONTHS


@cache
def _weekdays() -> frozenset[str]:
    return frozenset(
        _plain(name).strip(".")
        for language in _LANGUAGES
        for width in ("wide", "abbreviated")
        for name in get_day_names(width, "format", language).values()
    )
