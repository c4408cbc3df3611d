"""How soon a large fleet is in calls: ``python -m benchmarks.ramp``.

As many due jobs as workers; calls outlast the run. Measured from the command ``speechaid run``: when the
first, half and the last of the workers were in a call, dials a second between a tenth and nine tenths,
workers that were taken for hung, and the processor time until then of daemon and workers, and of the
database.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import campaign, common
from benchmarks.contenders import supervisor
from benchmarks.fleet import calls_in_hand, events
from benchmarks.processes import cpu_seconds, until
from benchmarks.servers import Server
from benchmarks.stub import StubProcess
from speechaid.demo.daemon import DaemonProcess

#: Longer than any run.
TALK_SECONDS = 7_200
#: Events of the log that say that a worker was taken for hung, or was slowed down.
HUNG = ("worker.hung", "worker.too_slow")
SLOWED = "worker.slowed"
OVERLOADED = "fleet.overloaded"

Document = dict[str, Any]


def measure(server: Server, options: argparse.Namespace, workers: int) -> Document:
    """One start of a fleet."""
    with (
        tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as directory,
        campaign.database_of(server) as database,
        StubProcess(talk_seconds=TALK_SECONDS) as stub,
    ):
        campaign.load(database, workers)
        place = Path(directory)
        changes = {
            "WORKER_COUNT": str(workers),
            "CALL_POLLING_INTERVAL": "10",
            "CALL_MAX_DURATION_MINUTES": str(TALK_SECONDS // 60),
            "SPEECHAID_LOG_FORMAT": "json",
        }
        environ = campaign.environ_for(server.uri, database.name, stub.base_url, place, **changes)
        daemon = DaemonProcess(place, environ)
        database_before = 0.0 if server.pid is None else cpu_seconds(server.pid)
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            daemon.start()
            with contextlib.suppress(TimeoutError):
                until(lambda: stub.created >= workers, "all calls", seconds=options.limit, every=0.1)
            daemon_seconds = cpu_seconds(supervisor(daemon))
            database_seconds = 0.0 if server.pid is None else cpu_seconds(server.pid) - database_before
            at = sorted(arrived - began for arrived, _ in stub.arrivals())
            in_hand = len(calls_in_hand(daemon))
        finally:
            daemon.stop(at_once=True)
        logged = events(daemon.log)
    return {
        "workers": workers,
        "placed": len(at),
        "in_hand": in_hand,
        "first": at[0] if at else None,
        "half": at[workers // 2 - 1] if len(at) >= workers // 2 else None,
        "last": at[workers - 1] if len(at) >= workers else None,
        "rate": rate(at),
        "hung": sum(logged[name] for name in HUNG),
        "slowed": logged[SLOWED],
        "overloaded": logged[OVERLOADED],
        "daemon": daemon_seconds,
        "database": database_seconds,
        "load": os.getloadavg()[0],
        "events": dict(logged),
    }


def rate(at: list[float]) -> float | None:
    """Dials a second between a tenth and nine tenths of those that were placed."""
    first, last = len(at) // 10, len(at) * 9 // 10
    return (last - first) / (at[last] - at[first]) if last > first and at[last] > at[first] else None


#: Column and figure.
COLUMNS = {
    "workers": "workers",
    "calls placed": "placed",
    "in hand": "in_hand",
    "first call, s": "first",
    "half in calls, s": "half",
    "all in calls, s": "last",
    "dials/s": "rate",
    "hung": "hung",
    "slowed": "slowed",
    "overloads": "overloaded",
    "daemon, CPU s": "daemon",
    "database, CPU s": "database",
    "load": "load",
}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", help="how many (default: 100 300 1000)")
    parser.add_argument("--limit", type=float, default=300.0, help="longest wait, in seconds (default: 300)")
    options = parser.parse_args()
    options.workers = options.workers or ([16] if options.quick else [100, 300, 1000])
    report = common.Report("ramp", options, limit=options.limit)
    with common.open_database(options) as server:
        report.server(server)
        rows = [measure(server, options, workers) for workers in options.workers]
    report.table(
        "as many due jobs as workers, from the start",
        list(COLUMNS),
        [[row[name] for name in COLUMNS.values()] for row in rows],
    )
    report.keep(rows=rows)
    last = rows[-1]
    found = "never" if last["last"] is None else f"after {last['last']:.0f} s"
    report.note(
        f"{last['workers']} workers: all in calls {found}, {last['hung']} taken for hung "
        "(goal, 1,000 workers on the fast server: 90 s, none)"
    )
    report.write()


if __name__ == "__main__":
    main()
