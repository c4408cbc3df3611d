"""Whose turn it is: the ring of batches with due jobs that may be called now, and the claim of the next job.

The ring is read anew every second or so (rarer where reading it is dear), candidates are kept for a moment,
so that a claim costs about one write. What the ring says may be stale by then; the look right before the dial
is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from speechaid import breaker
from speechaid.kit import Kit
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.states import Priority
from speechaid.rules import eligibility, sharing
from speechaid.rules.sharing import Turn
from speechaid.store.jobs import Candidate

#: The ring is read anew after so many seconds, or so many times what reading it took, whichever is longer.
RING_SECONDS = 1.0
RING_COST_FACTOR = 20.0
RING_MAX_SECONDS = 30.0
#: Candidates of one batch are good for so long, and a look fetches so many.
CANDIDATES_SECONDS = 1.0
CANDIDATES = 32


@dataclass
class Fetched:
    """Candidates of one batch, kept for a moment."""

    until: float
    candidates: list[Candidate] = field(default_factory=list)


class Turns:
    """One worker's view of whose turn it is."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._ring: list[Turn] = []
        self._ring_until = 0.0
        self._served: dict[str | None, int] = {}
        self._serving = 0
        self._fetched: dict[str | None, Fetched] = {}

    def claim(self) -> Job | None:
        """Claim the next job, by priority, fairness and due time; None where nothing is due.

        Raises:
            StoreUnavailable: the database is away.
        """
        self._refresh()
        for turn in sharing.order(self._ring, self._served):
            job = self._claim_from(turn)
            if job is not None:
                self._serving += 1
                self._served[turn.batch_id] = self._serving
                return job
        return None

    def _claim_from(self, turn: Turn) -> Job | None:
        kit = self._kit
        fetched = self._candidates(turn.batch_id)
        while fetched.candidates:
            candidate = fetched.candidates.pop()
            job = kit.store.jobs.claim(
                candidate,
                worker_id=kit.worker_id,
                token=kit.new_token(),
                lease_seconds=kit.settings.worker.lease_seconds,
            )
            if job is not None:
                return job
            kit.seat.count("speechaid_claim_misses_total")
        return None

    def _candidates(self, batch_id: str | None) -> Fetched:
        kit = self._kit
        now = kit.clock.boottime()
        fetched = self._fetched.get(batch_id)
        if fetched is None or now >= fetched.until:
            candidates = kit.store.jobs.candidates(batch_id, CANDIDATES)
            # All workers see the same list: each takes the longest due of a random few first.
            kit.random.shuffle(candidates)
            fetched = self._fetched[batch_id] = Fetched(until=now + CANDIDATES_SECONDS, candidates=candidates)
        return fetched

    def _refresh(self) -> None:
        kit = self._kit
        began = kit.clock.boottime()
        if began < self._ring_until:
            return
        self._ring = self._read()
        cost = kit.clock.boottime() - began
        rest = min(RING_MAX_SECONDS, max(RING_SECONDS, cost * RING_COST_FACTOR))
        self._ring_until = began + rest * (0.75 + kit.random.random() / 2)
        known = {turn.batch_id for turn in self._ring}
        self._served = {name: turn for name, turn in self._served.items() if name in known}
        self._fetched = {name: fetched for name, fetched in self._fetched.items() if name in known}

    def _read(self) -> list[Turn]:
        """Batches with jobs due now that may be called now, and the jobs without a batch."""
        kit = self._kit
        fleet, breaker_document = kit.store.holds.look(kit.retell.fingerprint)
        if fleet is not None or breaker.holds(kit, breaker_document):
            return []
        now = kit.store.now()
        soon = now + timedelta(seconds=RING_SECONDS)
        due = [
            entry
            for entry in kit.store.jobs.due_batches()
            if entry.first_due_at is None or entry.first_due_at <= soon
        ]
        names = [entry.batch_id for entry in due if entry.batch_id is not None]
        batches = {batch.batch_id: batch for batch in kit.store.batches.among(names)} if names else {}
        accounts = self._accounts(batches.values())
        ring = []
        for entry in due:
            if entry.batch_id is None:
                if eligibility.batch_may_be_called(None, None, kit.dialling_defaults(), now):
                    ring.append(Turn(batch_id=None, priority=Priority.NORMAL, first_due=entry.first_due_at))
                continue
            batch = batches.get(entry.batch_id)
            if batch is not None and self._may_be_called(batch, accounts, now):
                ring.append(
                    Turn(batch_id=batch.batch_id, priority=batch.priority, first_due=entry.first_due_at)
                )
        return ring

    def _accounts(self, batches: Iterable[Batch]) -> dict[str, Account]:
        names = sorted({batch.account_id for batch in batches if batch.account_id is not None})
        return (
            {account.account_id: account for account in self._kit.store.accounts.among(names)}
            if names
            else {}
        )

    def _may_be_called(self, batch: Batch, accounts: dict[str, Account], now: datetime) -> bool:
        account = accounts.get(batch.account_id) if batch.account_id is not None else None
        zone = None if account is None else account.timezone
        return eligibility.batch_may_be_called(batch, zone, self._kit.dialling_defaults(), now)
