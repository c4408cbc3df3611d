"""A stage for one worker: a real database on the wire, a Retell simulator, and a kit without a process.

The kit's rests turn the simulator's clock forward instead of waiting, so that a call of minutes takes a
moment.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from speechaid.clock import SystemClock
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import HandOver, WorkerContext
from speechaid.errors import LeaseLost
from speechaid.model.job import Job
from speechaid.model.states import WorkerState
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store, connect
from speechaid.worker import open_retell

Document = dict[str, Any]
API_KEY = "key_of_the_stage"
#: Rounds without anything to do, after which a worker would find nothing in the next one either.
ROUNDS_IN_VAIN = 3


def noon_zone() -> str:
    """A time zone in which it is about noon: what is counted by the day is all of one day there."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


class QuietLink:
    """A seat without a supervisor: keeps what it is told, orders nothing unless a test does."""

    def __init__(self) -> None:
        self.hand_over_requested = False
        self.may_claim = True
        self.steps: list[str] = []
        #: The call that the worker said it has in hand, by the latest report.
        self.call: str | None = None
        self.counts: Counter[str] = Counter()
        self.told: set[str] = set()
        self.finished = 0

    def report_step(
        self,
        state: WorkerState,
        step: str,
        *,
        within_seconds: float,
        job: str | None = None,
        call: str | None = None,
    ) -> None:
        assert within_seconds >= 0
        self.steps.append(f"{state}: {step}")
        self.call = call

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        self.counts[name + "".join(f" {key}={word}" for key, word in sorted(labels.items()))] += int(value)

    def count_once(self, once: str, increments: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        if once not in self.told:
            self.told.add(once)
            for name, labels, value in increments:
                self.count(name, value, **labels)

    def emit(self, name: str, /, **fields: Any) -> None:
        self.counts[f"event {name}"] += 1

    def call_finished(self) -> None:
        self.finished += 1


class Standing(SystemClock):
    """A boot-time clock that stands still: nothing that is due in a second ever comes."""

    def __init__(self, at: float) -> None:
        self._at = at

    def boottime(self) -> float:
        return self._at


class Stage:
    """What a test of a job's life works with."""

    def __init__(self, database: Database[Document], uri: str, simulator: SimulatorProcess) -> None:
        self.database = database
        self.simulator = simulator
        self.uri = uri
        self.settings = settings_for(database.name, uri, simulator)
        self.store = connect(self.settings.database)
        self.store.prepare()
        self.kits: list[WorkerContext] = []
        self._forgotten = 0
        #: Called at each rest of any kit, before the clock is turned: where a test lets things happen.
        self.on_rest: Callable[[], None] = lambda: None

    def context(self, name: str = "worker-1@host-a:1", **changes: Any) -> WorkerContext:
        """A worker's things; ``changes`` are settings by variable."""
        settings = settings_for(self.database.name, self.uri, self.simulator, **changes)
        context = WorkerContext(
            store=connect(settings.database),
            retell=open_retell(settings),
            settings=settings,
            link=QuietLink(),
            worker_id=name,
            wait=self._rest,
            random=random.Random(len(self.kits)),
        )
        self.kits.append(context)
        return context

    def _rest(self, seconds: float) -> None:
        self.on_rest()
        self.simulator.advance(seconds)

    # -- the data ------------------------------------------------------------------------------------------

    def add_batch(self, batch_id: str = "batch-20260101-00000001", **fields: Any) -> str:
        return self.store.batches.create({"batch_id": batch_id, "name": "Test", **fields})

    def add_account(self, account_id: str = "acc-1", **fields: Any) -> str:
        self.database.accounts.insert_one({"account_id": account_id, "status": "active", **fields})
        return account_id

    def add_job(self, *phones: str, job_id: str = "job-1", **fields: Any) -> str:
        document = {
            "job_id": job_id,
            "status": "pending",
            "contact": {"name": "Ana", "dni": "1-9", "phones": list(phones), "next_phone_index": 0},
            "payload": {"company_name": "Acme", "debt_amount": 1000},
            "attempts": 0,
            "created_at": self.store.now(),
        }
        self.database.jobs.insert_one({**document, **fields})
        return job_id

    def job(self, job_id: str = "job-1") -> Document:
        found = self.database.jobs.find_one({"job_id": job_id})
        assert found is not None
        return found

    def results(self) -> list[Document]:
        return list(self.database.call_results.find({}).sort("created_at", 1))

    def make_due(self, job_id: str = "job-1") -> None:
        """As if the delay had passed."""
        past = self.store.now() - timedelta(seconds=1)
        self.database.jobs.update_one({"job_id": job_id}, {"$set": {"reserved_until": past}})

    def make_due_if_pending(self, job_id: str = "job-1") -> None:
        """As if the delay of a job that waits had passed."""
        if self.job(job_id)["status"] == "pending":
            self.make_due(job_id)

    def age_dial(self, seconds: float, job_id: str = "job-1") -> None:
        """As if the intent had been written so much earlier, and the key grown old at Retell too."""
        intent_at = self.job(job_id)["dial"]["intent_at"] - timedelta(seconds=seconds)
        self.database.jobs.update_one({"job_id": job_id}, {"$set": {"dial.intent_at": intent_at}})
        self.simulator.advance(seconds)

    # -- the deeds -----------------------------------------------------------------------------------------

    def claim(self, context: WorkerContext) -> Job | None:
        claimed = JobClaimer(context).claim()
        return None if claimed is None else claimed.job

    def dial_next(self, context: WorkerContext) -> bool:
        """Claim and dial one job; False where none is due."""
        claimed = JobClaimer(context).claim()
        if claimed is None:
            return False
        dial.run(context, claimed.job, claimed.preflight)
        return True

    def run_dry(self, context: WorkerContext, job_id: str = "job-1", at_most: int = 50) -> Document:
        """Dial one job again and again, as if every delay had passed, until it is over; the job."""
        in_vain = 0
        for _ in range(at_most):
            # Paused or held it stays pending: more rounds would only look again.
            if self.job(job_id)["status"] != "pending" or in_vain == ROUNDS_IN_VAIN:
                break
            self.make_due(job_id)
            dialled, taken_over = self.dial_next(context), self.take_over(context)
            in_vain = 0 if dialled or taken_over else in_vain + 1
        return self.job(job_id)

    def take_over(self, context: WorkerContext) -> bool:
        """Recover one lapsed job, if there is one."""
        try:
            return recovery.recover_one(context)
        except (LeaseLost, HandOver):
            return True

    def lapse(self, job_id: str = "job-1") -> None:
        """As if the lease had run out."""
        past = self.store.now() - timedelta(seconds=1)
        self.database.jobs.update_one({"job_id": job_id}, {"$set": {"reserved_until": past}})

    def clear(self) -> None:
        """An empty stage: no document, no fault, no script, and the calls so far forgotten."""
        self._close_kits()
        for name in self.database.list_collection_names():
            self.database[name].delete_many({})
        self.simulator.clear_faults()
        self.simulator.clear_script()
        self._forgotten = len(self.simulator.placed_calls())

    def placed_calls(self) -> list[Document]:
        """Calls truly placed since the stage was cleared."""
        return self.simulator.placed_calls()[self._forgotten :]

    def close(self) -> None:
        self.store.close()
        self._close_kits()

    def _close_kits(self) -> None:
        for context in self.kits:
            context.store.close()
            context.retell.close()
        self.kits.clear()


def settings_for(name: str, uri: str, simulator: SimulatorProcess, **changes: Any) -> Settings:
    """Settings of one worker on the stage."""
    environ = {
        "MONGO_URI": uri,
        "MONGO_DB": name,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_AGENT_ID": "agent_stage",
        "RETELL_FROM_NUMBER": "+15005550006",
        "RETELL_TIMEOUT_SECONDS": "5",
        "SPEECHAID_SOCKET": "/nowhere/control.sock",
        "SPEECHAID_STATE_DIR": "/nowhere",
        **{variable: str(value) for variable, value in changes.items()},
    }
    return get_settings(environ, env_file=None)


@contextmanager
def open_stage(database: Database[Document], uri: str) -> Iterator[Stage]:
    """A stage with a simulator of its own."""
    # Ends between two polls, far from either: how many polls a call takes must not hang on the machine's
    # speed.
    with SimulatorProcess(api_key=API_KEY, ring_seconds=[2, 2], talk_seconds=[13, 13]) as simulator:
        stage = Stage(database, uri, simulator)
        try:
            yield stage
        finally:
            stage.close()


def open_store(database: Database[Document], uri: str, simulator: SimulatorProcess) -> Store:
    """A store of a test's own."""
    return connect(settings_for(database.name, uri, simulator).database)
