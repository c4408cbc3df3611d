"""One reading: claim, ``explain``, ``forecast``, ``doctor`` and the counts agree about every strange job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, Int64

from speechaid.commands.batch_view import batch as batch_command
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


STRANGE: dict[str, Document] = {
    "attempts that are a document": {"attempts": {"no": "Ana Soto +56955550188"}},
    "a contact that is a text": {"contact": "Ana Soto +56955550188"},
    "hours that are a text": {"batch.call_settings": {"allowed_hours": "+56955550188"}},
    "a limit that is a text": {"account.daily_call_limit": "de 955550188"},
}


@pytest.mark.parametrize("name", STRANGE)
def test_no_answer_about_a_strange_document_tells_who_is_in_it(stage: Stage, name: str) -> None:
    add(stage, STRANGE[name])
    stage.database.jobs.update_one({}, {"$set": {"job_id": "job-1"}})
    answers = [
        ask(stage, doctor),
        ask(stage, explain, job="job-1"),
        ask(stage, forecast, batch=None, limit=10),
        ask(stage, batch_command, batch=BATCH),
    ]
    assert "cannot be" in str(answers)
    assert "Ana" not in str(answers)
    assert "5555" not in str(answers)


def test_a_listed_number_is_named_as_such_by_explain_and_forecast_and_ends_its_job(stage: Stage) -> None:
    """The job has two spellings of a listed line, and one number that was found invalid."""
    add(stage, {"contact.phones": ["+54 9 11 5555 0101", "+56976543210"], "dead_phones": ["+56976543210"]})
    stage.database.speechaid_do_not_call.insert_one({"_id": "+541155550101", "source": "another version"})

    explained = ask(stage, explain, job="job-1")
    found = {check["name"]: check["value"] for check in explained["checks"] if not check["passed"]}
    assert found["phone"] == "none of 2 may be dialled (1 on the do-not-call list, 1 found invalid)"
    assert "do-not-call list" in explained["sentence"]
    planned = ask(stage, forecast, batch=None, limit=10)
    assert planned["dials"] == []
    assert [(row["reason"], row["jobs"]) for row in planned["skipped"]] == [
        ("its phones are on the do-not-call list", 1)
    ]

    assert stage.dial_next(stage.context())
    assert (stage.placed_calls(), stage.job()["status"]) == ([], "cancelled")
    assert stage.job()["cancel_reason"] == "on_do_not_call_list"
    assert ask(stage, explain, job="job-1")["sentence"].endswith(", on do not call list")


def test_explain_names_the_listed_phones_beside_the_one_that_is_dialled(stage: Stage) -> None:
    listed, other = "+56976543210", "+56976543211"
    add(stage, {"contact.phones": [listed, "hello", other, "+56 9 7654 3211"]})
    stage.store.do_not_call.add(listed, source="test")
    checks = {row["name"]: row["value"] for row in ask(stage, explain, job="job-1")["checks"]}
    assert checks["phone"].endswith(
        "3 of 4; of the others 1 on the do-not-call list, 1 no phone number, 1 listed twice in the job"
    )


def test_numbers_that_no_plan_has_are_dialled_for_other_programs_and_counted_by_doctor(stage: Stage) -> None:
    lacking = "+56911111111"
    stage.simulator.script({lacking: ["dial_busy"]})
    add(stage, {"contact.phones": [lacking]})
    stage.add_job(lacking, job_id="imported", batch_id=BATCH, account_id=ACCOUNT, import_id="import-1")
    stage.add_job("9 1111 1112", job_id="without a batch")

    findings = {row["code"]: row["evidence"] for row in ask(stage, doctor)["findings"]}
    assert findings["unassigned_numbers"] == f"{BATCH} (1 job), without a batch (1 job)"
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(stage.settings, now=1000.0)
    assert housekeeper.stats()["unassigned"] == {BATCH: 1, "": 1}

    assert ask(stage, explain, job="job-1")["sentence"].startswith("Ready")
    why = ask(stage, explain, job="imported")["sentence"]
    assert "none of 1 may be dialled (1 not in the numbering plan)" in why

    stage.database.jobs.delete_one({"job_id": "without a batch"})
    for _ in range(2):
        assert stage.dial_next(stage.context())
    assert [call["to_number"] for call in stage.placed_calls()] == [lacking]
    assert (stage.job("imported")["status"], stage.job("imported")["last_error"]) == (
        "failed",
        "all_phones_dead",
    )

    stage.database.batches.update_one({}, {"$set": {"accept_unassigned": True}})
    stage.database.jobs.update_one({"job_id": "imported"}, {"$set": {"status": "pending"}})
    assert ask(stage, explain, job="imported")["sentence"].startswith("Ready")


def test_a_batch_whose_switch_for_such_numbers_cannot_be_understood_is_not_called(stage: Stage) -> None:
    add(stage, {"batch.accept_unassigned": "perhaps"})
    stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    evidence = [row["evidence"] for row in ask(stage, doctor)["findings"]]
    assert any("accept_unassigned 'perhaps' cannot be understood: true or false" in one for one in evidence)
