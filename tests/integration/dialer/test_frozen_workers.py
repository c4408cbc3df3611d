"""A worker frozen at every step for longer than its lease, another host at work meanwhile, then thawed."""

from __future__ import annotations

import contextlib

import pytest

from speechaid.errors import LeaseLost
from tests.support.stage import Stage
from tests.support.stories import (
    STORIES,
    Steps,
    Story,
    check,
    finish_what_is_left,
    go_through,
    instrumented,
    plain,
    set_the_scene,
    steps_of,
)

pytestmark = pytest.mark.slow

#: Where nothing is lost on the way, so that the second host can end the job while the first sleeps.
QUIET = [story for story in STORIES if story.fault is None and not story.marked]


@pytest.mark.parametrize("story", QUIET, ids=lambda story: story.name)
def test_what_the_adopter_did_stands_and_the_sleeper_calls_nobody(stage: Stage, story: Story) -> None:
    names = steps_of(story, stage)
    for frozen in range(len(names)):
        stage.clear()
        set_the_scene(stage, story)

        def freeze(number: int, _name: str, done: bool, frozen: int = frozen) -> None:
            if (number, done) == (frozen, False):
                with plain():
                    finish_what_is_left(stage, stage.context("worker-2@host-b:2"))

        with instrumented(Steps(freeze)), contextlib.suppress(LeaseLost):
            go_through(stage, stage.context("worker-1@host-a:1"))
        try:
            check(stage, story)
        except AssertionError as exc:
            pytest.fail(f"frozen before step {frozen} ({names[frozen]}): {exc}")
