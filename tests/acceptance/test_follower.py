"""A daemon whose follower is killed, frozen or misled by Retell's list: every call is settled once, and when.

The safety poll of a covered call comes after minutes, and its lease is long: what happens here within seconds
happens because of the list, of orders, or of plain polls after the list was given up.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from tests.support.fleet_harness import is_alive, until

Document = dict[str, Any]

WORKERS = 6
POLL_SECONDS = 5
_numbers = itertools.count(2_000_000)


class Host:
    """A daemon with live calls, its database and the simulator."""

    def __init__(self, place: Path, simulator: SimulatorProcess) -> None:
        self.simulator, self.place = simulator, place
        environ = {
            "MONGO_URI": f"embedded:{place / 'database'}",
            "RETELL_API_KEY": simulator.api_key,
            "RETELL_BASE_URL": simulator.base_url,
            "RETELL_AGENT_ID": "agent_test",
            "RETELL_FROM_NUMBER": "+12125550100",
            "RETELL_TIMEOUT_SECONDS": "5",
            "WORKER_COUNT": str(WORKERS),
            "LEASE_SECONDS": "900",
            "CALL_POLLING_INTERVAL": str(POLL_SECONDS),
            "CALL_LIST_INTERVAL": "0.5",
            "MAX_ATTEMPTS": "1",
            "SPEECHAID_BEAT_GRACE_SECONDS": "2",
            "SPEECHAID_RESPAWN_MIN_SECONDS": "0.5",
            "SPEECHAID_STATE_DIR": str(place / "state"),
        }
        self.daemon = DaemonProcess(place, environ)
        self.daemon.start()
        self.client: MongoClient[Document] = MongoClient(published_uri(place / "database"), tz_aware=True)
        self.database: Database[Document] = self.client["speechai_db"]

    def close(self) -> None:
        self.client.close()
        self.daemon.stop(at_once=True)

    def follower(self) -> Document:
        found: Document = self.daemon.ask("status")["supervisor"]["follower"]
        return found

    def losses(self) -> float:
        """Times that coverage was lost, by whatever cause."""
        address = self.daemon.ask("status")["metrics"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("speechaid_coverage_losses"))

    def place_calls(self, count: int) -> list[str]:
        """Ids of so many new calls that last until they are ended; all are covered."""
        before = {call["call_id"] for call in self.simulator.placed_calls()}
        now = datetime.now(UTC)
        self.database.jobs.insert_many(
            {
                "job_id": f"job-{number}",
                "status": "pending",
                "contact": {"name": "Ana", "phones": [f"+1202{number}"], "next_phone_index": 0},
                "created_at": now,
            }
            for number in itertools.islice(_numbers, count)
        )

        def placed() -> list[str]:
            calls = (str(call["call_id"]) for call in self.simulator.placed_calls())
            return [call_id for call_id in calls if call_id not in before]

        # Before they are placed, calls of an earlier test may still count as covered.
        until(lambda: len(placed()) == count, f"{count} new calls")
        until(lambda: self.follower()["covered"] == count, f"{count} covered calls")
        return placed()

    def end(self, call_id: str) -> None:
        """The person hangs up; the daemon does not see this request."""
        request = urllib.request.Request(
            f"{self.simulator.base_url}/v2/stop-call/{call_id}",
            method="POST",
            headers={"Authorization": f"Bearer {self.simulator.api_key}"},
        )
        with urllib.request.urlopen(request, timeout=30):
            pass

    def results(self, calls: list[str]) -> int:
        return self.database.call_results.count_documents({"call_id": {"$in": calls}})

    def end_all(self, calls: list[str], within_seconds: float = 60) -> None:
        """End these calls; each has one result soon, and no person was called twice."""
        for call_id in calls:
            self.end(call_id)
        until(
            lambda: self.results(calls) == len(calls),
            f"{len(calls)} results",
            within_seconds=within_seconds,
        )
        of_these = {"status": "in_progress", "call_id": {"$in": calls}}
        until(lambda: not self.database.jobs.count_documents(of_these), "no job of these in hand")
        assert self.results(calls) == len(calls)
        numbers = [call["to_number"] for call in self.simulator.placed_calls()]
        assert len(numbers) == len(set(numbers))

    def requests(self, endpoint: str) -> int:
        return sum(self.simulator.requests()["counts"].get(endpoint, {}).values())


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    place.mkdir(mode=0o700)
    with SimulatorProcess(concurrency_limit=100, ring_seconds=(0.1, 0.1)) as simulator:
        simulator.script({"*": [{"reason": "user_hangup", "ring_seconds": 0.1, "endless": True}]})
        host = Host(place, simulator)
        try:
            yield host
        finally:
            host.close()
            shutil.rmtree(place)


@pytest.fixture
def host(running: Host) -> Iterator[Host]:
    yield running
    running.simulator.clear_faults()
    running.simulator.change(list_lag_seconds=0)
    for call in running.simulator.placed_calls():
        if call["ended_at"] is None:
            running.end(call["call_id"])
    until(lambda: not running.database.jobs.count_documents({"status": "in_progress"}), "no job in hand")


def test_ended_calls_are_settled_by_one_request_each_and_live_ones_are_not_polled(host: Host) -> None:
    calls = host.place_calls(WORKERS)
    host.simulator.clear_requests()
    time.sleep(2 * POLL_SECONDS)  # in which plain polling would have asked for each call twice
    assert host.requests("get") == 0
    assert host.requests("list") > POLL_SECONDS
    host.end_all(calls)
    assert host.requests("get") == len(calls)
    assert host.losses() == 0


def test_a_killed_follower_is_replaced_and_no_end_is_missed(host: Host) -> None:
    calls = host.place_calls(WORKERS)
    killed = host.follower()["pid"]
    os.kill(killed, signal.SIGKILL)
    host.end(calls[0])
    until(lambda: host.results(calls) == 1, "the end of a call without a follower")
    until(lambda: (pid := host.follower()["pid"]) and pid != killed, "another follower")
    until(lambda: host.follower()["covered"] == WORKERS - 1, "coverage")
    assert host.losses() >= 1
    host.end_all(calls[1:])


def test_a_frozen_follower_covers_nothing_and_is_replaced(host: Host) -> None:
    calls = host.place_calls(WORKERS)
    frozen, losses = host.follower()["pid"], host.losses()
    os.kill(frozen, signal.SIGSTOP)
    host.end(calls[0])
    # Within ten seconds the calls are uncovered, and within one more interval polled.
    until(lambda: host.results(calls) == 1, "the end of a call beside a frozen follower")
    until(lambda: not is_alive(frozen), "the end of the frozen follower")
    until(lambda: host.follower()["covered"] == WORKERS - 1, "coverage")
    assert host.losses() > losses
    host.end_all(calls[1:])


def test_a_list_that_fails_is_replaced_by_polls_until_it_answers(host: Host) -> None:
    calls = host.place_calls(WORKERS)
    host.simulator.fault("outage", endpoints=["list"])
    until(lambda: host.follower()["gap"] == "failing", "that the list is given up")
    host.simulator.clear_requests()
    host.end_all(calls[:3])
    until(lambda: host.requests("get") >= WORKERS, "that each call is polled")
    # Faults of the list are no faults of Retell: the circuit breaker stays closed.
    assert host.daemon.ask("status")["breakers"] == []
    host.simulator.clear_faults()
    until(lambda: host.follower()["covered"] == WORKERS - 3, "coverage")
    host.end_all(calls[3:])


def test_a_hang_up_typed_on_another_host_reaches_a_covered_call(host: Host) -> None:
    (call,) = host.place_calls(1)
    job = host.database.jobs.find_one({"status": "in_progress"})
    assert job is not None
    store = connect(DatabaseSettings(), uri=published_uri(host.place / "database"))
    with contextlib.closing(store):
        store.requests.ask(job["job_id"], "hang_up", reason=None, by="maria")
    # By no poll: the next one comes after minutes. By one read of the host each two seconds.
    until(lambda: host.results([call]) == 1, "the end of the call")
    cancelled = {"job_id": job["job_id"], "status": "cancelled"}
    until(lambda: host.database.jobs.count_documents(cancelled), "that its job is cancelled")


def test_a_list_that_calls_live_calls_ended_is_not_believed(host: Host) -> None:
    calls = host.place_calls(WORKERS)
    host.simulator.fault("rewritten", endpoints=["list"], fields={"call_status": "ended"})
    until(lambda: host.follower()["gap"] == "distrusted", "that the list is not believed")
    assert host.results(calls) == 0
    assert [
        call for call in host.simulator.placed_calls() if call["call_id"] in calls and call["ended_at"]
    ] == []
    # Distrusted for ten minutes: plain polls.
    host.end_all(calls)
