"""The database's clock is set forward or back by an hour: nobody is hung up on, nobody is called again."""

from __future__ import annotations

import contextlib

import pytest

from speechaid.dialer.context import HandOver, WorkerContext
from tests.support.stage import QuietLink, Stage

PHONE = "+56912345678"
HOUR = 3600.0


def set_clock(context: WorkerContext, seconds: float) -> None:
    """As if somebody had set the clock of the database's host by so much."""
    clock = context.store._clock
    clock.now()
    assert clock._offset is not None
    clock._offset += seconds


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["forward", "back"])
@pytest.mark.parametrize("polls", [0, 2], ids=["while it rings", "while they talk"])
def test_a_live_call_outlives_a_clock_that_is_set(stage: Stage, by: float, polls: int) -> None:
    stage.simulator.script({"*": ["agent_hangup"]})
    stage.add_job(PHONE)
    context = stage.context(CALL_POLLING_INTERVAL=1)
    rests = 0

    def jump() -> None:
        nonlocal rests
        if rests == polls:
            set_clock(context, by)
        rests += 1

    stage.on_rest = jump
    assert stage.dial_next(context)
    assert rests > polls + 2  # it was followed on
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] != "manual_stopped"
    assert stage.job()["status"] == "done"


def test_a_call_adopted_under_a_clock_set_forward_is_not_hung_up_on(stage: Stage) -> None:
    stage.simulator.script({"*": ["agent_hangup"]})
    stage.add_job(PHONE)
    first, second = (
        stage.context("worker-1@host-a:1", CALL_POLLING_INTERVAL=1),
        stage.context("worker-2@host-b:2"),
    )
    link = first.link
    assert isinstance(link, QuietLink)
    rests = 0

    def leave() -> None:
        nonlocal rests
        rests += 1
        link.hand_over_requested = rests > 4  # they are talking by now

    stage.on_rest = leave
    with contextlib.suppress(HandOver):
        stage.dial_next(first)
    set_clock(second, HOUR)
    stage.on_rest = lambda: None
    assert stage.take_over(second)
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] != "manual_stopped"
    assert stage.job()["status"] == "done"
