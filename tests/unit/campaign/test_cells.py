"""Amounts, dates and text as people write them."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.campaign.cells import amount, clean, day, fold


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("150000", 150_000),
        ("150.000", 150_000),
        ("150,000", 150_000),
        ("1.234.567", 1_234_567),
        ("1,234,567.89", 1_234_567.89),
        ("1.234.567,89", 1_234_567.89),
        ("1 234 567,5", 1_234_567.5),
        ("1'234'567.50", 1_234_567.5),
        ("1500,50", 1_500.5),
        ("1500.5", 1_500.5),
        ("0,500", 0.5),
        ("1234.567", 1_234.567),
        ("150.000,00", 150_000),
        ("$ 150.000", 150_000),
        ("$150,000.00 CLP", 150_000),
        ("CLP $ 45.990", 45_990),
        ("S/ 99,90", 99.9),
        ("US$ 1,250.00", 1_250),
        ("15 pesos", 15),
        ("0", 0),
        ("-5", -5),
    ],
)
def test_an_amount_is_read_with_comma_or_point(text: str, value: float) -> None:
    assert amount(text) == value


@pytest.mark.parametrize(
    # An UF is worth tens of thousands of pesos: a unit that is not a currency must not be dropped.
    "text",
    [
        "",
        "abc",
        "12.34.56",
        "1.23.456",
        "1,2,3",
        "UF 3,5",
        "1e5",
        "5%",
        "150.000.00",
        "1..5",
        ",5",
        "--5",
        "nan",
        "999999999999999999999",
        float("inf"),
        1e30,
    ],
)
def test_text_that_is_no_amount_is_none(text: object) -> None:
    assert amount(text) is None


@given(st.integers(min_value=0, max_value=10**12), st.sampled_from([",", ".", " ", "'", ""]))
def test_a_whole_amount_is_read_with_any_thousands_separator(value: int, mark: str) -> None:
    assert amount(f"{value:,}".replace(",", mark)) == value


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=1, max_value=99), st.booleans())
def test_cents_are_read_after_comma_and_point(whole: int, cents: int, spanish: bool) -> None:
    written = f"{whole:,}.{cents:02d}"
    if spanish:
        written = written.translate({ord(","): ".", ord("."): ","})
    assert amount(written) == pytest.approx(whole + cents / 100)


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("2026-07-31", "CL", date(2026, 7, 31)),
        ("2026-07-31 00:00:00", "CL", date(2026, 7, 31)),
        ("2026-07-31T04:00:00Z", "CL", date(2026, 7, 31)),
        ("2026/7/1", "CL", date(2026, 7, 1)),
        ("31/07/2026", "CL", date(2026, 7, 31)),
        ("31-07-2026", "CL", date(2026, 7, 31)),
        ("31.7.2026", "CL", date(2026, 7, 31)),
        ("5/6/26", "CL", date(2026, 6, 5)),
        ("5/6/26", "US", date(2026, 5, 6)),
        ("07/31/2026", "CL", date(2026, 7, 31)),
        ("07/31/2026", "US", date(2026, 7, 31)),
        ("31/07/2026", "US", date(2026, 7, 31)),
        ("31 de julio de 2026", "CL", date(2026, 7, 31)),
        ("1 de Septiembre del 2026", "CL", date(2026, 9, 1)),
        ("3-ene-2026", "CL", date(2026, 1, 3)),
        ("3 dic. 2026", "CL", date(2026, 12, 3)),
        ("July 31, 2026", "US", date(2026, 7, 31)),
        ("31 August 2026", "US", date(2026, 8, 31)),
        ("31/02/2026", "CL", None),
        ("45869", "CL", None),
        ("fin de mes", "CL", None),
        ("32/01/2026", "CL", None),
        ("2026-13-01", "CL", None),
        ("1/1/0001", "CL", None),
        ("", "CL", None),
    ],
)
def test_a_date_is_read_in_the_usual_forms(text: str, country: str, expected: date | None) -> None:
    assert day(text, country) == expected


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2199, 12, 31)))
def test_every_date_is_read_from_the_unambiguous_forms(value: date) -> None:
    for form in ("%Y-%m-%d", "%d/%m/%Y", "%d-%m-%Y", "%d %b %Y"):
        assert day(value.strftime(form), "CL") == value


@pytest.mark.slow
@given(st.text())
def test_any_text_can_be_cleaned_and_read(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert "\0" not in cleaned
    amount(cleaned)
    day(cleaned, "CL")


def test_invisible_characters_and_special_blanks_are_removed() -> None:
    assert clean("\u202a+56\xa09\u200b0000\u2011\x1b[31m\u202c ") == "+56 90000\u2011[31m"
    assert clean("a\tb\nc") == "a\tb\nc"


@pytest.mark.parametrize(
    ("value", "text"),
    [(56912345678.0, "56912345678"), (None, ""), (True, "true"), (datetime(2026, 7, 31), "2026-07-31")],  # noqa: DTZ001
)
def test_a_spreadsheet_cell_is_read_as_shown(value: object, text: str) -> None:
    assert clean(value) == text


def test_names_are_compared_without_accents_case_and_punctuation() -> None:
    assert fold("  Fecha_Límite (de  PAGO) ") == "fecha limite de pago"
