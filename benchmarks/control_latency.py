"""How long an operator waits: ``python -m benchmarks.control_latency``.

Measured: a request through the library, on an open connection and on a new one (``status``, answered by the
supervisor's main thread), and the whole of ``speechctl status`` from start to exit, alternating with bare
Python that imports zmq; while idle, in a drain with calls in progress, and with the database stopped
(SIGSTOP). The daemon always has its own embedded database, since it must be stopped. On a busy machine
compare processor time, not wall time.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import common
from benchmarks.common import percentile
from speechaid.embedded.files import read_address
from speechaid.protocol.client import Client, Refused
from tests.support.terminal import Terminal, open_terminal

REQUESTS = 2_000
CONNECTIONS = 200
STARTS = 15
WORKERS = 20
#: Time from the first unanswered request.
REFUSAL_SECONDS = 120.0
BARE = [sys.executable, "-c", "import zmq"]


def requests(socket: Path, count: int) -> list[float]:
    """Milliseconds of each request on one connection."""
    with Client(socket) as client:
        return [_timed(lambda: client.ask("status", {}, timeout_seconds=30)) for _ in range(count)]


def connections(socket: Path, count: int) -> list[float]:
    """Milliseconds of each request with connection, answer and close."""

    def one() -> None:
        with Client(socket) as client:
            client.ask("status", {}, timeout_seconds=30)

    return [_timed(one) for _ in range(count)]


def _timed(operation: Callable[[], object]) -> float:
    began = time.perf_counter()
    operation()
    return (time.perf_counter() - began) * 1000


def starts(socket: Path, count: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor milliseconds of whole processes: bare Python with zmq, and the command."""
    commands = {
        "bare": BARE,
        "speechctl": [sys.executable, "-m", "speechctl", "status", "--socket", str(socket)],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(count):
        for name, command in commands.items():
            used = _processor()
            run = functools.partial(subprocess.run, command, stdout=subprocess.DEVNULL, check=True)
            wall = _timed(run)
            found[name].append((wall, (_processor() - used) * 1000))
    return found


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Meter:
    """Measures one daemon in one state after the other."""

    def __init__(self, terminal: Terminal, *, quick: bool) -> None:
        self.socket = terminal.daemon.socket
        self._share = 10 if quick else 1
        self.library: list[list[object]] = []
        self.commands: list[list[object]] = []

    def measure(self, state: str, *, with_command: bool = True) -> None:
        self._tell(state, "open connection", requests(self.socket, REQUESTS // self._share))
        self._tell(state, "connect, ask, close", connections(self.socket, CONNECTIONS // self._share))
        if with_command:
            self._tell_starts(state, starts(self.socket, max(3, STARTS // self._share)))

    def _tell(self, state: str, how: str, taken: list[float]) -> None:
        self.library.append(
            [f"{state}, {how}", statistics.median(taken), percentile(taken, 0.99), max(taken), len(taken)]
        )

    def _tell_starts(self, state: str, found: dict[str, list[tuple[float, float]]]) -> None:
        for at, clock in enumerate(("wall", "processor")):
            bare, ours = (statistics.median(one[at] for one in found[name]) for name in ("bare", "speechctl"))
            self.commands.append([f"{state}, {clock}", bare, ours, ours / bare])


def refusal(socket: Path) -> tuple[float, float] | None:
    """Milliseconds of a refusal while the database is known to be away, and seconds until it is known."""
    began = time.perf_counter()
    with Client(socket) as client:
        while time.perf_counter() - began < REFUSAL_SECONDS:
            asked = time.perf_counter()
            with contextlib.suppress(Refused):
                client.ask("batches", {}, timeout_seconds=REFUSAL_SECONDS)
            took = time.perf_counter() - asked
            if took < 0.5:
                return took * 1000, asked - began
    return None


def measure(terminal: Terminal, options: argparse.Namespace, report: common.Report) -> None:
    """All states, one after the other."""
    terminal.a_live_call(terminal.import_contacts(3 * WORKERS, "measured"))
    meter = Meter(terminal, quick=options.quick)
    meter.measure(f"{WORKERS} calls going on")
    terminal.type("drain")
    meter.measure("in a drain", with_command=False)
    address = read_address(terminal.place / "database")
    assert address is not None
    os.kill(address.pid, signal.SIGSTOP)
    try:
        meter.measure("database stopped")
        refused = None if options.quick else refusal(meter.socket)
    finally:
        os.kill(address.pid, signal.SIGCONT)
    report.table("status through the library, ms", ["", "median", "p99", "most", "times"], meter.library)
    report.table(
        "whole processes, ms, medians",
        ["", "python -c 'import zmq'", "speechctl status", "ratio"],
        meter.commands,
    )
    if refused is not None:
        report.keep(refused_ms=refused[0], known_after_seconds=refused[1])
        report.note(
            f"a command that needs the database is refused after {refused[0]:.1f} ms once that is known to "
            f"be away ({refused[1]:.0f} s after the first question that it did not answer)"
        )


def main() -> None:
    options = common.parser(__doc__).parse_args()
    report = common.Report("control_latency", options, workers=WORKERS, database="embedded, the daemon's own")
    with open_terminal(talk_seconds=(6_000, 9_000), WORKER_COUNT=str(WORKERS)) as terminal:
        measure(terminal, options, report)
    report.note(
        "goals: 0.5 ms median on an open connection; the command within 2.5 times bare Python with zmq"
    )
    report.write()


if __name__ == "__main__":
    main()
