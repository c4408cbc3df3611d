"""``speechaid demo``: a campaign from contacts file to report, then an audit of its records.

Only the phone network is simulated: the daemon runs as ``speechaid run`` with environment variables, on an
embedded database, and is controlled through its socket; the simulator takes the place of Retell.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

from speechaid.demo.audit import Audit, AuditPolicy, WantedAgent, audit, is_test
from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.progress import LAST_OUTCOMES, CallInProgress, CampaignView, Ended, progress
from speechaid.demo.report import Summary, as_text
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.demo.simulator.settings import TYPICAL_ODDS
from speechaid.demo.web import WebProcess
from speechaid.embedded.database import published_uri
from speechaid.errors import ExitStatus, FleetError
from speechaid.model.identity import Role
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document
from speechaid.model.test_calls import TESTS
from speechaid.protocol.translation import N_, say
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import Store, connect

#: The first user of the page.
_USER: Final = "demo"
#: Call seconds per second: a call of two minutes takes two seconds.
SPEED: Final = 60.0
WORKERS: Final = 8
POLICY: Final = AuditPolicy(max_attempts=3, retry_delay_seconds=1.5, no_answer_delay_seconds=2.5)
#: The batch names them itself; the daemon's settings name others.
WANTED: Final = WantedAgent(agent_id="agent_demo", from_number="+15005550006", version=0)
#: Seconds between two reads of the campaign, at least ``REFRESH_COST_FACTOR`` times the duration of a read.
REFRESH_SECONDS: Final = 0.4
REFRESH_COST_FACTOR: Final = 5.0
#: Time limit of the campaign: a fixed part, and a part per job.
TIMEOUT_SECONDS: Final = (240.0, 4.0)
#: Without do-not-call requests: every job ends as done or failed.
ODDS: Final = {reason: weight for reason, weight in TYPICAL_ODDS.items() if reason != "user_requested_dnc"}


@dataclass(kw_only=True)
class DemoEnvironment:
    """The running parts of the demo."""

    directory: Path
    simulator: SimulatorProcess
    daemon: DaemonProcess
    store: Store


def run(*, jobs: int, seed: int, as_json: bool, keep: bool, where: str | None) -> ExitStatus:
    """Run the campaign; OK only if every job is done or failed and all records agree.

    Raises:
        FleetError: a part did not start, or the campaign did not end in time.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    announce = _Announcer(silent=as_json)
    with _directory(where) as directory, _environment(directory, seed, announce) as environment:
        began = time.monotonic()
        batch_id = _import(environment, jobs, announce)
        _watch(environment, batch_id, jobs, silent=as_json)
        summary = _summarise(environment, batch_id, seed=seed, seconds=time.monotonic() - began)
        print(json.dumps(asdict(summary), indent=2) if as_json else as_text(summary), flush=True)
        if keep:
            _keep_running(environment, batch_id)
    return ExitStatus.OK if summary.ok else ExitStatus.REFUSED


class _Announcer:
    """Prints what happens, unless ``silent``."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def __call__(self, sentence: str) -> None:
        if not self._silent:
            print(sentence, flush=True)


@contextlib.contextmanager
def _directory(where: str | None) -> Iterator[Path]:
    """The given directory, which is kept; else a temporary one, removed at the end."""
    if where is not None:
        path = Path(where).expanduser().absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield path
        return
    path = Path(tempfile.mkdtemp(prefix="speechaid-demo-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _environment(directory: Path, seed: int, announce: _Announcer) -> Iterator[DemoEnvironment]:
    """Run simulator and daemon; stop both at the end in any case."""
    api_key = f"key_{secrets.token_hex(16)}"
    simulator = SimulatorProcess(api_key=api_key, speed=SPEED, seed=seed, odds=ODDS)
    with simulator:
        announce(say("Retell simulator on {address}: no real calls", address=simulator.base_url))
        daemon = DaemonProcess(directory, _variables(directory, simulator))
        at_once = True
        try:
            daemon.start()
            announce(
                say(
                    "speechaid run with {workers} workers on an embedded database in {directory}",
                    workers=WORKERS,
                    directory=directory,
                )
            )
            uri = published_uri(directory / "database")
            store = connect(DatabaseSettings(), uri=uri)
            with contextlib.closing(store):
                yield DemoEnvironment(directory=directory, simulator=simulator, daemon=daemon, store=store)
            at_once = False
        finally:
            daemon.stop(at_once=at_once)


def _variables(directory: Path, simulator: SimulatorProcess) -> dict[str, str]:
    """The daemon's settings: an operator's, with short delays."""
    return {
        "MONGO_URI": f"embedded:{directory / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_demo_flow",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": str(WORKERS),
        "LEASE_SECONDS": "20",
        "MAX_ATTEMPTS": str(POLICY.max_attempts),
        "RETRY_DELAY_MINUTES": str(POLICY.retry_delay_seconds / 60),
        "NO_ANSWER_RETRY_MINUTES": str(POLICY.no_answer_delay_seconds / 60),
        "CALL_POLLING_INTERVAL": "0.2",
        "POLL_TIMEOUT_SECONDS": "30",
        "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS": "1",
        "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS": "2",
        "SPEECHAID_ANALYSIS_FIRST_SECONDS": "1",
        "SPEECHAID_STATE_DIR": str(directory / "state"),
    }


def _import(environment: DemoEnvironment, jobs: int, announce: _Announcer) -> str:
    """Import the contacts file; return the new batch's id."""
    names = {"filename": "demo_contacts.csv", "name": "Campaña de muestra", "country": "CL"}
    agent = {"agent": WANTED.agent_id, "from_number": WANTED.from_number, "language": "es-419"}
    answer = environment.daemon.ask("import", contacts(jobs), **names, **agent, **IMPORT_OPTIONS)
    batch_id = str(answer["batch_id"])
    announce(
        say(
            "{contacts} contacts imported as {batch}; calling them",
            contacts=answer["imported"],
            batch=batch_id,
        )
    )
    return batch_id


def _watch(environment: DemoEnvironment, batch_id: str, jobs: int, *, silent: bool) -> None:
    """Show the campaign until every job has a final status."""
    fixed, each = TIMEOUT_SECONDS
    deadline = time.monotonic() + fixed + each * jobs
    with progress(silent=silent) as display:
        while True:
            began = time.monotonic()
            view = _read_view(environment, batch_id)
            display.show(view)
            if view.finished >= view.jobs > 0:
                return
            if not environment.daemon.is_alive():
                raise FleetError(say("the daemon exited during the campaign"))
            if time.monotonic() > deadline:
                raise FleetError(
                    say("the campaign did not end in time: {statuses}", statuses=str(view.by_status))
                )
            time.sleep(max(REFRESH_SECONDS, (time.monotonic() - began) * REFRESH_COST_FACTOR))


def _read_view(environment: DemoEnvironment, batch_id: str) -> CampaignView:
    """The state from the database's counts, the daemon's workers and the simulator's calls."""
    counts = environment.store.jobs.counts(batch_id)
    results = environment.store.results
    recorded = results.aggregate([{"$match": {"batch_id": batch_id}}, {"$count": "calls"}])
    last = results.aggregate(
        [
            {"$match": {"batch_id": batch_id}},
            {"$sort": {"created_at": -1}},
            {"$limit": LAST_OUTCOMES},
            {"$project": {"contact": 1, "outcome": 1, "duration_ms": 1}},
        ]
    )
    return CampaignView(
        jobs=sum(counts.values()),
        by_status=counts,
        calls_ended=int(recorded[0]["calls"]) if recorded else 0,
        in_progress=_in_progress(environment),
        last=[_ended(row) for row in last],
    )


def _in_progress(environment: DemoEnvironment) -> list[CallInProgress]:
    workers = {row["call"]: row["slot"] for row in environment.daemon.ask("status")["workers"] if row["call"]}
    now = time.time()
    return [
        CallInProgress(
            worker=workers[call["call_id"]],
            number=mask_phone(call["to_number"]),
            state=N_("talking") if call["call_status"] == "ongoing" else N_("ringing"),
            seconds=(now - (call["connected_at"] or call["placed_at"])) * SPEED,
        )
        for call in environment.simulator.placed_calls()
        if call["ended_at"] is None and call["call_id"] in workers
    ]


def _ended(row: Document) -> Ended:
    return Ended(
        number=mask_phone(row["contact"]["phone_used"]),
        name=str(row["contact"].get("name") or ""),
        outcome=row["outcome"],
        seconds=(row["duration_ms"] or 0) / 1000,
    )


def _summarise(environment: DemoEnvironment, batch_id: str, *, seed: int, seconds: float) -> Summary:
    """Read and audit all records after the campaign."""
    jobs = environment.store.jobs.select({"batch_id": batch_id}, status=None, limit=0)
    recorded = environment.store.results.aggregate([{"$match": {"batch_id": {"$in": [batch_id, TESTS]}}}])
    all_calls = environment.simulator.placed_calls()
    found = audit(
        placed_calls=all_calls,
        overlaps=environment.simulator.overlaps(),
        jobs=jobs,
        results=recorded,
        policy=POLICY,
        registered=[one.number for one in environment.store.test_calls.find_numbers()],
        wanted={batch_id: WANTED},
    )
    # The counts are those of the campaign.
    placed_calls = [call for call in all_calls if not is_test(call)]
    results = [result for result in recorded if result["batch_id"] != TESTS]
    by_status = Counter(str(job.status) for job in jobs)
    return Summary(
        ok=_all_ended(jobs) and found.agrees and not found.unjustified,
        seed=seed,
        seconds=round(seconds, 1),
        jobs=len(jobs),
        jobs_by_status=dict(sorted(by_status.items())),
        calls_by_outcome=dict(Counter(str(result["outcome"]) for result in results).most_common()),
        calls_in_ledger=len(placed_calls),
        calls_recorded=len(results),
        ledger_and_results_agree=found.agrees,
        unjustified_dials=len(found.unjustified),
        minutes_talked=round(sum(result["duration_ms"] or 0 for result in results) / 60_000, 1),
        cost=round(sum(result["cost"] for result in results), 2),
        faults=_faults(found),
    )


def _all_ended(jobs: list[Job]) -> bool:
    return bool(jobs) and all(str(job.status) in {"done", "failed"} for job in jobs)


def _faults(found: Audit) -> list[str]:
    return [f"unjustified dial: {text}" for text in found.unjustified] + [
        f"records differ: {text}" for text in found.differences
    ]


def _keep_running(environment: DemoEnvironment, batch_id: str) -> None:
    """Keep everything running until Ctrl-C, or until the daemon is shut down."""
    sample = Path(__file__).parents[1] / "data" / "demo_contacts.csv"
    password = secrets.token_urlsafe(12)
    environment.store.identities.create_user(
        _USER, role=Role.ADMIN, account_id=None, password=password, by="demo"
    )
    with WebProcess(environment.directory, environment.daemon.socket) as web:
        print(
            f"""
{say("Everything keeps running. The page for campaigns, in a browser on this machine:")}

  http://{web.address}/
  {say("name: {name}", name=_USER)}
  {say("password: {password}", password=password)}

{say("In another terminal:")}

  export SPEECHAID_SOCKET={environment.daemon.socket}
  export PATH={Path(sys.executable).parent}:$PATH
  speechctl status
  speechctl report --batch {batch_id}
  speechctl jobs --batch {batch_id} --status failed
  speechctl import {sample} --name again --accept unassigned --duplicates keep --hours 00:00-24:00 --start
  curl http://{environment.daemon.ask("status")["metrics"]}/metrics

{say("The daemon's log is {log}. Ctrl-C here stops everything.", log=environment.daemon.log)}""",
            file=sys.stderr,
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            while environment.daemon.is_alive():
                time.sleep(0.5)


def _interrupt(*_: object) -> NoReturn:
    """SIGTERM and SIGHUP end the demo like Ctrl-C: through every ``finally``."""
    raise KeyboardInterrupt
