"""A small chaos run: whole daemons, real signals, real faults, and an audit of all records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


WRONG = (
    "lost",
    "doubled",
    "uncharged",
    "double_charged",
    "leaked",
    "illegal",
    "over_limit",
    "while_paused",
    "over_cap",
    "left_out",
)


def run_chaos(home: Path, seed: int, sizes: dict[str, int]) -> tuple[dict[str, Any], int]:
    """The report of a run, and its exit status."""
    command = [sys.executable, "-m", "tests.chaos", f"--seed={seed}", "--json", "--quiet", "--patience=240"]
    command += [f"--{name}={number}" for name, number in sizes.items()]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report, ended.returncode


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
    # When a campaign runs under these actions
    report, status = run_chaos(tmp_path, 1, sizes)
    # Then every action was performed, every job has ended, and all records agree
    assert {name: report[name] for name in WRONG} == dict.fromkeys(WRONG, 0), report["found"]
    assert report["done"]["worker killed"] == 15
    assert report["done"]["supervisor killed"] == 2
    assert report["done"]["database killed"] == 1
    assert report["calls_placed"] >= report["jobs"] == 100
    assert status == 0, report


@pytest.mark.timeout(300)
def test_with_a_worker_killed_each_second_each_call_has_the_agent_and_number_of_its_batch(
    tmp_path: Path,
) -> None:
    # Given batches with two agents and two numbers of their own, and some with the settings'
    others = ("kill-supervisors", "kill-database", "freezes", "hand-overs", "pauses", "faults")
    sizes = {"jobs": 60, "hosts": 1, "workers": 6, "kill-workers": 50, **dict.fromkeys(others, 0)}
    # When their people are called while one worker after the other dies
    report, status = run_chaos(tmp_path, 2, sizes)
    # Then every call was placed, and recorded, with agent, version and number of its batch
    assert {name: report[name] for name in WRONG} == dict.fromkeys(WRONG, 0), report["found"]
    assert report["done"]["worker killed"] == 50
    assert report["calls_placed"] >= report["jobs"] == 60
    assert status == 0, report


@pytest.mark.timeout(400)
def test_with_a_worker_or_supervisor_killed_each_second_the_caps_of_people_hold_to_the_call(
    tmp_path: Path,
) -> None:
    # Given two hosts, and people in four batches of two purposes, their numbers written in six ways
    others = ("kill-database", "freezes", "hand-overs", "pauses", "faults")
    sizes = {"jobs": 8, "people": 2, "hosts": 2, "workers": 4, "pace": 1, **dict.fromkeys(others, 0)}
    kills = {"kill-workers": 24, "kill-supervisors": 9}
    # When they are called while a process is killed each second
    report, status = run_chaos(tmp_path, 4, sizes | kills)
    # Then each day of each person had as many calls as the caps allow, no more and no fewer
    assert {name: report[name] for name in WRONG} == dict.fromkeys(WRONG, 0), report["found"]
    done = report["done"]
    assert done["worker killed"] == 24
    assert done["supervisor killed"] + done["host killed"] == 9
    assert report["notes"]["days passed for people"] >= 2
    assert status == 0, report
