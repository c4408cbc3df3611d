"""The follower against the simulator's list, with all that may be wrong with that list."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest

from speechaid import follower as module
from speechaid.clock import SystemClock
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.errors import ExitStatus
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import WorkerIdentity
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.follower import CHECK_SECONDS, Follower
from speechaid.retell.client import RetellClient
from speechaid.settings import get_settings
from tests.support.retell_requests import KEY, body, client_of

INTERVAL = 2.0
#: Of calls, so that each has a key and a number of its own.
_serials = itertools.count()


class Time(SystemClock):
    """A boot-time clock that the test sets forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.ahead


class Stage:
    """A follower, and the supervisor's end of its channel."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self.simulator = simulator
        ours, theirs = Channel.pair()
        self.channel = ours
        self.time = Time()
        identity = WorkerIdentity(slot="follower", host="here", pid=os.getpid())
        self.link = SupervisorLink(Channel(theirs), identity, clock=self.time)
        environ = {
            "RETELL_API_KEY": KEY,
            "RETELL_BASE_URL": simulator.base_url,
            "RETELL_AGENT_ID": "agent_1",
            "RETELL_FROM_NUMBER": "+56200000001",
            "CALL_LIST_INTERVAL": str(INTERVAL),
            "SPEECHAID_SOCKET": "/nowhere/control.sock",
            "SPEECHAID_STATE_DIR": "/nowhere",
        }
        self.client: RetellClient = client_of(simulator.base_url)
        self.follower = Follower(
            self.link, self.client, get_settings(environ, env_file=None), clock=self.time
        )
        self._order = 0

    def follow(self, *calls: str, drop: tuple[str, ...] = ()) -> None:
        self._order += 1
        self.channel.send({"kind": "follow", "order": self._order, "add": calls, "drop": drop})
        self.follower._handle(self.link.commands(0))

    def call(self, name: str) -> str:
        """Place a call that lasts until it is stopped."""
        serial = next(_serials)
        return self.client.create_call(body(f"{name}-{serial}", f"+5691{serial:07}")).call_id

    def advance(self, seconds: float) -> None:
        self.simulator.advance(seconds)
        self.time.ahead += seconds

    def ask(self) -> float:
        """One pass; in how many seconds the next one is due."""
        began = self.time.boottime()
        return round(self.follower.ask() - began, 1)

    def reports(self) -> dict[str, list[dict[str, Any]]]:
        """What the follower has sent, by kind; beats left out."""
        found: dict[str, list[dict[str, Any]]] = {"listed": [], "ended": []}
        for message in self.channel.receive():
            if message["kind"] in found:
                found[message["kind"]].append(message)
        return found

    def woken(self) -> list[tuple[str, str]]:
        """Calls and why they are to be polled."""
        return [(call, row["why"]) for row in self.reports()["ended"] for call in row["calls"]]

    def counted(self, metric: str) -> float:
        return sum(value for (name, _), value in self.link._counts.items() if name == metric)

    def close(self) -> None:
        self.client.close()
        self.link.close()
        self.channel.close()


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(api_key=KEY, concurrency_limit=10_000, calls_per_second=10_000) as started:
        started.script({"*": [{"reason": "user_hangup", "ring_seconds": 5, "endless": True}]})
        yield started


@pytest.fixture
def stage(running: SimulatorProcess) -> Iterator[Stage]:
    opened = Stage(running)
    yield opened
    opened.close()
    running.clear_faults()
    running.clear_requests()
    running.change(list_lag_seconds=0, list_lacks_ringing=False, list_most_ids=None)


def lists(stage: Stage) -> dict[str, int]:
    return dict(stage.simulator.requests()["counts"].get("list", {}))


def test_only_ended_calls_wake_their_workers_and_one_request_asks_for_all(stage: Stage) -> None:
    calls = [stage.call(f"call-{number}") for number in range(50)]
    stage.follow(*calls)
    stage.simulator.clear_requests()
    assert stage.ask() == INTERVAL
    assert stage.woken() == []
    stage.client.stop_call(calls[7])
    stage.ask()
    assert stage.woken() == [(calls[7], "ended")]
    assert lists(stage) == {"200": 2}
    # Its worker has still to settle it: not again at each pass.
    stage.ask()
    assert stage.woken() == []
    stage.follow(drop=(calls[7],))
    stage.ask()
    assert stage.woken() == []


def test_a_pass_names_the_last_order_that_it_has_received(stage: Stage) -> None:
    stage.follow(stage.call("first"))
    stage.follow(stage.call("second"))
    stage.ask()
    (listed,) = stage.reports()["listed"]
    assert (listed["order"], listed["answer"], listed["late"]) == (2, "listed", [])


def test_a_call_that_is_not_settled_is_reported_again(stage: Stage) -> None:
    call = stage.call("lost")
    stage.client.stop_call(call)
    stage.follow(call)
    stage.ask()
    assert stage.woken() == [(call, "ended")]
    stage.time.ahead += module.AGAIN_SECONDS
    stage.ask()
    assert stage.woken() == [(call, "ended")]


def test_ringing_calls_that_a_list_lacks_do_not_matter(stage: Stage) -> None:
    stage.simulator.change(list_lacks_ringing=True)
    call = stage.call("ringing")
    stage.follow(call)
    stage.ask()
    assert stage.woken() == []
    stage.client.stop_call(call)
    stage.ask()
    assert stage.woken() == [(call, "ended")]


def test_the_lag_of_a_list_is_measured_and_a_late_end_is_reported(stage: Stage) -> None:
    call = stage.call("late")
    stage.advance(30)
    stage.follow(call)
    stage.ask()
    stage.simulator.change(list_lag_seconds=30)
    stage.client.stop_call(call)
    for _ in range(14):
        stage.advance(2)
        stage.ask()
    assert stage.woken() == []
    stage.advance(2)
    stage.ask()
    reports = stage.reports()
    assert reports["ended"][0]["calls"] == [call]
    assert reports["listed"][-1]["late"] == [call]
    assert 26 <= stage.counted("speechaid_call_list_lag_seconds_sum") <= 30


def test_a_fresh_list_has_no_lag(stage: Stage) -> None:
    call = stage.call("fresh")
    stage.advance(10)
    stage.follow(call)
    stage.ask()
    stage.advance(1)
    stage.client.stop_call(call)
    stage.advance(1)
    stage.ask()
    assert stage.counted("speechaid_call_list_lag_seconds") == 1
    assert stage.counted("speechaid_call_list_lag_seconds_sum") == 0
    assert stage.reports()["listed"][-1]["late"] == []


def test_the_end_of_a_call_that_ended_long_before_it_was_followed_is_not_late(stage: Stage) -> None:
    call = stage.call("adopted")
    stage.client.stop_call(call)
    stage.advance(600)
    stage.follow(call)
    stage.ask()
    reports = stage.reports()
    assert reports["ended"][0]["calls"] == [call]
    assert reports["listed"][0]["late"] == []
    assert stage.counted("speechaid_call_list_lag_seconds") == 0


def test_a_call_that_the_list_never_shows_is_polled_by_its_worker_each_minute(stage: Stage) -> None:
    hidden, shown = stage.call("hidden"), stage.call("shown")
    stage.follow(hidden, shown)
    stage.simulator.fault("unlisted", call_id=hidden)
    stage.ask()
    assert stage.woken() == []
    for _ in range(2):
        stage.advance(CHECK_SECONDS)
        stage.ask()
        assert stage.woken() == [(hidden, "unlisted")]


def test_an_end_that_only_the_question_for_all_calls_shows_is_found_by_it(stage: Stage) -> None:
    call = stage.call("unfiltered")
    stage.follow(call)
    stage.client.stop_call(call)
    # The filtered list does not have it; the other one does.
    stage.simulator.fault("revived", endpoints=["list"], count=1)
    stage.advance(CHECK_SECONDS)
    stage.ask()
    assert stage.woken() == [(call, "unlisted")]


@pytest.mark.parametrize("status", [400, 413])
def test_too_many_ids_are_halved_until_they_are_taken(stage: Stage, status: int) -> None:
    calls = [stage.call(f"many-{number}") for number in range(100)]
    stage.simulator.change(list_most_ids=30, list_most_ids_status=status)
    stage.follow(*calls)
    stage.client.stop_call(calls[99])
    stage.simulator.clear_requests()
    assert stage.ask() == 0.0
    assert stage.ask() == 0.0
    assert [row["answer"] for row in stage.reports()["listed"]] == ["too_many", "too_many"]
    assert stage.ask() == INTERVAL
    assert stage.woken() == [(calls[99], "ended")]
    assert lists(stage) == {str(status): 2, "200": 4}


@pytest.mark.parametrize(
    ("fault", "answer", "wait"),
    [
        ({"kind": "rate_limit"}, "throttled", 2 * INTERVAL),
        ({"kind": "rate_limit", "retry_after_seconds": 9}, "throttled", 9.0),
        ({"kind": "outage"}, "failed", INTERVAL),
        ({"kind": "unauthorized"}, "failed", INTERVAL),
        ({"kind": "reset"}, "failed", INTERVAL),
        ({"kind": "garbage", "style": "html"}, "failed", INTERVAL),
        ({"kind": "garbage", "style": "truncated"}, "failed", INTERVAL),
    ],
)
def test_a_question_that_fails_is_reported_and_repeated(
    stage: Stage, fault: dict[str, Any], answer: str, wait: float
) -> None:
    call = stage.call("failing")
    stage.follow(call)
    stage.client.stop_call(call)
    stage.simulator.fault(**fault, endpoints=["list"], count=1)
    assert stage.ask() == wait
    assert stage.reports()["listed"][0]["answer"] == answer
    assert stage.ask() == INTERVAL
    assert stage.woken() == [(call, "ended")]


def test_a_list_that_hangs_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.2)
    stage.follow(stage.call("hanging"))
    stage.simulator.fault("hang", endpoints=["list"], seconds=60)
    stage.ask()
    assert stage.reports()["listed"][0]["answer"] == "failed"


def test_it_leaves_when_the_supervisor_has_gone(stage: Stage) -> None:
    stage.channel.close()
    assert stage.follower.run() is ExitStatus.ORPHANED


def test_it_leaves_when_it_is_asked_to(stage: Stage) -> None:
    stage.channel.send({"kind": "stop"})
    assert stage.follower.run() is ExitStatus.OK
