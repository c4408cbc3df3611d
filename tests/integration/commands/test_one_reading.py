"""One reading: claim, ``explain``, ``forecast``, ``doctor`` and the counts agree about every strange job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, Int64

from speechaid.commands.doctor.doctor import doctor
from speechaid.commands.explain import explain
from speechaid.commands.forecast import forecast
from speechaid.commands.interfaces import HandlerContext, Invocation
from speechaid.maintenance.housekeeping import Housekeeper
from tests.support.common_stage import phone
from tests.support.fakes import finished
from tests.support.stage import Document, Stage

BATCH, ACCOUNT = "batch-20260101-00000001", "acc-1"
SNAPSHOT = {
    "supervisor": {"wanted": 1, "present": 1, "crash_loops": [], "dependency_away": False},
    "workers": [{"slot": "worker-1", "pid": 1, "paused": False}],
}


def milliseconds(**ahead: float) -> Int64:
    return Int64((datetime.now(UTC) + timedelta(**ahead)).timestamp() * 1000)


#: A change to a sound job (to its batch or account, by a dotted name), and whether the job is called now.
CASES: dict[str, tuple[Document, bool]] = {
    "sound": ({}, True),
    "due in milliseconds": ({"reserved_until": milliseconds(minutes=-1)}, True),
    "due in seconds, a fraction": ({"reserved_until": milliseconds(minutes=-1) / 1000}, True),
    "due later, in milliseconds": ({"reserved_until": milliseconds(hours=5)}, False),
    "due later, as decimal": ({"reserved_until": Decimal128(str(milliseconds(hours=5)))}, False),
    "due as text": ({"reserved_until": "2026-01-01T00:00:00"}, True),
    "due as blank text": ({"reserved_until": " "}, True),
    "due as a word": ({"reserved_until": "soon"}, False),
    "due is true": ({"reserved_until": True}, False),
    "due at the end of time": ({"reserved_until": datetime(9999, 12, 31, tzinfo=UTC)}, False),
    "status in capitals": ({"status": "PENDING"}, True),
    "status with blanks": ({"status": " Pending "}, True),
    "scheduled in capitals": ({"status": "Scheduled"}, True),
    "completed": ({"status": "completed"}, False),
    "a status that nobody knows": ({"status": "exploded"}, False),
    "a phone of 64 bits": ({"contact.phones": [Int64(12025550143)]}, True),
    "a phone as decimal": ({"contact.phones": [Decimal128("12025550144")]}, True),
    "attempts as decimal": ({"attempts": Decimal128("1")}, True),
    "attempts as a word": ({"attempts": "three"}, False),
    "a batch that is a number": ({"batch_id": 17}, False),
    "a batch that is blank": ({"batch_id": ""}, False),
    "an account that is a document": ({"account_id": {"id": 1}}, False),
    "a revision that is text": ({"revision": "two"}, True),
    "a request that is text": ({"request": "cancel"}, False),
    "a dial without a number": ({"dial": {"key": "k"}}, False),
    "a batch that is neither on nor off": ({"batch.is_active": "pausado"}, False),
    "a batch that is on, as decimal": ({"batch.is_active": Decimal128("1")}, True),
    "a batch with null for its dials": ({"batch.open_dials": None}, True),
    "an account with null for its dials": ({"account.open_dials": None}, True),
    "an account with a revision of text": ({"account.ledger_revision": "x"}, True),
    "an account with a wrong limit": ({"account.daily_call_limit": "1,000"}, False),
    "an account with a limit as decimal": ({"account.daily_call_limit": Decimal128("9")}, True),
    "an account with a wrong status": ({"account.status": 1.5}, False),
}
#: Not called for another reason than that something cannot be read.
NOT_YET = {"due later, in milliseconds", "due later, as decimal", "completed"}


#: Findings of doctor about what cannot be read: of jobs and others, of batches, of accounts.
NAMED_BY = {"unreadable_documents", "window_fault", "account_fault"}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


def add(stage: Stage, changes: Document) -> None:
    """A sound job with these changes."""
    stage.add_batch(BATCH)
    stage.add_account(ACCOUNT, plan_type="unlimited", country="US")
    stage.add_job(phone(), batch_id=BATCH, account_id=ACCOUNT)
    for name, value in changes.items():
        owner, _, field = name.partition(".")
        table = {"batch": stage.database.batches, "account": stage.database.accounts}.get(owner)
        if table is None:
            stage.database.jobs.update_one({}, {"$set": {name: value}})
        else:
            table.update_one({}, {"$set": {field: value}})


def ask(stage: Stage, command: Any, **args: Any) -> Document:
    context = HandlerContext(store=stage.store, settings=stage.settings, in_loop=lambda answer: answer())
    called = Invocation(
        args=args, actor="a test", attachment=None, progress=lambda _: None, snapshot=SNAPSHOT
    )
    return finished(command(context, called), context)


@pytest.mark.parametrize("name", CASES)
def test_claim_explain_forecast_doctor_and_counts_agree(stage: Stage, name: str) -> None:
    changes, called = CASES[name]
    add(stage, changes)
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(stage.settings, now=1000.0)
    # What is written in another form has been taken up; the counts see it from now on.
    housekeeper.tick(stage.settings, now=2000.0)
    now = stage.store.now()

    explained = ask(stage, explain, job="job-1")
    planned = ask(stage, forecast, batch=None, limit=10)["dials"]
    findings = {row["code"]: row["evidence"] for row in ask(stage, doctor)["findings"]}
    due = housekeeper.stats()["census"]["due"]
    stage.dial_next(stage.context())

    assert [call["to_number"] for call in stage.placed_calls()] != [] if called else not stage.placed_calls()
    assert explained["sentence"].startswith("Ready") is called, explained["sentence"]
    assert any(row["at"] <= now + timedelta(minutes=1) for row in planned) is called, planned
    unreadable = not called and name not in NOT_YET
    assert bool(NAMED_BY & findings.keys()) is unreadable, findings
    if any(field in {"reserved_until", "status"} for field in changes):
        assert due == called


def test_what_is_unreadable_is_named_with_its_field(stage: Stage) -> None:
    add(stage, {"attempts": "three", "account.daily_call_limit": "1,000"})
    evidence = [row["evidence"] for row in ask(stage, doctor)["findings"]]
    assert "job-1 (attempts 'three' cannot be understood: a whole number)" in evidence
    assert "acc-1 (daily_call_limit '1,000' cannot be understood: a number)" in evidence
    assert (
        "attempts 'three' cannot be understood: a whole number"
        in ask(stage, explain, job="job-1")["sentence"]
    )
