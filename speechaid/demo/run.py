"""``speechaid demo``: a campaign from contacts file to report, then the books compared.

All is real but the phone network: the daemon runs as ``speechaid run`` under environment variables, on an
embedded database, commanded through its control socket; Retell is the simulator.
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

from speechaid.demo.audit import Audit, AuditPolicy, audit
from speechaid.demo.contacts import contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.progress import LAST_OUTCOMES, CallInProgress, CampaignView, Ended, progress
from speechaid.demo.report import Summary, as_text
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.demo.simulator.settings import LIVELY
from speechaid.embedded.database import published_uri
from speechaid.errors import ExitStatus, FleetError
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import Store, connect

#: So many call seconds pass in one second: a call of two minutes takes two seconds.
SPEED: Final = 60.0
WORKERS: Final = 8
POLICY: Final = AuditPolicy(max_attempts=3, retry_delay_seconds=1.5, no_answer_delay_seconds=2.5)
#: Between two looks at the campaign, or so many times what a look took, whichever is longer.
LOOK_SECONDS: Final = 0.4
LOOK_COST_FACTOR: Final = 5.0
#: The campaign has failed when it takes longer: for the start, and for each job.
PATIENCE_SECONDS: Final = (240.0, 4.0)
#: Nobody asks not to be called again: each job shall end as done or failed.
ODDS: Final = {reason: weight for reason, weight in LIVELY.items() if reason != "user_requested_dnc"}


@dataclass(kw_only=True)
class Stage:
    """What the demo runs on, once it is up."""

    directory: Path
    simulator: SimulatorProcess
    daemon: DaemonProcess
    store: Store


def run(*, jobs: int, seed: int, as_json: bool, keep: bool, where: str | None) -> ExitStatus:
    """Run the campaign; success only if every job is done or failed and all books agree.

    Raises:
        FleetError: a part did not start, or the campaign did not end in time.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    say = _Teller(silent=as_json)
    with _directory(where) as directory, _stage(directory, seed, say) as stage:
        began = time.monotonic()
        batch_id = _import(stage, jobs, say)
        _watch(stage, batch_id, jobs, silent=as_json)
        summary = _summarise(stage, batch_id, seed=seed, seconds=time.monotonic() - began)
        print(json.dumps(asdict(summary), indent=2) if as_json else as_text(summary), flush=True)
        if keep:
            _stay(stage, batch_id)
    return ExitStatus.OK if summary.ok else ExitStatus.REFUSED


class _Teller:
    """Says what goes on, to people only."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def __call__(self, sentence: str) -> None:
        if not self._silent:
            print(sentence, flush=True)


@contextlib.contextmanager
def _directory(where: str | None) -> Iterator[Path]:
    """The directory named, kept; else a temporary one, removed at the end."""
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
def _stage(directory: Path, seed: int, say: _Teller) -> Iterator[Stage]:
    """Simulator and daemon, up; both gone afterwards, whatever happened."""
    api_key = f"key_{secrets.token_hex(16)}"
    simulator = SimulatorProcess(api_key=api_key, speed=SPEED, seed=seed, odds=ODDS)
    with simulator:
        say(f"Retell simulator on {simulator.base_url}: nobody is called")
        daemon = DaemonProcess(directory, _variables(directory, simulator))
        at_once = True
        try:
            daemon.start()
            say(f"speechaid run with {WORKERS} workers on an embedded database in {directory}")
            uri = published_uri(directory / "database")
            store = connect(DatabaseSettings(), uri=uri)
            with contextlib.closing(store):
                yield Stage(directory=directory, simulator=simulator, daemon=daemon, store=store)
            at_once = False
        finally:
            daemon.stop(at_once=at_once)


def _variables(directory: Path, simulator: SimulatorProcess) -> dict[str, str]:
    """The daemon's settings: an operator's, with everything that waits cut short."""
    return {
        "MONGO_URI": f"embedded:{directory / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_demo",
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


def _import(stage: Stage, jobs: int, say: _Teller) -> str:
    """Load the contacts file; the new batch's id."""
    answer = stage.daemon.ask(
        "import", contacts(jobs), filename="demo_contacts.csv", name="Campaña de muestra", country="CL"
    )
    batch_id = str(answer["batch_id"])
    say(f"{answer['imported']} contacts imported as {batch_id}: calling")
    return batch_id


def _watch(stage: Stage, batch_id: str, jobs: int, *, silent: bool) -> None:
    """Show the campaign until nothing is left to be done."""
    fixed, each = PATIENCE_SECONDS
    deadline = time.monotonic() + fixed + each * jobs
    with progress(silent=silent) as shown:
        while True:
            began = time.monotonic()
            picture = _look(stage, batch_id)
            shown.show(picture)
            if picture.finished >= picture.jobs > 0:
                return
            if not stage.daemon.is_alive():
                raise FleetError("the daemon ended in the middle of the campaign")
            if time.monotonic() > deadline:
                raise FleetError(f"the campaign did not end in time: {picture.by_status}")
            time.sleep(max(LOOK_SECONDS, (time.monotonic() - began) * LOOK_COST_FACTOR))


def _look(stage: Stage, batch_id: str) -> CampaignView:
    """What the database counts, what the daemon says of its workers, and what the simulator says of calls."""
    counts = stage.store.jobs.counts(batch_id)
    results = stage.store.results
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
        in_progress=_in_progress(stage),
        last=[_ended(row) for row in last],
    )


def _in_progress(stage: Stage) -> list[CallInProgress]:
    workers = {row["call"]: row["slot"] for row in stage.daemon.ask("status")["workers"] if row["call"]}
    now = time.time()
    return [
        CallInProgress(
            worker=workers[call["call_id"]],
            number=mask_phone(call["to_number"]),
            state="talking" if call["call_status"] == "ongoing" else "ringing",
            seconds=(now - (call["connected_at"] or call["placed_at"])) * SPEED,
        )
        for call in stage.simulator.ledger()
        if call["ended_at"] is None and call["call_id"] in workers
    ]


def _ended(row: Document) -> Ended:
    return Ended(
        number=mask_phone(row["contact"]["phone_used"]),
        name=str(row["contact"].get("name") or ""),
        outcome=row["outcome"],
        seconds=(row["duration_ms"] or 0) / 1000,
    )


def _summarise(stage: Stage, batch_id: str, *, seed: int, seconds: float) -> Summary:
    """Read all three books, now that nothing moves any more."""
    jobs = stage.store.jobs.select(batch_id=batch_id, status=None, limit=0)
    results = stage.store.results.aggregate([{"$match": {"batch_id": batch_id}}])
    ledger = stage.simulator.ledger()
    found = audit(
        ledger=ledger, overlaps=stage.simulator.overlaps(), jobs=jobs, results=results, policy=POLICY
    )
    by_status = Counter(str(job.status) for job in jobs)
    return Summary(
        ok=_all_ended(jobs) and found.agrees and not found.unjustified,
        seed=seed,
        seconds=round(seconds, 1),
        jobs=len(jobs),
        jobs_by_status=dict(sorted(by_status.items())),
        calls_by_outcome=dict(Counter(str(result["outcome"]) for result in results).most_common()),
        calls_in_ledger=len(ledger),
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
        f"books differ: {text}" for text in found.differences
    ]


def _stay(stage: Stage, batch_id: str) -> None:
    """Leave all running until Ctrl-C, or until somebody shuts the daemon down."""
    sample = Path(__file__).parents[1] / "data" / "demo_contacts.csv"
    print(
        f"""
Everything runs on. In another terminal:

  export SPEECHAID_SOCKET={stage.daemon.socket}
  export PATH={Path(sys.executable).parent}:$PATH
  speechctl status
  speechctl report --batch {batch_id}
  speechctl jobs --batch {batch_id} --status failed
  speechctl import {sample} --name again
  curl http://{stage.daemon.ask("status")["metrics"]}/metrics

The daemon's log is {stage.daemon.log}. Ctrl-C here stops it all.""",
        file=sys.stderr,
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while stage.daemon.is_alive():
            time.sleep(0.5)


def _interrupt(*_: object) -> NoReturn:
    """SIGTERM ends the demo the way Ctrl-C does: through every ``finally``."""
    raise KeyboardInterrupt
