"""The durable writes of a dial, one for one: each costs every call a sync of the journal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.stage import Stage
from tests.support.stories import STORIES, Steps, Story, instrumented, set_up_story

PLAIN = next(story for story in STORIES if story.name == "answered")
POST = "POST create-phone-call"
CLAIM, INTENT, CALL, JOB = ("update jobs",) * 4
ACCOUNT, LEDGER = "update accounts", "update speechaid_ledger"
ENTRY = "update batches"

#: What is written before the POST, and after it, by what the batch has.
WRITES: dict[str, tuple[Story, list[str], list[str]]] = {
    "usual": (
        PLAIN,
        [CLAIM, INTENT, ACCOUNT],
        [CALL, "insert call_results", ACCOUNT, JOB],
    ),
    "limited": (
        replace(PLAIN, is_limited=True),
        [CLAIM, INTENT, ENTRY, ACCOUNT],
        [CALL, "insert call_results", ACCOUNT, ENTRY, JOB],
    ),
    "under a cap": (
        replace(PLAIN, is_capped=True),
        [CLAIM, INTENT, "insert speechaid_ledger", ACCOUNT],
        [CALL, "insert call_results", ACCOUNT, LEDGER, JOB],
    ),
    "limited, under a cap": (
        replace(PLAIN, is_limited=True, is_capped=True),
        [CLAIM, INTENT, "insert speechaid_ledger", ENTRY, ACCOUNT],
        [CALL, "insert call_results", ACCOUNT, ENTRY, LEDGER, JOB],
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_dial_makes_these_durable_writes_and_no_other(stage: Stage, name: str) -> None:
    story, before, after = WRITES[name]
    set_up_story(stage, story)
    # What is written once: the level by each process, that all entries are there by the first limited dial.
    if story.is_limited:
        stage.database.batches.update_one({}, {"$set": {"has_all_entries": True}})
    context = stage.context()
    context.level_is_required = True
    steps = Steps()
    with instrumented(steps):
        assert stage.dial_next(context)
    at = steps.names.index(POST)
    writes = [step for step in steps.names if not step.startswith(("POST", "GET"))]
    # A story's call lasts for some polls, none long enough for a renewal of the lease.
    assert steps.names[:at] == before
    assert writes[len(before) :] == after
    assert stage.job()["status"] == "done"
