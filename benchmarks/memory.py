"""Memory per worker, as PSS: ``python -m benchmarks.memory``.

Each contender is started with a number of workers; when all are connected to the database and idle, the
proportional set size of each worker is read (``smaps_rollup``), and that of its other processes. Then, in
fleets that are not too large, each worker does 20 jobs on average whose calls have transcripts of 300 kB, and
the sizes are read again. Gunicorn, preloaded and idle, is a reference: its workers run no jobs. RQ forks a
process for each job, and only that is connected: both are read while each worker is in a call.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import campaign, common, contenders, process_managers, setup
from benchmarks.common import Report, Server
from benchmarks.contenders import Contender, Running, Task
from benchmarks.processes import children, command_line, pss_mib, tree, until
from benchmarks.stub import StubProcess

TRANSCRIPT_BYTES = 300_000
JOBS_PER_WORKER = 20
START_SECONDS = 240.0
#: A contender that has not finished by then is read as it is; the table shows how many jobs each has done.
JOBS_SECONDS = 180.0
SETTLE_SECONDS = 3.0
LONG_TALK_SECONDS = 3_600.0
#: Seconds between two polls of a call, so that no worker is busy with it.
POLL_SECONDS = "0.2"
SPEECHAID_WORKER = re.compile(r"speechaid: worker-\d+ \[(?!starting)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How one contender is measured."""

    contender: Contender
    #: Its workers that are connected.
    workers: Callable[[Running, Task], list[int]]
    #: Most workers: larger fleets take minutes to start on a small machine.
    at_most: int = 1_000
    runs_jobs: bool = True
    #: Connected only during a job: read in the middle of one.
    in_a_job: bool = False


def _titled(running: Running, _task: Task) -> list[int]:
    return [pid for pid in children(*running.roots) if SPEECHAID_WORKER.match(command_line(pid))]


def _announced(running: Running, task: Task) -> list[int]:
    """The workers that have reported that they are connected."""
    return [int(file.name) for file in task.pids.iterdir() if int(file.name) in tree(*running.roots)]


def _children(running: Running, _task: Task) -> list[int]:
    return children(*running.roots)


FIELD = {
    "speechaid": Entry(contender=contenders.speechaid, workers=_titled),
    "huey": Entry(contender=contenders.huey, workers=_announced),
    "celery": Entry(contender=contenders.celery, workers=_announced),
    "dramatiq": Entry(contender=contenders.dramatiq, workers=_announced, at_most=64),
    "rq": Entry(contender=contenders.rq, workers=_children, at_most=64, runs_jobs=False, in_a_job=True),
    "gunicorn": Entry(contender=process_managers.gunicorn, workers=_announced, runs_jobs=False),
}


@dataclass(frozen=True, kw_only=True)
class Shares:
    """PSS of one fleet in MiB, and the jobs that each worker has done on average."""

    jobs: float
    worker: float
    largest: float
    around: float

    @classmethod
    def of(cls, workers: list[int], others: list[int], jobs: int) -> Shares:
        """Of these workers with their children, and of the contender's other processes."""
        each = [sum(pss_mib(pid) for pid in tree(worker)) for worker in workers]
        around = sum(pss_mib(pid) for pid in others)
        done = jobs / len(workers)
        return cls(jobs=done, worker=statistics.fmean(each), largest=max(each), around=around)


def measure(entry: Entry, server: Server, *, workers: int, jobs: int) -> tuple[Shares, Shares | None]:
    """One fleet: connected, and after its jobs."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True))
        talk = LONG_TALK_SECONDS if entry.in_a_job else 0.0
        stub = stack.enter_context(StubProcess(transcript_bytes=TRANSCRIPT_BYTES, talk_seconds=talk))
        database = stack.enter_context(campaign.database_of(server))
        campaign.enter_customer(database)
        task = Task(
            place=Path(place),
            server=server,
            database=database.name,
            stub=stub,
            jobs=[],
            workers=workers,
            poll_seconds=POLL_SECONDS,
        )
        running = stack.enter_context(entry.contender(task))

        def all_there() -> list[int] | None:
            found = entry.workers(running, task)
            return found if len(found) >= workers else None

        def shares() -> Shares:
            time.sleep(SETTLE_SECONDS)
            found = until(all_there, "all workers again", seconds=START_SECONDS, every=0.5)
            fleet = tree(*found)
            others = [pid for pid in tree(*running.roots) if pid not in fleet]
            return Shares.of(found, others, stub.ended)

        until(all_there, f"{workers} workers to be connected", seconds=START_SECONDS, every=0.5)
        if entry.in_a_job:
            running.feed(campaign.enter_jobs(database, 0, workers))
            until(lambda: stub.created >= workers, "each worker to be in a call", seconds=START_SECONDS)
        before = shares()
        if not jobs:
            return before, None
        running.feed(campaign.enter_jobs(database, 0, jobs))
        with contextlib.suppress(TimeoutError):
            until(lambda: stub.ended >= jobs, f"{jobs} jobs to be done", seconds=JOBS_SECONDS, every=0.2)
        return before, shares()


def run(options: argparse.Namespace, names: list[str], report: Report) -> None:
    """All fleets, one after the other."""
    rows: list[list[object]] = []
    with common.open_database(options) as server:
        report.server(server)
        for workers in options.sizes:
            for name in names:
                entry = FIELD[name]
                if workers > entry.at_most:
                    continue
                with_jobs = entry.runs_jobs and workers <= options.jobs_at_most
                jobs = JOBS_PER_WORKER * workers if with_jobs else 0
                before, after = measure(entry, server, workers=workers, jobs=jobs)
                rows.append([f"{name}, {workers}", before.worker, before.largest, before.around])
                rows[-1] += [None] * 3 if after is None else [after.worker, after.largest, after.jobs]
                print(f"  {name}, {workers} workers: {before.worker:.1f} MiB", flush=True)
    columns = ["contender, workers", "connected", "largest", "all around them"]
    columns += ["after jobs", "largest then", "jobs each"]
    report.table("PSS per worker, MiB", columns, rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 64, 256], metavar="WORKERS")
    parser.add_argument(
        "--jobs-at-most", type=int, default=64, metavar="WORKERS", help="larger ones stay idle"
    )
    parser.add_argument("--only", nargs="+", choices=list(FIELD), metavar="NAME", help=", ".join(FIELD))
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.jobs_at_most = [min(options.sizes)], min(options.sizes)
    settings = {"sizes": options.sizes, "transcript_bytes": TRANSCRIPT_BYTES}
    report = Report("memory", options, **settings, peers=setup.versions())
    run(options, options.only or list(FIELD), report)
    report.write()


if __name__ == "__main__":
    main()
