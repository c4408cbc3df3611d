"""A simulated week: the daemon's own turns, dials, settlements and housekeeping on a clock of our making.

Everything between the database's driver and Retell's client is real. The driver is played in memory, Retell
by ``Line``, time by ``Scheduler``: one thread a worker, of which one runs at a time, until it rests.
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
#: A worker that finds nothing to do looks again so much later, in seconds.
IDLE_SECONDS = 60.0
#: The same where something seems to wait.
SOON_SECONDS = 2.0
#: Between two turns of housekeeping.
TIDY_SECONDS = 600.0


class _Over(BaseException):
    """The week is over: a worker's thread ends."""


class Scheduler:
    """A clock, and whose turn it is at which moment."""

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
        """Do this in the main thread when it is time, unless all is over by then."""
        self._push(moment, lambda: None if self._over else operation())

    def _push(self, moment: float, operation: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (moment, self._serial, operation))

    def sleep(self, seconds: float) -> None:
        """In a worker's thread: others go on until it is time."""
        turn = threading.Semaphore(0)
        self._push(self.seconds + max(0.0, seconds), lambda: self._hand_over(turn))
        self._wait(turn)

    def park(self, idle: list[threading.Semaphore]) -> None:
        """In a worker's thread: others go on until somebody wakes it."""
        turn = threading.Semaphore(0)
        idle.append(turn)
        self._wait(turn)

    def wake(self, turn: threading.Semaphore) -> None:
        self._push(self.seconds, lambda: self._hand_over(turn))

    def spawn(self, work: Callable[[], None]) -> None:
        """A thread that begins at this moment."""
        turn = threading.Semaphore(0)

        def run() -> None:
            turn.acquire()
            try:
                with suppress(_Over):
                    work()
            except BaseException as exc:  # noqa: BLE001 - told in the main thread
                self.faults.append(exc)
            self._control.release()

        threading.Thread(target=run, daemon=True).start()
        self.wake(turn)

    def run(self, until: float, idle: list[threading.Semaphore]) -> None:
        """Let everybody have their turns until then, and end them."""
        while self._heap and self._heap[0][0] <= until and not self.faults:
            self.seconds, _, operation = heapq.heappop(self._heap)
            operation()
        self._over = True
        for turn in idle:
            self.wake(turn)
        while self._heap:
            heapq.heappop(self._heap)[2]()
        if self.faults:
            raise self.faults[0]

    def _hand_over(self, turn: threading.Semaphore) -> None:
        turn.release()
        self._control.acquire()

    def _wait(self, turn: threading.Semaphore) -> None:
        self._control.release()
        turn.acquire()
        if self._over:
            raise _Over


@dataclass
class Placed:
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


#: What comes of a call, and how often: status, reason, weight.
FATES = (
    ("ended", "user_hangup", 30),
    ("ended", "agent_hangup", 10),
    ("ended", "voicemail_reached", 10),
    ("not_connected", "dial_no_answer", 30),
    ("not_connected", "dial_busy", 12),
    ("not_connected", "dial_failed", 4),
    ("ended", "user_requested_dnc", 1),
    ("error", "concurrency_limit_reached", 3),
)


class Line:
    """Retell, as far as a worker asks it."""

    fingerprint = "week"
    timeout_seconds = 5.0

    def __init__(self, clock: Scheduler, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self.calls: dict[str, Placed] = {}
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
        """Tells no time."""

    def _placed(self, call_id: str, body: Document) -> Placed:
        status, reason, _ = self._random.choices(FATES, [weight for _, _, weight in FATES])[0]
        now = self._clock.seconds
        ringing = self._random.uniform(4, 28) if status != "error" else 0.0
        talk = self._random.uniform(10, 150) if status == "ended" else None
        connected_at = None if talk is None else now + ringing
        return Placed(
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
    """The whole: a database, a line, workers, and what an operator does at which moment."""

    start: datetime
    workers: int = 10
    seed: int = 1
    #: Called when a worker has found nothing to do; whether something seems to wait all the same.
    on_idle: Callable[[], bool] = lambda: False
    clock: Scheduler = field(init=False)
    line: Line = field(init=False)
    mongo: MemoryMongo = field(init=False)
    store: Store = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Scheduler(self.start)
        self.line = Line(self.clock, self.seed)
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
        """The documents themselves."""
        return self.mongo.get_collection(collection).rows

    def run(self, days: float) -> None:
        """Let it all happen."""
        for number in range(self.workers):
            context = WorkerContext(
                store=self.store,
                retell=cast("RetellClient", self.line),
                settings=self.settings,
                link=QuietLink(),
                worker_id=f"worker-{number + 1}@week:{number}",
                wait=self.clock.sleep,
                clock=self.clock,
                random=random.Random(self.seed * 1000 + number),
            )
            self.clock.spawn(lambda context=context: self._work(context))  # type: ignore[misc]
        keeper = Housekeeper(self.store, self.clock)

        def tidy() -> None:
            keeper._tidy(self.settings)
            self.clock.at(self.clock.seconds + TIDY_SECONDS, tidy)

        self.clock.at(30, tidy)
        self.clock.run(days * 86_400, self._idle)

    def _work(self, context: WorkerContext) -> None:
        """A worker's round; of those that find nothing one looks again soon, and wakes the others."""
        turns = JobClaimer(context)
        while True:
            claimed = turns.claim()
            if claimed is not None:
                if self._idle:
                    self.clock.wake(self._idle.pop())
                dial.run(context, claimed.job, claimed.preflight)
                continue
            if self._scouting:
                self.clock.park(self._idle)
                continue
            self._scouting = True
            # What a worker knows of places is a second old, give or take: it may have looked too early.
            self.clock.sleep(SOON_SECONDS if self.on_idle() else IDLE_SECONDS)
            self._scouting = False
