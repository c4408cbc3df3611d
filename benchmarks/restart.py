"""From the SIGKILL of a worker to its successor: ``python -m benchmarks.restart``.

Workers are in calls, jobs wait, and one worker after the other is killed, each time when all have done a job
since the last kill. ``known`` is when a successor is in the process table; ``running`` when it runs its own
code; ``claiming`` when it has its first job. This is read from the process titles of speechaid's workers, and
from the first request to Retell of all others, which says when its job began. Dramatiq is left out: its tree
dies with a killed worker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import campaign, common, contenders, process_managers, setup
from benchmarks.common import Report, Server, Spread
from benchmarks.contenders import Contender, Running, Task
from benchmarks.processes import children, command_line, until
from benchmarks.stub import StubProcess

WORKERS = 4
TALK_SECONDS = 0.3
#: Seconds between two polls of a call.
POLL_SECONDS = "0.05"
#: After a successor's first job, before the next worker is killed.
REST_SECONDS = 1.2
SUCCESSOR_SECONDS = 60.0
#: A slow contender is killed less often, except the two that matter most.
PATIENCE_SECONDS = 70.0
KILLS_AT_LEAST = 8
ALWAYS_ALL = frozenset({"speechaid", "fork loop"})
LOOK_SECONDS = 0.001
IN_HAND = re.compile(r"speechaid: worker-\d+ \[\w+ job")
WORKER = re.compile(r"speechaid: worker-\d+ \[")

FIELD: dict[str, Contender] = {
    "speechaid": contenders.speechaid,
    "fork loop": process_managers.fork_loop,
    "celery": contenders.celery,
    "huey": contenders.huey,
    "rq": contenders.rq,
    "supervisord": process_managers.supervisord,
    "circus": process_managers.circus,
}


@dataclass(frozen=True, kw_only=True)
class Succession:
    """One kill: milliseconds until its successor was there, ran, and had a job."""

    known: float
    running: float | None
    claiming: float


def now() -> float:
    """The clock of the workers' start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class BusyContender:
    """A contender with more jobs than the measurement needs."""

    def __init__(self, running: Running, task: Task, *, titled: bool) -> None:
        self._running = running
        self._stub = task.stub
        self._titled = titled
        #: Worker (or its child that does the job) to when its jobs began.
        self._began: dict[int, list[float]] = {}

    def workers(self) -> list[int]:
        """The pids of the workers that run now."""
        found = children(*self._running.roots)
        return [pid for pid in found if WORKER.match(command_line(pid))] if self._titled else found

    def at_work(self) -> list[int] | None:
        """All workers, if all have done a job."""
        found = self.workers()
        if self._titled:
            return found if len(found) == WORKERS and all(self._has_job(pid) for pid in found) else None
        self._read_arrivals()
        busy = [pid for pid in found if pid in self._began]
        return busy if len(busy) >= WORKERS else None

    def kill(self, victim: int) -> Succession:
        """Kill one worker and wait for its successor."""
        before = set(self.workers())
        self._read_arrivals()
        killed_at = now()
        os.kill(victim, signal.SIGKILL)
        new = self._until(lambda: next(iter(set(self.workers()) - before), None))
        known_at = now()
        if not self._titled:
            began = until(lambda: self._first_job(new), "its first job", seconds=SUCCESSOR_SECONDS)
            return _succession(killed_at, known_at, None, began)
        self._until(lambda: "[starting]" not in command_line(new))
        running_at = now()
        self._until(lambda: self._has_job(new))
        return _succession(killed_at, known_at, running_at, now())

    def _has_job(self, pid: int) -> bool:
        return IN_HAND.match(command_line(pid)) is not None

    def _first_job(self, pid: int) -> float | None:
        """When the first job of this worker, or of a child of it, began."""
        self._read_arrivals()
        return next(iter(self._began.get(pid, ())), None)

    def _read_arrivals(self) -> None:
        for _, metadata in self._stub.arrivals():
            for pid in metadata.get("pids", ()):
                self._began.setdefault(pid, []).append(float(metadata["began"]))

    @staticmethod
    def _until(condition: Callable[[], int | None]) -> int:
        return until(condition, "the successor", seconds=SUCCESSOR_SECONDS, every=LOOK_SECONDS)


def _succession(killed: float, known: float, running: float | None, claiming: float) -> Succession:
    return Succession(
        known=1000 * (known - killed),
        running=None if running is None else 1000 * (running - killed),
        claiming=1000 * (claiming - killed),
    )


def measure(name: str, server: Server, *, kills: int, jobs: int) -> list[Succession]:
    """Kill the workers of one contender in turn."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True))
        stub = stack.enter_context(StubProcess(talk_seconds=TALK_SECONDS))
        database = stack.enter_context(campaign.database_of(server))
        task = Task(
            place=Path(place),
            server=server,
            database=database.name,
            stub=stub,
            jobs=campaign.load(database, jobs),
            workers=WORKERS,
            poll_seconds=POLL_SECONDS,
        )
        busy = BusyContender(stack.enter_context(FIELD[name](task)), task, titled=name == "speechaid")
        taken = []
        began = time.monotonic()
        for number in range(kills):
            if (
                number >= KILLS_AT_LEAST
                and name not in ALWAYS_ALL
                and time.monotonic() - began > PATIENCE_SECONDS
            ):
                break
            workers = until(busy.at_work, "all workers at work", every=0.01)
            taken.append(busy.kill(sorted(workers)[number % WORKERS]))
            # A worker that dies before it has done a job may be replaced with a delay.
            time.sleep(REST_SECONDS)
    return taken


def rows(taken: dict[str, list[Succession]]) -> list[list[object]]:
    """Medians and extremes."""
    table: list[list[object]] = []
    for name, successions in taken.items():
        running = [one.running for one in successions if one.running is not None]
        table.append(
            [
                name,
                Spread.of([one.known for one in successions]),
                Spread.of(running) if running else None,
                Spread.of([one.claiming for one in successions]),
                len(successions),
            ]
        )
    return table


def run(options: argparse.Namespace, names: list[str], report: Report) -> None:
    """All contenders."""
    taken: dict[str, list[Succession]] = {}
    with common.open_database(options) as server:
        report.server(server)
        for name in names:
            taken[name] = measure(name, server, kills=options.kills, jobs=options.jobs)
            print(f"  {name}: claiming after {rows({name: taken[name]})[0][3]} ms", flush=True)
    columns = ["contender", "known", "running", "claiming", "kills"]
    report.table("From SIGKILL to the successor, ms: median (least to most)", columns, rows(taken))
    report.keep(successions={name: [vars(one) for one in all_] for name, all_ in taken.items()})


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--kills", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--only", nargs="+", choices=list(FIELD), metavar="NAME", help=", ".join(FIELD))
    options = parser.parse_args()
    if options.quick:
        options.kills = min(options.kills, 5)
    settings = {"workers": WORKERS, "kills": options.kills, "talk_seconds": TALK_SECONDS}
    report = Report("restart", options, **settings, peers=setup.versions())
    run(options, options.only or list(FIELD), report)
    report.write()


if __name__ == "__main__":
    main()
