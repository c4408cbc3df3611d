"""A database as SpeechAI left it, with every variant of its documents, run until all jobs are over."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.dialer.context import WorkerContext
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.retell.requests_body import DIAL_KEY
from tests.support.stage import Document, Stage, noon_zone

SANTIAGO = "America/Santiago"
OPEN, PAUSED, OWN_RULES = "batch-20250301-0a0a0a0a", "batch-20250301-0b0b0b0b", "batch-20250301-0c0c0c0c"

#: Fields that speechaid writes; all others must keep their value.
WRITTEN_JOB = {
    *("status", "attempts", "contact", "reserved_until", "worker_id", "started_at", "updated_at"),
    *("completed_at", "finished_at", "failed_at", "call_id", "call_started_at", "call_ended_at"),
    *("call_duration_seconds", "call_result", "last_error", "fecha_pago_cliente", "monto_pago_cliente"),
    *("revision", "crashes", "last_outcome", "dead_phones", "next_try_at", "reserved_amount"),
    *("suspend_reason", "suspended_at", "cancel_reason", "last_agent_id", "last_from_number"),
}
WRITTEN_BATCH = {
    *("total_jobs", "pending_jobs", "completed_jobs", "failed_jobs", "suspended_jobs"),
    *("total_cost", "total_minutes", "updated_at", "open_dials", "fold", "live_calls", "has_all_entries"),
}
WRITTEN_ACCOUNT = {
    *("minutes_used", "minutes_reserved", "credit_used", "credit_reserved", "calls_today"),
    *("calls_today_date", "open_dials", "ledger_revision", "given_back"),
}


def naive(**ago: float) -> datetime:
    """As SpeechAI's ``datetime.utcnow()`` wrote it."""
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(**ago)


def number(last: int) -> str:
    return f"+5691234{last:04d}"


ACCOUNTS: list[Document] = [
    {
        "account_id": "acc-texts",
        "company": "Cobranzas del Sur",
        "plan_type": "credit_based",
        "status": "active",
        "country": "CL",
        "timezone": noon_zone(),
        "credit_balance": "1000.50",
        "credit_used": "0",
        "credit_reserved": "18",
        "cost_per_minute": "2",
        "cost_per_call_setup": "1",
        "cost_failed_call": "0.1",
        "max_concurrent_calls": "5",
        "daily_call_limit": "200",
        "calls_today": "7",
        "settings": {"theme": "dark"},
    },
    {
        "account_id": "acc-minutes",
        "plan_type": "minutes_based",
        "country": "CL",
        "minutes_purchased": 500,
        "minutes_used": None,
        "features": ["reports"],
    },
    {"account_id": "acc-unlimited", "plan_type": "unlimited", "status": "active"},
]

BATCHES: list[Document] = [
    {
        "batch_id": OPEN,
        "account_id": "acc-texts",
        "name": "No hours, no is_active",
        "priority": "2",
        "total_cost": None,
        "total_minutes": "0",
        "created_at": naive(days=2),
        "imported_from": "marzo.xlsx",
    },
    {
        "batch_id": PAUSED,
        "account_id": "acc-texts",
        "name": "Paused by SpeechAI's API",
        "is_active": "false",
        "priority": 3,
    },
    {
        "batch_id": OWN_RULES,
        "account_id": "acc-minutes",
        "name": "With settings of its own",
        "is_active": True,
        "priority": 1,
        "call_settings": {
            "max_attempts": "1",
            "retry_delay_hours": 1,
            "days_of_week": [0, 1, 2, 3, 4, 5, 6],
            "timezone": SANTIAGO,
            "ring_timeout": 25,
            "max_call_duration": 120,
            "voice": "female",
        },
    },
]


def flat(last: int, **fields: Any) -> Document:
    return {"nombre": f"Persona {last}", "rut": f"{last}-9", "to_number": number(last), **fields}


def full(last: int, *phones: str, **fields: Any) -> Document:
    contact = {
        "name": f"Persona {last}",
        "dni": f"{last}-9",
        "phones": list(phones) or [number(last)],
        "next_phone_index": 0,
        "email": "a@example.com",
    }
    return {"contact": contact, **fields}


def jobs() -> dict[str, Document]:
    """One job for each variant, by a description of it."""
    texts = {"batch_id": OPEN, "account_id": "acc-texts"}
    own = {"batch_id": OWN_RULES, "account_id": "acc-minutes"}
    pending = {"status": "pending", "attempts": 0, "created_at": naive(days=1)}
    held = {"status": "in_progress", "worker_id": "call_worker:17", "started_at": naive(hours=3)}
    return {
        "as SpeechAI makes them": full(1, **pending, **texts, mode="single", max_attempts=9),
        "national numbers": full(2, "9 1234 0002", "(9) 1234-0902", **pending, **texts),
        "flat": flat(3, status="pending", **texts),
        "contact null": flat(4, **pending, **own, contact=None),
        "contact null, busy": flat(5, **pending, **texts, contact=None),
        "tries": flat(6, status="pending", tries=2, **texts),
        "tries beside a null": flat(7, status="pending", tries=2, attempts=None, **texts),
        "completed": full(8, status="completed", attempts=1, **texts, call_result={"success": True}),
        "scheduled and due": full(9, status="scheduled", reserved_until=naive(minutes=5), **texts),
        "scheduled for later": full(10, status="scheduled", reserved_until=naive(days=-1), **texts),
        "a retry that is due": full(11, status="failed", attempts=1, next_try_at=naive(minutes=1), **texts),
        "a retry written as text": full(
            12, status="failed", tries=1, next_try_at=naive(minutes=1).isoformat(), **texts
        ),
        "a retry for later": full(13, status="failed", attempts=1, next_try_at=naive(hours=-2), **texts),
        "no retry left": full(14, status="failed", attempts=3, next_try_at=naive(minutes=1), **texts),
        "no retry left in its batch": full(
            15, status="failed", attempts=1, next_try_at=naive(minutes=1), **own
        ),
        "failed for good": full(16, status="failed", attempts=3, **texts),
        "in a live call": full(17, **held, **texts, call_id="set below"),
        "in a live call without its id": full(18, **held, **texts),
        "without a worker": full(19, **held, **texts),
        "in progress, its lease as text": full(
            20, **held, **texts, reserved_until=naive(hours=2).isoformat(), call_id=None
        ),
        "with a reservation": full(21, **pending, **texts, reserved_amount=5, estimated_cost=5),
        "with a reservation as text": full(22, **pending, **texts, reserved_amount="10"),
        "with a reservation, paused": full(
            23, **pending, batch_id=PAUSED, account_id="acc-texts", reserved_amount=3
        ),
        "paused": full(24, **pending, batch_id=PAUSED, account_id="acc-texts"),
        "suspended for credit, but has credit": full(
            25, status="suspended", suspend_reason="no_credit", **texts
        ),
        "suspended by an operator": full(26, status="suspended", suspend_reason="operator", **texts),
        "cancelled": full(27, status="cancelled", **texts),
        "without batch and account": full(28, **pending),
        "due by a text": flat(29, status="pending", reserved_until=naive(minutes=9).isoformat(), **texts),
        "of a deleted batch": full(30, **pending, batch_id="batch-20240101-00000000"),
        "of a deleted account": full(31, **pending, batch_id=OPEN, account_id="acc-gone"),
        "not answered": full(32, **pending, **own),
        "minutes": full(33, **pending, **own),
        "no valid number": flat(34, status="pending", **texts) | {"to_number": "none"},
    }


@pytest.fixture
def context(stage: Stage) -> WorkerContext:
    """A worker on SpeechAI's database."""
    stage.simulator.script(
        {"*": ["user_hangup"], number(5): ["dial_busy", "user_hangup"], number(32): ["dial_no_answer"]}
    )
    worker = stage.context(SPEECHAID_DEFAULT_COUNTRY="CL")
    stage.database.accounts.insert_many(copy.deepcopy(ACCOUNTS))
    stage.database.batches.insert_many(copy.deepcopy(BATCHES))
    documents = [
        {
            "job_id": name,
            "payload": {"company_name": "Acme", "debt_amount": "150000"},
            "legacy": {"x": 1},
            **job,
        }
        for name, job in jobs().items()
    ]
    by_name = {job["job_id"]: job for job in documents}
    by_name["in a live call"]["call_id"] = speechai_calls(worker, 17)
    speechai_calls(worker, 18)
    stage.database.jobs.insert_many(documents)
    return worker


def speechai_calls(context: WorkerContext, last: int) -> str:
    """A call that SpeechAI placed before it was stopped: no key of ours, no metadata."""
    call = context.retell.create_call(
        {"from_number": "+15005550006", "to_number": number(last), "idempotency_key": f"foreign-{last}"}
    )
    assert DIAL_KEY not in call.metadata
    return call.call_id


def all_documents(stage: Stage) -> dict[str, dict[str, Document]]:
    names = {"jobs": "job_id", "batches": "batch_id", "accounts": "account_id"}
    return {
        collection: {str(row[name]): row for row in stage.database[collection].find({})}
        for collection, name in names.items()
    }


def run_to_its_end(stage: Stage, context: WorkerContext) -> None:
    """Run housekeeping, dial and recover, as if delays and leases had run out, until all work is done."""
    housekeeper = Housekeeper(stage.store)
    for moment in moments():
        housekeeper.tick(context.settings, now=moment)
        ours = {"status": "pending", "revision": {"$gt": 1}, "job_id": {"$ne": "scheduled for later"}}
        past = {"$set": {"reserved_until": naive(seconds=1)}}
        stage.database.jobs.update_many({**ours, "reserved_until": {"$gt": naive()}}, past)
        stage.database.jobs.update_many({"status": "in_progress"}, past)
        if not stage.recover_one(context) and not stage.dial_next(context):
            return
    pytest.fail("there is always more work")


def moments() -> Iterator[float]:
    return (1000.0 * number for number in range(1, 200))


EXPECTED = {
    "as SpeechAI makes them": "done",
    "national numbers": "done",
    "flat": "done",
    "contact null": "done",
    "contact null, busy": "done",
    "tries": "done",
    "tries beside a null": "done",
    "completed": "completed",
    "scheduled and due": "done",
    "scheduled for later": "pending",
    "a retry that is due": "done",
    "a retry written as text": "done",
    "a retry for later": "failed",
    "no retry left": "failed",
    "no retry left in its batch": "failed",
    "failed for good": "failed",
    "in a live call": "done",
    "in a live call without its id": "done",
    "without a worker": "done",
    "in progress, its lease as text": "done",
    "with a reservation": "done",
    "with a reservation as text": "done",
    "with a reservation, paused": "pending",
    "paused": "pending",
    "suspended for credit, but has credit": "done",
    "suspended by an operator": "suspended",
    "cancelled": "cancelled",
    "without batch and account": "done",
    "due by a text": "done",
    "of a deleted batch": "pending",
    "of a deleted account": "suspended",
    "not answered": "failed",
    "minutes": "done",
    "no valid number": "failed",
}


@pytest.mark.slow
def test_every_variant_ends_in_its_expected_status(stage: Stage, context: WorkerContext) -> None:
    before = all_documents(stage)
    run_to_its_end(stage, context)
    stage.store.batch_sums.fold_all()
    after = all_documents(stage)

    assert {name: job["status"] for name, job in after["jobs"].items()} == EXPECTED
    assert set(EXPECTED) == set(jobs())

    # No one was called twice for one job, or against the job's status.
    called = [call["to_number"] for call in stage.placed_calls()]
    assert sorted(called) == sorted(
        [
            *(
                number(last)
                for last in (1, 2, 3, 4, 5, 5, 6, 7, 9, 11, 12, 17, 18, 19, 20, 21, 22, 25, 28, 29)
            ),
            *(number(last) for last in (32, 33)),
        ]
    )
    assert stage.simulator.overlaps() == []

    # Fields that we do not know are unchanged.
    for collection, written in (
        ("jobs", WRITTEN_JOB),
        ("batches", WRITTEN_BATCH),
        ("accounts", WRITTEN_ACCOUNT),
    ):
        for name, was in before[collection].items():
            now = after[collection][name]
            kept = {field: value for field, value in was.items() if field not in written}
            assert {field: now.get(field) for field in kept} == kept
            assert set(now) - set(was) <= written
    for name, was in before["jobs"].items():
        if was.get("contact"):
            now_contact = after["jobs"][name]["contact"]
            assert now_contact == was["contact"] | {"next_phone_index": now_contact["next_phone_index"]}
    for name in ("completed", "failed for good", "cancelled", "paused", "suspended by an operator"):
        assert after["jobs"][name] == before["jobs"][name]


@pytest.mark.slow
def test_reserved_and_used_amounts_are_exact_to_the_cent(stage: Stage, context: WorkerContext) -> None:
    run_to_its_end(stage, context)
    stage.store.batch_sums.fold_all()
    after = all_documents(stage)

    results = stage.results()
    assert len(results) == len(stage.placed_calls())
    texts, minutes = after["accounts"]["acc-texts"], after["accounts"]["acc-minutes"]
    charged = [row["charged"] for row in results if row["account_id"] == "acc-texts"]
    assert texts["credit_used"] == pytest.approx(sum(charge["credit"] for charge in charged))
    assert texts["credit_used"] > len(charged)
    # Of SpeechAI's 18 the two called jobs released 15; the paused job keeps 3.
    assert texts["credit_reserved"] == pytest.approx(3)
    assert after["jobs"]["with a reservation, paused"]["reserved_amount"] == 3
    assert "reserved_amount" not in after["jobs"]["with a reservation"]
    assert texts["calls_today"] == 7 + len(charged)
    assert texts["given_back"] == texts["open_dials"] == []
    used = [row["charged"]["minutes"] for row in results if row["account_id"] == "acc-minutes"]
    assert minutes["minutes_used"] == pytest.approx(sum(used))
    assert minutes["minutes_reserved"] == pytest.approx(0)
    for batch_id in (OPEN, OWN_RULES):
        rows = [row for row in results if row["batch_id"] == batch_id]
        batch = after["batches"][batch_id]
        assert batch["total_cost"] == pytest.approx(sum(row["cost"] for row in rows))
        assert batch["total_minutes"] == pytest.approx(
            sum(row["duration_ms"] / 60_000 for row in rows if row["connected"]), abs=1e-5
        )
        assert batch.get("open_dials", []) == []
    open_batch = after["batches"][OPEN]
    assert (open_batch["completed_jobs"], open_batch["pending_jobs"]) == (18, 1)


@pytest.mark.slow
def test_the_fields_that_speechai_s_programs_read_are_written(stage: Stage, context: WorkerContext) -> None:
    run_to_its_end(stage, context)
    job, (result,) = stage.job("flat"), stage.database.call_results.find({"job_id": "flat"})
    assert job["call_result"]["success"] is True
    assert job["call_result"]["summary"]["call_status"] == "ended"
    assert job["call_result"]["summary"]["duration_ms"] == result["duration_ms"]
    assert job["call_duration_seconds"] == result["duration_ms"] / 1000
    assert job["call_id"] == result["call_id"] == result["call_data"]["call_id"]
    assert result["contact"] == {"name": "Persona 3", "dni": "3-9", "phone_used": number(3)}
    assert result["is_successful"] is True
    assert job["completed_at"] == job["finished_at"]
    retried = stage.job("a retry that is due")
    assert "next_try_at" not in retried
    assert stage.job("tries")["attempts"] == 2
    assert stage.job("contact null, busy")["contact"] == {"next_phone_index": 0}
    variables = result["call_data"]["retell_llm_dynamic_variables"]
    assert (variables["nombre"], variables["RUT"]) == ("Persona 3", "3-9")
    assert (variables["empresa"], variables["monto_total"]) == ("Acme", "150000")


def test_a_reset_restarts_a_flat_job_although_its_contact_is_null(stage: Stage) -> None:
    flat_job = flat(1, status="failed", tries=3, contact=None)
    stage.database.jobs.insert_one({"job_id": "flat", **flat_job, "updated_at": naive()})
    full_job = full(2, status="failed", attempts=3) | {"updated_at": naive()}
    stage.database.jobs.insert_one({"job_id": "full", **full_job})
    query = stage.store.operator_actions.resettable(["failed"], max_age_seconds=3600, batch_id=None)
    assert stage.store.operator_actions.reset(query, 10) == 2
    assert stage.job("flat")["contact"] == {"next_phone_index": 0}
    assert stage.job("full")["contact"]["phones"] == [number(2)]
    assert {stage.job(name)["attempts"] for name in ("flat", "full")} == {0}
