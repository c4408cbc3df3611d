"""Jobs per second and processor time per job at call length 0: ``python -m benchmarks.throughput``.

All contenders do the same jobs with the same stub of Retell and the same database, alternating, in one run.
The first and the last few jobs are not measured, so that starts do not count. ``floor`` is a bare loop of the
same requests and the same durable writes as speechaid makes; the peers' tasks make them too. ``floor-bare``
does not use the library ``requests``, which all but speechaid use; ``floor-least`` makes only the six
writes that no careful program could do without; ``NAME-plain`` leaves durability to the peer's queue.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import campaign, commands_per_job, common, contenders, setup
from benchmarks.common import Report, Server, Spread
from benchmarks.contenders import Contender, Running, Task
from benchmarks.peers.work import STEPS
from benchmarks.processes import cpu_seconds, until
from benchmarks.stub import StubProcess

#: Name to contender, its writes, and its share of the jobs: slow contenders get fewer.
FIELD: dict[str, tuple[Contender, str, float]] = {
    "floor": (contenders.floor, "same", 1.0),
    "floor-bare": (contenders.barest_floor, "same", 1.0),
    "floor-least": (contenders.floor, "least", 1.0),
    "speechaid": (contenders.speechaid, "same", 1.0),
    "huey": (contenders.huey, "same", 1.0),
    "dramatiq": (contenders.dramatiq, "same", 1.0),
    "celery": (contenders.celery, "same", 1.0),
    "rq": (contenders.rq, "same", 0.25),
    "speechai": (contenders.speechai, "plain", 1.0),
    "huey-plain": (contenders.huey, "plain", 1.0),
    "dramatiq-plain": (contenders.dramatiq, "plain", 1.0),
    "celery-plain": (contenders.celery, "plain", 1.0),
    "rq-plain": (contenders.rq, "plain", 0.25),
}
USUAL = [name for name in FIELD if not name.endswith("-plain")]
#: Jobs before and after what is measured.
BEFORE, AFTER = 24, 8
ROUND_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class RoundFigures:
    """One contender's figures of one round."""

    jobs: int
    seconds: float
    own_cpu: float
    broker_cpu: float
    database_cpu: float
    stub_cpu: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds

    def per_job(self, cpu: float) -> float:
        """Milliseconds of processor time a job."""
        return 1000 * cpu / self.jobs


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Clocks at one moment."""

    at: float
    done: int
    own: float
    broker: float
    database: float
    stub: float

    @classmethod
    def take(cls, running: Running, task: Task) -> Sample:
        """Read all clocks, one right after the other."""
        return cls(
            at=time.monotonic(),
            done=task.stub.ended,
            own=cpu_seconds(*running.roots),
            broker=cpu_seconds(*running.broker),
            database=0.0 if task.server.pid is None else cpu_seconds(task.server.pid),
            stub=cpu_seconds(task.stub.pid),
        )


def measure(contender: Contender, writes: str, server: Server, *, jobs: int, workers: int) -> RoundFigures:
    """One contender, one round."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True))
        stub = stack.enter_context(StubProcess())
        database = stack.enter_context(campaign.database_of(server))
        task = Task(
            place=Path(place),
            server=server,
            database=database.name,
            stub=stub,
            jobs=campaign.load(database, jobs),
            workers=workers,
            writes=writes,
        )
        running = stack.enter_context(contender(task))
        first = _sample_at(BEFORE, running, task)
        last = _sample_at(jobs - AFTER, running, task)

        def finished() -> bool:
            return database["jobs"].count_documents({"status": "done"}) == jobs

        until(finished, f"all {jobs} jobs to be done", seconds=30, every=0.5)
        assert database["call_results"].count_documents({}) == jobs, "not one result a job"
    return RoundFigures(
        jobs=last.done - first.done,
        seconds=last.at - first.at,
        own_cpu=last.own - first.own,
        broker_cpu=last.broker - first.broker,
        database_cpu=last.database - first.database,
        stub_cpu=last.stub - first.stub,
    )


def _sample_at(done: int, running: Running, task: Task) -> Sample:
    try:
        until(lambda: task.stub.ended >= done, f"{done} jobs to be done", seconds=ROUND_SECONDS, every=0.005)
    except TimeoutError as exc:
        raise TimeoutError(f"{exc}; {task.stub.ended} are; {task.last_words()}") from exc
    return Sample.take(running, task)


def rows(rounds: dict[str, list[RoundFigures]]) -> list[list[object]]:
    """The table, each contender beside the floor of its own round."""
    table: list[list[object]] = []
    for name, taken in rounds.items():
        own = [one.per_job(one.own_cpu) for one in taken]
        table.append(
            [
                name,
                Spread.of([one.rate for one in taken]),
                Spread.of(own),
                _ratio(rounds, name, lambda one: one.per_job(one.own_cpu)),
                statistics.median(one.per_job(one.broker_cpu) for one in taken),
                statistics.median(one.per_job(one.database_cpu) for one in taken),
                statistics.median(one.stub_cpu / one.seconds for one in taken),
            ]
        )
    return table


def _ratio(
    rounds: dict[str, list[RoundFigures]], name: str, of: Callable[[RoundFigures], float]
) -> float | None:
    pairs = zip(rounds[name], rounds.get("floor", []), strict=False)
    ratios = [of(one) / of(base) for one, base in pairs]
    return statistics.median(ratios) if ratios else None


def check_floor(report: Report, server: Server) -> None:
    """Report what speechaid writes for a job, and whether the floor writes the same."""
    commands = commands_per_job.of_one_job(server)
    durable = commands_per_job.durable_writes(commands)
    report.settings(round_trips_of_speechaid=len(commands), durable_writes_of_speechaid=len(durable))
    if len(durable) != len(STEPS["same"]):
        report.note(
            f"ATTENTION: the floor makes {len(STEPS['same'])} durable writes, speechaid {len(durable)}"
        )


def run(options: argparse.Namespace, names: Sequence[str], report: Report) -> None:
    """All rounds of all contenders, alternating."""
    with common.open_database(options) as server:
        report.server(server)
        check_floor(report, server)
        rounds: dict[str, list[RoundFigures]] = {name: [] for name in names}
        for number in range(options.rounds):
            for name in names:
                contender, writes, share = FIELD[name]
                jobs = max(BEFORE + AFTER + 20, int(options.jobs * share))
                one = measure(contender, writes, server, jobs=jobs, workers=options.workers)
                rounds[name].append(one)
                result = f"{one.rate:.1f} jobs/s, {one.per_job(one.own_cpu):.2f} ms CPU a job"
                print(f"  round {number + 1}: {name}: {result}", flush=True)
    columns = ["contender", "jobs per second", "CPU ms per job", "of floor", "broker ms", "database ms"]
    title = f"{options.workers} workers, call length 0: median (least to most) of {options.rounds} rounds"
    report.table(title, [*columns, "stub, share of a core"], rows(rounds))
    report.keep(rounds={name: [vars(one) for one in taken] for name, taken in rounds.items()})


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument(
        "--plain", action="store_true", help="peers that leave durability to their queue, too"
    )
    parser.add_argument("--only", nargs="+", choices=list(FIELD), metavar="NAME", help=", ".join(FIELD))
    options = parser.parse_args()
    if options.quick:
        options.jobs, options.rounds = min(options.jobs, 120), 1
    names = options.only or (list(FIELD) if options.plain else USUAL)
    settings = {"jobs": options.jobs, "rounds": options.rounds, "workers": options.workers}
    report = Report("throughput", options, **settings, peers=setup.versions())
    run(options, names, report)
    report.write()


if __name__ == "__main__":
    main()
