"""Accounts, balances and what moves them."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import DATES, REASON, at_most
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

_ACCOUNT: Final = Argument(
    name="account",
    help="the account's id, or its unique beginning",
    positional=True,
    required=True,
    completes="account",
)

#: The plans of ``model.account.Plan``, and the statuses of ``model.faults``; a test compares them.
PLANS: Final = ("minutes_based", "credit_based", "unlimited")

ACCOUNT_STATUSES: Final = ("active", "suspended", "expired", "pending_activation")

_ACCOUNT_OPTIONS: Final = (
    Argument(name="name", help="the customer's name"),
    Argument(name="country", help="country of phones without a country code: CL"),
    Argument(name="timezone", help="IANA name of the zone in which its days are counted: America/Santiago"),
    Argument(name="currency", is_id=True, help="ISO 4217 code of its sums: CLP (default: its country's)"),
    *(
        Argument(name=name, kind=Kind.NUMBER, minimum=0, maximum=1_000_000_000, help=text)
        for name, text in (
            ("cost_per_minute", "credit plan: price of a minute of talk, in the account's currency"),
            ("cost_per_call_setup", "credit plan: price of a call that connects, beside its minutes"),
            ("cost_failed_call", "credit plan: price of a call that does not connect"),
        )
    ),
    Argument(
        name="max_concurrent_calls",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=100_000,
        help="calls at a time, over all hosts; for none use suspend-account",
    ),
    Argument(
        name="daily_call_limit",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=10_000_000,
        help="calls a day, over all hosts; for none use suspend-account",
    ),
)
SPECS: Final = (
    CommandSpec(
        name="accounts",
        help="the accounts with plan, balance and what is left of their limits",
        access=Access.READ,
        arguments=(
            at_most(100),
            Argument(name="after", is_id=True, help="only those after this account, as an earlier page said"),
        ),
    ),
    CommandSpec(
        name="account",
        help="one account with balance, prices, limits, and the call settings that it used last",
        access=Access.READ,
        arguments=(_ACCOUNT,),
    ),
    background_write(
        "create-account",
        "create an account; top-up fills its balance",
        Argument(
            name="account",
            positional=True,
            required=True,
            is_id=True,
            help="the account's id: letters, digits, '-', '_' and '.'",
        ),
        Argument(
            name="plan",
            required=True,
            choices=PLANS,
            help="what its calls are paid with: minutes bought, credit, or without limit",
        ),
        *_ACCOUNT_OPTIONS,
    ),
    background_write(
        "edit-account",
        "change settings of an account, in force for the next dial on every host; the others stay",
        _ACCOUNT,
        *_ACCOUNT_OPTIONS,
        Argument(name="plan", choices=PLANS, help="its new plan; calls in progress are charged by it"),
        Argument(
            name="status",
            choices=ACCOUNT_STATUSES,
            help="its new status; only an active account's people are called",
        ),
        Argument(
            name="unset",
            repeatable=True,
            choices=tuple(argument.name.replace("_", "-") for argument in _ACCOUNT_OPTIONS),
            help="back to the default, for example daily-call-limit; may be given several times",
        ),
        timeout_seconds=600.0,
    ),
    background_write(
        "top-up",
        "add minutes or credit to an account's balance, once under its key",
        _ACCOUNT,
        Argument(
            name="minutes",
            kind=Kind.NUMBER,
            minimum=-1_000_000_000,
            maximum=1_000_000_000,
            help="minutes to add, on a minutes plan; below 0 takes back",
        ),
        Argument(
            name="credit",
            kind=Kind.NUMBER,
            minimum=-1_000_000_000,
            maximum=1_000_000_000,
            help="credit to add, in the account's currency, on a credit plan; below 0 takes back",
        ),
        Argument(name="note", help="what for: an invoice, a payment; recorded, numbers masked"),
        Argument(
            name="idempotency_key",
            help="its key: with the same one nothing is added twice (default: speechctl makes one)",
        ),
    ),
    CommandSpec(
        name="transactions",
        help="what moved an account's balance, newest first: top-ups and charges of calls",
        access=Access.READ,
        arguments=(
            _ACCOUNT,
            *DATES,
            at_most(50),
            Argument(name="after", is_id=True, help="the position that an earlier page gave as its next"),
        ),
    ),
    background_write(
        "suspend-account", "stop new calls of this account until resume-account", _ACCOUNT, REASON
    ),
    background_write("resume-account", "allow calls of a suspended account again", _ACCOUNT, REASON),
)
