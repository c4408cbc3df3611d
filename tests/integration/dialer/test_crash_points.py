"""A worker stopped dead at every step between claim and settled: what another makes of it."""

from __future__ import annotations

import pytest

from tests.support.stage import Stage
from tests.support.stories import (
    STORIES,
    Steps,
    Story,
    check,
    finish_what_is_left,
    go_through,
    instrumented,
    set_the_scene,
    steps_of,
)

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_worker_that_dies_at_any_step_loses_and_doubles_nothing(stage: Stage, story: Story) -> None:
    names = steps_of(story, stage)
    told = 0
    for fatal in range(len(names)):
        for after in (False, True):

            def kill(number: int, _name: str, done: bool, fatal: int = fatal, after: bool = after) -> None:
                if (number, done) == (fatal, after):
                    raise Killed

            stage.clear()
            set_the_scene(stage, story)
            with instrumented(Steps(kill)), pytest.raises(Killed):
                go_through(stage, stage.context("worker-1@host-a:1"))
            finish_what_is_left(stage, stage.context("worker-2@host-b:2"))
            try:
                check(stage, story)
            except AssertionError as exc:
                pytest.fail(f"killed {'after' if after else 'before'} step {fatal} ({names[fatal]}): {exc}")
            told += 1
    assert told == 2 * len(names)
