"""Whole processes on a machine without processor time, and beside a database that stands still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from tests.acceptance.test_embedded_daemon import database_pid, live_calls, place, simulator, until, variables
from tests.acceptance.test_supervisor_signals import Daemon
from tests.support.fleet_harness import is_alive

__all__ = ["place", "simulator"]
pytestmark = pytest.mark.slow

#: As many as ``BUSY_LOOPS`` and workers together leave each process a fiftieth of a small machine.
BUSY_LOOPS = 50
WORKERS = 100
#: Longer than any step promises, and the grace time.
LOADED_SECONDS = 60.0
#: For how long the database stands still: longer than one operation may take.
STOPPED_SECONDS = 45.0


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep every processor busy."""
    command = [sys.executable, "-c", "while True: pass"]
    # A session each: where the kernel groups processes by session, they would share one part of the time.
    busy = [subprocess.Popen(command, start_new_session=True) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def crashes(place: Path) -> list[dict[str, Any]]:
    """Jobs against which a crash counts."""
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        return store.jobs.table.find({"$or": [{"crashes": {"$gt": 0}}, {"dial.crashes": {"$gt": 0}}]})


def ended(daemon: DaemonProcess) -> list[str]:
    """Log lines of workers that were killed, or ended."""
    names = ("worker.hung", "worker.too_slow", "worker.killed", "worker.ended", "worker.not_started")
    return [line for line in daemon.log.read_text().splitlines() if any(name in line for name in names)]


def test_no_healthy_worker_is_killed_for_want_of_a_processor(
    place: Path, simulator: SimulatorProcess
) -> None:
    daemon = DaemonProcess(
        place,
        # Next to no grace, so that workers are late often.
        variables(place, simulator) | {"WORKER_COUNT": str(WORKERS), "SPEECHAID_BEAT_GRACE_SECONDS": "0.2"},
    )
    try:
        daemon.start()
        until(lambda: daemon.ask("status")["supervisor"]["present"] == WORKERS)
        pids = {row["pid"] for row in daemon.ask("status")["workers"]}
        daemon.ask("import", contacts(WORKERS), filename="contacts.csv", name="under load", **IMPORT_OPTIONS)
        with load(BUSY_LOOPS):
            time.sleep(LOADED_SECONDS)
        assert ended(daemon) == []
        assert {row["pid"] for row in daemon.ask("status")["workers"]} == pids
        assert crashes(place) == []
    finally:
        daemon.stop()


def test_a_database_that_stands_still_costs_no_worker_and_counts_against_no_job(
    place: Path, simulator: SimulatorProcess
) -> None:
    daemon = DaemonProcess(
        place, variables(place, simulator) | {"SPEECHAID_BEAT_GRACE_SECONDS": "5", "LEASE_SECONDS": "60"}
    )
    try:
        daemon.start()
        until(lambda: daemon.ask("status")["supervisor"]["present"] == 3)
        daemon.ask("import", contacts(12), filename="contacts.csv", name="interrupted", **IMPORT_OPTIONS)
        until(lambda: bool(live_calls(simulator)))
        pid = database_pid(place)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(STOPPED_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)
        with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
            until(lambda: store.jobs.counts() == {"done": 12})
        assert ended(daemon) == []
        assert crashes(place) == []
        assert len(simulator.placed_calls()) == 12
    finally:
        daemon.stop()


def test_a_spinning_and_a_stopped_worker_are_killed_and_counted_under_load(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, WORKER_COUNT="4", SPEECHAID_BEAT_GRACE_SECONDS="1")
    try:
        pids = daemon.at_work(4)
        with load(6):
            os.kill(pids["worker-2"], signal.SIGSTOP)
            daemon.task("worker-1", "spin")
            daemon.until(lambda: daemon.pids("following").get("worker-1"), "the loop without end")
            daemon.task("worker-1", "idle")
            until(lambda: not is_alive(pids["worker-1"]) and not is_alive(pids["worker-2"]))
        at_work = daemon.at_work(4)
        assert {slot: at_work[slot] for slot in ("worker-3", "worker-4")} == {
            slot: pids[slot] for slot in ("worker-3", "worker-4")
        }
        rows = {row["slot"]: row["restarts"] for row in daemon.snapshot()["workers"]}
        assert rows == {
            "worker-1": {"hung": 1},
            "worker-2": {"hung": 1},
            "worker-3": {},
            "worker-4": {},
        }
        exits = [
            line for line in daemon.log.read_text().splitlines() if "database_thread.worker_exit" in line
        ]
        assert ["job=job-9" in line for line in exits if "worker-1@" in line] == [True]
        assert "why=stopped" in daemon.log.read_text()
    finally:
        daemon.close()
