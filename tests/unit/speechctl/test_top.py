"""The live screen: it fits 80x24 with any number of workers."""

from __future__ import annotations

from typing import Any

from speechctl.top import Rates, lines
from tests.support.fakes import FakeDaemon


def worker(number: int, *, call_for: float | None = None, **fields: Any) -> dict[str, Any]:
    in_call = call_for is not None
    return {
        "slot": f"worker-{number}",
        "state": "following" if in_call else "idle",
        "job": f"job-{number:016x}" if in_call else None,
        "call": f"call_{number:032x}" if in_call else None,
        "call_for_seconds": call_for,
        "for_seconds": 0.4,
        "calls_done": number,
        "restarts": {},
        **fields,
    }


def screen(workers: list[dict[str, Any]], **fields: Any) -> list[str]:
    result = {**FakeDaemon().snapshot(), "workers": workers, **fields}
    return lines(result, Rates(), width=80, height=24)


def test_two_hundred_workers_fit_on_eighty_by_twenty_four() -> None:
    batches = [
        {"batch_id": f"batch-20260302-{n:08d}", "name": "March " * 9, "active": True, "jobs": {"pending": 5}}
        for n in range(40)
    ]
    shown = screen([worker(n, call_for=n * 1.5 if n % 3 else None) for n in range(200)], batches=batches)
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    assert any("more:" in line for line in shown)


def test_batches_that_status_does_not_list_are_counted() -> None:
    batches = [{"batch_id": f"batch-{n}", "active": True, "jobs": {"scheduled": 5}} for n in range(100)]
    shown = screen([], batches=batches, batches_left_out=400, batches_with_work=250)
    assert "  and 247 more batches with work left" in shown


def test_what_is_dialled_first_stands_first_with_its_priority() -> None:
    row = {"active": True, "jobs": {"pending": 5}}
    batches = [
        {**row, "batch_id": "batch-1", "name": "March", "priority": 1, "jobs": {"pending": 50}},
        {**row, "batch_id": "batch-2", "name": "Due today", "priority": 3},
        {**row, "batch_id": "batch-3", "name": "Stopped", "priority": 3, "active": False},
    ]
    shown = [line for line in screen([], batches=batches) if "batch-" in line or "first" in line]
    assert shown[0] == "  dialled first: Due today (urgent)"
    assert [line.split()[0] for line in shown[1:]] == ["batch-2", "batch-1", "batch-3"]
    assert "URGENT  Due today" in shown[1]


def test_batches_of_one_priority_take_turns_and_none_is_named_first() -> None:
    batches = [
        {"batch_id": f"batch-{n}", "active": True, "priority": 2, "jobs": {"pending": 5}} for n in (1, 2)
    ]
    assert not any("dialled first" in line for line in screen([], batches=batches))


def test_calls_of_workers_that_were_scaled_away_still_count_as_ended() -> None:
    assert any("  ended 186  " in line for line in screen([worker(1)]))


def test_the_longest_call_is_on_top() -> None:
    shown = screen([worker(1, call_for=5), worker(2, call_for=300), worker(3)])
    rows = [line for line in shown if line.startswith("worker-")]
    assert [row.split()[0] for row in rows] == ["worker-2", "worker-1", "worker-3"]
    assert "5m 00s" in rows[0]


def test_warnings_are_shown_with_a_large_fleet() -> None:
    hold = {"by": "maria", "at": "2026-03-02T10:00:00+00:00", "reason": "fire"}
    shown = screen([worker(n, call_for=9.0) for n in range(200)], fleet_hold=hold)
    assert any("HELD on all hosts by maria" in line for line in shown)


def test_a_paused_worker_is_shown_among_many_idle_ones() -> None:
    shown = screen([*(worker(n) for n in range(100)), worker(100, paused=True)])
    assert any(line.startswith("worker-100 ") and "paused" in line for line in shown)


def test_the_rate_covers_the_last_minute_and_starts_afresh_with_the_daemon() -> None:
    rates = Rates()
    rates.note(0.0, 10)
    assert rates.per_minute() is None
    rates.note(30.0, 20)
    assert rates.per_minute() == 20.0
    rates.note(31.0, 0)
    assert rates.per_minute() is None


def test_control_characters_in_a_batch_name_are_replaced() -> None:
    batches = [{"batch_id": "b", "name": "\x1b[2J", "active": True, "jobs": {"pending": 1}}]
    assert not any("\x1b" in line for line in screen([worker(1)], batches=batches))
