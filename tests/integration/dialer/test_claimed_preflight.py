"""The preflight that is read together with a claimed job, against the real wire database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.monitoring import CommandListener

from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.preflight import ClaimedJob
from speechaid.model.states import JobStatus
from speechaid.store.connection import connect
from speechaid.store.jobs import Jobs
from tests.support.stage import Document, FrozenClock, Stage

NATIONAL, NUMBER = "9 6123 4567", "+56961234567"
OTHER = "+12025550191"
BATCH, ACCOUNT = "batch-20260101-00000001", "acc-1"


def claimed(stage: Stage) -> ClaimedJob:
    job = JobClaimer(stage.context()).claim()
    assert job is not None
    return job


@pytest.mark.parametrize(
    "contact",
    [
        {"contact": {"phones": [OTHER, NUMBER]}},
        {"contact": {"phones": [OTHER, NATIONAL]}},
        {"contact": {"phones": [int(NUMBER.lstrip("+"))]}},
        {"contact": {"phones": NUMBER}},
        {"contact": {"phone": NUMBER}},
        {"contact": None, "to_number": NATIONAL},
    ],
    ids=["e164", "national", "a_number", "no_list", "one_phone", "flat"],
)
@pytest.mark.parametrize("on_the_list", [True, False])
def test_a_number_on_the_do_not_call_list_is_found_in_every_notation_of_the_job(
    stage: Stage, contact: Document, on_the_list: bool
) -> None:
    stage.add_batch(BATCH, call_settings={"country": "CL"})
    stage.add_job(job_id="job-1", batch_id=BATCH, **contact)
    if on_the_list:
        stage.store.do_not_call.add(NUMBER, source="test")
    assert claimed(stage).preflight.listed == (frozenset({NUMBER}) if on_the_list else frozenset())


def test_batch_account_and_holds_are_those_of_the_job(stage: Stage) -> None:
    stage.add_batch(BATCH, name="ours", account_id=ACCOUNT)
    stage.add_batch("batch-20260101-00000002", name="another")
    stage.add_account(ACCOUNT, plan_type="unlimited")
    stage.add_account("acc-2")
    stage.add_job(OTHER, batch_id=BATCH, account_id=ACCOUNT)
    found = claimed(stage)
    assert found.job.status is JobStatus.IN_PROGRESS
    assert found.job.document["payload"] == stage.job()["payload"]
    assert found.preflight.batch is not None
    assert found.preflight.account is not None
    assert (found.preflight.batch.batch_id, found.preflight.account.account_id) == (BATCH, ACCOUNT)
    assert found.preflight.holds == []


def test_a_job_without_batch_and_account_is_read_with_neither(stage: Stage) -> None:
    stage.database.batches.insert_one({"name": "a batch without a name of ours"})
    stage.database.accounts.insert_one({"name": "an account without a name of ours"})
    stage.add_job(OTHER)
    preflight = claimed(stage).preflight
    assert (preflight.batch, preflight.account) == (None, None)


def between_claim_and_read(monkeypatch: pytest.MonkeyPatch, operation: Callable[[], object]) -> None:
    """Another program does this after the claim is written and before anything is read."""
    claim = Jobs.claim

    def claim_then(jobs: Jobs, *args: Any, **options: Any) -> bool:
        won = claim(jobs, *args, **options)
        if won:
            operation()
        return won

    monkeypatch.setattr(Jobs, "claim", claim_then)


def test_a_job_whose_account_changed_meanwhile_is_read_with_the_new_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_account(ACCOUNT, plan_type="unlimited")
    stage.add_account("acc-2", status="suspended")
    stage.add_job(OTHER, account_id=ACCOUNT)
    between_claim_and_read(
        monkeypatch, lambda: stage.database.jobs.update_one({}, {"$set": {"account_id": "acc-2"}})
    )
    found = claimed(stage)
    assert found.job.account_id == "acc-2"
    assert found.preflight.account is not None
    assert found.preflight.account.account_id == "acc-2"


def test_a_job_whose_claim_was_lost_meanwhile_is_not_dialled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_job(OTHER)
    between_claim_and_read(
        monkeypatch, lambda: stage.database.jobs.update_one({}, {"$set": {"claim_token": "another's"}})
    )
    assert JobClaimer(stage.context()).claim() is None
    assert not stage.dial_next(stage.context())
    assert stage.placed_calls() == []


class Counting(CommandListener):
    """Counts the commands that are sent."""

    def __init__(self) -> None:
        self.sent = 0

    def started(self, event: Any) -> None:
        self.sent += event.command_name in {"find", "aggregate", "update"}

    def succeeded(self, event: Any) -> None:
        """It was counted when it was sent."""

    failed = succeeded


@pytest.mark.parametrize(
    ("phone", "country", "trips"), [(NUMBER, None, 2), (NATIONAL, None, 2), ("55 1234 5678", "MX", 3)]
)
def test_a_claim_costs_one_write_and_one_read_if_numbers_are_in_e164_or_of_the_default_country(
    stage: Stage, phone: str, country: str | None, trips: int
) -> None:
    stage.add_batch(BATCH, country=country, account_id=ACCOUNT)
    stage.add_account(ACCOUNT, plan_type="unlimited")
    for number in range(3):
        stage.add_job(phone, job_id=f"job-{number}", batch_id=BATCH, account_id=ACCOUNT)
    counting = Counting()
    context = stage.context()
    context.store.close()
    context.store = connect(context.settings.database, more={"event_listeners": [counting]})
    context.clock = FrozenClock(context.clock.boottime())
    claimer = JobClaimer(context)
    assert claimer.claim() is not None  # this one also read the due batches
    before = counting.sent
    assert claimer.claim() is not None
    assert counting.sent - before == trips
