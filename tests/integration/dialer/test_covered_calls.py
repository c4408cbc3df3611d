"""A covered call: its worker sleeps until the call has ended, a limit comes, or an order is about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.dialer.context import WorkerContext
from speechaid.rules.coverage import PollReason, Suspicion
from tests.support.common_stage import phone
from tests.support.stage import Document, QuietLink, Stage

pytestmark = pytest.mark.usefixtures("common_stage")

FOREVER = float("inf")


class Time(SystemClock):
    """A boot-time clock that goes forward with the simulator's, when a worker waits."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.ahead


class Follow:
    """One worker with its call, and a supervisor that the test plays at each second of its waits."""

    def __init__(self, stage: Stage, outcome: Document, *, covered: bool = True, **settings: Any) -> None:
        self.stage = stage
        self.time = Time()
        self.number = phone()
        self.context: WorkerContext = stage.context(**settings)
        self.context.clock, self.context.wait = self.time, self.wait
        link = self.context.link
        assert isinstance(link, QuietLink)
        self.link = link
        #: Whether the supervisor covers the call from its first wait on.
        self.covered = covered
        #: What the supervisor does each second, once the call is placed; True: an order was sent.
        self.each_second: Callable[[float], bool] = lambda _seconds: False
        self.seconds = 0.0
        #: Polls by the second of the call in which they came, in order.
        self.waits: list[float] = []
        stage.simulator.script({self.number: [outcome]})
        stage.add_job(self.number)

    @property
    def call(self) -> Document:
        (call,) = self.stage.placed_calls()
        return call

    @property
    def polls(self) -> int:
        return sum(self.stage.simulator.requests()["counts"].get("get", {}).values())

    @property
    def stops(self) -> int:
        return sum(self.stage.simulator.requests()["counts"].get("stop", {}).values())

    def cover(self, until: float) -> None:
        self.link.covered[self.call["call_id"]] = until

    def show_end(self) -> None:
        """The follower finds the call in the list of ended ones."""
        self.link.polls[self.call["call_id"]] = PollReason.ENDED

    def wait(self, seconds: float) -> bool:
        """Wait in steps of a second; orders end the wait."""
        self.waits.append(seconds)
        if self.covered:
            self.covered = False
            self.cover(FOREVER)
            return True
        waited = 0.0
        while waited < seconds:
            step = min(1.0, seconds - waited)
            self.stage.simulator.advance(step)
            self.time.ahead += step
            waited += step
            self.seconds += step
            if self.each_second(self.seconds):
                return True
        return False

    def run(self) -> Document:
        assert self.stage.dial_next(self.context)
        return self.stage.job()


def once(at: float, action: Callable[[], object]) -> Callable[[float], bool]:
    """Do something at this second of the call, and send an order."""
    done: list[bool] = []

    def each_second(seconds: float) -> bool:
        if done or seconds < at:
            return False
        done.append(True)
        action()
        return True

    return each_second


def talk(seconds: float, **more: object) -> Document:
    return {"reason": "user_hangup", "ring_seconds": 5, "talk_seconds": seconds, **more}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


def test_a_call_that_is_not_covered_is_polled_at_each_interval(stage: Stage) -> None:
    follow = Follow(stage, talk(94), covered=False)
    assert follow.run()["status"] == "done"
    assert follow.polls == 10  # at 10, 20, … 100 seconds
    assert follow.waits == pytest.approx([10.0] * 10, abs=0.5)


def test_orders_about_other_calls_make_no_worker_poll_sooner(stage: Stage) -> None:
    follow = Follow(stage, talk(94), covered=False)

    def broadcast(_seconds: float) -> bool:
        follow.link.polls["call_of_another_worker"] = PollReason.ENDED
        follow.link.covered["call_of_another_worker"] = FOREVER
        follow.link.hang_ups.add("job-9")
        return True

    follow.each_second = broadcast
    assert follow.run()["status"] == "done"
    assert follow.polls == 10
    assert follow.stops == 0


def test_a_covered_call_is_settled_by_one_poll_when_the_list_shows_its_end(stage: Stage) -> None:
    follow = Follow(stage, talk(150))

    follow.each_second = once(157, follow.show_end)
    assert follow.run()["status"] == "done"
    assert follow.polls == 1
    assert follow.seconds == pytest.approx(157, abs=1)
    assert follow.link.suspicions == []


def test_a_covered_call_whose_end_no_list_shows_is_found_within_four_minutes(stage: Stage) -> None:
    follow = Follow(stage, talk(60))
    assert follow.run()["status"] == "done"
    assert 65 < follow.seconds <= 241
    assert follow.polls == 1
    assert [kind for _, kind in follow.link.suspicions] == [Suspicion.MISSED_END]


def test_a_list_that_shows_a_live_call_as_ended_is_reported_and_ends_no_call(stage: Stage) -> None:
    follow = Follow(stage, talk(150))

    follow.each_second = once(30, follow.show_end)
    assert follow.run()["status"] == "done"
    assert follow.link.suspicions[0] == (follow.call["call_id"], Suspicion.FALSE_END)
    assert follow.stops == 0


def test_calls_that_lose_their_coverage_are_polled_within_an_interval_and_then_as_ever(stage: Stage) -> None:
    follow = Follow(stage, talk(200))

    follow.each_second = once(100, lambda: follow.cover(0.0))
    assert follow.run()["status"] == "done"
    # 105 seconds of polls each ten, the first of them after a random part of ten.
    assert 10 <= follow.polls <= 12
    assert follow.link.suspicions == []


def test_coverage_that_is_not_renewed_ends_by_itself(stage: Stage) -> None:
    follow = Follow(stage, talk(200), covered=False)

    follow.each_second = once(1, lambda: follow.cover(follow.time.boottime() + 90))
    assert follow.run()["status"] == "done"
    assert 11 <= follow.polls <= 13
    assert follow.seconds <= 217


def test_a_covered_call_that_rang_at_its_last_poll_is_polled_before_it_is_stopped(stage: Stage) -> None:
    """At the limit for ringing calls, the call turns out to be a conversation."""
    follow = Follow(stage, talk(250), POLL_TIMEOUT_SECONDS=100)
    assert follow.run()["status"] == "done"
    assert follow.stops == 0
    assert follow.call["disconnection_reason"] == "user_hangup"


def test_a_covered_call_that_rings_for_ever_is_stopped_at_its_limit(stage: Stage) -> None:
    outcome = {"reason": "dial_no_answer", "ring_seconds": 5, "endless": True}
    follow = Follow(stage, outcome, POLL_TIMEOUT_SECONDS=100)
    follow.run()
    assert follow.stops == 1
    assert follow.seconds == pytest.approx(100, abs=3)


def test_a_covered_conversation_without_end_is_stopped_after_its_longest_duration(stage: Stage) -> None:
    follow = Follow(stage, talk(60, endless=True), CALL_MAX_DURATION_MINUTES=10)
    follow.run()
    assert follow.stops == 1
    assert 5 + 600 <= follow.seconds <= 5 + 600 + 20 + 15


def test_the_lease_of_a_covered_call_is_renewed_at_half(stage: Stage) -> None:
    follow = Follow(stage, talk(160), LEASE_SECONDS=120)
    follow.each_second = once(170, follow.show_end)
    assert follow.run()["status"] == "done"
    assert follow.polls == 1
    assert follow.link.steps.count("following: renew") == 2


def test_a_lost_lease_ends_the_following_of_a_covered_call(stage: Stage) -> None:
    follow = Follow(stage, talk(230))

    another = {"$set": {"claim_token": "another"}}
    follow.each_second = once(30, lambda: stage.database.jobs.update_one({}, another))
    with pytest.raises(Exception, match="job-1"):
        follow.run()
    assert follow.seconds <= 61
    assert follow.polls == 0


@pytest.mark.parametrize("covered", [True, False])
def test_a_hang_up_that_is_sent_stops_the_call_at_once(stage: Stage, covered: bool) -> None:
    follow = Follow(stage, talk(200), covered=covered)

    def hang_up() -> None:
        stage.store.requests.ask("job-1", "hang_up", reason=None, by="maria")
        follow.link.hang_ups.add("job-1")

    stops_by_second: list[int] = []
    asked = once(43, hang_up)

    def each_second(seconds: float) -> bool:
        if seconds >= 43:
            stops_by_second.append(follow.stops)
        return asked(seconds)

    follow.each_second = each_second
    assert follow.run()["status"] == "cancelled"
    assert stops_by_second[:2] == [0, 1]  # before the next second was over
    assert follow.call["disconnection_reason"] == "manual_stopped"


def test_polls_that_fail_after_a_wake_are_repeated_at_each_interval(stage: Stage) -> None:
    follow = Follow(stage, talk(40))
    stage.simulator.fault("outage", endpoints=["get"], count=3)

    follow.each_second = once(47, follow.show_end)
    assert follow.run()["status"] == "done"
    assert follow.polls == 4
    assert follow.seconds == pytest.approx(47 + 30, abs=1)


def test_a_test_call_is_polled_whether_or_not_it_is_covered(stage: Stage) -> None:
    number = phone()
    follow = Follow(stage, talk(20))
    stage.database.jobs.delete_many({})
    stage.simulator.script({number: [talk(20)]})
    stage.add_test(number, stage.add_batch())
    follow.run()
    assert follow.polls >= 12
