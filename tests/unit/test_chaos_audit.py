"""The audit of the chaos run: correct records pass, and each kind of wrong record is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from speechaid.demo.audit import AuditPolicy
from tests.chaos import audit
from tests.chaos.audit import Records
from tests.chaos.monkey import Pause
from tests.chaos.people import ACCOUNT, Day, People

Document = dict[str, Any]
A, B = "+56910000001", "+56910000002"
AGENT: Document = {"agent_id": "agent_a", "agent_version": 3, "from_number": "+12025550111"}


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
        **AGENT,
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
        **{name: entry[name] for name in AGENT},
    }


def correct_records() -> Records:
    """One job: the first phone is busy, the second is answered for two minutes."""
    placed_calls = [call("call-1", A, 100, "dial_busy"), call("call-2", B, 110, "user_hangup", talked=2)]
    job = {"job_id": "job-1", "batch_id": "batch-1", "account_id": "acc-1", "status": "done", "attempts": 0}
    prices = {"cost_per_call_setup": 1.0, "cost_per_minute": 2.0, "cost_failed_call": 0.5}
    account = {"account_id": "acc-1", "plan_type": "credit_based", "max_concurrent_calls": 1, **prices}
    return Records(
        jobs=[{"_id": 1, **job, "contact": {"phones": [A, B], "next_phone_index": 1}}],
        results=[result(entry) for entry in placed_calls],
        accounts=[
            {**account, "credit_used": 5.5, "credit_reserved": 0.0, "calls_today": 2, "open_dials": []}
        ],
        batches=[
            {"batch_id": "batch-1", "total_cost": 0.2, "total_minutes": 2.0, "open_dials": []}
            | {"call_settings": {"max_concurrent_calls": 1, **AGENT}, "total_jobs": 1, "completed_jobs": 1}
            | dict.fromkeys(("failed_jobs", "pending_jobs", "suspended_jobs"), 0)
        ],
        placed_calls=placed_calls,
        overlaps=[],
        pauses=[Pause("batch-1", 50, 60)],
        people=People(),
        days=[],
        entries=[],
        policy=AuditPolicy(max_attempts=2, retry_delay_seconds=1, no_answer_delay_seconds=1),
    )


def test_correct_records_are_clean() -> None:
    assert audit.check(correct_records()).clean


def _with_excused(count: int) -> Records:
    """The first call ended with ``dial_failed``, which was taken for the carrier's fault so many times."""
    records = correct_records()
    first, second = records.placed_calls
    failed = [call(f"failed-{number}", A, 10 + 10 * number, "dial_failed") for number in range(count)]
    excused = [{**result(entry), "outcome": "temporary"} for entry in failed]
    return replace(records, placed_calls=[*failed, first, second], results=[*excused, *records.results])


def test_a_fault_of_the_carrier_costs_nothing_and_the_same_number_is_called_again() -> None:
    assert audit.check(_with_excused(3)).clean


def test_such_faults_are_excused_three_times_for_one_job() -> None:
    assert audit.check(_with_excused(4)).doubled == ["job-1: 4 carrier faults were excused"]


Corruption = Callable[[Records], Records]


def _job(**fields: Any) -> Corruption:
    return lambda records: replace(records, jobs=[{**records.jobs[0], **fields}])


def _account(**fields: Any) -> Corruption:
    return lambda records: replace(records, accounts=[{**records.accounts[0], **fields}])


def _batch(**fields: Any) -> Corruption:
    return lambda records: replace(records, batches=[{**records.batches[0], **fields}])


def _second_call(**fields: Any) -> Corruption:
    return lambda records: replace(
        records, placed_calls=[records.placed_calls[0], {**records.placed_calls[1], **fields}]
    )


def _third_call(records: Records) -> Records:
    more = call("call-3", A, 200, "dial_busy")
    return replace(
        records, placed_calls=[*records.placed_calls, more], results=[*records.results, result(more)]
    )


CORRUPTIONS: list[tuple[str, str, Corruption]] = [
    ("a job without an end", "lost", _job(status="pending")),
    ("a call without a record", "lost", lambda records: replace(records, results=records.results[:1])),
    (
        "a record without a call",
        "lost",
        lambda records: replace(records, placed_calls=records.placed_calls[:1]),
    ),
    ("a call after the end", "doubled", _third_call),
    ("a call recorded twice", "doubled", lambda records: replace(records, results=[*records.results] * 2)),
    ("a call of a job that has a live call", "doubled", _second_call(placed_at=100.5)),
    ("a call without a job", "doubled", _second_call(metadata={"job_id": "job-9"})),
    ("the wrong phone", "doubled", _second_call(to_number=A)),
    ("another agent than the batch's", "doubled", _second_call(agent_id="agent_b")),
    ("another version than the batch's", "doubled", _second_call(agent_version=4)),
    ("another number than the batch's", "doubled", _second_call(from_number="+12025550122")),
    (
        "a call recorded with another agent than it had",
        "illegal",
        lambda records: replace(
            records, results=[records.results[0], {**records.results[1], "agent_id": "agent_b"}]
        ),
    ),
    (
        "overlapping calls to one number",
        "doubled",
        lambda records: replace(records, overlaps=[{"call_ids": ["call-1", "call-2"], "to_number": A}]),
    ),
    ("credit not charged", "uncharged", _account(credit_used=5.4)),
    ("credit charged twice", "double_charged", _account(credit_used=10.5)),
    ("a call not counted", "uncharged", _account(calls_today=1)),
    ("a call counted twice", "double_charged", _account(calls_today=3)),
    ("a batch charged twice", "double_charged", _batch(total_cost=0.4)),
    ("minutes not added to the batch", "uncharged", _batch(total_minutes=1.0)),
    ("a reservation left behind", "leaked", _account(credit_reserved=3.0)),
    ("an open dial left behind", "leaked", _batch(open_dials=[{"key": "k"}])),
    ("a wrong counter", "illegal", _batch(completed_jobs=0)),
    ("a status that does not follow from the calls", "illegal", _job(status="failed")),
    ("a job that is still claimed", "illegal", _job(claim_token="token")),
    ("more concurrent calls than allowed", "over_limit", _second_call(placed_at=100.5)),
    (
        "a call during a pause",
        "while_paused",
        lambda records: replace(records, pauses=[Pause("batch-1", 109, 111)]),
    ),
]


@pytest.mark.parametrize(
    ("line", "corrupt"), [row[1:] for row in CORRUPTIONS], ids=[row[0] for row in CORRUPTIONS]
)
def test_wrong_records_are_found(line: str, corrupt: Corruption) -> None:
    found = audit.check(corrupt(correct_records()))
    assert getattr(found, line), vars(found)
    assert not found.clean


# -- people under caps ---------------------------------------------------------------------------------------

WRITTEN, DIALLED = "044 55 1234 0001", "+525512340001"
FULL_DAY = Day("person-0", 500.0, timedelta(hours=24))


def records_of_people() -> Records:
    """A person with two jobs, one for each of two days: three calls, then one that is answered."""
    placed = [call(f"call-{place}", DIALLED, 100.0 + 10 * place, "dial_no_answer") for place in range(3)]
    placed += [call("call-3", DIALLED, 600.0, "user_hangup", talked=2)]
    owners = ["job-1", "job-1", "job-1", "job-2"]
    placed = [
        {**one, "metadata": {"job_id": owner, "batch_id": "batch-1", "account_id": ACCOUNT}}
        for one, owner in zip(placed, owners, strict=True)
    ]
    keys = [f"key-{place}" for place in range(len(placed))]
    records = correct_records()
    return replace(
        records,
        jobs=[_of_person("job-1", "failed", attempts=3), _of_person("job-2", "done", attempts=0)],
        results=[
            {**result(one), "job_id": owner, "dial_key": key}
            for one, owner, key in zip(placed, owners, keys, strict=True)
        ],
        accounts=[],
        batches=[{**records.batches[0], "total_jobs": 2, "failed_jobs": 1}],
        placed_calls=placed,
        people=People(jobs_of={"person-0": ["job-1", "job-2"]}),
        days=[FULL_DAY],
        entries=[
            {"_id": key, "open": False, "void": False, "connected": one["connected_at"] is not None}
            for key, one in zip(keys, placed, strict=True)
        ],
        policy=replace(records.policy, max_attempts=3),
    )


def _of_person(name: str, status: str, *, attempts: int) -> Document:
    contact = {"phones": [WRITTEN], "next_phone_index": 0}
    ids = {"_id": name, "job_id": name, "batch_id": "batch-1", "account_id": ACCOUNT}
    return {**ids, "status": status, "attempts": attempts, "contact": contact}


def _people_call(place: int, **fields: Any) -> Corruption:
    def corrupt(records: Records) -> Records:
        placed = list(records.placed_calls)
        placed[place] = {**placed[place], **fields}
        return replace(records, placed_calls=placed)

    return corrupt


def _entry(place: int, **fields: Any) -> Corruption:
    def corrupt(records: Records) -> Records:
        entries = list(records.entries)
        entries[place] = {**entries[place], **fields}
        return replace(records, entries=entries)

    return corrupt


def _days(*days: Day) -> Corruption:
    return lambda records: replace(records, days=days)


OF_PEOPLE: list[tuple[str, str, Corruption]] = [
    ("a fourth call on one day", "over_cap", _people_call(3, placed_at=400.0, ended_at=403.0)),
    ("a second contact on one day", "over_cap", _people_call(2, placed_at=590.0, connected_at=591.0)),
    ("a call while another one is live", "over_cap", _people_call(1, placed_at=100.5)),
    ("a day that ended too early", "left_out", _days(Day("person-0", 115.0, FULL_DAY.waits), FULL_DAY)),
    ("a wait that is too long", "left_out", _days(replace(FULL_DAY, waits=timedelta(hours=30)))),
    ("an entry that is open", "illegal", _entry(0, open=True)),
    ("a void entry of a call that rang", "illegal", _entry(0, void=True)),
    ("an entry that does not know the answer", "illegal", _entry(3, connected=False)),
    ("an entry without a call", "illegal", _entry(0, _id="another")),
    (
        "a call without an entry",
        "illegal",
        lambda records: replace(records, entries=records.entries[1:]),
    ),
]


def test_correct_records_of_people_are_clean() -> None:
    found = audit.check(records_of_people())
    assert found.clean, vars(found)


@pytest.mark.parametrize(
    ("line", "corrupt"), [row[1:] for row in OF_PEOPLE], ids=[row[0] for row in OF_PEOPLE]
)
def test_wrong_calls_to_people_are_found(line: str, corrupt: Corruption) -> None:
    found = audit.check(corrupt(records_of_people()))
    assert getattr(found, line), vars(found)
