"""Shared by the tests of zygote, fleet and supervisor: settings, tasks for the fake worker, waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from speechaid.settings import Settings, get_settings

TARGET = "tests.support.fleet_worker:main"
ROOT = Path(__file__).parents[2]
#: Generous: reached only where something is broken.
DEADLINE_SECONDS = 40.0

Found = TypeVar("Found")


def until(
    condition: Callable[[], Found | None],
    what: str,
    *,
    between: Callable[[], object] | None = None,
    log: Path | None = None,
    within_seconds: float = DEADLINE_SECONDS,
) -> Found:
    """Poll the condition until it returns something; returns that."""
    deadline = time.monotonic() + within_seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            logged = f"; the log:\n{log.read_text()}" if log is not None else ""
            pytest.fail(f"timed out waiting for: {what}{logged}")
        if between is not None:
            between()
        time.sleep(0.01)
    return found


def environment(directory: Path, **extra: str) -> dict[str, str]:
    """Environment of a daemon with all its files in one directory."""
    (directory / "tasks").mkdir(exist_ok=True)
    return {
        "RETELL_API_KEY": "key_of_a_test",
        "RETELL_AGENT_ID": "agent_of_a_test",
        "RETELL_FROM_NUMBER": "+15005550006",
        # There is no list to ask.
        "CALL_LIST_INTERVAL": "0",
        "SPEECHAID_SOCKET": str(directory / "control.sock"),
        "SPEECHAID_STATE_DIR": str(directory / "state"),
        "FLEET_WORKER_DIR": str(directory / "tasks"),
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        **extra,
    }


def settings(directory: Path) -> Settings:
    """The settings of this environment."""
    return get_settings(environ=environment(directory), env_file=None)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def parent_of(pid: int) -> int:
    """The parent's pid."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def title_of(pid: int) -> str:
    """The process title that ``ps`` shows."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def use_environment(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Set this environment in this process, and so in the zygote that it starts."""
    for name, value in environment(directory).items():
        monkeypatch.setenv(name, value)
