"""From a worker's end to its successor's beginning: when the next one starts, and what the end says of us.

Nothing here gives up for good: whatever is wrong may pass by itself, so a slot that keeps dying is tried
again at the longest delay, under an alert. Every way out that nobody asked for backs off, a quick clean exit
too: a loop of any kind must not respawn hot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from speechaid.errors import ExitStatus


class ExitCause(StrEnum):
    """Why a worker process is no more; the label of the restart counter."""

    #: The supervisor or an operator asked it to stop, or its slot is no longer wanted.
    ASKED = "asked"
    #: By its own settings, between two calls.
    RECYCLED = "recycled"
    #: Exit 0 that nobody asked for.
    QUIT = "quit"
    #: Any other exit status.
    CRASHED = "crashed"
    #: A signal that we did not send: SIGKILL, a segmentation fault, the kernel short of memory.
    KILLED = "killed"
    #: It did not report by its own deadline, and we killed it.
    HUNG = "hung"
    #: It ended, or was killed, before it had said that it is ready.
    NEVER_READY = "never_ready"
    #: The zygote could not fork it.
    NOT_SPAWNED = "not_spawned"
    #: EX_UNAVAILABLE: something that it depends on is away.
    UNAVAILABLE = "unavailable"


#: Ends that speak against the job in hand: a job that was there three times running may be what kills.
CRASHES: Final = frozenset({ExitCause.CRASHED, ExitCause.KILLED, ExitCause.HUNG, ExitCause.NEVER_READY})


class Pace(StrEnum):
    """How soon the next one starts."""

    #: At once; nothing is wrong.
    AT_ONCE = "at_once"
    #: At once the first time, then after a delay that doubles.
    BACK_OFF = "back_off"
    #: After the same delay each time: a probe, for as long as the outage lasts.
    STEADY = "steady"


@dataclass(frozen=True, kw_only=True)
class RespawnRule:
    """What follows from one cause."""

    pace: Pace
    #: Repeated, it is a crash loop: something in us is wrong, not around us.
    our_fault: bool


RESPAWN: Final[dict[ExitCause, RespawnRule]] = {
    ExitCause.ASKED: RespawnRule(pace=Pace.AT_ONCE, our_fault=False),
    # Too quick, a recycling worker backs off as well: a memory bound under what a fresh one needs.
    ExitCause.RECYCLED: RespawnRule(pace=Pace.BACK_OFF, our_fault=False),
    ExitCause.QUIT: RespawnRule(pace=Pace.BACK_OFF, our_fault=True),
    ExitCause.CRASHED: RespawnRule(pace=Pace.BACK_OFF, our_fault=True),
    ExitCause.KILLED: RespawnRule(pace=Pace.BACK_OFF, our_fault=True),
    ExitCause.HUNG: RespawnRule(pace=Pace.BACK_OFF, our_fault=True),
    ExitCause.NEVER_READY: RespawnRule(pace=Pace.BACK_OFF, our_fault=True),
    ExitCause.NOT_SPAWNED: RespawnRule(pace=Pace.BACK_OFF, our_fault=False),
    ExitCause.UNAVAILABLE: RespawnRule(pace=Pace.STEADY, our_fault=False),
}

_BY_STATUS: Final = {
    ExitStatus.OK: ExitCause.QUIT,
    ExitStatus.RECYCLE: ExitCause.RECYCLED,
    ExitStatus.UNAVAILABLE: ExitCause.UNAVAILABLE,
}


@dataclass(frozen=True, kw_only=True)
class RespawnPolicy:
    """How patient the fleet is; seconds."""

    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 60.0
    #: Between two tries while a dependency is away.
    outage_delay_seconds: float = 5.0
    #: A worker that lived so long (or finished a call) ran well: what came before is forgotten.
    settled_seconds: float = 30.0
    #: Bad ends in a row that make a crash loop.
    crash_loop_after: int = 5


@dataclass(frozen=True, kw_only=True)
class ExitHistory:
    """What a slot's ends so far say."""

    #: Ends in a row after which the next one had to back off.
    ends: int = 0
    #: Those among them that were faults of ours.
    faults: int = 0
    #: The last end was for want of a dependency.
    dependency_away: bool = False


@dataclass(frozen=True, kw_only=True)
class Respawn:
    """The decision: when the next one starts, and what is known now."""

    delay_seconds: float
    history: ExitHistory
    crash_loop: bool


def cause_of(
    *, status: int | None, signal: int | None, ready: bool, asked: bool = False, hung: bool = False
) -> ExitCause:
    """Why a worker ended, from how it did and what was known of it; a signal comes with no status."""
    if asked:
        return ExitCause.ASKED
    if hung:
        return ExitCause.HUNG if ready else ExitCause.NEVER_READY
    if status == ExitStatus.UNAVAILABLE:
        return ExitCause.UNAVAILABLE  # also before it was ready: the database is often the first thing missed
    if not ready:
        return ExitCause.NEVER_READY
    if signal is not None:
        return ExitCause.KILLED
    return next((cause for known, cause in _BY_STATUS.items() if known == status), ExitCause.CRASHED)


def decide(
    cause: ExitCause, history: ExitHistory, policy: RespawnPolicy, *, ran_well: bool, jitter: float = 0.5
) -> Respawn:
    """When a slot's next worker starts.

    Args:
        cause: why the last one ended.
        history: as the last decision left it.
        policy: the fleet's patience.
        ran_well: it lived for ``policy.settled_seconds``, or finished a call.
        jitter: from 0 to 1, so that a fleet that fell together does not come back in one breath.
    """
    row = RESPAWN[cause]
    if ran_well:
        history = ExitHistory()
    if row.pace is Pace.AT_ONCE:
        return Respawn(delay_seconds=0.0, history=ExitHistory(), crash_loop=False)
    spread = 0.75 + 0.5 * jitter
    if row.pace is Pace.STEADY:
        delay = policy.outage_delay_seconds * spread
        return Respawn(delay_seconds=delay, history=replace(history, dependency_away=True), crash_loop=False)
    ends = history.ends + 1
    faults = history.faults + 1 if row.our_fault else history.faults
    delay = 0.0
    if ends > 1:
        # The exponent is bounded: 2.0 ** 1024 overflows.
        delay = min(policy.longest_delay_seconds, policy.first_delay_seconds * 2.0 ** min(ends - 2, 64))
    return Respawn(
        delay_seconds=delay * spread,
        history=ExitHistory(ends=ends, faults=faults),
        crash_loop=faults >= policy.crash_loop_after,
    )
