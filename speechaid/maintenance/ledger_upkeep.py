"""Keep the ledger whole: enter calls that were placed under no pack, and close entries whose dial is gone.

Earlier calls are entered once on request: when the first batch gets a purpose, when another one gets one
(other programs may have called), and when a pack changes. Until then capped batches wait. From the first
purpose on every dial of ours is entered, whatever its batch is for.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from speechaid.campaign.people import person_keys
from speechaid.model.reading import Document, instant, mapping, text, yes_or_no
from speechaid.model.states import Outcome
from speechaid.model.test_calls import TESTS
from speechaid.store.connection import Store

#: Results that are read at once.
PORTION: Final = 500
#: Open entries that one pass looks at.
CHECKED_AT_ONCE: Final = 200
#: An open entry is looked at this long after it was announced: before, its dial is being placed.
CHECKED_AFTER: Final = timedelta(minutes=10)
#: An entry without dial and result is taken for an attempt after this: Retell's key, the longest ringing and
#: the longest call are over.
ASSUMED_AFTER: Final = timedelta(hours=4)


class LedgerUpkeep:
    """Walks over results while a request is open, and over open entries."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: The request that is being served, and how far.
        self._fill: str | None = None
        self._from: datetime | None = None
        self._seen: set[Any] = set()
        self.has_more = False

    def fill_portion(self) -> int:
        """Enter some calls that the ledger does not have, if that is requested; return how many were read."""
        self.has_more = False
        in_force = self._store.packs.in_force()
        if in_force.fault is not None or in_force.is_ready:
            return 0
        if self._from is None or self._fill != in_force.fill:
            self._fill, self._seen = in_force.fill, set()
            self._from = self._store.now() - timedelta(days=in_force.span_days + 1)
            # First, since their results may be recorded meanwhile.
            self._enter_open_dials()
        rows = self._store.results.recorded_since(self._from, PORTION + len(self._seen))
        new = [row for row in rows if str(row["_id"]) not in self._seen]
        for row in new:
            self._enter(row)
        if new:
            last = instant(new[-1].get("created_at")) or self._from
            if last != self._from:
                self._seen = set()
            self._from = last
            self._seen |= {str(row["_id"]) for row in rows if instant(row.get("created_at")) == last}
            self.has_more = True
        elif self._store.packs.note_filled(self._fill):
            self._from = None
        return len(new)

    def close_lost(self) -> int:
        """Close open entries whose dial no job has any more; return how many."""
        store, now = self._store, self._store.now()
        closed = 0
        for row in store.ledger.open_since(now - CHECKED_AFTER, CHECKED_AT_ONCE):
            key, at = str(row["_id"]), instant(row.get("at"))
            if store.jobs.has_dial(key):
                continue
            result = store.results.of_dial(key)
            if result is not None:
                closed += store.ledger.close_open(key, end=_end_of(result))
            elif at is None or now - at > ASSUMED_AFTER:
                attempt: Document = {"assumed": True, "outcome": None, "connected": None}
                closed += store.ledger.close_open(key, end=attempt)
        return closed

    def _enter_open_dials(self) -> None:
        for job in self._store.jobs.dials_without_rule():
            dial = job.dial
            if dial is None or job.test is not None:
                continue
            keys = person_keys(job.contact.dni, [dial.number])
            facts: Document = {"keys": keys, "account": dial.account_id, "debt": None, "purpose": None}
            self._store.ledger.enter_open(dial.key, facts, job=job.id, at=dial.intent_at)

    def _enter(self, row: Document) -> None:
        contact = mapping(row.get("contact"))
        number = text(contact.get("phone_used"))
        key = text(row.get("dial_key")) or f"call:{text(row.get('call_id'))}"
        at = instant(row.get("placed_at")) or instant(row.get("created_at"))
        keys = person_keys(text(contact.get("dni")), [] if number is None else [number])
        if at is None or not keys or row.get("batch_id") == TESTS:
            return
        facts: Document = {"keys": keys, "account": text(row.get("account_id")), "debt": None}
        self._store.ledger.enter_closed(key, {**facts, "purpose": None}, at=at, end=_end_of(row))


def _end_of(result: Document) -> Document:
    """How a recorded call counts; of another program's only the success is known."""
    outcome = text(result.get("outcome"))
    if outcome not in set(Outcome):
        outcome = str(Outcome.ANSWERED) if result.get("is_successful") is True else None
    return {"void": False, "outcome": outcome, "connected": yes_or_no(result.get("connected"))}
