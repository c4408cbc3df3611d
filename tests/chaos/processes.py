"""Processes in /proc: parents and titles."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process, as read from /proc."""

    pid: int
    parent: int
    title: str
    #: In clock ticks since boot: distinguishes it from a later process with the same pid.
    started: int

    @property
    def is_worker(self) -> bool:
        return self.title.startswith("speechaid: worker-")

    @property
    def is_zygote(self) -> bool:
        return self.title.startswith("speechaid: zygote")


def children(parent: int) -> list[Process]:
    """The children of a process, without zombies."""
    return [process for process in _all() if process.parent == parent]


def send(pid: int, number: signal.Signals) -> bool:
    """Signal a process; False if it has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def reap_orphans(owned: set[int]) -> None:
    """Reap our ended children except ``owned``: workers whose supervisor was killed."""
    for process in _all(zombies=True):
        if process.parent == os.getpid() and process.pid not in owned:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def _all(*, zombies: bool = False) -> list[Process]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            stat = (directory / "stat").read_text()
            title = (directory / "cmdline").read_text(errors="replace")
        except (OSError, ProcessLookupError):
            continue
        fields = stat.rpartition(")")[2].split()
        if (fields[0] == "Z") == zombies:
            title = title.replace("\0", " ").strip()
            found.append(Process(int(directory.name), int(fields[1]), title, int(fields[19])))
    return found
