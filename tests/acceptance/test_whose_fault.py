"""An account's fault, in each known form, spends nothing of 200 jobs; 200 dead numbers fail as they should.

All tests share one daemon with its embedded database and a simulator; each brings its own jobs.
"""

from __future__ import annotations

import itertools
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from tests.support import fleet_harness

Document = dict[str, Any]

JOBS, WORKERS = 200, 3
#: Dials until the hold; those that other workers have under way at that moment come on top.
DIALS_UNTIL_HELD = 5
DEADLINE_SECONDS = 150.0
_numbers = itertools.count(2_000_000)


@dataclass(frozen=True)
class Form:
    """One form of an account's fault, and words of the remedy that doctor gives."""

    remedy: str
    #: A fault of the simulator that refuses creates.
    refusal: Document | None = None
    #: Or how its calls end.
    reason: str | None = None


FORMS = {
    "country": Form("countries", {"kind": "refusal", "wording": "country"}),
    "plan": Form("plan", {"kind": "refusal", "wording": "plan"}),
    "limit": Form("limit", {"kind": "refusal", "wording": "limit", "status": 422}),
    "banned agent": Form("RETELL_AGENT_ID", {"kind": "refusal", "wording": "agent", "example": 1}),
    "trunk": Form("trunk", {"kind": "refusal", "wording": "trunk"}),
    "credit": Form("credit", {"kind": "refusal", "wording": "payment"}),
    "no reason": Form("what Retell reports", {"kind": "status", "status": 400, "message": "{to}: no (x9)"}),
    "country at the end": Form("permissions", reason="telephony_provider_permission_denied"),
    "trunk at the end": Form("trunk", reason="sip_routing_error"),
    "credit at the end": Form("credit", reason="credit_exhausted"),
}


class Fleet:
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

    def add_jobs(self, count: int, **fields: Any) -> None:
        """Jobs for as many people, with two phones each unless the fields say otherwise."""
        now = datetime.now(UTC)
        documents = []
        for number in itertools.islice(_numbers, count):
            phones = [f"+1202{number}", f"+1303{number}"][: fields.get("phones", 2)]
            contact = {"name": "Ana", "dni": str(number), "phones": phones, "next_phone_index": 0}
            more = {name: value for name, value in fields.items() if name != "phones"}
            documents.append(
                {
                    "job_id": f"job-{number}",
                    "status": "pending",
                    "contact": contact,
                    "created_at": now,
                    **more,
                }
            )
        self.database.jobs.insert_many(documents)

    def count(self, **query: Any) -> int:
        return self.database.jobs.count_documents(query)

    def dials(self) -> int:
        """Creates that reached the simulator."""
        return sum(self.simulator.requests()["counts"].get("create", {}).values())

    def alerts(self) -> set[str]:
        return {str(row["alert"]) for row in self.daemon.ask("status")["alerts"]}

    def finding(self, code: str) -> Document | None:
        found = self.daemon.ask("doctor")["findings"]
        return next((row for row in found if row["code"] == code), None)

    def clear(self) -> None:
        """Remove the jobs, once no worker holds one, and what the breaker remembers."""
        self.database.jobs.delete_many({"status": {"$ne": "in_progress"}})
        until(lambda: self.count(status="in_progress") == 0, "no job in hand")
        for name in ("jobs", "batches", "speechaid_holds"):
            self.database[name].delete_many({})
        self.simulator.clear_faults()
        self.simulator.clear_script()
        until(lambda: not self.alerts(), "no alert of this test")
        self.simulator.clear_requests()


def until(condition: Callable[[], bool], what: str) -> None:
    fleet_harness.until(condition, what, between=lambda: time.sleep(0.1), within_seconds=DEADLINE_SECONDS)


def variables(place: Path, simulator: SimulatorProcess) -> dict[str, str]:
    return {
        "MONGO_URI": f"embedded:{place / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": str(WORKERS),
        "LEASE_SECONDS": "20",
        "CALL_POLLING_INTERVAL": "0.1",
        "SPEECHAID_PROBE_MIN_SECONDS": "300",
        "SPEECHAID_ALERT_PATIENCE": "0.02",
        "SPEECHAID_STATE_DIR": str(place / "state"),
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")  # a socket's path must be short
    place.mkdir(mode=0o700)
    with SimulatorProcess(speed=100.0, ring_seconds=(1, 2), talk_seconds=(1, 2)) as simulator:
        fleet = Fleet(place, simulator)
        try:
            yield fleet
        finally:
            assert fleet.close() == 0
    shutil.rmtree(place)


@pytest.fixture
def fleet(running: Fleet) -> Iterator[Fleet]:
    yield running
    running.clear()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_accounts_fault_spends_nothing_holds_within_five_dials_and_is_named(
    fleet: Fleet, form: Form
) -> None:
    if form.refusal is not None:
        fleet.simulator.fault(**form.refusal, endpoints=["create"])
    else:
        fleet.simulator.script({"*": [form.reason]})
    fleet.add_jobs(JOBS)
    until(lambda: "DiallingHeld" in fleet.alerts(), "an alert")
    until(lambda: fleet.count(status="in_progress") == 0, "no job in hand")

    assert fleet.dials() <= DIALS_UNTIL_HELD + WORKERS - 1
    untouched = {
        "status": "pending",
        "attempts": {"$in": [None, 0]},
        "contact.next_phone_index": 0,
        "dead_phones": {"$in": [None, []]},
    }
    # A probe may have one of them in hand at this moment.
    until(lambda: fleet.count(**untouched) == JOBS, "every job as it was")
    finding = fleet.finding("breaker_open")
    assert finding is not None
    assert form.remedy in finding["remedy"]
    assert form.reason is None or form.reason in finding["evidence"]


def test_dead_numbers_fail_and_hold_nothing_but_a_list_of_them_pauses(fleet: Fleet) -> None:
    # Given 150 numbers that Retell refuses in two wordings, 50 that the network does not know, and a bad list
    dead: Document = {"kind": "refusal", "wording": "number", "endpoints": ["create"]}
    batch = f"batch-20260101-{secrets.token_hex(4)}"
    fleet.database.batches.insert_one({"batch_id": batch, "is_active": True})
    fleet.simulator.fault(**dead, example=0, probability=0.5, count=100)
    fleet.simulator.fault(**dead, example=3, count=100)
    fleet.simulator.script({"*": ["invalid_destination"]})
    # When they are dialled
    fleet.add_jobs(JOBS, phones=1)
    fleet.add_jobs(20, phones=1, batch_id=batch)
    until(lambda: "DialsRefused" in fleet.alerts(), "an alert about dials that never became calls")
    until(
        lambda: fleet.count(batch_id={"$exists": False}, status="failed") == JOBS, "every dead number failed"
    )
    # Then dialling is not held, and the bad list is paused with a remark
    assert fleet.daemon.ask("status")["key_held"] is False
    until(lambda: "BatchPausedUnexpectedly" in fleet.alerts(), "an alert about the bad list")
    paused = fleet.database.batches.find_one({"batch_id": batch})
    assert paused is not None
    assert (paused["is_active"], paused["pause"]["by"]) == (False, "speechaid")
    failed = fleet.count(batch_id=batch, status="failed")
    assert 5 <= failed <= 5 + WORKERS - 1
    assert fleet.count(batch_id=batch, status="pending") == 20 - failed
