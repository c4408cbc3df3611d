"""A worker frozen at each step for longer than its lease, while another host works; then thawed."""

from __future__ import annotations

import contextlib

import pytest

from speechaid.errors import LeaseLost
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
    uncounted,
)

pytestmark = pytest.mark.slow

#: Stories without a lost request: the second host can end the job while the first is frozen.
UNDISTURBED = [story for story in (*STORIES, *TEST_STORIES) if story.fault is None and not story.marked]


@pytest.mark.parametrize("story", UNDISTURBED, ids=lambda story: story.name)
def test_the_adopter_s_result_stands_and_the_thawed_worker_places_no_call(stage: Stage, story: Story) -> None:
    # Under a cap reads are steps, too: what was read before a freeze may be old after it.
    names = steps_of(story, stage, with_reads=story.is_capped)
    for frozen in range(len(names)):
        stage.clear()
        set_up_story(stage, story)

        def freeze(number: int, _name: str, done: bool, frozen: int = frozen) -> None:
            if (number, done) == (frozen, False):
                with uncounted():
                    finish_with(stage, stage.context("worker-2@host-b:2"))

        steps = Steps(freeze)
        with instrumented(steps, with_reads=story.is_capped), contextlib.suppress(LeaseLost):
            run_to_end(stage, stage.context("worker-1@host-a:1"))
        try:
            check(stage, story)
        except AssertionError as exc:
            pytest.fail(f"frozen before step {frozen} ({names[frozen]}): {exc}")
