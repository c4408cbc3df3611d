"""What the fleet's loop is woken for: ends at once, words in gatherings."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from speechaid.fleet.channel import Channel
from speechaid.fleet.poller import GATHERING_SECONDS, ProcessPoller
from speechaid.fleet.slots import Slot

NOW = 100.0


class Scene:
    """A watched slot, and its worker's end of the line."""

    def __init__(self) -> None:
        self.watch = ProcessPoller()
        self.slot = Slot(1, 0.0)
        self.slot.channel, theirs = Channel.pair()
        self.worker = Channel(theirs)
        self.watch.add(self.slot)

    def says(self) -> None:
        assert self.worker.send({"n": 1})

    def is_woken(self) -> bool:
        poll = select.poll()
        poll.register(self.watch.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def hears(self, now: float, *, hear_all: bool = False) -> bool:
        news = self.watch.poll(now, hear_all=hear_all)
        if news and self.slot.channel is not None:
            self.slot.channel.receive()
        return news == [(self.slot, False)]

    def close(self) -> None:
        assert self.slot.channel is not None
        self.slot.channel.close()
        self.worker.close()
        self.watch.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


def test_the_first_word_wakes_at_once(scene: Scene) -> None:
    assert not scene.is_woken()
    scene.says()
    assert scene.is_woken()
    assert scene.hears(NOW)


def test_words_right_behind_others_gather_for_a_moment(scene: Scene) -> None:
    scene.says()
    scene.hears(NOW)
    scene.says()
    assert not scene.is_woken()
    assert not scene.hears(NOW + GATHERING_SECONDS / 2)
    assert scene.watch.next_read_at == NOW + GATHERING_SECONDS
    assert scene.hears(NOW + GATHERING_SECONDS)


def test_after_a_moment_of_silence_a_word_wakes_at_once_again(scene: Scene) -> None:
    scene.says()
    scene.hears(NOW)
    assert not scene.hears(NOW + GATHERING_SECONDS)
    scene.says()
    assert scene.is_woken()


def test_what_gathers_is_heard_before_anybody_is_judged(scene: Scene) -> None:
    scene.says()
    scene.hears(NOW)
    scene.says()
    assert scene.hears(NOW, hear_all=True)
