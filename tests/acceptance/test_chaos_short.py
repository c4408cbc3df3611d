"""A small chaos run: whole daemons, real signals, real faults, and an audit of all records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_under_kills_freezes_and_faults_no_call_is_lost_doubled_or_charged_wrongly(tmp_path: Path) -> None:
    # Given two hosts on one database, and a seed for the actions
    sizes = {
        "jobs": 100,
        "hosts": 2,
        "workers": 5,
        "kill-workers": 15,
        "kill-supervisors": 2,
        "kill-database": 1,
        "freezes": 4,
        "hand-overs": 1,
        "pauses": 1,
        "faults": 6,
    }
    command = [sys.executable, "-m", "tests.chaos", "--seed=1", "--json", "--quiet", "--patience=240"]
    command += [f"--{name}={number}" for name, number in sizes.items()]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    # When a campaign runs under these actions
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    # Then every action was performed, every job has ended, and all records agree
    assert ended.stdout, ended.stderr
    report = json.loads(ended.stdout)
    wrong = (
        "lost",
        "doubled",
        "uncharged",
        "double_charged",
        "leaked",
        "illegal",
        "over_limit",
        "while_paused",
    )
    assert {name: report[name] for name in wrong} == dict.fromkeys(wrong, 0), report["found"]
    assert report["done"]["worker killed"] == 15
    assert report["done"]["supervisor killed"] == 2
    assert report["done"]["database killed"] == 1
    assert report["calls_placed"] >= report["jobs"] == 100
    assert ended.returncode == 0, report
