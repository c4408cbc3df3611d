"""Reads amounts of money as people write them, with their currency. Pure.

An amount that is not understood is a fault, never another number: each character of the cell belongs to the
number, to a currency of one list, or to a decoration of one list.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from speechaid.campaign.number_formats import ShownNumber
from speechaid.protocol.translation import say, say_later
from speechaid.rules.currencies import ADJECTIVES, CODES, LARGEST, OF_COUNTRY, SEVERAL, SYMBOLS, UNITS

#: No amount of a person is written longer.
MAX_CHARACTERS: Final = 60

#: What units have.
_DECIMALS: Final = 4
_SHARED: Final = {"bs": {"VE": "VES", "BO": "BOB"}}
_FILLERS: Final = frozenset({"de", "en"})

#: Accountants close a sum with these, so that no digit can be added.
_CLOSING: Final = re.compile(r"[.,/]?(?:-|–|—)$|\.$")  # noqa: RUF001 - the dashes that people type
_FROM_DIGIT_TO_DIGIT: Final = re.compile("[0-9](?:.*[0-9])?")
_SCIENTIFIC: Final = re.compile(r"\d(?:[.,]\d+)?e\+\d{1,2}")
_MAY_BE_ROUNDED: Final = say_later("a spreadsheet writes large numbers so, and may have rounded it")
_ACCOUNTED_ZERO: Final = re.compile(r"(?:[a-z]{0,3}\$|s/\.?|[q\u20a1\u20b2\u20ac]) ?-\??")
_MARKS: Final = "[.,' ]"
_PLAIN: Final = re.compile(r"\d+")
_FRACTION: Final = re.compile(r"(\d+)[.,](\d{1,2}|\d0{2,5}|0{3,6})")
_GROUPED: Final = re.compile(r"([1-9]\d{0,2}(?:([.,' ])\d{3})(?:\2\d{3})*)(?:(?!\2)[.,](\d{1,4}))?")
_BELOW_ONE: Final = re.compile(r"0[.,]\d{1,4}")
#: Units have four decimals. Three of them could be thousands as well.
_UNIT_FRACTION: Final = re.compile(r"(\d+)[.,](\d{1,2}|\d{4})")


_THOUSANDS: Final = re.compile(r"(?<![\d.,])\d{1,3}([.,])\d{3}((?:\1\d{3})*(?:[.,]\d{1,2})?)(?!\d)")
_CENTS: Final = re.compile(r"(?<![\d.,])\d+([.,])\d{2}(?!\d)")


class AmountFault(StrEnum):
    """Why a text is not read as an amount; the value is the sentence for people."""

    NOT_A_SUM = "this is not a sum of money"
    UNKNOWN_WORD = "a word beside the number is no currency that is known here"
    TWO_CURRENCIES = "two currencies stand beside the number"
    NEGATIVE = "the amount is below zero"
    TOO_LARGE = "the amount is too large"
    AMBIGUOUS = "thousands and cents cannot be told apart here"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A sum of money."""

    value: Decimal
    #: ISO 4217, ``CLF`` for Chile's UF; None where the cell names none.
    currency: str | None
    #: The currencies that the cell's word may mean as well: ``$`` is also the dollar's.
    may_be: frozenset[str] = field(default=frozenset(), compare=False)
    #: What was assumed to read the cell; None: nothing.
    assumed: str | None = None


def read_amount(cell: object, country: str, currency: str | None = None) -> Amount | AmountFault:
    """Read a cell that has something in it.

    One mark before exactly three digits separates thousands (``1.500``, ``150,000``): sums have two decimals.

    Args:
        cell: a text, or a number of a spreadsheet, of which the words of its format count as typed beside it.
        country: ISO 3166 alpha-2, for ``$``, ``pesos`` and ``Bs.``.
        currency: what a title or another column says, ISO 4217 or ``CLF``: units have other decimals. A
            contradiction to it is for the caller to find.
    """
    if isinstance(cell, int | float):
        result = _number_cell(cell, country.upper())
    else:
        result = _text_cell(str(cell), country.upper(), currency)
    if isinstance(result, AmountFault):
        return result
    if result.value > LARGEST:
        return AmountFault.TOO_LARGE
    if result.value.as_tuple().exponent == 0:
        return result
    # Spreadsheets compute in binary, and 0.1 + 0.2 is meant as 0.30.
    return replace(result, value=_short(round(result.value, _DECIMALS)))


def unknown_words(text: str, country: str) -> list[str]:
    """The words beside the number that are no currency, as they are read: lower case, without accents."""
    plain = _plain(text)
    found = _FROM_DIGIT_TO_DIGIT.search(plain)
    if found is None:
        return []
    words = _words_beside(plain[: found.start()], plain[found.end() :])
    return [word for word in words if _code(word, country.upper()) is None]


def thousands_mark(text: str) -> tuple[str, bool] | None:
    """The mark (point or comma) that an amount's text has between thousands; None where it shows none.

    Also whether that is certain: a single one (``1,200``) may stand before three decimals as well.
    """
    if match := _THOUSANDS.search(text):
        return match[1], bool(match[2])
    match = _CENTS.search(text)
    return None if match is None else ("," if match[1] == "." else ".", True)


@dataclass(frozen=True, kw_only=True)
class PromisedSum:
    """What a person promised to pay."""

    value: int | float
    #: ISO 4217 or ``CLF``; None where nothing says it.
    currency: str | None


def promised_sum(cell: object, currency: str | None) -> PromisedSum | None:
    """What an agent wrote down; None where it is nothing, or not understood.

    Args:
        cell: as a document has it.
        currency: of the debt: a sum without a currency, or with a bare ``$``, is in it.
    """
    found = None if cell is None else read_amount(cell, "", currency)
    if not isinstance(found, Amount):
        return None
    is_whole = found.value == found.value.to_integral_value()
    value = int(found.value) if is_whole else float(found.value)
    may_be_it = not found.may_be or currency in found.may_be
    return PromisedSum(value=value, currency=found.currency or (currency if may_be_it else None))


def _number_cell(cell: float, country: str) -> Amount | AmountFault:
    if isinstance(cell, bool) or not math.isfinite(cell):
        return AmountFault.NOT_A_SUM
    if cell < 0:
        return AmountFault.NEGATIVE
    if not isinstance(cell, ShownNumber):
        return Amount(value=Decimal(repr(cell)), currency=None)
    named = _currency_of_form(cell.form.before, cell.form.behind, country)
    if isinstance(named, AmountFault):
        return named
    found = Amount(value=cell.rounded_value, currency=named.currency, may_be=named.may_be)
    if cell.form.divisor != 1:
        return replace(
            found, assumed=say("the sheet shows it divided by {divisor:,}", divisor=cell.form.divisor)
        )
    exact = _short(round(Decimal(repr(float(cell))), _DECIMALS))
    return (
        found
        if found.value == exact
        else replace(found, assumed=say("the sheet shows {exact} so", exact=exact))
    )


def _currency_of_form(before: str, behind: str, country: str) -> Amount | AmountFault:
    return _currency(_plain(before), _plain(behind), country)


def _text_cell(text: str, country: str, beside: str | None) -> Amount | AmountFault:
    plain = _plain(text)
    if len(plain) > MAX_CHARACTERS:
        return AmountFault.NOT_A_SUM
    found = _FROM_DIGIT_TO_DIGIT.search(plain)
    if found is None:
        # Spreadsheets show 0 so, in the format for accounts.
        is_zero = _ACCOUNTED_ZERO.fullmatch(plain) is not None
        return Amount(value=Decimal(0), currency=None) if is_zero else AmountFault.NOT_A_SUM
    before, digits, behind = plain[: found.start()], found[0], plain[found.end() :]
    if _is_negative(before, behind):
        return AmountFault.NEGATIVE
    named = _currency(before, behind, country)
    if isinstance(named, AmountFault):
        return named
    if _SCIENTIFIC.fullmatch(digits):
        return replace(named, value=Decimal(digits.replace(",", ".")), assumed=_MAY_BE_ROUNDED)
    is_unit = not {named.currency, beside}.isdisjoint(UNITS)
    value = _value(digits, is_unit=is_unit)
    return replace(named, value=value) if isinstance(value, Decimal) else value


def _plain(text: str) -> str:
    """Lower case, no accents, every blank and apostrophe in one form."""
    marks = text.strip().removeprefix("=").strip("\"'`\u00b4\u2018\u2019 ")
    if marks.isascii():
        return " ".join(marks.lower().split())  # the same result, several times faster
    letters = unicodedata.normalize("NFD", marks.casefold().replace("’", "'"))  # noqa: RUF001 - Swiss thousands
    # Digits of other scripts are digits; a superscript (5²) is none, and stays what it is.
    letters = "".join(str(int(c)) if c.isdecimal() else c for c in letters)
    kept = (c for c in letters if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return " ".join("".join(kept).split())


def _is_negative(before: str, behind: str) -> bool:
    """Whether a minus or an accountant's brackets mark the sum; ``.-`` behind it only closes it."""
    if before.rstrip(" $").endswith(("-", "\u2212", "(")) or before.lstrip().startswith(("-", "\u2212")):
        return True
    return behind.strip() == "-"


@lru_cache(maxsize=1024)  # a column has few words beside its numbers
def _currency(before: str, behind: str, country: str) -> Amount | AmountFault:
    """The currency of the words, as an amount of 0."""
    words = _words_beside(before, behind)
    codes = {_code(word, country) for word in words if word not in SEVERAL}
    if None in codes:
        return AmountFault.UNKNOWN_WORD
    may_be = [SEVERAL[word] for word in words if word in SEVERAL]
    # ``$ 150.000 USD``: a shared sign takes the other word's currency, where it may mean that.
    if len(codes) > 1 or (may_be and not codes <= frozenset.intersection(*may_be)):
        return AmountFault.TWO_CURRENCIES
    if codes or not may_be:
        return Amount(value=Decimal(0), currency=next(iter(codes), None))
    own = OF_COUNTRY.get(country)
    return Amount(value=Decimal(0), currency=own, may_be=frozenset.intersection(*may_be))


def _words_beside(before: str, behind: str) -> list[str]:
    texts = (_word(before.strip(" :=+")), _word(_CLOSING.sub("", behind.strip())))
    return [word for text in texts for word in text.split() if word not in _FILLERS]


def _word(text: str) -> str:
    return " ".join(part.strip(".,-") or part for part in text.split())


def _code(part: str, country: str) -> str | None:
    if part in SEVERAL:
        return part
    shared = _SHARED.get(part)
    if shared is not None:
        return shared.get(country, "BOB")
    if part in SYMBOLS or part in ADJECTIVES:
        return SYMBOLS.get(part) or ADJECTIVES[part]
    return part.upper() if part.upper() in CODES else None


def _value(digits: str, *, is_unit: bool) -> Decimal | AmountFault:
    text = digits.strip()
    grouped = _GROUPED.fullmatch(text)
    if is_unit and grouped and len(re.findall("[.,]", text)) == 1:
        return AmountFault.AMBIGUOUS
    if grouped:
        whole, fraction = re.sub(_MARKS, "", grouped[1]), grouped[3]
        if fraction is None:
            return Decimal(whole)
        if len(fraction) > 2 and not is_unit and fraction.strip("0"):
            return AmountFault.AMBIGUOUS
        return Decimal(f"{whole}.{fraction}")
    is_plain = _PLAIN.fullmatch(text) or _FRACTION.fullmatch(text) or _BELOW_ONE.fullmatch(text)
    if is_plain or (is_unit and _UNIT_FRACTION.fullmatch(text)):
        return Decimal(text.replace(",", "."))
    return AmountFault.AMBIGUOUS if re.fullmatch(rf"(?:\d|{_MARKS})+", text) else AmountFault.NOT_A_SUM


def _short(value: Decimal) -> Decimal:
    """Without trailing zeros, and never in scientific form."""
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()
