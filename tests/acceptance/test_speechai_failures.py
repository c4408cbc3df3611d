"""The eight known failures of the script that speechaid replaces; none of them happens with a whole daemon.

All tests share one daemon with its embedded database and a simulator; each test adds its own contacts.
"""

from __future__ import annotations

import itertools
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri

Document = dict[str, Any]

DEADLINE_SECONDS = 90.0
#: The poll timeout, shorter than some calls; the retry delay after an unanswered pass.
POLL_TIMEOUT_SECONDS, NO_ANSWER_SECONDS = 2.0, 1.5
_numbers = itertools.count(100)


class Campaign:
    """The running daemon, its database and the simulator."""

    def __init__(self, place: Path, simulator: SimulatorProcess) -> None:
        self.simulator = simulator
        self.daemon = DaemonProcess(place, variables(place, simulator))
        self.daemon.start()
        self.client: MongoClient[Document] = MongoClient(
            published_uri(place / "database"), tz_aware=True, serverSelectionTimeoutMS=20_000
        )
        self.database: Database[Document] = self.client["speechai_db"]

    def close(self) -> int | None:
        self.client.close()
        return self.daemon.stop()

    def job(self, *outcomes: Any, fault: Document | None = None, **fields: Any) -> str:
        """Add a job for a new number with these outcomes; return its id, which is the number.

        A fault for the dial is set before the job exists, because the workers poll for jobs.
        """
        number = f"+1202555{next(_numbers):04d}"
        self.simulator.script({number: list(outcomes)})
        if fault is not None:
            self.simulator.fault(**fault, endpoints=["create"], to_number=number)
        contact = {"name": "Ana", "phones": [number], "next_phone_index": 0}
        now = datetime.now(UTC)
        self.database.jobs.insert_one(
            {"job_id": number, "status": "pending", "contact": contact, "created_at": now, **fields}
        )
        return number

    def batch(self, **fields: Any) -> str:
        name = f"batch-20260101-{secrets.token_hex(4)}"
        self.database.batches.insert_one({"batch_id": name, "is_active": True, **fields})
        return name

    def read(self, number: str) -> Document:
        found = self.database.jobs.find_one({"job_id": number})
        assert found is not None
        return found

    def wait_for_end(self, number: str, *statuses: str) -> Document:
        """The job, once it has ended."""
        until(lambda: self.read(number)["status"] in (statuses or ("done", "failed", "cancelled")))
        return self.read(number)

    def calls(self, number: str) -> list[Document]:
        return [call for call in self.simulator.placed_calls() if call["to_number"] == number]

    def wait_for_later_jobs(self) -> None:
        """Add jobs and wait for their calls: by then the workers could have called all earlier jobs."""
        for _ in range(2):
            for number in [self.job("user_hangup") for _ in range(3)]:
                assert self.wait_for_end(number)["status"] == "done"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


def variables(place: Path, simulator: SimulatorProcess) -> dict[str, str]:
    return {
        "MONGO_URI": f"embedded:{place / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": "3",
        "LEASE_SECONDS": "10",
        "MAX_ATTEMPTS": "3",
        "CALL_POLLING_INTERVAL": "0.2",
        "POLL_TIMEOUT_SECONDS": str(POLL_TIMEOUT_SECONDS),
        "RETRY_DELAY_MINUTES": "0.01",
        "NO_ANSWER_RETRY_MINUTES": str(NO_ANSWER_SECONDS / 60),
        "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS": "0.5",
        "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS": "1",
        "SPEECHAID_PROBE_MIN_SECONDS": "0.5",
        "SPEECHAID_STATE_DIR": str(place / "state"),
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Campaign]:
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")  # a socket's path must be short
    place.mkdir(mode=0o700)
    with SimulatorProcess(speed=60.0, ring_seconds=(5, 10), talk_seconds=(15, 30)) as simulator:
        campaign = Campaign(place, simulator)
        try:
            yield campaign
        finally:
            assert campaign.close() == 0
    shutil.rmtree(place)


@pytest.fixture
def campaign(running: Campaign) -> Iterator[Campaign]:
    yield running
    running.simulator.clear_faults()
    running.simulator.clear_script()
    # Jobs that a test left pending.
    running.database.jobs.delete_many({"status": "pending"})
    running.database.batches.delete_many({})


def test_an_unanswered_number_is_redialled_with_delay_and_limit(campaign: Campaign) -> None:
    number = campaign.job("dial_no_answer")
    job = campaign.wait_for_end(number)
    calls = campaign.calls(number)
    assert (job["status"], job["attempts"], len(calls)) == ("failed", 3, 3)
    for before, after in itertools.pairwise(calls):
        assert after["placed_at"] - before["ended_at"] >= NO_ANSWER_SECONDS


def test_a_refused_create_does_not_leave_the_job_in_progress(campaign: Campaign) -> None:
    invalid: Document = {"kind": "status", "status": 422, "message": "to_number is not valid"}
    assert campaign.wait_for_end(campaign.job("user_hangup", fault=invalid))["status"] == "failed"
    refusals: list[Document] = [
        {"kind": "unauthorized"},
        {"kind": "status", "status": 500},
        {"kind": "rate_limit"},
    ]
    for refusal in refusals:
        number = campaign.job("user_hangup", fault={**refusal, "count": 1})
        job = campaign.wait_for_end(number)
        assert (job["status"], job.get("attempts", 0), len(campaign.calls(number))) == ("done", 0, 1)


def test_a_paused_batch_is_not_dialled_even_if_it_is_the_only_one(campaign: Campaign) -> None:
    batch = campaign.batch(is_active=False)
    number = campaign.job("user_hangup", batch_id=batch)
    campaign.wait_for_later_jobs()
    assert campaign.calls(number) == []
    assert campaign.read(number)["status"] == "pending"

    campaign.daemon.ask("resume-batch", batch=batch)
    assert campaign.wait_for_end(number)["status"] == "done"


def test_a_voicemail_is_not_counted_as_success(campaign: Campaign) -> None:
    number = campaign.job("voicemail_reached", "voicemail_reached", "user_hangup")
    job = campaign.wait_for_end(number)
    results = list(campaign.database.call_results.find({"job_id": number}).sort("created_at", 1))
    assert [(row["outcome"], row["is_successful"]) for row in results] == [
        ("voicemail", False),
        ("voicemail", False),
        ("answered", True),
    ]
    assert (job["status"], job["attempts"]) == ("done", 2)


def test_a_lapsed_lease_is_reclaimed(campaign: Campaign) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    left: Document = {"status": "in_progress", "worker_id": "bot-3", "started_at": long_ago}
    with_lease = campaign.job("user_hangup", **left, reserved_until=long_ago + timedelta(minutes=2))
    without = campaign.job("user_hangup", **left)
    for number in (with_lease, without):
        assert campaign.wait_for_end(number)["status"] == "done"
        assert len(campaign.calls(number)) == 1


def test_a_long_call_is_not_redialled_while_live(campaign: Campaign) -> None:
    # Three times the poll timeout of a call that does not connect.
    number = campaign.job({"reason": "user_hangup", "talk_seconds": 60 * 3 * POLL_TIMEOUT_SECONDS})
    job = campaign.wait_for_end(number)
    (call,) = campaign.calls(number)
    assert (job["status"], call["disconnection_reason"]) == ("done", "user_hangup")


def test_no_attempts_are_spent_outside_the_window(campaign: Campaign) -> None:
    another_day = (datetime.now(UTC) + timedelta(days=3)).isoweekday()
    closed = {"allowed_hours": {"start": "09:00", "end": "18:00"}, "days_of_week": [another_day]}
    batch = campaign.batch(call_settings={**closed, "timezone": "UTC"})
    number = campaign.job("user_hangup", batch_id=batch, attempts=1)
    before = campaign.read(number)
    campaign.wait_for_later_jobs()
    assert campaign.read(number) == before  # not even claimed and requeued
    assert campaign.calls(number) == []

    campaign.database.batches.update_one({"batch_id": batch}, {"$set": {"call_settings": {}}})
    job = campaign.wait_for_end(number)
    assert (job["status"], job["attempts"]) == ("done", 1)


def test_a_batch_with_malformed_hours_is_not_dialled(campaign: Campaign) -> None:
    all_day = {"start": "00:00", "end": "24:00"}
    malformed: list[Document] = [
        {"allowed_hours": {"start": "9am", "end": "6pm"}},
        {"allowed_hours": {"start": "00:00"}},
        {"allowed_hours": all_day, "timezone": "America/Springfield"},
        {"allowed_hours": all_day, "days_of_week": []},
    ]
    numbers = [
        campaign.job("user_hangup", batch_id=campaign.batch(call_settings=settings)) for settings in malformed
    ]
    campaign.wait_for_later_jobs()
    for number in numbers:
        assert campaign.calls(number) == []
        assert campaign.read(number)["status"] == "pending"
