"""The settings of an account: every option has a row, and what it writes is understood."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.commands.account_fields import CURRENCIES, OPTIONS
from speechaid.commands.options import edited_document, given_options, shown_value
from speechaid.model.account import Account, Plan
from speechaid.model.faults import ACCOUNT_STATUSES as KNOWN_STATUSES
from speechaid.model.faults import of_account
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.specs.accounts import ACCOUNT_STATUSES, PLANS
from speechaid.rules.currencies import OF_COUNTRY

GIVEN: dict[str, Any] = {
    "name": "Acme Chile",
    "plan": "credit_based",
    "status": "pending_activation",
    "country": "cl",
    "timezone": "America/Santiago",
    "currency": "usd",
    "cost_per_minute": 0.085,
    "cost_per_call_setup": 0.01,
    "cost_failed_call": 0,
    "max_concurrent_calls": 5,
    "daily_call_limit": 400,
}


def test_every_option_of_an_account_has_a_row() -> None:
    typed = {argument.name for argument in COMMANDS["edit-account"].arguments} - {"account", "unset"}
    assert {option.name for option in OPTIONS} == typed == set(GIVEN)
    created = {argument.name for argument in COMMANDS["create-account"].arguments} - {"account"}
    assert created == typed - {"status"}


def test_every_optional_setting_can_be_unset() -> None:
    (unset,) = (argument for argument in COMMANDS["edit-account"].arguments if argument.name == "unset")
    assert set(unset.choices) == {option.name.replace("_", "-") for option in OPTIONS if option.is_setting}


def test_the_choices_are_what_the_rules_know() -> None:
    assert set(PLANS) == set(Plan)
    assert set(ACCOUNT_STATUSES) == KNOWN_STATUSES
    assert set(OF_COUNTRY.values()) <= CURRENCIES


def test_what_the_options_write_is_understood_and_shown_as_typed() -> None:
    document = edited_document({"account_id": "acme"}, given_options(OPTIONS, GIVEN))
    assert of_account(document) == ()
    account = Account.read(document)
    assert (account.plan, account.currency, account.country) == (Plan.CREDIT, "USD", "CL")
    assert (account.cost_per_minute, account.daily_call_limit) == (0.085, 400)
    shown = {option.name: shown_value(document, option) for option in OPTIONS}
    assert shown == {**GIVEN, "country": "CL", "currency": "USD"}


@pytest.mark.parametrize("code", ["usd", " CLP ", "Mxn"])
def test_a_currency_is_read_however_it_is_typed(code: str) -> None:
    (row,) = given_options(OPTIONS, {"currency": code})
    assert row[1] == code.strip().upper()


@pytest.mark.parametrize("stored", ["pesos", 5, "", "$", None])
def test_a_currency_that_is_none_is_no_currency_and_forbids_no_call(stored: object) -> None:
    account = Account.read({"account_id": "acme", "plan_type": "unlimited", "currency": stored})
    assert (account.currency, account.faults) == (None, ())
