"""``accounts`` and ``account``: plans, balances, limits, and the call settings that an account used last."""

from __future__ import annotations

from typing import Final

from speechaid.commands import batch_fields
from speechaid.commands.account_fields import OPTIONS
from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.commands.options import shown_value, stored_value
from speechaid.commands.top_ups import balance
from speechaid.model.account import Account
from speechaid.rules import metering

#: What the head of ``account`` shows already.
_IN_HEAD: Final = frozenset({"name", "plan", "status"})
_CALL_SETTINGS: Final = "call_settings."


def accounts(context: HandlerContext, command: Invocation) -> Result:
    """The accounts in the order of their ids, page by page."""
    limit = int(command.args["limit"])
    found = context.store.accounts.page(limit + 1, command.args["after"])
    shown = found[:limit]
    return {
        "accounts": [_head(context, account) for account in shown],
        "next": shown[-1].account_id if len(found) > limit else None,
    }


def account(context: HandlerContext, command: Invocation) -> Result:
    """Everything about one account."""
    found = resolve_account(context.store, command.args["account"])
    context.store.transactions.finish_top_ups(found)
    return {
        "as_of": context.store.now(),
        **_head(context, found),
        "created_at": found.document.get("created_at"),
        "created_by": found.document.get("created_by"),
        "settings": _settings(context, found),
        "last_call_settings": _last_call_settings(context, found),
    }


def _head(context: HandlerContext, account: Account) -> Result:
    day = metering.account_day(account, context.settings.dialling.default_timezone, context.store.now())
    return {
        "account_id": account.account_id,
        "name": account.name,
        "plan": account.plan,
        "status": account.status,
        "faults": list(account.faults),
        "currency": account.currency,
        "balance": balance(account),
        "calls_today": metering.calls_today(account, day),
        "daily_call_limit": account.daily_call_limit,
        "live_calls": len(account.reservations),
    }


def _settings(context: HandlerContext, account: Account) -> list[Result]:
    """Each setting with the value in force, and whether it is the account's own."""
    dialling = context.settings.dialling
    defaults: dict[str, tuple[object, str | None]] = {
        "country": (dialling.default_country, "SPEECHAID_DEFAULT_COUNTRY"),
        "timezone": (dialling.default_timezone, "SPEECHAID_DEFAULT_TIMEZONE"),
    }
    rows = []
    for option in OPTIONS:
        if option.name in _IN_HEAD:
            continue
        is_own = stored_value(account.document, option) is not None
        default, variable = defaults.get(option.name, (None, None))
        rows.append(
            {
                "option": option.name,
                "value": shown_value(account.document, option) if is_own else default,
                "source": "account" if is_own else "settings" if variable else "default",
                "variable": None if is_own else variable,
            }
        )
    return rows


def _last_call_settings(context: HandlerContext, account: Account) -> Result | None:
    """The call settings of the account's newest batch, which SpeechAI offers for the next one."""
    batch = context.store.batches.newest_of_account(account.account_id)
    if batch is None:
        return None
    return {
        "from_batch": batch.batch_id,
        "name": batch.name,
        "created_at": batch.document.get("created_at"),
        "settings": [
            {"option": option.name, "value": shown_value(batch.document, option)}
            for option in batch_fields.OPTIONS
            if option.path.startswith(_CALL_SETTINGS) and stored_value(batch.document, option) is not None
        ],
    }
