"""Sums of money: without residues of binary fractions, and as people read them; pure.

Documents hold sums as doubles (SpeechAI's form) or as decimals. ``exact_amount`` is the one way from such a
number to a ``Decimal``, ``money`` and ``price`` are the one way to a text.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any, Final

from speechaid.protocol.translation import joined, say

#: Decimals to which every sum is kept: a millionth of a currency unit, or of a minute.
PLACES: Final = 6
#: The currency in which Retell states the cost of a call.
RETELL_CURRENCY: Final = "USD"
#: Decimals of the minor unit (ISO 4217), where it does not have two.
_DECIMALS: Final = {"CLP": 0, "PYG": 0}
_STEP: Final = Decimal(1).scaleb(-PLACES)
#: Beyond this a number is nobody's sum: it is shown in powers of ten, and not rounded.
_LARGEST: Final = Decimal(10) ** 20


def exact_amount(amount: float | Decimal) -> Decimal:
    """The amount to ``PLACES`` decimals: 0.1 + 0.2 is 0.3. Of a float, its shortest decimal form is meant."""
    value = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    return value.quantize(_STEP, ROUND_HALF_EVEN) if abs(value) < _LARGEST else value


def minor_digits(currency: str | None) -> int:
    """Decimals with which sums of this currency are paid; 2 where no currency is known."""
    return _DECIMALS.get(currency or "", 2)


def money(amount: float | Decimal, currency: str | None) -> str:
    """A sum, rounded to the currency's minor unit: ``1,234.50 USD``, ``12,000 CLP``, ``3.00`` without one.

    In Spanish ``1.234,50 USD``.
    """
    return _with_currency(_rounded(exact_amount(amount), minor_digits(currency)), currency)


def price(amount: float | Decimal, currency: str | None) -> str:
    """A price or the charge of one call: with all its decimals, at least those of the currency."""
    value = exact_amount(amount)
    digits = -int(value.normalize().as_tuple().exponent)
    return _with_currency(_rounded(value, max(digits, minor_digits(currency))), currency)


def plain_amount(amount: float | Decimal) -> str:
    """Minutes, or a number without a currency: ``1,234.5``, with the decimals that it has."""
    value = exact_amount(amount)
    return _rounded(value, max(0, -int(value.normalize().as_tuple().exponent)))


def sums_by_currency(rows: Iterable[Mapping[str, Any]], name: str = "credit") -> str:
    """``12.50 USD, 9,000 CLP``: of rows with a ``currency`` and a sum under this name; empty without any."""
    return joined(", ", (money(row[name], row["currency"]) for row in rows))


def _rounded(value: Decimal, places: int) -> str:
    if abs(value) >= _LARGEST:
        return f"{value:.3e}"
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    # No sum is minus zero.
    return say("{amount:,f}", amount=rounded or abs(rounded))


def _with_currency(amount: str, currency: str | None) -> str:
    return say("{amount} {currency}", amount=amount, currency=currency) if currency else amount
