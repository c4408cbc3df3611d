"""A whole daemon on its embedded database: one of the two is killed during a campaign."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from speechaid.embedded.files import read_address
from speechaid.fleet.processes import Child
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect

DEADLINE_SECONDS = 120.0
JOBS = 12


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited event did not come"
        time.sleep(0.05)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    path = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Every call is answered, and lasts about a second."""
    with SimulatorProcess(speed=60.0, odds={"agent_hangup": 1}, talk_seconds=(50, 70)) as process:
        yield process


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
        "CALL_POLLING_INTERVAL": "0.2",
        "POLL_TIMEOUT_SECONDS": "30",
        "SPEECHAID_STATE_DIR": str(place / "state"),
    }


def database_pid(place: Path) -> int:
    address = read_address(place / "database")
    assert address is not None
    return address.pid


def live_calls(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    return [call for call in simulator.placed_calls() if call["ended_at"] is None]


def recorded(place: Path) -> list[str]:
    """The ids of all recorded calls."""
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        return [result["call_id"] for result in store.results.aggregate([{"$match": {}}])]


def all_done(place: Path) -> bool:
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        return store.jobs.counts() == {"done": JOBS}


def assert_each_contact_was_called_once(place: Path, simulator: SimulatorProcess) -> None:
    placed_calls = simulator.placed_calls()
    assert len(placed_calls) == JOBS
    assert sorted(recorded(place)) == sorted(call["call_id"] for call in placed_calls)


def test_after_a_killed_supervisor_the_next_one_adopts_database_and_campaign(
    place: Path, simulator: SimulatorProcess
) -> None:
    first = DaemonProcess(place, variables(place, simulator))
    first.start()
    first.ask("import", contacts(JOBS), filename="contacts.csv", name="taken over", **IMPORT_OPTIONS)
    pid = database_pid(place)
    until(lambda: bool(live_calls(simulator)))

    supervisor = first.ask("status")["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    first.stop()
    second = DaemonProcess(place, variables(place, simulator))
    try:
        # The last calls may end while it starts; without a client the orphaned database would exit.
        with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
            store.jobs.counts()
            second.start()
        assert database_pid(place) == pid
        until(lambda: all_done(place))
        assert_each_contact_was_called_once(place, simulator)
    finally:
        assert second.stop() == 0
    assert read_address(place / "database") is None


def test_a_killed_database_is_restarted_and_no_call_is_lost_or_repeated(
    place: Path, simulator: SimulatorProcess
) -> None:
    daemon = DaemonProcess(place, variables(place, simulator))
    try:
        daemon.start()
        daemon.ask("import", contacts(JOBS), filename="contacts.csv", name="interrupted", **IMPORT_OPTIONS)
        until(lambda: bool(live_calls(simulator)))
        pid = database_pid(place)
        os.kill(pid, signal.SIGKILL)
        until(lambda: (address := read_address(place / "database")) is not None and address.pid != pid)
        until(lambda: all_done(place))
        assert_each_contact_was_called_once(place, simulator)
    finally:
        assert daemon.stop() == 0


def test_many_sigterms_in_a_row_end_in_exit_0(place: Path, simulator: SimulatorProcess) -> None:
    daemon = DaemonProcess(place, variables(place, simulator))
    daemon.start()
    pid = int(daemon.ask("status")["supervisor"]["pid"])
    with closing(Child(pid)) as process:
        while not process.wait(0.001):
            process.send_signal(signal.SIGTERM)
    assert daemon.stop() == 0


def log_retention_days(place: Path) -> float:
    with MongoClient[dict[str, Any]](published_uri(place / "database")) as client:
        indexes = client[DatabaseSettings().name]["call_logs"].index_information().values()
        (seconds,) = [index["expireAfterSeconds"] for index in indexes if "expireAfterSeconds" in index]
        return float(seconds) / 86_400


def test_lines_are_kept_as_long_as_the_settings_say_from_the_start_and_after_a_reload(
    place: Path, simulator: SimulatorProcess
) -> None:
    file = place / "speechaid.env"
    file.write_text("SPEECHAID_LOG_RETENTION_DAYS=7\n")
    environ = variables(place, simulator) | {"SPEECHAID_ENV_FILE": str(file)}
    first, second = DaemonProcess(place, environ), DaemonProcess(place, environ)
    try:
        first.start()
        assert log_retention_days(place) == 7
        file.write_text("SPEECHAID_LOG_RETENTION_DAYS=30\n")
        assert first.ask("reload")["applied"] == ["SPEECHAID_LOG_RETENTION_DAYS: 7 -> 30"]
        until(lambda: log_retention_days(place) == 30)
    finally:
        assert first.stop() == 0
    file.write_text("SPEECHAID_LOG_RETENTION_DAYS=3\n")
    try:
        second.start()
        assert log_retention_days(place) == 3
    finally:
        assert second.stop() == 0
