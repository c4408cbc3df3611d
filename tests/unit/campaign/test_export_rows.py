"""Rows of an export: which call a promise was made in, and when a job is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.campaign.erasure import kept_of_call
from speechaid.campaign.export_rows import EXPORTS, PROMISE_CALL, promise_call

Document = dict[str, Any]

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
JOB: Document = {
    "job_id": "job-1",
    "status": "failed",
    "contact": {"name": "Ana", "phones": ["+56912345671", "+56912345672"]},
    "call_id": "call_3",
    "call_ended_at": MONDAY.replace(day=9),
    "fecha_pago_cliente": "2026-03-15",
}


def result(number: int, *, day: int, collected: object = None, phone: str = "+56912345671") -> Document:
    """A result of the job, written on a day of March."""
    return {
        "job_id": "job-1",
        "call_id": f"call_{number}",
        "created_at": MONDAY.replace(day=day),
        "contact": {"phone_used": phone},
        "call_data": {"collected_dynamic_variables": collected},
    }


def promise(*results: Document) -> Document:
    """The row of the job's promise, by column."""
    export = EXPORTS["promises"]
    row = export.row({**JOB, PROMISE_CALL: promise_call(results)})
    return dict(zip(export.columns, row, strict=True))


def test_a_promise_has_the_phone_the_time_and_the_id_of_the_call_in_which_it_was_made() -> None:
    promised = result(2, day=5, collected={"fecha_pago_cliente": "2026-03-15"}, phone="+56912345672")
    row = promise(result(1, day=2), promised, result(3, day=9))
    assert (row["phone"], row["call_id"]) == ("+56912345672", "call_2")
    assert row["called_at"] == "2026-03-05 12:00:00"
    ended = promised | {"call_data": promised["call_data"] | {"end_timestamp": 1_772_700_000_000}}
    assert promise(ended)["called_at"] == "2026-03-05 08:40:00"


def test_a_promise_that_the_result_tells_counts_without_what_the_call_collected() -> None:
    told = result(2, day=5) | {"promised": {"day": "2026-03-15"}}
    assert promise(result(1, day=2), told, result(3, day=9))["call_id"] == "call_2"


def test_of_several_promises_the_newest_counts_in_whatever_order_they_are_read() -> None:
    first = result(1, day=2, collected={"fecha_pago_cliente": "soon"})
    second = result(2, day=5, collected={"monto_pago_cliente": 900}, phone="+56912345672")
    assert promise(first, second)["call_id"] == promise(second, first)["call_id"] == "call_2"


@pytest.mark.parametrize("collected", [None, {}, "soon", {"fecha_pago_cliente": ""}, {"nombre": "Ana"}])
def test_the_only_call_is_that_of_the_promise_and_of_several_none_is_guessed(collected: object) -> None:
    one, other = result(1, day=2, collected=collected), result(2, day=5, collected=collected)
    assert promise(one)["call_id"] == "call_1"
    assert [promise(one, other)[name] for name in ("phone", "call_id", "called_at")] == [None] * 3
    assert [promise()[name] for name in ("phone", "call_id", "called_at")] == [None] * 3


def test_the_call_of_a_promise_is_known_after_its_transcript_is_erased() -> None:
    promised = result(1, day=2, collected={"fecha_pago_cliente": "15/03/2026", "nombre": "Ana"})
    erased = {**promised, "call_data": kept_of_call(promised)}
    assert "15" not in repr(erased["call_data"])
    assert "Ana" not in repr(erased["call_data"])
    assert promise(erased, result(2, day=5))["call_id"] == "call_1"


@pytest.mark.parametrize(
    ("status", "due"), [("pending", "2026-03-02 12:00:00"), ("in_progress", None), ("done", None)]
)
def test_only_a_pending_job_is_due_since_others_keep_the_lease_of_a_worker(
    status: str, due: str | None
) -> None:
    export = EXPORTS["jobs"]
    row = export.row({**JOB, "status": status, "reserved_until": MONDAY})
    assert dict(zip(export.columns, row, strict=True))["due_at"] == due
