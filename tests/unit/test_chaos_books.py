"""The chaos run's books: honest ones close clean, and each way to cook them is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from speechaid.demo.audit import AuditPolicy
from tests.chaos import books
from tests.chaos.books import Books
from tests.chaos.monkey import Pause

Document = dict[str, Any]
A, B = "+56910000001", "+56910000002"


def call(call_id: str, number: str, placed_at: float, reason: str, talked: float = 0.0) -> Document:
    return {
        "call_id": call_id,
        "to_number": number,
        "metadata": {"job_id": "job-1", "batch_id": "batch-1", "account_id": "acc-1"},
        "call_status": "ended" if talked else "not_connected",
        "placed_at": placed_at,
        "connected_at": placed_at + 1 if talked else None,
        "ended_at": placed_at + 1 + talked,
        "disconnection_reason": reason,
        "duration_ms": round(talked * 60_000),
        "cost_cents": talked * 10,
    }


def result(entry: Document) -> Document:
    return {
        "call_id": entry["call_id"],
        "job_id": "job-1",
        "contact": {"phone_used": entry["to_number"]},
        "call_status": entry["call_status"],
        "disconnection_reason": entry["disconnection_reason"],
        "duration_ms": entry["duration_ms"],
        "cost": entry["cost_cents"] / 100,
    }


def honest() -> Books:
    """One job: the first phone is busy, the second is answered for two minutes."""
    ledger = [call("call-1", A, 100, "dial_busy"), call("call-2", B, 110, "user_hangup", talked=2)]
    job = {"job_id": "job-1", "batch_id": "batch-1", "account_id": "acc-1", "status": "done", "attempts": 0}
    prices = {"cost_per_call_setup": 1.0, "cost_per_minute": 2.0, "cost_failed_call": 0.5}
    account = {"account_id": "acc-1", "plan_type": "credit_based", "max_concurrent_calls": 1, **prices}
    return Books(
        jobs=[{"_id": 1, **job, "contact": {"phones": [A, B], "next_phone_index": 1}}],
        results=[result(entry) for entry in ledger],
        accounts=[
            {**account, "credit_used": 5.5, "credit_reserved": 0.0, "calls_today": 2, "open_dials": []}
        ],
        batches=[
            {"batch_id": "batch-1", "total_cost": 0.2, "total_minutes": 2.0, "open_dials": []}
            | {"call_settings": {"max_concurrent_calls": 1}, "total_jobs": 1, "completed_jobs": 1}
            | dict.fromkeys(("failed_jobs", "pending_jobs", "suspended_jobs"), 0)
        ],
        ledger=ledger,
        overlaps=[],
        pauses=[Pause("batch-1", 50, 60)],
        policy=AuditPolicy(max_attempts=2, retry_delay_seconds=1, no_answer_delay_seconds=1),
    )


def test_honest_books_close_clean() -> None:
    assert books.close(honest()).clean


Cooked = Callable[[Books], Books]


def _job(**fields: Any) -> Cooked:
    return lambda honest: replace(honest, jobs=[{**honest.jobs[0], **fields}])


def _account(**fields: Any) -> Cooked:
    return lambda honest: replace(honest, accounts=[{**honest.accounts[0], **fields}])


def _batch(**fields: Any) -> Cooked:
    return lambda honest: replace(honest, batches=[{**honest.batches[0], **fields}])


def _second_call(**fields: Any) -> Cooked:
    return lambda honest: replace(honest, ledger=[honest.ledger[0], {**honest.ledger[1], **fields}])


def _third_call(honest: Books) -> Books:
    more = call("call-3", A, 200, "dial_busy")
    return replace(honest, ledger=[*honest.ledger, more], results=[*honest.results, result(more)])


WAYS: list[tuple[str, str, Cooked]] = [
    ("a job without an end", "lost", _job(status="pending")),
    ("a call without a record", "lost", lambda honest: replace(honest, results=honest.results[:1])),
    ("a record without a call", "lost", lambda honest: replace(honest, ledger=honest.ledger[:1])),
    ("a call after the end", "doubled", _third_call),
    ("a call recorded twice", "doubled", lambda honest: replace(honest, results=[*honest.results] * 2)),
    ("a call of a job that is on the phone", "doubled", _second_call(placed_at=100.5)),
    ("a call of nobody's job", "doubled", _second_call(metadata={"job_id": "job-9"})),
    ("the phone out of turn", "doubled", _second_call(to_number=A)),
    (
        "two calls at once to one number",
        "doubled",
        lambda honest: replace(honest, overlaps=[{"call_ids": ["call-1", "call-2"], "to_number": A}]),
    ),
    ("credit not charged", "uncharged", _account(credit_used=5.4)),
    ("credit charged twice", "double_charged", _account(credit_used=10.5)),
    ("a call not counted", "uncharged", _account(calls_today=1)),
    ("a call counted twice", "double_charged", _account(calls_today=3)),
    ("a batch that paid twice", "double_charged", _batch(total_cost=0.4)),
    ("minutes that no batch has", "uncharged", _batch(total_minutes=1.0)),
    ("a reservation left behind", "leaked", _account(credit_reserved=3.0)),
    ("an open dial left behind", "leaked", _batch(open_dials=[{"key": "k"}])),
    ("a counter that nobody put right", "illegal", _batch(completed_jobs=0)),
    ("another end than the calls say", "illegal", _job(status="failed")),
    ("a job that is still held", "illegal", _job(claim_token="token")),
    ("more calls at once than allowed", "over_limit", _second_call(placed_at=100.5)),
    (
        "a call in a pause",
        "while_paused",
        lambda honest: replace(honest, pauses=[Pause("batch-1", 109, 111)]),
    ),
]


@pytest.mark.parametrize(("line", "cook"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_cooked_books_are_found_out(line: str, cook: Cooked) -> None:
    found = books.close(cook(honest()))
    assert getattr(found, line), vars(found)
    assert not found.clean
