"""A stage for one worker: a real database on the wire, a Retell simulator, a worker context, no process.

A wait of the context advances the simulator's clock instead of waiting, so that a call of minutes takes a
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
from speechaid.model.states import NoNewCalls, WorkerState
from speechaid.model.test_calls import TESTS
from speechaid.retell.client import open_retell
from speechaid.rules.coverage import PollReason, Suspicion
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store, connect

Document = dict[str, Any]
API_KEY = "key_of_the_stage"
#: After this many passes without work the next one would find none either.
IDLE_PASSES = 3


def noon_zone() -> str:
    """A time zone in which it is about noon, so that a test does not cross midnight there."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


class QuietLink:
    """A supervisor link without a supervisor: keeps what is reported; sends no command unless a test does."""

    def __init__(self) -> None:
        self.hand_over_requested = False
        #: Asked right before each create, with what the supervisor's orders say then.
        self.read_orders: Callable[[], NoNewCalls | None] = lambda: None
        #: Batches whose dials are held on this host.
        self.paused_batches: set[str] = set()
        #: What the supervisor has said about calls and jobs: covered until, to be polled, to be hung up.
        self.covered: dict[str, float] = {}
        self.polls: dict[str, PollReason] = {}
        self.hang_ups: set[str] = set()
        #: What was reported against Retell's list.
        self.suspicions: list[tuple[str, Suspicion]] = []
        self.steps: list[str] = []
        #: The worker's call in the latest report.
        self.call: str | None = None
        self.counts: Counter[str] = Counter()
        self.counted_once: set[str] = set()
        self.finished = 0

    def is_batch_paused(self, batch_id: str | None, name: str | None) -> bool:
        return batch_id in self.paused_batches or name in self.paused_batches

    def report_step(
        self,
        state: WorkerState,
        step: str,
        *,
        within_seconds: float,
        job: str | None = None,
        call: str | None = None,
        database: bool = False,
    ) -> None:
        assert within_seconds >= 0
        self.steps.append(f"{state}: {step}")
        self.call = call

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        self.counts[name + "".join(f" {key}={word}" for key, word in sorted(labels.items()))] += int(value)

    def count_once(self, once: str, increments: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        if once not in self.counted_once:
            self.counted_once.add(once)
            for name, labels, value in increments:
                self.count(name, value, **labels)

    def emit(self, name: str, /, **fields: Any) -> None:
        self.counts[f"event {name}"] += 1

    def covered_until(self, call_id: str) -> float:
        return self.covered.get(call_id, 0.0)

    def take_poll(self, call_id: str) -> PollReason | None:
        return self.polls.pop(call_id, None)

    def take_hang_up(self, job_id: str) -> bool:
        asked = job_id in self.hang_ups
        self.hang_ups.discard(job_id)
        return asked

    def suspect_list(self, call_id: str, suspicion: Suspicion) -> None:
        self.suspicions.append((call_id, suspicion))

    def call_finished(self) -> None:
        self.finished += 1


class FrozenClock(SystemClock):
    """A boot-time clock that does not advance: what is due in a second stays so."""

    def __init__(self, at: float) -> None:
        self._at = at

    def boottime(self) -> float:
        return self._at


class Stage:
    """Database, simulator, worker contexts and shortcuts for a test of a job's life."""

    def __init__(self, database: Database[Document], uri: str, simulator: SimulatorProcess) -> None:
        self.database = database
        self.simulator = simulator
        self.uri = uri
        self.settings = settings_for(database.name, uri, simulator)
        self.store = connect(self.settings.database)
        self.store.prepare()
        self.contexts: list[WorkerContext] = []
        self._cleared_calls = 0
        #: Called at each wait of any context, before the clock advances: where a test lets things happen.
        self.on_wait: Callable[[], None] = lambda: None

    def context(self, name: str = "worker-1@host-a:1", **changes: Any) -> WorkerContext:
        """A worker context; ``changes`` are settings by variable."""
        settings = settings_for(self.database.name, self.uri, self.simulator, **changes)
        context = WorkerContext(
            store=connect(settings.database),
            retell=open_retell(settings),
            settings=settings,
            link=QuietLink(),
            worker_id=name,
            wait=self._wait,
            random=random.Random(len(self.contexts)),
        )
        self.contexts.append(context)
        return context

    def _wait(self, seconds: float) -> None:
        self.on_wait()
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

    def add_test(
        self,
        number: str,
        batch_id: str,
        *,
        job_id: str = "job-1",
        wait_seconds: float = 86_400,
        **fields: Any,
    ) -> str:
        """A test call of a batch, to a number that is registered for it."""
        until = self.store.now() + timedelta(seconds=wait_seconds)
        mark = {"batch_id": batch_id, "job_id": "row-1", "by": "maria", "until": until}
        self.store.test_calls.add_number(number, account_id=None, note=None, by="maria")
        self.store.holds.note_tests(until)
        return self.add_job(number, job_id=job_id, batch_id=TESTS, test=mark, **fields)

    def job(self, job_id: str = "job-1") -> Document:
        job = self.database.jobs.find_one({"job_id": job_id})
        assert job is not None
        return job

    def batch(self, batch_id: str | None = None) -> Document:
        """The batch, or the only one, once all that is due to it is in its sums."""
        self.store.batch_sums.fold_all()
        batch = self.database.batches.find_one({} if batch_id is None else {"batch_id": batch_id})
        assert batch is not None
        return {"open_dials": [], **batch}

    def results(self) -> list[Document]:
        return list(self.database.call_results.find({}).sort("created_at", 1))

    def make_due(self, job_id: str = "job-1") -> None:
        """As if the delay had passed."""
        past = self.store.now() - timedelta(seconds=1)
        self.database.jobs.update_one({"job_id": job_id}, {"$set": {"reserved_until": past}})

    def make_due_if_pending(self, job_id: str = "job-1") -> None:
        """As if the delay of a pending job had passed."""
        if self.job(job_id)["status"] == "pending":
            self.make_due(job_id)

    def age_dial(self, seconds: float, job_id: str = "job-1") -> None:
        """As if the intent had been written this much earlier, and Retell's key were older too."""
        intent_at = self.job(job_id)["dial"]["intent_at"] - timedelta(seconds=seconds)
        self.database.jobs.update_one({"job_id": job_id}, {"$set": {"dial.intent_at": intent_at}})
        self.simulator.advance(seconds)

    # -- what workers do -----------------------------------------------------------------------------------

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

    def run_until_finished(
        self, context: WorkerContext, job_id: str = "job-1", at_most: int = 50
    ) -> Document:
        """Dial one job again and again, as if every delay had passed, until it is over; the job."""
        idle_passes = 0
        for _ in range(at_most):
            # A paused or held job stays pending: more passes change nothing.
            if self.job(job_id)["status"] != "pending" or idle_passes == IDLE_PASSES:
                break
            self.make_due(job_id)
            dialled, recovered = self.dial_next(context), self.recover_one(context)
            idle_passes = 0 if dialled or recovered else idle_passes + 1
        return self.job(job_id)

    def recover_one(self, context: WorkerContext) -> bool:
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
        """Remove all documents, faults and scripts, and forget the calls so far."""
        self._close_contexts()
        for name in self.database.list_collection_names():
            self.database[name].delete_many({})
        self.simulator.clear_faults()
        self.simulator.clear_script()
        self._cleared_calls = len(self.simulator.placed_calls())

    def placed_calls(self) -> list[Document]:
        """Calls that the simulator placed since the stage was cleared."""
        return self.simulator.placed_calls()[self._cleared_calls :]

    def close(self) -> None:
        self.store.close()
        self._close_contexts()

    def _close_contexts(self) -> None:
        for context in self.contexts:
            context.store.close()
            context.retell.close()
        self.contexts.clear()


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
    """A stage with a new simulator."""
    # The call ends halfway between two polls: the number of polls must not depend on the machine's speed.
    with SimulatorProcess(api_key=API_KEY, ring_seconds=[2, 2], talk_seconds=[13, 13]) as simulator:
        stage = Stage(database, uri, simulator)
        try:
            yield stage
        finally:
            stage.close()


def open_store(database: Database[Document], uri: str, simulator: SimulatorProcess) -> Store:
    """A store on the test's database."""
    return connect(settings_for(database.name, uri, simulator).database)
