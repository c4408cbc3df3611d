"""The ledger of people: an entry for each dial, by which caps count over batches and hosts.

There are none until packs are in force: whoever names no purpose pays nothing for it.

An entry is announced before the last look at those of others, so that of two dials at the same time the one
that is acknowledged second sees the first. It is open until the decision about its dial stands; then it is
closed, or void where no call was placed, by a write that does not ask whether it is there: a worker that was
frozen before it announced finds it, and goes no further. Entries hold facts; what counts is for
``compliance.caps``.

Documents: ``{_id: dial key, keys, account, debt, purpose, job, at, expires_at, open, void, outcome,
connected, message_left, assumed}``. ``keys`` are ids and lines as ``campaign.people`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.compliance.caps import LedgerEntry
from speechaid.model.reading import Document, instant, sequence, text, yes_or_no
from speechaid.model.states import Outcome, Purpose
from speechaid.store.table import Duplicate, Table

#: The beginnings of keys.
ID: Final = "id:"
LINE: Final = "line:"
#: An entry is kept for so many days beyond the longest span of the packs in force when it was written.
KEPT_BEYOND_DAYS: Final = 33
#: A void one for so many days: a late announcement finds it.
VOID_KEPT_DAYS: Final = 2


class Ledger:
    """The entries of all people."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def announce(self, key: str, facts: Document, *, job: Any) -> bool:
        """Enter a dial, before the last look; repeating it changes nothing.

        Args:
            key: of the dial.
            facts: of the dial (``model.job.Dial.calling_rule``).
            job: the ``_id`` of its job.

        Returns:
            False where the dial was settled meanwhile, or belongs to another job: it must not be placed.
        """
        now = self._now()
        row = {"_id": key, **_facts(facts), "job": job, "at": now, "expires_at": _kept_until(now, facts)}
        try:
            self.table.insert({**row, "open": True})
        except Duplicate:
            found = self.table.find_one({"_id": key})
            # The ``_id`` of a job that was stored again after another program deleted it is the dial key.
            return found is not None and found.get("open") is True and found.get("job") in (job, key)
        return True

    def enter_open(self, key: str, facts: Document, *, job: Any, at: datetime) -> None:
        """Enter a call that is under way, unless it is entered."""
        self._enter(key, {**_facts(facts), "job": job, "at": at, "open": True}, facts)

    def enter_closed(self, key: str, facts: Document, *, at: datetime, end: Document) -> None:
        """Enter a call that has ended, unless it is entered."""
        self._enter(key, {**_facts(facts), "at": at, "open": False, **end}, facts)

    def settle(self, key: str, facts: Document, *, at: datetime, end: Document) -> None:
        """Close an entry, or make it void; where there is none yet, it is entered so.

        Args:
            key: of the dial.
            facts: of the dial.
            at: of its intent; the time of an entry that is there stays.
            end: ``void``, else ``outcome``, ``connected`` and ``message_left``.
        """
        is_void = end.get("void") is True
        until = self._now() + timedelta(days=VOID_KEPT_DAYS) if is_void else _kept_until(at, facts)
        self.table.update(
            {"_id": key},
            {
                "$set": {**_facts(facts), **end, "open": False, "expires_at": until},
                "$setOnInsert": {"at": at},
            },
            upsert=True,
        )

    def close_open(self, key: str, *, end: Document) -> bool:
        """Close an entry whose dial is gone, where it is still open."""
        return self.table.update({"_id": key, "open": True}, {"$set": {**end, "open": False}})

    def of_people(self, keys: Collection[str]) -> list[LedgerEntry]:
        """The entries of these ids and lines in every account, void ones left out."""
        if not keys:
            return []
        rows = self.table.find({"keys": {"$in": sorted(keys)}})
        return [read_entry(row, self._now()) for row in rows if row.get("void") is not True]

    def open_since(self, before: datetime, limit: int) -> list[Document]:
        """At most so many open entries that were announced before a time, the oldest first."""
        return self.table.find({"open": True, "at": {"$lt": before}}, sort=[("at", 1)], limit=limit)

    def _enter(self, key: str, row: Document, facts: Document) -> None:
        until = _kept_until(row["at"], facts)
        self.table.update({"_id": key}, {"$setOnInsert": {**row, "expires_at": until}}, upsert=True)


def read_entry(row: Document, now: datetime) -> LedgerEntry:
    """An entry as caps count it; what cannot be read counts, and as if it had been now."""
    keys = [key for key in map(text, sequence(row.get("keys"))) if key is not None]
    purpose, outcome = text(row.get("purpose")), text(row.get("outcome"))
    is_open = yes_or_no(row.get("open"))
    return LedgerEntry(
        key=str(row.get("_id")),
        ids=frozenset(key for key in keys if key.startswith(ID)),
        numbers=frozenset(key.removeprefix(LINE) for key in keys if key.startswith(LINE)),
        account=text(row.get("account")),
        debt=text(row.get("debt")),
        purpose=Purpose(purpose) if purpose in set(Purpose) else None,
        at=instant(row.get("at")) or now,
        open=is_open is not False,
        void=row.get("void") is True,
        outcome=Outcome(outcome) if outcome in set(Outcome) else None,
        connected=yes_or_no(row.get("connected")),
        message_left=yes_or_no(row.get("message_left")),
    )


def _facts(facts: Document) -> Document:
    """What is known of a dial from its intent on."""
    return {name: facts.get(name) for name in ("keys", "account", "debt", "purpose")}


def _kept_until(at: datetime, facts: Document) -> datetime:
    days = facts.get("kept_days")
    return at + timedelta(days=days if isinstance(days, int) else 7 + KEPT_BEYOND_DAYS)
