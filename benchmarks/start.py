"""From start to first dial, and a stop that hands live calls over: ``python -m benchmarks.start``.

A start is timed from the command ``speechaid run`` to the first create-call request at the simulator, and to
that of the last worker; alternating with a bare script that connects to the same database and places one
call. Then live calls are handed over by two SIGTERMs, the daemon is started again, and the simulator's record
shows whether any call was placed twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from typing import Any

from benchmarks import common
from benchmarks.common import Spread
from benchmarks.fleet import FleetSetup, calls_in_hand, open_setup
from benchmarks.processes import cpu_seconds, until
from benchmarks.servers import Server
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess

Document = dict[str, Any]

WAIT_SECONDS = 180.0
#: What any Python program has to do before its first call.
BARE = """
import os, sys, time
import pymongo, requests
job = pymongo.MongoClient(sys.argv[1])[sys.argv[2]].jobs.find_one({"status": "pending"})
requests.post(
    sys.argv[3] + "/v2/create-phone-call",
    json={"from_number": "+12125550100", "to_number": "+56949999999", "override_agent_id": "agent_bench"},
    headers={"Authorization": "Bearer " + os.environ["BENCH_KEY"]},
    timeout=10,
).raise_for_status()
"""


def first_and_last_dial(simulator: SimulatorProcess, count: int) -> tuple[float, float]:
    """When, in seconds since the epoch, the first and the ``count``-th create request arrived."""

    def requested() -> list[float] | None:
        at = sorted(float(create["at"]) for create in simulator.requests()["creates"])
        return at if len(at) >= count else None

    at = until(requested, f"{count} create requests", seconds=WAIT_SECONDS, every=0.2)
    return at[0], at[count - 1]


def start(server: Server, workers: int, **changes: str) -> Document:
    """One start with an empty state directory: seconds to the first dial and to the last worker's."""
    with open_setup(server, workers, workers, **changes) as setup:
        bare = place_barely(setup)
        setup.simulator.clear_requests()
        daemon = setup.daemon()
        began = time.time()
        try:
            daemon.start()
            first, last = first_and_last_dial(setup.simulator, workers)
            processor = cpu_seconds(supervisor(daemon))
        finally:
            daemon.stop(at_once=True)
    return {"bare": bare, "first": first - began, "last": last - began, "processor": processor}


def place_barely(setup: FleetSetup) -> float:
    """Seconds from the start of a bare script to its call at the simulator."""
    command = [sys.executable, "-c", BARE, setup.server.uri, setup.database, setup.simulator.base_url]
    began = time.time()
    subprocess.run(command, check=True, env=os.environ | {"BENCH_KEY": setup.simulator.api_key})
    first, _ = first_and_last_dial(setup.simulator, 1)
    return first - began


def supervisor(daemon: DaemonProcess) -> int:
    """Its pid."""
    return int(daemon.ask("status")["supervisor"]["pid"])


def hand_over(server: Server, calls: int) -> Document:
    """Stop with live calls, start again, and wait until each of them is followed."""
    with open_setup(server, calls, calls) as setup:
        daemon = setup.daemon()
        try:
            daemon.start()
            live = until(lambda: _all(daemon, calls), f"{calls} live calls", seconds=WAIT_SECONDS, every=0.2)
            pid = supervisor(daemon)
            began = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.05)  # the kernel merges two pending signals of the same kind
            os.kill(pid, signal.SIGTERM)
            until(lambda: not daemon.is_alive(), "the end", seconds=WAIT_SECONDS, every=0.01)
            stopped = time.monotonic() - began
            status = daemon.stop()
        finally:
            daemon.stop(at_once=True)
        successor = setup.daemon()
        began = time.monotonic()
        try:
            successor.start()
            up = time.monotonic() - began
            found = until(lambda: _all(successor, calls), "adoption", seconds=WAIT_SECONDS, every=0.1)
            adopted = time.monotonic() - began
        finally:
            successor.stop(at_once=True)
        placed_calls, overlaps = setup.simulator.placed_calls(), setup.simulator.overlaps()
    return {
        "calls": calls,
        "exit_status": status,
        "stopped": stopped,
        "up": up,
        "adopted": adopted,
        "same_calls": found == live,
        "placed": len(placed_calls),
        "repeated": len(placed_calls) - calls + len(overlaps),
        "ended": sum(call["ended_at"] is not None for call in placed_calls),
    }


def _all(daemon: DaemonProcess, calls: int) -> set[str] | None:
    found = calls_in_hand(daemon)
    return found if len(found) == calls else None


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", help="fleets to start (default: 6 64)")
    parser.add_argument("--rounds", type=int, help="starts of each (default: 5)")
    parser.add_argument("--calls", type=int, help="live calls to hand over (default: 64)")
    options = parser.parse_args()
    options.workers = options.workers or ([2] if options.quick else [6, 64])
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.calls = options.calls or (8 if options.quick else 64)
    report = common.Report("start", options, rounds=options.rounds)
    with common.open_database(options) as server:
        report.server(server)
        starts(server, options, report)
        done = hand_over(server, options.calls)
    report.table(
        f"stop by two SIGTERMs with {done['calls']} live calls, then a start; seconds",
        ["", "stopped", "new one answers", "all followed again", "calls placed", "repeated", "lost"],
        [
            [
                "hand-over",
                *(float(done[name]) for name in ("stopped", "up", "adopted")),
                done["placed"],
                done["repeated"],
                done["ended"],
            ]
        ],
    )
    report.keep(hand_over=done)
    report.write()


def starts(server: Server, options: argparse.Namespace, report: common.Report) -> None:
    """All starts, the sizes alternating, so that a busy moment of the machine affects both."""
    found: dict[int, list[Document]] = {workers: [] for workers in options.workers}
    for _ in range(options.rounds):
        for workers, rounds in found.items():
            rounds.append(start(server, workers))
    rows = [
        [
            str(workers),
            *(Spread.of([one[name] for one in rounds]) for name in ("bare", "first", "last", "processor")),
        ]
        for workers, rounds in found.items()
    ]
    report.table(
        "from the command to the dial; seconds, median (least to most)",
        [
            "workers",
            "bare script, one call",
            "first dial",
            "last worker's dial",
            "processor seconds till then",
        ],
        rows,
    )
    report.keep(starts={str(workers): rounds for workers, rounds in found.items()})


if __name__ == "__main__":
    main()
