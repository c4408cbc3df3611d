"""Amounts and dates in the words of a language, as an agent should say them. Pure.

A voice that gets ``856579`` may say "eight five six five seven nine"; the words leave it no choice.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import get_currency_name
from num2words import num2words

from speechaid.rules.currencies import LARGEST, PESOS, UNITS

#: The languages that numbers are spoken in; of another language the caller gets no words.
LANGUAGES: Final = ("es", "pt", "en")
#: The currency in a word where the country's people say it so: CLDR says "pesos chilenos".
_SHORT: Final = {
    "es": {
        **dict.fromkeys(PESOS, ("peso", "pesos")),
        "BOB": ("boliviano", "bolivianos"),
        "CLF": ("UF", "UF"),
        "CRC": ("colón", "colones"),
        "GTQ": ("quetzal", "quetzales"),
        "HNL": ("lempira", "lempiras"),
        "NIO": ("córdoba", "córdobas"),
        "PAB": ("balboa", "balboas"),
        "PEN": ("sol", "soles"),
        "PYG": ("guaraní", "guaraníes"),
        "USD": ("dólar", "dólares"),
        "VES": ("bolívar", "bolívares"),
    },
    "pt": {"BRL": ("real", "reais"), "CLF": ("UF", "UF")},
    "en": {"CLF": ("UF", "UF")},
}
_CENTS: Final = {"es": ("centavo", "centavos"), "pt": ("centavo", "centavos"), "en": ("cent", "cents")}
_COMMA: Final = {"es": "coma", "pt": "vírgula", "en": "point"}
_AND: Final = {"es": "con", "pt": "e", "en": "and"}
_NUMBERS: Final = {"es": "es", "pt": "pt_BR", "en": "en"}
#: Feminine in Spanish: la UF, la libra.
_FEMININE: Final = frozenset({"CLF", "GBP"})


@lru_cache(maxsize=4096)
def spoken_amount(
    value: Decimal, currency: str | None, language: str, own_currency: str | None = None
) -> str | None:
    """An amount in words: ``ochocientos cincuenta y seis mil quinientos setenta y nueve pesos``.

    Args:
        value: 0 to ``LARGEST``.
        currency: ISO 4217, or ``CLF``; None: the number alone.
        language: such as ``es`` or ``es-CL``.
        own_currency: of the batch's country: the pesos of another one are named with theirs. None: no
            country is named.

    Returns:
        None where the language is not among ``LANGUAGES``, or the value is out of range.
    """
    spoken = _language(language)
    if spoken is None or not value.is_finite() or not 0 <= value <= LARGEST:
        return None
    whole, cents = int(value), round((value - int(value)) * 100)
    is_foreign = currency in PESOS and own_currency not in (None, currency)
    if currency is None or currency in UNITS:
        fraction = "" if value == whole else format(value.normalize(), "f").partition(".")[2]
        number = _number(whole, spoken, currency) + _decimals(fraction, spoken)
        name = currency and _name(currency, spoken, plural=value != 1, in_full=is_foreign)
        return " ".join(filter(None, (number, name)))
    if cents == 100:
        whole, cents = whole + 1, 0
    name = _name(currency, spoken, plural=whole != 1, in_full=is_foreign)
    amount = f"{_number(whole, spoken, currency)}{_of(whole, spoken)} {name}"
    if cents:
        amount += f" {_AND[spoken]} {_number(cents, spoken, 'cents')} {_CENTS[spoken][cents != 1]}"
    return amount


def spoken_date(day: date, language: str) -> str | None:
    """A date in words: ``31 de diciembre de 2026``; None where the CLDR does not have the language."""
    locale = _locale(language)
    return None if locale is None else str(format_date(day, "long", locale=locale))


def spoken_moment(local: datetime, language: str) -> str | None:
    """Weekday, date and time: ``viernes, 3 de julio de 2026, 12:05``; None as in ``spoken_date``.

    Args:
        local: in the zone that is meant.
        language: such as ``es`` or ``es-CL``.
    """
    locale = _locale(language)
    return None if locale is None else f"{format_date(local, 'full', locale=locale)}, {local:%H:%M}"


def _locale(language: str) -> Locale | None:
    try:
        return Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return None


def _language(language: str) -> str | None:
    base = language.replace("_", "-").partition("-")[0].lower()
    return base if base in LANGUAGES else None


def _number(number: int, language: str, currency: str | None) -> str:
    words = str(num2words(number, lang=_NUMBERS[language]))
    if language != "es":
        return words
    # The library says "treinta y uno mil": before a noun, and "mil" and "millones" are nouns here, uno is un.
    words = re.sub(r"\bveintiuno (?=mil)", "veintiún ", words)
    words = re.sub(r"\buno (?=mil)", "un ", words)
    if currency is None:
        return words
    is_feminine = currency in _FEMININE
    for ending, masculine, feminine in (("veintiuno", "veintiún", "veintiuna"), ("uno", "un", "una")):
        if words.endswith(ending):
            words = words.removesuffix(ending) + (feminine if is_feminine else masculine)
            break
    return re.sub(r"(cient|quinient)os\b", r"\1as", words) if is_feminine else words


def _of(whole: int, language: str) -> str:
    """``un millón de pesos``: full millions take a word before the noun."""
    is_millions = whole >= 10**6 and whole % 10**6 == 0
    return " de" if is_millions and language in ("es", "pt") else ""


def _decimals(fraction: str, language: str) -> str:
    """The digits behind the comma: two as one number where they are a number, else one by one."""
    if not fraction:
        return ""
    zeros = len(fraction) - len(fraction.lstrip("0"))
    words = [str(num2words(0, lang=_NUMBERS[language]))] * zeros
    rest = fraction[zeros:]
    words += [str(num2words(int(rest), lang=_NUMBERS[language]))] if rest else []
    return f" {_COMMA[language]} {' '.join(words)}"


def _name(currency: str, language: str, *, plural: bool, in_full: bool) -> str:
    short = None if in_full else _SHORT[language].get(currency)
    if short is not None:
        return short[plural]
    return str(get_currency_name(currency, count=2 if plural else 1, locale=language))
