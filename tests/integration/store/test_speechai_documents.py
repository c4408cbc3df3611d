"""Documents as SpeechAI wrote them, claimed and dialled as they stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.model.job import Job
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage

BATCH = "batch-20250101-0badcafe"
MINUTES = {"plan_type": "minutes_based", "minutes_purchased": 5}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


def insert(stage: Stage, **fields: Any) -> ObjectId:
    """A job with nothing in it but what is given."""
    document: Document = {"status": "pending", **fields}
    stage.database.jobs.insert_one(document)
    return ObjectId(str(document["_id"]))


def job_of(stage: Stage, name: ObjectId) -> Document:
    found = stage.database.jobs.find_one({"_id": name})
    assert found is not None
    return found


def naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def test_flat_fields_stand_for_the_contact_and_unknown_ones_are_left_alone(stage: Stage) -> None:
    number = phone()
    name = insert(
        stage,
        nombre="Ana Díaz",
        rut="12.345.678-9",
        to_number=number,
        tries=1,
        created_at=naive(stage.store.now()),
        something_of_ours={"deep": [1, 2]},
    )
    stage.simulator.script({number: ["dial_no_answer"]})

    assert stage.dial_next(stage.context())

    job, (call,) = job_of(stage, name), stage.placed_calls()
    assert call["to_number"] == number
    assert (job["status"], job["attempts"]) == ("pending", 2)
    assert job["something_of_ours"] == {"deep": [1, 2]}
    (result,) = stage.results()
    assert result["contact"] == {"name": "Ana Díaz", "dni": "12.345.678-9", "phone_used": number}
    assert result["job_id"] == str(name)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="nothing reserved"),
        pytest.param({"reserved_until": None}, id="null"),
        pytest.param({"reserved_until": datetime(2020, 1, 1)}, id="naive, long past"),  # noqa: DTZ001
        pytest.param({"reserved_until": datetime(2020, 1, 1, tzinfo=UTC), "revision": None}, id="aware"),
        pytest.param({"attempts": "0", "max_attempts": "7"}, id="numbers as text"),
        pytest.param({"batch_id": None, "account_id": None}, id="no batch, no account"),
        pytest.param({"contact": {"phones": "{phone}"}}, id="one phone instead of a list"),
        pytest.param({"contact": {"phones": ["", None, "{phone}"], "next_phone_index": 9}}, id="gaps"),
        pytest.param({"contact": None, "to_number": "{phone}"}, id="no contact at all"),
        pytest.param({"payload": None, "mode": 3}, id="odd payload"),
    ],
)
def test_whatever_form_a_job_has_it_is_called_once_and_done(stage: Stage, fields: Document) -> None:
    number = phone()
    name = insert(stage, **({"to_number": number} | _with_phone(fields, number)))
    stage.simulator.script({number: ["agent_hangup"]})

    assert stage.dial_next(stage.context())

    assert job_of(stage, name)["status"] == "done"
    assert [call["to_number"] for call in stage.placed_calls()] == [number]
    assert not stage.dial_next(stage.context())


def _with_phone(value: Any, number: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_phone(item, number) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_phone(item, number) for item in value]
    return number if value == "{phone}" else value


@pytest.mark.parametrize("status", ["completed", "done", "failed", "suspended", "cancelled", "paused", None])
def test_a_job_that_is_over_or_in_a_status_that_nobody_knows_is_not_called(
    stage: Stage, status: str | None
) -> None:
    name = insert(stage, to_number=phone(), status=status)
    assert not stage.dial_next(stage.context())
    assert not stage.recover_one(stage.context())
    assert job_of(stage, name)["status"] == status
    assert stage.placed_calls() == []


def test_completed_reads_as_done(stage: Stage) -> None:
    name = insert(stage, to_number=phone(), status="completed")
    assert Job.read(job_of(stage, name)).status == "done"


@pytest.mark.parametrize(
    ("active", "called"),
    [
        (True, True),
        ("true", True),
        (1, True),
        (None, True),
        ("missing", True),
        (False, False),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        (" no ", False),
        (0, False),
        (0.0, False),
        ("0", False),
        ("off", False),
    ],
)
def test_is_active_in_whatever_spelling(stage: Stage, active: object, called: bool) -> None:
    number = phone()
    batch: Document = {"batch_id": BATCH} | ({} if active == "missing" else {"is_active": active})
    stage.database.batches.insert_one(batch)
    insert(stage, to_number=number, batch_id=BATCH)
    stage.simulator.script({number: ["user_hangup"]})

    stage.dial_next(stage.context())

    assert [call["to_number"] for call in stage.placed_calls()] == ([number] if called else [])


@pytest.mark.parametrize("active", ["FALSE", " no ", "Off"])
def test_a_pause_in_any_spelling_is_judged_in_the_very_last_look_too(stage: Stage, active: str) -> None:
    number = phone()
    stage.database.batches.insert_one({"batch_id": BATCH})
    name = insert(stage, to_number=number, batch_id=BATCH)
    context = stage.context()
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    stage.database.batches.update_one({}, {"$set": {"is_active": active}})
    dial.run(context, claimed.job, claimed.preflight)

    assert stage.placed_calls() == []
    assert job_of(stage, name)["status"] == "pending"
    assert job_of(stage, name).get("attempts", 0) == 0


def test_a_job_whose_batch_does_not_exist_waits(stage: Stage) -> None:
    name = insert(stage, to_number=phone(), batch_id="batch-20250101-00000000")
    assert not stage.dial_next(stage.context())
    assert job_of(stage, name)["status"] == "pending"


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        pytest.param({"plan_type": "unlimited"}, True, id="unlimited"),
        pytest.param(
            {"plan_type": "minutes_based", "minutes_purchased": Decimal128("5.5")}, True, id="decimal"
        ),
        pytest.param(
            {"plan_type": "minutes_based", "minutes_purchased": 5, "minutes_used": 5}, False, id="used"
        ),
        pytest.param({**MINUTES, "minutes_reserved": 5}, False, id="reserved"),
        pytest.param({"plan_type": "credit_based", "credit_balance": "10"}, True, id="text"),
        pytest.param({"plan_type": "unlimited", "status": "expired"}, False, id="expired"),
        pytest.param({"plan_type": "a plan of tomorrow"}, False, id="unknown plan"),
    ],
)
def test_accounts_as_they_are_written(stage: Stage, fields: Document, called: bool) -> None:
    number = phone()
    stage.database.accounts.insert_one({"account_id": "acc-1", **fields})
    insert(stage, to_number=number, account_id="acc-1")
    stage.simulator.script({number: ["user_hangup"]})

    stage.dial_next(stage.context())

    assert len(stage.placed_calls()) == (1 if called else 0)
    account = stage.database.accounts.find_one({})
    assert account is not None
    assert account.get("open_dials", []) == []


def test_doubles_that_speechai_left_among_the_results_stop_no_start_and_no_settlement(stage: Stage) -> None:
    stage.database.call_results.insert_many([{"call_id": "call_old"}, {"call_id": "call_old"}])
    stage.store.prepare()
    number = phone()
    insert(stage, to_number=number)
    stage.simulator.script({number: ["user_hangup"]})
    assert stage.dial_next(stage.context())
    assert len(stage.results()) == 3


def test_a_lease_that_speechai_still_holds_is_left_to_it(stage: Stage) -> None:
    ahead = naive(stage.store.now() + timedelta(minutes=1))
    name = insert(stage, to_number=phone(), status="in_progress", reserved_until=ahead, worker_id="bot-1")
    assert not stage.recover_one(stage.context())
    assert not stage.dial_next(stage.context())
    assert job_of(stage, name)["worker_id"] == "bot-1"
