"""Faults of Retell with many jobs due: no attempt is spent, one probe goes at a time, dialling resumes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import circuit_breaker, dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.errors import LeaseLost
from speechaid.rules import circuit_breaker as rules
from speechaid.rules.circuit_breaker import Breaker, BreakerState, FaultKind
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
    document = stage.store.holds.read(context.retell.fingerprint).breaker
    return document or {"state": "closed"}


def creates(stage: Stage) -> int:
    return len(stage.simulator.requests()["creates"])


def make_all_due(stage: Stage) -> None:
    """As if every delay had passed."""
    past = stage.store.now() - timedelta(seconds=1)
    stage.database.jobs.update_many({}, {"$set": {"reserved_until": past}})


def make_probe_due(stage: Stage, context: WorkerContext) -> None:
    """As if the pause before the next probe had passed."""
    past = stage.store.now() - timedelta(seconds=1)
    stage.database.speechaid_holds.update_one(
        {"_id": f"key:{context.retell.fingerprint}"}, {"$set": {"probe_at": past}, "$inc": {"revision": 1}}
    )


def run_all(stage: Stage, *contexts: WorkerContext) -> None:
    """Every worker recovers lapsed leases, then dials as long as there is something to dial."""
    for context in contexts:
        while stage.recover_one(context):
            pass
        try:
            while stage.dial_next(context):
                pass
        except LeaseLost:
            pytest.fail("no other worker was active")


def nothing_spent(stage: Stage) -> bool:
    jobs = list(stage.database.jobs.find({}))
    return all(
        job["attempts"] == 0
        and job["contact"]["next_phone_index"] == 0
        and job["status"] in {"pending", "in_progress"}
        and not job.get("dead_phones")
        for job in jobs
    )


def all_get_done(stage: Stage, *contexts: WorkerContext) -> bool:
    """Run all workers until every job is done; False if that takes too many passes."""
    for _ in range(10):
        make_all_due(stage)
        run_all(stage, *contexts)
        if stage.database.jobs.count_documents({"status": "done"}) == JOBS:
            return True
    return False


@pytest.mark.parametrize("fault", KEY_FAULTS)
def test_a_refusal_that_is_not_about_a_number_holds_dialling_spends_nothing_and_recovers(
    stage: Stage, fault: Document
) -> None:
    contexts = [stage.context(f"worker-{number}@host-a:1") for number in (1, 2)]
    fault_id = stage.simulator.fault(**fault, endpoints=["create"])
    run_all(stage, *contexts)
    assert creates(stage) == 1  # the first refusal opens the breaker
    assert breaker(stage, contexts[0])["state"] == BreakerState.OPEN

    backoffs = []
    for _ in range(3):
        make_probe_due(stage, contexts[0])
        before = creates(stage)
        make_all_due(stage)
        run_all(stage, *contexts)
        assert creates(stage) == before + 1  # one probe at a time
        backoffs.append(breaker(stage, contexts[0])["backoff_seconds"])
    assert backoffs == sorted(set(backoffs))  # longer each time
    assert nothing_spent(stage)

    stage.simulator.clear_faults(fault_id)
    make_probe_due(stage, contexts[0])
    assert all_get_done(stage, *contexts)
    assert breaker(stage, contexts[0])["state"] == BreakerState.CLOSED
    assert len(stage.placed_calls()) == len(stage.results()) == JOBS


def test_a_host_with_a_wrong_key_neither_stops_other_hosts_nor_is_released_by_their_success(
    stage: Stage,
) -> None:
    wrong = stage.context("worker-1@host-b:1", RETELL_API_KEY="unknown_key")
    right = stage.context("worker-1@host-a:1")
    run_all(stage, wrong)
    assert breaker(stage, wrong)["state"] == BreakerState.OPEN
    assert nothing_spent(stage)

    make_all_due(stage)
    assert stage.dial_next(right)
    assert breaker(stage, right)["state"] == BreakerState.CLOSED
    assert breaker(stage, wrong)["state"] == BreakerState.OPEN
    make_all_due(stage)
    assert not stage.dial_next(wrong)
    assert all_get_done(stage, wrong, right)
    assert all(call["api_key_fingerprint"] == right.retell.fingerprint for call in stage.placed_calls())


def test_a_429_holds_dialling_for_its_retry_after_and_spends_nothing(stage: Stage) -> None:
    context = stage.context()
    stage.simulator.fault("rate_limit", endpoints=["create"], count=1, retry_after_seconds=40)
    before = stage.store.now()
    run_all(stage, context)
    assert creates(stage) == 1
    held_until = breaker(stage, context)["probe_at"]
    assert before + timedelta(seconds=35) < held_until < stage.store.now() + timedelta(seconds=60)
    assert nothing_spent(stage)
    make_probe_due(stage, context)
    assert all_get_done(stage, context)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "outage"}, id="503"),
        pytest.param({"kind": "garbage"}, id="garbage instead of a call"),
    ],
)
def test_an_hour_s_outage_with_many_jobs_due_spends_no_attempt_and_calls_no_number_twice(
    stage: Stage, fault: Document
) -> None:
    contexts = [stage.context(f"worker-{number}@host-a:1") for number in (1, 2)]
    fault_id = stage.simulator.fault(**fault)
    run_all(stage, *contexts)
    assert breaker(stage, contexts[0])["state"] == BreakerState.OPEN
    at_first = creates(stage)
    assert at_first <= contexts[0].settings.breaker.faults
    for _ in range(6):  # the pauses double: some six probes an hour
        make_probe_due(stage, contexts[0])
        make_all_due(stage)
        run_all(stage, *contexts)
    # Each probe is one request, whether it is a fresh dial or the repetition of one that got no answer.
    assert creates(stage) - at_first <= 6
    assert nothing_spent(stage)
    assert stage.placed_calls() == []

    stage.simulator.clear_faults(fault_id)
    make_probe_due(stage, contexts[0])
    assert all_get_done(stage, *contexts)
    assert len(stage.placed_calls()) == len({call["to_number"] for call in stage.placed_calls()}) == JOBS


def test_an_unreachable_retell_spends_nothing(stage: Stage) -> None:
    context = stage.context(RETELL_BASE_URL="http://127.0.0.1:1")
    for _ in range(4):
        make_all_due(stage)
        make_probe_due(stage, context)
        run_all(stage, context)
    assert nothing_spent(stage)
    assert all("dial" not in job for job in stage.database.jobs.find({}))  # no byte was sent: no dial is open
    assert breaker(stage, context)["state"] == BreakerState.OPEN


@pytest.mark.parametrize("reason", ["error_retell", "error_llm_websocket_open"])
def test_several_broken_calls_in_a_row_hold_dialling_until_a_conversation_succeeds(
    stage: Stage, reason: str
) -> None:
    context = stage.context(SPEECHAID_BREAKER_FAULTS=3)
    stage.simulator.script({"*": [reason]})
    run_all(stage, context)
    assert len(stage.placed_calls()) == 3
    assert breaker(stage, context)["state"] == BreakerState.OPEN

    stage.simulator.script({"*": ["dial_busy"]})
    make_probe_due(stage, context)
    make_all_due(stage)
    assert stage.dial_next(context)  # not answered: proves nothing
    assert breaker(stage, context)["state"] == BreakerState.OPEN

    stage.simulator.script({"*": ["user_hangup"]})
    make_all_due(stage)
    assert stage.dial_next(context)
    assert breaker(stage, context)["state"] == BreakerState.CLOSED


def test_a_call_that_ends_unpaid_holds_dialling_and_spends_nothing(stage: Stage) -> None:
    context = stage.context()
    stage.simulator.script({"*": ["no_valid_payment"]})
    run_all(stage, context)
    assert len(stage.placed_calls()) == 1
    assert breaker(stage, context)["state"] == BreakerState.OPEN
    assert nothing_spent(stage)


def test_a_refused_number_is_no_fault_of_the_key(stage: Stage) -> None:
    context = stage.context()
    stage.simulator.fault(
        "status", status=422, message="to_number is not valid", endpoints=["create"], count=5
    )
    run_all(stage, context)
    assert breaker(stage, context)["state"] == BreakerState.CLOSED
    assert stage.database.jobs.count_documents({"status": "failed"}) == 5
    assert stage.database.jobs.count_documents({"status": "done"}) == JOBS - 5


def test_only_one_of_many_workers_at_once_becomes_the_probe(stage: Stage) -> None:
    contexts = [stage.context(f"worker-{number}@host-{number}:1") for number in range(5)]
    stage.simulator.fault("unauthorized", endpoints=["create"])
    assert stage.dial_next(contexts[0])
    make_probe_due(stage, contexts[0])
    documents = [stage.store.holds.read(context.retell.fingerprint).breaker for context in contexts]
    admitted = [
        circuit_breaker.admit_dial(context, document, context.new_token())
        for context, document in zip(contexts, documents, strict=True)
    ]
    assert admitted.count(True) == 1
    assert not stage.dial_next(contexts[1])


def test_a_probe_whose_worker_dies_does_not_hold_the_key_for_ever(stage: Stage) -> None:
    context, other = stage.context(), stage.context("worker-2@host-b:2")
    stage.simulator.fault("unauthorized", endpoints=["create"], count=1)
    assert stage.dial_next(context)
    make_probe_due(stage, context)
    assert circuit_breaker.admit_dial(
        context, stage.store.holds.read(context.retell.fingerprint).breaker, "a dial's key"
    )  # and dies
    make_all_due(stage)
    assert not stage.dial_next(other)
    make_probe_due(stage, context)  # its time is over
    assert all_get_done(stage, other)


# -- the ways out of a won probe ---------------------------------------------------------------------------


def open_for(stage: Stage, context: WorkerContext, kind: FaultKind) -> None:
    """Open the key's breaker, its probe due at once."""
    past = stage.store.now() - timedelta(seconds=1)
    fields = Breaker(state=BreakerState.OPEN, kind=kind, faults=3, opened_at=past, probe_at=past).document()
    assert stage.store.holds.write_breaker(context.retell.fingerprint, fields, expected_revision=None)


def may_probe(stage: Stage, context: WorkerContext) -> bool:
    """Whether a dial of another worker could become the probe now."""
    return rules.may_dial(Breaker.read(breaker(stage, context)), stage.store.now())


def test_a_probe_whose_number_is_refused_is_given_back(stage: Stage) -> None:
    context = stage.context()
    open_for(stage, context, FaultKind.AGENT)
    stage.simulator.fault("status", status=422, message="to_number is not valid", endpoints=["create"])
    assert stage.dial_next(context)
    assert creates(stage) == 1
    assert breaker(stage, context)["state"] == BreakerState.OPEN
    assert may_probe(stage, context)


def test_a_probe_whose_call_ends_at_a_limit_of_retell_is_given_back(stage: Stage) -> None:
    context = stage.context()
    open_for(stage, context, FaultKind.AGENT)
    stage.simulator.script({"*": ["concurrency_limit_reached"]})
    assert stage.dial_next(context)
    assert len(stage.results()) == 1
    assert breaker(stage, context)["state"] == BreakerState.OPEN
    assert may_probe(stage, context)


def test_a_probe_holds_the_key_while_its_call_lasts(stage: Stage) -> None:
    context = stage.context()
    open_for(stage, context, FaultKind.AGENT)
    seen: list[Document] = []
    stage.on_wait = lambda: seen.append(breaker(stage, context))
    assert stage.dial_next(context)
    (job,) = stage.database.jobs.find({"status": "done"})
    assert {document["state"] for document in seen} == {BreakerState.PROBING}
    assert all(document["probe"] for document in seen)
    assert seen[0]["probe_at"] > stage.store.now() + timedelta(seconds=600)
    assert breaker(stage, context)["state"] == BreakerState.CLOSED
    assert job["call_result"]["success"]


def test_a_probe_whose_lease_was_lost_before_its_create_is_not_won(stage: Stage) -> None:
    context = stage.context()
    open_for(stage, context, FaultKind.BLOCKED)
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    stage.database.jobs.update_one({"_id": claimed.job.id}, {"$set": {"claim_token": "another's"}})
    with pytest.raises(LeaseLost):
        dial.run(context, claimed.job, claimed.preflight)
    assert breaker(stage, context)["state"] == BreakerState.OPEN
    assert creates(stage) == 0


def test_a_probe_whose_worker_dies_before_its_create_expires_within_minutes(stage: Stage) -> None:
    context = stage.context()
    open_for(stage, context, FaultKind.AGENT)
    assert circuit_breaker.admit_dial(context, breaker(stage, context), "a dial's key")  # and dies
    left = breaker(stage, context)["probe_at"] - stage.store.now()
    assert left < timedelta(minutes=5)  # not the twenty of a call
    assert not may_probe(stage, context)


def test_a_probe_that_another_dial_has_taken_over_is_not_given_back(stage: Stage) -> None:
    context = stage.context()
    open_for(stage, context, FaultKind.BLOCKED)
    assert circuit_breaker.admit_dial(context, breaker(stage, context), "the first one's")
    make_probe_due(stage, context)
    assert circuit_breaker.admit_dial(context, breaker(stage, context), "the next one's")
    circuit_breaker.give_back_probe(context, "the first one's")
    assert breaker(stage, context)["state"] == BreakerState.PROBING
    circuit_breaker.give_back_probe(context, "the next one's")
    assert may_probe(stage, context)
