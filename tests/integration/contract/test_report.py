"""What the database counts for a report, odd documents of other programs included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from speechaid.campaign.day_range import DayRange
from speechaid.store.connection import Store
from tests.support.reports import report_of

Document = dict[str, Any]
PLACED = datetime(2026, 7, 3, 14, 40, tzinfo=UTC)


def result(batch_id: str, outcome: str, **fields: Any) -> Document:
    return {"batch_id": batch_id, "outcome": outcome, "attempt": 0, "placed_at": PLACED, **fields}


def fill(store: Store) -> None:
    store.batches.table.insert_many([{"batch_id": "b1", "name": "July"}, {"batch_id": "b2"}])
    promised = {"fecha_pago_cliente": "2026-07-31", "monto_pago_cliente": "150.000"}
    store.jobs.insert_many(
        [
            {"batch_id": "b1", "status": "done", **promised},
            {"batch_id": "b1", "status": "completed", "monto_pago_cliente": 50_000},
            {"batch_id": "b1", "status": "pending", "fecha_pago_cliente": "", "monto_pago_cliente": None},
            {"batch_id": "b2", "status": "failed"},
            {"batch_id": "b2", "status": "cancelled", "cancel_reason": "on_do_not_call_list"},
            {"batch_id": "b2", "status": "cancelled", "cancel_reason": "do_not_call"},
            {"status": "pending"},
        ]
    )
    cost = {"cost": 0.25, "charged": {"minutes": 1.5, "credit": 0.5}}
    store.results.table.insert_many(
        [
            result("b1", "answered", duration_ms=90_000, **cost),
            result("b1", "no_answer", duration_ms=0),
            result("b1", "answered", duration_ms=30_000, attempt=1),
            result("b2", "busy"),
            {"call_data": {"call_cost": {"combined_cost": 250}}, "duration_ms": 60_000},
            {"call_data": "odd", "duration_ms": "odd", "placed_at": "odd", "cost": "odd", "charged": None},
        ]
    )


def test_one_batch_is_counted_apart_from_all_others(store: Store) -> None:
    fill(store)
    report = report_of(store, "b1", "America/Santiago")
    assert report["jobs"] == {"total": 3, "by_status": {"pending": 1, "done": 2}}
    assert report["jobs_on_do_not_call_list"] == 0
    assert report["calls"]["by_outcome"] == {"answered": 2, "no_answer": 1}
    assert (report["calls"]["connected"], report["calls"]["minutes"], report["calls"]["cost"]) == (2, 2, 0.25)
    assert report["calls"]["charged"] == {
        "minutes": 1.5,
        "credit": 0.5,
        "by_currency": [{"currency": None, "credit": 0.5, "people_reached": 0, "per_person_reached": None}],
    }
    assert [(row["attempt"], row["calls"]) for row in report["attempts"]] == [(1, 2), (2, 1)]
    assert [(row["hour"], row["calls"]) for row in report["hours"]] == [(10, 3)]
    assert (report["promises"]["jobs"], report["promises"]["amount"]) == (2, 200_000)
    assert [(row["batch_id"], row["name"]) for row in report["batches"]] == [("b1", "July")]


def test_all_batches_are_counted_with_what_speechai_left(store: Store) -> None:
    fill(store)
    report = report_of(store, None, "UTC")
    assert (report["jobs"]["total"], report["jobs_on_do_not_call_list"]) == (7, 1)
    assert report["calls"]["by_outcome"] == {"answered": 2, "no_answer": 1, "busy": 1, "unrecorded": 2}
    assert (report["calls"]["connected"], report["calls"]["cost"]) == (3, 2.75)
    assert {row["batch_id"]: row["calls"] for row in report["batches"]} == {"b1": 3, "b2": 1, None: 2}


def test_an_empty_database_has_a_report(store: Store) -> None:
    report = report_of(store, None, "UTC")
    assert (report["jobs"]["total"], report["calls"]["total"], report["batches"]) == (0, 0, [])


def test_a_day_is_that_of_placing_and_of_recording_where_placing_is_not_known(store: Store) -> None:
    """Midnight in Santiago is at 04:00 UTC on that day."""
    begin = datetime(2026, 7, 3, 4, tzinfo=UTC)
    before = datetime(2026, 7, 3, 3, 59, 59, tzinfo=UTC)
    last = datetime(2026, 7, 4, 3, 59, 59, tzinfo=UTC)
    end = datetime(2026, 7, 4, 4, tzinfo=UTC)
    moments = (before, begin, last, end)
    store.results.table.insert_many(
        [
            *(
                result("b1", "busy", placed_at=at, created_at=end, job_id=f"j{number}")
                for number, at in enumerate(moments)
            ),
            *(
                {"batch_id": "b1", "created_at": at, "job_id": f"old-{number}"}
                for number, at in enumerate(moments)
            ),
        ]
    )
    store.jobs.insert_many(
        [
            {"job_id": name, "batch_id": "b1", "status": "done"}
            for name in ("j0", "j1", "j2", "old-1", "other")
        ]
    )
    store.jobs.table.insert_many(
        [
            {"batch_id": "b1", "status": "done", "paid": {"at": at, "amount": 10 + number, "currency": "CLP"}}
            for number, at in enumerate(moments)
        ]
    )
    only = DayRange.read(day="2026-07-03", first=None, last=None)
    report = report_of(store, "b1", "America/Santiago", days=only)
    assert report["calls"]["by_outcome"] == {"busy": 2, "unrecorded": 2}
    assert report["jobs"]["total"] == 3
    assert report["recovered"]["by_currency"] == [{"currency": "CLP", "amount": 23, "jobs": 2}]
    assert [row["day"] for row in report["days"]] == ["2026-07-03"]
