"""Amounts and dates in words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from speechaid.rules.currencies import CODES
from speechaid.rules.spoken import LANGUAGES, spoken_amount, spoken_date


@pytest.mark.parametrize(
    ("value", "currency", "language", "words"),
    [
        ("856579", "CLP", "es", "ochocientos cincuenta y seis mil quinientos setenta y nueve pesos"),
        ("1", "CLP", "es", "un peso"),
        ("21", "CLP", "es-CL", "veintiún pesos"),
        ("101", "CLP", "es", "ciento un pesos"),
        ("21000", "CLP", "es", "veintiún mil pesos"),
        ("31000", "CLP", "es", "treinta y un mil pesos"),
        ("21000000", "CLP", "es", "veintiún millones de pesos"),
        ("1000000", "CLP", "es", "un millón de pesos"),
        ("1500000", "COP", "es", "un millón quinientos mil pesos"),
        ("12.5", "CLF", "es", "doce coma cinco UF"),
        ("1", "CLF", "es", "una UF"),
        ("221", "CLF", "es", "doscientas veintiuna UF"),
        ("1500.75", "PEN", "es", "mil quinientos soles con setenta y cinco centavos"),
        ("0.01", "USD", "es", "cero dólares con un centavo"),
        ("0.999", "USD", "es", "un dólar"),
        ("500", "GBP", "es", "quinientas libras esterlinas"),
        ("1000000", "BRL", "pt-BR", "um milhão de reais"),
        ("21.50", "USD", "en-US", "twenty-one US dollars and fifty cents"),
        ("12.05", None, "es", "doce coma cero cinco"),
    ],
)
def test_amounts_are_said_as_people_say_them(
    value: str, currency: str | None, language: str, words: str
) -> None:
    assert spoken_amount(Decimal(value), currency, language) == words


@pytest.mark.parametrize(
    ("value", "language"),
    [("1", "fr"), ("1", ""), ("-1", "es"), ("NaN", "es"), ("Infinity", "es"), ("1e300", "es")],
)
def test_what_cannot_be_said_has_no_words(value: str, language: str) -> None:
    assert spoken_amount(Decimal(value), "CLP", language) is None


@pytest.mark.parametrize("currency", sorted(CODES))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_known_currency_has_a_name_in_every_language(currency: str, language: str) -> None:
    words = spoken_amount(Decimal(2), currency, language)
    assert words is not None
    assert currency not in words


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("es", "31 de diciembre de 2026"),
        ("es-CL", "31 de diciembre de 2026"),
        ("pt-BR", "31 de dezembro de 2026"),
        ("en-US", "December 31, 2026"),
        ("multi", None),
        ("", None),
    ],
)
def test_dates_are_said_in_the_language(language: str, words: str | None) -> None:
    assert spoken_date(date(2026, 12, 31), language) == words


@pytest.mark.parametrize(
    ("currency", "own", "words"),
    [
        ("MXN", "CLP", "mil quinientos pesos mexicanos"),
        ("CLP", "PEN", "mil quinientos pesos chilenos"),
        ("CLP", "CLP", "mil quinientos pesos"),
        ("MXN", None, "mil quinientos pesos"),
        ("USD", "CLP", "mil quinientos dólares"),
        ("PEN", "CLP", "mil quinientos soles"),
    ],
)
def test_pesos_of_another_country_are_named_with_theirs(currency: str, own: str | None, words: str) -> None:
    assert spoken_amount(Decimal(1500), currency, "es", own) == words
