"""Sums of money as people read them, without residues of binary fractions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from babel.numbers import get_currency_precision

from speechaid.commands.account_fields import CURRENCIES
from speechaid.protocol.money import exact_amount, minor_digits, money, plain_amount, price, sums_by_currency

#: Where people round more coarsely than ISO 4217 does, which CLDR follows.
COARSER = {"COP"}


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1000.0000000001588, "USD", "1,000.00 USD"),
        (0.1 + 0.2, "USD", "0.30 USD"),
        (12000.4, "CLP", "12,000 CLP"),
        (0.5, "CLP", "1 CLP"),
        (-2.5, "PEN", "-2.50 PEN"),
        (-0.001, "USD", "0.00 USD"),
        (3, None, "3.00"),
        (Decimal("1.005"), "USD", "1.01 USD"),
        (1e15, "USD", "1,000,000,000,000,000.00 USD"),
        (1e300, "USD", "1.000e+300 USD"),
    ],
)
def test_a_sum_is_rounded_to_the_minor_unit_of_its_currency(
    amount: float | Decimal, currency: str | None, shown: str
) -> None:
    assert money(amount, currency) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (0.085, "USD", "0.085 USD"),
        (1000, "USD", "1,000.00 USD"),
        (85, "CLP", "85 CLP"),
        (85.5, "CLP", "85.5 CLP"),
        (0, "USD", "0.00 USD"),
        (-0.000001, "USD", "-0.000001 USD"),
    ],
)
def test_a_price_keeps_its_decimals(amount: float, currency: str, shown: str) -> None:
    assert price(amount, currency) == shown


def test_minutes_are_shown_with_the_decimals_that_they_have() -> None:
    assert [plain_amount(amount) for amount in (500, 1.5, 1234.25, 0, 0.1 + 0.2)] == [
        *("500", "1.5", "1,234.25", "0", "0.3")
    ]


def test_a_sum_is_exact_to_a_millionth() -> None:
    assert sum(exact_amount(0.1) for _ in range(10_000)) == 1000
    assert exact_amount(0.1234565) == Decimal("0.123456")


def test_each_currency_has_its_sum() -> None:
    rows: list[dict[str, Any]] = [{"currency": "CLP", "credit": 9000.0}, {"currency": None, "credit": 0.5}]
    assert sums_by_currency(rows) == "9,000 CLP, 0.50"


@pytest.mark.parametrize("currency", sorted(CURRENCIES - COARSER))
def test_the_minor_unit_of_each_currency_is_that_of_its_standard(currency: str) -> None:
    assert minor_digits(currency) == get_currency_precision(currency)
