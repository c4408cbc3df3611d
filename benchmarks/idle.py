"""What a fleet costs that has nothing to call: ``python -m benchmarks.idle``.

Every worker waits for a job that is due; there is none. Measured over a while: processor time of daemon
(supervisor and zygote), workers and database, in percent of one core. Processor time, unlike elapsed time,
hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import campaign, common
from benchmarks.fleet import own_seconds
from benchmarks.processes import cpu_seconds, until
from benchmarks.servers import Server
from benchmarks.stub import StubProcess
from speechaid.demo.daemon import DaemonProcess

#: After the last worker is ready: starts are over, and idle waits have grown to their longest.
SETTLE_SECONDS = 15.0
START_SECONDS = 300.0
#: Jobs that are due in a month, so that the queue is not empty.
LATER_DAYS = 30

Document = dict[str, Any]


def measure(server: Server, options: argparse.Namespace, workers: int) -> Document:
    """One fleet without work."""
    with (
        tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as directory,
        campaign.database_of(server) as database,
        StubProcess() as stub,
    ):
        campaign.load(database, options.jobs)
        later = time.time() + LATER_DAYS * 86_400
        database["jobs"].update_many({}, [{"$set": {"reserved_until": {"$toDate": int(later * 1000)}}}])
        place = Path(directory)
        changes = {"WORKER_COUNT": str(workers), "CALL_POLLING_INTERVAL": "10"}
        environ = campaign.environ_for(server.uri, database.name, stub.base_url, place, **changes)
        daemon = DaemonProcess(place, environ)
        try:
            daemon.start()
            until(
                lambda: daemon.ask("status")["supervisor"]["present"] == workers,
                f"{workers} workers",
                seconds=START_SECONDS,
                every=0.5,
            )
            time.sleep(SETTLE_SECONDS)
            found = daemon.ask("status")
            processes = {
                "supervisor": [int(found["supervisor"]["pid"])],
                "zygote": [int(found["supervisor"]["zygote"]["pid"])],
                "workers": [int(row["pid"]) for row in found["workers"]],
            }
            before = read(server, processes)
            time.sleep(options.seconds)
            after = read(server, processes)
        finally:
            daemon.stop(at_once=True)
        if stub.created:
            raise SystemExit(f"{stub.created} calls were placed: the fleet was not idle")
    seconds = after.pop("at") - before.pop("at")
    percents = {name: 100 * (after[name] - before[name]) / seconds for name in after}
    return {"workers_count": workers, "load": os.getloadavg()[0], "all": sum(percents.values()), **percents}


def read(server: Server, processes: dict[str, list[int]]) -> dict[str, float]:
    """Processor seconds of all processes at this moment."""
    spent = {name: sum(own_seconds(pid) for pid in pids) for name, pids in processes.items()}
    database = 0.0 if server.pid is None else cpu_seconds(server.pid)
    return {"at": time.monotonic(), "database": database, **spent}


#: Column and figure.
COLUMNS = {
    "workers": "workers_count",
    "supervisor %": "supervisor",
    "zygote %": "zygote",
    "all workers %": "workers",
    "database %": "database",
    "all of it %": "all",
    "load of the machine": "load",
}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", help="how many (default: 6 20 100)")
    parser.add_argument("--jobs", type=int, default=1000, help="jobs that are not due (default: 1000)")
    parser.add_argument("--seconds", type=float, help="how long to watch (default: 40)")
    # The embedded database is part of what an idle daemon costs.
    parser.set_defaults(server="embedded")
    options = parser.parse_args()
    options.workers = options.workers or ([6] if options.quick else [6, 20, 100])
    options.seconds = options.seconds or (10.0 if options.quick else 40.0)
    report = common.Report("idle", options, jobs=options.jobs, seconds=options.seconds)
    with common.open_database(options) as server:
        report.server(server)
        rows = [measure(server, options, workers) for workers in options.workers]
    report.table(
        "idle workers; percent of one core",
        list(COLUMNS),
        [[row[name] for name in COLUMNS.values()] for row in rows],
    )
    report.keep(rows=rows)
    report.note(f"{max(row['all'] for row in rows):.1f} % of one core at most (goal: 4 % at 6, 20 and 100)")
    report.write()


if __name__ == "__main__":
    main()
