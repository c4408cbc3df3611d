"""How many jobs a second retention and ``forget`` erase: ``python -m benchmarks.erasing``.

Each job has ended, and has one call with a transcript. Retention erases in ticks of 0.2 seconds at most
(``maintenance.retention``), one a second in the daemon: the second figure is what a daemon erases in an hour.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.write_concern import WriteConcern

from benchmarks import common
from benchmarks.claim import environ_for
from speechaid.campaign.people import person_keys
from speechaid.clock import SystemClock
from speechaid.commands import forget
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation
from speechaid.maintenance.retention import Retention
from speechaid.settings import get_settings
from speechaid.store.connection import connect

Document = dict[str, Any]

SIZE = 100_000
#: Jobs inserted by one command.
PORTION = 1_000
#: Jobs of the person who is forgotten.
JOBS_OF_ONE = 200
DAYS = 90
NAME = "speechaid_bench_erasing"


def jobs_of(size: int) -> Iterator[tuple[Document, Document]]:
    """Jobs with the results of their calls; the last ones are of one person, and have ended lately."""
    now = datetime.now(UTC)
    for number in range(size + JOBS_OF_ONE):
        is_of_one = number >= size
        dni = "99999999-9" if is_of_one else f"{10_000_000 + number}-K"
        phone = f"+56{950_000_000 + (size if is_of_one else number)}"
        ended = now - timedelta(days=1 if is_of_one else DAYS + 10, seconds=number % 3600)
        job_id = f"job-{number}"
        contact = {"name": f"Persona {number}", "dni": dni, "phones": [phone]}
        job = {
            "job_id": job_id,
            "batch_id": "batch-1",
            "account_id": "acc-1",
            "status": "done",
            "contact": contact,
            "person_keys": person_keys(dni, [phone]),
            "payload": {"debt_amount": 1000, "currency": "CLP"},
            "created_at": ended,
            "finished_at": ended,
        }
        result = {
            "call_id": f"call_{number}",
            "job_id": job_id,
            "batch_id": "batch-1",
            "contact": {"name": contact["name"], "dni": dni, "phone_used": phone},
            "outcome": "answered",
            "created_at": ended,
            "call_data": {"transcript": "Agente: buenas tardes. " * 100, "duration_ms": 60_000},
        }
        yield job, result


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--size", type=int, metavar="JOBS", help="how many jobs retention erases")
    options = parser.parse_args()
    size = options.size or (1_000 if options.quick else SIZE)
    report = common.Report("erasing", options, size=size)
    with common.open_database(options) as server:
        report.server(server)
        with server.client() as client:
            client.drop_database(NAME)
            environ = environ_for(server.uri, NAME, "/nowhere") | {
                "SPEECHAID_SOCKET": "/nowhere/control.sock",
                "SPEECHAID_JOB_RETENTION_DAYS": str(DAYS),
            }
            settings = get_settings(environ, env_file=None)
            store = connect(settings.database)
            store.prepare()
            fast = client.get_database(NAME, write_concern=WriteConcern(1, j=False))
            portion: list[tuple[Document, Document]] = []
            for pair in jobs_of(size):
                portion.append(pair)
                if len(portion) == PORTION:
                    insert(fast, portion)
                    portion = []
            insert(fast, portion)

            retention = Retention(store, SystemClock())
            erased, longest = 0, 0.0
            began = time.perf_counter()
            while True:
                tick = time.perf_counter()
                retention.erase_portion(settings)
                longest = max(longest, time.perf_counter() - tick)
                erased += retention.last_counts.jobs
                if not retention.has_more:
                    break
            seconds = time.perf_counter() - began
            context = HandlerContext(store=store, settings=settings, in_loop=lambda call: call())
            forgotten, forget_seconds = timed_forget(context)
            rows = [
                ["retention", float(erased), seconds, erased / seconds, 0.2 * 3600 * erased / seconds],
                ["forget", float(forgotten), forget_seconds, forgotten / forget_seconds, None],
            ]
            columns = ("what", "jobs", "seconds", "jobs/s", "jobs an hour in a daemon")
            report.table(f"{size:,} jobs; longest tick {longest * 1000:.0f} ms", columns, rows)
            report.keep(erasing=[dict(zip(columns, row, strict=True)) for row in rows])
            store.close()
            client.drop_database(NAME)
    report.write()


def insert(database: Any, pairs: list[tuple[Document, Document]]) -> None:
    """Insert jobs and results."""
    if pairs:
        database.jobs.insert_many([job for job, _ in pairs], ordered=False)
        database.call_results.insert_many([result for _, result in pairs], ordered=False)


def timed_forget(context: HandlerContext) -> tuple[int, float]:
    """How many jobs of one person ``forget`` erases, and in how many seconds."""
    command = Invocation(
        args={"person": "99999999-9", "account": None, "reason": None},
        actor="benchmark",
        attachment=None,
        progress=lambda _item: None,
    )
    began = time.perf_counter()
    answer = forget.forget(context, command)
    while isinstance(answer, Continue):
        answer = answer.step(context)
    return int(answer["jobs"]), time.perf_counter() - began


if __name__ == "__main__":
    main()
