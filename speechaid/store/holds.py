"""Holds on dialling: an operator's holds, and the circuit breaker of each API key.

What cannot be read holds: a global hold whose ``on`` is neither yes nor no, and a breaker of unknown state.

Documents: ``{_id: "fleet", on, reason, by, at}``; ``{_id: "batches", …}``, of the same form, while a pause of
all batches is written into one batch after the other; ``{_id: "level", needs, why, by, at}``, what a daemon
must heed to dial; ``{_id: "key:<fingerprint>", revision, …breaker}``. A breaker belongs to the API key, not
to a host: one host's wrong key does not stop the others. ``{_id: "tests", until}`` holds nothing: until then
there may be test calls to place. ``{_id: "packs", …}`` holds nothing either: the calling rules in force
(``store.packs``). Both stand here because every worker reads these before it looks for a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from speechaid.model.levels import ADDED, Level, reason_too_old
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document, instant, number, shown, text, whole, yes_or_no
from speechaid.protocol.translation import say
from speechaid.store.packs import IN_FORCE, NOT_READ, PacksInForce, read_packs_in_force
from speechaid.store.table import Duplicate, Table, as_stored

#: The ``_id`` of the global hold, as it is stored.
FLEET = "fleet"
#: The ``_id`` of the hold on all jobs of batches.
BATCHES = "batches"
#: The ``_id`` of the level that a daemon must have to dial.
LEVEL = "level"
#: The ``_id`` of the time until which tests may wait.
TESTS_WAIT = "tests"


@dataclass(frozen=True, kw_only=True)
class GlobalHold:
    """An operator's hold on every host: of all jobs, or of all jobs that belong to a batch."""

    reason: str | None
    by: str | None
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class HoldsReading:
    """Everything that holds dials with one API key, read in one query."""

    hold: GlobalHold | None
    #: On the jobs of all batches.
    batches_hold: GlobalHold | None
    #: Why this daemon may not dial in this database, since it is too old; None: it may.
    too_old: str | None
    #: The circuit breaker's document.
    breaker: Document | None
    #: Until when test calls may wait for a worker; None: there was none yet.
    tests_until: datetime | None = None
    #: The calling rules that are in force.
    packs: PacksInForce = NOT_READ

    @classmethod
    def of(cls, rows: Iterable[Document], fingerprint: str) -> Self:
        """From the documents of the collection."""
        found = {row["_id"]: row for row in rows}
        return cls(
            hold=read_global_hold(found.get(FLEET)),
            batches_hold=read_global_hold(found.get(BATCHES)),
            too_old=read_too_old(found.get(LEVEL)),
            breaker=found.get(key_of(fingerprint)),
            tests_until=instant(found.get(TESTS_WAIT, {}).get("until")),
            packs=read_packs_in_force(found.get(IN_FORCE)),
        )


class Holds:
    """The holds collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def find_hold(self) -> GlobalHold | None:
        """Find the global hold; None where there is none."""
        return read_global_hold(self.table.find_one({"_id": FLEET}))

    def hold(self, *, by: str, reason: str | None) -> None:
        """Hold every new dial of every host."""
        fields = {"on": True, "by": by, "reason": reason, "at": self._now()}
        self.table.update({"_id": FLEET}, {"$set": fields}, upsert=True)

    def unhold(self, *, by: str) -> bool:
        """Lift the global hold; return whether there was one."""
        if self.find_hold() is None:
            return False
        return self.table.update({"_id": FLEET}, {"$set": {"on": False, "lifted_by": by}})

    def hold_batches(self, token: str, *, by: str, reason: str | None) -> None:
        """Hold every new dial of every batch, until ``release_batches`` with this token, or with none."""
        fields = {"on": True, "by": by, "reason": reason, "at": self._now(), "token": token}
        self.table.update({"_id": BATCHES}, {"$set": fields}, upsert=True)

    def release_batches(self, token: str | None = None) -> bool:
        """Lift the hold of all batches; with a token only if it is that one's. Whether there was one."""
        query = {"_id": BATCHES, "on": True, **({} if token is None else {"token": token})}
        return self.table.update(query, {"$set": {"on": False}})

    def require_level(self, level: Level, *, by: str) -> None:
        """Require this level of every daemon, before the first document that an older one would not heed.

        A level is never lowered: what was written stays.

        Args:
            level: the least one.
            by: who caused it.
        """
        found = needed_level(self.table.find_one({"_id": LEVEL}))
        if found is None or found >= level:
            # One that cannot be read forbids every dial already.
            return
        fields = {"needs": int(level), "why": ADDED[level], "by": by, "at": self._now()}
        # Where another host requires a higher one at this moment, the upsert finds the _id taken.
        with suppress(Duplicate):
            self.table.update({"_id": LEVEL, "needs": {"$lt": int(level)}}, {"$set": fields}, upsert=True)

    def note_tests(self, until: datetime) -> None:
        """Have workers look for test calls until then."""
        self.table.update({"_id": TESTS_WAIT}, {"$max": {"until": until}}, upsert=True)

    def read(self, fingerprint: str) -> HoldsReading:
        """Read all holds that concern an API key, in one query."""
        return HoldsReading.of(self.table.find({"_id": {"$in": ids_for(fingerprint)}}), fingerprint)

    def breakers(self) -> list[Document]:
        """Find all breaker documents; ``_id`` is ``key:<fingerprint>``."""
        return [row for row in self.table.find({}) if str(row["_id"]).startswith("key:")]

    def write_breaker(self, fingerprint: str, fields: Document, *, expected_revision: object) -> bool:
        """Write a breaker; False where its revision is not as expected: read it again.

        Args:
            fingerprint: of the API key.
            fields: the breaker.
            expected_revision: as read, of any type; 0: the document had none; None: there was no document.
        """
        if expected_revision is None:
            try:
                self.table.insert({"_id": key_of(fingerprint), **fields, "revision": 1})
            except Duplicate:
                return False
            return True
        revision = {"$in": [None, 0, False]} if expected_revision == 0 else as_stored(expected_revision)
        query = {"_id": key_of(fingerprint), "revision": revision}
        return self.table.update(query, {"$set": {**fields, "revision": whole(expected_revision) + 1}})


def read_global_hold(document: Document | None) -> GlobalHold | None:
    """The global hold in a document; None where it is off or missing.

    A document that does not say plainly that it is off holds.
    """
    if document is None or (on := yes_or_no(document.get("on"))) is False:
        return None
    unread = None if on else say("the stored hold cannot be read: on is {on}", on=shown(document.get("on")))
    return GlobalHold(
        # Written by an earlier version, or by another program, it may quote a number.
        reason=unread or mask_prose(text(document.get("reason")) or "") or None,
        by=text(document.get("by")),
        at=instant(document.get("at")),
    )


def needed_level(document: Document | None) -> int | None:
    """The level in a document: the first one where there is none, None where it cannot be read."""
    if document is None:
        return Level.FIRST
    found = number(document.get("needs"))
    return None if found is None or not found.is_integer() else int(found)


def read_too_old(document: Document | None) -> str | None:
    """Why this daemon may not dial, from the document of the level."""
    why = None if document is None else text(document.get("why"))
    return reason_too_old(needed_level(document), None if why is None else mask_prose(why))


def ids_for(fingerprint: str) -> list[str]:
    """The ``_id`` of everything that is read before a dial with an API key."""
    return [FLEET, BATCHES, LEVEL, TESTS_WAIT, IN_FORCE, key_of(fingerprint)]


def key_of(fingerprint: str) -> str:
    """The ``_id`` of a key's breaker."""
    return f"key:{fingerprint}"
