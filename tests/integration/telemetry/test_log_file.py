"""The log file under rotation: many processes write while it is renamed and truncated; no line is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from speechaid.telemetry.sink import LogFile, file_fault

WRITERS = 4
LINES = 1500

WRITER = """
import pathlib, sys, time
from speechaid.telemetry import logs
logs.configure("INFO", "json", file=pathlib.Path(sys.argv[1]))
log = logs.get_logger("speechaid.test")
logs.set_context(worker=sys.argv[2])
for number in range(int(sys.argv[3])):
    log.info("call.placed", job=f"job-{number}", filler="x" * (number % 3000))
    if number % 50 == 0:
        time.sleep(0.01)
sys.exit(logs.dropped_lines())
"""


def start(path: Path) -> list[subprocess.Popen[bytes]]:
    return [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"worker-{number}", str(LINES)])
        for number in range(WRITERS)
    ]


def running(writers: list[subprocess.Popen[bytes]]) -> bool:
    return any(writer.poll() is None for writer in writers)


def lines_in(*paths: Path) -> Counter[tuple[str, str]]:
    """Count the lines by worker and job; a broken line is not JSON and raises."""
    lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
    return Counter((line["worker"], line["job"]) for line in lines)


def test_no_line_is_lost_or_broken_while_the_file_is_renamed_under_many_writers(tmp_path: Path) -> None:
    path = tmp_path / "speechaid.log"
    writers = start(path)
    moved: list[Path] = []
    while running(writers):
        if path.exists() and len(moved) < 200:
            moved.append(path.rename(tmp_path / f"speechaid.log.{len(moved)}"))
        time.sleep(0.02)
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    assert len(moved) > 3
    everything = lines_in(*moved, *([path] if path.exists() else []))
    assert set(everything.values()) == {1}
    assert len(everything) == WRITERS * LINES


def test_a_file_that_is_copied_and_truncated_goes_on_at_its_start_with_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "speechaid.log"
    writers = start(path)
    copies: list[Path] = []
    while running(writers):
        if path.exists() and len(copies) < 50:
            copies.append(Path(shutil.copy(path, tmp_path / f"copy-{len(copies)}")))
            os.truncate(path, 0)
        time.sleep(0.05)
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    assert len(copies) > 2
    for copy in copies:
        *whole, last = copy.read_bytes().splitlines(keepends=True) or [b"{}\n"]
        # The copy may end in a line that was being written.
        assert all(json.loads(line) for line in whole), copy
        assert not last.endswith(b"\n") or json.loads(last) is not None
    log = LogFile(path)
    log.write(b'{"worker": "last", "job": "job"}\n')
    log.close()
    assert lines_in(path)["last", "job"] == 1


def test_until_a_new_file_can_be_created_lines_go_to_the_renamed_one(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = LogFile(directory / "a")
    assert log.write(b"one\n")
    directory.rename(tmp_path / "old")
    assert log.write(b"two\n")
    directory.mkdir()
    assert log.write(b"three\n")
    log.close()
    assert (tmp_path / "old" / "a").read_text() == "one\ntwo\n"
    assert (directory / "a").read_text() == "three\n"


def test_after_half_a_line_on_a_full_disk_the_next_one_starts_on_a_new_line(tmp_path: Path) -> None:
    """A limit on the file's size allows a part of a write, as a full disk does."""
    path = tmp_path / "a"
    script = """
import pathlib, resource, signal, sys
from speechaid.telemetry.sink import LogFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = LogFile(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
assert log.write(b"first\\n") and not log.write(b"second\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
assert log.write(b"third\\n")
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert path.read_text().splitlines() == ["first", "seco", "third"]


@pytest.mark.parametrize("name", [".", "missing/a"])
def test_a_file_that_cannot_be_written_has_a_fault(tmp_path: Path, name: str) -> None:
    assert file_fault(tmp_path / name)


def test_a_file_that_can_be_created_has_no_fault_and_is_private_to_owner_and_group(tmp_path: Path) -> None:
    assert file_fault(tmp_path / "a") is None
    assert (tmp_path / "a").stat().st_mode & 0o007 == 0
