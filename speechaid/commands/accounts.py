"""Orders about accounts: while one is suspended, none of its jobs is dialled."""

from __future__ import annotations

from typing import Final

from speechaid.commands.ids import the_account
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model.account import Account
from speechaid.model.states import SuspendReason
from speechaid.protocol.messages import ErrorCode

_ACTIVE: Final = "active"
_SUSPENDED: Final = "suspended"
#: Suspensions of jobs that end with their account's. Want of credit is looked after by itself.
_LIFTED: Final = (SuspendReason.ACCOUNT_SUSPENDED, SuspendReason.ACCOUNT_UNKNOWN)


def suspend_account(context: HandlerContext, call: Invocation) -> Result:
    """No new call of this account; its jobs stay as they are."""
    account = the_account(context.store, call.args["account"])
    if account.status != _SUSPENDED:
        _set(context, call, account, _SUSPENDED)
    return {
        "account_id": account.account_id,
        "status": _SUSPENDED,
        "was": account.status,
        "live_calls": len(account.reservations),
    }


def resume_account(context: HandlerContext, call: Invocation) -> Result:
    """A suspended account's jobs may be called again."""
    account = the_account(context.store, call.args["account"])
    if account.status not in {_ACTIVE, _SUSPENDED}:
        message = (
            f"account {account.account_id} is {account.status}, not suspended: not speechctl's to change"
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    if account.status != _ACTIVE:
        _set(context, call, account, _ACTIVE)
    revived = context.store.operator_actions.resume_suspended(account.account_id, _LIFTED)
    return {
        "account_id": account.account_id,
        "status": _ACTIVE,
        "was": account.status,
        "jobs_resumed": revived,
    }


def _set(context: HandlerContext, call: Invocation, account: Account, status: str) -> None:
    order = {"by": call.actor, "reason": call.args["reason"], "status": status}
    if not context.store.accounts.set_status(account, status, order):
        message = f"account {account.account_id} changed at this very moment: give the command again"
        raise CommandRefused(ErrorCode.REFUSED, message)
