"""Completion in a shell: ids of other programs' documents are offered only where no shell expands them."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from speechaid.protocol.messages import COMMANDS
from speechaid.protocol.text import SAFE_ID
from speechctl.completion import script

PATIENCE_SECONDS = 30.0


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that exists once a shell has run what stands in an id."""
    return tmp_path / "was-run"


@pytest.fixture
def environment(tmp_path: Path, marker: Path) -> dict[str, str]:
    """A PATH with a ``speechctl`` whose daemon has ids that a shell would expand."""
    hostile = [
        f"job-$(touch {marker})",
        f"job-`touch {marker}`",
        f"job-;touch {marker}",
        "job-a b",
        "job-*",
        "job-~",
        "--socket=/tmp/other",
        "job-safe.1",
    ]
    listing, status = tmp_path / "ids", tmp_path / "status"
    listing.write_text("\n".join(hostile) + "\n")
    status.write_text(f'  "slot": "worker-1",\n  "slot": "$(touch {marker})",\n')
    program = tmp_path / "bin" / "speechctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncase "$1" in ids) cat {listing} ;; *) cat {status} ;; esac\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb"}


def offered(line: str, environment: dict[str, str]) -> list[str]:
    """What bash would offer behind this line."""
    words = line.split(" ")
    array = " ".join(f"'{word}'" for word in words)
    probe = (
        f"COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _speechctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "-c", f"{script('bash')}\n{probe}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("line", ["speechctl job job-", "speechctl job ", "speechctl logs --job job-"])
def test_bash_offers_only_ids_that_it_does_not_expand(
    line: str, environment: dict[str, str], marker: Path
) -> None:
    assert offered(line, environment) == ["job-safe.1"]
    assert not marker.exists()


def test_bash_offers_only_workers_that_it_does_not_expand(environment: dict[str, str], marker: Path) -> None:
    assert offered("speechctl pause-worker ", environment) == ["worker-1"]
    assert not marker.exists()


def test_bash_still_offers_choices_options_and_commands(environment: dict[str, str]) -> None:
    assert offered("speechctl report --format ", environment) == ["terminal", "markdown", "json", "xlsx"]
    assert "--reason" in offered("speechctl pause-batch --re", environment)
    assert set(COMMANDS) <= set(offered("speechctl ", environment))


def test_a_tab_in_an_interactive_bash_runs_nothing(
    environment: dict[str, str], marker: Path, tmp_path: Path
) -> None:
    file = tmp_path / "completion.bash"
    file.write_text(script("bash"))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        os.write(terminal, f"source {file}\nspeechctl job job-\t".encode())
        _read_until(terminal, b"speechctl job job-safe.1 ")
        os.write(terminal, b"\x15echo the-$((40+2))-end\n")
        _read_until(terminal, b"the-42-end")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    assert not marker.exists()


def _read_until(terminal: int, text: bytes) -> None:
    seen = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in seen:
        assert time.monotonic() < deadline, f"{text!r} did not appear, but: {seen!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):
                seen += os.read(terminal, 65_536)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_filters_what_the_daemon_answers(shell: str) -> None:
    assert SAFE_ID.pattern in script(shell)
    assert "compgen -W" not in script(shell)
