"""Accounts: the reservation entries of open dials, and what each dial cost in the end.

``open_dials`` holds one entry ``{key, job_id, minutes, credit, at}`` per dial; its amounts are also part of
``minutes_reserved`` and ``credit_reserved``, which SpeechAI's reports read. Pure rules evaluate a reservation
on an account as read; it is written only if that evaluation still holds: the changes since leave headroom for
it, or there were none (``ledger_revision``). Settling removes the entry and adds the charge in one update:
exactly once.

``top_ups`` holds what operators added to the balance, each under a key, from the update that adds it until
its transaction is recorded: so a top-up counts once, however often its command is repeated, and is not lost
where the daemon dies in between.

``given_back`` lists the jobs whose SpeechAI reservation has been subtracted from the account, until the job's
own document no longer has the amount.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from speechaid.model.account import Account, Plan, Reservation, TopUp
from speechaid.model.reading import Document, number, sequence, text
from speechaid.rules.metering import Headroom
from speechaid.store.edits import field_changes
from speechaid.store.ranges import StaleEntry, begins, is_countable, stale_entries, without_residue
from speechaid.store.table import Duplicate, Table, as_stored, ids_from_text

#: Amounts that are incremented; SpeechAI may have stored some as text, to which MongoDB cannot add.
COUNTED = ("minutes_reserved", "credit_reserved", "minutes_used", "credit_used", "ledger_revision")
#: What an account without a status counts as.
ACTIVE_STATUS = "active"
#: Lists that are pushed to; another program may have written anything else there.
LISTS = ("open_dials", "given_back", "top_ups")
#: Where an account keeps what was bought for it, by plan.
PURCHASED = {Plan.MINUTES: "minutes_purchased", Plan.CREDIT: "credit_balance"}


class Accounts:
    """The accounts collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def find(self, account_id: str) -> Account | None:
        """Find an account by its name; None where there is none."""
        document = self.table.find_one({"account_id": account_id})
        return None if document is None else Account.read(document)

    def zones(self) -> set[str]:
        """Every time zone of an account."""
        found = map(text, self.table.distinct("timezone"))
        return {zone for zone in found if zone is not None}

    def among(self, account_ids: list[str]) -> list[Account]:
        """Find those of the named accounts that exist."""
        return [Account.read(document) for document in self.table.find({"account_id": {"$in": account_ids}})]

    def find_by_prefix(self, prefix: str, limit: int) -> list[str]:
        """Names of accounts with this prefix."""
        rows = self.table.find(
            begins("account_id", prefix), sort=[("account_id", 1)], limit=limit, fields=("account_id",)
        )
        return [str(row["account_id"]) for row in rows]

    def page(self, limit: int, after: str | None = None) -> list[Account]:
        """Find accounts in the order of their ids, from the first one after ``after``."""
        query: Document = {} if after is None else {"account_id": {"$gt": after}}
        rows = self.table.find(query, sort=[("account_id", 1)], limit=limit)
        return [Account.read(document) for document in rows]

    def select(
        self,
        *,
        limit: int,
        skip: int = 0,
        after: str | None = None,
        status: str | None = None,
        plan: str | None = None,
    ) -> list[Account]:
        """Find accounts in the order of their ids.

        Args:
            limit: at most this many.
            skip: leave out so many first; each of them is read.
            after: only those after this id.
            status: only those whose status is written so.
            plan: only those of this plan.
        """
        query: Document = {} if after is None else {"account_id": {"$gt": after}}
        if status is not None:
            query["status"] = {"$in": [status, None]} if status == ACTIVE_STATUS else status
        if plan is not None:
            query["plan_type"] = plan
        rows = self.table.find(query, sort=[("account_id", 1)], limit=skip + limit)
        return [Account.read(row) for row in rows[skip:]]

    def find_by_any_id(self, name: str) -> Account | None:
        """Find an account by its ``account_id``, else by its ``_id`` as text; None where there is none."""
        document = self.table.find_one({"account_id": name}) or self.table.find_one(
            {"_id": {"$in": ids_from_text(name)}}
        )
        return None if document is None else Account.read(document)

    def create(self, account_id: str, fields: Document, *, by: str) -> bool:
        """Make an account; False where there is one of this id."""
        if self.find(account_id) is not None:
            return False
        now = self._now()
        # Ids of SpeechAI's accounts are not unique in the database; of two creations at once one fails here.
        document = {"_id": account_id, "account_id": account_id, "status": "active", **fields}
        try:
            self.table.insert({**document, "created_at": now, "created_by": by, "updated_at": now})
        except Duplicate:
            return False
        return True

    def write_settings(self, account: Account, changes: Mapping[str, object], *, by: str) -> bool:
        """Change single fields, and no other; False where one of them is not as read any more.

        Args:
            account: as read.
            changes: by field, the new value; None removes the field.
            by: the operator.
        """
        as_read, change = field_changes(account.document, changes, by=by, now=self._now())
        if "status" in changes:
            change["$set"]["status_order"] = {"by": by, "status": changes["status"], "at": self._now()}
        return self.table.update({"account_id": account.account_id, **as_read}, change)

    def set_status(self, account: Account, status: str, order: Document) -> bool:
        """Change an account's status and record who, when and why; False where the status is not as read."""
        query = {"account_id": account.account_id, "status": account.document.get("status")}
        change = {"status": status, "status_order": {**order, "at": self._now()}, "updated_at": self._now()}
        return self.table.update(query, {"$set": change})

    def reserve(
        self,
        account: Account,
        reservation: Reservation,
        *,
        job_id: str,
        batch_id: str | None = None,
        headroom: Headroom | None = None,
    ) -> bool:
        """Add a reservation entry; False where the account changed too much: read and evaluate it again.

        Expected: no entry of this key, and the account within the headroom.

        Args:
            account: as it was read and evaluated.
            reservation: what the dial holds, under its key.
            job_id: the dial's job.
            batch_id: its batch, where that has no entry of the dial.
            headroom: how far the account may have changed since; None: not at all.
        """
        entry = {
            "key": reservation.key,
            "job_id": job_id,
            "minutes": reservation.minutes,
            "credit": reservation.credit,
            "at": self._now(),
            **({} if batch_id is None else {"batch_id": batch_id}),
        }
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "open_dials.key": {"$ne": reservation.key},
            **_still_valid(account, headroom),
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
        """Remove a dial's entry and charge what it cost; False where that is done already.

        Args:
            account_id: the account.
            key: the dial's key; expected among the entries.
            minutes: to charge on a minutes plan.
            credit: to charge on a credit plan, in currency units.
            calls: 1 where the call counts as placed that day, else 0.
            day: ``YYYY-MM-DD`` in the account's zone on which it was placed; a new day resets the count.
            as_read: the account as read before; saves a read where it is still current.
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
        """Settle with an account as read; False where it has no such entry, or its day has changed.

        The amounts under a key never change, so an older reading has them as well as a fresh one.
        """
        held = _held(account, key)
        if held is None:
            return False
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "open_dials.key": key,
            "calls_today_date": as_stored(account.document.get("calls_today_date")),
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
            # A call of yesterday that is settled today does not count as one of today.
            stored = account.document.get("calls_today")
            counted = account.calls_today_date or day
            if day > counted or (day == counted and not is_countable(stored)):
                query["calls_today"] = as_stored(stored)
                count = calls if day > counted else account.calls_today + calls
                unread = _unread("calls_today", stored)
                change["$set"] = {"calls_today": count, "calls_today_date": day, **unread}
            elif day == counted:
                change["$inc"]["calls_today"] = calls
                change["$set"] = {"calls_today_date": day}
        return self.table.update(query, change)

    # -- top-ups ------------------------------------------------------------------------------------------

    def top_up(self, account: Account, top_up: TopUp) -> bool:
        """Change what was purchased, and keep the top-up with it; False where the account is not as read.

        Expected: what was purchased and ``top_up_revision`` as read. Whoever finds no record of this key in
        ``transactions`` after it has read the account may therefore add it: had it been added and recorded
        meanwhile, the revision would be another one.

        Args:
            account: as read, on a minutes or a credit plan.
            top_up: with ``before`` as read, and ``after``.
        """
        assert account.plan in PURCHASED  # noqa: S101
        name, document = PURCHASED[account.plan], account.document
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "plan_type": as_stored(document.get("plan_type")),
            name: as_stored(document.get(name)),
            "top_up_revision": as_stored(document.get("top_up_revision")),
            "top_ups.key": {"$ne": top_up.key},
        }
        change = {
            "$push": {"top_ups": top_up.document()},
            "$inc": {"top_up_revision": 1},
            "$set": {name: top_up.after, "updated_at": self._now()},
        }
        return self.table.update(query, change)

    def end_top_up(self, account_id: str, key: str) -> None:
        """Remove a top-up from the account, once its transaction is recorded."""
        self.table.update(
            {"account_id": account_id, "top_ups.key": key},
            {"$pull": {"top_ups": {"key": key}}, "$inc": {"top_up_revision": 1}},
        )

    def with_open_top_ups(self) -> list[Account]:
        """Find the accounts with a top-up whose transaction may not be recorded."""
        return [Account.read(document) for document in self.table.find({"top_ups.0": {"$exists": True}})]

    # -- SpeechAI's reservations -------------------------------------------------------------------------

    def release_legacy_reservation(
        self, account: Account, job_id: str, *, minutes: float, credit: float
    ) -> bool:
        """Subtract a job's SpeechAI reservation from the account and mark it as released.

        True also where it is marked already. False where the account's ``ledger_revision`` has changed: read
        the account and then the job again.
        """
        if has_release_mark(account, job_id):
            return True
        self._make_countable(account)
        query = {
            "account_id": account.account_id,
            "ledger_revision": as_stored(account.document.get("ledger_revision")),
            "given_back": {"$ne": job_id},
        }
        change = {
            "$push": {"given_back": job_id},
            "$inc": {"minutes_reserved": -minutes, "credit_reserved": -credit, "ledger_revision": 1},
        }
        return self.table.update(query, change)

    def clear_release_mark(self, account_id: str, job_id: str) -> None:
        """Remove the mark, once the job's document no longer has the amount."""
        self.table.update(
            {"account_id": account_id, "given_back": job_id},
            {"$pull": {"given_back": job_id}, "$inc": {"ledger_revision": 1}},
        )

    def _make_countable(self, account: Account) -> None:
        """Turn amounts into numbers without binary residue, and what should be a list into one."""
        for name in LISTS:
            value = account.document.get(name, [])
            if not isinstance(value, list):
                query = {"account_id": account.account_id, name: as_stored(value)}
                self.table.update(query, {"$set": {name: []}})
        for name in COUNTED:
            value = account.document.get(name, 0)
            countable = without_residue(value)
            if countable is not None:
                query = {"account_id": account.account_id, name: as_stored(value)}
                self.table.update(query, {"$set": {name: countable, **_unread(name, value)}})

    def stale_reservations(self, before: datetime) -> list[StaleEntry]:
        """The entries made before that time."""
        rows = self.table.find({"open_dials.at": {"$lt": before}}, fields=("account_id", "open_dials"))
        return [entry for row in rows for entry in stale_entries(row, str(row.get("account_id")), before)]


def _unread(name: str, value: object) -> Document:
    """The field that keeps an amount which is replaced because it cannot be read.

    A call that is under way is charged all the same; without this trace the account would then count as
    understood. ``Account.faults`` names it.
    """
    return {} if value is None or number(value) is not None else {f"not_understood.{name}": value}


def _still_valid(account: Account, headroom: Headroom | None) -> Document:
    """The filter under which an evaluation of the account still holds."""
    if headroom is None:
        return {"ledger_revision": as_stored(account.document.get("ledger_revision"))}
    # Also true of a missing field.
    query: Document = {name: {"$not": {"$gt": value}} for name, value in headroom.at_most.items()}
    if headroom.open_dials is not None:
        query[f"open_dials.{headroom.open_dials}"] = {"$exists": False}
    if headroom.day is not None:
        query["calls_today_date"] = headroom.day
    return query


def _held(account: Account, key: str) -> Reservation | None:
    return next((entry for entry in account.reservations if entry.key == key), None)


def has_release_mark(account: Account, job_id: str) -> bool:
    """Whether the account marks this job's SpeechAI reservation as released."""
    return job_id in sequence(account.document.get("given_back"))
