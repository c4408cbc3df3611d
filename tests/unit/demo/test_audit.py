"""The demo's audit must detect every kind of fault: an audit that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from speechaid.demo.audit import Audit, AuditPolicy, WantedAgent, audit
from speechaid.model.job import Job

A, B = "+12125550101", "+12125550102"
POLICY = AuditPolicy(max_attempts=2, retry_delay_seconds=5, no_answer_delay_seconds=10)
Document = dict[str, Any]


def call(
    name: str, number: str, reason: str, at: float, *, job: str = "job-1", connected: bool = False
) -> Document:
    """A placed call of two seconds."""
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
    """The result that the daemon records of a placed call."""
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


def audit_job(
    calls: list[Document],
    *,
    status: str,
    attempts: int,
    results: list[Document] | None = None,
    marked: Collection[str] = (),
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
    return audit(placed_calls=calls, overlaps=[], jobs=[job], results=recorded, policy=POLICY, marked=marked)


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
            id="a refused call costs nothing",
        ),
    ],
)
def test_a_campaign_that_follows_the_rules_passes(calls: list[Document], status: str, attempts: int) -> None:
    assert audit_job(calls, status=status, attempts=attempts) == Audit(unjustified=[], differences=[])


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        pytest.param(
            [call("c1", A, "user_hangup", 0), call("c2", B, "dial_busy", 3)],
            "c2: the job was already done",
            id="after it was done",
        ),
        pytest.param(
            [*NEVER_ANSWERED, call("c5", A, "dial_busy", 40)],
            "c5: the job was already failed",
            id="one attempt too many",
        ),
        pytest.param(
            [call("c1", A, "invalid_destination", 0), call("c2", A, "user_hangup", 3)],
            "c2: +121******01 is known to be invalid",
            id="a dead number",
        ),
        pytest.param(
            [call("c1", A, "dial_busy", 0), call("c2", A, "user_hangup", 3)],
            "c2: +121******01 was called instead of +121******02",
            id="the wrong phone",
        ),
        pytest.param(
            [*NEVER_ANSWERED[:2], call("c3", A, "user_hangup", 14)],
            "c3: +121******01 was called 1.00 s too early",
            id="too early",
        ),
        pytest.param(
            [call("c1", A, "user_hangup", 0, job="job-unknown")],
            "c1: a call without a job of this campaign",
            id="without a job",
        ),
    ],
)
def test_a_dial_that_the_rules_do_not_allow_is_reported(calls: list[Document], fault: str) -> None:
    assert audit_job(calls, status="done", attempts=0).unjustified == [fault]


def test_overlapping_calls_to_one_number_are_reported() -> None:
    pair = {"call_ids": ["c1", "c2"], "to_number": A, "seconds": 1.0}
    found = audit(placed_calls=[], overlaps=[pair], jobs=[], results=[], policy=POLICY)
    assert found.unjustified == ["c1 and c2: two calls at once to +121******01"]


ANSWERED = call("c1", A, "user_hangup", 0)


@pytest.mark.parametrize(
    ("results", "fault"),
    [
        pytest.param([], "c1: placed, but not recorded", id="lost"),
        pytest.param([result(ANSWERED)] * 2, "c1: recorded 2 times", id="recorded twice"),
        pytest.param(
            [result(ANSWERED), result(ANSWERED, call_id="c9")],
            "c9: recorded, but never placed",
            id="not placed",
        ),
        pytest.param(
            [result(ANSWERED, duration_ms=900)],
            "c1: duration_ms is recorded as 900, actual 1000",
            id="a wrong duration",
        ),
        pytest.param(
            [result(ANSWERED, cost=0.03)],
            "c1: cost is recorded as 3.000 cents, actual 2.000",
            id="a wrong cost",
        ),
    ],
)
def test_a_wrong_record_is_reported(results: list[Document], fault: str) -> None:
    assert audit_job([ANSWERED], status="done", attempts=0, results=results).differences == [fault]


def test_a_job_may_be_cancelled_since_retell_refuses_a_number_that_was_marked_in_a_misreported_call() -> None:
    unknown = call("c1", A, "error_of_tomorrow", 0)
    for marked, differences in (
        ({A}, []),
        ({"+12025550199"}, ["job-1 is cancelled, but its calls have not ended it"]),
    ):
        found = audit_job([unknown], status="cancelled", attempts=0, marked=marked)
        assert found.differences == differences


def test_a_job_whose_status_does_not_follow_from_its_calls_is_reported() -> None:
    assert audit_job([ANSWERED], status="failed", attempts=1).differences == [
        "job-1 is failed after 1 attempts; expected from its calls: done after 0"
    ]
    assert audit_job(NEVER_ANSWERED[:1], status="failed", attempts=2).differences == [
        "job-1 is failed, but its calls have not ended it"
    ]


def audit_with_tests(*tests: Document) -> Audit:
    """The audit of a job that was answered, and of test calls beside it."""
    campaign = call("call-1", A, "user_hangup", 0, connected=True)
    job = Job.read({"_id": 1, "job_id": "job-1", "status": "done", "contact": {"phones": [A]}})
    calls = [campaign, *tests]
    results = [result(entry) for entry in calls]
    return audit(placed_calls=calls, overlaps=[], jobs=[job], results=results, policy=POLICY, registered=[B])


def a_test(name: str, number: str, job: str = "test-1") -> Document:
    entry = call(name, number, "user_hangup", 100, connected=True)
    return entry | {"metadata": {"job_id": job, "test": "true"}}


def test_test_calls_to_registered_numbers_are_no_calls_of_the_campaign() -> None:
    found = audit_with_tests(a_test("call-2", B), a_test("call-3", B, "test-2"))
    assert found.unjustified == []
    assert found.agrees


def test_a_test_call_to_somebody_else_is_found() -> None:
    (fault,) = audit_with_tests(a_test("call-2", A)).unjustified
    assert "not registered" in fault


def test_a_test_that_was_called_twice_is_found() -> None:
    assert audit_with_tests(a_test("call-2", B), a_test("call-3", B)).unjustified == [
        "test-1: 2 calls of one test"
    ]


AS_WANTED: Document = {"agent_id": "agent_a", "agent_version": 3, "from_number": "+12125550199"}


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ({}, None),
        ({"agent_id": "agent_b"}, "c1: called with agent agent_b instead of agent_a"),
        ({"agent_version": 4}, "c1: called with version 4 instead of 3"),
        ({"from_number": "+12125550111"}, "c1: called with number"),
        ({"metadata": {"job_id": "job-1", "batch_id": "another"}, "agent_id": "agent_b"}, None),
    ],
)
def test_a_call_with_another_agent_version_or_number_than_its_batch_s_is_unjustified(
    made: Document, fault: str | None
) -> None:
    entry = {**call("c1", A, "user_hangup", 0, connected=True), **AS_WANTED}
    entry["metadata"] = {"job_id": "job-1", "batch_id": "batch-1"}
    entry |= made
    agent = {name: entry[name] for name in AS_WANTED}
    job = {"_id": 1, "job_id": "job-1", "status": "done", "contact": {"phones": [A]}}
    found = audit(
        placed_calls=[entry],
        overlaps=[],
        jobs=[Job.read(job)],
        results=[result(entry, **agent)],
        policy=POLICY,
        wanted={"batch-1": WantedAgent(agent_id="agent_a", version=3, from_number="+12125550199")},
    )
    assert found.agrees
    assert [sentence[: len(fault or "")] for sentence in found.unjustified] == ([fault] if fault else [])


@pytest.mark.parametrize("name", AS_WANTED)
def test_a_result_with_another_agent_than_the_call_had_differs(name: str) -> None:
    entry = {**call("c1", A, "user_hangup", 0, connected=True), **AS_WANTED}
    wrong = {**AS_WANTED, name: "another"}
    found = audit_job([entry], status="done", attempts=0, results=[result(entry, **wrong)])
    assert len(found.differences) == 1
    assert found.differences[0].startswith("c1: ")
