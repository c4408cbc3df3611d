"""SpeechAI's retries: due ones are taken up, those without an attempt left are read once, not for ever."""

from __future__ import annotations

from datetime import timedelta

from speechaid.clock import SystemClock
from speechaid.maintenance.housekeeping import RETRIES_PER_TICK, Housekeeper
from tests.support.stage import Stage


def tick(stage: Stage) -> None:
    Housekeeper(stage.store).tick(stage.settings, SystemClock().boottime())


def test_exhausted_ones_are_cleared_and_do_not_keep_others_from_their_turn(common_stage: Stage) -> None:
    stage, due = common_stage, common_stage.store.now() - timedelta(hours=1)
    exhausted = {"status": "failed", "attempts": 3, "next_try_at": due - timedelta(hours=1)}
    stage.database.jobs.insert_many(
        [{"job_id": f"spent-{number}", **exhausted} for number in range(RETRIES_PER_TICK + 1)]
    )
    stage.database.jobs.insert_one({"job_id": "job-1", "status": "failed", "attempts": 1, "next_try_at": due})

    tick(stage)
    assert stage.job()["status"] == "failed"  # a tick looks at so many only
    tick(stage)

    assert stage.job()["status"] == "pending"
    assert stage.database.jobs.count_documents({"next_try_at": {"$exists": True}}) == 0
    assert stage.database.jobs.count_documents({"status": "failed", "attempts": 3}) == RETRIES_PER_TICK + 1
