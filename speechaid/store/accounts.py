"""Accounts: what an open dial holds of a balance, and what it cost in the end.

``open_dials`` holds one entry ``{key, job_id, minutes, credit, at}`` a dial; its amounts stand in
``minutes_reserved`` and ``credit_reserved`` as well, where SpeechAI's reports look. A reservation is judged
by the pure rules on an account as read, and written only if that judgement stands: what others reserved and
settled since leaves room for it, or nobody did (``ledger_revision``). Settling consumes the entry and adds
the charge in one update: exactly once.

``given_back`` names the jobs whose SpeechAI reservation has just been taken out of the account's figure,
until the job itself no longer says that it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from speechaid.model.account import Account, Reservation
from speechaid.model.reading import Document, number, sequence, text
from speechaid.rules.metering import Headroom
from speechaid.store.ranges import begins, is_countable, keys_before
from speechaid.store.table import Table

#: What we count on or off; SpeechAI may have written some as text, and MongoDB adds nothing to a text.
COUNTED = ("minutes_reserved", "credit_reserved", "minutes_used", "credit_used")


class Accounts:
    """The accounts collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def find(self, account_id: str) -> Account | None:
        """An account by its name, or None."""
        document = self.table.find_one({"account_id": account_id})
        return None if document is None else Account.read(document)

    def zones(self) -> set[str]:
        """Every time zone that an account names."""
        found = map(text, self.table.distinct("timezone"))
        return {zone for zone in found if zone is not None}

    def among(self, account_ids: list[str]) -> list[Account]:
        """Those of the named accounts that exist."""
        return [Account.read(document) for document in self.table.find({"account_id": {"$in": account_ids}})]

    def find_by_prefix(self, prefix: str, limit: int) -> list[str]:
        """Names of accounts that begin so."""
        rows = self.table.find(begins("account_id", prefix), limit=limit, fields=("account_id",))
        return [str(row["account_id"]) for row in rows]

    def set_status(self, account: Account, status: str, order: Document) -> bool:
        """Change an account's status, if it still is as it was read; who, when and why stand beside it."""
        query = {"account_id": account.account_id, "status": account.document.get("status")}
        change = {"status": status, "status_order": {**order, "at": self._now()}, "updated_at": self._now()}
        return self.table.update(query, {"$set": change})

    def reserve(
        self, account: Account, reservation: Reservation, *, job_id: str, headroom: Headroom | None = None
    ) -> bool:
        """Enter a reservation, if the account still allows it; False: read it and judge again.

        Args:
            account: as it was read and judged.
            reservation: what the dial holds, under its key.
            job_id: whose dial it is.
            headroom: how far it may have moved since; None: not at all.
        """
        entry = {
            "key": reservation.key,
            "job_id": job_id,
            "minutes": reservation.minutes,
            "credit": reservation.credit,
            "at": self._now(),
        }
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "open_dials.key": {"$ne": reservation.key},
            **_as_judged(account, headroom),
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
        self,
        account_id: str,
        key: str,
        *,
        minutes: float,
        credit: float,
        calls: int,
        day: str,
        as_read: Account | None = None,
    ) -> bool:
        """Close a dial's reservation and charge what it cost; False where that is done already.

        Args:
            account_id: whose account.
            key: the dial's key.
            minutes: to charge on a minutes plan.
            credit: to charge on a credit plan, in currency units.
            calls: 1 where the call counts as placed today, else 0.
            day: ``YYYY-MM-DD`` in the account's zone on which it was placed; a new day counts anew.
            as_read: the account as read before; spares a read where it still serves.
        """
        if as_read is not None and self._charge(
            as_read, key, minutes=minutes, credit=credit, calls=calls, day=day
        ):
            return True
        while (account := self.find(account_id)) is not None and _held(account, key) is not None:
            if self._charge(account, key, minutes=minutes, credit=credit, calls=calls, day=day):
                return True
        return False

    def _charge(
        self, account: Account, key: str, *, minutes: float, credit: float, calls: int, day: str
    ) -> bool:
        """Close and charge by an account as read; False where it holds no such dial, or its day has changed.

        What a dial holds never changes under its key, so an older reading tells it as well as a fresh one.
        """
        held = _held(account, key)
        if held is None:
            return False
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "open_dials.key": key,
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
            stored = account.document.get("calls_today")
            counted = account.calls_today_date or day
            if day > counted or (day == counted and not is_countable(stored)):
                query["calls_today"] = stored
                count = calls if day > counted else account.calls_today + calls
                change["$set"] = {"calls_today": count, "calls_today_date": day}
            elif day == counted:
                change["$inc"]["calls_today"] = calls
                change["$set"] = {"calls_today_date": day}
        return self.table.update(query, change)

    # -- what SpeechAI reserved --------------------------------------------------------------------------

    def release_legacy_reservation(
        self, account: Account, job_id: str, *, minutes: float, credit: float
    ) -> bool:
        """Take a job's SpeechAI reservation out of the account's figure, and mark that it is.

        Also true where it is marked already. False where the account has changed since it was read: read it
        and the job again, in this order.
        """
        if has_release_mark(account, job_id):
            return True
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "ledger_revision": account.document.get("ledger_revision"),
            "given_back": {"$ne": job_id},
        }
        change = {
            "$push": {"given_back": job_id},
            "$inc": {"minutes_reserved": -minutes, "credit_reserved": -credit, "ledger_revision": 1},
        }
        return self.table.update(query, change)

    def clear_release_mark(self, account_id: str, job_id: str) -> None:
        """The job no longer says that it has a reservation: the mark has served."""
        self.table.update(
            {"account_id": account_id, "given_back": job_id},
            {"$pull": {"given_back": job_id}, "$inc": {"ledger_revision": 1}},
        )

    def _make_countable(self, account: Account) -> None:
        """Write amounts that stand there as text, or as nothing, as the numbers that they are read as."""
        for name in COUNTED:
            value = account.document.get(name, 0)
            if not is_countable(value):
                query = {"account_id": account.account_id, name: value}
                self.table.update(query, {"$set": {name: number(value) or 0.0}})

    def stale_reservations(self, before: datetime) -> list[tuple[str, str]]:
        """Accounts and dial keys of reservations that were entered before that moment."""
        rows = self.table.find({"open_dials.at": {"$lt": before}}, fields=("account_id", "open_dials"))
        return [(str(row.get("account_id")), key) for row in rows for key in keys_before(row, before)]


def _as_judged(account: Account, headroom: Headroom | None) -> Document:
    """What must hold of an account for a judgement of it to stand."""
    if headroom is None:
        return {"ledger_revision": account.document.get("ledger_revision")}
    # Also true of what nobody has written yet.
    query: Document = {name: {"$not": {"$gt": value}} for name, value in headroom.at_most.items()}
    if headroom.open_dials is not None:
        query[f"open_dials.{headroom.open_dials}"] = {"$exists": False}
    if headroom.day is not None:
        query["calls_today_date"] = headroom.day
    return query


def _held(account: Account, key: str) -> Reservation | None:
    return next((entry for entry in account.reservations if entry.key == key), None)


def has_release_mark(account: Account, job_id: str) -> bool:
    """Whether the account's mark stands that this job's SpeechAI reservation is given back."""
    return job_id in sequence(account.document.get("given_back"))
