"""A worker killed at every step from claim to settlement, and another that continues its job."""

from __future__ import annotations

import pytest

from tests.support.stage import Stage
from tests.support.stories import (
    STORIES,
    TEST_STORIES,
    Steps,
    Story,
    check,
    finish_with,
    instrumented,
    run_to_end,
    set_up_story,
    steps_of,
)

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process is gone: no code of it runs any more."""


@pytest.mark.parametrize("story", [*STORIES, *TEST_STORIES], ids=lambda story: story.name)
def test_a_worker_that_dies_at_any_step_loses_nothing_and_repeats_nothing(stage: Stage, story: Story) -> None:
    names = steps_of(story, stage)
    runs = 0
    for fatal in range(len(names)):
        for after in (False, True):

            def kill(number: int, _name: str, done: bool, fatal: int = fatal, after: bool = after) -> None:
                if (number, done) == (fatal, after):
                    raise Killed

            stage.clear()
            set_up_story(stage, story)
            with instrumented(Steps(kill)), pytest.raises(Killed):
                run_to_end(stage, stage.context("worker-1@host-a:1"))
            finish_with(stage, stage.context("worker-2@host-b:2"))
            try:
                check(stage, story)
            except AssertionError as exc:
                pytest.fail(f"killed {'after' if after else 'before'} step {fatal} ({names[fatal]}): {exc}")
            runs += 1
    assert runs == 2 * len(names)
