"""Reads cells as people write them: clean text, amounts, dates. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from speechaid.retell.variables import plain

#: Deleted: control characters except tab and line feed, and invisible marks of copied numbers.
_INVISIBLE: Final = dict.fromkeys(
    [code for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"]
    + [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
)

_ASCII_WORDS: Final = re.compile("[a-z0-9]+")
_CURRENCY: Final = r"(?:[A-Z]{3}|US\$|S/\.?|R\$|\$|€|£|PESOS)"
_AMOUNT: Final = re.compile(rf"{_CURRENCY}?\s*+\$?\s*+(-?\d[\d.,'\s]*+){_CURRENCY}?", re.IGNORECASE)
#: Groups of three digits, separated by one mark, with an optional fraction after another mark.
_GROUPED: Final = re.compile(r"-?[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*(?:(?!\1)[.,](\d+))?")
_UNGROUPED: Final = re.compile(r"-?\d+(?:[.,](\d+))?")

_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[t ].*)?")
_YEAR_LAST: Final = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})(?:[t ]\d.*)?")
_NAMED: Final = re.compile(r"(\d{1,2})(?:[-/. ]|\s+de\s+)([a-z]+)\.?(?:[-/., ]|\s+del?\s+)\s*(\d{4})")
_NAMED_FIRST: Final = re.compile(r"([a-z]+)\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})")
_MONTHS: Final = {
    "ene": 1,
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "abr": 4,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "ago": 8,
    "aug": 8,
    "sep": 9,
    "set": 9,
    "oct": 10,
    "nov": 11,
    "dic": 12,
    "dec": 12,
}
_MONTH_FIRST_COUNTRIES: Final = frozenset({"US", "PR", "PH"})


def clean(value: object) -> str:
    """A cell as text without invisible characters and surrounding blanks; numbers and dates in plain form."""
    text = value if isinstance(value, str) else plain(value) or ("" if value is None else str(value))
    if not text.isprintable():
        text = text.translate(_INVISIBLE).replace("\xa0", " ")
    return text.strip()


def one_line(text: str) -> str:
    """Text without line ends and repeated blanks."""
    return " ".join(text.split())


def fold(text: str) -> str:
    """Text for comparison: lower case, no accents, words separated by one blank."""
    if text.isascii():
        return " ".join(_ASCII_WORDS.findall(text.lower()))  # the same result, five times faster
    letters = "".join(
        character if character.isalnum() else " "
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )
    return " ".join(letters.split())


#: Larger than any debt in any currency, and exact in the database and in JSON.
LARGEST_AMOUNT = 10**15


def amount(value: object) -> int | float | None:
    """A sum of money, with comma or point for thousands or cents; None if invalid or too large.

    One mark before exactly three digits separates thousands (``1.500``, ``150,000``): sums have two decimals.
    """
    result = _amount(value)
    return None if result is None or abs(result) > LARGEST_AMOUNT else result


def _amount(value: object) -> int | float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A number cell of a spreadsheet is unambiguous.
        return None if not math.isfinite(value) else int(value) if value == int(value) else value
    match = _AMOUNT.fullmatch(clean(value))
    if match is None:
        return None
    digits = re.sub(r"[\s']", "", match[1])
    grouped, ungrouped = _GROUPED.fullmatch(digits), _UNGROUPED.fullmatch(digits)
    form = grouped or ungrouped
    if form is None:
        return None
    fraction = form[2] if grouped else form[1]
    whole = digits[: -len(fraction) - 1] if fraction else digits
    try:
        total = Decimal(f"{re.sub('[.,]', '', whole)}.{fraction or 0}")
    except InvalidOperation:
        return None
    return int(total) if total == total.to_integral_value() else float(total)


def day(text: str, country: str) -> date | None:
    """A date in a usual form; None where it is not a date.

    Args:
        text: year first, day first, with a month's name, or month first where that is the country's order.
        country: ISO 3166 alpha-2.
    """
    folded = one_line(fold_accents(text.lower()))
    if match := _YEAR_FIRST.fullmatch(folded):
        return _date(match[1], match[2], match[3])
    if match := _YEAR_LAST.fullmatch(folded):
        first, second, year = match.groups()
        if _is_month_first(match, country):
            first, second = second, first
        return _date(year if len(year) == 4 else f"20{year}", second, first)
    if match := _NAMED.fullmatch(folded):
        return _date(match[3], _month(match[2]), match[1])
    if match := _NAMED_FIRST.fullmatch(folded):
        return _date(match[3], _month(match[1]), match[2])
    return None


def is_in_other_order(text: str, country: str) -> bool:
    """Whether day and month can only be in the other order than the country's."""
    match = _YEAR_LAST.fullmatch(one_line(text))
    return match is not None and _is_month_first(match, country) != _writes_month_first(country)


def _is_month_first(match: re.Match[str], country: str) -> bool:
    """13 to 31 can only be the day, in either position; otherwise the country's order applies."""
    first, second = int(match[1]), int(match[2])
    return second > 12 or (_writes_month_first(country) and first <= 12)


def _writes_month_first(country: str) -> bool:
    return country.upper() in _MONTH_FIRST_COUNTRIES


def fold_accents(text: str) -> str:
    """Remove accents and keep everything else."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _month(name: str) -> int:
    return _MONTHS.get(name[:3], 0) if len(name) >= 3 else 0


def _date(year: str, month: str | int, day_of_month: str) -> date | None:
    try:
        result = datetime(int(year), int(month), int(day_of_month)).date()  # noqa: DTZ001 - a date without a time
    except ValueError:
        return None
    return result if 1900 <= result.year < 2200 else None
