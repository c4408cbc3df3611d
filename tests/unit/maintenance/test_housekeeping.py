"""Which batches ``status`` names, where there are too many to name all."""

from __future__ import annotations

from typing import Any

from speechaid.maintenance.housekeeping import BATCHES_SHOWN, batches_to_show


def batch(number: int, **jobs: int) -> dict[str, Any]:
    return {"batch_id": f"batch-{number:06}", "jobs": jobs}


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["batch_id"] for row in rows]


def test_a_few_batches_are_all_named_newest_first() -> None:
    rows = [batch(1, done=5), batch(3, pending=1), batch(2, failed=1)]
    assert names(batches_to_show(rows)) == ["batch-000003", "batch-000002", "batch-000001"]


def test_an_old_batch_with_work_left_takes_precedence_over_newer_finished_ones() -> None:
    finished = [batch(number, done=1, failed=2, cancelled=3) for number in range(1, BATCHES_SHOWN + 50)]
    shown = names(batches_to_show([batch(0, done=9, suspended=1), *finished]))
    assert len(shown) == BATCHES_SHOWN
    assert shown[-1] == "batch-000000"
    assert shown[0] == names(finished)[-1]
