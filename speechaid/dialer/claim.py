"""Whose turn it is: the ring of batches with due jobs that may be called now, and the claim of the next job.

Three looks, each as often as it is worth. Which batches have due jobs inside their window is asked every
second or so (rarer where that is dear). What batches and accounts allow at this moment, places and balances,
is asked each second, and again right before a claim where places are few: a worker that claims what it must
put back turns in a circle. Candidates are kept for a moment, so that a claim costs about one write. All of it
may be stale by then; the look right before the dial is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from speechaid.dialer import circuit_breaker
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.due_batches import DueBatches
from speechaid.dialer.preflight import ClaimedJob, read_claimed_job
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.states import Priority
from speechaid.rules import eligibility, fair_share
from speechaid.rules.fair_share import EligibleBatch
from speechaid.store.jobs import Candidate
from speechaid.store.queue import DueBatch

#: What may be called is asked anew after so many seconds, or so many times what asking took, whichever is
#: longer.
RING_SECONDS = 1.0
RING_COST_FACTOR = 20.0
RING_MAX_SECONDS = 30.0
#: Candidates of one batch are good for so long at least: a claim finds out by itself what has changed.
CANDIDATES_SECONDS = 3.0
#: Where there were none, or none could be claimed, they are looked for again after so many seconds.
EMPTY_RETRY_SECONDS = 1.0
#: A look fetches so many; so many at most where others are after the same, or calls are short.
CANDIDATES, CANDIDATES_MOST = 32, 256
#: By so many times more each time.
CANDIDATES_GROWTH = 4
#: So many claims in a row that others were quicker at: look anew.
CROWDED_MISSES = 3
#: Where all that was found belongs to accounts that are closed, the rest of the batch is looked through again
#: after so many seconds, or when an account opens.
CLOSED_RETRY_SECONDS = 15.0
#: Looks for candidates in a row, each leaving out the accounts that the one before showed to be closed.
FETCHES = 3
#: Batches whose last turn is remembered; where more are due, each claim sees a page of them.
SERVED_REMEMBERED = 2000


@dataclass(kw_only=True)
class CandidateList:
    """Candidates of one batch, kept for a moment."""

    until: float
    #: Where none of them could be claimed, more are not fetched before this moment.
    empty_until: float
    #: So many were asked for.
    asked: int
    #: Accounts (None: jobs without one) that were left out.
    without: frozenset[str | None] = frozenset()
    candidates: list[Candidate] = field(default_factory=list)
    #: Whether there were no more than these.
    all: bool = True
    won: bool = False
    #: Claims in a row that others were quicker at.
    missed: int = 0

    def serves(self, now: float) -> bool:
        """Whether to go on with these."""
        if not self.candidates:
            return not self.won and now < self.empty_until
        return now < self.until and not self.is_crowded

    @property
    def is_crowded(self) -> bool:
        """Whether others are after the same ones, and a new look would show what they have left."""
        fewer_than_there_are = not self.all and self.asked < CANDIDATES_MOST
        return self.missed >= CROWDED_MISSES and (self.won or fewer_than_there_are)

    @property
    def next_size(self) -> int:
        """How many to ask for next: more where these went quickly, few where none was claimed."""
        if self.is_crowded or (self.won and not self.candidates):
            return min(CANDIDATES_MOST, self.asked * CANDIDATES_GROWTH)
        return self.asked if self.won else CANDIDATES


class JobClaimer:
    """One worker's view of whose turn it is."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._due_batches = DueBatches(context)
        self._due: list[DueBatch] = []
        self._due_until = 0.0
        self._ring: list[EligibleBatch] = []
        self._ring_until = 0.0
        self._batches: dict[str, Batch] = {}
        #: Accounts that each batch's jobs have been seen to have, and what they were when read last.
        self._seen: dict[str | None, set[str]] = {}
        self._accounts: dict[str, Account | None] = {}
        self._closed_now: dict[str | None, frozenset[str | None]] = {}
        self._served: dict[str | None, int] = {}
        self._serving = 0
        self._fetched: dict[str | None, CandidateList] = {}

    def claim(self) -> ClaimedJob | None:
        """Claim the next job, by priority, fairness and due time, and look at it; None where nothing is due.

        Raises:
            StoreUnavailable: the database is away.
        """
        self._refresh()
        for turn in fair_share.order(self._ring, self._served):
            claimed = self._claim_from(turn)
            if claimed is not None:
                self._serving += 1
                self._served[turn.batch_id] = self._serving
                return claimed
        return None

    def _claim_from(self, turn: EligibleBatch) -> ClaimedJob | None:
        context = self._context
        while (fetched := self._candidates(turn.batch_id)).candidates:
            candidate = fetched.candidates.pop()
            if not self._account_has_place(turn.batch_id, candidate.account_id):
                continue
            if not self._batch_has_place(turn.batch_id):
                return None
            token, lease = context.new_token(), context.settings.worker.lease_seconds
            if context.store.jobs.claim(
                candidate, worker_id=context.worker_id, token=token, lease_seconds=lease
            ):
                fetched.won, fetched.missed = True, 0
                return read_claimed_job(context, candidate, turn.batch_id, token)
            fetched.missed += 1
            context.link.count("speechaid_claim_misses_total")
        return None

    # -- candidates --------------------------------------------------------------------------------------

    def _candidates(self, batch_id: str | None) -> CandidateList:
        now = self._context.clock.boottime()
        fetched = self._fetched.get(batch_id)
        if fetched is None or not fetched.serves(now) or fetched.without != self._closed(batch_id):
            size = CANDIDATES if fetched is None else fetched.next_size
            fetched = self._fetched[batch_id] = self._fetch(batch_id, now, size)
        return fetched

    def _fetch(self, batch_id: str | None, now: float, size: int) -> CandidateList:
        context = self._context
        candidates: list[Candidate] = []
        everything = True
        closed = self._closed(batch_id)
        for _ in range(FETCHES):
            found = context.store.queue.candidates(batch_id, size, without=closed)
            self._note_accounts(batch_id, {name for one in found if (name := one.account_id) is not None})
            closed = self._closed(batch_id)
            candidates = [one for one in found if one.account_id not in closed]
            everything = len(found) < size
            if candidates or everything:
                break
        self._rotate(candidates)
        if not candidates:
            rest = CLOSED_RETRY_SECONDS if closed else EMPTY_RETRY_SECONDS
            return CandidateList(until=now + rest, empty_until=now + rest, asked=size, without=closed)
        # Where a fetch is dear (a server that reads all that waits for the few it gives), what it gave is
        # kept for longer.
        cost = (context.clock.boottime() - now) * RING_COST_FACTOR
        rest = min(RING_MAX_SECONDS, max(CANDIDATES_SECONDS, cost))
        return CandidateList(
            until=now + rest,
            empty_until=now + EMPTY_RETRY_SECONDS,
            asked=size,
            without=closed,
            candidates=candidates,
            all=everything,
        )

    def _rotate(self, candidates: list[Candidate]) -> None:
        """Lay them in a circle, the same for every worker, and begin somewhere.

        All workers see the same few, longest due. Going round from different places they meet only when all
        that lies between them is claimed; of a heap that each shuffles, half would be gone by then.
        """
        place = self._context.random.getrandbits(32)
        candidates.sort(key=lambda one: (crc32(str(one.id).encode()) - place) % 2**32, reverse=True)

    def _account_has_place(self, batch_id: str | None, account_id: str | None) -> bool:
        """Where the number of calls at a time is limited, look again before taking a job for nothing."""
        if account_id in self._closed(batch_id):
            return False
        account = self._accounts.get(account_id) if account_id is not None else None
        if account is None or account.max_concurrent_calls is None:
            return True
        self._accounts[account.account_id] = self._context.store.accounts.find(account.account_id)
        self._closed_now.clear()
        return account_id not in self._closed(batch_id)

    def _batch_has_place(self, batch_id: str | None) -> bool:
        """The same of a batch; one without a place is out of the ring until that is read anew."""
        batch = self._batches.get(batch_id) if batch_id is not None else None
        if batch is None or batch.call_settings.max_concurrent_calls is None:
            return True
        fresh = self._context.store.batches.find(batch.batch_id)
        if fresh is not None and eligibility.batch_has_room(fresh):
            return True
        self._ring = [turn for turn in self._ring if turn.batch_id != batch.batch_id]
        self._fetched.pop(batch.batch_id, None)
        return False

    # -- accounts ----------------------------------------------------------------------------------------

    def _closed(self, batch_id: str | None) -> frozenset[str | None]:
        """Accounts among those that were seen whose jobs in this batch may not be called now."""
        closed = self._closed_now.get(batch_id)
        if closed is None:
            names: set[str | None] = {None, *self._seen.get(batch_id, ())}
            closed = frozenset(name for name in names if not self._is_open(batch_id, name))
            self._closed_now[batch_id] = closed
        return closed

    def _is_open(self, batch_id: str | None, account_id: str | None) -> bool:
        """Jobs of an account that does not exist count as open: claiming one is what suspends them."""
        defaults, now = self._context.dialling_defaults(), self._context.store.now()
        batch = None if batch_id is None else self._batches.get(batch_id)
        account = None if account_id is None else self._accounts.get(account_id)
        zone = None if account is None else account.timezone
        if not eligibility.batch_may_be_called(batch, zone, defaults, now):
            return False
        return account is None or eligibility.account_is_open(account, defaults, now)

    def _note_accounts(self, batch_id: str | None, names: set[str]) -> None:
        seen = self._seen.setdefault(batch_id, set())
        if names <= seen:
            return
        seen |= names
        self._closed_now.pop(batch_id, None)
        self._read_accounts(names - set(self._accounts))

    def _read_accounts(self, names: set[str]) -> None:
        self._accounts |= dict.fromkeys(names)
        if names:
            accounts = self._context.store.accounts.among(sorted(names))
            self._accounts |= {account.account_id: account for account in accounts}

    # -- the ring ----------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        began = self._context.clock.boottime()
        if began >= self._due_until:
            self._due = self._read_due()
            self._due_until = self._next_read_at(began)
            self._ring_until = 0.0
        began = self._context.clock.boottime()
        if began >= self._ring_until:
            self._ring = self._read_ring()
            self._ring_until = self._next_read_at(began)

    def _next_read_at(self, began: float) -> float:
        now = self._context.clock.boottime()
        rest = min(RING_MAX_SECONDS, max(RING_SECONDS, (now - began) * RING_COST_FACTOR))
        return now + rest * (0.75 + self._context.random.random() / 2)

    def _read_due(self) -> list[DueBatch]:
        due = self._due_batches.read()
        known = {entry.batch_id for entry in due}
        if len(self._served) > SERVED_REMEMBERED:
            latest = sorted(self._served, key=self._served.__getitem__)[-SERVED_REMEMBERED // 2 :]
            self._served = {name: self._served[name] for name in latest}
        self._fetched = {name: fetched for name, fetched in self._fetched.items() if name in known}
        self._seen = {name: seen for name, seen in self._seen.items() if name in known}
        return due

    def _read_ring(self) -> list[EligibleBatch]:
        """Of the batches with due jobs those that may be called at this moment, as far as batches say."""
        context = self._context
        fleet, breaker_document = context.store.holds.read(context.retell.fingerprint)
        if fleet is not None or circuit_breaker.holds(context, breaker_document):
            return []
        now = context.store.now()
        due = [entry for entry in self._due if entry.first_due_at is None or entry.first_due_at <= now]
        names = [entry.batch_id for entry in due if entry.batch_id is not None]
        self._batches = (
            {batch.batch_id: batch for batch in context.store.batches.among(names)} if names else {}
        )
        for batch in self._batches.values():
            if batch.account_id is not None:
                self._seen.setdefault(batch.batch_id, set()).add(batch.account_id)
        self._accounts, self._closed_now = {}, {}
        self._read_accounts(set().union(*self._seen.values()))
        return [turn for entry in due if (turn := self._eligible(entry)) is not None]

    def _eligible(self, entry: DueBatch) -> EligibleBatch | None:
        if entry.batch_id is None:
            return EligibleBatch(batch_id=None, priority=Priority.NORMAL, first_due=entry.first_due_at)
        batch = self._batches.get(entry.batch_id)
        if batch is None or not batch.is_active or not eligibility.batch_has_room(batch):
            return None
        return EligibleBatch(batch_id=batch.batch_id, priority=batch.priority, first_due=entry.first_due_at)
