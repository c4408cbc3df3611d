"""The demo's audit must see every kind of wrong; one that cannot fail proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.demo.audit import Audit, AuditPolicy, audit
from speechaid.model.job import Job

A, B = "+12125550101", "+12125550102"
POLICY = AuditPolicy(max_attempts=2, retry_delay_seconds=5, no_answer_delay_seconds=10)
Document = dict[str, Any]


def call(
    name: str, number: str, reason: str, at: float, *, job: str = "job-1", connected: bool = False
) -> Document:
    """A ledger entry of a call of two seconds."""
    return {
        "call_id": name,
        "to_number": number,
        "metadata": {"job_id": job},
        "disconnection_reason": reason,
        "call_status": "ended",
        "placed_at": at,
        "connected_at": at + 1 if connected else None,
        "ended_at": at + 2,
        "duration_ms": 1000,
        "cost_cents": 2.0,
    }


def result(entry: Document, **changes: Any) -> Document:
    """What the daemon records of a ledger entry."""
    return {
        "call_id": entry["call_id"],
        "job_id": entry["metadata"]["job_id"],
        "contact": {"phone_used": entry["to_number"]},
        "call_status": entry["call_status"],
        "disconnection_reason": entry["disconnection_reason"],
        "duration_ms": entry["duration_ms"],
        "cost": 0.02,
        **changes,
    }


def examine(
    calls: list[Document], *, status: str, attempts: int, results: list[Document] | None = None
) -> Audit:
    """The audit of one job with two phones."""
    job = Job.read(
        {
            "_id": 1,
            "job_id": "job-1",
            "status": status,
            "attempts": attempts,
            "contact": {"name": "Ada", "phones": [A, B], "next_phone_index": 0},
        }
    )
    recorded = [result(entry) for entry in calls] if results is None else results
    return audit(ledger=calls, overlaps=[], jobs=[job], results=recorded, policy=POLICY)


NEVER_ANSWERED = [
    call("c1", A, "dial_busy", 0),
    call("c2", B, "dial_no_answer", 3),
    call("c3", A, "dial_no_answer", 15.1),
    call("c4", B, "dial_busy", 18),
]


@pytest.mark.parametrize(
    ("calls", "status", "attempts"),
    [
        pytest.param([call("c1", A, "user_hangup", 0)], "done", 0, id="answered at once"),
        pytest.param(NEVER_ANSWERED, "failed", 2, id="never answered"),
        pytest.param(
            [call("c1", A, "invalid_destination", 0), call("c2", B, "invalid_destination", 3)],
            "failed",
            1,
            id="all phones dead",
        ),
        pytest.param(
            [
                call("c1", A, "error_llm_websocket_runtime", 0, connected=True),
                call("c2", A, "agent_hangup", 7.1),
            ],
            "done",
            1,
            id="broken off, then the first phone again after the delay",
        ),
        pytest.param(
            [call("c1", A, "concurrency_limit_reached", 0), call("c2", A, "user_hangup", 9)],
            "done",
            0,
            id="turned away costs nothing",
        ),
    ],
)
def test_a_campaign_by_the_rules_passes(calls: list[Document], status: str, attempts: int) -> None:
    assert examine(calls, status=status, attempts=attempts) == Audit(unjustified=[], differences=[])


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        pytest.param(
            [call("c1", A, "user_hangup", 0), call("c2", B, "dial_busy", 3)],
            "c2: the job was done already",
            id="after it was done",
        ),
        pytest.param(
            [*NEVER_ANSWERED, call("c5", A, "dial_busy", 40)],
            "c5: the job was failed already",
            id="one attempt too many",
        ),
        pytest.param(
            [call("c1", A, "invalid_destination", 0), call("c2", A, "user_hangup", 3)],
            "c2: +121******01 was known not to exist",
            id="a dead number",
        ),
        pytest.param(
            [call("c1", A, "dial_busy", 0), call("c2", A, "user_hangup", 3)],
            "c2: +121******01 was called, +121******02 was next",
            id="the wrong phone",
        ),
        pytest.param(
            [*NEVER_ANSWERED[:2], call("c3", A, "user_hangup", 14)],
            "c3: +121******01 was called 1.00 s before its time",
            id="too early",
        ),
        pytest.param(
            [call("c1", A, "user_hangup", 0, job="job-of-nobody")],
            "c1: a call of no job of this campaign",
            id="of no job",
        ),
    ],
)
def test_a_dial_that_the_rules_do_not_justify_is_named(calls: list[Document], fault: str) -> None:
    assert examine(calls, status="done", attempts=0).unjustified == [fault]


def test_two_calls_at_once_to_one_number_are_named() -> None:
    pair = {"call_ids": ["c1", "c2"], "to_number": A, "seconds": 1.0}
    found = audit(ledger=[], overlaps=[pair], jobs=[], results=[], policy=POLICY)
    assert found.unjustified == ["c1 and c2: two calls at once to +121******01"]


ANSWERED = call("c1", A, "user_hangup", 0)


@pytest.mark.parametrize(
    ("results", "fault"),
    [
        pytest.param([], "c1: placed, but not recorded", id="lost"),
        pytest.param([result(ANSWERED)] * 2, "c1: recorded 2 times", id="doubled"),
        pytest.param(
            [result(ANSWERED), result(ANSWERED, call_id="c9")],
            "c9: recorded, but never placed",
            id="made up",
        ),
        pytest.param(
            [result(ANSWERED, duration_ms=900)],
            "c1: duration_ms is 900 on record, 1000 in truth",
            id="a wrong figure",
        ),
        pytest.param(
            [result(ANSWERED, cost=0.03)],
            "c1: it cost 3.000 cents on record, 2.000 in truth",
            id="a wrong cost",
        ),
    ],
)
def test_a_record_that_is_not_the_truth_is_named(results: list[Document], fault: str) -> None:
    assert examine([ANSWERED], status="done", attempts=0, results=results).differences == [fault]


def test_a_job_that_stands_otherwise_than_its_calls_say_is_named() -> None:
    assert examine([ANSWERED], status="failed", attempts=1).differences == [
        "job-1 is failed after 1 attempts; its calls say done after 0"
    ]
    assert examine(NEVER_ANSWERED[:1], status="failed", attempts=2).differences == [
        "job-1 is failed, but its calls have not decided it yet"
    ]
