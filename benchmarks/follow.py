"""What following live calls costs, and how soon their ends are settled: ``python -m benchmarks.follow``.

Every worker has one call that lasts for hours. First nothing happens: processor time of workers, supervisor
and database in percent of one core, and requests to Retell beyond creates. Then the simulator is told to end
some of the calls, one after the other: seconds from a call's end to its stored result, and the requests that
an end takes. ``--intervals`` are values of CALL_LIST_INTERVAL; 0 is plain polling, each with a new daemon.
"""

from __future__ import annotations

import argparse
import time
import urllib.request
from datetime import UTC, datetime
from typing import Any

from benchmarks import common
from benchmarks.common import Spread
from benchmarks.fleet import FleetSetup, Moment, Watcher, calls_in_hand, events, open_setup, own_seconds
from benchmarks.processes import until
from benchmarks.servers import Server
from speechaid.demo.daemon import DaemonProcess

#: Longest wait, in seconds, for all calls.
DIALLING_SECONDS = 900.0
#: Wait after the last worker is in its call, so that starts and dials are finished, and every call has been
#: followed in the way that is measured for a while.
SETTLE_SECONDS = 15.0
#: Seconds between two ends, and how long the last of them may take to be settled.
BETWEEN_ENDS_SECONDS = 0.5
SETTLING_SECONDS = 120.0
#: Events of the log that say that a worker was taken for hung, or was late.
MISSED = ("worker.late", "worker.hung", "worker.slowed")

Document = dict[str, Any]


def requests(setup: FleetSetup) -> int:
    """Requests that the simulator has received, but for creates."""
    counts = setup.simulator.requests()["counts"]
    return sum(sum(results.values()) for endpoint, results in counts.items() if endpoint != "create")


def end_call(setup: FleetSetup, call_id: str) -> datetime:
    """End a call as if the person had hung up, and nobody had asked Retell for it; when it ended."""
    # Through Retell's own endpoint, which the daemon does not see.
    request = urllib.request.Request(
        f"{setup.simulator.base_url}/v2/stop-call/{call_id}",
        method="POST",
        headers={"Authorization": f"Bearer {setup.simulator.api_key}"},
    )
    with urllib.request.urlopen(request, timeout=30):
        return datetime.now(UTC)


def settled_after(server: Server, setup: FleetSetup, ended: dict[str, datetime]) -> list[float]:
    """Seconds from each end to the result in the database, by this machine's clock."""
    with server.client() as client:
        results = client[setup.database]["call_results"]

        def all_settled() -> list[Document] | None:
            found = list(results.find({"call_id": {"$in": list(ended)}}, {"call_id": 1, "created_at": 1}))
            return found if len(found) == len(ended) else None

        found = until(all_settled, f"{len(ended)} results", seconds=SETTLING_SECONDS, every=0.5)
    return [(row["created_at"] - ended[row["call_id"]]).total_seconds() for row in found]


def measure(server: Server, options: argparse.Namespace, calls: int, interval: float) -> Document:
    """So many live calls, followed by one daemon."""
    with open_setup(server, calls, calls, CALL_LIST_INTERVAL=str(interval)) as setup:
        daemon = setup.daemon()
        try:
            daemon.start()
            until(
                lambda: len(calls_in_hand(daemon)) == calls,
                f"{calls} calls",
                seconds=DIALLING_SECONDS,
                every=2.0,
            )
            time.sleep(SETTLE_SECONDS)
            at_rest = watch(setup, daemon, options.seconds)
            ends = end_some(server, setup, daemon, min(options.ends, calls))
        finally:
            daemon.stop(at_once=True)
        logged = events(daemon.log)
        placed = setup.simulator.placed_calls()
    return {
        "calls": calls,
        "interval": interval,
        **at_rest,
        **ends,
        "missed": sum(logged[name] for name in MISSED),
        "placed": len(placed),
        "events": dict(logged),
    }


def watch(setup: FleetSetup, daemon: DaemonProcess, seconds: float) -> Document:
    """Figures of a while in which no call begins or ends."""
    watcher = Watcher(setup, daemon)
    follower = daemon.ask("status")["supervisor"].get("follower", {}).get("pid")

    def spent() -> float:
        return own_seconds(follower) if follower else 0.0

    before, asked, followed = watcher.read(), requests(setup), spent()
    time.sleep(seconds)
    after, asked_then, followed_then = watcher.read(), requests(setup), spent()
    took = after.at - before.at

    def percent(name: str) -> float:
        return 100 * _grown(before, after, name) / took

    follower_percent = 100 * (followed_then - followed) / took
    return {
        "requests": (asked_then - asked) / took,
        "workers": percent("workers"),
        "supervisor": percent("supervisor"),
        "follower": follower_percent,
        "together": percent("workers") + percent("supervisor") + follower_percent,
        "database": percent("database"),
    }


def _grown(before: Moment, after: Moment, name: str) -> float:
    grown: float = getattr(after, name) - getattr(before, name)
    return grown


def end_some(server: Server, setup: FleetSetup, daemon: DaemonProcess, ends: int) -> Document:
    """End calls one after the other; how long their settlements took."""
    ended: dict[str, datetime] = {}
    for call_id in sorted(calls_in_hand(daemon))[:ends]:
        ended[call_id] = end_call(setup, call_id)
        time.sleep(BETWEEN_ENDS_SECONDS)
    seconds = settled_after(server, setup, ended)
    spread = Spread.of(seconds)
    return {"settled": spread.median, "settled_latest": spread.high, "seconds": sorted(seconds)}


#: Column and figure.
COLUMNS = {
    "live calls": "calls",
    "list every, s": "interval",
    "workers %": "workers",
    "supervisor %": "supervisor",
    "follower %": "follower",
    "together %": "together",
    "database %": "database",
    "requests/s": "requests",
    "end to result, s": "settled",
    "latest": "settled_latest",
    "late or hung": "missed",
    "calls placed": "placed",
}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--calls", type=int, nargs="+", help="how many live calls (default: 100 300)")
    parser.add_argument("--intervals", type=float, nargs="+", default=[0.0, 2.0], help="CALL_LIST_INTERVAL")
    parser.add_argument("--seconds", type=float, help="how long to watch (default: 40)")
    parser.add_argument("--ends", type=int, help="how many calls end (default: 60)")
    options = parser.parse_args()
    options.calls = options.calls or ([12] if options.quick else [100, 300])
    options.seconds = options.seconds or (15.0 if options.quick else 40.0)
    options.ends = options.ends or (10 if options.quick else 60)
    report = common.Report("follow", options, seconds=options.seconds, ends=options.ends)
    with common.open_database(options) as server:
        report.server(server)
        rows = [
            measure(server, options, calls, interval)
            for calls in options.calls
            for interval in options.intervals
        ]
    report.table(
        "Live calls that are followed; percent of one core",
        list(COLUMNS),
        [[row[name] for name in COLUMNS.values()] for row in rows],
    )
    report.keep(rows=rows)
    report.write()


if __name__ == "__main__":
    main()
