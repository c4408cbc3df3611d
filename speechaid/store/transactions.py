"""What moved the balance of an account: top-ups, which stand in ``transactions``, and charges of calls.

A charge is read from its call's result (``charged``), which is written exactly once for each call: there is
no second record of it. ``transactions`` is SpeechAI's collection; its documents are read, and never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from speechaid.model.account import Account, TopUp
from speechaid.model.reading import Document, instant
from speechaid.store.accounts import Accounts
from speechaid.store.table import Duplicate, Table

#: Fields of a result that tell what its call was charged.
_CHARGE_FIELDS: Final = ("call_id", "job_id", "batch_id", "outcome", "charged", "created_at")
#: What is no date is not greater than one.
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: A call that cost its account something.
_CHARGED: Final[Document] = {"$or": [{"charged.minutes": {"$gt": 0}}, {"charged.credit": {"$gt": 0}}]}


class Transactions:
    """The transactions collection, and the charges among the call results."""

    def __init__(self, table: Table, results: Table, accounts: Accounts) -> None:
        self.table = table
        self._results = results
        self._accounts = accounts

    def finish_top_ups(self, account: Account) -> None:
        """Record the top-ups that the account still carries, and take them off it; a repeat does nothing."""
        for added in account.top_ups:
            self.record(account.account_id, added)
            self._accounts.end_top_up(account.account_id, added.key)

    def record(self, account_id: str, top_up: TopUp) -> None:
        """Record a top-up; one that is recorded already stays as it is."""
        amount = {"minutes": top_up.minutes} if top_up.minutes else {"credits": top_up.credit}
        name = transaction_id(account_id, top_up.key)
        document = {
            "_id": name,
            "transaction_id": name,
            "account_id": account_id,
            "transaction_type": "topup" if top_up.after >= top_up.before else "adjustment",
            **amount,
            "currency": top_up.currency,
            "balance_before": top_up.before,
            "balance_after": top_up.after,
            "description": top_up.note,
            "key": top_up.key,
            "created_by": top_up.by,
            "created_at": top_up.at,
        }
        try:
            self.table.insert(document)
        except Duplicate:
            return

    def find(self, account_id: str, key: str) -> Document | None:
        """Find the record of a top-up; None where there is none."""
        return self.table.find_one({"_id": transaction_id(account_id, key)})

    def page(
        self,
        account_id: str,
        days: Document,
        *,
        limit: int,
        before: datetime | None = None,
        shown: Sequence[int] = (0, 0),
    ) -> tuple[list[Document], list[Document]]:
        """Find the latest transactions of an account, and the latest charged calls, newest first.

        Args:
            account_id: the account.
            days: the condition of their times; empty: all.
            limit: of each at most this many.
            before: only those made then or earlier; None: all.
            shown: how many of each, of those made exactly then, an earlier page had.
        """
        made = {"$gt": _LONG_AGO, **days, **({} if before is None else {"$lte": before})}
        query = {"account_id": account_id, "created_at": made}
        order = (("created_at", -1), ("_id", -1))
        found = (
            self.table.find(query, sort=order, limit=limit + shown[0])[shown[0] :],
            self._results.find(
                query | _CHARGED, sort=order, limit=limit + shown[1], fields=("_id", *_CHARGE_FIELDS)
            )[shown[1] :],
        )
        return found[0], found[1]


def transaction_id(account_id: str, key: str) -> str:
    """The id of a top-up's record: one for each account and key, since no key has a colon."""
    return f"{account_id}:{key}"


def made_at(document: Document) -> datetime:
    """When a transaction or a charge was made; ``page`` finds none without a time."""
    moment = instant(document.get("created_at"))
    if moment is None:
        raise ValueError("no time")
    return moment
