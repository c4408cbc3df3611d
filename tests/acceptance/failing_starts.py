"""Fails each step of the daemon's start in turn, in one process, and looks what is left each time.

A step is a call that one of the functions named as arguments makes (default: ``STARTERS``); it fails as it
begins. All else is real. What a failed start left open (a lock, an address, a process) is found here, or
keeps the next start from getting as far.

Prints one JSON object a line: the step, and what it left. The last line is the start in which no step failed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final

from speechaid.clock import SystemClock
from speechaid.daemon import serve
from speechaid.errors import FleetError
from speechaid.fleet.spawner import Spawner
from speechaid.settings import get_settings

#: Functions whose calls are the steps.
STARTERS: Final = frozenset(
    {
        "serve",
        "_prepare",
        "_hold",
        "Daemon.__init__",
        "ControlSocket.__init__",
        "TcpEnd._open",
        "Monitoring.__init__",
        "Monitoring.start",
        "MetricsServer.start",
        "DatabaseThread.__init__",
        "CallAnalysisThread.__init__",
        "DatabaseProbe.__init__",
        "Supervisor.__init__",
        "Supervisor.run",
        "Supervisor._start",
        "StateDirectory.__init__",
        "Fleet.__init__",
    }
)
#: The start is over when this is called.
STARTED: Final = "Supervisor._is_finished"
#: For threads and processes to end.
PATIENCE_SECONDS: Final = 20.0


class StepFailed(FleetError):  # noqa: N818 - an event
    """The fault on purpose."""


class Walk:
    """One start, in which the step of this number fails."""

    def __init__(self, number: int, starters: frozenset[str]) -> None:
        self._left = number
        self._starters = starters
        self.step: str | None = None

    def trace(self, frame: FrameType, event: str, _: object) -> None:
        """Called at each call of a Python function."""
        if event != "call" or self.step is not None:
            return
        caller, name = frame.f_back, frame.f_code.co_qualname
        if name == STARTED:
            self.step = "none"
            os.kill(os.getpid(), signal.SIGTERM)
        elif caller is not None and caller.f_code.co_qualname in self._starters and _is_a_step(frame):
            self._left -= 1
            if self._left < 0:
                self.step = f"{caller.f_code.co_qualname} > {name}"
                raise StepFailed(f"the step {self.step} fails on purpose")


def _is_a_step(frame: FrameType) -> bool:
    """Comprehensions are the caller's own; the rest is what releases things, which does not fail here.

    Nor does what the garbage collector calls, wherever it comes: its faults reach nobody.
    """
    name = frame.f_code.co_qualname
    ends = name.rpartition(".")[2] in {"close", "__del__"}
    releases = ends or Path(frame.f_code.co_filename).name == "contextlib.py"
    return not (releases or "<" in name or name == "_own")


def start(number: int, starters: frozenset[str], *, held: bool = True) -> tuple[str, int | None]:
    """Start with one failing step; the step, and the exit status where none failed."""
    walk = Walk(number, starters)
    status = None
    with contextlib.closing(Spawner("tests.support.fleet_worker:main")) as spawner:
        spawner.tick(SystemClock().boottime())
        sys.settrace(walk.trace)
        try:
            status = serve(spawner, held=held)
        except StepFailed:
            pass
        finally:
            sys.settrace(None)
    assert walk.step is not None
    return walk.step, status


def leftovers(before: set[str]) -> list[str]:
    """What is open that was not open before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := sorted(opened() - before)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    return found


def opened() -> set[str]:
    """Threads, child processes, sockets and locked files of this process."""
    found = {f"thread {thread.name}" for thread in threading.enumerate()}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found |= {f"process {_title(pid)}" for pid in (task / "children").read_text().split()}
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            place = str(descriptor.readlink())
            if place.startswith("socket:") or place.endswith(".lock"):
                found.add(place)
    control = get_settings().control.socket
    return found | ({f"file {control}"} if control.exists() else set())


def _title(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return pid


def main() -> None:
    starters = frozenset(sys.argv[1:]) or STARTERS
    number, step = 0, ""
    # What is done once in a process would shift the numbers of the steps, and some would be left out.
    start(sys.maxsize, starters, held=False)
    before = opened()
    while step != "none":
        step, status = start(number, starters)
        line: dict[str, Any] = {"step": step, "left": leftovers(before), "status": status}
        print(json.dumps(line), flush=True)
        number += 1


if __name__ == "__main__":
    main()
