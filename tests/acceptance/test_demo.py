"""``speechaid demo`` as a new user runs it: processes, output, exit status, clean-up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

DEADLINE_SECONDS = 150.0


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with a temporary directory of this test; its path is short enough for a socket."""
    place = Path("/tmp") / f"sa-{os.getpid()}-{tmp_path.name[-8:]}"
    place.mkdir()
    yield {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(place)}
    place.rmdir()  # fails if the demo left files behind


Demo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def demo(temporary: dict[str, str]) -> Iterator[Demo]:
    """Start ``speechaid demo`` with arguments; terminates what a failed test leaves running."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "speechaid", "demo", *arguments],
            env=temporary,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def read_until(pipe: IO[str] | None, word: str) -> str:
    """Read lines until one contains the word; return that line."""
    assert pipe is not None
    read = []
    for line in pipe:
        if word in line:
            return line
        read.append(line)
    pytest.fail(f"{word!r} was not printed: {''.join(read)}")


def processes_of(place: str) -> list[str]:
    """Titles of processes with a directory in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if place.encode() in texts and process.name != str(os.getpid()):
            found.append(texts.split(b"\0")[0].decode(errors="replace"))
    return found


def wait_until_nothing_runs(place: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (left := processes_of(place)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def test_the_json_summary_shows_that_every_job_ended_and_the_records_agree(
    temporary: dict[str, str], demo: Demo
) -> None:
    process = demo("--json", "--jobs", "14", "--seed", "3")
    out, err = process.communicate(timeout=DEADLINE_SECONDS)

    assert err == ""
    summary = json.loads(out)
    assert process.returncode == 0
    assert summary["faults"] == []
    assert summary["unjustified_dials"] == 0
    assert summary["ledger_and_results_agree"] is True
    assert set(summary["jobs_by_status"]) <= {"done", "failed"}
    assert sum(summary["jobs_by_status"].values()) == summary["jobs"] == 14
    assert sum(summary["calls_by_outcome"].values()) == summary["calls_in_ledger"] >= 14
    assert len(summary["calls_by_outcome"]) > 1
    wait_until_nothing_runs(temporary["TMPDIR"])


def test_text_output_has_no_full_number_and_ends_with_the_report(
    temporary: dict[str, str], demo: Demo
) -> None:
    process = demo("--jobs", "4")
    out, err = process.communicate(timeout=DEADLINE_SECONDS)

    assert (process.returncode, err) == (0, "")
    assert "4 contacts imported" in out
    assert "they agree call by call" in out
    assert "dials that the rules do not allow: 0" in out
    assert not re.search(r"\+\d{9,}", out)
    wait_until_nothing_runs(temporary["TMPDIR"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_demo_leaves_no_process_behind(
    temporary: dict[str, str], demo: Demo, number: signal.Signals
) -> None:
    process = demo("--jobs", "40")
    read_until(process.stdout, "imported as")
    process.send_signal(number)
    process.wait(DEADLINE_SECONDS)
    wait_until_nothing_runs(temporary["TMPDIR"])
    if number is signal.SIGKILL:
        # After SIGKILL nothing could clean up: files are left.
        subprocess.run(["rm", "-r", *map(str, Path(temporary["TMPDIR"]).iterdir())], check=True)
    else:
        assert process.returncode == 130


def test_a_kept_demo_accepts_commands_until_it_is_stopped(temporary: dict[str, str], demo: Demo) -> None:
    process = demo("--keep", "--jobs", "3")
    address = read_until(process.stderr, "http://").strip()
    name, password = (
        read_until(process.stderr, word).split(": ", 1)[1].strip() for word in ("name:", "password:")
    )
    with httpx.Client(base_url=address, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as client:
        answer = client.post("/login", data={"name": name, "password": password}, follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, "/start")
        assert "Campa\u00f1a de muestra" in client.get("/campaigns").text
    socket = read_until(process.stderr, "SPEECHAID_SOCKET=").split("=", 1)[1].strip()
    status = subprocess.run(
        [sys.executable, "-m", "speechctl", "--socket", socket, "--timeout", "60s", "status", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(status.stdout)["supervisor"]["state"] == "running"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert "they agree call by call" in out
    assert process.returncode == 0
    wait_until_nothing_runs(temporary["TMPDIR"])
