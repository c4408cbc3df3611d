"""Turns in a whole daemon: a frozen scout, a supervisor that hangs, workers whose database fails."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from speechaid.fleet.processes import read_state
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import Store, connect
from tests.acceptance.test_embedded_daemon import place, simulator, until, variables

__all__ = ["place", "simulator"]
pytestmark = pytest.mark.slow

JOBS = 12
#: No frozen worker is replaced within a test.
PATIENT = {"WORKER_COUNT": "4", "SPEECHAID_BEAT_GRACE_SECONDS": "300"}


@contextmanager
def running(place: Path, simulator: SimulatorProcess, **changes: str) -> Iterator[DaemonProcess]:
    """A daemon whose workers are all idle."""
    settings = variables(place, simulator) | PATIENT | changes
    daemon = DaemonProcess(place, settings)
    try:
        daemon.start()
        until(lambda: len(idle(daemon)) == int(settings["WORKER_COUNT"]))
        yield daemon
    finally:
        daemon.stop(at_once=True)


def idle(daemon: DaemonProcess) -> dict[str, int]:
    return {row["slot"]: row["pid"] for row in daemon.ask("status")["workers"] if row["state"] == "idle"}


def the_scout(daemon: DaemonProcess) -> dict[str, Any]:
    """The worker that has the turn to look for due jobs, at the first moment at which one has."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [row for row in daemon.ask("status")["workers"] if row["turn"] == "claim"]
        return bool(found)

    until(look)
    return found[0]


def load(daemon: DaemonProcess) -> None:
    daemon.ask("import", contacts(JOBS), filename="contacts.csv", name="by turns", **IMPORT_OPTIONS)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
        assert {read_state(pid) for pid in pids} == {"T"}
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def database(place: Path) -> Iterator[Store]:
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        yield store


def done(place: Path) -> int:
    with database(place) as store:
        return store.jobs.counts().get("done", 0)


def assert_each_contact_was_called_once(simulator: SimulatorProcess) -> None:
    numbers = [call["to_number"] for call in simulator.placed_calls()]
    assert len(numbers) == len(set(numbers)) == JOBS


def test_a_frozen_scout_stops_no_campaign(place: Path, simulator: SimulatorProcess) -> None:
    with running(place, simulator) as daemon:
        with stopped(the_scout(daemon)["pid"]):
            load(daemon)
            until(lambda: done(place) == JOBS)
        assert_each_contact_was_called_once(simulator)


def test_three_frozen_workers_of_four_stop_no_campaign(place: Path, simulator: SimulatorProcess) -> None:
    with running(place, simulator) as daemon:
        frozen = [pid for slot, pid in idle(daemon).items() if slot != "worker-2"]
        with stopped(*frozen):
            load(daemon)
            # What a frozen worker had claimed lapses, and is called by the fourth.
            until(lambda: done(place) == JOBS)
        assert_each_contact_was_called_once(simulator)


def test_workers_of_a_supervisor_that_hangs_go_on_calling(place: Path, simulator: SimulatorProcess) -> None:
    with running(place, simulator) as daemon:
        load(daemon)
        until(lambda: done(place) > 0)
        with stopped(int(daemon.ask("status")["supervisor"]["pid"])):
            until(lambda: done(place) == JOBS)
        assert_each_contact_was_called_once(simulator)
        # It goes on with the same workers, and they wait for its turns again.
        until(lambda: len(idle(daemon)) == 4)
        assert {row["restarts"].get("hung", 0) for row in daemon.ask("status")["workers"]} == {0}


def test_workers_that_reach_no_database_leave_the_jobs_to_the_others(
    place: Path, simulator: SimulatorProcess
) -> None:
    with running(place, simulator) as daemon:
        cut_off = [row["pid"] for row in daemon.ask("status")["workers"] if connections(row["pid"]) == 0][:2]
        assert len(cut_off) == 2
        for pid in cut_off:
            highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, highest + 1))
        load(daemon)
        until(lambda: done(place) == JOBS)
        assert_each_contact_was_called_once(simulator)
        counts = {row["pid"]: row["calls_done"] for row in daemon.ask("status")["workers"]}
        assert {counts.get(pid, 0) for pid in cut_off} == {0}


def test_most_idle_workers_open_no_connection(place: Path, simulator: SimulatorProcess) -> None:
    with running(place, simulator, WORKER_COUNT="20") as daemon:
        for _ in range(5):
            the_scout(daemon)
        used = [row["slot"] for row in daemon.ask("status")["workers"] if connections(row["pid"])]
        assert 1 <= len(used) <= 5


def test_drain_waits_for_a_claim_under_way(place: Path, simulator: SimulatorProcess) -> None:
    with running(place, simulator) as daemon:
        scout = the_scout(daemon)
        daemon.ask("drain")
        rows = {row["slot"]: row for row in daemon.ask("status")["workers"]}
        if rows[scout["slot"]]["turn"] != "claim":
            assert rows[scout["slot"]]["job"] is None
        until(lambda: {row["turn"] for row in daemon.ask("status")["workers"]} <= {None, "recover"})
        load(daemon)
        until(lambda: {row["state"] for row in daemon.ask("status")["workers"]} <= {"draining", "recovering"})
        assert simulator.placed_calls() == []
        daemon.ask("undrain")
        until(lambda: done(place) == JOBS)
        assert_each_contact_was_called_once(simulator)


def connections(pid: int) -> int:
    """Connections over TCP that a process has open."""
    targets = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {
        target.removeprefix("socket:[").removesuffix("]")
        for target in targets
        if target.startswith("socket:")
    }
    rows = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(row.split()[9] in inodes for row in rows)
