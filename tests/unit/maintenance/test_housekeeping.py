"""Which batches status names, where a company has more of them than anybody reads."""

from __future__ import annotations

from typing import Any

from speechaid.maintenance.housekeeping import BATCHES_SHOWN, worth_showing


def batch(number: int, **jobs: int) -> dict[str, Any]:
    return {"batch_id": f"batch-{number:06}", "jobs": jobs}


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["batch_id"] for row in rows]


def test_all_batches_are_named_newest_first_while_they_are_few() -> None:
    rows = [batch(1, done=5), batch(3, pending=1), batch(2, failed=1)]
    assert names(worth_showing(rows)) == ["batch-000003", "batch-000002", "batch-000001"]


def test_an_old_batch_with_work_left_is_named_before_newer_ones_that_are_over() -> None:
    over = [batch(number, done=1, failed=2, cancelled=3) for number in range(1, BATCHES_SHOWN + 50)]
    shown = names(worth_showing([batch(0, done=9, suspended=1), *over]))
    assert len(shown) == BATCHES_SHOWN
    assert shown[-1] == "batch-000000"
    assert shown[0] == names(over)[-1]
