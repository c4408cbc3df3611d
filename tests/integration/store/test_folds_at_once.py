"""Several hosts that fold the same results into their batch at once add each once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.stage import Stage

BATCH = "batch-20260101-00000001"


def test_results_that_several_hosts_fold_at_once_are_added_once(common_stage: Stage) -> None:
    common_stage.add_batch(BATCH)
    due = {"batch_id": BATCH, "total_cost": 0.1, "total_minutes": 0.5}
    stores = [common_stage.context(f"worker-1@host-{number}:1").store for number in range(4)]
    for first in range(0, 90, 30):
        rows = [{"dial_key": f"key-{number}", "batch_due": due} for number in range(first, first + 30)]
        common_stage.database.call_results.insert_many(rows)
        with ThreadPoolExecutor(len(stores)) as pool:
            list(pool.map(lambda store: store.batch_sums.fold_all(), stores))
    batch = common_stage.batch(BATCH)
    assert batch["total_minutes"] == pytest.approx(45)
    assert batch["total_cost"] == pytest.approx(9)
    assert common_stage.database.call_results.count_documents({"batch_due": {"$exists": True}}) == 0
