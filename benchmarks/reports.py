"""How long a report and a forecast take, and how much memory: ``python -m benchmarks.reports``.

As the daemon makes them: in a reader process, which is measured from its start to its answer. Half of the
jobs wait, the others were called up to three times over a week; results have a transcript of usual length.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.write_concern import WriteConcern

from benchmarks import common
from benchmarks.claim import settings_for
from benchmarks.processes import pss_mib
from speechaid.commands.interfaces import Invocation
from speechaid.commands.queries import Query
from speechaid.importing.process import ReaderPool
from speechaid.settings import Settings
from speechaid.store.connection import connect

Document = dict[str, Any]

SIZES = (100_000,)
PORTION = 2_000
#: Documents of one command.
LARGEST_INSERT = 500
NAME = "speechaid_bench_reports"
BATCHES = 20
#: Account, zone and currency.
ACCOUNTS = (("acc-cl", "America/Santiago", "CLP"), ("acc-mx", "America/Mexico_City", "MXN"))
OUTCOMES = ("answered", "no_answer", "no_answer", "busy", "voicemail")
TRANSCRIPT = "Agent: Buenas tardes, le llamo por un saldo pendiente. User: Sí, con él habla. " * 8
#: Each as it is typed.
QUERIES: Mapping[str, tuple[str, Document]] = {
    "report of everything": ("report", {}),
    "report of one batch": ("report", {"batch": "batch-000"}),
    "report of yesterday": ("report", {"day": "yesterday"}),
    "forecast of all jobs": ("forecast", {"limit": 50}),
}
REPORT_ARGS: Document = dict.fromkeys(
    ("batch", "account", "agent", "from_number", "number", "from", "to", "day"), None
) | {"format": "json"}
FORECAST_ARGS: Document = {"batch": None, "limit": 50}


def jobs_of(count: int, now: datetime, dice: random.Random) -> Iterator[tuple[Document, list[Document]]]:
    """Jobs with the results of their calls."""
    for number in range(count):
        account, _, currency = ACCOUNTS[number % BATCHES % len(ACCOUNTS)]
        phone = f"+569{50_000_000 + number}"
        common_fields = {"account_id": account, "batch_id": f"batch-{number % BATCHES:03}"}
        contact = {"name": f"Persona {number}", "dni": f"{10_000_000 + number}-K", "phones": [phone]}
        waits = number % 2 == 0
        job: Document = {
            **common_fields,
            "job_id": f"job-{number}",
            "status": "pending" if waits else "done",
            "contact": {**contact, "next_phone_index": 0},
            "payload": {"debt_amount": dice.randrange(10_000, 900_000), "currency": currency},
            "attempts": 0,
            "reserved_until": now + timedelta(minutes=dice.randrange(600)) if number % 4 == 0 else None,
            "created_at": now - timedelta(days=7),
        }
        results = []
        for attempt in range(dice.randrange(1, 4) if not waits or number % 4 == 0 else 0):
            placed = now - timedelta(seconds=dice.randrange(7 * 86_400))
            outcome = dice.choice(OUTCOMES)
            connected = outcome in {"answered", "voicemail"}
            results.append(
                {
                    **common_fields,
                    "call_id": f"call-{number}-{attempt}",
                    "dial_key": f"key-{number}-{attempt}",
                    "job_id": f"job-{number}",
                    "contact": {**{name: contact[name] for name in ("name", "dni")}, "phone_used": phone},
                    "outcome": outcome,
                    "connected": connected,
                    "duration_ms": dice.randrange(5_000, 180_000) if connected else 0,
                    "placed_at": placed,
                    "created_at": placed + timedelta(minutes=3),
                    "attempt": attempt,
                    "agent_id": "agent_1",
                    "from_number": "+15005550006",
                    "cost": 0.12,
                    "charged": {"minutes": 0.0, "credit": 25.5},
                    "call_data": {
                        "transcript": TRANSCRIPT,
                        "call_analysis": {"in_voicemail": False, "user_sentiment": "Neutral"},
                    },
                }
            )
        yield job, results


def load(database: Any, count: int, now: datetime) -> int:
    """Insert accounts, batches, jobs and results; returns the number of results."""
    database.accounts.insert_many(
        {
            "account_id": account,
            "plan_type": "credit_based",
            "credit_balance": 1e9,
            "cost_per_minute": 20,
            "cost_per_call_setup": 5,
            "timezone": zone,
            "currency": currency,
            "country": currency[:2],
        }
        for account, zone, currency in ACCOUNTS
    )
    hours = {"start": "09:00", "end": "18:00"}
    database.batches.insert_many(
        {
            "batch_id": f"batch-{number:03}",
            "account_id": ACCOUNTS[number % len(ACCOUNTS)][0],
            "call_settings": {"allowed_hours": hours, "days_of_week": [1, 2, 3, 4, 5, 6]},
        }
        for number in range(BATCHES)
    )
    jobs: list[Document] = []
    results: list[Document] = []
    total = 0
    for job, calls in jobs_of(count, now, random.Random(1)):
        jobs.append(job)
        results += calls
        if len(jobs) == PORTION:
            total += _insert(database, jobs, results)
    return total + _insert(database, jobs, results)


def _insert(database: Any, jobs: list[Document], results: list[Document]) -> int:
    count = len(results)
    for collection, documents in (("jobs", jobs), ("call_results", results)):
        for begin in range(0, count if documents is results else len(jobs), LARGEST_INSERT):
            database[collection].insert_many(documents[begin : begin + LARGEST_INSERT], ordered=False)
        documents.clear()
    return count


def measured(
    pool: ReaderPool, settings: Settings, name: str, args: Document
) -> tuple[float, float, Document]:
    """Seconds until the answer, the most memory in MiB, and the answer."""
    standard = REPORT_ARGS if name == "report" else FORECAST_ARGS
    command = Invocation(
        args={**standard, **args}, actor="a benchmark", attachment=None, progress=lambda _progress: None
    )
    began = time.monotonic()
    query, most = Query(pool, name, command, settings), 0.0
    while not query.poll():
        with pool.child_pids() as pids:
            most = max([most, *(pss_mib(pid) for pid in pids or ())])
        time.sleep(0.02)
    return time.monotonic() - began, most, query.take_result()


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", metavar="JOBS", help="numbers of jobs")
    options = parser.parse_args()
    sizes = options.sizes or ([5_000] if options.quick else SIZES)
    report = common.Report("reports", options, sizes=sizes)
    with common.open_database(options) as server, server.client() as client:
        report.server(server)
        for size in sizes:
            client.drop_database(NAME)
            settings = settings_for(server.uri, NAME)
            store = connect(settings.database)
            store.prepare()
            began = time.monotonic()
            fast = client.get_database(NAME, write_concern=WriteConcern(1, j=False))
            calls = load(fast, size, datetime.now(UTC))
            loaded = time.monotonic() - began
            rows = []
            for what, (name, args) in QUERIES.items():
                pool = ReaderPool()
                seconds, memory, answer = measured(pool, settings, name, args)
                pool.close()
                counted = answer["calls"]["total"] if name == "report" else answer["pending"]
                rows.append([what, seconds, memory, counted])
            title = f"{size:,} jobs, {calls:,} calls, loaded in {loaded:.0f} s"
            report.table(title, ("asked for", "s", "MiB", "calls or jobs"), rows)
            store.close()
            client.drop_database(NAME)
    report.write()


if __name__ == "__main__":
    main()
