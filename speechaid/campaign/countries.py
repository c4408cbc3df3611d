"""Countries as people and programs write them in a column: names, codes, calling codes. Pure."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from babel import Locale
from babel.core import get_global

from speechaid.campaign import cells
from speechaid.rules.currencies import OF_COUNTRY


@lru_cache(maxsize=256)
def country_named(text: str) -> str | None:
    """The country (ISO 3166 alpha-2) of a code (CL, CHL), a calling code (56, +56, 0056), a name (Brasil)."""
    plain = text.strip().removesuffix(".0")
    letters = plain.upper()
    if letters in phonenumbers.SUPPORTED_REGIONS:
        return letters
    digits = calling_code(plain)
    if digits is not None:
        region = phonenumbers.region_code_for_country_code(digits)
        return None if region in ("ZZ", "001") else region
    # The CLDR keeps the codes of three letters, and former ones (UK), as other names of the territories.
    aliases = get_global("territory_aliases").get(letters, []) if letters.isalpha() else []
    if len(aliases) == 1 and aliases[0] in phonenumbers.SUPPORTED_REGIONS:
        return str(aliases[0])
    return _countries().get(cells.fold(plain))


def calling_code(text: str) -> int | None:
    """The digits of a calling code (``+56``, ``0056``, ``56``); None for every other text."""
    digits = text.strip().removesuffix(".0").lstrip("+").lstrip("0")
    return int(digits) if digits.isdecimal() and len(digits) <= 3 else None


@lru_cache(maxsize=256)
def can_only_be_a_country(text: str) -> bool:
    """Whether a text is a country wherever it stands, such as ``Chile``, and not ``34`` or ``SI``."""
    if calling_code(text) is not None:
        return text.startswith(("+", "00"))
    found = country_named(text)
    return found is not None and (len(text.strip()) > 2 or found in OF_COUNTRY)


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    return {
        cells.fold(name): code
        for language in ("es", "pt", "en")
        for code, name in Locale(language).territories.items()
        if code in phonenumbers.SUPPORTED_REGIONS
    }
