"""SpeechAI's counters of a batch, kept by every host's housekeeper."""

from __future__ import annotations

from speechaid.maintenance.housekeeping import Housekeeper
from tests.support.stage import Stage

BATCH = "batch-20260101-00000001"


def test_an_old_count_that_a_dead_keeper_wrote_last_is_put_right(stage: Stage) -> None:
    # Given a keeper that has counted and written
    stage.add_batch(BATCH)
    stage.add_job("+12025550123", batch_id=BATCH, status="done")
    keeper = Housekeeper(stage.store)
    keeper.tick(stage.settings, now=0.0)
    # When one of another host, which had counted before, writes after it and is gone
    stage.store.batches.write_counts(BATCH, {"completed_jobs": 0, "pending_jobs": 1})
    keeper.tick(stage.settings, now=100.0)
    # Then the next turn puts it right, though nothing has changed among the jobs
    batch = stage.store.batches.get(BATCH).document
    assert (batch["completed_jobs"], batch["pending_jobs"], batch["total_jobs"]) == (1, 0, 1)
