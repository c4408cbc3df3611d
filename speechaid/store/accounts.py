"""Accounts: what an open dial holds of a balance, and what it cost in the end.

``open_dials`` holds one entry ``{key, job_id, minutes, credit, at}`` a dial; its amounts stand in
``minutes_reserved`` and ``credit_reserved`` as well, where SpeechAI's reports look. A reservation is judged
by the pure rules on an account as read, and written only if nobody else reserved or settled since
(``ledger_revision``). Settling consumes the entry and adds the charge in one update: exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from speechaid.model.account import Account, Reservation
from speechaid.model.reading import Document
from speechaid.store.ranges import keys_before
from speechaid.store.table import Table


class Accounts:
    """The accounts collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def find(self, account_id: str) -> Account | None:
        """An account by its name, or None."""
        document = self.table.find_one({"account_id": account_id})
        return None if document is None else Account.read(document)

    def among(self, account_ids: list[str]) -> list[Account]:
        """Those of the named accounts that exist."""
        return [Account.read(document) for document in self.table.find({"account_id": {"$in": account_ids}})]

    def reserve(self, account: Account, reservation: Reservation, *, job_id: str) -> bool:
        """Enter a reservation, if the account still is as it was read; False: read it and judge again."""
        entry = {
            "key": reservation.key,
            "job_id": job_id,
            "minutes": reservation.minutes,
            "credit": reservation.credit,
            "at": self._now(),
        }
        query = {
            "account_id": account.account_id,
            "ledger_revision": account.document.get("ledger_revision"),
            "open_dials.key": {"$ne": reservation.key},
        }
        change = {
            "$push": {"open_dials": entry},
            "$inc": {
                "minutes_reserved": reservation.minutes,
                "credit_reserved": reservation.credit,
                "ledger_revision": 1,
            },
        }
        return self.table.update(query, change)

    def settle(
        self, account_id: str, key: str, *, minutes: float, credit: float, calls: int, day: str
    ) -> bool:
        """Close a dial's reservation and charge what it cost; False where that is done already.

        Args:
            account_id: whose account.
            key: the dial's key.
            minutes: to charge on a minutes plan.
            credit: to charge on a credit plan, in currency units.
            calls: 1 where the call counts as placed today, else 0.
            day: ``YYYY-MM-DD`` in the account's zone on which it was placed; a new day counts anew.
        """
        while True:
            account = self.find(account_id)
            held = None if account is None else _held(account, key)
            if account is None or held is None:
                return False
            query = {
                "account_id": account_id,
                "open_dials.key": key,
                "calls_today": account.document.get("calls_today"),
                "calls_today_date": account.document.get("calls_today_date"),
            }
            change: Document = {
                "$pull": {"open_dials": {"key": key}},
                "$inc": {
                    "minutes_reserved": -held.minutes,
                    "credit_reserved": -held.credit,
                    "minutes_used": minutes,
                    "credit_used": credit,
                    "ledger_revision": 1,
                },
            }
            if calls:
                # A call of yesterday that is settled today does not count among today's.
                counted = account.calls_today_date or day
                fresh = day > counted
                if day >= counted:
                    count = calls if fresh else account.calls_today + calls
                    change["$set"] = {"calls_today": count, "calls_today_date": day}
            if self.table.update(query, change):
                return True

    def old_reservations(self, before: datetime) -> list[tuple[str, str]]:
        """Accounts and dial keys of reservations that were entered before that moment."""
        rows = self.table.find({"open_dials.at": {"$lt": before}}, fields=("account_id", "open_dials"))
        return [(str(row.get("account_id")), key) for row in rows for key in keys_before(row, before)]


def _held(account: Account, key: str) -> Reservation | None:
    return next((entry for entry in account.reservations if entry.key == key), None)
