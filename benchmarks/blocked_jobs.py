"""A hundred jobs that may be called, alone and beside 50,000 blocked: ``python -m benchmarks.blocked_jobs``.

Rounds alternate, with the same daemon, Retell simulator and database: the open batch alone, then beside a
batch of higher priority that is outside its window. Measured: the time from the daemon's start to the last
result of the open batch, the database's processor time meanwhile, and how long ``status`` and ``batches``
take.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo.database import Database

from benchmarks import campaign, common
from benchmarks.common import Report, Server, Spread
from benchmarks.processes import cpu_seconds, until
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess

CLOSED = "batch-20260101-0000c105"
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RoundTimes:
    """The times of one round, in seconds."""

    beside: int
    seconds: float
    #: From the first result to the last.
    under_way: float
    database_cpu: float
    status_ms: float
    batches_ms: float
    wrong_calls: int


def enter_closed(database: Database[Document], jobs: int) -> None:
    """Add a batch that is outside its window for two hours, with this many due jobs."""
    now = datetime.now(UTC)
    hours = {"start": f"{now + timedelta(hours=2):%H:%M}", "end": f"{now + timedelta(hours=3):%H:%M}"}
    database["batches"].insert_one(
        {
            "batch_id": CLOSED,
            "account_id": campaign.ACCOUNT,
            "name": "Closed",
            "is_active": True,
            # Its priority would put it first if it were open.
            "priority": 3,
            "call_settings": {"allowed_hours": hours, "timezone": "UTC"},
            "created_at": now,
        }
    )
    for first in range(0, jobs, campaign.PORTION):
        numbers = range(1_000_000 + first, 1_000_000 + min(jobs, first + campaign.PORTION))
        documents = [campaign.job(f"job-closed-{number}", number, now) for number in numbers]
        database["jobs"].insert_many([{**one, "batch_id": CLOSED} for one in documents], ordered=False)


def measure(server: Server, *, jobs: int, beside: int, workers: int) -> RoundTimes:
    """One round: load, run a daemon until the open batch is finished, check which calls were placed."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp")))
        simulator = stack.enter_context(
            SimulatorProcess(
                speed=30.0, odds={"agent_hangup": 1}, talk_seconds=[20, 30], concurrency_limit=workers
            )
        )
        database = stack.enter_context(campaign.database_of(server))
        campaign.load(database, jobs)
        if beside:
            enter_closed(database, beside)
        variables = campaign.environ_for(
            server.uri,
            database.name,
            simulator.base_url,
            place,
            RETELL_API_KEY=simulator.api_key,
            CALL_POLLING_INTERVAL="0.3",
            WORKER_COUNT=str(workers),
        )
        daemon = DaemonProcess(place, variables)
        results = database["call_results"]
        cpu, began = _cpu(server), time.monotonic()
        daemon.start()
        stack.callback(lambda: daemon.stop(at_once=True))
        until(lambda: results.count_documents({}) > 0, "the first result", seconds=300, every=0.05)
        first = time.monotonic()
        status, batches = _asked(daemon, "status"), _asked(daemon, "batches")
        until(lambda: results.count_documents({}) >= jobs, "the last result", seconds=900, every=0.1)
        over, used = time.monotonic(), _cpu(server) - cpu
        return RoundTimes(
            beside=beside,
            seconds=over - began,
            under_way=over - first,
            database_cpu=used,
            status_ms=status,
            batches_ms=batches,
            wrong_calls=results.count_documents({"batch_id": CLOSED}),
        )


def _cpu(server: Server) -> float:
    return 0.0 if server.pid is None else cpu_seconds(server.pid)


def _asked(daemon: DaemonProcess, command: str) -> float:
    """Milliseconds until the answer."""
    began = time.monotonic()
    daemon.ask(command)
    return (time.monotonic() - began) * 1000


def rows(rounds: list[RoundTimes]) -> list[list[object]]:
    """The table: one row a size."""
    table: list[list[object]] = []
    for beside in dict.fromkeys(one.beside for one in rounds):
        taken = [one for one in rounds if one.beside == beside]
        table.append(
            [
                "alone" if beside == 0 else f"beside {beside:,}",
                Spread.of([one.seconds for one in taken]),
                Spread.of([one.under_way for one in taken]),
                statistics.median(one.database_cpu for one in taken),
                statistics.median(one.status_ms for one in taken),
                statistics.median(one.batches_ms for one in taken),
                sum(one.wrong_calls for one in taken),
            ]
        )
    return table


def run(options: argparse.Namespace, report: Report) -> None:
    """All rounds, alternating."""
    taken = []
    with common.open_database(options) as server:
        report.server(server)
        for number in range(options.rounds):
            for beside in (0, options.beside):
                one = measure(server, jobs=options.jobs, beside=beside, workers=options.workers)
                taken.append(one)
                print(f"  round {number + 1}: beside {beside:,}: {one.seconds:.1f} s", flush=True)
    columns = ["open batch", "start to last result, s", "first to last, s", "database CPU s"]
    columns += ["status ms", "batches ms", "calls of the closed batch"]
    report.table(
        f"{options.jobs} jobs, {options.workers} workers: {options.rounds} rounds", columns, rows(taken)
    )
    report.keep(rounds=[asdict(one) for one in taken])


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--beside", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=6)
    options = parser.parse_args()
    if options.quick:
        options.jobs, options.beside, options.rounds = 20, 2_000, 1
    report = Report(
        "blocked_jobs", options, jobs=options.jobs, workers=options.workers, rounds=options.rounds
    )
    run(options, report)
    report.write()


if __name__ == "__main__":
    main()
