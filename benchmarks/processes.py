"""Processor time and memory of process trees, read from /proc."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
Found = TypeVar("Found")


def parse_stat(text: str) -> tuple[int, float]:
    """Parent's pid, and processor seconds with those of reaped children, of a ``/proc/PID/stat`` line."""
    # The name in brackets may contain spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_SECOND


def parse_rollup(text: str) -> dict[str, float]:
    """MiB by name (``Rss``, ``Pss``, ``Private_Dirty``, …) of a ``/proc/PID/smaps_rollup``."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows if len(row) >= 3}


def peak_mib(pid: int) -> float:
    """The most memory that a process has had so far; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _table() -> dict[int, tuple[int, float]]:
    """All processes: pid to parent's pid and processor seconds."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(place.name)] = parse_stat((place / "stat").read_text(errors="replace"))
    return found


def tree(*roots: int) -> list[int]:
    """These processes and all below them."""
    return _below(_table(), roots)


def _below(table: dict[int, tuple[int, float]], roots: Iterable[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [root for root in roots if root in table]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += children.get(pid, [])
    return found


def children(*parents: int) -> list[int]:
    """Their children, whichever thread forked them."""
    found: list[int] = []
    for parent in parents:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in thread.read_text(encoding="ascii").split()]
    return found


def cpu_seconds(*roots: int, but: Iterable[int] = ()) -> float:
    """User and system seconds of these trees, with reaped children, without the trees in ``but``."""
    table = _table()
    left_out = set(_below(table, but))
    return sum(table[pid][1] for pid in _below(table, roots) if pid not in left_out)


def pss_mib(pid: int) -> float:
    """Proportional set size: private memory, and shared pages divided by the processes that share them."""
    return memory_mib(pid)["Pss"]


def memory_mib(pid: int) -> dict[str, float]:
    """``Rss``, ``Pss``, ``Private_Dirty`` and the rest of a process, in MiB."""
    return parse_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace"))


def command_line(pid: int) -> str:
    """A process's command line or title; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def until(
    condition: Callable[[], Found | None], what: str, *, seconds: float = 60.0, every: float = 0.02
) -> Found:
    """Wait until the condition returns something true; returns that.

    Raises:
        TimeoutError: it did not come to pass; ``what`` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)
    return found
