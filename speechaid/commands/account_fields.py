"""The settings of an account: from options to what is stored, and back; pure.

``OPTIONS`` has one row for each option of ``edit-account`` that sets a field. What the rules could not read
(``model.faults.of_account``) is refused here, with what is allowed: such an account would not be called for.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from speechaid.commands.interfaces import CommandRefused
from speechaid.commands.options import Option, as_it_is, country, number_option, zone_name
from speechaid.model import reading
from speechaid.model.faults import read_currency
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.money import PLACES, exact_amount
from speechaid.protocol.translation import say
from speechaid.rules.currencies import CODES, UNITS

#: Currencies that an account may have.
CURRENCIES: Final = CODES - UNITS


def currency(code: str) -> str:
    """A currency's code in capitals."""
    found = read_currency(code)
    if found is None or found not in CURRENCIES:
        allowed = ", ".join(sorted(CURRENCIES))
        message = say("currency: {code!r} is not known; write one of {allowed}", code=code, allowed=allowed)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return found


def _cost(option: str) -> Any:
    def to_stored(typed: float) -> float:
        if exact_amount(typed) != Decimal(repr(typed)):
            message = say(
                "{option}: {typed!r} has more than {PLACES} decimals",
                option=option.replace("_", "-"),
                typed=typed,
                PLACES=PLACES,
            )
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
        return float(typed)

    return to_stored


def _amount_option(stored: object) -> object:
    found = reading.number(stored)
    return None if found is None else float(exact_amount(found))


def _word_option(stored: object) -> object:
    found = reading.text(stored)
    return None if found is None else found.lower()


OPTIONS: Final[tuple[Option, ...]] = (
    Option(name="name", path="account_name", to_stored=str, to_option=reading.text),
    Option(name="plan", path="plan_type", to_stored=str, to_option=_word_option, is_setting=False),
    Option(name="status", path="status", to_stored=str, to_option=_word_option, is_setting=False),
    Option(name="country", path="country", to_stored=country, to_option=reading.text),
    Option(name="timezone", path="timezone", to_stored=zone_name, to_option=reading.text),
    Option(name="currency", path="currency", to_stored=currency, to_option=read_currency),
    *(
        Option(name=name, path=name, to_stored=_cost(name), to_option=_amount_option)
        for name in ("cost_per_minute", "cost_per_call_setup", "cost_failed_call")
    ),
    *(
        Option(name=name, path=name, to_stored=as_it_is, to_option=number_option)
        for name in ("max_concurrent_calls", "daily_call_limit")
    ),
)
