"""Select the next job: test calls, then in fair order the due batches, then the claim.

Three reads, each as often as it pays. Which batches have due jobs inside their window is read every second or
so (less often where that is slow). What batches and accounts allow now, places and balances, is read every
second, and again right before a claim where places are few: a worker that claims what it must requeue makes
no progress. Candidates are kept for a moment, so that a claim costs about one write. All of it may be stale
by then; the preflight right before the dial is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from logging import WARNING
from zlib import crc32

from speechaid.dialer import circuit_breaker
from speechaid.dialer.context import WorkerContext, log
from speechaid.dialer.due_batches import DueBatches
from speechaid.dialer.preflight import ClaimedJob, read_claimed_job
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.reading import as_printable
from speechaid.model.states import Priority
from speechaid.model.test_calls import TESTS
from speechaid.rules import eligibility, fair_share, metering
from speechaid.rules.checks import Reason
from speechaid.rules.fair_share import EligibleBatch
from speechaid.store.jobs import Candidate
from speechaid.store.queue import DueBatch

#: Due and eligible batches are read again after this many seconds, or this many times the time that reading
#: them took, whichever is longer, up to the maximum.
READ_AGAIN_SECONDS = 1.0
READ_COST_FACTOR = 20.0
READ_AGAIN_MAX_SECONDS = 30.0
#: A look that is to trust nothing read before reads again, unless that was this many times as long ago as it
#: took: one worker looks so at a time.
FRESH_COST_FACTOR = 4.0
#: Jobs that are due later than this, in seconds, are not announced.
DUE_SOON_SECONDS = 3600.0
#: Candidates of one batch may be used for at least this long: a claim finds out what has changed.
CANDIDATES_SECONDS = 3.0
#: If there were none, or none could be claimed, candidates are fetched again after this many seconds.
EMPTY_RETRY_SECONDS = 1.0
#: Candidates in one fetch; and at most, if other workers compete for them or calls are short.
FETCH_SIZE, MAX_FETCH_SIZE = 32, 256
#: Each fetch after a successful one is larger by this factor.
FETCH_GROWTH = 4
#: After this many claims in a row that other workers won, candidates are fetched again.
CONTENDED_MISSES = 3
#: If all fetched candidates belong to closed accounts, the rest of the batch is read after this many seconds,
#: or when an account opens.
CLOSED_RETRY_SECONDS = 15.0
#: Fetches in a row, each excluding the accounts that the one before showed to be closed.
FETCHES = 3
#: Batches of which the last claim is remembered; if more are due, each claim sees a page of them.
SERVED_REMEMBERED = 2000


@dataclass(kw_only=True)
class CandidateList:
    """Candidates of one batch, kept for a moment."""

    usable_until: float
    #: If none of them could be claimed, no more are fetched before this moment.
    empty_until: float
    #: How many were asked for.
    size: int
    #: Accounts (None: jobs without one) that were left out.
    excluded: frozenset[str | None] = frozenset()
    candidates: list[Candidate] = field(default_factory=list)
    #: Whether the batch had no more than these.
    complete: bool = True
    #: Whether one of them was claimed.
    claimed: bool = False
    #: Claims in a row that other workers won.
    misses: int = 0

    def is_usable(self, now: float) -> bool:
        """Whether to claim from these rather than fetch again."""
        if not self.candidates:
            return not self.claimed and now < self.empty_until
        return now < self.usable_until and not self.is_contended

    @property
    def is_contended(self) -> bool:
        """Whether other workers claim the same ones, and a new fetch would show what they have left."""
        has_more = not self.complete and self.size < MAX_FETCH_SIZE
        return self.misses >= CONTENDED_MISSES and (self.claimed or has_more)

    @property
    def next_size(self) -> int:
        """How many to ask for next: more if these went quickly, few if none was claimed."""
        if self.is_contended or (self.claimed and not self.candidates):
            return min(MAX_FETCH_SIZE, self.size * FETCH_GROWTH)
        return self.size if self.claimed else FETCH_SIZE


class JobClaimer:
    """One worker's view of the queue."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._due_batches = DueBatches(context)
        self._due: list[DueBatch] = []
        self._due_until = 0.0
        #: When the due batches were read, and how long that took.
        self._due_read_at = self._due_read_seconds = 0.0
        self._eligible: list[EligibleBatch] = []
        #: Whether test calls are due: they are claimed before other jobs.
        self._has_tests = False
        self._eligible_until = 0.0
        self._batches: dict[str, Batch] = {}
        #: Accounts that each batch's jobs are known to have, and those accounts as read last.
        self._accounts_of: dict[str | None, set[str]] = {}
        self._accounts: dict[str, Account | None] = {}
        self._closed_accounts: dict[str | None, frozenset[str | None]] = {}
        #: For each batch a number that grows with every claim.
        self._served: dict[str | None, int] = {}
        self._claims = 0
        self._candidate_lists: dict[str | None, CandidateList] = {}

    def claim(
        self, *, fresh: bool = False, served: Mapping[str | None, int] | None = None
    ) -> ClaimedJob | None:
        """Claim the next job, by priority, fairness and due time, and read it; None if none is due.

        Somebody waits beside the telephone for a test call: it goes before all of them.

        Args:
            fresh: what was read before may be out of date.
            served: batches that any worker of this host has claimed from lately, each with a number that
                grows with every claim.

        Raises:
            StoreUnavailable: the database is away.
        """
        self._note_served(served or {})
        if fresh:
            self._distrust()
        self._refresh()
        if self._has_tests and (test := self._claim_from(TESTS)) is not None:
            return test
        for batch in fair_share.order(self._eligible, self._served):
            claimed = self._claim_from(batch.batch_id)
            if claimed is not None:
                self._claims += 1
                self._served[batch.batch_id] = self._claims
                return claimed
        return None

    def has_more(self) -> bool:
        """Whether there may be more jobs to claim, as far as this worker has read."""
        lists = [self._candidate_lists.get(batch.batch_id) for batch in self._eligible]
        return any(read is None or read.candidates or not read.complete for read in lists)

    def next_due_at(self) -> float | None:
        """When a job becomes due of which this worker has read, in seconds of the boot-time clock."""
        if not self._due and self._due_batches.next_opening is None:
            return None
        moments = [batch.first_due_at for batch in self._due] + [self._due_batches.next_opening]
        now = self._context.store.now()
        delays = [(moment - now) / timedelta(seconds=1) for moment in moments if moment is not None]
        soon = [delay for delay in delays if 0 < delay <= DUE_SOON_SECONDS]
        return self._context.clock.boottime() + min(soon) if soon else None

    def _note_served(self, served: Mapping[str | None, int]) -> None:
        if served:
            self._served |= served
            self._claims = max(self._claims, *served.values())

    def _distrust(self) -> None:
        """Have everything read again that costs little to read."""
        worth = self._due_read_at + self._due_read_seconds * FRESH_COST_FACTOR
        self._due_until = min(self._due_until, worth)
        self._eligible_until = 0.0
        self._candidate_lists = {
            name: read for name, read in self._candidate_lists.items() if read.candidates or read.excluded
        }

    # -- due and eligible batches ------------------------------------------------------------------------

    def _refresh(self) -> None:
        began = self._context.clock.boottime()
        if began >= self._due_until:
            self._due = self._read_due()
            self._due_until = self._next_read_at(began)
            self._due_read_at = self._context.clock.boottime()
            self._due_read_seconds = self._due_read_at - began
            self._eligible_until = 0.0
        began = self._context.clock.boottime()
        if began >= self._eligible_until:
            self._eligible = self._read_eligible()
            self._eligible_until = self._next_read_at(began)

    def _next_read_at(self, began: float) -> float:
        now = self._context.clock.boottime()
        delay = min(READ_AGAIN_MAX_SECONDS, max(READ_AGAIN_SECONDS, (now - began) * READ_COST_FACTOR))
        return now + delay * (0.75 + self._context.random.random() / 2)

    def _read_due(self) -> list[DueBatch]:
        due = self._due_batches.read()
        known = {batch.batch_id for batch in due}
        if len(self._served) > SERVED_REMEMBERED:
            latest = sorted(self._served, key=self._served.__getitem__)[-SERVED_REMEMBERED // 2 :]
            self._served = {name: self._served[name] for name in latest}
        self._candidate_lists = {
            name: fetched for name, fetched in self._candidate_lists.items() if name in known
        }
        self._accounts_of = {name: accounts for name, accounts in self._accounts_of.items() if name in known}
        return due

    def _read_eligible(self) -> list[EligibleBatch]:
        """The batches with due jobs that may be called now, as far as holds and batches decide."""
        context = self._context
        reading = context.store.holds.read(context.retell.fingerprint)
        stopped = reading.hold is not None or reading.too_old is not None
        self._has_tests = False
        if stopped or circuit_breaker.holds(context, reading.breaker):
            return []
        now = context.store.now()
        if reading.tests_until is not None and now <= reading.tests_until:
            self._has_tests = context.store.queue.due_tests() is not None
        due = [
            batch
            for batch in self._due
            if (batch.first_due_at is None or batch.first_due_at <= now)
            and (batch.batch_id is None or reading.batches_hold is None)
        ]
        names = [batch.batch_id for batch in due if batch.batch_id is not None]
        self._batches = (
            {batch.batch_id: batch for batch in context.store.batches.among(names)} if names else {}
        )
        for batch in self._batches.values():
            if batch.account_id is not None:
                self._accounts_of.setdefault(batch.batch_id, set()).add(batch.account_id)
        self._accounts, self._closed_accounts = {}, {}
        self._read_accounts(set().union(*self._accounts_of.values()))
        return [eligible for batch in due if (eligible := self._as_eligible(batch)) is not None]

    def _as_eligible(self, due: DueBatch) -> EligibleBatch | None:
        if due.batch_id is None:
            return EligibleBatch(batch_id=None, priority=Priority.NORMAL, first_due=due.first_due_at)
        batch = self._batches.get(due.batch_id)
        if batch is None or not batch.is_active or not eligibility.batch_has_room(batch):
            return None
        if self._context.link.is_batch_paused(batch.batch_id, batch.name):
            return None
        return EligibleBatch(batch_id=batch.batch_id, priority=batch.priority, first_due=due.first_due_at)

    # -- claiming from one batch -------------------------------------------------------------------------

    def _claim_from(self, batch_id: str | None) -> ClaimedJob | None:
        while (fetched := self._candidates(batch_id)).candidates:
            candidate = fetched.candidates.pop()
            if not self._account_has_room(batch_id, candidate.account_id):
                continue
            if not self._batch_has_room(batch_id):
                return None
            try:
                claimed = self._claim(candidate, batch_id, fetched)
            except StoreUnavailable:
                raise
            except Exception as fault:  # noqa: BLE001 - one document must not stop the others
                self._note_fault(candidate, fault)
                continue
            if claimed is not None:
                return claimed
        return None

    def _claim(self, candidate: Candidate, batch_id: str | None, fetched: CandidateList) -> ClaimedJob | None:
        """Claim one candidate and read it; None where another worker has it."""
        context = self._context
        token, lease = context.new_token(), context.settings.worker.lease_seconds
        if not context.store.jobs.claim(
            candidate, worker_id=context.worker_id, token=token, lease_seconds=lease
        ):
            fetched.misses += 1
            context.link.count("speechaid_claim_misses_total")
            return None
        fetched.claimed, fetched.misses = True, 0
        try:
            return read_claimed_job(context, candidate, batch_id, token)
        except StoreUnavailable:
            raise
        except Exception:
            context.store.jobs.put_aside(candidate.id, token, context.left_out.add(candidate.id))
            raise

    def _note_fault(self, candidate: Candidate, fault: Exception) -> None:
        """Name a job whose document cannot be claimed or read, and leave it out for a while."""
        kind = "" if isinstance(fault, StoreError) else f"{type(fault).__name__}: "
        log.event(WARNING, "job.unreadable", id=as_printable(candidate.id), why=f"{kind}{fault}")
        self._context.link.count("speechaid_put_back_total", reason=Reason.JOB_UNREADABLE)
        self._context.left_out.add(candidate.id)

    def _candidates(self, batch_id: str | None) -> CandidateList:
        now = self._context.clock.boottime()
        fetched = self._candidate_lists.get(batch_id)
        if fetched is None or not fetched.is_usable(now) or fetched.excluded != self._closed(batch_id):
            size = FETCH_SIZE if fetched is None else fetched.next_size
            fetched = self._candidate_lists[batch_id] = self._fetch(batch_id, now, size)
        return fetched

    def _fetch(self, batch_id: str | None, now: float, size: int) -> CandidateList:
        context = self._context
        candidates: list[Candidate] = []
        complete = True
        closed = self._closed(batch_id)
        for _ in range(FETCHES):
            fetched = context.store.queue.candidates(
                batch_id, size, without=closed, without_jobs=context.left_out.job_ids()
            )
            self._note_accounts(batch_id, {name for one in fetched if (name := one.account_id) is not None})
            closed = self._closed(batch_id)
            candidates = [candidate for candidate in fetched if candidate.account_id not in closed]
            complete = len(fetched) < size
            if candidates or complete:
                break
        self._rotate(candidates)
        if not candidates:
            delay = CLOSED_RETRY_SECONDS if closed else EMPTY_RETRY_SECONDS
            return CandidateList(
                usable_until=now + delay, empty_until=now + delay, size=size, excluded=closed
            )
        # If a fetch is slow (a server that reads all pending jobs for the few it returns), its result is kept
        # for longer.
        cost = (context.clock.boottime() - now) * READ_COST_FACTOR
        return CandidateList(
            usable_until=now + min(READ_AGAIN_MAX_SECONDS, max(CANDIDATES_SECONDS, cost)),
            empty_until=now + EMPTY_RETRY_SECONDS,
            size=size,
            excluded=closed,
            candidates=candidates,
            complete=complete,
        )

    def _rotate(self, candidates: list[Candidate]) -> None:
        """Put them in one circular order, equal for all workers, and start at a random point of it.

        All workers fetch the same few, longest due. Going round from different points, two workers meet only
        when everything between those points is claimed; in orders shuffled by each worker, half of the
        candidates would be gone by then.
        """
        start = self._context.random.getrandbits(32)
        candidates.sort(key=lambda one: (crc32(str(one.id).encode()) - start) % 2**32, reverse=True)

    def _account_has_room(self, batch_id: str | None, account_id: str | None) -> bool:
        """If the account's calls at a time are limited, read it again rather than claim in vain."""
        if account_id in self._closed(batch_id):
            return False
        account = self._accounts.get(account_id) if account_id is not None else None
        if account is None or account.max_concurrent_calls is None:
            return True
        self._accounts[account.account_id] = self._context.store.accounts.find(account.account_id)
        self._closed_accounts.clear()
        return account_id not in self._closed(batch_id)

    def _batch_has_room(self, batch_id: str | None) -> bool:
        """The same for a batch; a full one is not eligible until the eligible batches are read again."""
        batch = self._batches.get(batch_id) if batch_id is not None else None
        if batch is None or batch.call_settings.max_concurrent_calls is None:
            return True
        fresh = self._context.store.batches.find(batch.batch_id)
        if fresh is not None and eligibility.batch_has_room(fresh):
            return True
        self._eligible = [other for other in self._eligible if other.batch_id != batch.batch_id]
        self._candidate_lists.pop(batch.batch_id, None)
        return False

    # -- accounts ----------------------------------------------------------------------------------------

    def _closed(self, batch_id: str | None) -> frozenset[str | None]:
        """Known accounts whose jobs in this batch may not be called now; None: jobs without an account."""
        closed = self._closed_accounts.get(batch_id)
        if closed is None:
            names: set[str | None] = {None, *self._accounts_of.get(batch_id, ())}
            closed = frozenset(name for name in names if not self._is_open(batch_id, name))
            self._closed_accounts[batch_id] = closed
        return closed

    def _is_open(self, batch_id: str | None, account_id: str | None) -> bool:
        """Jobs of an account that does not exist count as open: claiming one suspends them."""
        defaults, now = self._context.dialling_defaults(), self._context.store.now()
        batch = None if batch_id is None else self._batches.get(batch_id)
        account = None if account_id is None else self._accounts.get(account_id)
        zone = None if account is None else account.timezone
        if batch_id == TESTS:
            # Whatever else forbids a test call ends it, so that whoever waits is told: it is claimed.
            return account is None or metering.has_room(account)
        if not eligibility.batch_may_be_called(batch, zone, defaults, now):
            return False
        return account is None or eligibility.account_is_open(account, defaults, now)

    def _note_accounts(self, batch_id: str | None, names: set[str]) -> None:
        known = self._accounts_of.setdefault(batch_id, set())
        if names <= known:
            return
        known |= names
        self._closed_accounts.pop(batch_id, None)
        self._read_accounts(names - set(self._accounts))

    def _read_accounts(self, names: set[str]) -> None:
        self._accounts |= dict.fromkeys(names)
        if names:
            accounts = self._context.store.accounts.among(sorted(names))
            self._accounts |= {account.account_id: account for account in accounts}
