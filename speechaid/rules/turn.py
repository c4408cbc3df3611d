"""Turns: which idle worker may look for a job now, and how many may at once.

A turn is permission to look, never ownership: the compare-and-set of the claim is what makes a claim safe. So
a turn that is lost, late or given twice costs time at most. Nothing counts due jobs: at first one turn is
out; each job that is found allows one more, so that they double with each round, and after a look that found
none it is one again.

Both sides are here: ``TurnScheduler`` for the supervisor, ``TurnRequest`` for a worker. Pure: no I/O, no
clock. Times are seconds of the boot-time clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final

#: Turns to claim, and to recover, that are out at the same time, at most.
MOST_AT_ONCE: Final = 8
MOST_RECOVERING: Final = 4
#: While anyone is idle one worker looks at this interval: other hosts and programs insert jobs.
SCOUT_SECONDS: Final = 1.0
#: A turn that is out for longer is late: another may be given.
LATE_SECONDS: Final = 3.0
#: With so many late ones none is given. Each counts for ``LATE_COUNTS_SECONDS``, or some frozen workers would
#: stop a fleet until they are replaced.
MOST_LATE: Final = 3
LATE_COUNTS_SECONDS: Final = 15.0
#: A worker that is told to wait asks again after this time: the longer, the more workers are idle.
LEAST_WAIT_SECONDS: Final = 15.0
LONGEST_WAIT_SECONDS: Final = 60.0
WAIT_SECONDS_A_WORKER: Final = 0.5
#: A worker gets no turn for this long after a fault of its look; doubled with each in a row.
FIRST_FAULT_SECONDS: Final = 1.0
LONGEST_FAULT_SECONDS: Final = 60.0
#: Fewer looks at once where one takes this many times as long as the quickest lately, ...
SLOWED_DOWN: Final = 4.0
#: ... and at least this long.
QUICK_SECONDS: Final = 0.5
#: By this factor the quickest is forgotten with each look.
FORGETTING: Final = 1.01
#: Batches whose last claim is remembered, and those that are sent with a turn, the latest.
SERVED_REMEMBERED: Final = 2000
SERVED_SENT: Final = 64

#: A worker that asked and was not answered looks by itself after this time, ...
NO_ANSWER_SECONDS: Final = 2.0
#: ... and then again after a time between these.
ALONE_SECONDS: Final = (5.0, 15.0)


class TurnKind(StrEnum):
    """What a worker may look for."""

    #: Due jobs.
    CLAIM = "claim"
    #: Jobs whose lease has lapsed.
    RECOVER = "recover"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Permission to look once."""

    #: Grows with each turn of a supervisor.
    number: int
    kind: TurnKind
    #: The look has to begin before.
    until: float
    #: What the worker read before may be out of date.
    is_fresh: bool
    #: By batch (None: jobs without one) a number that grows with every claim of this host; the latest ones.
    served: Mapping[str | None, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TurnEnd:
    """What came of a turn."""

    number: int
    #: A job was taken.
    got: bool = False
    #: There may be more.
    more: bool = False
    #: When the next job that is known becomes due; None: none is known.
    next_due_at: float | None = None
    #: The batch of that job; None: it has none.
    served: str | None = None
    #: The look failed.
    failed: bool = False
    #: The turn was not used: it came late, or to a worker that had not asked.
    declined: bool = False


@dataclass(kw_only=True)
class _Given:
    """A turn that is out."""

    slot: int
    kind: TurnKind
    at: float
    is_fresh: bool
    late: bool = False


@dataclass(kw_only=True)
class _Lane:
    """What is known about one kind of jobs."""

    #: How many turns may be out: now, and at most.
    width: int = 1
    most: int = MOST_AT_ONCE
    #: The last look found a job, and there may be more.
    hungry: bool = False
    #: A look has to begin after something that happened; what was read before it is out of date.
    owed: bool = True
    owed_fresh: bool = True
    scout_at: float = 0.0
    next_due_at: float = inf
    #: Looks that failed in a row, and until when none is given after them.
    faults: int = 0
    not_before: float = 0.0
    #: The quickest look lately, in seconds.
    quickest: float = inf
    #: When fewer were allowed for the last time since looks took long.
    reduced_at: float = -inf

    def due_at(self) -> float:
        """When the next turn is due; in the past: now."""
        soon = -inf if self.hungry or self.owed else min(self.scout_at, self.next_due_at)
        return max(soon, self.not_before)

    def note_given(self, now: float) -> None:
        """A turn has been given."""
        self.owed = self.owed_fresh = False
        self.scout_at = now + SCOUT_SECONDS
        if self.next_due_at <= now:
            self.next_due_at = inf

    def note_found(self, began: float, now: float, *, more: bool) -> None:
        """A look found a job."""
        self.hungry = more
        took = now - began
        slow = took > max(QUICK_SECONDS, SLOWED_DOWN * self.quickest)
        self.quickest = min(took, self.quickest * FORGETTING)
        if not slow:
            self.width = min(self.most, self.width + 1)
        elif began >= self.reduced_at:  # once for those that were out together
            self.width, self.reduced_at = max(1, self.width // 2), now

    def note_empty(self, next_due_at: float | None, *, is_fresh: bool) -> None:
        """A look found nothing; one that trusted what the worker had read before is repeated."""
        self.hungry, self.width = False, 1
        if not is_fresh:
            self.owed = self.owed_fresh = True
        if next_due_at is not None:
            self.next_due_at = next_due_at

    def note_fault(self, now: float) -> None:
        """A look failed: another worker makes it, at once only after the first fault."""
        self.width, self.owed = 1, True
        self.faults += 1
        self.not_before = now if self.faults == 1 else now + SCOUT_SECONDS


@dataclass(kw_only=True)
class _Waiting:
    """A worker that has asked for a turn."""

    answered: bool = False


class TurnScheduler:
    """The supervisor's side: who gets a turn, and when; owned by its loop.

    Workers are named by the numbers of their slots.

    Attributes:
        next_at: when ``give`` is to be called at the latest; ``inf``: not before something happens.
    """

    def __init__(self) -> None:
        self.next_at = 0.0
        # In this order: at a start the first that asks looks for a due job.
        self._lanes = {
            TurnKind.CLAIM: _Lane(most=MOST_AT_ONCE),
            TurnKind.RECOVER: _Lane(most=MOST_RECOVERING),
        }
        #: In the order in which they became idle.
        self._waiting: dict[int, _Waiting] = {}
        self._given: dict[int, _Given] = {}
        self._last_number = 0
        #: By slot: faults in a row, and until when it gets no turn.
        self._faults: dict[int, tuple[int, float]] = {}
        self._served: dict[str | None, int] = {}
        self._claims = 0

    @property
    def waiting(self) -> int:
        """How many workers wait for a turn."""
        return len(self._waiting)

    def at_once(self, kind: TurnKind) -> int:
        """How many turns of a kind may be out at this time."""
        return self._lanes[kind].width

    def holders(self) -> dict[int, TurnKind]:
        """By slot the turn that is out; late ones too."""
        return {given.slot: given.kind for given in self._given.values()}

    # -- what happens ------------------------------------------------------------------------------------

    def note_request(self, slot: int, now: float, *, after_job: bool) -> None:
        """A worker is idle, and asks for a turn; one that it had is over.

        Args:
            slot: its number.
            now: the present moment.
            after_job: it has had a job since it asked last, so that a place for a call may be free.
        """
        self._take_back(slot)
        self.next_at = now
        if after_job:
            self._waiting.pop(slot, None)  # it is the last that became idle
            self._lanes[TurnKind.CLAIM].owed = True
        self._waiting.setdefault(slot, _Waiting()).answered = False

    def note_end(self, slot: int, end: TurnEnd, now: float) -> None:
        """A worker has used its turn, or does not use it."""
        given = self._given.get(end.number)
        if given is None or given.slot != slot:
            return  # repeated, or given up
        del self._given[end.number]
        self.next_at = now
        lane = self._lanes[given.kind]
        if end.declined:
            lane.owed, lane.owed_fresh = True, lane.owed_fresh or given.is_fresh
        elif end.failed:
            faults = self._faults.get(slot, (0, 0.0))[0] + 1
            pause = min(LONGEST_FAULT_SECONDS, FIRST_FAULT_SECONDS * 2 ** min(faults - 1, 10))
            self._faults[slot] = faults, now + pause
            lane.note_fault(now)
        else:
            self._faults.pop(slot, None)
            lane.faults, lane.not_before = 0, 0.0
            if end.got:
                self._note_served(given.kind, end)
                lane.note_found(given.at, now, more=end.more)
            elif not given.late:  # what a late one found may have changed
                lane.note_empty(end.next_due_at, is_fresh=given.is_fresh)

    def note_busy(self, slot: int, now: float) -> None:
        """A worker has a job: it waits for no turn."""
        if self._waiting.pop(slot, None) is not None:
            self.next_at = now

    def forget(self, slot: int, now: float) -> None:
        """A worker has ended; its successor is another."""
        self._waiting.pop(slot, None)
        self._faults.pop(slot, None)
        self._take_back(slot)
        self.next_at = now

    def wake(self) -> None:
        """Something may be due: an operator's command changed what may be called, for example."""
        lane = self._lanes[TurnKind.CLAIM]
        lane.owed = lane.owed_fresh = True
        self.next_at = 0.0

    def extend(self, seconds: float) -> None:
        """The supervisor did not run for this long: no turn is late for that."""
        for given in self._given.values():
            given.at += seconds

    # -- what follows ------------------------------------------------------------------------------------

    def give(
        self, now: float, *, may_claim: bool = True, paused: Collection[int] = (), slow: bool = False
    ) -> tuple[dict[int, Turn], dict[int, float]]:
        """Decide who gets a turn, and who is told to wait, by slot; a wait is in seconds.

        Args:
            now: the present moment.
            may_claim: no order keeps the workers of this host from claiming.
            paused: slots that claim nothing.
            slow: machine or database are overloaded: one turn of a kind at a time.
        """
        for given in self._given.values():
            given.late = given.late or now - given.at >= LATE_SECONDS
        turns: dict[int, Turn] = {}
        for kind, lane in self._lanes.items():
            if kind is TurnKind.CLAIM and not may_claim:
                continue
            excluded = paused if kind is TurnKind.CLAIM else ()
            while lane.due_at() <= now and self._has_room(kind, now, slow=slow):
                slot = self._next_worker(excluded, now)
                if slot is None:
                    break
                turns[slot] = self._give_to(slot, kind, lane, now)
        self.next_at = self._next_at(now, may_claim=may_claim, paused=paused, slow=slow)
        return turns, self._waits()

    def _has_room(self, kind: TurnKind, now: float, *, slow: bool) -> bool:
        late = sum(given.late and now - given.at < LATE_COUNTS_SECONDS for given in self._given.values())
        active = sum(given.kind is kind and not given.late for given in self._given.values())
        return late < MOST_LATE and active < (1 if slow else self._lanes[kind].width)

    def _next_worker(self, excluded: Collection[int], now: float) -> int | None:
        """The one that became idle last: what it has read is the newest, and its connection is open."""
        return next(
            (slot for slot in reversed(self._waiting) if slot not in excluded and self._is_well(slot, now)),
            None,
        )

    def _is_well(self, slot: int, now: float) -> bool:
        return slot not in self._faults or self._faults[slot][1] <= now

    def _give_to(self, slot: int, kind: TurnKind, lane: _Lane, now: float) -> Turn:
        del self._waiting[slot]
        self._last_number += 1
        is_fresh = lane.owed_fresh or not (lane.hungry or lane.owed)
        self._given[self._last_number] = _Given(slot=slot, kind=kind, at=now, is_fresh=is_fresh)
        lane.note_given(now)
        latest = list(self._served.items())[-SERVED_SENT:] if kind is TurnKind.CLAIM else []
        return Turn(
            number=self._last_number,
            kind=kind,
            until=now + LATE_SECONDS,
            is_fresh=is_fresh,
            served=dict(latest),
        )

    def _waits(self) -> dict[int, float]:
        """Whom to tell to wait, and for how long; not all for as long, so that they do not ask together."""
        longest = min(LONGEST_WAIT_SECONDS, max(LEAST_WAIT_SECONDS, WAIT_SECONDS_A_WORKER * self.waiting))
        waits = {}
        for slot, waiting in self._waiting.items():
            if not waiting.answered:
                waiting.answered = True
                waits[slot] = longest * (1 - (slot * 7 % 20) / 60)
        return waits

    def _next_at(self, now: float, *, may_claim: bool, paused: Collection[int], slow: bool) -> float:
        """When ``give`` may decide otherwise, if nothing happens until then."""
        due = [
            at
            for given in self._given.values()
            for at in (given.at + LATE_SECONDS, given.at + LATE_COUNTS_SECONDS)
            if at > now
        ]
        if not self._waiting:
            return min(due, default=inf)
        well_at = [until for slot, (_, until) in self._faults.items() if slot in self._waiting]
        due += [until for until in well_at if until > now]
        for kind, lane in self._lanes.items():
            if (
                (kind is TurnKind.RECOVER or may_claim)
                and self._has_room(kind, now, slow=slow)
                and self._next_worker(paused if kind is TurnKind.CLAIM else (), now) is not None
            ):
                due.append(lane.due_at())
        return min(due, default=inf)

    def _take_back(self, slot: int) -> None:
        """A turn that a worker had is over without a word; the look is made by another."""
        for number in [number for number, given in self._given.items() if given.slot == slot]:
            given = self._given.pop(number)
            lane = self._lanes[given.kind]
            lane.owed, lane.owed_fresh = True, lane.owed_fresh or given.is_fresh

    def _note_served(self, kind: TurnKind, end: TurnEnd) -> None:
        if kind is not TurnKind.CLAIM:
            return
        self._claims += 1
        self._served.pop(end.served, None)
        self._served[end.served] = self._claims
        if len(self._served) > SERVED_REMEMBERED:
            del self._served[next(iter(self._served))]


class TurnRequest:
    """A worker's side: when it asks, and when it looks by itself since nobody answers.

    Attributes:
        usual_wait: for how many seconds it was told to wait last: likely the next answer.
    """

    def __init__(self) -> None:
        self.usual_wait = LEAST_WAIT_SECONDS
        self._asked_at: float | None = None
        #: Until when it was told to wait.
        self._wait_until: float | None = None
        #: When it looks by itself, unless it is answered.
        self._alone_at = inf

    def must_ask(self, now: float) -> bool:
        """Whether to ask now: not asked yet, or the time for which to wait is over."""
        return self._asked_at is None or (self._wait_until is not None and now >= self._wait_until)

    def may_search_alone(self, now: float) -> bool:
        """Whether to look without a turn: the supervisor does not answer."""
        return now >= self._alone_at

    def next_at(self, now: float) -> float:
        """When to ask or to look at the latest."""
        if self.must_ask(now):
            return now
        return self._alone_at if self._wait_until is None else self._wait_until

    def note_asked(self, now: float) -> None:
        """It has asked."""
        self._asked_at, self._wait_until = now, None
        if self._alone_at == inf:
            self._alone_at = now + NO_ANSWER_SECONDS

    def note_wait(self, seconds: float, now: float) -> None:
        """It was told to wait."""
        self.usual_wait = min(LONGEST_WAIT_SECONDS, max(0.0, seconds))
        self._wait_until = now + self.usual_wait
        self._alone_at = inf

    def note_turn(self) -> None:
        """It got a turn; afterwards it asks again."""
        self._asked_at = self._wait_until = None
        self._alone_at = inf

    def note_alone(self, now: float, jitter: float) -> None:
        """It looks by itself; afterwards it asks again, and waits longer for an answer.

        Args:
            now: the present moment.
            jitter: from 0 to 1.
        """
        least, most = ALONE_SECONDS
        self._asked_at = self._wait_until = None
        self._alone_at = now + least + (most - least) * jitter
