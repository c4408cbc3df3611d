"""An upgrade under live calls: the old daemon hands over, the new one adopts, everybody is called once.

``data/speechaid-0.1.0.tar.xz`` holds the code of version 0.1.0, as it was before its modules, classes and
functions were renamed: what is stored or sent must have kept its name.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
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
        old.ask("import", contacts(CALLS), filename="contacts.csv", name="upgraded", **IMPORT_OPTIONS)
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


@pytest.fixture
def version_0_1_0(tmp_path: Path) -> Path:
    """The directory of version 0.1.0's code."""
    with tarfile.open(Path(__file__).parent / "data" / "speechaid-0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def rows_of(people: bytes, first: int, last: int) -> bytes:
    """Some of the people of a contacts file."""
    header, *rows = people.decode().splitlines(keepends=True)
    return "".join([header, *rows[first:last]]).encode()


@pytest.mark.timeout(600)
def test_calls_orders_and_lists_of_version_0_1_0_are_taken_over(
    place: Path, simulator: SimulatorProcess, variables: dict[str, str], version_0_1_0: Path
) -> None:
    old = DaemonProcess(place, {**variables, "PYTHONPATH": str(version_0_1_0)})
    new = DaemonProcess(place, variables)
    people = contacts(8)
    try:
        old.start()
        supervisor = old.ask("status")["supervisor"]["pid"]
        assert old.ask("status")["supervisor"]["version"] == "0.1.0"

        # Four live calls; an operator hangs up one of them, while Retell's stop-call does not answer.
        old.ask("import", rows_of(people, 0, 4), filename="live.csv", name="live")
        until(lambda: len(in_calls(old)) == 4, "four calls", log=old.log)
        live = in_calls(old)
        hung_up = next(row for row in old.ask("status")["workers"] if row["call"] in live)
        simulator.fault("outage", endpoints=["stop"])
        old.ask("hang-up", job=hung_up["job"])
        # A fifth that Retell has placed, while its answer never came: a dial that is ambiguous.
        simulator.fault("reset", endpoints=["create"], when="after")
        old.ask("import", rows_of(people, 4, 5), filename="ambiguous.csv", name="ambiguous")
        until(lambda: len(simulator.placed_calls()) == 5, "a fifth call placed", log=old.log)
        (ambiguous,) = {call["call_id"] for call in simulator.placed_calls()} - live
        # Orders: a paused batch with three jobs, a paused worker, a hold. A number on the do-not-call list.
        paused = old.ask("create-batch", name="paused")["batch_id"]
        old.ask("pause-batch", batch=paused, reason="wrong amounts")
        old.ask("import", rows_of(people, 5, 8), filename="paused.csv", batch=paused)
        old.ask("pause-worker", worker="worker-2")
        old.ask("dnc-add", number="+12025550199", reason="asked by letter")
        old.ask("hold", reason="upgrade")
        os.kill(supervisor, signal.SIGQUIT)
        until(lambda: not old.is_alive(), "the old daemon's end", log=old.log)
        simulator.clear_faults()

        new.start()
        others = live - {hung_up["call"]}
        until(lambda: in_calls(new) >= others, "the same calls, adopted", log=new.log)
        status = new.ask("status")
        assert status["fleet_hold"]["reason"] == "upgrade"
        assert [row["slot"] for row in status["workers"] if row["paused"]] == ["worker-2"]
        assert new.ask("dnc", number="+12025550199")["listed"]
        (batch,) = (row for row in new.ask("batches")["batches"] if row["batch_id"] == paused)
        assert (batch["active"], batch["pause"]["reason"]) == (False, "wrong amounts")

        new.ask("unhold")
        until(lambda: ambiguous in in_calls(new), "the ambiguous dial's own call, followed", log=new.log)
        simulator.advance(3600)
        with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
            ended = {"done": 4, "cancelled": 1, "pending": 3}
            until(lambda: store.jobs.counts() == ended, "five jobs ended", log=new.log)
            recorded = [row["call_id"] for row in store.results.aggregate([{"$match": {}}])]
        assert new.ask("job", job=hung_up["job"])["status"] == "cancelled"
        assert sorted(call["call_id"] for call in simulator.placed_calls()) == sorted(recorded)
        assert len(recorded) == 5  # nobody was called anew, and none was lost
    finally:
        old.stop(at_once=True)
        assert new.stop(at_once=True) in {0, None}
