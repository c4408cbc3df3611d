"""Messages between supervisor and worker; each is one JSON object with a ``kind``.

From the worker:

========  ===================================================================================
ready     {pid}                          signal handlers are set, the worker's code begins
beat      {state, step, job, call, since, deadline, done, counts, database, failing}
          ``since``: when this state began; ``deadline``: when the next beat is due at the latest; in seconds
          of ``CLOCK_BOOTTIME``. ``done``: calls finished so far. ``database``: the step waits for it.
          ``counts``: [[name, {label: value}, increment], ...]
          ``failing``: {step: error} of the steps that fail again and again
tally     {once, counts}                 increments that are added once per ``once``
event     {name, fields}                 an event for the supervisor's listeners
bye       {reason, counts}               last message before the worker exits by itself
suspect   {call, suspicion}              get-call contradicts Retell's list about this call
want      {after_job}                    idle and willing: asks for a turn (``rules.turn``)
done      {number, got, more, ...}       what came of a turn: the fields of ``rules.turn.TurnEnd``
========  ===================================================================================

From the follower, besides ready, beat and bye:

========  ===================================================================================
listed    {order, began, answer, late}   one pass through Retell's list: the last order that it had received,
          when it began, what came of it, and calls that the list showed as ended too late
ended     {calls, why}                   calls that have to be polled now
========  ===================================================================================

From the supervisor, ``{kind: order, ...}``, the orders being those of ``Order``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from speechaid.errors import FleetError
from speechaid.model.states import WorkerState
from speechaid.rules.coverage import ListAnswer, PollReason, Suspicion
from speechaid.rules.turn import Turn, TurnEnd, TurnKind

#: A metric's name and its sorted label pairs: what an increment is added under.
CountKey = tuple[str, tuple[tuple[str, str], ...]]
Counts = dict[CountKey, float]


class Order(StrEnum):
    """Orders from the supervisor to a worker."""

    #: No new claims; finish the call in hand and leave.
    STOP = "stop"
    #: Hand the live call over at once (another worker adopts it) and leave.
    HAND_OVER = "let_go"
    #: This worker claims nothing until it is resumed.
    PAUSE = "pause"
    RESUME = "resume"
    #: No worker of this host claims.
    DRAIN = "drain"
    UNDRAIN = "undrain"
    #: ``wire``: the new settings (``Settings.from_wire``).
    SETTINGS = "settings"
    #: ``level``: a name of the logging module.
    LOG_LEVEL = "log_level"
    #: ``on``: whether every new dial is held on this host.
    HOLD = "hold"
    #: ``job``: its ``request`` asks for a hang-up: wakes the worker, which then rereads the job at once.
    HANG_UP = "job.hang_up"
    #: ``batch``: new dials of the batches whose ids begin so are held on this host, until the opposite comes;
    #: an empty text: of all batches. Before the database has the pause, or while it cannot have it.
    PAUSE_BATCH = "pause_batch"
    RESUME_BATCH = "resume_batch"
    # Answers to ``want``.
    #: The fields of a ``rules.turn.Turn``, its kind as ``look_for``: look for a job once.
    TURN = "turn"
    #: ``seconds``: ask again after this time, unless a turn comes.
    WAIT = "wait"

    # -- following by the list (``fleet.call_watch``) ------------------------------------------------------
    #: To the follower: ``add`` and ``drop``, ids of calls to ask about; ``order``, their number in sequence.
    FOLLOW = "follow"
    #: ``call`` is covered until ``until``, in seconds of ``CLOCK_BOOTTIME``: its worker need not poll it.
    COVERED = "covered"
    #: No call of this worker is covered.
    UNCOVERED = "uncovered"
    #: ``call`` has to be polled now; ``why`` is a ``rules.coverage.PollReason``.
    POLL = "poll"


@dataclass(frozen=True, kw_only=True)
class Command:
    """An order as the worker receives it."""

    order: Order
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WorkerIdentity:
    """Identity of a worker: the slot is stable, the pid changes with each process."""

    slot: str
    host: str
    pid: int

    @property
    def worker_id(self) -> str:
        """The full name that goes into the database: ``worker-1@host:pid``."""
        return f"{self.slot}@{self.host}:{self.pid}"


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The worker's code begins."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a worker is doing, and when its next beat is due (units: module docstring)."""

    state: WorkerState
    step: str
    since: float
    deadline: float
    job: str | None = None
    call: str | None = None
    done: int = 0
    counts: Counts = field(default_factory=dict)
    #: The step waits for the database.
    database: bool = False
    #: The error of each step that fails again and again.
    failing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class IdempotentCount:
    """Increments of one operation that another worker may have to repeat, and report again."""

    #: Name of the operation; increments under a known name are not added.
    once: str
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event in a worker."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bye:
    """The worker exits by itself."""

    reason: str
    counts: Counts = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SuspectList:
    """A worker's get-call contradicts Retell's list."""

    call: str
    suspicion: Suspicion


@dataclass(frozen=True, kw_only=True)
class ListPass:
    """The follower has asked Retell's list about all its calls, or has tried to."""

    #: Number of the last order to follow that it had received.
    order: int
    #: When the pass began, in seconds of ``CLOCK_BOOTTIME``.
    began: float
    answer: ListAnswer
    #: Calls that the list showed as ended much later than they ended.
    late: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EndedCalls:
    """Calls that their workers have to poll now."""

    calls: list[str]
    why: PollReason


@dataclass(frozen=True, kw_only=True)
class TurnWanted:
    """The worker is idle, and asks for a turn."""

    #: It has had a job since it asked last.
    after_job: bool = False


Report = (
    Ready | Beat | IdempotentCount | Event | Bye | TurnWanted | TurnEnd | SuspectList | ListPass | EndedCalls
)

REPORTS: Final[dict[str, type[Report]]] = {
    "ready": Ready,
    "beat": Beat,
    "tally": IdempotentCount,
    "event": Event,
    "bye": Bye,
    "suspect": SuspectList,
    "listed": ListPass,
    "ended": EndedCalls,
    "want": TurnWanted,
    "done": TurnEnd,
}
#: Fields that are members of an enum, by their name.
_ENUMS: Final[dict[str, type[StrEnum]]] = {
    "state": WorkerState,
    "answer": ListAnswer,
    "why": PollReason,
    "suspicion": Suspicion,
}
_KINDS: Final = {cls: kind for kind, cls in REPORTS.items()}


def count_key(name: str, labels: Mapping[str, str]) -> CountKey:
    """The key under which increments of one metric and label set are summed."""
    return name, tuple(sorted(labels.items()))


def encode_report(report: Report) -> dict[str, Any]:
    """A worker's message as JSON-ready data."""
    # ``vars``, since ``dataclasses.asdict`` copies everything inside, at ten times the cost.
    message = {"kind": _KINDS[type(report)], **vars(report)}
    if isinstance(report, Beat | IdempotentCount | Bye):
        message["counts"] = [[name, dict(labels), value] for (name, labels), value in report.counts.items()]
    return message


def decode_report(message: Mapping[str, Any]) -> Report:
    """A worker's message as a record.

    Raises:
        FleetError: it is not a known message.
    """
    fields = dict(message)
    try:
        cls = REPORTS[fields.pop("kind")]
        if "counts" in fields:
            fields["counts"] = {count_key(str(n), labels): float(v) for n, labels, v in fields["counts"]}
        for name in _ENUMS.keys() & fields.keys():
            fields[name] = _ENUMS[name](fields[name])
        return cls(**fields)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise FleetError(f"a worker sent an invalid report: {exc!r} in {str(message)[:200]}") from exc


def encode_command(order: Order, data: Mapping[str, Any]) -> dict[str, Any]:
    """An order as JSON-ready data."""
    return {**data, "kind": order.value}


def turn_data(turn: Turn) -> dict[str, Any]:
    """A turn as the data of its order."""
    served = [[batch, number] for batch, number in turn.served.items()]
    return {
        "number": turn.number,
        "look_for": turn.kind.value,
        "until": turn.until,
        "is_fresh": turn.is_fresh,
        "served": served,
    }


def turn_of(data: Mapping[str, Any]) -> Turn:
    """The turn of an order.

    Raises:
        FleetError: it is none.
    """
    try:
        return Turn(
            number=int(data["number"]),
            kind=TurnKind(data["look_for"]),
            until=float(data["until"]),
            is_fresh=bool(data["is_fresh"]),
            served={batch: int(number) for batch, number in data["served"]},
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise FleetError(f"the supervisor sent an invalid turn: {str(data)[:200]}") from exc


def decode_command(message: Mapping[str, Any]) -> Command:
    """An order as a record.

    Raises:
        FleetError: it is not a known message.
    """
    fields = dict(message)
    try:
        return Command(order=Order(fields.pop("kind")), data=fields)
    except (KeyError, ValueError) as exc:
        raise FleetError(f"the supervisor sent an invalid order: {str(message)[:200]}") from exc
