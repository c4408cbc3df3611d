"""Turns over a real channel: what a worker's link takes, declines and reports, and what the fleet answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import (
    Beat,
    Order,
    Report,
    TurnWanted,
    WorkerIdentity,
    decode_report,
    encode_command,
    turn_data,
)
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.states import CREATE_CALL_STEP, WorkerState
from speechaid.rules.turn import Turn, TurnEnd, TurnKind
from tests.integration.fleet.test_fleet import Stage, stage

__all__ = ["stage"]

LONG = 60.0


@pytest.fixture
def linked() -> Iterator[tuple[Channel, SupervisorLink]]:
    ours, theirs = Channel.pair()
    link = SupervisorLink(Channel(theirs), WorkerIdentity(slot="worker-1", host="here", pid=os.getpid()))
    yield ours, link
    link.close()
    ours.close()


def turn(number: int, kind: TurnKind = TurnKind.CLAIM) -> Turn:
    return Turn(number=number, kind=kind, until=1e12, is_fresh=True, served={"march": 9, None: 7})


def give(supervisor: Channel, given: Turn) -> None:
    supervisor.send(encode_command(Order.TURN, turn_data(given)))


def reports(channel: Channel) -> list[Report]:
    return [decode_report(message) for message in channel.receive()]


def report(link: SupervisorLink, step: str, job: str | None = "job-1", **changes: Any) -> None:
    state = changes.get("state", WorkerState.DIALLING)
    link.report_step(state, step, within_seconds=30, job=job)


def ends(channel: Channel) -> list[TurnEnd]:
    return [report for report in reports(channel) if isinstance(report, TurnEnd)]


def test_a_turn_arrives_as_it_was_given(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.ask_for_turn(after_job=True)
    report(link, "wait", None, state=WorkerState.IDLE)
    assert [type(each) for each in reports(supervisor)] == [TurnWanted, Beat]
    given = turn(3)
    give(supervisor, given)
    link.commands(LONG)
    assert link.take_turn() == given
    assert link.take_turn() is None


def test_a_turn_ends_when_the_call_is_to_be_placed(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.ask_for_turn(after_job=False)
    give(supervisor, turn(1))
    link.commands(LONG)
    link.take_turn()
    report(link, "claim", None, state=WorkerState.CLAIMING)
    link.note_claim(more=True, served="batch-1")
    report(link, "intent")
    assert ends(supervisor) == []
    report(link, CREATE_CALL_STEP)
    assert ends(supervisor) == [TurnEnd(number=1, got=True, more=True, served="batch-1")]
    link.end_turn(got=True)
    report(link, "get call", state=WorkerState.FOLLOWING)
    assert ends(supervisor) == []


def test_a_turn_without_a_job_ends_with_the_look(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.ask_for_turn(after_job=False)
    give(supervisor, turn(1))
    link.commands(LONG)
    link.take_turn()
    link.end_turn(next_due_at=12.5)
    report(link, "wait", None, state=WorkerState.IDLE)
    assert ends(supervisor) == [TurnEnd(number=1, next_due_at=12.5)]


def test_a_turn_for_lapsed_leases_ends_with_the_adoption(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.ask_for_turn(after_job=False)
    give(supervisor, turn(1, TurnKind.RECOVER))
    link.commands(LONG)
    link.take_turn()
    report(link, "look for lapsed leases", None, state=WorkerState.RECOVERING)
    assert ends(supervisor) == []
    report(link, "list calls", state=WorkerState.RECOVERING)
    assert ends(supervisor) == [TurnEnd(number=1, got=True, more=True)]


def test_a_turn_that_was_not_asked_for_is_declined_at_once_and_a_doubled_one_ignored(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    give(supervisor, turn(1))
    give(supervisor, turn(1))
    link.commands(LONG)
    assert link.take_turn() is None
    assert ends(supervisor) == [TurnEnd(number=1, declined=True)]


def test_a_turn_that_comes_while_the_worker_looks_by_itself_is_declined(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    link.ask_for_turn(after_job=False)
    link.begin_alone()
    give(supervisor, turn(4))
    link.read_orders()
    assert TurnEnd(number=4, declined=True) in ends(supervisor)


def test_an_unreadable_turn_is_reported_and_harms_nothing(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.ask_for_turn(after_job=False)
    supervisor.send(encode_command(Order.TURN, {"number": "x"}))
    give(supervisor, turn(2))
    link.commands(LONG)
    taken = link.take_turn()
    assert taken is not None
    assert taken.number == 2


def test_a_worker_is_told_for_how_long_to_wait(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    supervisor.send(encode_command(Order.WAIT, {"seconds": 30.0}))
    link.commands(LONG)
    assert link.take_wait() == 30.0
    assert link.take_wait() is None


def test_the_fleet_gives_idle_workers_a_turn_and_shows_who_has_it(stage: Stage) -> None:
    stage.task("every", "ask")
    stage.start(2)

    def holders() -> set[str]:
        return {row["turn"] for row in stage.fleet.rows(0.0)}

    stage.until(lambda: holders() == {"claim", "recover"}, "a turn of each kind")
    stage.fleet.drain(True)
    stage.task("every", "ask and look")
    stage.until(lambda: holders() <= {None, "recover"}, "no claim in a drain")
