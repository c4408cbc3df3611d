"""What supervisor, follower and workers say to each other about covered calls; each message may be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from speechaid.fleet.call_watch import FOLLOWER, IDS_PER_ORDER, CallWatch
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import Beat, EndedCalls, ListPass, SuspectList
from speechaid.fleet.slots import Slot, SlotState
from speechaid.model.states import WorkerState
from speechaid.rules.coverage import (
    DISTRUST_SECONDS,
    GRANT_SECONDS,
    RENEW_SECONDS,
    SUSPICIONS,
    ListAnswer,
    PollReason,
    Suspicion,
)

INTERVAL = 2.0


class Process:
    """A slot with a running process, and what it is sent."""

    def __init__(self, number: int, name: str | None = None, call: str | None = None) -> None:
        self.slot = Slot(number, 0.0, name)
        self.start(1)
        self.follow(call)

    def start(self, pid: int) -> None:
        ours, theirs = Channel.pair()
        self.channel = Channel(theirs)
        self.slot.spawning(1, ours, 0.0)
        self.slot.move(SlotState.BOOTING, 0.0)
        self.slot.move(SlotState.RUNNING, 0.0)
        self.slot.worker_id = f"{self.slot.name}@host-a:{pid}"

    def end(self) -> None:
        self.slot.vacate()
        self.channel.close()

    def follow(self, call: str | None, state: WorkerState = WorkerState.FOLLOWING) -> None:
        self.slot.beat = Beat(state=state, step="wait", since=0.0, deadline=0.0, call=call)

    def orders(self) -> list[dict[str, Any]]:
        return self.channel.receive()


class Host:
    """Workers, follower and the watch, by a clock that the test sets."""

    def __init__(self, workers: int) -> None:
        self.workers = [Process(number, call=f"call_{number}") for number in range(1, workers + 1)]
        self.follower = Process(0, FOLLOWER)
        self.watch = CallWatch(INTERVAL)
        self.now = 1000.0
        self.counts: dict[Any, float] = {}

    def update(self, seconds: float = 1.0) -> None:
        self.now += seconds
        slots = [worker.slot for worker in self.workers]
        for key, value in self.watch.update(slots, self.follower.slot, self.now).items():
            self.counts[key] = self.counts.get(key, 0) + value

    def listed(self, answer: ListAnswer = ListAnswer.LISTED, **fields: Any) -> None:
        """A pass that has received every order so far."""
        report = ListPass(order=self.watch._orders, began=self.now, answer=answer, **fields)
        self.watch.handle_pass(report, self.now)

    def covered(self) -> set[str]:
        """Calls whose workers were told that they are covered, and not the opposite after that."""
        found = set()
        for worker in self.workers:
            for order in worker.orders():
                if order["kind"] == "covered":
                    assert order["until"] == self.now + GRANT_SECONDS
                    found.add(order["call"])
                elif order["kind"] == "uncovered":
                    found.clear()
        return found

    def losses(self) -> dict[str, float]:
        return {dict(labels)["cause"]: value for (_, labels), value in self.counts.items()}


@pytest.fixture
def host_of() -> Iterator[Callable[[int], Host]]:
    """Makes a host with so many workers."""
    made: list[Host] = []

    def make(workers: int) -> Host:
        made.append(Host(workers))
        return made[-1]

    yield make
    for host in made:
        for process in (*host.workers, host.follower):
            process.end()


@pytest.fixture
def host(host_of: Callable[[int], Host]) -> Host:
    return host_of(2)


def test_a_call_is_covered_once_a_complete_pass_has_asked_about_it(host: Host) -> None:
    host.update()
    (order,) = host.follower.orders()
    assert (order["kind"], sorted(order["add"]), order["drop"]) == ("follow", ["call_1", "call_2"], [])
    assert host.covered() == set()
    host.listed()
    host.update()
    assert host.covered() == {"call_1", "call_2"}
    host.workers[0].follow("call_3")
    host.update()
    (order,) = host.follower.orders()
    assert (order["add"], order["drop"]) == (["call_3"], ["call_1"])
    # A pass that began before it knew of the call covers nothing.
    stale = ListPass(order=order["order"] - 1, began=host.now, answer=ListAnswer.LISTED)
    host.watch.handle_pass(stale, host.now)
    host.update()
    assert host.covered() == set()
    host.listed()
    host.update()
    assert host.covered() == {"call_3"}


def test_coverage_is_renewed_before_it_ends_and_only_then(host: Host) -> None:
    host.update()
    host.listed()
    host.update()
    assert host.covered() == {"call_1", "call_2"}
    for _ in range(int(GRANT_SECONDS - RENEW_SECONDS)):
        host.listed()
        host.update()
        assert host.covered() == set()
    host.listed()
    host.update()
    assert host.covered() == {"call_1", "call_2"}


def cover(host: Host) -> None:
    host.update()
    host.listed()
    host.update()
    assert host.covered() == {f"call_{number}" for number in range(1, len(host.workers) + 1)}


def uncovered(host: Host) -> list[bool]:
    return [any(o["kind"] == "uncovered" for o in worker.orders()) for worker in host.workers]


def test_a_frozen_follower_uncovers_all_calls_within_ten_seconds(host: Host) -> None:
    cover(host)
    host.update(8)
    assert uncovered(host) == [False, False]
    host.update(2)
    assert uncovered(host) == [True, True]
    assert host.losses() == {"silent": 1}
    host.update()
    assert uncovered(host) == [False, False]


def test_a_list_that_fails_uncovers_all_calls_and_covers_them_again(host: Host) -> None:
    cover(host)
    for _ in range(11):
        host.listed(ListAnswer.FAILED)
        host.update()
    assert uncovered(host) == [True, True]
    assert host.losses() == {"failing": 1}
    assert host.watch.row(host.follower.slot, host.now)["unusable"]
    host.listed()
    host.update()
    assert host.covered() == {"call_1", "call_2"}
    assert not host.watch.row(host.follower.slot, host.now)["unusable"]


def test_a_follower_that_is_asked_to_go_slower_keeps_its_coverage(host: Host) -> None:
    cover(host)
    for _ in range(4):
        host.listed(ListAnswer.THROTTLED)
        host.update(15)
        assert uncovered(host) == [False, False]


def test_a_follower_that_has_ended_uncovers_its_calls_and_the_next_one_learns_of_them(host: Host) -> None:
    cover(host)
    host.follower.end()
    host.watch.follower_ended()
    host.update(0)
    assert uncovered(host) == [True, True]
    assert host.losses() == {"silent": 1}
    host.follower.start(2)
    host.update()
    (order,) = host.follower.orders()
    assert sorted(order["add"]) == ["call_1", "call_2"]
    host.update()
    assert host.covered() == set()
    host.listed()
    host.update()
    assert host.covered() == {"call_1", "call_2"}


def test_the_worker_of_an_ended_call_is_woken_and_no_other(host: Host) -> None:
    cover(host)
    host.watch.handle_ended(EndedCalls(calls=["call_2", "call_of_nobody"], why=PollReason.ENDED))
    assert host.workers[0].orders() == []
    assert host.workers[1].orders() == [{"kind": "poll", "call": "call_2", "why": "ended"}]


def test_a_worker_that_settles_or_has_another_call_is_not_woken_for_the_old_one(host: Host) -> None:
    cover(host)
    host.workers[0].follow("call_1", WorkerState.SETTLING)
    host.workers[1].follow("call_9")
    host.watch.handle_ended(EndedCalls(calls=["call_1", "call_2"], why=PollReason.ENDED))
    assert [worker.orders() for worker in host.workers] == [[], []]


@pytest.mark.parametrize("by", ["worker", "follower"])
def test_a_list_that_is_wrong_about_three_calls_is_not_used_for_ten_minutes(
    host_of: Callable[[int], Host], by: str
) -> None:
    host = host_of(SUSPICIONS)
    cover(host)
    for number in range(1, SUSPICIONS + 1):
        assert uncovered(host) == [False] * SUSPICIONS
        call = f"call_{number}"
        if by == "worker":
            report = SuspectList(call=call, suspicion=Suspicion.FALSE_END)
            # One call is evidence once, however often its worker is woken.
            host.watch.handle_suspicion(report, host.now)
            host.watch.handle_suspicion(report, host.now)
        else:
            host.listed(late=[call])
        host.update()
    assert uncovered(host) == [True] * SUSPICIONS
    assert host.losses() == {"distrusted": 1}
    dropped = [order for order in host.follower.orders() if order["drop"]]
    assert len(dropped) == 1  # nothing is asked meanwhile
    host.update(DISTRUST_SECONDS - 10)
    host.listed()
    host.update()
    assert host.covered() == set()
    host.update(DISTRUST_SECONDS)
    assert [order["add"] for order in host.follower.orders() if order["add"]]
    host.listed()
    host.update()
    assert host.covered() == {f"call_{number}" for number in range(1, SUSPICIONS + 1)}


def test_a_call_that_another_worker_adopts_is_covered_anew(host: Host) -> None:
    cover(host)
    host.workers[0].follow(None, WorkerState.IDLE)
    host.workers[1].follow("call_1")
    host.update()
    host.listed()
    host.update()
    assert [order["call"] for order in host.workers[1].orders() if order["kind"] == "covered"] == ["call_1"]


def test_many_calls_are_named_in_several_orders(host_of: Callable[[int], Host]) -> None:
    host = host_of(2 * IDS_PER_ORDER + 1)
    host.update()
    orders = host.follower.orders()
    assert [len(order["add"]) for order in orders] == [IDS_PER_ORDER, IDS_PER_ORDER, 1]
    assert [order["order"] for order in orders] == [1, 2, 3]


def test_without_an_interval_there_is_no_follower_and_no_coverage(host: Host) -> None:
    cover(host)
    needed = [host.watch.needs_follower]
    host.watch.interval = 0.0
    host.update()
    assert uncovered(host) == [True, True]
    needed.append(host.watch.needs_follower)
    assert needed == [True, False]
    host.listed()
    host.update()
    assert host.covered() == set()


def test_the_state_shows_how_many_calls_are_covered_and_why_none_is(host: Host) -> None:
    row = host.watch.row(host.follower.slot, host.now)
    assert (row["calls"], row["covered"], row["gap"], row["unusable"]) == (0, 0, "not_yet", False)
    cover(host)
    row = host.watch.row(host.follower.slot, host.now)
    assert (row["calls"], row["covered"], row["gap"], row["unusable"]) == (2, 2, None, False)
