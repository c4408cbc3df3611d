"""The doctor's causes, each one caused: in the database, at Retell, in the settings.

The fleet's own causes and the database's absence are caused under a whole daemon, in ``tests/acceptance``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.commands.doctor.doctor import doctor
from speechaid.commands.interfaces import HandlerContext, Invocation
from speechaid.settings import Settings
from speechaid.store.connection import connect
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage, settings_for

BATCH = "batch-20260101-00000001"
FLEET = {
    "supervisor": {"wanted": 3, "present": 3, "crash_loops": [], "dependency_away": False},
    "workers": [{"slot": f"worker-{number}", "pid": number, "paused": False} for number in (1, 2, 3)],
}
#: What is not the matter here: the sample batch has no hours, as most of SpeechAI's have none.
USUAL = {"no_allowed_hours"}
#: What is the matter with a machine that does ten things at once.
BUSY = {"slow_database", "slow_retell"}


class Patient:
    """A campaign in good health, until a test does something to it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.settings: Settings = stage.settings
        self.store = stage.store
        stage.add_batch(BATCH)
        self.job("job-1")

    def job(self, job_id: str, **fields: Any) -> None:
        self.stage.add_job(phone(), job_id=job_id, **{"batch_id": BATCH, **fields})

    def jobs(self, count: int, **fields: Any) -> None:
        for number in range(count):
            self.job(f"job-of-many-{number}", **fields)

    def results(self, count: int, **fields: Any) -> None:
        """Calls of the last hours."""
        at = self.stage.store.now() - timedelta(hours=1)
        rows = [{"call_id": f"call-{at.timestamp()}-{n}", "created_at": at, **fields} for n in range(count)]
        self.stage.database.call_results.insert_many(rows)

    def dial(self, **fields: Any) -> None:
        """A job with an open dial."""
        now = self.stage.store.now()
        dial = {"key": "k", "number": phone(), "intent_at": now, "body": "{}", **fields}
        later = now + timedelta(minutes=5)
        self.job("job-in-dial", status="in_progress", reserved_until=later, claim_token="t", dial=dial)

    def account(self, **fields: Any) -> None:
        """The batch's account."""
        self.stage.add_account(**{"plan_type": "minutes_based", "minutes_purchased": 100, **fields})
        self.batch(account_id="acc-1")

    def batch(self, **fields: Any) -> None:
        self.stage.database.batches.update_one({"batch_id": BATCH}, {"$set": fields})

    def set(self, **changes: str) -> None:
        """Other settings."""
        stage = self.stage
        self.settings = settings_for(stage.database.name, stage.uri, stage.simulator, **changes)

    def findings(self) -> dict[str, Document]:
        context = HandlerContext(store=self.store, settings=self.settings, in_loop=lambda answer: answer())
        command = Invocation(args={}, actor="a test", attachment=None, progress=lambda _: None, fleet=FLEET)
        return {row["code"]: row for row in doctor(context, command)["findings"]}


@pytest.fixture
def patient(common_stage: Stage) -> Patient:
    common_stage.simulator.change(concurrency_limit=20, date_skew_seconds=0)
    return Patient(common_stage)


def test_in_good_health_nothing_is_found(patient: Patient) -> None:
    assert patient.findings().keys() - BUSY == USUAL


def open_breaker(patient: Patient) -> None:
    """As a run of refused creates leaves it."""
    patient.stage.simulator.fault("unauthorized")
    worker_context = patient.stage.context(SPEECHAID_BREAKER_FAULTS=1)
    patient.stage.dial_next(worker_context)


def closed_window(patient: Patient) -> None:
    now = datetime.now(UTC)
    start, end = now + timedelta(hours=2), now + timedelta(hours=3)
    hours = {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}
    patient.batch(call_settings={"allowed_hours": hours, "timezone": "UTC"})


def wrong_key(patient: Patient) -> None:
    patient.set(RETELL_API_KEY="key_of_somebody_else")


def slow_retell(patient: Patient) -> None:
    patient.set(RETELL_TIMEOUT_SECONDS="60")  # slow, and yet heard
    patient.stage.simulator.fault("latency", endpoints=["concurrency"], seconds=3.2)


def unreachable(patient: Patient) -> None:
    patient.set(RETELL_BASE_URL="http://127.0.0.1:1")


def many_bad_calls(patient: Patient) -> None:
    patient.results(30, outcome="failed", disconnection_reason="error_asr")
    patient.results(10, outcome="answered", disconnection_reason="agent_hangup")


def unanswered_calls(patient: Patient) -> None:
    patient.results(30, outcome="no_answer", disconnection_reason="dial_no_answer")


def lapsed_lease(patient: Patient) -> None:
    past = patient.stage.store.now() - timedelta(minutes=10)
    patient.job("job-lapsed", status="in_progress", reserved_until=past, claim_token="t")


def long_call(patient: Patient) -> None:
    patient.dial(call_id="call_long", placed_at=patient.stage.store.now() - timedelta(hours=2))


def parked_call(patient: Patient) -> None:
    now = patient.stage.store.now()
    patient.dial(call_id="call_lost", placed_at=now, parked_at=now)


def missing_index(patient: Patient) -> None:
    patient.stage.database.jobs.drop_index("speechaid_turn")


CAUSES: dict[str, Callable[[Patient], object]] = {
    "breaker_open": open_breaker,
    "wrong_key": wrong_key,
    "retell_unreachable": unreachable,
    "slow_retell": slow_retell,
    "concurrency_limit": lambda patient: patient.stage.simulator.change(concurrency_limit=2),
    "clock_skew_retell": lambda patient: patient.stage.simulator.change(date_skew_seconds=600),
    "orphaned_jobs": lambda patient: patient.job("job-2", batch_id="batch-of-nobody"),
    "batch_paused": lambda patient: patient.batch(is_active=False),
    "window_fault": lambda patient: patient.batch(call_settings={"allowed_hours": {"start": "9am"}}),
    "windows_closed": closed_window,
    "no_credit": lambda patient: patient.job("job-2", status="suspended", suspend_reason="no_credit"),
    "account_unknown": lambda patient: patient.job("job-2", account_id="acc-lost"),
    "account_inactive": lambda patient: patient.account(status="expired"),
    "balance_used_up": lambda patient: patient.account(minutes_used=100),
    "few_answered": unanswered_calls,
    "many_failed_calls": many_bad_calls,
    "many_retries": lambda patient: patient.jobs(30, attempts=2),
    "hanging_calls": long_call,
    "parked_calls": parked_call,
    "ambiguous_dials": lambda patient: patient.dial(next_lookup_at=patient.stage.store.now()),
    "stuck_jobs": lapsed_lease,
    "missing_indexes": missing_index,
    "held": lambda patient: patient.stage.store.holds.hold(by="maria", reason="fire"),
    "short_lease": lambda patient: patient.set(LEASE_SECONDS="26"),
    "long_lease": lambda patient: patient.set(LEASE_SECONDS="7200"),
    "slow_polling": lambda patient: patient.set(CALL_POLLING_INTERVAL="90", LEASE_SECONDS="600"),
    "nothing_waits": lambda patient: patient.stage.database.jobs.delete_many({}),
}


@pytest.mark.parametrize(("code", "cause"), CAUSES.items(), ids=CAUSES)
def test_a_cause_is_found_with_evidence_and_remedy(
    patient: Patient, code: str, cause: Callable[[Patient], object]
) -> None:
    cause(patient)
    try:
        found = patient.findings()[code]
        assert found["evidence"]
        assert found["remedy"]
    finally:
        patient.stage.store.prepare()


def test_jobs_in_which_no_phone_can_be_read_are_named(patient: Patient) -> None:
    add = patient.job
    odd: list[object] = [{"phones": 56912345671}, "Ana", {"phones": [7]}, {"phones": []}, None]
    for number, contact in enumerate(odd):
        add(f"job-odd-{number}", contact=contact, status="failed" if number else "pending")
    add("job-flat", contact={"name": "Ana"}, to_number=phone())
    add("job-old", contact="Ana", status="done")
    evidence = patient.findings()["unreadable_jobs"]["evidence"]
    assert evidence.startswith("5 jobs: job-odd-0, job-odd-1")
    assert "job-flat" not in evidence


def test_accounts_that_jobs_name_and_that_do_not_exist_are_listed_with_their_jobs(patient: Patient) -> None:
    suspended = {"status": "suspended", "suspend_reason": "account_unknown"}
    patient.job("job-2", account_id="acc-lost")
    patient.job("job-3", account_id="acc-lost", **suspended)
    patient.job("job-4", account_id="acc-gone", **suspended)
    patient.job("job-5", account_id="acc-gone", status="done")
    assert patient.findings()["account_unknown"]["evidence"] == "acc-lost (2 jobs), acc-gone (1 job)"
    patient.stage.add_account(account_id="acc-lost")
    assert patient.findings()["account_unknown"]["evidence"] == "acc-gone (1 job)"


def test_a_clock_that_runs_ahead_of_the_database_s_is_found(patient: Patient) -> None:
    class Ahead(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(minutes=5)

    with closing(connect(patient.settings.database, clock=Ahead())) as patient.store:
        evidence = patient.findings()["clock_skew"]["evidence"]
    assert re.fullmatch(r"(299|300)\.\d s ahead", evidence)
