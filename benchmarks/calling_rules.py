"""What calling rules cost a claim and a dial: ``python -m benchmarks.calling_rules``.

The same jobs, by the worker's code in this process, in turns: without any pack in force; with packs, in a
batch without a purpose, whose dials are entered in the ledger; in a batch with a purpose, under a pack with
hours alone, and under one with a cap, whose people have called before. All in one run on one server; compare
the ratios.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pymongo import monitoring
from pymongo.database import Database

from benchmarks import campaign, common
from benchmarks.campaign import Document
from benchmarks.commands_per_job import OF_THE_CONNECTION, WRITES
from benchmarks.processes import cpu_seconds
from benchmarks.servers import Server
from benchmarks.stub import StubProcess
from speechaid.campaign.people import person_keys
from speechaid.compliance.packs import Cap, Confidence, DayHours, Pack, Span, Unit, Windows
from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.model.states import Purpose
from speechaid.retell.client import open_retell
from speechaid.store.connection import Store, connect
from tests.support.stage import QuietLink

#: The first is what the others are compared with.
CONDITIONS = ("no packs", "packs, no purpose", "purpose, hours", "purpose, cap")
#: Jobs of one turn; the first turn of each condition is not counted.
TURN = 10
#: Entries of each person in the ledger, and those of people whom nobody calls now.
OWN_ENTRIES, OTHER_ENTRIES = 20, 20_000
PORTION = 5_000


class CommandCounter(monitoring.CommandListener):
    """Counts the commands of this process."""

    def __init__(self) -> None:
        self.commands = 0
        self.durable_writes = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in OF_THE_CONNECTION:
            return
        self.commands += 1
        concern: Document = event.command.get("writeConcern", {})
        is_durable = concern.get("w") == "majority" and bool(concern.get("j"))
        self.durable_writes += event.command_name in WRITES and is_durable

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Ignored."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Ignored."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One condition's figures for one turn, by job: milliseconds and counts."""

    claim: float
    dial: float
    own_cpu: float
    database_cpu: float
    commands: float
    durable_writes: float


def pack(purpose_of: str) -> Pack:
    """Chile's hours and cap, wide enough for every job at any time."""
    allday = DayHours(days=(1, 2, 3, 4, 5, 6, 7), start="00:00", end="24:00")
    windows = Windows(hours=(allday,), says="house rule", confidence=Confidence.LOW)
    cap = Cap(
        name="often",
        unit=Unit.ATTEMPT,
        number=1000,
        span=Span.CALENDAR_WEEK,
        says="house rule",
        confidence=Confidence.LOW,
    )
    return Pack(
        kind="pack",
        format=1,
        country="CL",
        purpose=Purpose.COLLECTION,
        reviewed=date(2026, 11, 30),
        zones=("America/Santiago",),
        sources={},
        counted_purposes=(Purpose.COLLECTION,),
        windows=windows,
        caps=(cap,) if purpose_of == "purpose, cap" else (),
    )


def load(database: Database[Document], store: Store, condition: str, jobs: int) -> None:
    """The jobs, and what makes up the condition."""
    campaign.load(database, jobs)
    if condition == CONDITIONS[0]:
        return
    store.packs.install([pack(condition)], fill="benchmark", is_ready=True, by="benchmark")
    if condition.startswith("purpose"):
        database["batches"].update_one({}, {"$set": {"call_settings.purpose": "collection"}})
    entries = [_entry(place, jobs) for place in range(jobs * OWN_ENTRIES + OTHER_ENTRIES)]
    for first in range(0, len(entries), PORTION):
        database["speechaid_ledger"].insert_many(entries[first : first + PORTION], ordered=False)


def _entry(place: int, jobs: int) -> Document:
    """An entry of somebody, in the past week."""
    is_own = place < jobs * OWN_ENTRIES
    number = place % jobs if is_own else jobs + place
    made = campaign.job(f"job-{number:06d}", number, datetime.now(UTC))
    at = datetime.now(UTC) - timedelta(minutes=place % 10_000)
    return {
        "_id": f"entry-{place}",
        "keys": person_keys(made["contact"]["dni"], made["contact"]["phones"]),
        "account": campaign.ACCOUNT,
        "debt": None,
        "purpose": "collection",
        "job": f"job-{number:06d}",
        "at": at,
        "expires_at": at + timedelta(days=40),
        "open": False,
        "void": False,
        "outcome": "no_answer",
        "connected": False,
        "message_left": None,
    }


class Worker:
    """A worker on a database of its own, in one condition."""

    def __init__(self, server: Server, base_url: str, database: Database[Document], condition: str) -> None:
        settings = campaign.settings_for(server.uri, database.name, base_url)
        self._server = server
        self._context = WorkerContext(
            store=connect(settings.database),
            retell=open_retell(settings),
            settings=settings,
            link=QuietLink(),
            worker_id="worker-1@bench:1",
            wait=time.sleep,
            random=random.Random(1),
        )
        self.condition = condition
        self.store = self._context.store
        self._claimer = JobClaimer(self._context)

    def turn(self, total: CommandCounter) -> Turn:
        """Claim and dial the jobs of one turn."""
        before = (total.commands, total.durable_writes, time.process_time(), self._database_cpu())
        claim = dialled = 0.0
        for _ in range(TURN):
            began = time.perf_counter()
            claimed = self._claimer.claim()
            middle = time.perf_counter()
            assert claimed is not None
            dial.run(self._context, claimed.job, claimed.preflight)
            claim, dialled = claim + middle - began, dialled + time.perf_counter() - middle
        after = (total.commands, total.durable_writes, time.process_time(), self._database_cpu())
        commands, durable, own, database = (
            (now - then) / TURN for now, then in zip(after, before, strict=True)
        )
        return Turn(
            claim=1000 * claim / TURN,
            dial=1000 * dialled / TURN,
            own_cpu=1000 * own,
            database_cpu=1000 * database,
            commands=commands,
            durable_writes=durable,
        )

    def _database_cpu(self) -> float:
        return 0.0 if self._server.pid is None else cpu_seconds(self._server.pid)

    def close(self) -> None:
        """Close its connections."""
        self.store.close()
        self._context.retell.close()


@contextlib.contextmanager
def workers(server: Server, jobs: int) -> Iterator[list[Worker]]:
    """A worker for each condition, with as many jobs each."""
    with contextlib.ExitStack() as stack:
        stub = stack.enter_context(StubProcess())
        opened = []
        for condition in CONDITIONS:
            database = stack.enter_context(campaign.database_of(server))
            worker = stack.enter_context(
                contextlib.closing(Worker(server, stub.base_url, database, condition))
            )
            load(database, worker.store, condition, jobs)
            opened.append(worker)
        yield opened


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--turns", type=int, default=12, help=f"of {TURN} jobs each (default: 12)")
    options = parser.parse_args(sys.argv[1:])
    turns = 2 if options.quick else options.turns
    report = common.Report("calling_rules", options, jobs=turns * TURN)
    taken: dict[str, list[Turn]] = {condition: [] for condition in CONDITIONS}
    total = CommandCounter()
    monitoring.register(total)
    with common.open_database(options) as server:
        report.server(server)
        with workers(server, (turns + 1) * TURN) as opened:
            for number in range(turns + 1):
                for worker in opened[number % len(opened) :] + opened[: number % len(opened)]:
                    figures = worker.turn(total)
                    if number:
                        taken[worker.condition].append(figures)
    columns = ["condition", "claim ms", "of none", "dial ms", "of none", "CPU ms", "of none", "database ms"]
    report.table(
        f"One worker, {turns} turns of {TURN} jobs, call length 0: medians of the turns",
        [*columns, "commands", "durable writes"],
        [_row(condition, taken) for condition in CONDITIONS],
    )
    report.keep(turns={condition: [vars(one) for one in found] for condition, found in taken.items()})
    report.write()


def _row(condition: str, taken: dict[str, list[Turn]]) -> list[object]:
    def median(of: str, name: str = condition) -> float:
        return float(statistics.median(getattr(one, of) for one in taken[name]))

    def ratio(of: str) -> float:
        """The median of the ratios of turns that were taken one after the other."""
        pairs = zip(taken[condition], taken[CONDITIONS[0]], strict=True)
        return float(statistics.median(getattr(one, of) / getattr(base, of) for one, base in pairs))

    row: list[object] = [condition]
    for of in ("claim", "dial", "own_cpu"):
        row += [median(of), ratio(of)]
    return [*row, median("database_cpu"), median("commands"), median("durable_writes")]


if __name__ == "__main__":
    main()
