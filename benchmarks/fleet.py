"""What a fleet costs while all workers follow calls: ``python -m benchmarks.fleet``.

Every worker polls one long call; no call begins or ends. Measured over a while: processor time of the
supervisor, of a worker, of the zygote, of the database and of the simulator, in percent of one core; how
often the supervisor wakes; and from its log, how many workers were late or hung. Each polling interval is
measured with a new daemon.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import campaign, common
from benchmarks.processes import cpu_seconds, until
from benchmarks.servers import Server
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess

#: Longer than any run.
TALK_SECONDS = 7_200
#: Wait after the last worker is in its call, so that starts and dials are finished.
SETTLE_SECONDS = 10.0
#: Longest wait, in seconds, for all calls: one simulator takes one dial after another.
DIALLING_SECONDS = 400.0
#: Events of the log that say that a worker did not report in time.
MISSED = ("worker.late", "worker.hung")

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FleetSetup:
    """The settings of a daemon whose calls last for hours, its database and its simulator."""

    place: Path
    server: Server
    database: str
    simulator: SimulatorProcess
    environ: dict[str, str]

    def daemon(self) -> DaemonProcess:
        """Not started yet."""
        return DaemonProcess(self.place, self.environ)


@contextlib.contextmanager
def open_setup(server: Server, workers: int, jobs: int, **changes: str) -> Iterator[FleetSetup]:
    """Jobs in a new database, and a simulator that answers each call and never hangs up."""
    with (
        tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as directory,
        campaign.database_of(server) as database,
        SimulatorProcess(
            odds={"user_hangup": 1},
            ring_seconds=[1, 2],
            talk_seconds=[TALK_SECONDS, TALK_SECONDS],
            concurrency_limit=2 * workers,
        ) as simulator,
    ):
        campaign.load(database, jobs)
        settings = {
            "RETELL_API_KEY": simulator.api_key,
            "WORKER_COUNT": str(workers),
            "CALL_POLLING_INTERVAL": "10",
            "CALL_MAX_DURATION_MINUTES": str(TALK_SECONDS // 60),
            "SPEECHAID_LOG_FORMAT": "json",
            **changes,
        }
        place = Path(directory)
        environ = campaign.environ_for(server.uri, database.name, simulator.base_url, place, **settings)
        yield FleetSetup(
            place=place, server=server, database=database.name, simulator=simulator, environ=environ
        )


def calls_in_hand(daemon: DaemonProcess) -> set[str]:
    """The calls that workers follow at this moment."""
    return {
        row["call"] for row in daemon.ask("status")["workers"] if row["call"] and row["state"] == "following"
    }


def events(log: Path) -> Counter[str]:
    """How often each event stands in a daemon's log."""
    found: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError, AttributeError):
            found[str(json.loads(line).get("event"))] += 1
    return found


# -- the measuring -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Processor seconds of all processes, and the supervisor's wakes, at one moment."""

    at: float
    supervisor: float
    zygote: float
    workers: float
    database: float
    simulator: float
    wakes: int
    polls: int


class Watcher:
    """Reads the clocks of a daemon's processes."""

    def __init__(self, setup: FleetSetup, daemon: DaemonProcess) -> None:
        found = daemon.ask("status")
        self._setup = setup
        self.supervisor = int(found["supervisor"]["pid"])
        self.zygote = int(found["supervisor"]["zygote"]["pid"])
        self.workers = [int(row["pid"]) for row in found["workers"]]

    def read(self) -> Moment:
        """All clocks, one right after the other."""
        server, simulator = self._setup.server, self._setup.simulator
        others = {self.zygote, *self.workers}
        return Moment(
            at=time.monotonic(),
            supervisor=own_seconds(self.supervisor),
            zygote=own_seconds(self.zygote),
            workers=sum(own_seconds(pid) for pid in others - {self.zygote}),
            database=0.0 if server.pid is None else cpu_seconds(server.pid),
            simulator=cpu_seconds(simulator.pid),
            wakes=wakes(self.supervisor),
            polls=sum(simulator.requests()["counts"].get("get", {}).values()),
        )


def own_seconds(pid: int) -> float:
    """User and system seconds of one process, without its children, in the kernel's nanoseconds."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return spent / 1e9


def wakes(pid: int) -> int:
    """How often a process's main thread has blocked: once for each pass of its loop."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def measure(server: Server, options: argparse.Namespace, interval: float) -> Document:
    """One fleet at one polling interval."""
    workers = options.workers
    with open_setup(server, workers, workers, CALL_POLLING_INTERVAL=str(interval)) as setup:
        daemon = setup.daemon()
        began = time.monotonic()
        try:
            daemon.start()
            until(
                lambda: len(calls_in_hand(daemon)) == workers,
                f"{workers} calls",
                seconds=DIALLING_SECONDS,
                every=1.0,
            )
            dialling = time.monotonic() - began
            time.sleep(SETTLE_SECONDS)
            watcher = Watcher(setup, daemon)
            before = watcher.read()
            time.sleep(options.seconds)
            after = watcher.read()
            still = len(calls_in_hand(daemon))
        finally:
            daemon.stop(at_once=True)
        logged = events(daemon.log)
        placed = len(setup.simulator.placed_calls())
    return figures(before, after, workers) | {
        "interval": interval,
        "dialling": dialling,
        "in_calls": still,
        "missed": sum(logged[name] for name in MISSED),
        "calls_placed": placed,
        "events": dict(logged),
    }


def figures(before: Moment, after: Moment, workers: int) -> Document:
    """Percent of one core, and rates."""
    seconds = after.at - before.at

    def percent(name: str) -> float:
        spent: float = getattr(after, name) - getattr(before, name)
        return 100 * spent / seconds

    return {
        "supervisor": percent("supervisor"),
        "workers": percent("workers"),
        "worker": percent("workers") / workers,
        "zygote": percent("zygote"),
        "database": percent("database"),
        "simulator": percent("simulator"),
        "wakes": (after.wakes - before.wakes) / seconds,
        "polls": (after.polls - before.polls) / seconds,
    }


#: Column and figure.
COLUMNS = {
    "polling every, s": "interval",
    "in calls": "in_calls",
    "polls/s": "polls",
    "wakes/s": "wakes",
    "supervisor %": "supervisor",
    "a worker %": "worker",
    "all workers %": "workers",
    "zygote %": "zygote",
    "database %": "database",
    "simulator %": "simulator",
    "late or hung": "missed",
    "calls placed": "calls_placed",
    "until all in calls, s": "dialling",
}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--workers", type=int, help="how many (default: 256)")
    parser.add_argument("--intervals", type=float, nargs="+", default=[10.0, 5.0], help="seconds")
    parser.add_argument("--seconds", type=float, help="how long to watch (default: 40)")
    options = parser.parse_args()
    options.workers = options.workers or (16 if options.quick else 256)
    options.seconds = options.seconds or (10.0 if options.quick else 40.0)
    report = common.Report("fleet", options, workers=options.workers, seconds=options.seconds)
    with common.open_database(options) as server:
        report.server(server)
        rows = [measure(server, options, interval) for interval in options.intervals]
    report.table(
        f"{options.workers} workers in calls; percent of one core",
        list(COLUMNS),
        [[row[name] for name in COLUMNS.values()] for row in rows],
    )
    report.keep(rows=rows)
    worst = max(row["supervisor"] for row in rows)
    report.note(
        f"supervisor {worst:.1f} % of one core at most (goal: below 5 %), "
        f"{sum(row['missed'] for row in rows)} late or hung (goal: none)"
    )
    report.write()


if __name__ == "__main__":
    main()
