"""What wakes the fleet's loop: the end of a process at once, messages in batches."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from speechaid.fleet.channel import Channel
from speechaid.fleet.poller import READ_INTERVAL_SECONDS, ProcessPoller
from speechaid.fleet.slots import Slot

NOW = 100.0


class Scene:
    """A watched slot, and its worker's end of the channel."""

    def __init__(self) -> None:
        self.poller = ProcessPoller()
        self.slot = Slot(1, 0.0)
        self.slot.channel, theirs = Channel.pair()
        self.worker = Channel(theirs)
        self.poller.add(self.slot)

    def send(self) -> None:
        assert self.worker.send({"n": 1})

    def is_woken(self) -> bool:
        waiter = select.poll()
        waiter.register(self.poller.fileno(), select.POLLIN)
        return bool(waiter.poll(0))

    def poll(self, now: float, *, read_all: bool = False) -> bool:
        ready = self.poller.poll(now, read_all=read_all)
        if ready and self.slot.channel is not None:
            self.slot.channel.receive()
        return ready == [(self.slot, False)]

    def close(self) -> None:
        assert self.slot.channel is not None
        self.slot.channel.close()
        self.worker.close()
        self.poller.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


def test_the_first_message_wakes_the_loop_at_once(scene: Scene) -> None:
    assert not scene.is_woken()
    scene.send()
    assert scene.is_woken()
    assert scene.poll(NOW)


def test_messages_right_after_a_read_wait_for_the_next_read(scene: Scene) -> None:
    scene.send()
    scene.poll(NOW)
    scene.send()
    assert not scene.is_woken()
    assert not scene.poll(NOW + READ_INTERVAL_SECONDS / 2)
    assert scene.poller.next_read_at == NOW + READ_INTERVAL_SECONDS
    assert scene.poll(NOW + READ_INTERVAL_SECONDS)


def test_a_small_fleet_is_read_sooner(scene: Scene) -> None:
    scene.poller.read_interval = 0.002
    scene.send()
    scene.poll(NOW)
    assert scene.poller.next_read_at == NOW + 0.002


def test_after_a_read_without_messages_the_next_one_wakes_at_once(scene: Scene) -> None:
    scene.send()
    scene.poll(NOW)
    assert not scene.poll(NOW + READ_INTERVAL_SECONDS)
    scene.send()
    assert scene.is_woken()


def test_waiting_messages_can_be_read_before_deadlines_are_checked(scene: Scene) -> None:
    scene.send()
    scene.poll(NOW)
    scene.send()
    assert scene.poll(NOW, read_all=True)
