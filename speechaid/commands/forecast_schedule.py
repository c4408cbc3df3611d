"""The schedule of a forecast: who is called when, by as many workers as there are.

Batches take turns as they do for workers (``rules.fair_share``). The dials of one batch and account are one
queue: the same window, balance and limits hold for them, so that a closed window moves all of them at once.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.protocol.translation import say, say_later
from speechaid.rules import fair_share
from speechaid.rules.checks import Reason
from speechaid.rules.eligibility import Evaluation
from speechaid.rules.fair_share import EligibleBatch

#: Later dials are not scheduled: a batch with a small limit a day might take a hundred years.
HORIZON: Final = timedelta(days=366)
BEYOND_HORIZON: Final = say_later("not within a year")
#: Job ids given for each reason to skip.
_EXAMPLES: Final = 5
#: Limits of calls at a time: a dial waits for them, and is not skipped.
CONCURRENCY: Final = frozenset({Reason.ACCOUNT_CONCURRENCY, Reason.BATCH_CONCURRENCY})
#: What passes by itself at a known time, for all dials of a queue alike.
_POSTPONED: Final = frozenset({Reason.OUTSIDE_WINDOW, Reason.DAILY_LIMIT, Reason.PACK_HOURS})


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingDial:
    """A dial that is possible from ``earliest`` on."""

    job_id: str
    #: E.164.
    number: str
    phone_index: int
    attempt: int
    earliest: datetime
    due: datetime | None
    #: What SpeechAI reserved for the job, in its plan's minutes or credit.
    reserved: float
    #: The person under calling rules; None: the batch names no purpose.
    person: PersonUnderRules | None = None


@dataclass(kw_only=True)
class Queue:
    """The dials of one batch and account, the last in the list first."""

    batch_id: str | None
    account_id: str | None
    priority: int
    dials: list[WaitingDial]
    #: The limits of calls at a time of the batch and of the account, by their names; None: no limit.
    limits: dict[str, int | None]
    #: None of its dials is possible before.
    not_before: datetime

    @property
    def head_at(self) -> datetime:
        """When its next dial is possible."""
        return max(self.dials[-1].earliest, self.not_before)


@dataclass(kw_only=True)
class Skipped:
    """Jobs that would not be called, by the reason."""

    jobs: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, job_id: str, reason: str) -> None:
        """Count one job."""
        self.jobs[reason] += 1
        if len(self.examples[reason]) < _EXAMPLES:
            self.examples[reason].append(job_id)


Evaluate = Callable[[Queue, WaitingDial, datetime], Evaluation]
Place = Callable[[Queue, WaitingDial, datetime], None]


class Schedule:
    """Places the dials of all queues, one after the other."""

    def __init__(
        self,
        queues: Iterable[Queue],
        *,
        now: datetime,
        workers: int,
        call_seconds: float,
        evaluate: Evaluate,
        place: Place,
        skipped: Skipped,
    ) -> None:
        """Prepare the schedule.

        Args:
            queues: of dials.
            now: where it begins.
            workers: calls at a time.
            call_seconds: how long each call takes.
            evaluate: whether a dial may be placed at a moment, after those that were placed already.
            place: called with each dial that is placed, and its time, in order.
            skipped: gets those that will not be placed.
        """
        self._now, self._call = now, timedelta(seconds=call_seconds)
        self._evaluate, self._place, self._skipped = evaluate, place, skipped
        #: When each worker is free; and when each place of a limit is, made when it is first needed.
        self._lanes = [now] * workers
        self._places: dict[str, list[datetime]] = {}
        self._served: dict[str | None, int] = {}
        self._serial = 0
        #: Queues by when their next dial is possible, and those whose is, by their rank.
        self._waiting: list[tuple[datetime, int, Queue]] = []
        self._ready: list[tuple[tuple[int, int, datetime, str], int, Queue]] = []
        #: Ends of the calls that go on, and the most at once so far.
        self._ends: list[datetime] = []
        self.calls_at_once = 0
        self.placed = 0
        self.ends_at: datetime | None = None
        for queue in queues:
            self._wait(queue)

    def run(self) -> None:
        """Place every dial that can be placed within the horizon."""
        free = self._now
        while self._lanes and (self._waiting or self._ready):
            free = max(free, self._lanes[0])
            if not self._ready:
                free = max(free, self._waiting[0][0])
            if free - self._now > HORIZON:
                break
            while self._waiting and self._waiting[0][0] <= free:
                self._make_ready(heapq.heappop(self._waiting)[2])
            rank, _, queue = heapq.heappop(self._ready)
            if rank != self._rank(queue):
                # Its batch was served meanwhile, by another queue.
                self._make_ready(queue)
            else:
                self._serve(queue, free)
        for queue in [entry[2] for entry in (*self._waiting, *self._ready)]:
            for dial in queue.dials:
                self._skipped.add(dial.job_id, BEYOND_HORIZON)

    def _serve(self, queue: Queue, free: datetime) -> None:
        """Place the queue's next dial, or find out when it can be placed, or that it cannot."""
        limited = [
            self._places.setdefault(name, [self._now] * limit)
            for name, limit in queue.limits.items()
            # A limit that the workers cannot reach limits nothing, and may be any number.
            if limit is not None and 0 < limit < len(self._lanes)
        ]
        if (blocked := max((places[0] for places in limited), default=free)) > free:
            queue.not_before = blocked
            self._wait(queue)
            return
        dial = queue.dials[-1]
        evaluation = self._evaluate(queue, dial, free)
        reason, later = evaluation.reason, evaluation.next_eligible_at
        if evaluation.may_dial or reason in CONCURRENCY:
            queue.dials.pop()
            ends = free + self._call
            for free_at in (self._lanes, *limited):
                heapq.heapreplace(free_at, ends)
            self._count(free, ends)
            self._served[queue.batch_id] = self.placed
            self.placed += 1
            self._place(queue, dial, free)
        elif reason in _POSTPONED and later is not None and later > free:
            queue.not_before = later
        elif reason is Reason.PACK_CAP and later is not None and later > free:
            # Of this person alone: the others of the queue go on.
            queue.dials.pop()
            insort(queue.dials, replace(dial, earliest=later), key=lambda one: -one.earliest.timestamp())
        else:
            queue.dials.pop()
            self._skipped.add(dial.job_id, say("{reason} by then", reason=reason))
        if queue.dials:
            self._wait(queue)

    def _count(self, starts: datetime, ends: datetime) -> None:
        """Count a call among those that go on at its start; starts never go back in time."""
        while self._ends and self._ends[0] <= starts:
            heapq.heappop(self._ends)
        heapq.heappush(self._ends, ends)
        self.calls_at_once = max(self.calls_at_once, len(self._ends))
        self.ends_at = ends if self.ends_at is None else max(self.ends_at, ends)

    def _wait(self, queue: Queue) -> None:
        self._serial += 1
        heapq.heappush(self._waiting, (queue.head_at, self._serial, queue))

    def _make_ready(self, queue: Queue) -> None:
        self._serial += 1
        heapq.heappush(self._ready, (self._rank(queue), self._serial, queue))

    def _rank(self, queue: Queue) -> tuple[int, int, datetime, str]:
        batch = EligibleBatch(batch_id=queue.batch_id, priority=queue.priority, first_due=queue.dials[-1].due)
        return fair_share.rank_of(batch, self._served.get(queue.batch_id, fair_share.NEVER_SERVED))
