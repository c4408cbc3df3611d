"""Whose fault a refusal or a failed call is: the account's spends nothing, a number's is its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import circuit_breaker
from speechaid.dialer.context import WorkerContext
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.rules.circuit_breaker import Breaker, BreakerState, FaultKind
from speechaid.rules.refusals import SMALL_REQUEST_BYTES, WORDINGS, Blame
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"
ACCOUNT_WORDINGS = [wording.name for wording in WORDINGS if wording.blame is Blame.ACCOUNT]


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.simulator.script({"*": ["user_hangup"]})
    return common_stage


def add_jobs(stage: Stage, count: int, **fields: Any) -> list[str]:
    """Jobs for as many people; their numbers."""
    numbers = [phone() for _ in range(count)]
    for index, number in enumerate(numbers):
        contact = {"name": "Ana", "dni": f"{index}-9", "phones": [number], "next_phone_index": 0}
        stage.add_job(number, job_id=f"job-{index}", contact=contact, **fields)
    return numbers


def breaker(stage: Stage, context: WorkerContext) -> Breaker:
    return Breaker.read(stage.store.holds.read(context.retell.fingerprint).breaker)


def make_all_due(stage: Stage) -> None:
    past = stage.store.now() - timedelta(seconds=1)
    stage.database.jobs.update_many({"status": "pending"}, {"$set": {"reserved_until": past}})


def make_probe_due(stage: Stage, context: WorkerContext) -> None:
    past = stage.store.now() - timedelta(seconds=1)
    stage.database.speechaid_holds.update_one(
        {"_id": f"key:{context.retell.fingerprint}"}, {"$set": {"probe_at": past}, "$inc": {"revision": 1}}
    )


def dial_all(stage: Stage, context: WorkerContext) -> None:
    make_all_due(stage)
    while stage.dial_next(context):
        pass


def dial_in_turn(stage: Stage, context: WorkerContext, reasons: list[str]) -> None:
    """Dial one job after the other, each call ending for the next reason."""
    for reason in reasons:
        stage.simulator.script({"*": [reason]})
        assert stage.dial_next(context)


def spent(stage: Stage) -> list[str]:
    """Jobs that lost an attempt or a phone."""
    return [
        job["job_id"]
        for job in stage.database.jobs.find({})
        if job["attempts"] or job["contact"]["next_phone_index"] or job.get("dead_phones")
    ]


@pytest.mark.parametrize("wording", ACCOUNT_WORDINGS)
def test_what_the_account_may_not_do_holds_dialling_at_the_first_refusal(stage: Stage, wording: str) -> None:
    context = stage.context()
    add_jobs(stage, 3)
    stage.simulator.fault("refusal", wording=wording, endpoints=["create"])
    dial_all(stage, context)
    held = breaker(stage, context)
    assert (held.state, held.kind) == (BreakerState.OPEN, FaultKind.BLOCKED)
    assert len(stage.simulator.faults()) == 1
    assert stage.simulator.faults()[0]["hits"] == 1
    assert spent(stage) == []


def test_a_refusal_that_does_not_say_why_holds_dialling_once_a_second_number_meets_it(stage: Stage) -> None:
    context, other_host = stage.context(), stage.context("worker-1@host-b:1")
    add_jobs(stage, 4)
    fault = stage.simulator.fault(
        "status", status=400, message="Request for {to} could not be served (ref 4f2a1)", endpoints=["create"]
    )
    make_all_due(stage)
    assert stage.dial_next(context)
    assert breaker(stage, context).state is BreakerState.CLOSED
    assert stage.dial_next(other_host)  # what one worker met is known to all
    assert breaker(stage, context).kind is FaultKind.BLOCKED
    dial_all(stage, context)
    assert stage.simulator.faults()[0]["hits"] == 2
    assert spent(stage) == []
    stored = str(stage.store.holds.read(context.retell.fingerprint).breaker)
    assert not any(number in stored for number in (job["contact"]["phones"][0] for job in all_jobs(stage)))

    for _ in range(5):  # probes are refused in the same words: still nobody's attempt
        make_probe_due(stage, context)
        dial_all(stage, context)
    assert spent(stage) == []
    stage.simulator.clear_faults(fault)
    make_probe_due(stage, context)
    dial_all(stage, context)
    assert {job["status"] for job in all_jobs(stage)} == {"done"}


def all_jobs(stage: Stage) -> list[Document]:
    return list(stage.database.jobs.find({}))


def test_one_number_that_is_refused_for_no_given_reason_fails_alone(stage: Stage) -> None:
    context = stage.context(MAX_ATTEMPTS=2)
    number, *_ = add_jobs(stage, 3)
    stage.simulator.fault(
        "status", status=422, message="Something went wrong", endpoints=["create"], to_number=number
    )
    counts = []
    for _ in range(6):
        dial_all(stage, context)
        job = stage.job("job-0")
        counts.append((job["status"], job["attempts"], job.get("excused_faults")))
    assert counts[:3] == [("pending", 0, 1), ("pending", 0, 2), ("pending", 0, 3)]
    assert counts[3:] == [("pending", 1, 3), ("failed", 2, 3), ("failed", 2, 3)]
    assert breaker(stage, context).state is BreakerState.CLOSED
    assert [stage.job(f"job-{index}")["status"] for index in (1, 2)] == ["done", "done"]


@pytest.mark.parametrize(
    ("reason", "spent_at_most"),
    [
        ("telephony_provider_permission_denied", 0),
        ("telephony_provider_unavailable", 0),
        ("sip_routing_error", 0),
        ("marked_as_spam", 0),
        # The first two of these may be bad luck of their numbers.
        ("dial_failed", 2),
        ("trunk_refused_the_call", 2),
    ],
)
def test_faults_of_the_carrier_hold_dialling_after_five_numbers_and_spend_nothing(
    stage: Stage, reason: str, spent_at_most: int
) -> None:
    context = stage.context()
    add_jobs(stage, 8)
    stage.simulator.script({"*": [{"reason": reason, "status": "not_connected", "talk_seconds": 0}]})
    dial_all(stage, context)
    assert len(stage.placed_calls()) == 5
    held = breaker(stage, context)
    assert (held.state, held.kind) == (BreakerState.OPEN, FaultKind.CARRIER)
    assert reason in str(held.reason)
    assert len(spent(stage)) <= spent_at_most

    stage.simulator.script({"*": ["dial_busy"]})  # the carrier works again
    make_probe_due(stage, context)
    make_all_due(stage)
    assert stage.dial_next(context)
    assert breaker(stage, context) == Breaker()


def test_a_call_that_rings_ends_the_run_of_the_carriers_faults(stage: Stage) -> None:
    context = stage.context()
    add_jobs(stage, 9)
    dial_in_turn(stage, context, ["sip_routing_error"] * 4 + ["dial_no_answer"] + ["sip_routing_error"] * 4)
    assert breaker(stage, context).state is BreakerState.CLOSED


def test_a_number_that_the_carrier_never_reaches_is_excused_three_times(stage: Stage) -> None:
    context = stage.context(MAX_ATTEMPTS=2)
    (number,) = add_jobs(stage, 1)
    stage.simulator.script({number: ["network_blocked"]})
    job = stage.run_until_finished(context, "job-0")
    assert (job["status"], job["attempts"], job["excused_faults"]) == ("failed", 2, 3)
    assert len(stage.placed_calls()) == 3 + 2
    assert breaker(stage, context).state is BreakerState.CLOSED


@pytest.mark.parametrize("at_create", [True, False])
def test_invalid_numbers_of_five_people_in_a_row_pause_their_batch_once(
    stage: Stage, at_create: bool
) -> None:
    context = stage.context()
    stage.add_batch(BATCH)
    add_jobs(stage, 8, batch_id=BATCH)
    if at_create:
        stage.simulator.fault("refusal", wording="number", endpoints=["create"])
    else:
        stage.simulator.script({"*": ["invalid_destination"]})
    dial_all(stage, context)
    assert stage.database.jobs.count_documents({"status": "failed"}) == 5
    paused = stage.store.batches.get(BATCH)
    assert not paused.is_active
    assert paused.pause is not None
    assert paused.pause["by"] == "speechaid"
    assert "5 people in a row" in paused.pause["reason"]
    assert breaker(stage, context).state is BreakerState.CLOSED
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(stage.settings, now=0.0)
    (named,) = housekeeper.stats()["census"]["paused_unexpectedly"]["named"]
    assert "5 people in a row" in named

    stage.store.batches.resume(BATCH, by="maria")
    dial_all(stage, context)
    assert stage.database.jobs.count_documents({"status": "failed"}) == 8
    assert stage.store.batches.get(BATCH).is_active


def test_many_invalid_numbers_of_one_person_pause_nothing(stage: Stage) -> None:
    context = stage.context()
    stage.add_batch(BATCH)
    stage.add_job(*[phone() for _ in range(6)], batch_id=BATCH)
    stage.simulator.script({"*": ["invalid_destination"]})
    assert stage.run_until_finished(context)["status"] == "failed"
    assert len(stage.placed_calls()) == 6
    assert stage.store.batches.get(BATCH).is_active


def test_a_valid_number_between_them_keeps_the_batch_going(stage: Stage) -> None:
    context = stage.context()
    stage.add_batch(BATCH)
    add_jobs(stage, 9, batch_id=BATCH)
    invalid = ["invalid_destination"] * 4
    dial_in_turn(stage, context, [*invalid, "user_hangup", *invalid])
    assert stage.store.batches.get(BATCH).is_active


def test_a_request_that_is_too_large_ends_its_job_and_no_other(stage: Stage) -> None:
    context = stage.context(SPEECHAID_BREAKER_FAULTS=2)
    numbers = add_jobs(stage, 6)
    stage.database.jobs.update_many({}, {"$set": {"payload": {"notes": "x" * SMALL_REQUEST_BYTES}}})
    for number in numbers[:4]:
        stage.simulator.fault(
            "status", status=413, message="request entity too large", endpoints=["create"], to_number=number
        )
    dial_all(stage, context)
    statuses = [stage.job(f"job-{index}")["status"] for index in range(6)]
    assert statuses == ["failed"] * 4 + ["done"] * 2
    assert "413" in stage.job("job-0")["last_error"]
    assert breaker(stage, context) == Breaker()
    assert stage.store.diagnostics.rejected_jobs(10) == [f"job-{index}" for index in range(4)]


def test_a_proxy_that_calls_every_request_too_large_holds_dialling_and_spends_nothing(stage: Stage) -> None:
    context = stage.context(MAX_ATTEMPTS=2)
    add_jobs(stage, 8)
    fault = stage.simulator.fault("status", status=413, message="Payload Too Large", endpoints=["create"])
    for _ in range(6):  # probes are refused in the same words
        dial_all(stage, context)
        make_probe_due(stage, context)
    held = breaker(stage, context)
    assert (held.state is BreakerState.CLOSED, held.kind) == (False, FaultKind.BLOCKED)
    assert "413" in str(held.reason)
    assert {job["status"] for job in all_jobs(stage)} == {"pending"}
    assert spent(stage) == []

    stage.simulator.clear_faults(fault)
    make_probe_due(stage, context)
    dial_all(stage, context)
    assert {job["status"] for job in all_jobs(stage)} == {"done"}


def test_a_call_whose_answers_cannot_be_read_does_not_hold_the_others(stage: Stage) -> None:
    context = stage.context(SPEECHAID_BREAKER_FAULTS=2)
    (number,) = add_jobs(stage, 1)
    stage.simulator.fault("garbage", endpoints=["get"], to_number=number, count=6)
    dial_all(stage, context)
    assert breaker(stage, context) == Breaker()
    assert stage.job("job-0")["status"] == "done"


def test_a_create_whose_answers_cannot_be_read_does_not_hold_the_others(stage: Stage) -> None:
    context = stage.context(SPEECHAID_BREAKER_FAULTS=2)
    (number,) = add_jobs(stage, 1)
    stage.simulator.fault("garbage", endpoints=["create"], to_number=number, count=4)
    dial_all(stage, context)
    for _ in range(3):
        stage.lapse("job-0")
        assert stage.recover_one(context)
    assert stage.simulator.faults()[0]["hits"] > 2
    assert breaker(stage, context).state is BreakerState.CLOSED


def test_a_call_that_retell_cannot_report_has_one_vote(stage: Stage) -> None:
    context = stage.context(SPEECHAID_BREAKER_FAULTS=2)
    (number,) = add_jobs(stage, 1)
    stage.simulator.fault("outage", endpoints=["get"], to_number=number, count=6)
    dial_all(stage, context)
    assert breaker(stage, context).state is BreakerState.CLOSED
    assert stage.job("job-0")["status"] == "done"


def test_the_housekeeper_closes_a_rate_limit_that_no_dial_would_probe(stage: Stage) -> None:
    context = stage.context()
    add_jobs(stage, 1)
    stage.simulator.fault("rate_limit", endpoints=["create"], count=1)
    dial_all(stage, context)
    make_probe_due(stage, context)
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(stage.settings, now=0.0)
    assert housekeeper.stats()["key_held"]  # Retell has not answered this process
    housekeeper.retell_answered_at = context.clock.boottime()
    housekeeper.tick(stage.settings, now=100.0)
    assert not housekeeper.stats()["key_held"]
    assert breaker(stage, context) == Breaker()


def test_a_rate_limit_with_nothing_due_ends_when_retell_answers_and_a_blocked_key_does_not(
    stage: Stage,
) -> None:
    context = stage.context()
    add_jobs(stage, 1)
    for kind, fault in (
        (FaultKind.RATE_LIMITED, {"kind": "rate_limit"}),
        (FaultKind.BLOCKED, {"kind": "unauthorized"}),
    ):
        stage.simulator.fault(**fault, endpoints=["create"], count=1)
        make_probe_due(stage, context)
        dial_all(stage, context)
        assert breaker(stage, context).kind is kind
        key = context.retell.fingerprint
        assert not circuit_breaker.after_answer(stage.store, key, 0.0)  # Retell asked to wait
        make_probe_due(stage, context)
        assert not circuit_breaker.after_answer(stage.store, key, 60.0)  # an answer from before
        closed = circuit_breaker.after_answer(stage.store, key, 0.0)
        assert closed is (kind is FaultKind.RATE_LIMITED)
        assert (breaker(stage, context) == Breaker()) is closed
