"""Commands about accounts: while one is suspended, none of its jobs is dialled."""

from __future__ import annotations

from typing import Final

from speechaid.commands.bulk_actions import in_portions
from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.model.account import Account
from speechaid.model.states import SuspendReason
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules.checks import ACTIVE
from speechaid.store.queue import CHUNK_SIZE

_SUSPENDED: Final = "suspended"
#: Suspensions of jobs that end with their account's. Those for lack of credit end automatically.
_REVIVED: Final = (SuspendReason.ACCOUNT_SUSPENDED, SuspendReason.ACCOUNT_UNKNOWN)


def suspend_account(context: HandlerContext, command: Invocation) -> Result:
    """Stop new calls of the account; its jobs stay as they are."""
    account = resolve_account(context.store, command.args["account"])
    if account.status != _SUSPENDED:
        _set_status(context, command, account, _SUSPENDED)
    return {
        "account_id": account.account_id,
        "status": _SUSPENDED,
        "was": account.status,
        "live_calls": len(account.reservations),
    }


def resume_account(context: HandlerContext, command: Invocation) -> Continue:
    """Allow calls of a suspended account again, and revive its suspended jobs.

    In portions: if it is interrupted, the same command goes on where it stopped.
    """
    account = resolve_account(context.store, command.args["account"])
    if account.status not in {ACTIVE, _SUSPENDED}:
        message = say(
            "account {account_id} is {status}, and resume-account resumes suspended ones:"
            " edit-account {account_id} --status active makes it active",
            account_id=account.account_id,
            status=account.status,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    if account.status != ACTIVE:
        _set_status(context, command, account, ACTIVE)
    result = {"account_id": account.account_id, "status": ACTIVE, "was": account.status}

    return revive_jobs(command, account, result)


def revive_jobs(command: Invocation, account: Account, result: Result) -> Continue:
    """Make the jobs pending that were suspended since the account was not active; add their number."""

    def portion(context: HandlerContext) -> int:
        resume = context.store.queue.resume_suspended
        return sum(resume(account.account_id, reason, CHUNK_SIZE) for reason in _REVIVED)

    return in_portions(command, portion, lambda _, revived: {**result, "jobs_resumed": revived})


def _set_status(context: HandlerContext, command: Invocation, account: Account, status: str) -> None:
    change = {"by": command.actor, "reason": command.args["reason"], "status": status}
    if not context.store.accounts.set_status(account, status, change):
        message = say(
            "account {account_id} was changed by someone else meanwhile: repeat the command",
            account_id=account.account_id,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
