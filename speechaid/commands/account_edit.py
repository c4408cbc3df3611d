"""``create-account`` and ``edit-account``: what an account is, in force for the next dial on every host.

Workers read the account right before each dial, so a change needs no word to them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from speechaid.commands.account_fields import OPTIONS
from speechaid.commands.accounts import revive_jobs
from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.options import (
    MAX_TRIES,
    Wanted,
    change_rows,
    differing_values,
    edited_document,
    given_options,
    with_unset,
)
from speechaid.model.account import Account, Plan
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import SAFE_ID
from speechaid.protocol.translation import joined, say, say_n
from speechaid.rules.checks import ACTIVE
from speechaid.rules.currencies import OF_COUNTRY

_PLAN: Final = "plan"
_PRICES: Final = ("cost_per_minute", "cost_per_call_setup")


def create_account(context: HandlerContext, command: Invocation) -> Result:
    """Make an account; its balance is nothing until the first top-up."""
    account_id = command.args["account"]
    if not SAFE_ID.fullmatch(account_id):
        message = say(
            "account: {account_id!r} is no id; write letters, digits, '-', '_' and '.', as in acme-chile",
            account_id=account_id,
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    wanted = given_options(OPTIONS, command.args)
    fields = edited_document({}, wanted)
    own = OF_COUNTRY.get(str(fields.get("country", "")))
    if "currency" not in fields and own is not None:
        fields["currency"] = own
    _require_currency(fields)
    if not context.store.accounts.create(account_id, fields, by=command.actor):
        message = say(
            "there is an account {account_id!r} already: edit-account changes it", account_id=account_id
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    created = Account.read({"account_id": account_id, **fields})
    return {
        "account_id": account_id,
        "name": created.name,
        "plan": fields["plan_type"],
        "currency": created.currency,
        "warning": _warning(created, {option.name for option, _ in wanted}),
    }


def edit_account(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Change the given settings, and no other; the answer has old and new values."""
    account_id = resolve_account(context.store, command.args["account"]).account_id
    wanted = with_unset(
        OPTIONS,
        given_options(OPTIONS, command.args),
        command.args["unset"] or (),
        example=say("give a setting (--daily-call-limit 400), or --unset daily-call-limit"),
    )
    changes = _write(context, command, account_id, wanted)
    account = resolve_account(context.store, account_id)
    result = {
        "account_id": account_id,
        "name": account.name,
        "status": account.status,
        "currency": account.currency,
        "changes": changes,
        "faults": list(account.faults),
        "live_calls": len(account.reservations),
        "warning": _warning(account, {option.name for option, value in wanted if value is not None}),
    }
    is_activated = any(option.name == "status" and value == ACTIVE for option, value in wanted)
    # Also where it was active: an interrupted command is completed by repeating it.
    return revive_jobs(command, account, result) if is_activated else result


def _write(context: HandlerContext, command: Invocation, account_id: str, wanted: Wanted) -> list[Document]:
    """Write the settings that differ; return each change with ``option``, ``old`` and ``new``.

    A setting that another operator has changed since it was read is read again, so that the recorded old
    value is the one that was replaced.
    """
    for _ in range(MAX_TRIES):
        account = resolve_account(context.store, account_id)
        _require_currency(edited_document(account.document, wanted), {option.name for option, _ in wanted})
        changes = differing_values(account.document, wanted)
        if not changes:
            return []
        if context.store.accounts.write_settings(account, changes, by=command.actor):
            return change_rows(account.document, wanted, changes)
    message = say("account {account_id} kept changing meanwhile: repeat the command", account_id=account_id)
    raise CommandRefused(ErrorCode.REFUSED, message)


def _require_currency(document: Document, edited: frozenset[str] | set[str] = frozenset({_PLAN})) -> None:
    """Refuse to make a credit plan, or to change it or its currency, where its sums would be in none.

    SpeechAI's accounts have no currency: their other settings can be changed all the same.
    """
    account = Account.read(document)
    if account.plan is Plan.CREDIT and account.currency is None and edited & {_PLAN, "currency"}:
        message = say("a credit plan needs the currency of its sums: --currency CLP")
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)


def _warning(account: Account, given: Collection[str]) -> str | None:
    """What a credit plan without prices means, and prices that were given to another plan."""
    prices = (account.cost_per_minute, account.cost_per_call_setup)
    if account.plan is Plan.CREDIT and not any(prices):
        return say(
            "calls of this account cost it nothing: --cost-per-minute and --cost-per-call-setup set prices"
        )
    idle = [f"--{name.replace('_', '-')}" for name in _PRICES if name in given]
    if account.plan is not Plan.CREDIT and idle:
        return say_n(
            "{idle} has no effect: calls of plan {plan} are paid without prices",
            "{idle} have no effect: calls of plan {plan} are paid without prices",
            len(idle),
            idle=joined(say(" and "), idle),
            plan=account.plan,
        )
    return None
