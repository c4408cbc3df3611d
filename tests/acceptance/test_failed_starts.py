"""A start that fails at any step undoes what it opened, so that the next one works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.database import run_embedded
from tests.support.fleet_harness import ROOT, environment

pytestmark = pytest.mark.slow


def walk(directory: Path, *starters: str, **variables: str) -> list[dict[str, Any]]:
    """Each step of the start, what its failure left open, and at the end the start without a failure."""
    log = directory / "log"
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "tests.acceptance.failing_starts", *starters],
            env={**environment(directory), "PATH": os.environ["PATH"], "WORKER_COUNT": "1", **variables},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    assert done.returncode == 0, log.read_text()[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_nothing_was_left(steps: list[dict[str, Any]], *expected: str) -> None:
    names = {name["step"].rpartition(" > ")[2] for name in steps}
    assert set(expected) <= names, sorted(names)
    assert [step for step in steps if step["left"]] == []
    assert steps[-1] == {"step": "none", "left": [], "status": 0}


def test_a_start_that_fails_at_any_step_undoes_what_it_opened(tmp_path: Path) -> None:
    with run_embedded(tmp_path / "database") as uri:
        steps = walk(
            tmp_path,
            MONGO_URI=uri,
            SPEECHAID_METRICS_ADDRESS="127.0.0.1:19479",  # the same for all: each has to give it back
            RETELL_BASE_URL="http://127.0.0.1:9",
        )
    assert_nothing_was_left(
        steps,
        "_open_log",
        "ControlSocket.__init__",
        "_take_lock",
        "ClientConnections.__init__",
        "Monitoring.__init__",
        "MetricsServer.__init__",
        "connect",
        "Store.ping",
        "Store.prepare",
        "Holds.hold",
        "Thread.start",
        "Daemon.__init__",
        "Supervisor.__init__",
        "Monitoring.start",
        "Daemon.run",
        "StateDirectory.load",
        "reserve_descriptors",
        "SignalQueue.__init__",
        "Fleet.__init__",
        "Fleet.scale",
    )


def test_a_start_that_fails_at_any_step_stops_its_embedded_database(tmp_path: Path) -> None:
    steps = walk(
        tmp_path,
        "_start_database",
        "EmbeddedDatabase.start",
        "EmbeddedDatabase._spawn",
        "spawn",
        "_prepare",
        MONGO_URI=f"embedded:{tmp_path / 'database'}",
        SPEECHAID_METRICS_ADDRESS="off",
        RETELL_BASE_URL="http://127.0.0.1:9",
    )
    assert_nothing_was_left(
        steps,
        "prepare",
        "EmbeddedDatabase._lock_directory",
        "EmbeddedDatabase._find_running",
        "spawn",
        "Popen.__init__",
        "ServerProcess.__init__",
        "ServerProcess.report",
        "EmbeddedDatabase._finish_start",
        "Store.ping",
    )
