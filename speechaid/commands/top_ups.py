"""``top-up`` and ``transactions``: what was added to an account's balance, and what its calls took from it.

A top-up is one update of the account, which carries it until ``transactions`` has its record
(``store.accounts``). Whatever stops the daemon in between, the next command about the account, or
housekeeping, makes the record; and the same top-up under its key is answered with what was done.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from speechaid.commands.filters import date_range
from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.commands.options import MAX_TRIES
from speechaid.model import reading
from speechaid.model.account import Account, Plan, TopUp
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document, mapping, number
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.money import exact_amount, minor_digits
from speechaid.protocol.text import SAFE_ID
from speechaid.protocol.translation import say
from speechaid.rules import metering
from speechaid.store.transactions import made_at

#: More has no account; with ``PLACES`` decimals it is exact as a double.
_MOST: Final = Decimal(10) ** 9
#: Milliseconds since 1970, which is what the database keeps, and the numbers of rows shown of that time.
_POSITION: Final = re.compile(r"(\d{1,14})-(\d{1,6})-(\d{1,6})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: The type of a row that is the charge of a call.
CALL_CHARGE: Final = "call"


def top_up(context: HandlerContext, command: Invocation) -> Result:
    """Add minutes or credit to the balance, once under its key."""
    key = command.args["idempotency_key"]
    if key is None or not SAFE_ID.fullmatch(key):
        message = say(
            "idempotency_key: give each top-up one of its own, of letters, digits, '-', '_' and '.'"
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    account_id = resolve_account(context.store, command.args["account"]).account_id
    for _ in range(MAX_TRIES):
        account = resolve_account(context.store, account_id)
        # In this order: see ``Accounts.top_up``.
        context.store.transactions.finish_top_ups(account)
        recorded = context.store.transactions.find(account_id, key)
        if recorded is not None:
            return _answer(context, account_id, _same(command, recorded), repeated=True)
        added = _evaluate(account, command, key, context.store.now())
        if context.store.accounts.top_up(account, added):
            context.store.transactions.finish_top_ups(resolve_account(context.store, account_id))
            record = context.store.transactions.find(account_id, key)
            assert record is not None  # noqa: S101
            return _answer(context, account_id, record, repeated=False)
    message = say(
        "account {account_id} kept changing meanwhile: repeat the command with the same key",
        account_id=account_id,
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def _evaluate(account: Account, command: Invocation, key: str, now: datetime) -> TopUp:
    """What the command adds to the account as read.

    Raises:
        CommandRefused: the account has another plan, or the amount cannot be.
    """
    amount, unit = _amount(command, account)
    name = {"minutes": "minutes_purchased", "credit": "credit_balance"}[unit]
    stored = account.document.get(name)
    if stored is not None and number(stored) is None:
        message = reading.not_understood(name, stored, say("correct it in the database first"))
        raise CommandRefused(ErrorCode.REFUSED, message)
    before = exact_amount(number(stored) or 0.0)
    after = before + amount
    if after < 0 or after > _MOST:
        message = say(
            "{unit}: with {amount:f} more, {after:f} would be bought in all: 0 to {MOST} are allowed",
            unit=unit,
            amount=amount,
            after=after,
            MOST=_MOST,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    note = command.args["note"]
    if amount < 0 and note is None:
        message = say(
            "--{unit} {amount:f} takes back what was added: say why with --note", unit=unit, amount=amount
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return TopUp(
        key=key,
        minutes=float(amount) if unit == "minutes" else 0.0,
        credit=float(amount) if unit == "credit" else 0.0,
        before=float(before),
        after=float(after),
        currency=account.currency if unit == "credit" else None,
        note=None if note is None else mask_prose(note),
        by=command.actor,
        at=now,
    )


def _amount(command: Invocation, account: Account) -> tuple[Decimal, str]:
    """The amount and its unit, ``minutes`` or ``credit``."""
    given = [unit for unit in ("minutes", "credit") if command.args[unit] is not None]
    if len(given) != 1:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("give --minutes or --credit, one of them"))
    unit = given[0]
    wanted = {Plan.MINUTES: "minutes", Plan.CREDIT: "credit"}.get(account.plan or Plan.UNLIMITED)
    if unit != wanted:
        plan = account.plan or say("a plan that is not understood")
        remedy = say("--{wanted} adds to it", wanted=wanted) if wanted else say("nothing is added to it")
        raise CommandRefused(
            ErrorCode.REFUSED,
            say(
                "account {account_id} is {plan}: {remedy}",
                account_id=account.account_id,
                plan=plan,
                remedy=remedy,
            ),
        )
    amount = Decimal(repr(command.args[unit]))
    digits = minor_digits(account.currency) if unit == "credit" else 2
    if amount == 0 or amount != round(amount, digits):
        what = account.currency or unit
        message = say(
            "{unit}: {amount:f} cannot be added: above or below 0, {digits} decimals of {what} at most",
            unit=unit,
            amount=amount,
            digits=digits,
            what=what,
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return amount, unit


def _same(command: Invocation, recorded: Document) -> Document:
    """The record, where it is of the same top-up.

    Raises:
        CommandRefused: its key was given to another one.
    """
    for unit, field in (("minutes", "minutes"), ("credit", "credits")):
        given, known = command.args[unit], number(recorded.get(field))
        if (given is None) != (known is None) or (given is not None and float(given) != known):
            message = say(
                "the key {key!r} was used for another top-up of this account", key=recorded.get("key")
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
    return recorded


def _answer(context: HandlerContext, account_id: str, record: Document, *, repeated: bool) -> Result:
    account = resolve_account(context.store, account_id)
    return {
        "account_id": account_id,
        "name": account.name,
        **transaction_row(record, account),
        "repeated": repeated,
        "balance": balance(account),
    }


def balance(account: Account) -> Result | None:
    """What was bought, is used, is reserved by calls in progress, and is left; None without a limit."""
    if account.plan is Plan.MINUTES:
        amounts = (account.minutes_purchased, account.minutes_used, account.minutes_reserved)
        left, unit = metering.minutes_left(account), "minutes"
    elif account.plan is Plan.CREDIT:
        amounts = (account.credit_balance, account.credit_used, account.credit_reserved)
        left, unit = metering.credit_left(account), "credit"
    else:
        return None
    bought, used, reserved = (float(exact_amount(amount)) for amount in amounts)
    return {"unit": unit, "bought": bought, "used": used, "reserved": reserved, "left": left}


# -- transactions ------------------------------------------------------------------------------------------


def transactions(context: HandlerContext, command: Invocation) -> Result:
    """Top-ups and charges of calls, newest first, page by page."""
    account = resolve_account(context.store, command.args["account"])
    context.store.transactions.finish_top_ups(account)
    limit = int(command.args["limit"])
    before, shown = _position(command.args["after"])
    recorded, charged = context.store.transactions.page(
        account.account_id, date_range(context, command.args), limit=limit + 1, before=before, shown=shown
    )
    # Of one time, the transactions stand before the charges: so the position of a page is exact.
    merged = sorted(
        [*((row, 0) for row in recorded), *((row, 1) for row in charged)],
        key=lambda item: (-made_at(item[0]).timestamp(), item[1]),
    )[:limit]
    rows = [
        transaction_row(row, account) if source == 0 else _charge_row(row, account) for row, source in merged
    ]
    is_last = len(recorded) + len(charged) <= limit
    return {
        "account_id": account.account_id,
        "name": account.name,
        "currency": account.currency,
        "transactions": rows,
        "next": None if is_last else _next_position(merged, before, shown),
        "balance": balance(account),
    }


def _position(after: str | None) -> tuple[datetime | None, tuple[int, int]]:
    """The time at which an earlier page ended, and how many of each source it showed of that time."""
    if after is None:
        return None, (0, 0)
    match = _POSITION.fullmatch(after)
    if match is None:
        message = say("after: {after!r} is not a position of an earlier page", after=after)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return _EPOCH + timedelta(milliseconds=int(match[1])), (int(match[2]), int(match[3]))


def _next_position(
    merged: list[tuple[Document, int]], before: datetime | None, shown: tuple[int, int]
) -> str:
    last = made_at(merged[-1][0])
    counts = list(shown) if last == before else [0, 0]
    for row, source in merged:
        counts[source] += made_at(row) == last
    return f"{(last - _EPOCH) // timedelta(milliseconds=1)}-{counts[0]}-{counts[1]}"


def transaction_row(record: Document, account: Account) -> Result:
    """A document of ``transactions``, also one of SpeechAI's, as far as it can be read."""

    def amount(*names: str) -> float | None:
        found = next((value for name in names if (value := number(record.get(name))) is not None), None)
        return None if found is None else float(exact_amount(found))

    by, note = reading.text(record.get("created_by")), reading.text(record.get("description"))
    return {
        "at": reading.instant(record.get("created_at")),
        "type": reading.text(record.get("transaction_type")) or "unknown",
        "minutes": amount("minutes"),
        "credit": amount("credits", "credit", "amount"),
        "currency": read_currency_of(record, account),
        "before": amount("balance_before"),
        "after": amount("balance_after"),
        "note": None if note is None else mask_prose(note),
        "by": by,
        "key": reading.text(record.get("key")),
    }


def read_currency_of(record: Document, account: Account) -> str | None:
    """The currency of a transaction: its own, else the account's."""
    return reading.text(record.get("currency")) or account.currency


def _charge_row(result: Document, account: Account) -> Result:
    """What a call was charged, as a negative amount."""
    charged = mapping(result.get("charged"))

    def amount(name: str) -> float | None:
        found = number(charged.get(name)) or 0.0
        return -float(exact_amount(found)) if found else None

    names: tuple[str, ...] = ("call_id", "job_id", "batch_id", "outcome")
    row: dict[str, Any] = {
        "at": reading.instant(result.get("created_at")),
        "type": CALL_CHARGE,
        "minutes": amount("minutes"),
        "credit": amount("credit"),
        "currency": account.currency,
    }
    return {**row, **{name: reading.text(result.get(name)) for name in names}}
