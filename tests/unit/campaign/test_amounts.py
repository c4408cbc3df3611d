"""Amounts as people write them: the sum and its currency, or a reason; never another sum."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speechaid.campaign.amounts import MAX_CHARACTERS, Amount, AmountFault, read_amount, unknown_words
from speechaid.campaign.number_formats import ShownNumber, read_format
from speechaid.rules.currencies import CODES, OF_COUNTRY, SYMBOLS


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("$150.000.-", "150000", "CLP"),
        ("UF 12,5", "12.5", "CLF"),
        ("12,5 UF", "12.5", "CLF"),
        ("UF 1.234,5678", "1234.5678", "CLF"),
        ("RD$ 1,500.00", "1500", "DOP"),
        ("Bs. 1.500", "1500", "BOB"),
        ("Q 500.00", "500", "GTQ"),
        ("$150.000,-", "150000", "CLP"),
        ("$ 150.000 CLP", "150000", "CLP"),
        ("1.500.000,00", "1500000", None),
        ("S/ 1,500.00", "1500", "PEN"),
        ("₡5000", "5000", "CRC"),
        ("150000.0", "150000", None),
        ("25.000 USD", "25000", "USD"),
        ("US$1,200.50", "1200.5", "USD"),
        ("100 dólares americanos", "100", "USD"),
        ("2.000.000 de pesos", "2000000", "CLP"),
        ("150.000 pesos mexicanos", "150000", "MXN"),
        ("$1,000.00 M.N.", "1000", "MXN"),
        ("L. 500", "500", "HNL"),
        ("Gs. 1.500.000", "1500000", "PYG"),
        ("B/. 25.00", "25", "PAB"),
        ("R$ 1.234,56", "1234.56", "BRL"),
        ("1 500 000", "1500000", None),
        ("1'500'000", "1500000", None),
        ("'150000", "150000", None),
        ("0,5", "0.5", None),
        ("1.500", "1500", None),
        ("1,50", "1.5", None),
        ("１５００", "1500", None),  # noqa: RUF001 - full-width digits
    ],
)
def test_amounts_keep_their_sum_and_currency(text: str, value: str, currency: str | None) -> None:
    assert read_amount(text, "CL") == Amount(value=Decimal(value), currency=currency)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("25 mil", AmountFault.UNKNOWN_WORD),
        ("MIL 25", AmountFault.UNKNOWN_WORD),
        ("3 UTM", AmountFault.UNKNOWN_WORD),
        ("45 UIT", AmountFault.UNKNOWN_WORD),
        ("1,5M", AmountFault.UNKNOWN_WORD),
        ("25k", AmountFault.UNKNOWN_WORD),
        ("10%", AmountFault.UNKNOWN_WORD),
        ("un millón", AmountFault.NOT_A_SUM),
        ("1500 / 2000", AmountFault.NOT_A_SUM),
        ("2026-12-31", AmountFault.NOT_A_SUM),
        ("15/07/2026", AmountFault.NOT_A_SUM),
        ("955550101 955550102", AmountFault.AMBIGUOUS),
        ("12345.678", AmountFault.AMBIGUOUS),
        ("1.234,567", AmountFault.AMBIGUOUS),
        ("UF 12.500", AmountFault.AMBIGUOUS),
        ("1.50.000", AmountFault.AMBIGUOUS),
        ("5\u00b2", AmountFault.UNKNOWN_WORD),
        ("1.5E+99", AmountFault.TOO_LARGE),
        ("1.5E+999999999", AmountFault.NOT_A_SUM),
        ("-1.5E+05", AmountFault.NEGATIVE),
        ("-1500", AmountFault.NEGATIVE),
        ("(1.500)", AmountFault.NEGATIVE),
        ("1500-", AmountFault.NEGATIVE),
        ("$-1.500", AmountFault.NEGATIVE),
        ("$ 1.000 USD EUR", AmountFault.TWO_CURRENCIES),
        ("9999999999999999999", AmountFault.TOO_LARGE),
        ("1" * 10_000, AmountFault.NOT_A_SUM),
        (" " * 10_000 + "x", AmountFault.NOT_A_SUM),
    ],
)
def test_what_is_not_understood_is_a_reason_and_no_sum(text: str, fault: AmountFault) -> None:
    assert read_amount(text, "CL") is fault


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,5E+05", "150000"), ("1.23456E+05", "123456"), ("2E+03", "2000"), ("$1,5E+05", "150000")],
)
def test_a_sum_in_a_spreadsheet_s_short_form_is_read_and_the_doubt_is_said(text: str, value: str) -> None:
    found = read_amount(text, "CL")
    assert isinstance(found, Amount)
    assert found.value == Decimal(value)
    assert "rounded" in str(found.assumed)


@pytest.mark.parametrize(
    ("cell", "result"),
    [
        (12.5, Amount(value=Decimal("12.5"), currency=None)),
        (15000.000000000002, Amount(value=Decimal(15000), currency=None)),
        (0.1 + 0.2, Amount(value=Decimal("0.3"), currency=None)),
        (150000, Amount(value=Decimal(150000), currency=None)),
        (1e20, AmountFault.TOO_LARGE),
        (1e300, AmountFault.TOO_LARGE),
        (10**40, AmountFault.TOO_LARGE),
        (-3, AmountFault.NEGATIVE),
        (float("nan"), AmountFault.NOT_A_SUM),
        (True, AmountFault.NOT_A_SUM),
    ],
)
def test_number_cells_of_spreadsheets_need_no_guess(cell: float, result: Amount | AmountFault) -> None:
    assert read_amount(cell, "CL") == result


@pytest.mark.parametrize(("country", "currency"), sorted(OF_COUNTRY.items()))
def test_a_shared_sign_means_the_currency_of_the_files_country(country: str, currency: str) -> None:
    assert read_amount("$ 1500", country) == Amount(value=Decimal(1500), currency=currency)


def test_bs_is_of_bolivia_but_in_venezuela() -> None:
    assert read_amount("Bs. 10", "VE") == Amount(value=Decimal(10), currency="VES")
    assert read_amount("Bs. 10", "BO") == Amount(value=Decimal(10), currency="BOB")


def test_bs_in_a_format_is_of_the_file_s_country() -> None:
    form = read_format('"Bs" #,##0')
    assert form is not None
    assert read_amount(ShownNumber(3, form), "VE") == Amount(value=Decimal(3), currency="VES")
    assert read_amount(ShownNumber(3, form), "BO") == Amount(value=Decimal(3), currency="BOB")


@pytest.mark.parametrize("text", ["$ 12 UF", "$ 12 EUR", "12 pesos USD", "S/ 12 $"])
def test_a_shared_sign_beside_a_currency_that_it_never_means_is_a_contradiction(text: str) -> None:
    assert read_amount(text, "CL") is AmountFault.TWO_CURRENCIES


@given(
    st.decimals(min_value=0, max_value=10**9, places=2),
    st.sampled_from([("{:,}", ",", "."), ("{:,}", ".", ","), ("{}", "", "."), ("{}", "", ",")]),
    st.sampled_from(["{}", "$ {}", "{} CLP", "${}", "  {} "]),
)
def test_every_plain_amount_is_read_as_itself(value: Decimal, way: tuple[str, str, str], around: str) -> None:
    form, thousands, point = way
    whole, _, cents = str(value).partition(".")
    grouped = form.format(int(whole)).replace(",", thousands)
    found = read_amount(around.format(f"{grouped}{point}{cents}"), "CL")
    assert isinstance(found, Amount)
    assert found.value == value


_CHARACTERS = "0123456789.,'-+()$ /%UFmilSCLPkMe₡€" + "\u00a0"


@given(st.text(alphabet=_CHARACTERS, max_size=MAX_CHARACTERS) | st.text(max_size=MAX_CHARACTERS))
def test_a_sum_that_is_read_has_each_digit_of_the_text_and_only_known_words(text: str) -> None:
    found = read_amount(text, "CL")
    if isinstance(found, AmountFault):
        return
    digits = [str(int(c)) for c in text if c.isdecimal()]
    written = "".join(digits).lstrip("0").rstrip("0")
    assert re.sub(r"\D", "", format(found.value, "f")).lstrip("0").rstrip("0") == written
    assert found.value >= 0
    assert found.currency is None or found.currency in CODES


def test_every_symbol_names_a_known_code_and_is_written_as_it_is_compared() -> None:
    assert set(SYMBOLS.values()) <= CODES
    assert all(symbol == symbol.casefold() for symbol in SYMBOLS)


def amount(text: object) -> Decimal | None:
    """The sum alone; None where there is none."""
    found = read_amount(text, "CL")
    return found.value if isinstance(found, Amount) else None


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
        ("150.000,00", 150_000),
        ("$ 150.000", 150_000),
        ("$150,000.00 CLP", 150_000),
        ("CLP $ 45.990", 45_990),
        ("S/ 99,90", 99.9),
        ("US$ 1,250.00", 1_250),
        ("15 pesos", 15),
        ("0", 0),
    ],
)
def test_an_amount_is_read_with_comma_or_point(text: str, value: float) -> None:
    assert amount(text) == Decimal(str(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "12.34.56",
        "1.23.456",
        "1,2,3",
        "1e5",
        "1234.567",
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
    assert amount(written) == Decimal(f"{whole}.{cents:02d}")


#: What people write beside a sum and that changes it, or makes it something else.
_STRANGE = st.text(st.characters(categories=["L", "So", "No"]), min_size=1, max_size=8) | st.sampled_from(
    ["mil", "k", "M", "millones", "%", "UTM", "cuotas", "x 3", "1/2", "+ IVA", "meses", "#", "y 500", "²"]
)


@given(st.integers(min_value=1, max_value=10**7), _STRANGE, st.booleans(), st.sampled_from(["", " "]))
def test_a_sum_beside_a_word_that_is_no_currency_is_never_a_number(
    value: int, word: str, first: bool, blank: str
) -> None:
    parts = _without_accents(word).casefold().split()
    known = CODES | {code.casefold() for code in CODES} | set(SYMBOLS) | _KNOWN_WORDS
    assume(parts and not all(part.strip(".,-") in known for part in parts))
    text = f"{word}{blank}{value}" if first else f"{value}{blank}{word}"
    assert isinstance(read_amount(text, "CL"), AmountFault), text


_KNOWN_WORDS = {
    *("$", "peso", "pesos", "bs", "de", "en"),
    *("chilenos", "argentinos", "mexicanos", "colombianos", "uruguayos", "dominicanos", "peruanos"),
    *("americanos", "estadounidenses"),
}


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("25 mil", ["mil"]),
        ("$ 3 UTM", ["utm"]),
        ("CLP 1.500 aprox.", ["aprox"]),
        ("$ 1.500 CLP", []),
        ("-", []),
    ],
)
def test_the_words_that_are_no_currency_can_be_named(text: str, words: list[str]) -> None:
    assert unknown_words(text, "CL") == words
