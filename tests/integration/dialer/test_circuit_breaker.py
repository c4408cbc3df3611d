"""Faults of Retell and many jobs: nothing is burnt, one probe goes at a time, and dialling comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import circuit_breaker as gate
from speechaid.dialer.context import WorkerContext
from speechaid.errors import LeaseLost
from speechaid.rules.circuit_breaker import BreakerState
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage

JOBS = 8
KEY_FAULTS: list[Any] = [
    pytest.param({"kind": "unauthorized"}, id="401"),
    pytest.param({"kind": "payment_required"}, id="402"),
    pytest.param({"kind": "status", "status": 403}, id="403"),
    pytest.param({"kind": "status", "status": 404, "message": "from_number was not found"}, id="404"),
    pytest.param({"kind": "status", "status": 422, "message": "override_agent_id is unknown"}, id="422"),
]


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    for number in range(JOBS):
        common_stage.add_job(phone(), job_id=f"job-{number}")
    common_stage.simulator.script({"*": ["user_hangup"]})
    return common_stage


def breaker(stage: Stage, context: WorkerContext) -> Document:
    _, document = stage.store.holds.read(context.retell.fingerprint)
    return document or {"state": "closed"}


def creates(stage: Stage) -> int:
    return len(stage.simulator.requests()["creates"])


def everything_is_due(stage: Stage) -> None:
    """As if every delay had passed."""
    past = stage.store.now() - timedelta(seconds=1)
    stage.database.jobs.update_many({}, {"$set": {"reserved_until": past}})


def the_probe_is_due(stage: Stage, context: WorkerContext) -> None:
    """As if the pause before the next probe had passed."""
    past = stage.store.now() - timedelta(seconds=1)
    stage.database.speechaid_holds.update_one(
        {"_id": f"key:{context.retell.fingerprint}"}, {"$set": {"probe_at": past}, "$inc": {"revision": 1}}
    )


def a_round(stage: Stage, *kits: WorkerContext) -> None:
    """Every worker looks after lapsed leases, then dials as long as there is something to dial."""
    for context in kits:
        while stage.take_over(context):
            pass
        try:
            while stage.dial_next(context):
                pass
        except LeaseLost:
            pytest.fail("nobody else was at work")


def nothing_is_spent(stage: Stage) -> bool:
    jobs = list(stage.database.jobs.find({}))
    return all(
        job["attempts"] == 0
        and job["contact"]["next_phone_index"] == 0
        and job["status"] in {"pending", "in_progress"}
        and not job.get("dead_phones")
        for job in jobs
    )


def all_are_done(stage: Stage, *kits: WorkerContext) -> bool:
    """Go on until nothing moves any more."""
    for _ in range(10):
        everything_is_due(stage)
        a_round(stage, *kits)
        if stage.database.jobs.count_documents({"status": "done"}) == JOBS:
            return True
    return False


@pytest.mark.parametrize("fault", KEY_FAULTS)
def test_a_refusal_that_blames_no_number_holds_dialling_burns_nothing_and_recovers(
    stage: Stage, fault: Document
) -> None:
    kits = [stage.context(f"worker-{number}@host-a:1") for number in (1, 2)]
    fault_id = stage.simulator.fault(**fault, endpoints=["create"])
    a_round(stage, *kits)
    assert creates(stage) == 1  # the first refusal tells all
    assert breaker(stage, kits[0])["state"] == BreakerState.OPEN

    backoffs = []
    for _ in range(3):
        the_probe_is_due(stage, kits[0])
        before = creates(stage)
        everything_is_due(stage)
        a_round(stage, *kits)
        assert creates(stage) == before + 1  # one probe at a time
        backoffs.append(breaker(stage, kits[0])["backoff_seconds"])
    assert backoffs == sorted(set(backoffs))  # longer each time
    assert nothing_is_spent(stage)

    stage.simulator.clear_faults(fault_id)
    the_probe_is_due(stage, kits[0])
    assert all_are_done(stage, *kits)
    assert breaker(stage, kits[0])["state"] == BreakerState.CLOSED
    assert len(stage.placed_calls()) == len(stage.results()) == JOBS


def test_a_hosts_wrong_key_does_not_stop_the_others_nor_does_their_success_lift_its_hold(
    stage: Stage,
) -> None:
    wrong = stage.context("worker-1@host-b:1", RETELL_API_KEY="key_that_nobody_knows")
    right = stage.context("worker-1@host-a:1")
    a_round(stage, wrong)
    assert breaker(stage, wrong)["state"] == BreakerState.OPEN
    assert nothing_is_spent(stage)

    everything_is_due(stage)
    assert stage.dial_next(right)
    assert breaker(stage, right)["state"] == BreakerState.CLOSED
    assert breaker(stage, wrong)["state"] == BreakerState.OPEN
    everything_is_due(stage)
    assert not stage.dial_next(wrong)
    assert all_are_done(stage, wrong, right)
    assert all(call["api_key_fingerprint"] == right.retell.fingerprint for call in stage.placed_calls())


def test_a_429_is_obeyed_for_as_long_as_it_says_and_burns_nothing(stage: Stage) -> None:
    context = stage.context()
    stage.simulator.fault("rate_limit", endpoints=["create"], count=1, retry_after_seconds=40)
    before = stage.store.now()
    a_round(stage, context)
    assert creates(stage) == 1
    held_until = breaker(stage, context)["probe_at"]
    assert before + timedelta(seconds=35) < held_until < stage.store.now() + timedelta(seconds=60)
    assert nothing_is_spent(stage)
    the_probe_is_due(stage, context)
    assert all_are_done(stage, context)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "outage"}, id="503"),
        pytest.param({"kind": "garbage"}, id="garbage instead of a call"),
    ],
)
def test_an_outage_of_an_hour_with_many_jobs_due_burns_no_attempt_and_calls_nobody_twice(
    stage: Stage, fault: Document
) -> None:
    kits = [stage.context(f"worker-{number}@host-a:1") for number in (1, 2)]
    fault_id = stage.simulator.fault(**fault)
    a_round(stage, *kits)
    assert breaker(stage, kits[0])["state"] == BreakerState.OPEN
    at_first = creates(stage)
    assert at_first <= kits[0].settings.breaker.faults
    for _ in range(6):  # the pauses double: some six probes an hour
        the_probe_is_due(stage, kits[0])
        everything_is_due(stage)
        a_round(stage, *kits)
    # Each probe is one request, whether it is a fresh dial or the repetition of one that got no answer.
    assert creates(stage) - at_first <= 6
    assert nothing_is_spent(stage)
    assert stage.placed_calls() == []

    stage.simulator.clear_faults(fault_id)
    the_probe_is_due(stage, kits[0])
    assert all_are_done(stage, *kits)
    assert len(stage.placed_calls()) == len({call["to_number"] for call in stage.placed_calls()}) == JOBS


def test_retell_that_cannot_be_reached_at_all_burns_nothing(stage: Stage) -> None:
    context = stage.context(RETELL_BASE_URL="http://127.0.0.1:1")
    for _ in range(4):
        everything_is_due(stage)
        the_probe_is_due(stage, context)
        a_round(stage, context)
    assert nothing_is_spent(stage)
    assert all(
        "dial" not in job for job in stage.database.jobs.find({})
    )  # not one byte left: nothing is open
    assert breaker(stage, context)["state"] == BreakerState.OPEN


@pytest.mark.parametrize("reason", ["error_retell", "error_llm_websocket_open"])
def test_a_run_of_broken_calls_holds_dialling_until_a_conversation_succeeds(
    stage: Stage, reason: str
) -> None:
    context = stage.context(SPEECHAID_BREAKER_FAULTS=3)
    stage.simulator.script({"*": [reason]})
    a_round(stage, context)
    assert len(stage.placed_calls()) == 3
    assert breaker(stage, context)["state"] == BreakerState.OPEN

    stage.simulator.script({"*": ["dial_busy"]})
    the_probe_is_due(stage, context)
    everything_is_due(stage)
    assert stage.dial_next(context)  # met nobody, and proves nothing
    assert breaker(stage, context)["state"] == BreakerState.OPEN

    stage.simulator.script({"*": ["user_hangup"]})
    everything_is_due(stage)
    assert stage.dial_next(context)
    assert breaker(stage, context)["state"] == BreakerState.CLOSED


def test_a_call_that_ends_unpaid_holds_dialling_and_spends_nothing(stage: Stage) -> None:
    context = stage.context()
    stage.simulator.script({"*": ["no_valid_payment"]})
    a_round(stage, context)
    assert len(stage.placed_calls()) == 1
    assert breaker(stage, context)["state"] == BreakerState.OPEN
    assert nothing_is_spent(stage)


def test_a_number_that_is_refused_is_no_fault_of_the_key(stage: Stage) -> None:
    context = stage.context()
    stage.simulator.fault(
        "status", status=422, message="to_number is not valid", endpoints=["create"], count=5
    )
    a_round(stage, context)
    assert breaker(stage, context)["state"] == BreakerState.CLOSED
    assert stage.database.jobs.count_documents({"status": "failed"}) == 5
    assert stage.database.jobs.count_documents({"status": "done"}) == JOBS - 5


def test_only_one_of_many_workers_that_look_at_once_becomes_the_probe(stage: Stage) -> None:
    kits = [stage.context(f"worker-{number}@host-{number}:1") for number in range(5)]
    stage.simulator.fault("unauthorized", endpoints=["create"])
    assert stage.dial_next(kits[0])
    the_probe_is_due(stage, kits[0])
    seen = [stage.store.holds.read(context.retell.fingerprint)[1] for context in kits]
    passed = [gate.admit_dial(context, document) for context, document in zip(kits, seen, strict=True)]
    assert passed.count(True) == 1
    assert not stage.dial_next(kits[1])


def test_a_probe_that_is_never_heard_of_again_does_not_hold_the_key_for_ever(stage: Stage) -> None:
    context, other = stage.context(), stage.context("worker-2@host-b:2")
    stage.simulator.fault("unauthorized", endpoints=["create"], count=1)
    assert stage.dial_next(context)
    the_probe_is_due(stage, context)
    assert gate.admit_dial(context, stage.store.holds.read(context.retell.fingerprint)[1])  # and dies
    everything_is_due(stage)
    assert not stage.dial_next(other)
    the_probe_is_due(stage, context)  # its patience is over
    assert all_are_done(stage, other)
