"""The currencies of the region: codes, the countries' own, and what people write for them. Pure data."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

#: Larger than any debt in any currency, and exact in the database and in JSON.
LARGEST: Final = Decimal(10) ** 15
#: The currency that ``$``, a bare number and ``pesos`` mean, by ISO 3166 country.
OF_COUNTRY: Final = {
    "AR": "ARS",
    "BO": "BOB",
    "BR": "BRL",
    "CL": "CLP",
    "CO": "COP",
    "CR": "CRC",
    "CU": "CUP",
    "DO": "DOP",
    "EC": "USD",
    "ES": "EUR",
    "GT": "GTQ",
    "HN": "HNL",
    "MX": "MXN",
    "NI": "NIO",
    "PA": "PAB",
    "PE": "PEN",
    "PR": "USD",
    "PY": "PYG",
    "SV": "USD",
    "US": "USD",
    "UY": "UYU",
    "VE": "VES",
}
#: The currencies that are called pesos, and those that are written with ``$`` alone.
PESOS: Final = frozenset({"ARS", "CLP", "COP", "CUP", "DOP", "MXN", "UYU"})
DOLLAR_SIGN: Final = PESOS | {"BBD", "BZD", "CAD", "GYD", "JMD", "SRD", "TTD", "USD"}
#: Words of several countries, and the currencies that they may mean: the file's country decides, unless
#: another word does.
SEVERAL: Final = {"$": DOLLAR_SIGN, "peso": PESOS, "pesos": PESOS}
#: Whose pesos, soles or dollars they are; and words that say nothing.
ADJECTIVES: Final = {
    "chilenos": "CLP",
    "argentinos": "ARS",
    "mexicanos": "MXN",
    "colombianos": "COP",
    "uruguayos": "UYU",
    "dominicanos": "DOP",
    "peruanos": "PEN",
    "americanos": "USD",
    "estadounidenses": "USD",
}
#: Units of account that are written like a currency, and are not one: a sum in them stays in them.
UNITS: Final = frozenset({"CLF"})
#: What people write for a currency, folded (lower case, no accents, no final point), and its ISO 4217 code.
#: ``$`` and ``pesos`` are in ``SEVERAL``.
SYMBOLS: Final = {
    "uf": "CLF",
    "u.f": "CLF",
    "us$": "USD",
    "u$s": "USD",
    "u$d": "USD",
    "usd$": "USD",
    "dolar": "USD",
    "dolares": "USD",
    "clp$": "CLP",
    "cl$": "CLP",
    "ch$": "CLP",
    "ar$": "ARS",
    "mx$": "MXN",
    "mxn$": "MXN",
    "m.n": "MXN",
    "mn": "MXN",
    "col$": "COP",
    "cop$": "COP",
    "rd$": "DOP",
    "c$": "NIO",
    "cordoba": "NIO",
    "cordobas": "NIO",
    "$u": "UYU",
    "s/": "PEN",
    "s/.": "PEN",
    "sol": "PEN",
    "soles": "PEN",
    "q": "GTQ",
    "quetzal": "GTQ",
    "quetzales": "GTQ",
    "l": "HNL",
    "lps": "HNL",
    "lempira": "HNL",
    "lempiras": "HNL",
    "₡": "CRC",
    "colon": "CRC",
    "colones": "CRC",
    "₲": "PYG",
    "gs": "PYG",
    "guarani": "PYG",
    "guaranies": "PYG",
    "b/": "PAB",
    "b/.": "PAB",
    "balboa": "PAB",
    "balboas": "PAB",
    "r$": "BRL",
    "real": "BRL",
    "reais": "BRL",
    "reales": "BRL",
    "boliviano": "BOB",
    "bolivianos": "BOB",
    "bolivar": "VES",
    "bolivares": "VES",
    "€": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "£": "GBP",
}
#: ISO 4217 codes of the region and of its trade; any other code is not guessed.
CODES: Final = frozenset(
    {*OF_COUNTRY.values(), *SYMBOLS.values(), "HTG", "JMD", "TTD", "BZD", "GYD", "SRD", "CAD"}
)
#: What people call a unit whose code they do not know.
UNIT_NAMES: Final = {"CLF": "UF"}
#: Of the words for currencies those that mean nothing else: ``real`` is "actual", too, and ``l`` is a litre.
_UNMISTAKABLE: Final = frozenset({"uf", "dolares", "euros", "soles", "quetzales", "guaranies", "bolivianos"})


def currency_named(word: str) -> str | None:
    """The currency that a word names wherever it stands, as in a title; None for every other word.

    Args:
        word: folded: lower case, no accents.
    """
    if word.upper() in CODES:
        return word.upper()
    return SYMBOLS.get(word.strip(".")) if not word.isalpha() or word in _UNMISTAKABLE else None
