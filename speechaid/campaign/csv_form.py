"""How spreadsheets of a country read a CSV file: delimiter and decimal sign, by ``babel``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.languages import get_official_languages

from speechaid.protocol.translation import say

#: Of a country with several languages, the one that its spreadsheets are set to; else its most likely one.
_LANGUAGES: Final = ("es", "pt")


@dataclass(frozen=True, kw_only=True)
class CsvForm:
    """The signs of a CSV file."""

    delimiter: str
    #: Between the whole part of a number and its decimals.
    decimal: str


@lru_cache(maxsize=64)
def csv_form(locale: str) -> CsvForm:
    """The signs that spreadsheets of a locale expect: ``;`` between cells where the decimal sign is a comma.

    Args:
        locale: a language with its country (``es_CL``, ``pt-BR``), or a country alone (ISO 3166 alpha-2).

    Raises:
        ValueError: there is no such locale; the text says what to write.
    """
    symbols = _locale(locale).number_symbols
    decimal = str(symbols.get("latn", symbols).get("decimal", "."))
    return CsvForm(delimiter=";" if decimal == "," else ",", decimal=decimal)


def _locale(text: str) -> Locale:
    plain = text.strip().replace("-", "_")
    if len(plain) == 2 and plain.isupper():
        official = get_official_languages(plain, de_facto=True)
        language = next((language for language in _LANGUAGES if language in official), "und")
        plain = f"{language}_{plain}"
    try:
        return Locale.parse(plain)
    except (UnknownLocaleError, ValueError):
        message = say(
            "{text!r} is no locale: write a language and its country, such as es_CL or pt_BR", text=text
        )
        raise ValueError(message) from None
