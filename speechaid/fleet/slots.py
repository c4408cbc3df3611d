"""One slot of the fleet: a stable name, and the worker processes that fill it one after another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from speechaid.errors import ExitStatus, FleetError
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import Beat, Order, encode_command
from speechaid.fleet.processes import Child, Exit
from speechaid.model.states import WorkerState
from speechaid.rules.respawn import ExitCause, ExitHistory, cause_of


class SlotState(StrEnum):
    """Where a slot stands, as far as its process goes; what a running worker does is in its beat."""

    #: No process; the next one is due at ``due``.
    WAITING = "waiting"
    #: The zygote has been asked for one.
    SPAWNING = "spawning"
    #: Forked; it has to say that it is ready by ``due``.
    BOOTING = "booting"
    #: At work; it has to report by ``due``.
    RUNNING = "running"
    #: It did not, and was told to dump its stack; killed at ``due`` unless it reports after all.
    HUNG = "hung"
    #: Killed by us; its end is awaited.
    KILLED = "killed"


#: What a slot may become. The door is ``Slot.move``.
ARROWS: Final[dict[SlotState, frozenset[SlotState]]] = {
    SlotState.WAITING: frozenset({SlotState.SPAWNING}),
    SlotState.SPAWNING: frozenset({SlotState.BOOTING, SlotState.WAITING}),
    SlotState.BOOTING: frozenset({SlotState.RUNNING, SlotState.HUNG, SlotState.KILLED, SlotState.WAITING}),
    SlotState.RUNNING: frozenset({SlotState.HUNG, SlotState.KILLED, SlotState.WAITING}),
    SlotState.HUNG: frozenset({SlotState.BOOTING, SlotState.RUNNING, SlotState.KILLED, SlotState.WAITING}),
    SlotState.KILLED: frozenset({SlotState.WAITING}),
}

#: A process of ours lives in these.
ALIVE: Final = frozenset({SlotState.BOOTING, SlotState.RUNNING, SlotState.HUNG, SlotState.KILLED})


class Slot:
    """The record of one slot; the fleet's loop is its only writer.

    Attributes:
        due: when the present state has to end (seconds of the boot-time clock); None where nothing presses.
        asked: its process was told to leave.
        was_hung: its process was found hung, so its death is our doing.
    """

    def __init__(self, number: int, due: float) -> None:
        self.number = number
        self.name = f"worker-{number}"
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
        self.beat: Beat | None = None
        self._outbox: deque[Mapping[str, Any]] = deque()

    @property
    def alive(self) -> bool:
        """A process fills it."""
        return self.state in ALIVE

    @property
    def calls_done(self) -> int:
        """Calls finished by all processes that have filled it."""
        return self._calls_before + (self.beat.done if self.beat is not None else 0)

    @property
    def doing(self) -> str:
        """What is shown as its state: the worker's own word where one runs."""
        if self.state is SlotState.RUNNING:
            return (WorkerState.STARTING if self.beat is None else self.beat.state).value
        return self.state.value

    def move(self, state: SlotState, due: float | None) -> None:
        """The one door through which the state changes.

        Raises:
            FleetError: there is no such arrow, which is a fault of ours.
        """
        if state not in ARROWS[self.state]:
            raise FleetError(f"{self.name} cannot become {state} from {self.state}")
        self.state, self.due = state, due

    def spawning(self, request: int, channel: Channel) -> None:
        """The zygote has been asked, and the channel's other end is on its way."""
        self.move(SlotState.SPAWNING, None)
        self.request, self.channel = request, channel

    def started(self, child: Child, worker_id: str, now: float, ready_by: float) -> None:
        """The process is there."""
        self.move(SlotState.BOOTING, ready_by)
        self.child, self.worker_id, self.started_at = child, worker_id, now

    def vacate(self) -> None:
        """The process is gone and reaped, or never was; what it was doing has been noted."""
        self.move(SlotState.WAITING, None)
        self._calls_before = self.calls_done
        for held in (self.child, self.channel):
            if held is not None:
                held.close()
        self._forget_process()

    def note_beat(self, beat: Beat, due: float) -> None:
        """It has reported: the latest report stands, until the next one is due."""
        self.beat = beat
        self.extend_deadline(due)

    def extend_deadline(self, due: float) -> None:
        """It has said something by itself; one that was thought to be hung is forgiven."""
        self.ready = True
        if self.state is SlotState.RUNNING:
            self.due = due
        elif self.state in {SlotState.BOOTING, SlotState.HUNG}:
            self.was_hung = False
            self.move(SlotState.RUNNING, due)

    def send_order(self, order: Order, /, **data: Any) -> None:
        """Give an order; one that does not fit into the line now follows as soon as it does."""
        if self.channel is not None:
            self._outbox.append(encode_command(order, data))
            self.flush()

    def flush(self) -> None:
        """Send what waits, in order."""
        while self._outbox and self.channel is not None and self.channel.send(self._outbox[0]):
            self._outbox.popleft()

    def cause(self, end: Exit | None) -> ExitCause:
        """Why its process is no more; None where there never was one."""
        if end is None:
            return ExitCause.NOT_SPAWNED
        willingly = end.status in {ExitStatus.OK, ExitStatus.RECYCLE}
        put_down = self.state is SlotState.KILLED and not self.was_hung
        return cause_of(
            status=end.status,
            signal=end.signal,
            ready=self.ready,
            asked=self.asked and (willingly or put_down),
            hung=self.state is SlotState.KILLED and self.was_hung,
        )

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
        """One line of status; ``for_seconds`` is how long the present step has lasted."""
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
        }


def _by_name(restarts: Counter[ExitCause]) -> dict[str, int]:
    return {cause.value: times for cause, times in sorted(restarts.items())}
