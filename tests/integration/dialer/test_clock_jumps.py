"""The database's clock jumps forward or back by an hour: no call is ended, no one is called again."""

from __future__ import annotations

import contextlib

import pytest

from speechaid.dialer.context import HandOver, WorkerContext
from tests.support.stage import QuietLink, Stage

PHONE = "+56912345678"
HOUR = 3600.0


def set_clock(context: WorkerContext, seconds: float) -> None:
    """As if the clock of the database's host had been set by this much."""
    clock = context.store._clock
    clock.now()
    assert clock._offset is not None
    clock._offset += seconds


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["forward", "back"])
@pytest.mark.parametrize("polls", [0, 2], ids=["while ringing", "while talking"])
def test_a_live_call_survives_a_clock_jump(stage: Stage, by: float, polls: int) -> None:
    stage.simulator.script({"*": ["agent_hangup"]})
    stage.add_job(PHONE)
    context = stage.context(CALL_POLLING_INTERVAL=1)
    waits = 0

    def jump() -> None:
        nonlocal waits
        if waits == polls:
            set_clock(context, by)
        waits += 1

    stage.on_wait = jump
    assert stage.dial_next(context)
    assert waits > polls + 2  # it was followed further
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] != "manual_stopped"
    assert stage.job()["status"] == "done"


def test_a_call_adopted_after_a_forward_clock_jump_is_not_ended(stage: Stage) -> None:
    stage.simulator.script({"*": ["agent_hangup"]})
    stage.add_job(PHONE)
    first, second = (
        stage.context("worker-1@host-a:1", CALL_POLLING_INTERVAL=1),
        stage.context("worker-2@host-b:2"),
    )
    link = first.link
    assert isinstance(link, QuietLink)
    waits = 0

    def leave() -> None:
        nonlocal waits
        waits += 1
        link.hand_over_requested = waits > 4  # the call is connected by now

    stage.on_wait = leave
    with contextlib.suppress(HandOver):
        stage.dial_next(first)
    set_clock(second, HOUR)
    stage.on_wait = lambda: None
    assert stage.recover_one(second)
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] != "manual_stopped"
    assert stage.job()["status"] == "done"
