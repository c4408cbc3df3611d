"""Turns: what the scheduler decides, and both sides together under every fault of a message or a process."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

import pytest

from speechaid.rules.turn import (
    ALONE_SECONDS,
    LATE_COUNTS_SECONDS,
    LATE_SECONDS,
    LONGEST_WAIT_SECONDS,
    MOST_AT_ONCE,
    MOST_LATE,
    MOST_RECOVERING,
    NO_ANSWER_SECONDS,
    SCOUT_SECONDS,
    SERVED_SENT,
    Turn,
    TurnEnd,
    TurnKind,
    TurnRequest,
    TurnScheduler,
)


class Fleet:
    """A scheduler whose time a test sets; all workers are idle at first."""

    def __init__(self, workers: int) -> None:
        self.scheduler = TurnScheduler()
        self.now = 100.0
        self.turns: dict[int, Turn] = {}
        self.paused: set[int] = set()
        self.may_claim = True
        self.slow = False
        for slot in range(1, workers + 1):
            self.ask(slot)

    def ask(self, *slots: int, after_job: bool = False) -> None:
        for slot in slots:
            self.scheduler.note_request(slot, self.now, after_job=after_job)

    def give(self, kind: TurnKind = TurnKind.CLAIM) -> list[int]:
        """The slots that get a turn of this kind now."""
        turns, _ = self.scheduler.give(self.now, may_claim=self.may_claim, paused=self.paused, slow=self.slow)
        self.turns |= turns
        return sorted(slot for slot, turn in turns.items() if turn.kind is kind)

    def waits(self) -> dict[int, float]:
        return self.scheduler.give(self.now)[1]

    def end(self, slot: int, **found: Any) -> None:
        """The turn of a slot is over, and it asks again unless it has a job."""
        turn = self.turns.pop(slot)
        self.scheduler.note_end(slot, TurnEnd(number=turn.number, **found), self.now)
        if not found.get("got"):
            self.ask(slot)

    def settle_recovery(self) -> None:
        """The looks for lapsed leases find none."""
        self.give()
        for slot in [slot for slot, turn in self.turns.items() if turn.kind is TurnKind.RECOVER]:
            self.end(slot)


@pytest.fixture
def fleet() -> Fleet:
    """Ten idle workers, and a queue without due jobs."""
    made = Fleet(10)
    made.give()
    for slot in sorted(made.turns):
        made.end(slot)
    return made


def test_turns_double_with_each_job_that_is_found_until_the_limit() -> None:
    fleet = Fleet(100)
    fleet.settle_recovery()
    claimed = itertools.count()
    widths: list[int] = []
    fleet.give()
    while len(widths) < 6:
        held = [slot for slot, turn in fleet.turns.items() if turn.kind is TurnKind.CLAIM]
        widths.append(len(held))
        for slot in held:
            fleet.end(slot, got=True, more=True, served=f"batch {next(claimed)}")
        fleet.give()
    assert widths == [1, 2, 4, 8, MOST_AT_ONCE, MOST_AT_ONCE]


def test_after_a_look_without_a_job_one_turn_is_out(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS
    for width in (1, 2, 4):
        given = fleet.give()
        assert len(given) == width
        fleet.settle_recovery()
        for slot in given:
            fleet.end(slot, got=True, more=True)
    given = fleet.give()
    assert len(given) == 10 - 7
    for slot in given:
        fleet.end(slot)
    fleet.now += SCOUT_SECONDS
    assert len(fleet.give()) == 1


def test_a_scout_goes_out_each_second_while_a_worker_is_idle(fleet: Fleet) -> None:
    for _ in range(5):
        assert fleet.give() == []
        fleet.now = fleet.scheduler.next_at
        given = fleet.give()
        if given:
            (scout,) = given
            assert fleet.turns[scout].is_fresh
            fleet.now += 0.01
            fleet.end(scout)
    assert fleet.now <= 100.0 + 5 * (SCOUT_SECONDS + 0.01)


def test_lapsed_leases_are_looked_for_each_second_by_turns_of_their_own(fleet: Fleet) -> None:
    fleet.may_claim = False
    looks = 0
    for _ in range(40):
        given = fleet.give(TurnKind.RECOVER)
        looks += len(given)
        for slot in given:
            fleet.end(slot)
        fleet.now += 0.25
    assert 9 <= looks <= 11


def test_a_thousand_lapsed_leases_are_adopted_at_the_pace_of_the_looks() -> None:
    fleet = Fleet(1000)
    fleet.may_claim = False
    began = fleet.now
    adopted = 0
    while adopted < 1000:
        fleet.now += 0.05
        for slot in fleet.give(TurnKind.RECOVER):
            fleet.end(slot, got=True, more=True)
            adopted += 1
    assert fleet.now - began < 15


def test_recovery_goes_on_where_claims_are_forbidden_and_in_paused_workers(fleet: Fleet) -> None:
    fleet.now += 2 * SCOUT_SECONDS
    fleet.may_claim, fleet.paused = False, set(range(1, 11))
    fleet.give()
    assert {turn.kind for turn in fleet.turns.values()} == {TurnKind.RECOVER}


def test_the_last_idle_worker_looks_and_a_paused_one_claims_nothing(fleet: Fleet) -> None:
    fleet.settle_recovery()
    fleet.now += SCOUT_SECONDS / 2
    fleet.ask(3, after_job=True)
    fleet.paused = {3}
    (first,) = fleet.give()
    assert first != 3
    fleet.end(first)
    fleet.paused = set()
    fleet.ask(3, after_job=True)
    assert fleet.give() == [3]


def test_a_command_is_followed_by_a_look_at_once_that_trusts_nothing_read_before(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS / 4
    assert fleet.give() == []
    fleet.scheduler.wake()
    (scout,) = fleet.give()
    assert fleet.turns[scout].is_fresh


def test_a_command_during_a_look_is_followed_by_another_look(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS
    (scout,) = fleet.give()
    fleet.scheduler.wake()
    assert fleet.give() == []
    fleet.end(scout)
    assert len(fleet.give()) == 1


def test_a_place_that_became_free_is_looked_at_once(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS / 4
    fleet.ask(7, after_job=True)
    assert fleet.give() == [7]


def test_a_look_that_trusted_what_was_read_before_and_found_nothing_is_repeated(fleet: Fleet) -> None:
    fleet.ask(7, after_job=True)
    (scout,) = fleet.give()
    assert not fleet.turns[scout].is_fresh
    fleet.end(scout)
    (scout,) = fleet.give()
    assert fleet.turns[scout].is_fresh
    fleet.end(scout)
    assert fleet.give() == []


def test_a_job_that_becomes_due_is_looked_for_at_that_time(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS
    (scout,) = fleet.give()
    fleet.end(scout, next_due_at=fleet.now + 0.3)
    assert fleet.give() == []
    assert fleet.scheduler.next_at == pytest.approx(fleet.now + 0.3)
    fleet.now += 0.3
    assert len(fleet.give()) == 1


def test_a_late_turn_is_followed_by_another_and_three_late_ones_by_none(fleet: Fleet) -> None:
    began = fleet.now
    fleet.now += SCOUT_SECONDS
    given = list(fleet.give())
    while fleet.now < began + LATE_COUNTS_SECONDS:
        fleet.now += 0.5
        given += fleet.give()
        # Looks for lapsed leases are answered.
        for slot in [slot for slot, turn in fleet.turns.items() if turn.kind is TurnKind.RECOVER]:
            fleet.end(slot)
    assert len(given) == MOST_LATE
    assert set(fleet.scheduler.holders()) >= set(given)


def test_frozen_holders_do_not_stop_a_fleet_for_good(fleet: Fleet) -> None:
    given = []
    for _ in range(80):
        fleet.now += 0.5
        given += fleet.give()
        for slot in [slot for slot, turn in fleet.turns.items() if turn.kind is TurnKind.RECOVER]:
            fleet.end(slot)
    assert len(given) > MOST_LATE


def test_what_a_late_holder_did_not_find_changes_nothing(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS
    (frozen,) = fleet.give()
    fleet.now += LATE_SECONDS
    (second,) = fleet.give()
    fleet.end(second, got=True, more=True)
    assert fleet.scheduler.at_once(TurnKind.CLAIM) == 2
    fleet.end(frozen)
    assert fleet.scheduler.at_once(TurnKind.CLAIM) == 2


def test_a_worker_whose_looks_fail_is_left_out_and_another_looks_at_once(fleet: Fleet) -> None:
    fleet.settle_recovery()
    fleet.now += SCOUT_SECONDS
    (broken,) = fleet.give()
    for slot in [slot for slot, turn in fleet.turns.items() if turn.kind is TurnKind.RECOVER]:
        fleet.end(slot)
    fleet.end(broken, failed=True)
    (other,) = fleet.give()
    assert other != broken
    fleet.end(other)
    for _ in range(3):
        fleet.now += SCOUT_SECONDS / 4
        assert broken not in fleet.give()


def test_where_every_look_fails_one_is_made_a_second(fleet: Fleet) -> None:
    looks = 0
    began = fleet.now
    while fleet.now < began + 20:
        fleet.now += 0.1
        fleet.give()
        for slot, turn in list(fleet.turns.items()):
            looks += turn.kind is TurnKind.CLAIM
            fleet.end(slot, failed=turn.kind is TurnKind.CLAIM)
    assert 15 <= looks <= 22


def test_fewer_look_at_once_where_a_look_takes_four_times_as_long() -> None:
    fleet = Fleet(100)
    widths = []
    for took in (0.2, 0.2, 0.2, 0.2, 0.9, 0.9):
        fleet.settle_recovery()
        fleet.give()
        widths.append(fleet.scheduler.at_once(TurnKind.CLAIM))
        fleet.now += took
        for slot in [slot for slot, turn in fleet.turns.items() if turn.kind is TurnKind.CLAIM]:
            fleet.end(slot, got=True, more=True)
    assert widths == [1, 2, 4, 8, 8, 4]
    assert fleet.scheduler.at_once(TurnKind.CLAIM) == 2


def test_overload_leaves_one_turn_of_a_kind() -> None:
    fleet = Fleet(20)
    fleet.settle_recovery()
    for width in (1, 2, 4):
        given = fleet.give() or list(fleet.turns)
        assert len(given) == width
        for slot in given:
            fleet.end(slot, got=True, more=True)
    for slot in list(fleet.turns):
        fleet.end(slot)
    fleet.slow = True
    fleet.scheduler.wake()
    fleet.now += SCOUT_SECONDS
    fleet.give()
    assert sorted(fleet.scheduler.holders().values()) == [TurnKind.CLAIM, TurnKind.RECOVER]


def test_a_resume_of_a_thousand_workers_gives_one_turn() -> None:
    fleet = Fleet(1000)
    fleet.may_claim = False
    assert fleet.give() == []
    fleet.may_claim = True
    fleet.scheduler.wake()
    assert len(fleet.give()) == 1


def test_the_end_of_a_worker_frees_its_turn(fleet: Fleet) -> None:
    fleet.now += SCOUT_SECONDS
    (scout,) = fleet.give()
    fleet.scheduler.forget(scout, fleet.now)
    (other,) = fleet.give()
    assert other != scout
    assert scout not in fleet.scheduler.holders()


def test_a_worker_with_a_job_waits_for_no_turn(fleet: Fleet) -> None:
    for slot in range(1, 11):
        fleet.scheduler.note_busy(slot, fleet.now)
    fleet.scheduler.wake()
    fleet.give()
    assert fleet.scheduler.holders() == {}


def test_who_was_served_goes_with_the_turn_and_the_latest_are_enough(fleet: Fleet) -> None:
    for number in range(SERVED_SENT + 10):
        fleet.scheduler.wake()
        slot, *_ = fleet.give()
        fleet.end(slot, got=True, served=f"batch {number}")
        fleet.ask(slot, after_job=True)
    fleet.scheduler.wake()
    slot, *_ = fleet.give()
    served = fleet.turns[slot].served
    assert len(served) == SERVED_SENT
    assert served[f"batch {SERVED_SENT + 9}"] > served[f"batch {SERVED_SENT}"]


def test_an_idle_worker_is_told_to_wait_once_and_longer_in_a_large_fleet() -> None:
    small, large = Fleet(6).waits(), Fleet(1000).waits()
    assert len(small) == 6 - 2
    assert max(small.values()) < min(large.values()) <= max(large.values()) <= LONGEST_WAIT_SECONDS
    assert len({round(seconds, 3) for seconds in large.values()}) > 10


# -- both sides, with faults ---------------------------------------------------------------------------------

#: A message's way, and a look, in seconds.
WAY, LOOK = 0.02, 0.05
#: Bounds from the moment at which a job is due until it is taken.
HEALTHY = SCOUT_SECONDS + 2 * LOOK + 6 * WAY
ONE_FAULT = LATE_SECONDS + HEALTHY
SUPERVISOR_HUNG = LONGEST_WAIT_SECONDS + NO_ANSWER_SECONDS + LOOK + WAY

Deliver = Callable[[], None]


@dataclass
class ModelWorker:
    """A worker of the model: asks, waits, looks and calls."""

    slot: int
    request: TurnRequest = field(default_factory=TurnRequest)
    busy: bool = False
    after_job: bool = False
    #: The turn in hand, and the highest number seen.
    turn: Turn | None = None
    last_number: int = 0
    frozen_until: float = 0.0
    inbox: list[Turn | float] = field(default_factory=list)


class Model:
    """A supervisor, its workers and a queue, in steps of one event.

    ``fault`` decides what becomes of each message, by its number: ways in seconds; none: it is lost.
    """

    def __init__(self, workers: int, fault: Callable[[int], list[float]] = lambda _: [WAY]) -> None:
        self.scheduler = TurnScheduler()
        self.workers = {slot: ModelWorker(slot) for slot in range(1, workers + 1)}
        self.fault = fault
        self.now = 0.0
        self.messages = 0
        self.due: list[float] = []
        #: For each job how long it was due before it was taken.
        self.delays: list[float] = []
        self.looking: set[int] = set()
        self.most_looking = 0
        self.call_seconds = 0.4
        self.supervisor_frozen_until = 0.0
        self.supervisor_inbox: list[Deliver] = []
        self._events: list[tuple[float, int, Deliver]] = []
        self._order = itertools.count()
        #: The next wake of each worker, and of the supervisor under 0: earlier ones are off.
        self._wakes: dict[int, float] = {}
        for slot in self.workers:
            self._at(0.001 * slot, partial(self._work, slot))

    def _at(self, moment: float, step: Deliver) -> None:
        heapq.heappush(self._events, (moment, next(self._order), step))

    def _wake_at(self, slot: int, moment: float, step: Deliver) -> None:
        """Wake it then, and at no moment that was planned before."""
        moment = max(moment, self.now + 0.001)
        if moment == self._wakes.get(slot):
            return
        self._wakes[slot] = moment

        def wake() -> None:
            if self._wakes.get(slot) == moment:
                del self._wakes[slot]
                step()

        self._at(moment, wake)

    def add_job(self, at: float) -> None:
        self._at(at, lambda: self.due.append(self.now))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, step = heapq.heappop(self._events)
            step()
        self.now = until

    def freeze_supervisor(self, at: float, seconds: float) -> None:
        def freeze() -> None:
            self.supervisor_frozen_until = self.now + seconds
            self._at(self.now + seconds, thaw)

        def thaw() -> None:
            self.scheduler.extend(seconds)
            self._review()

        self._at(at, freeze)

    def freeze(self, choose: Callable[[], int | None], at: float, seconds: float) -> None:
        """A worker that is stopped for a while: it begins nothing, and what it began ends later."""

        def begin() -> None:
            slot = choose()
            if slot is None:
                self._at(self.now + 0.005, begin)  # at the first moment at which there is one
                return
            self.workers[slot].frozen_until = self.now + seconds
            self._at(self.now + seconds, partial(self._work, slot))

        self._at(at, begin)

    # the supervisor

    def _send_up(self, deliver: Deliver) -> None:
        for way in self.fault(self._number()):
            self._at(self.now + way, partial(self._receive, deliver))

    def _receive(self, deliver: Deliver) -> None:
        self.supervisor_inbox.append(deliver)
        self._review()

    def _review(self) -> None:
        if self.now < self.supervisor_frozen_until:
            return
        inbox, self.supervisor_inbox = self.supervisor_inbox, []
        for deliver in inbox:
            deliver()
        turns, waits = self.scheduler.give(self.now)
        assert len(self.scheduler.holders()) <= MOST_AT_ONCE + MOST_RECOVERING + MOST_LATE
        answers: list[tuple[int, Turn | float]] = [*turns.items(), *waits.items()]
        for slot, message in answers:
            for way in self.fault(self._number()):
                self._at(self.now + way, partial(self._hand, slot, message))
        if self.scheduler.next_at < inf:
            assert self.scheduler.next_at > self.now  # else the supervisor's loop would not rest
            self._wake_at(0, self.scheduler.next_at, self._review)

    def _number(self) -> int:
        self.messages += 1
        return self.messages

    # a worker

    def _hand(self, slot: int, message: Turn | float) -> None:
        self.workers[slot].inbox.append(message)
        self._work(slot)

    def _work(self, slot: int) -> None:
        worker = self.workers[slot]
        if self.now < worker.frozen_until:
            return
        self._read_inbox(worker)
        if worker.busy:
            return
        if (turn := worker.turn) is not None:
            worker.turn = None
            worker.request.note_turn()
            if self.now <= turn.until:
                self._look(worker, turn)
                return
            self._end(worker, TurnEnd(number=turn.number, declined=True))
        if worker.request.may_search_alone(self.now):
            worker.request.note_alone(self.now, 0.5)
            self._look(worker, None)
            return
        if worker.request.must_ask(self.now):
            ask = partial(self.scheduler.note_request, slot, after_job=worker.after_job)
            self._send_up(lambda: ask(self.now))
            worker.request.note_asked(self.now)
            worker.after_job = False
        self._wake_at(slot, worker.request.next_at(self.now), partial(self._work, slot))

    def _read_inbox(self, worker: ModelWorker) -> None:
        inbox, worker.inbox = worker.inbox, []
        for message in inbox:
            if not isinstance(message, Turn):
                if not worker.busy:
                    worker.request.note_wait(message, self.now)
            elif message.number <= worker.last_number:
                continue
            elif worker.busy or worker.turn is not None:
                self._end(worker, TurnEnd(number=message.number, declined=True))
            else:
                worker.last_number, worker.turn = message.number, message

    def _look(self, worker: ModelWorker, turn: Turn | None) -> None:
        worker.busy = True
        self.looking.add(worker.slot)
        self.most_looking = max(self.most_looking, len(self.looking))
        self._at(self.now + LOOK, partial(self._after_look, worker, turn))

    def _after_look(self, worker: ModelWorker, turn: Turn | None) -> None:
        if self.now < worker.frozen_until:
            self._at(worker.frozen_until, partial(self._after_look, worker, turn))
            return
        self.looking.discard(worker.slot)
        got = bool(self.due) and (turn is None or turn.kind is TurnKind.CLAIM)
        if got:
            self.delays.append(self.now - self.due.pop(0))
        if turn is not None:
            self._end(worker, TurnEnd(number=turn.number, got=got, more=bool(self.due)))
        if got:
            self._at(self.now + self.call_seconds, partial(self._after_call, worker))
        else:
            worker.busy = False
            self._work(worker.slot)

    def _after_call(self, worker: ModelWorker) -> None:
        worker.busy, worker.after_job = False, True
        self._work(worker.slot)

    def _end(self, worker: ModelWorker, end: TurnEnd) -> None:
        self._send_up(lambda: self.scheduler.note_end(worker.slot, end, self.now))

    def holder(self, kind: TurnKind = TurnKind.CLAIM) -> int | None:
        """A worker that has a turn in hand, or on its way."""
        return next((slot for slot, held in self.scheduler.holders().items() if held is kind), None)


def jobs(model: Model, first: float = 3.0, count: int = 5, every: float = 1.37) -> float:
    """Add jobs, one after the other; when the last is due."""
    for number in range(count):
        model.add_job(first + number * every)
    return first + (count - 1) * every


def run(fault: Callable[[int], list[float]] = lambda _: [WAY], *, workers: int = 4) -> Model:
    model = Model(workers, fault)
    last = jobs(model)
    model.run(last + 2 * LONGEST_WAIT_SECONDS)
    assert len(model.delays) == 5
    return model


def test_a_healthy_fleet_takes_a_job_within_a_second_and_a_look() -> None:
    model = run()
    assert max(model.delays) <= HEALTHY
    assert model.most_looking <= 2  # a scout and a look for lapsed leases


#: What may happen to one message.
FAULTS: dict[str, list[float]] = {
    "lost": [],
    "late": [WAY + 0.7],
    "very late": [WAY + 5.0],
    "twice": [WAY, WAY],
    "again later": [WAY, WAY + 5.0],
}
#: Messages of the healthy run until its last job is taken, and some more.
FIRST_MESSAGES = 110


@pytest.mark.parametrize("fault", FAULTS)
def test_any_one_message_may_be_lost_late_or_doubled(fault: str) -> None:
    assert run().messages > FIRST_MESSAGES
    for number in range(1, FIRST_MESSAGES + 1):
        model = run(lambda at, number=number: FAULTS[fault] if at == number else [WAY])  # type: ignore[misc]
        assert max(model.delays) <= ONE_FAULT, f"message {number}"


def fault_at_random(seed: int) -> Callable[[int], list[float]]:
    dice = random.Random(seed)
    return lambda _: dice.choice([*FAULTS.values(), *[[WAY]] * 5])


@pytest.mark.parametrize("seed", range(40))
def test_every_second_message_may_be_lost_late_or_doubled(seed: int) -> None:
    model = run(fault_at_random(seed), workers=6)
    assert max(model.delays) <= SUPERVISOR_HUNG + ALONE_SECONDS[1]


MOMENTS = [2.0 + 0.13 * step for step in range(12)]


@pytest.mark.parametrize("at", MOMENTS)
def test_a_holder_that_freezes_delays_a_job_by_the_time_that_makes_it_late(at: float) -> None:
    model = Model(4)
    last = jobs(model, first=at)
    model.freeze(model.holder, at, 45.0)
    model.run(last + 60)
    assert len(model.delays) == 5
    # The one that the frozen worker had chosen is taken by it after all, or lapses: not by turns.
    assert sorted(model.delays)[-2] <= ONE_FAULT


@pytest.mark.parametrize("at", MOMENTS)
@pytest.mark.parametrize("workers", [1, 6, 100])
def test_workers_of_a_supervisor_that_hangs_look_by_themselves(at: float, workers: int) -> None:
    model = Model(workers)
    last = jobs(model, first=at + 1.0)
    model.freeze_supervisor(at, 400.0)
    model.run(last + SUPERVISOR_HUNG + ALONE_SECONDS[1])
    assert len(model.delays) == 5
    assert model.delays[0] <= SUPERVISOR_HUNG


def test_a_supervisor_that_goes_on_again_gives_as_few_turns_as_before() -> None:
    model = Model(200)
    model.freeze_supervisor(5.0, 90.0)
    model.run(94.9)
    for number in range(300):
        model.add_job(94.9 + 0.0001 * number)
    model.run(94.99)
    model.most_looking = len(model.looking)
    model.run(130.0)
    assert len(model.delays) == 300
    assert model.most_looking <= MOST_AT_ONCE + 8  # and those that look by themselves at that moment


def test_many_due_jobs_are_taken_by_as_many_looks_at_once_as_allowed() -> None:
    model = Model(300)
    model.call_seconds = 1000.0
    for _ in range(300):
        model.add_job(3.0)
    model.run(13.0)
    assert len(model.delays) == 300
    assert model.most_looking <= MOST_AT_ONCE + MOST_RECOVERING
