"""A pause at every step of a dial: once the pause command has answered, no call of the batch is placed.

A hold likewise stops a test call, which obeys no pause.
"""

from __future__ import annotations

import pytest

from tests.support.stage import Stage
from tests.support.stories import (
    BATCH,
    STORIES,
    TEST_STORIES,
    Steps,
    Story,
    instrumented,
    run_to_end,
    set_up_story,
    steps_of,
    uncounted,
)

pytestmark = pytest.mark.slow

PAUSED = [
    story
    for story in STORIES
    if story.name in {"answered", "not_answered", "answer_lost", "answered_in_a_limited_batch"}
]


@pytest.mark.parametrize("story", [*PAUSED, *TEST_STORIES], ids=lambda story: story.name)
def test_after_the_answer_to_a_pause_no_call_of_the_batch_is_placed(stage: Stage, story: Story) -> None:
    names = steps_of(story, stage)
    answered_early = 0
    for pausing in range(len(names)):
        stage.clear()
        set_up_story(stage, story)
        placed_by_answer: list[int] = []

        def pause(
            number: int, _name: str, done: bool, pausing: int = pausing, placed: list[int] = placed_by_answer
        ) -> None:
            if number < pausing or done:
                return
            with uncounted():
                if number == pausing and story.is_test:
                    stage.store.holds.hold(by="operator", reason=None)
                elif number == pausing:
                    stage.store.batches.pause(BATCH, by="operator", reason=None)
                # What hold or pause-batch waits for before it answers.
                dials = stage.store.jobs.open_dials(None if story.is_test else BATCH)
                if not placed and dials.on_their_way == 0:
                    placed.append(len(stage.placed_calls()))

        with instrumented(Steps(pause)):
            run_to_end(stage, stage.context())
        stage.make_due_if_pending()
        run_to_end(stage, stage.context("worker-2@host-b:2"))
        if placed_by_answer:
            answered_early += 1
            when = f"paused before step {pausing} ({names[pausing]})"
            assert len(stage.placed_calls()) == placed_by_answer[0], when
    assert answered_early > len(names) // 2
