"""Remarks on columns that may be meant otherwise than they are taken. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from speechaid.campaign.cells import fold
from speechaid.campaign.columns import Column
from speechaid.campaign.countries import can_only_be_a_country
from speechaid.campaign.dates import DateOrder, order_of
from speechaid.campaign.titles import SURNAMES_FIRST, Role
from speechaid.protocol.translation import say, say_later
from speechaid.rules import numbers
from speechaid.rules.currencies import DOLLAR_SIGN, OF_COUNTRY, UNITS

#: Why a hidden column is left out.
HIDDEN: Final = say_later("the sheet does not show it")
#: A column of phones: at least this share of its filled cells are valid numbers.
PHONE_SHARE: Final = 0.5
LOOKS_LIKE_PHONES: Final = say_later("its cells look like phone numbers")
PHONE_WITHOUT_NUMBERS: Final = say_later("its title is that of a phone")
NAME_WITHOUT_LETTERS: Final = say_later("its title is that of a name")
SECOND_TABLE: Final = say_later("a second table stands beside the first")
#: Words of a title under which codes of two or three letters are countries.
_ABOUT_COUNTRIES: Final = frozenset(
    {"pais", "country", "nacionalidad", "nationality", "residencia", "origen", "region", "iso", "procedencia"}
)
_LONGEST_CODE: Final = 3
_DATE_BY_SLASHES: Final = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](?:\d{4}|\d\d)(?!\d)")
_MONTHS: Final = 12


def doubts_about(column: Column, cells: Sequence[str], country: str | None) -> list[str]:
    """Remarks on columns that may be meant otherwise."""
    where = say("column {number} ({title})", number=column.number, title=shown_title(column.title))
    if column.role is Role.LEFT_OUT:
        return _doubts_left_out(column, where) if cells else []
    if column.role is Role.DEBT_AMOUNT:
        return _doubts_of_currency(column, where, country)
    if column.role is Role.PHONE and len(cells) >= 2 and phone_share(cells, country) <= PHONE_SHARE:
        return [say("{where} is taken for phones, and most of its cells are none", where=where)]
    if (
        column.role is Role.NAME
        and fold(column.title) in SURNAMES_FIRST
        and not all("," in text for text in cells)
    ):
        remark = say(
            "{where} has the surnames first, and the agent says them first: write 'SURNAMES,"
            " NAMES' with a comma, or put them into two columns",
            where=where,
        )
        return [remark]
    return _doubts_of_variable(column, cells, where, country) if column.role is Role.VARIABLE else []


def _doubts_of_currency(column: Column, where: str, country: str | None) -> list[str]:
    """Remarks on a title whose currency is not the country's, or whose sign that is not written with."""
    own = OF_COUNTRY.get((country or "").upper())
    if own is None:
        return []
    if column.currency is not None and column.currency not in {own, *UNITS}:
        return [
            say(
                "{where} has amounts in {currency} by its title, and the currency of {country} is {own}",
                where=where,
                currency=column.currency,
                country=country,
                own=own,
            )
        ]
    if column.assumed_currency is not None and own not in DOLLAR_SIGN:
        return [
            say(
                "{where} is taken for amounts in {own}, which is not written so: if they are in dollars,"
                " write USD into the title",
                where=where,
                own=own,
            )
        ]
    return []


def _doubts_of_variable(column: Column, cells: Sequence[str], where: str, country: str | None) -> list[str]:
    if column.why.startswith(NAME_WITHOUT_LETTERS):
        has_letters = any(character.isalpha() for text in cells for character in text)
        words = (
            say("{where} has a name's title and codes: it is given to the agent as a variable", where=where)
            if has_letters
            else say(
                "{where} has a name's title and no letters: it is given to the agent as a variable",
                where=where,
            )
        )
        return [words]
    if column.why.startswith(PHONE_WITHOUT_NUMBERS):
        return [
            say(
                "{where} has a phone's title and no phone numbers: it is given to the agent as a variable",
                where=where,
            )
        ]
    other = _other_date_order(cells, country)
    if other is not None:
        key = column.title or column.number
        return [
            say(
                "{where} has dates as {example!r}, and the agent gets them as they are written:"
                " --map '{key}=due-date:{order}' has one column of dates said in words",
                where=where,
                example=other[1][:40],
                key=key,
                order=other[0],
            )
        ]
    if _holds_countries(column.title, cells):
        role = say(
            "--map '{title}=country-code' reads the row's numbers and dates by it",
            title=column.title or column.number,
        )
        return [
            say(
                "{where} holds countries and is given to the agent as a variable: {role}",
                where=where,
                role=role,
            )
        ]
    return []


def _other_date_order(cells: Sequence[str], country: str | None) -> tuple[DateOrder, str] | None:
    """The order of a column's dates and one of them, where it is not the country's; None where it may be."""
    found = [match for match in map(_DATE_BY_SLASHES.match, cells) if match is not None]
    own = order_of(country or "")
    other, part = (DateOrder.DAY_FIRST, 1) if own is DateOrder.MONTH_FIRST else (DateOrder.MONTH_FIRST, 2)
    days = [match for match in found if int(match[part]) > _MONTHS]
    is_other = bool(days) and all(int(match[3 - part]) <= _MONTHS for match in found)
    return (other, days[0].string) if is_other and len(found) / len(cells) > PHONE_SHARE else None


def _holds_countries(title: str, cells: Sequence[str]) -> bool:
    """Whether most cells are countries; codes alone, which may be initials, only under such a title."""
    may_be_codes = not _ABOUT_COUNTRIES.isdisjoint(fold(title).split())
    named = sum(can_only_be_a_country(text) and (may_be_codes or not _is_code(text)) for text in cells)
    return len(cells) >= 2 and named / len(cells) > PHONE_SHARE


def _is_code(text: str) -> bool:
    return len(text.strip()) <= _LONGEST_CODE and text.strip().isalpha()


def _doubts_left_out(column: Column, where: str) -> list[str]:
    if column.why.startswith(LOOKS_LIKE_PHONES):
        remark = say(
            "{where} looks like phone numbers and is left out: --map '{title}=phone' dials"
            " them, --map '{title}=variable' gives them to the agent",
            where=where,
            title=column.title,
        )
        return [remark]
    if column.why == HIDDEN:
        key = column.title or column.number
        return [
            say(
                "{where} is hidden in the sheet and is left out: --map '{key}=ROLE' uses it",
                where=where,
                key=key,
            )
        ]
    if not column.title and column.why != SECOND_TABLE:
        number = column.number
        return [say("column {number} has no title and is left out: --map {number}=variable", number=number)]
    return []


def phone_share(cells: Sequence[str], country: str | None) -> float:
    """The share of cells in which a valid number stands."""
    good = sum(_holds_number(cell, country) for cell in cells)
    return good / len(cells) if cells else 0.0


def _holds_number(cell: str, country: str | None) -> bool:
    found = (reading for _, reading in numbers.read_cell(cell, country))
    return any(isinstance(reading, numbers.Number) for reading in found)


def shown_title(title: str) -> str:
    """A title in quotes, for a sentence."""
    return repr(printable_title(title[:30]))


def printable_title(title: str) -> str:
    """A title that is safe to print, also where the file is not a table."""
    plain = title.isprintable() and "\ufffd" not in title
    return title if plain else title.encode("unicode_escape").decode("ascii")[:30]
