"""A whole daemon on its embedded database, when one of the two is killed in the middle of a campaign."""

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

from speechaid.demo.contacts import contacts
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
    """Every call is answered, and lasts a second or so."""
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
    """The ids of all calls on record."""
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        return [result["call_id"] for result in store.results.aggregate([{"$match": {}}])]


def all_done(place: Path) -> bool:
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        return store.jobs.counts() == {"done": JOBS}


def assert_everybody_was_called_once(place: Path, simulator: SimulatorProcess) -> None:
    placed_calls = simulator.placed_calls()
    assert len(placed_calls) == JOBS
    assert sorted(recorded(place)) == sorted(call["call_id"] for call in placed_calls)


def test_killed_supervisor_is_followed_by_one_that_takes_database_and_campaign_over(
    place: Path, simulator: SimulatorProcess
) -> None:
    first = DaemonProcess(place, variables(place, simulator))
    first.start()
    first.ask("import", contacts(JOBS), filename="contacts.csv", name="taken over")
    pid = database_pid(place)
    until(lambda: bool(live_calls(simulator)))

    supervisor = first.ask("status")["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    first.stop()
    second = DaemonProcess(place, variables(place, simulator))
    try:
        # The last calls may end while it starts, and a database whom nobody asks any more leaves by itself.
        with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
            store.jobs.counts()
            second.start()
        assert database_pid(place) == pid
        until(lambda: all_done(place))
        assert_everybody_was_called_once(place, simulator)
    finally:
        assert second.stop() == 0
    assert read_address(place / "database") is None


def test_killed_database_comes_back_and_no_call_is_lost_or_doubled(
    place: Path, simulator: SimulatorProcess
) -> None:
    daemon = DaemonProcess(place, variables(place, simulator))
    try:
        daemon.start()
        daemon.ask("import", contacts(JOBS), filename="contacts.csv", name="interrupted")
        until(lambda: bool(live_calls(simulator)))
        pid = database_pid(place)
        os.kill(pid, signal.SIGKILL)
        until(lambda: (address := read_address(place / "database")) is not None and address.pid != pid)
        until(lambda: all_done(place))
        assert_everybody_was_called_once(place, simulator)
    finally:
        assert daemon.stop() == 0


def test_an_impatient_row_of_sigterms_ends_in_exit_0(place: Path, simulator: SimulatorProcess) -> None:
    daemon = DaemonProcess(place, variables(place, simulator))
    daemon.start()
    pid = int(daemon.ask("status")["supervisor"]["pid"])
    with closing(Child(pid)) as process:
        while not process.wait(0.001):
            process.send_signal(signal.SIGTERM)
    assert daemon.stop() == 0
