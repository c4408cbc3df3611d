"""``doctor`` with a real database and Retell simulator: each cause is brought about and found.

Faults of workers and an unavailable database are tested with a whole daemon in ``tests/acceptance``.
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
from tests.support.fakes import finished
from tests.support.stage import Document, Stage, settings_for

BATCH = "batch-20260101-00000001"
SNAPSHOT = {
    "supervisor": {"wanted": 3, "present": 3, "crash_loops": [], "dependency_away": False},
    "workers": [{"slot": f"worker-{number}", "pid": number, "paused": False} for number in (1, 2, 3)],
}
#: The sample batch has no allowed hours, like most of SpeechAI's.
USUAL = {"no_allowed_hours"}
#: Findings of a test machine under load.
BUSY = {"slow_database", "slow_retell"}


class Campaign:
    """A healthy campaign, which a test then disturbs."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.settings: Settings = stage.settings
        self.store = stage.store
        self._jobs = 0
        stage.add_batch(BATCH)
        self.job("job-1")

    def job(self, job_id: str, **fields: Any) -> None:
        self._jobs += 1
        # Numbers that the numbering plan has.
        self.stage.add_job(f"+5695555{self._jobs:04d}", job_id=job_id, **{"batch_id": BATCH, **fields})

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
        """Change settings."""
        stage = self.stage
        self.settings = settings_for(stage.database.name, stage.uri, stage.simulator, **changes)

    def findings(self) -> dict[str, Document]:
        context = HandlerContext(store=self.store, settings=self.settings, in_loop=lambda answer: answer())
        command = Invocation(
            args={}, actor="a test", attachment=None, progress=lambda _: None, snapshot=SNAPSHOT
        )
        return {row["code"]: row for row in finished(doctor(context, command), context)["findings"]}


@pytest.fixture
def campaign(common_stage: Stage) -> Campaign:
    common_stage.simulator.change(concurrency_limit=20, date_skew_seconds=0, agents=None, numbers=None)
    return Campaign(common_stage)


def test_a_healthy_campaign_has_no_finding(campaign: Campaign) -> None:
    assert campaign.findings().keys() - BUSY == USUAL


def open_breaker(campaign: Campaign) -> None:
    """Open the breaker by refused create requests."""
    campaign.stage.simulator.fault("unauthorized")
    worker_context = campaign.stage.context(SPEECHAID_BREAKER_FAULTS=1)
    campaign.stage.dial_next(worker_context)


def closed_window(campaign: Campaign) -> None:
    now = datetime.now(UTC)
    start, end = now + timedelta(hours=2), now + timedelta(hours=3)
    hours = {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}
    campaign.batch(call_settings={"allowed_hours": hours, "timezone": "UTC"})


def wrong_key(campaign: Campaign) -> None:
    campaign.set(RETELL_API_KEY="key_of_somebody_else")


def slow_retell(campaign: Campaign) -> None:
    campaign.set(RETELL_TIMEOUT_SECONDS="60")  # longer than the latency below
    campaign.stage.simulator.fault("latency", endpoints=["concurrency"], seconds=3.2)


def unknown_agent(campaign: Campaign) -> None:
    campaign.stage.simulator.change(agents={"agent_of_another_workspace": {}})


def unknown_number(campaign: Campaign) -> None:
    campaign.stage.simulator.change(numbers={})


def unknown_agent_of_a_batch(campaign: Campaign) -> None:
    campaign.stage.simulator.change(agents={campaign.stage.settings.retell.agent_id: {}})
    campaign.batch(call_settings={"agent_id": "agent_gone"})


def unreachable(campaign: Campaign) -> None:
    campaign.set(RETELL_BASE_URL="http://127.0.0.1:1")


def many_bad_calls(campaign: Campaign) -> None:
    campaign.results(30, outcome="failed", disconnection_reason="error_asr")
    campaign.results(10, outcome="answered", disconnection_reason="agent_hangup")


def unanswered_calls(campaign: Campaign) -> None:
    campaign.results(30, outcome="no_answer", disconnection_reason="dial_no_answer")


def lapsed_lease(campaign: Campaign) -> None:
    past = campaign.stage.store.now() - timedelta(minutes=10)
    campaign.job("job-lapsed", status="in_progress", reserved_until=past, claim_token="t")


def long_call(campaign: Campaign) -> None:
    campaign.dial(call_id="call_long", placed_at=campaign.stage.store.now() - timedelta(hours=2))


def parked_call(campaign: Campaign) -> None:
    now = campaign.stage.store.now()
    campaign.dial(call_id="call_lost", placed_at=now, parked_at=now)


def unknown_call(campaign: Campaign) -> None:
    now = campaign.stage.store.now()
    campaign.dial(call_id="call_ghost", placed_at=now, parked_at=now, unknown_at=now)


def shared_number(campaign: Campaign) -> None:
    campaign.stage.database.jobs.drop_index("speechaid_live_number")
    for _ in range(2):
        campaign.dial(number="+12025550100")


def missing_index(campaign: Campaign) -> None:
    campaign.stage.database.jobs.drop_index("speechaid_turn")


CAUSES: dict[str, Callable[[Campaign], object]] = {
    "breaker_open": open_breaker,
    "wrong_key": wrong_key,
    "retell_unreachable": unreachable,
    "slow_retell": slow_retell,
    "unknown_agent": unknown_agent,
    "unknown_number": unknown_number,
    "batch_agent_unknown": unknown_agent_of_a_batch,
    "concurrency_limit": lambda campaign: campaign.stage.simulator.change(concurrency_limit=2),
    "clock_skew_retell": lambda campaign: campaign.stage.simulator.change(date_skew_seconds=600),
    "orphaned_jobs": lambda campaign: campaign.job("job-2", batch_id="batch-of-nobody"),
    "batch_paused": lambda campaign: campaign.batch(is_active=False),
    "window_fault": lambda campaign: campaign.batch(call_settings={"allowed_hours": {"start": "9am"}}),
    "account_fault": lambda campaign: campaign.account(daily_call_limit="1,000"),
    "windows_closed": closed_window,
    "no_credit": lambda campaign: campaign.job("job-2", status="suspended", suspend_reason="no_credit"),
    "not_started": lambda campaign: campaign.job("job-2", status="suspended", suspend_reason="not_started"),
    "account_unknown": lambda campaign: campaign.job("job-2", account_id="acc-lost"),
    "account_inactive": lambda campaign: campaign.account(status="expired"),
    "balance_used_up": lambda campaign: campaign.account(minutes_used=100),
    "few_answered": unanswered_calls,
    "many_failed_calls": many_bad_calls,
    "many_retries": lambda campaign: campaign.jobs(30, attempts=2),
    "hanging_calls": long_call,
    "parked_calls": parked_call,
    "unreadable_answers": lambda campaign: campaign.results(1, job_id="job-1", unreadable="no JSON"),
    "ambiguous_dials": lambda campaign: campaign.dial(next_lookup_at=campaign.stage.store.now()),
    "unknown_calls": unknown_call,
    "served_jobs": lambda campaign: campaign.job("job-2", call_result={"success": True}),
    "shared_numbers": shared_number,
    "stuck_jobs": lapsed_lease,
    "missing_indexes": missing_index,
    "held": lambda campaign: campaign.stage.store.holds.hold(by="maria", reason="fire"),
    "short_lease": lambda campaign: campaign.set(LEASE_SECONDS="26"),
    "long_lease": lambda campaign: campaign.set(LEASE_SECONDS="7200"),
    "slow_polling": lambda campaign: campaign.set(CALL_POLLING_INTERVAL="90", LEASE_SECONDS="600"),
    "nothing_waits": lambda campaign: campaign.stage.database.jobs.delete_many({}),
}


@pytest.mark.parametrize(("code", "cause"), CAUSES.items(), ids=CAUSES)
def test_a_cause_is_found_with_evidence_and_remedy(
    campaign: Campaign, code: str, cause: Callable[[Campaign], object]
) -> None:
    cause(campaign)
    try:
        found = campaign.findings()[code]
        assert found["evidence"]
        assert found["remedy"]
    finally:
        campaign.stage.database.jobs.delete_many({})
        campaign.stage.store.prepare()


def test_an_index_that_shared_numbers_forbid_is_not_said_to_come_with_a_restart(campaign: Campaign) -> None:
    shared_number(campaign)
    try:
        assert "missing_indexes" not in campaign.findings()
    finally:
        campaign.stage.database.jobs.delete_many({})
        campaign.stage.store.prepare()


def test_jobs_without_a_readable_phone_are_listed(campaign: Campaign) -> None:
    add = campaign.job
    odd: list[object] = [{"phones": 56912345671}, "Ana", {"phones": [7]}, {"phones": []}, None]
    for number, contact in enumerate(odd):
        add(f"job-odd-{number}", contact=contact, status="failed" if number else "pending")
    add("job-flat", contact={"name": "Ana"}, to_number=phone())
    add("job-old", contact="Ana", status="done")
    evidence = campaign.findings()["unreadable_jobs"]["evidence"]
    assert evidence.startswith("5 jobs: job-odd-0, job-odd-1")
    assert "job-flat" not in evidence


def test_accounts_that_do_not_exist_are_listed_with_the_number_of_their_jobs(campaign: Campaign) -> None:
    suspended = {"status": "suspended", "suspend_reason": "account_unknown"}
    campaign.job("job-2", account_id="acc-lost")
    campaign.job("job-3", account_id="acc-lost", **suspended)
    campaign.job("job-4", account_id="acc-gone", **suspended)
    campaign.job("job-5", account_id="acc-gone", status="done")
    assert campaign.findings()["account_unknown"]["evidence"] == "acc-lost (2 jobs), acc-gone (1 job)"
    campaign.stage.add_account(account_id="acc-lost")
    assert campaign.findings()["account_unknown"]["evidence"] == "acc-gone (1 job)"


def test_a_clock_ahead_of_the_databases_is_found(campaign: Campaign) -> None:
    class Ahead(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(minutes=5)

    with closing(connect(campaign.settings.database, clock=Ahead())) as campaign.store:
        evidence = campaign.findings()["clock_skew"]["evidence"]
    assert re.fullmatch(r"(299|300)\.\d s ahead", evidence)
