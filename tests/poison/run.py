"""One run: a server behind the proxy, a daemon, sound jobs and poison; then what must hold is checked."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from tests.poison.documents import (
    ACCOUNT,
    BATCH,
    SECOND_BATCH,
    Poison,
    draw,
    of_agents,
    sound_account,
    sound_job,
)
from tests.poison.wire import WireProxy
from tests.support.database import run_embedded, run_sibling

Document = dict[str, Any]

SERVERS: Final = {"embedded": run_embedded, "sibling": run_sibling}
DATABASE: Final = "poison"
WORKERS: Final = 6
#: ``doctor`` is asked so often, at this interval in seconds, until it has named every document.
_DOCTOR_TRIES: Final = 5
_DOCTOR_SECONDS: Final = 5.0
#: Events of the daemon's log that a document must never cause.
BAD_EVENTS: Final = ("worker.exited", "worker.crash", "worker.killed", "housekeeping.failed", "Traceback")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is run."""

    seed: int
    count: int
    server: str = "embedded"
    jobs: int = 60
    seconds: float = 120.0


@dataclass(kw_only=True)
class Report:
    """What went wrong; nothing, where the run is clean."""

    options: Options
    poison: list[Poison]
    #: Documents that the server itself refused.
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    directory: Path = Path()

    @property
    def is_clean(self) -> bool:
        """Whether everything held."""
        return not self.faults


def run(options: Options, keep: Path | None = None) -> Report:
    """Run once; the files of a clean run are deleted unless ``keep`` is given."""
    directory = keep or Path(tempfile.mkdtemp(prefix="poison-", dir="/tmp"))  # short: sockets are in it
    directory.mkdir(mode=0o700, exist_ok=True)
    poison = [*draw(options.seed, options.count), *of_agents(options.count)]
    report = Report(options=options, poison=poison, directory=directory)
    with (
        SERVERS[options.server](directory / "server") as uri,
        WireProxy(uri) as proxy,
        MongoClient[Document](uri) as client,
        SimulatorProcess(
            speed=60.0, odds={"agent_hangup": 1}, ring_seconds=[2, 4], talk_seconds=[10, 20]
        ) as simulator,
    ):
        _fill(report, uri, client)
        with _daemon(directory, proxy.uri, simulator) as daemon:
            report.seconds = _wait_for_sound_jobs(client, options)
            _check_calls(report, client, simulator)
            _check_daemon(report, daemon, client)
    if report.is_clean and keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return report


#: What the sound batches have chosen; jobs without a batch have the settings'.
AGENTS: Final[Mapping[str, Document]] = {
    BATCH: {"agent_id": "agent_a", "agent_version": 2, "from_number": "+12025550111"},
    SECOND_BATCH: {"agent_id": "agent_b", "from_number": "+12025550122", "language": "es-419"},
}


def sound_number(index: int) -> str:
    """The number of a sound job."""
    return f"+1202555{index:04d}"


def _fill(report: Report, uri: str, client: MongoClient[Document]) -> None:
    database = client[DATABASE]
    with closing(connect(DatabaseSettings(name=DATABASE), uri=uri)) as store:
        store.prepare()
        for batch in (BATCH, SECOND_BATCH):
            store.batches.create({"batch_id": batch, "call_settings": dict(AGENTS[batch])})
        database.accounts.insert_one(sound_account())
        # Poison first: it is longer due than the sound jobs.
        for poison in list(report.poison):
            try:
                database[poison.collection].insert_one(dict(poison.document))
            except (PyMongoError, BSONError, OverflowError, ValueError):
                report.poison.remove(poison)
                report.refused += 1
                continue
            if poison.job is not None:
                database.jobs.insert_one(dict(poison.job))
        places = [(ACCOUNT, BATCH), (ACCOUNT, SECOND_BATCH), (None, None)]
        store.jobs.insert_many(
            [
                sound_job(f"sound-{index:03d}", sound_number(index), *places[index % len(places)])
                for index in range(report.options.jobs)
            ]
        )


@contextmanager
def _daemon(directory: Path, uri: str, simulator: SimulatorProcess) -> Iterator[DaemonProcess]:
    daemon = DaemonProcess(
        directory,
        {
            "MONGO_URI": uri,
            "MONGO_DB": DATABASE,
            "RETELL_API_KEY": simulator.api_key,
            "RETELL_BASE_URL": simulator.base_url,
            "RETELL_AGENT_ID": "agent_test",
            "RETELL_FROM_NUMBER": "+12125550100",
            "RETELL_TIMEOUT_SECONDS": "5",
            "WORKER_COUNT": str(WORKERS),
            "LEASE_SECONDS": "15",
            "CALL_POLLING_INTERVAL": "0.2",
            "SPEECHAID_STATE_DIR": str(directory / "state"),
            "SPEECHAID_DEFAULT_COUNTRY": "US",
        },
    )
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop(at_once=True)


def _wait_for_sound_jobs(client: MongoClient[Document], options: Options) -> float:
    """Wait until they are done and housekeeping has come by twice; the seconds until they were done."""
    began = time.monotonic()
    left = {"job_id": {"$regex": "^sound-"}, "status": {"$ne": "done"}}
    while client[DATABASE].jobs.count_documents(left) and time.monotonic() - began < options.seconds:
        time.sleep(0.5)
    took = time.monotonic() - began
    time.sleep(max(0.0, 25.0 - took))
    return took


def _check_calls(report: Report, client: MongoClient[Document], simulator: SimulatorProcess) -> None:
    placed = simulator.placed_calls()
    calls = Counter(str(call["to_number"]) for call in placed)
    for call in placed:
        wanted = AGENTS.get(call["metadata"].get("batch_id"), {})
        if wanted and (call["agent_id"], call["from_number"]) != (wanted["agent_id"], wanted["from_number"]):
            report.faults.append(f"{call['call_id']}: with another agent or number than its batch's")
    statuses = {
        row["job_id"]: row["status"] for row in client[DATABASE].jobs.find({"job_id": {"$regex": "^sound-"}})
    }
    for index in range(report.options.jobs):
        made, status = calls.pop(sound_number(index), 0), statuses[f"sound-{index:03d}"]
        if made != 1 or status != "done":
            report.faults.append(f"sound job {index}: {made} calls, {status}")
    for poison in report.poison:
        made = calls.pop(poison.number, 0)
        if made > 1 or (made and poison.is_forbidding):
            report.faults.append(f"{made} calls: {_described(poison)}")
    if calls:
        report.faults.append(f"calls of unknown numbers: {calls}")


def _check_daemon(report: Report, daemon: DaemonProcess, client: MongoClient[Document]) -> None:
    # On a busy machine one look may not come to the end of all documents; then it says what it has.
    unnamed = report.poison
    for _ in range(_DOCTOR_TRIES):
        named = "\n".join(str(finding) for finding in daemon.ask("doctor")["findings"])
        unnamed = [
            poison
            for poison in unnamed
            if poison.is_named and poison.name not in named and _is_still_there(poison, client)
        ]
        if not unnamed:
            break
        time.sleep(_DOCTOR_SECONDS)
    report.faults += [f"not named by doctor: {_described(poison)}" for poison in unnamed]
    for command, arguments in _commands(report):
        try:
            daemon.ask(command, **arguments)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is a finding
            report.faults.append(f"{command} {arguments}: {exc}"[:300])
    status = daemon.ask("status")
    restarts = sum(sum(row["restarts"].values()) for row in status["workers"])
    if restarts:
        report.faults.append(f"{restarts} workers were restarted")
    bad = Counter(
        match[1]
        for line in daemon.log.read_text(encoding="utf-8", errors="replace").splitlines()
        if (match := re.search(f"({'|'.join(map(re.escape, BAD_EVENTS))})", line))
    )
    report.faults += [f"in the log: {event}, {times} times" for event, times in bad.items()]


def _is_still_there(poison: Poison, client: MongoClient[Document]) -> bool:
    """Whether the value still waits for its reader: not repaired by a write, and no job that is over."""
    found = client[DATABASE][poison.collection].find_one({"_id": poison.document["_id"]}) or {}
    if poison.collection == "jobs" and found.get("status") in {"done", "failed", "cancelled"}:
        return False
    return str(_value(found, poison.field)) == str(_value(poison.document, poison.field))


def _value(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _commands(report: Report) -> Iterator[tuple[str, Document]]:
    """What an operator asks afterwards; none of it may fail for a document."""
    for command in ("batches", "jobs", "forecast", "report", "promises", "logs", "imports", "alerts"):
        yield command, {}
    for what in ("jobs", "calls"):
        yield "export", {"what": what}
    for poison in report.poison:
        if poison.collection == "jobs" and poison.field != "job_id":
            yield "explain", {"job": poison.name}
            yield "job", {"job": poison.name}


def _described(poison: Poison) -> str:
    return f"{poison.collection} {poison.name}, {poison.field} is {poison.kind}"
