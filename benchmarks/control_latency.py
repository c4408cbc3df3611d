"""How long an operator waits: ``python -m benchmarks.control_latency``.

A request through the library on an open connection (``status``, answered by the supervising thread), and the
whole of ``speechctl status`` from start to exit; at rest, in a drain with calls in hand, and with the
database stopped dead (SIGSTOP). On a busy machine look at the processor's time beside the wall's.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import statistics
import subprocess
import sys
import time

from speechaid.fleet.embedded_files import read_address
from speechctl.client import Client, Refused
from tests.terminal import Terminal, open_terminal

REQUESTS = 2_000
STARTS = 15


def requests(terminal: Terminal) -> list[float]:
    taken = []
    with Client(terminal.daemon.socket) as client:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            client.ask("status", {}, timeout_seconds=30)
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def starts(terminal: Terminal) -> tuple[list[float], list[float]]:
    """Wall and processor time of the whole command, in milliseconds."""
    wall, processor = [], []
    command = [sys.executable, "-m", "speechctl", "status", "--socket", str(terminal.daemon.socket)]
    for _ in range(STARTS):
        began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        wall.append((time.perf_counter() - began) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append((after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) * 1000)
    return wall, processor


def tell(name: str, taken: list[float]) -> None:
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name:<44} median {statistics.median(taken):8.2f} ms   p99 {p99:8.2f} ms   n {len(taken)}")


def tell_starts(name: str, terminal: Terminal) -> None:
    wall, processor = starts(terminal)
    tell(name, wall)
    tell("  of that, processor time", processor)


def refusal(terminal: Terminal) -> None:
    """How soon a command that needs the database is refused once it is known to be away."""
    began = time.perf_counter()
    with Client(terminal.daemon.socket) as client:
        while time.perf_counter() - began < 120:
            asked = time.perf_counter()
            with contextlib.suppress(Refused):
                client.ask("batches", {}, timeout_seconds=120)
            took = time.perf_counter() - asked
            if took < 0.5:
                tell("batches refused, database known to be away", [took * 1000])
                print(f"  (known {asked - began:.0f} s after the first question that nobody answered)")
                return


def main() -> None:
    print("load:", " ".join(f"{load:.1f}" for load in os.getloadavg()), "on", os.cpu_count(), "processors")
    with open_terminal(talk_seconds=(600, 900), WORKER_COUNT="20") as terminal:
        batch = terminal.import_contacts(60, "measured")
        terminal.a_live_call(batch)
        tell("status through the library, 20 calls going on", requests(terminal))
        tell_starts("speechctl status, start to exit", terminal)
        terminal.type("drain")
        tell("status through the library, in a drain", requests(terminal))
        address = read_address(terminal.place / "database")
        assert address is not None
        os.kill(address.pid, signal.SIGSTOP)
        try:
            tell("status through the library, database stopped", requests(terminal))
            tell_starts("speechctl status, database stopped", terminal)
            refusal(terminal)
        finally:
            os.kill(address.pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
