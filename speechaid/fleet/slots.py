"""One slot of the fleet: a stable name, and the worker processes that fill it one after another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from speechaid.errors import ExitStatus, FleetError
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import Beat, Order, encode_command
from speechaid.fleet.processes import Child, Exit, Usage, read_usage
from speechaid.model.states import WorkerState
from speechaid.rules.respawn import ExitCause, ExitHistory, cause_of


class SlotState(StrEnum):
    """State of a slot's process; what a running worker does is in its beat."""

    #: No process; the next one is due at ``due``.
    WAITING = "waiting"
    #: The zygote has been asked for a process; given up at ``due``.
    SPAWNING = "spawning"
    #: Forked; its ``ready`` report is due by ``due``.
    BOOTING = "booting"
    #: At work; its next beat is due by ``due``.
    RUNNING = "running"
    #: Past its deadline, asked to dump its stack; killed at ``due`` unless a beat arrives first.
    HUNG = "hung"
    #: Killed by the supervisor; its exit is awaited.
    KILLED = "killed"


#: Allowed changes of state; every change goes through ``Slot.move``.
ALLOWED_TRANSITIONS: Final[dict[SlotState, frozenset[SlotState]]] = {
    SlotState.WAITING: frozenset({SlotState.SPAWNING}),
    SlotState.SPAWNING: frozenset({SlotState.BOOTING, SlotState.WAITING}),
    SlotState.BOOTING: frozenset({SlotState.RUNNING, SlotState.HUNG, SlotState.KILLED, SlotState.WAITING}),
    SlotState.RUNNING: frozenset({SlotState.HUNG, SlotState.KILLED, SlotState.WAITING}),
    SlotState.HUNG: frozenset({SlotState.BOOTING, SlotState.RUNNING, SlotState.KILLED, SlotState.WAITING}),
    SlotState.KILLED: frozenset({SlotState.WAITING}),
}

#: States with a process.
ALIVE: Final = frozenset({SlotState.BOOTING, SlotState.RUNNING, SlotState.HUNG, SlotState.KILLED})


class Slot:
    """One slot; written by the fleet's loop only.

    Attributes:
        due: the deadline of the present state; for WAITING, the start time. Seconds of the boot-time clock;
            None: no limit.
        asked: its process was ordered to leave.
        was_hung: its process missed its deadline, so that the supervisor killed it.
        overloaded: it missed its deadline since machine or database were overloaded.
        usage: what its process had used at its last report.
    """

    def __init__(self, number: int, due: float, name: str | None = None) -> None:
        self.number = number
        self.name = name or f"worker-{number}"
        self.state = SlotState.WAITING
        self.due: float | None = due
        self.history = ExitHistory()
        self.crash_loop = False
        self.restarts: Counter[ExitCause] = Counter()
        self._calls_before = 0
        self._forget_process()

    def _forget_process(self) -> None:
        self.request: int | None = None
        self.child: Child | None = None
        self.channel: Channel | None = None
        self.worker_id = ""
        self.started_at = 0.0
        self.ready = False
        self.asked = False
        self.was_hung = False
        self.overloaded = False
        self.usage = Usage(at=0.0)
        self.beat: Beat | None = None
        self._outbox: deque[Mapping[str, Any]] = deque()

    @property
    def alive(self) -> bool:
        """It has a process."""
        return self.state in ALIVE

    @property
    def calls_done(self) -> int:
        """Calls finished by all its processes."""
        return self._calls_before + (self.beat.done if self.beat is not None else 0)

    @property
    def doing(self) -> str:
        """State for people: of the running worker's latest beat, else of the slot."""
        if self.state is SlotState.RUNNING:
            return (WorkerState.STARTING if self.beat is None else self.beat.state).value
        return self.state.value

    def move(self, state: SlotState, due: float | None) -> None:
        """Change the state; the only place that does.

        Raises:
            FleetError: ``ALLOWED_TRANSITIONS`` does not allow it: a bug.
        """
        if state not in ALLOWED_TRANSITIONS[self.state]:
            raise FleetError(f"{self.name} cannot become {state} from {self.state}")
        self.state, self.due = state, due

    def spawning(self, request: int, channel: Channel, due: float) -> None:
        """The zygote has been asked, and was sent the channel's other end."""
        self.move(SlotState.SPAWNING, due)
        self.request, self.channel = request, channel

    def started(self, child: Child, worker_id: str, now: float, ready_by: float) -> None:
        """The process has been forked."""
        self.move(SlotState.BOOTING, ready_by)
        self.child, self.worker_id, self.started_at = child, worker_id, now
        self.usage = read_usage(child.pid, now)

    def vacate(self) -> None:
        """The process has been reaped, or was never forked: close its descriptors, forget it."""
        self.move(SlotState.WAITING, None)
        self._calls_before = self.calls_done
        for handle in (self.child, self.channel):
            if handle is not None:
                handle.close()
        self._forget_process()

    def note_beat(self, beat: Beat, due: float, now: float) -> None:
        """Take the latest beat and its deadline."""
        self.beat = beat
        self.note_report(due, now)

    def note_report(self, due: float, now: float) -> None:
        """The worker has reported: move its deadline; a hung one runs again."""
        self.ready = True
        self.overloaded = False
        if self.child is not None:
            self.usage = read_usage(self.child.pid, now)
        if self.state is SlotState.RUNNING:
            self.due = due
        elif self.state in {SlotState.BOOTING, SlotState.HUNG}:
            self.was_hung = False
            self.move(SlotState.RUNNING, due)

    def send_order(self, order: Order, /, **data: Any) -> None:
        """Send an order; one that the channel cannot take now is queued."""
        if self.channel is not None:
            self._outbox.append(encode_command(order, data))
            self.flush()

    def flush(self) -> None:
        """Send queued orders, in order."""
        while self._outbox and self.channel is not None and self.channel.send(self._outbox[0]):
            self._outbox.popleft()

    def cause(self, end: Exit | None) -> ExitCause:
        """Why its process ended; ``end`` is None where it was never forked."""
        if end is None:
            return ExitCause.NOT_SPAWNED
        by_itself = end.status in {ExitStatus.OK, ExitStatus.RECYCLE}
        killed_in_shutdown = self.state is SlotState.KILLED and not self.was_hung
        return cause_of(
            status=end.status,
            signal=end.signal,
            ready=self.ready,
            asked=self.asked and (by_itself or killed_in_shutdown),
            hung=self.state is SlotState.KILLED and self.was_hung,
            overloaded=self.state is SlotState.KILLED and self.was_hung and self.overloaded,
        )

    def in_database(self) -> bool:
        """Whether its running worker's step waits for the database, by its last beat."""
        return self.state is SlotState.RUNNING and self.beat is not None and self.beat.database

    def is_late(self, now: float) -> bool:
        """Whether more than half of the time that its last beat promised is over."""
        return self.beat is not None and now - self.usage.at > (self.beat.deadline - self.usage.at) / 2

    def fields(self, now: float | None) -> dict[str, str | float | None]:
        """What its process is doing, for a log line; ``for_seconds`` is left out where ``now`` is None."""
        beat = self.beat
        if beat is None:
            return {"state": self.state.value}
        return {
            "state": beat.state.value,
            "step": beat.step,
            "job": beat.job,
            "call": beat.call,
            "for_seconds": None if now is None else round(now - beat.since, 1),
        }

    def row(self, now: float) -> dict[str, Any]:
        """One row of ``status``; ``for_seconds`` is how long the present state has lasted."""
        beat, child = self.beat, self.child
        since = self.started_at if beat is None else beat.since
        waiting = self.state is SlotState.WAITING and self.due is not None
        return {
            "slot": self.name,
            "worker_id": self.worker_id or None,
            "pid": None if child is None else child.pid,
            "state": self.doing,
            "step": None if beat is None else beat.step,
            "job": None if beat is None else beat.job,
            "call": None if beat is None else beat.call,
            "for_seconds": round(max(0.0, now - since), 1) if self.alive else None,
            "starts_in_seconds": round(max(0.0, (self.due or now) - now), 1) if waiting else None,
            "calls_done": self.calls_done,
            "restarts": _by_name(self.restarts) if self.restarts else {},
            "crash_loop": self.crash_loop,
            "leaving": self.asked,
            "failing": {} if beat is None else dict(beat.failing),
        }


def _by_name(restarts: Counter[ExitCause]) -> dict[str, int]:
    return {cause.value: times for cause, times in sorted(restarts.items())}
