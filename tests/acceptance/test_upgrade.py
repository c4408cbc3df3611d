"""A new version under live calls: the old daemon hands over, a new one adopts, all are called once."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from speechaid.demo.contacts import contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from tests.support import fleet_harness

CALLS = 20
#: Twenty workers of two daemons on whatever machine this is.
DEADLINE_SECONDS = 150.0


def until(look: Callable[[], bool], what: str, *, log: Path) -> None:
    fleet_harness.until(look, what, log=log, between=lambda: time.sleep(0.1), within_seconds=DEADLINE_SECONDS)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    path = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Everybody answers, and talks on until the test has seen what it wants to see."""
    with SimulatorProcess(odds={"agent_hangup": 1}, talk_seconds=(900, 1000), ring_seconds=(0, 1)) as process:
        yield process


@pytest.fixture
def variables(place: Path, simulator: SimulatorProcess) -> dict[str, str]:
    return {
        "MONGO_URI": f"embedded:{place / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "10",
        "WORKER_COUNT": str(CALLS),
        "LEASE_SECONDS": "600",
        "CALL_POLLING_INTERVAL": "0.5",
        "POLL_TIMEOUT_SECONDS": "60",
        "CALL_MAX_DURATION_MINUTES": "60",
        "SPEECHAID_STATE_DIR": str(place / "state"),
    }


def in_calls(daemon: DaemonProcess) -> set[str]:
    """The calls that its workers follow."""
    rows = daemon.ask("status")["workers"]
    return {row["call"] for row in rows if row["call"] and row["state"] == "following"}


@pytest.mark.timeout(600)
def test_twenty_live_calls_outlive_an_upgrade_and_end_once_each(
    place: Path, simulator: SimulatorProcess, variables: dict[str, str]
) -> None:
    old, new = DaemonProcess(place, variables), DaemonProcess(place, variables)
    try:
        old.start()
        old.ask("import", contacts(CALLS), filename="contacts.csv", name="upgraded")
        until(lambda: len(in_calls(old)) == CALLS, "twenty calls", log=old.log)
        live = in_calls(old)
        supervisor = old.ask("status")["supervisor"]["pid"]
        os.kill(supervisor, signal.SIGQUIT)
        until(lambda: not old.is_alive(), "the old daemon's end", log=old.log)
        assert {call["call_id"] for call in simulator.placed_calls() if call["ended_at"] is None} == live

        new.start()
        until(lambda: in_calls(new) == live, "the same twenty calls, adopted", log=new.log)
        assert new.ask("status")["supervisor"]["pid"] != supervisor
        simulator.advance(3600)
        with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
            until(lambda: store.jobs.counts() == {"done": CALLS}, "twenty jobs done", log=new.log)
            recorded = [row["call_id"] for row in store.results.aggregate([{"$match": {}}])]
        placed_calls = [call["call_id"] for call in simulator.placed_calls()]
        # No contact was called again, and no call was lost.
        assert sorted(placed_calls) == sorted(recorded) == sorted(live)
    finally:
        old.stop(at_once=True)
        assert new.stop(at_once=True) in {0, None}
