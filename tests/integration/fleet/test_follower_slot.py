"""The follower's process in the fleet: started for the first call, replaced, and the last one to leave."""

from __future__ import annotations

import os
import signal

import pytest

from speechaid.fleet.slots import SlotState
from speechaid.rules.respawn import ExitCause
from tests.integration.fleet.test_fleet import Stage, now, stage

__all__ = ["stage"]


@pytest.fixture
def following(stage: Stage) -> Stage:
    """A fleet with a call, and a follower."""
    stage.fleet.watch.interval = 1.0
    stage.start(2)
    assert stage.fleet.follower.child is None
    stage.task("worker-1", "call")
    stage.until(lambda: stage.fleet.follower.state is SlotState.RUNNING, "a follower")
    return stage


def pid(stage: Stage) -> int | None:
    child = stage.fleet.follower.child
    return None if child is None else child.pid


def test_a_follower_is_no_worker(following: Stage) -> None:
    assert following.fleet.present == 2
    assert len(following.fleet.rows(now())) == 2
    assert pid(following) in following.fleet.pids()
    assert following.fleet.follower.name == "follower"


def test_a_killed_follower_is_replaced_and_no_worker_is_reported(following: Stage) -> None:
    victim = pid(following)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    following.until(lambda: pid(following) not in {None, victim}, "another follower")
    assert following.fleet.follower.restarts == {ExitCause.KILLED: 1}
    assert following.listener.ends == []
    assert following.fleet.restarts == 0


def test_a_hung_follower_is_killed_and_replaced(following: Stage) -> None:
    victim = pid(following)
    following.task("follower", "hang")
    following.until(lambda: pid(following) not in {None, victim}, "another follower")
    assert following.fleet.follower.restarts == {ExitCause.HUNG: 1}


def test_a_follower_stays_until_the_last_worker_has_left(following: Stage) -> None:
    follower = pid(following)
    following.fleet.stop()
    following.until(lambda: len(following.pids("following", "idle")) == 1, "the end of the idle worker")
    assert pid(following) == follower
    following.task("worker-1", "idle")
    following.until(lambda: following.fleet.empty, "the end of the fleet")
    assert following.fleet.follower.restarts == {}


def test_a_follower_that_ends_during_a_stop_is_not_replaced(following: Stage) -> None:
    following.fleet.stop()
    victim = pid(following)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    following.until(lambda: pid(following) is None, "the end of the follower")
    following.task("worker-1", "idle")
    following.until(lambda: following.fleet.empty, "the end of the fleet")


def test_a_follower_leaves_where_a_reload_does_without_it_and_comes_back(following: Stage) -> None:
    wire, timeouts = following.fleet._wire, following.fleet.timeouts
    following.fleet.set_settings(wire, timeouts, list_interval=0.0)
    following.until(lambda: pid(following) is None, "the end of the follower")
    following.fleet.set_settings(wire, timeouts, list_interval=1.0)
    following.until(lambda: following.fleet.follower.state is SlotState.RUNNING, "a follower")
