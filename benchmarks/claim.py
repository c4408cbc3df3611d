"""What a claim and a status cost with many jobs and batches: ``python -m benchmarks.claim``.

For each number of jobs and of batches: the first claim of a worker after a call (it reads the due batches
again), the claims after it in the same second, the query for lapsed leases, the daemon's count behind
``status``, and ``status`` itself. Every command to the server is recorded, and the server's ``explain`` gives
the documents and keys that it examined. Where ``explain`` is wrong about a command with a known answer it is
not used: then there are only times, and what was returned. MongoDB stops at a ``limit``; compatible servers
may read all that matches, which the times show.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import monitoring
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from benchmarks import common
from benchmarks.common import Server
from speechaid.clock import Clock, SystemClock
from speechaid.demo.daemon import DaemonProcess
from speechaid.dialer import recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.retell.client import open_retell
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import connect
from tests.support.stage import QuietLink

Document = dict[str, Any]

#: Commands of a connection, not of a query.
OTHERS = frozenset({"hello", "ismaster", "isMaster", "ping", "saslStart", "saslContinue", "endSessions"})
#: Fields that the driver adds to a command and ``explain`` does not accept.
ENVELOPE = frozenset(
    {"lsid", "$db", "$clusterTime", "$readPreference", "readConcern", "writeConcern", "txnNumber"}
)
COLD_CLAIMS = 5
#: At most this many commands of one kind are explained.
EXPLAINED = 8
#: After a call of this length, in seconds, all that a worker has cached is outdated.
CALL_SECONDS = 300.0
#: At most what one query for candidates returns.
WARM_CLAIMS = 30
STATUS_REQUESTS = 200
PORTION = 5_000
#: Sizes that the embedded and the fast server load within minutes.
SIZES = {"embedded": [1_000, 10_000], "fast": [1_000, 20_000]}
BATCHES = {"embedded": [1, 100, 1_000], "fast": [1, 100, 1_000]}


# -- recorded commands -------------------------------------------------------------------------------------


@dataclass
class Sent:
    """One command as it was sent."""

    command: Document
    milliseconds: float = 0.0
    returned: int = 0

    @property
    def name(self) -> str:
        verb, collection = next(iter(self.command.items()))
        return f"{verb} {collection} {{{', '.join(sorted(_filtered_by(self.command)))}}}"


class CommandRecorder(monitoring.CommandListener):
    """Records every command of this process while it is switched on."""

    def __init__(self) -> None:
        self.on = False
        self.sent: list[Sent] = []
        self._open: dict[int, Sent] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.on and event.command_name not in OTHERS:
            self._open[event.request_id] = Sent(_plain(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        sent = self._open.pop(event.request_id, None)
        if sent is not None:
            sent.milliseconds = event.duration_micros / 1000
            cursor = event.reply.get("cursor", {})
            sent.returned = len(cursor.get("firstBatch", cursor.get("nextBatch", ()))) or event.reply.get(
                "n", 0
            )
            self.sent.append(sent)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._open.pop(event.request_id, None)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Sent]]:
        self.sent, self.on = [], True
        try:
            yield self.sent
        finally:
            self.on = False


def _plain(command: Mapping[str, Any]) -> Document:
    return {name: value for name, value in command.items() if name not in ENVELOPE}


def _filtered_by(command: Document) -> set[str]:
    """The fields that a command asks for."""
    if "filter" in command:
        return set(command["filter"])
    if "updates" in command:
        return set(command["updates"][0]["q"])
    stages = command.get("pipeline", [])
    return set(stages[0]["$match"]) if stages and "$match" in stages[0] else set()


# -- explain -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examined:
    documents: int
    keys: int


def examined(database: Database[Document], command: Document) -> Examined | None:
    """What the server examines for a command; None where it does not report it."""
    verb = next(iter(command))
    if verb not in {"find", "aggregate", "update", "delete", "count", "distinct"}:
        return None
    try:
        answer = database.command({"explain": command, "verbosity": "executionStats"})
    except PyMongoError:
        return None
    found = list(_statistics(answer))
    return Examined(sum(one.documents for one in found), sum(one.keys for one in found)) if found else None


def _statistics(answer: object) -> Iterator[Examined]:
    if isinstance(answer, Mapping):
        if "totalDocsExamined" in answer:
            yield Examined(int(answer["totalDocsExamined"]), int(answer.get("totalKeysExamined", 0)))
            return
        # A server that reports a pipeline twice reports the same: the stages are used.
        for part in [answer["stages"]] if "stages" in answer else answer.values():
            yield from _statistics(part)
    elif isinstance(answer, list):
        for part in answer:
            yield from _statistics(part)


def believed(database: Database[Document]) -> frozenset[str]:
    """The kinds of commands whose ``explain`` is right for a query with a known answer."""
    table = database["explain_probe"]
    table.drop()
    table.insert_many(
        [{"_id": number, "a": number // 100, "b": number if number >= 100 else None} for number in range(200)]
    )
    table.create_index([("a", 1), ("b", 1)])
    of_two = {"$match": {"a": 1, "b": {"$in": [103, 104]}}}
    known: list[Document] = [
        {"find": table.name, "filter": {"a": 1, "b": {"$gt": 197}}},
        {"find": table.name, "filter": {"_id": 7, "a": 0, "b": None}},
        {"distinct": table.name, "key": "a"},
        {"update": table.name, "updates": [{"q": {"_id": 7, "a": 0, "b": None}, "u": {"$set": {"c": 1}}}]},
        {"aggregate": table.name, "pipeline": [of_two, {"$group": {"_id": "$b"}}], "cursor": {}},
    ]
    reported = {_kind(command): examined(database, command) for command in known}
    table.drop()
    return frozenset(verb for verb, one in reported.items() if one is not None and one.documents <= 2)


def stops_at_limit(database: Database[Document]) -> bool | None:
    """Whether the server stops reading at a limit; None where it does not report it."""
    table = database["explain_probe"]
    table.insert_many([{"_id": number, "a": 1, "b": number} for number in range(100)])
    table.create_index([("a", 1), ("b", 1)])
    reported = examined(database, {"find": table.name, "filter": {"a": 1}, "sort": {"b": 1}, "limit": 1})
    table.drop()
    return None if reported is None else reported.documents <= 1


def _kind(command: Document) -> str:
    """The verb, and whether it selects one document by ``_id``, which some servers explain as a scan."""
    verb = str(next(iter(command)))
    return f"{verb} by _id" if "_id" in _filtered_by(command) else verb


# -- the data ------------------------------------------------------------------------------------------------


def load(database: Database[Document], jobs: int, batches: int) -> None:
    """Half of the jobs done, half pending and due, spread over the batches, all of which may be called."""
    fast = database.client.get_database(database.name, write_concern=WriteConcern(1, j=False))
    now = datetime.now(UTC)
    accounts = max(1, batches // 10)
    fast.accounts.insert_many(
        [
            {"account_id": f"account-{n}", "status": "active", "plan_type": "unlimited", "timezone": "UTC"}
            for n in range(accounts)
        ]
    )
    for begin in range(0, batches, PORTION):
        fast.batches.insert_many(
            [_batch(n, accounts, now) for n in range(begin, min(batches, begin + PORTION))], ordered=False
        )
    for begin in range(0, jobs, PORTION):
        fast.jobs.insert_many(
            [_job(n, batches, accounts, now) for n in range(begin, min(jobs, begin + PORTION))], ordered=False
        )
    # The stored global hold: the daemon that is asked for its status dials nothing.
    fast.speechaid_holds.insert_one({"_id": "fleet", "on": True, "by": "benchmark"})


def _batch(number: int, accounts: int, now: datetime) -> Document:
    return {
        "batch_id": f"batch-20260101-{number:08x}",
        "account_id": f"account-{number % accounts}",
        "name": f"Campaign {number}",
        "is_active": True,
        "priority": 1,
        "call_settings": {"max_attempts": 3, "timezone": "UTC"},
        "total_jobs": 0,
        "created_at": now,
    }


def _job(number: int, batches: int, accounts: int, now: datetime) -> Document:
    batch = number // 2 % batches
    waits = number % 2 == 0
    return {
        "job_id": f"job-{number:08x}",
        "batch_id": f"batch-20260101-{batch:08x}",
        "account_id": f"account-{batch % accounts}",
        "status": "pending" if waits else "done",
        # Half of the pending jobs never had a time, half are due for a retry.
        "reserved_until": now - timedelta(seconds=number % 86_400) if number % 4 == 0 else None,
        "revision": 1,
        "attempts": 0,
        "contact": {"name": f"Person {number}", "phones": [f"+1555{number:07d}"], "next_phone_index": 0},
        "payload": {"company_name": "Acme", "debt_amount": number},
        "created_at": now,
        "updated_at": now,
    }


# -- the measuring -------------------------------------------------------------------------------------------


@dataclass
class Part:
    """One part of the work: how often it ran, how long it took, and what it sent."""

    name: str
    taken: list[float] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)


class CallClock(SystemClock):
    """The system clock, moved forward by the calls that a worker would have made."""

    ahead = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.ahead


class Case:
    """One number of jobs and of batches."""

    def __init__(self, server: Server, recorder: CommandRecorder, jobs: int, batches: int) -> None:
        self.server = server
        self.recorder = recorder
        self.jobs = jobs
        self.batches = batches
        self.name = f"claim_{jobs}_{batches}"
        self.client = server.client()
        self.database = self.client[self.name]
        self.clock = CallClock()
        self.trusted: frozenset[str] = frozenset()
        self.loading_seconds = 0.0

    def measure(self) -> list[Document]:
        self.client.drop_database(self.name)
        settings = settings_for(self.server.uri, self.name)
        context = kit_for(settings, self.clock)
        context.store.prepare()
        try:
            began = time.perf_counter()
            load(self.database, self.jobs, self.batches)
            self.loading_seconds = time.perf_counter() - began
            self.trusted = believed(self.database)
            rows = [row for part in self._parts(context) for row in self._rows(part)]
            rows.append(self._status())
            for row in rows:
                row |= {"jobs": self.jobs, "batches": self.batches}
            return rows
        finally:
            context.store.close()
            self.client.drop_database(self.name)
            self.client.close()

    def _parts(self, context: WorkerContext) -> list[Part]:
        cold, warm = Part("claim, first after a call"), Part("claim, in the same second")
        lapsed, counts = Part("query for lapsed leases"), Part("count behind status")
        self.database.speechaid_holds.delete_many({})
        turns = JobClaimer(context)
        turns.claim()
        for _ in range(COLD_CLAIMS):
            self.clock.ahead += CALL_SECONDS
            self._do(cold, turns.claim)
        for _ in range(min(WARM_CLAIMS, self.jobs // 4)):
            self._do(warm, turns.claim)
        self._do(lapsed, lambda: recovery.recover_one(context))
        self._do(counts, lambda: Housekeeper(context.store).tick(context.settings, context.clock.boottime()))
        self.database.speechaid_holds.insert_one({"_id": "fleet", "on": True, "by": "benchmark"})
        return [cold, warm, lapsed, counts]

    def _do(self, part: Part, operation: Callable[[], object]) -> None:
        with self.recorder.recording() as sent:
            began = time.perf_counter()
            operation()
            part.taken.append((time.perf_counter() - began) * 1000)
        part.sent += sent

    def _rows(self, part: Part) -> list[Document]:
        """The part's row, and one for each kind of query below it."""
        kinds: defaultdict[str, list[Sent]] = defaultdict(list)
        for sent in part.sent:
            kinds[sent.name].append(sent)
        times = len(part.taken)
        rows = []
        for name, found in kinds.items():
            reported = self._examined([sent.command for sent in found])
            rows.append(
                {
                    "what": f"  {name}",
                    "ms": statistics.median(sent.milliseconds for sent in found),
                    "each": len(found) / times,
                    "returned": statistics.median(sent.returned for sent in found),
                    "documents": None if reported is None else reported[0],
                    "keys": None if reported is None else reported[1],
                }
            )
        whole = {
            "what": part.name,
            "ms": statistics.median(part.taken),
            "each": len(part.sent) / times,
            "returned": _sum(rows, "returned"),
        }
        for column in ("documents", "keys"):
            whole[column] = _sum([row for row in rows if row[column] is not None], column)
        return [whole, *rows]

    def _examined(self, commands: list[Document]) -> tuple[float, float] | None:
        """Documents and keys of one such command: the mean of the latest few."""
        reported = [
            examined(self.database, command) if _kind(command) in self.trusted else None
            for command in commands[-EXPLAINED:]
        ]
        known = [one for one in reported if one is not None]
        if len(known) < len(reported):
            return None
        return statistics.mean(one.documents for one in known), statistics.mean(one.keys for one in known)

    def _status(self) -> Document:
        """``status`` of a whole daemon that has counted these jobs."""
        with tempfile.TemporaryDirectory(prefix="sa-", dir="/tmp") as place:
            daemon = DaemonProcess(Path(place), environ_for(self.server.uri, self.name, place))
            daemon.start()
            try:
                deadline = time.monotonic() + 120
                while not (answer := daemon.ask("status")).get("counted_at"):
                    assert time.monotonic() < deadline, "the daemon counted nothing"
                    time.sleep(0.2)
                taken = []
                for _ in range(STATUS_REQUESTS):
                    began = time.perf_counter()
                    answer = daemon.ask("status")
                    taken.append((time.perf_counter() - began) * 1000)
            finally:
                daemon.stop(at_once=True)
        return {
            "what": f"status, round trip ({len(json.dumps(answer)) // 1024} KiB)",
            "ms": statistics.median(taken),
            "each": 0,
            "documents": 0,
            "keys": 0,
            "returned": 0,
        }


def _sum(rows: list[Document], column: str) -> float:
    return float(sum(row[column] * row["each"] for row in rows))


def environ_for(uri: str, database: str, place: str) -> dict[str, str]:
    return {
        "MONGO_URI": uri,
        "MONGO_DB": database,
        # Nothing listens there, so no call can be placed.
        "RETELL_BASE_URL": "http://127.0.0.1:9",
        "RETELL_API_KEY": "key_of_nobody",
        "RETELL_AGENT_ID": "agent_benchmark",
        "RETELL_FROM_NUMBER": "+15005550006",
        "WORKER_COUNT": "1",
        "SPEECHAID_STATE_DIR": f"{place}/state",
    }


def settings_for(uri: str, database: str) -> Settings:
    environ = environ_for(uri, database, "/nowhere") | {"SPEECHAID_SOCKET": "/nowhere/control.sock"}
    return get_settings(environ, env_file=None)


def kit_for(settings: Settings, clock: Clock) -> WorkerContext:
    """A worker context in this process."""
    return WorkerContext(
        store=connect(settings.database),
        retell=open_retell(settings),
        settings=settings,
        link=QuietLink(),
        worker_id="worker-1@benchmark:1",
        wait=time.sleep,
        clock=clock,
        random=random.Random(1),
    )


COLUMNS = ("what", "ms", "queries", "documents", "keys", "returned")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", metavar="JOBS", help="numbers of jobs")
    parser.add_argument("--batches", type=int, nargs="+", metavar="N", help="numbers of batches")
    options = parser.parse_args()
    kind = "fast" if options.mongo else options.server
    sizes = options.sizes or SIZES[kind][: 1 if options.quick else None]
    numbers = options.batches or BATCHES[kind][: 2 if options.quick else None]
    recorder = CommandRecorder()
    monitoring.register(recorder)
    report = common.Report("claim", options, sizes=sizes, batches=numbers)
    whole: list[Document] = []
    with common.open_database(options) as server:
        report.server(server)
        with server.client() as client:
            probe = client["speechaid_bench_probe"]
            report.settings(explain_believed=sorted(believed(probe)), stops_at_limit=stops_at_limit(probe))
            client.drop_database(probe)
        for jobs, batches in itertools.product(sizes, numbers):
            case = Case(server, recorder, jobs, batches)
            rows = case.measure()
            whole += [row for row in rows if not row["what"].startswith(" ")]
            title = f"{jobs:,} jobs in {batches:,} batches, loaded in {case.loading_seconds:.0f} s"
            report.table(title, COLUMNS, [[row["what"], *_figures(row)] for row in rows])
            report.keep(**{case.name: rows})
    columns = ("what", "jobs", "batches", *COLUMNS[1:])
    whole.sort(key=lambda row: str(row["what"]))
    shown = [[row["what"], row["jobs"], row["batches"], *_figures(row)] for row in whole]
    report.table("all of it", columns, shown)
    report.note(
        "queries: commands each time; documents and keys: examined, all queries together, as the server's "
        "explain says; a dash where it cannot be believed, mostly one document by its _id, is not in the sum"
    )
    report.write()


def _figures(row: Document) -> list[float | None]:
    names = ("ms", "each", "documents", "keys", "returned")
    return [None if row[name] is None else float(row[name]) for name in names]


if __name__ == "__main__":
    main()
