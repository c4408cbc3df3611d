"""A simulated week: the real claims, dials, settlements and housekeeping, on a simulated clock.

Everything between the database driver and the Retell client is real. The driver is replaced by
``memory_mongo``, Retell by ``FakeRetell``, time by ``Scheduler``: one thread per worker, of which one runs at
a time, until it waits.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from pymongo import MongoClient

from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.model.call import Call
from speechaid.retell.client import RetellClient
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store
from tests.support.memory_mongo import MemoryMongo
from tests.support.stage import QuietLink

Document = dict[str, Any]
#: A worker that finds nothing to do looks again after this many seconds.
IDLE_SECONDS = 60.0
#: The same if a job seems to be waiting.
SOON_SECONDS = 2.0
#: Between two runs of housekeeping.
TIDY_SECONDS = 600.0


class _Over(BaseException):
    """The week is over: a worker's thread ends."""


class Scheduler:
    """A clock, and which thread runs at which moment."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.seconds = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._control = threading.Semaphore(0)
        self._over = False
        self.faults: list[BaseException] = []

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def boottime(self) -> float:
        return self.seconds

    def at(self, moment: float, operation: Callable[[], None]) -> None:
        """Run this in the main thread at that moment, unless the week is over by then."""
        self._push(moment, lambda: None if self._over else operation())

    def _push(self, moment: float, operation: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (moment, self._serial, operation))

    def sleep(self, seconds: float) -> None:
        """In a worker's thread: let others run until then."""
        wakeup = threading.Semaphore(0)
        self._push(self.seconds + max(0.0, seconds), lambda: self._switch_to(wakeup))
        self._wait(wakeup)

    def park(self, idle: list[threading.Semaphore]) -> None:
        """In a worker's thread: let others run until one of them wakes it."""
        wakeup = threading.Semaphore(0)
        idle.append(wakeup)
        self._wait(wakeup)

    def wake(self, wakeup: threading.Semaphore) -> None:
        self._push(self.seconds, lambda: self._switch_to(wakeup))

    def spawn(self, work: Callable[[], None]) -> None:
        """Start a thread at this moment."""
        wakeup = threading.Semaphore(0)

        def run() -> None:
            wakeup.acquire()
            try:
                with suppress(_Over):
                    work()
            except BaseException as exc:  # noqa: BLE001 - raised in the main thread
                self.faults.append(exc)
            self._control.release()

        threading.Thread(target=run, daemon=True).start()
        self.wake(wakeup)

    def run(self, until: float, idle: list[threading.Semaphore]) -> None:
        """Run the threads until then, and end them."""
        while self._heap and self._heap[0][0] <= until and not self.faults:
            self.seconds, _, operation = heapq.heappop(self._heap)
            operation()
        self._over = True
        for wakeup in idle:
            self.wake(wakeup)
        while self._heap:
            heapq.heappop(self._heap)[2]()
        if self.faults:
            raise self.faults[0]

    def _switch_to(self, wakeup: threading.Semaphore) -> None:
        wakeup.release()
        self._control.acquire()

    def _wait(self, wakeup: threading.Semaphore) -> None:
        self._control.release()
        wakeup.acquire()
        if self._over:
            raise _Over


@dataclass
class PlacedCall:
    """A call as Retell knows it; instants are seconds of the week."""

    call_id: str
    number: str
    metadata: Document
    placed_at: float
    connected_at: float | None
    ended_at: float
    status: str
    reason: str

    @property
    def minutes(self) -> float:
        return (
            0.0 if self.connected_at is None else round((self.ended_at - self.connected_at) * 1000) / 60_000
        )


#: How calls end: status, reason, weight.
CALL_ENDS = (
    ("ended", "user_hangup", 30),
    ("ended", "agent_hangup", 10),
    ("ended", "voicemail_reached", 10),
    ("not_connected", "dial_no_answer", 30),
    ("not_connected", "dial_busy", 12),
    ("not_connected", "dial_failed", 4),
    ("ended", "user_requested_dnc", 1),
    ("error", "concurrency_limit_reached", 3),
)


class FakeRetell:
    """The part of the Retell client that a worker uses."""

    fingerprint = "week"
    timeout_seconds = 5.0

    def __init__(self, clock: Scheduler, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self.calls: dict[str, PlacedCall] = {}
        self._by_key: dict[str, str] = {}

    def create_call(self, body: Document) -> Call:
        call_id = self._by_key.setdefault(body["idempotency_key"], f"call_{len(self._by_key)}")
        if call_id not in self.calls:
            self.calls[call_id] = self._placed(call_id, body)
        return self.get_call(call_id)

    def get_call(self, call_id: str) -> Call:
        call, now = self.calls[call_id], self._clock.seconds
        connected = call.connected_at is not None and now >= call.connected_at
        document: Document = {
            "call_id": call_id,
            "call_status": "ongoing" if connected else "registered",
            "to_number": call.number,
            "metadata": call.metadata,
        }
        if now >= call.ended_at:
            milliseconds = round(call.minutes * 60_000)
            document |= {
                "call_status": call.status,
                "disconnection_reason": call.reason,
                "duration_ms": milliseconds,
                "call_cost": {"combined_cost": round(call.minutes * 11, 4)},
            }
        return Call.read(document)

    def stop_call(self, call_id: str) -> None:
        raise AssertionError(f"{call_id} was stopped: no call of this week passes a limit")

    def server_now(self) -> None:
        """This Retell sends no date."""

    def _placed(self, call_id: str, body: Document) -> PlacedCall:
        status, reason, _ = self._random.choices(CALL_ENDS, [weight for _, _, weight in CALL_ENDS])[0]
        now = self._clock.seconds
        ringing = self._random.uniform(4, 28) if status != "error" else 0.0
        talk = self._random.uniform(10, 150) if status == "ended" else None
        connected_at = None if talk is None else now + ringing
        return PlacedCall(
            call_id=call_id,
            number=body["to_number"],
            metadata=body["metadata"],
            placed_at=now,
            connected_at=connected_at,
            ended_at=now + ringing + (talk or 0.0),
            status=status,
            reason=reason,
        )


@dataclass
class Week:
    """A database, a Retell, workers, and what an operator does at which moment."""

    start: datetime
    workers: int = 10
    seed: int = 1
    #: Called when a worker has found nothing to do; whether a job seems to be waiting all the same.
    on_idle: Callable[[], bool] = lambda: False
    clock: Scheduler = field(init=False)
    retell: FakeRetell = field(init=False)
    mongo: MemoryMongo = field(init=False)
    store: Store = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Scheduler(self.start)
        self.retell = FakeRetell(self.clock, self.seed)
        self.mongo = MemoryMongo(self.clock.now)
        self.settings = get_settings(
            {
                "RETELL_API_KEY": "key_of_the_week_0000",
                "RETELL_AGENT_ID": "agent_week",
                "RETELL_FROM_NUMBER": "+15005550006",
                "CALL_POLLING_INTERVAL": "15",
                "POLL_TIMEOUT_SECONDS": "120",
                "SPEECHAID_SOCKET": "/nowhere/control.sock",
                "SPEECHAID_STATE_DIR": "/nowhere",
            },
            env_file=None,
        )
        client = cast("MongoClient[Document]", self.mongo)
        self.store = Store(client, self.settings.database, clock=self.clock)
        self._idle: list[threading.Semaphore] = []
        self._scouting = False

    def rows(self, collection: str) -> dict[Any, Document]:
        """The documents of a collection, by their ``_id``."""
        return self.mongo.get_collection(collection).rows

    def run(self, days: float) -> None:
        """Run the week."""
        for number in range(self.workers):
            context = self.context(number)
            self.clock.spawn(lambda context=context: self.work(context))  # type: ignore[misc]
        housekeeper = Housekeeper(self.store, self.clock)

        def tidy() -> None:
            housekeeper._fold_batch_sums()
            housekeeper._tidy(self.settings)
            self.clock.at(self.clock.seconds + TIDY_SECONDS, tidy)

        self.clock.at(30, tidy)
        self.clock.run(days * 86_400, self._idle)
        self.store.batch_sums.fold_all()

    def context(self, number: int) -> WorkerContext:
        """The context of a new worker; each has a number of its own."""
        return WorkerContext(
            store=self.store,
            retell=cast("RetellClient", self.retell),
            settings=self.settings,
            link=QuietLink(),
            worker_id=f"worker-{number + 1}@week:{number}",
            wait=self.clock.sleep,
            clock=self.clock,
            random=random.Random(self.seed * 1000 + number),
        )

    def work(self, context: WorkerContext) -> None:
        """A worker's loop; of the idle workers one looks again soon, and wakes the others."""
        claimer = JobClaimer(context)
        while True:
            claimed = claimer.claim()
            if claimed is not None:
                if self._idle:
                    self.clock.wake(self._idle.pop())
                dial.run(context, claimed.job, claimed.preflight)
                continue
            if self._scouting:
                self.clock.park(self._idle)
                continue
            self._scouting = True
            # What a worker knows of free places is about a second old: it may have looked too early.
            self.clock.sleep(SOON_SECONDS if self.on_idle() else IDLE_SECONDS)
            self._scouting = False
