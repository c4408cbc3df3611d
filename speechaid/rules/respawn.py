"""When a worker's successor starts after an exit, and whether the slot is in a crash loop.

Pure: no I/O, no clock.

A slot is never given up: the cause may go away, so a slot that keeps failing is retried at the longest delay,
with an alert. Every exit that was not requested backs off, a quick clean exit too: no loop may respawn
without delay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from speechaid.errors import ExitStatus


class ExitCause(StrEnum):
    """Why a worker process ended; the label of the restart counter."""

    #: The supervisor or an operator asked it to stop, or its slot is no longer wanted.
    ASKED = "asked"
    #: It reached a recycling limit of its settings, between two calls.
    RECYCLED = "recycled"
    #: Exit status 0 without a request.
    QUIT = "quit"
    #: Any other exit status.
    CRASHED = "crashed"
    #: A signal that we did not send: SIGKILL, a segmentation fault, the kernel's OOM killer.
    KILLED = "killed"
    #: It sent no beat by its deadline, and we killed it.
    HUNG = "hung"
    #: It sent no beat for long, since the database was slow, and we killed it: no fault of its job.
    OVERLOADED = "overloaded"
    #: It ended, or was killed, before it reported ready.
    NEVER_READY = "never_ready"
    #: The zygote could not fork it.
    NOT_SPAWNED = "not_spawned"
    #: EX_UNAVAILABLE: a dependency does not answer.
    UNAVAILABLE = "unavailable"


#: Exits that may be caused by the current job: a job that had three in a row may kill its workers.
CRASHES: Final = frozenset({ExitCause.CRASHED, ExitCause.KILLED, ExitCause.HUNG, ExitCause.NEVER_READY})


class Pace(StrEnum):
    """How soon the successor starts."""

    #: Without delay.
    IMMEDIATE = "immediate"
    #: Without delay the first time, then after a delay that doubles.
    BACK_OFF = "back_off"
    #: After a constant delay: a probe for as long as the outage lasts.
    CONSTANT = "constant"


@dataclass(frozen=True, kw_only=True)
class RespawnRule:
    """What follows an exit with one cause."""

    pace: Pace
    #: Repeated, it is a crash loop: the fault is in the worker, not in its surroundings.
    counts_as_crash: bool


RESPAWN: Final[dict[ExitCause, RespawnRule]] = {
    ExitCause.ASKED: RespawnRule(pace=Pace.IMMEDIATE, counts_as_crash=False),
    # A worker that recycles too quickly backs off: its memory limit may be below what a fresh one needs.
    ExitCause.RECYCLED: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=False),
    ExitCause.QUIT: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=True),
    ExitCause.CRASHED: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=True),
    ExitCause.KILLED: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=True),
    ExitCause.HUNG: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=True),
    ExitCause.OVERLOADED: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=False),
    ExitCause.NEVER_READY: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=True),
    ExitCause.NOT_SPAWNED: RespawnRule(pace=Pace.BACK_OFF, counts_as_crash=False),
    ExitCause.UNAVAILABLE: RespawnRule(pace=Pace.CONSTANT, counts_as_crash=False),
}

_BY_STATUS: Final = {
    ExitStatus.OK: ExitCause.QUIT,
    ExitStatus.RECYCLE: ExitCause.RECYCLED,
    ExitStatus.UNAVAILABLE: ExitCause.UNAVAILABLE,
}


@dataclass(frozen=True, kw_only=True)
class RespawnPolicy:
    """Delays and thresholds; times in seconds."""

    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 60.0
    #: Between two starts while a dependency does not answer.
    outage_delay_seconds: float = 5.0
    #: A worker that lived this long (or finished a call) ran well: the slot's history is reset.
    stable_after_seconds: float = 30.0
    #: Consecutive faults that make a crash loop.
    crash_loop_after: int = 5


@dataclass(frozen=True, kw_only=True)
class ExitHistory:
    """A slot's recent exits."""

    #: Consecutive exits after which the successor had to back off.
    ends: int = 0
    #: Those among them that count as crashes.
    faults: int = 0
    #: The latest exit was because a dependency did not answer.
    dependency_away: bool = False


@dataclass(frozen=True, kw_only=True)
class Respawn:
    """The decision: when the successor starts, and the slot's history after this exit."""

    delay_seconds: float
    history: ExitHistory
    crash_loop: bool


def cause_of(
    *,
    status: int | None,
    signal: int | None,
    ready: bool,
    asked: bool = False,
    hung: bool = False,
    overloaded: bool = False,
) -> ExitCause:
    """The cause of an exit, from its status or signal (one is None) and the worker's state."""
    if asked:
        return ExitCause.ASKED
    if hung or overloaded:
        killed = ExitCause.HUNG if ready else ExitCause.NEVER_READY
        return ExitCause.OVERLOADED if overloaded else killed
    if status == ExitStatus.UNAVAILABLE:
        return ExitCause.UNAVAILABLE  # also before ready: often the database does not answer
    if not ready:
        return ExitCause.NEVER_READY
    if signal is not None:
        return ExitCause.KILLED
    return next((cause for known, cause in _BY_STATUS.items() if known == status), ExitCause.CRASHED)


def decide(
    cause: ExitCause, history: ExitHistory, policy: RespawnPolicy, *, ran_well: bool, jitter: float = 0.5
) -> Respawn:
    """Decide when a slot's next worker starts.

    Args:
        cause: of the exit.
        history: from the previous decision.
        policy: delays and thresholds.
        ran_well: the worker lived for ``policy.stable_after_seconds``, or finished a call.
        jitter: from 0 to 1, so that workers that failed together do not all restart at once.
    """
    rule = RESPAWN[cause]
    if ran_well:
        history = ExitHistory()
    if rule.pace is Pace.IMMEDIATE:
        return Respawn(delay_seconds=0.0, history=ExitHistory(), crash_loop=False)
    spread = 0.75 + 0.5 * jitter
    if rule.pace is Pace.CONSTANT:
        delay = policy.outage_delay_seconds * spread
        return Respawn(delay_seconds=delay, history=replace(history, dependency_away=True), crash_loop=False)
    ends = history.ends + 1
    faults = history.faults + 1 if rule.counts_as_crash else history.faults
    delay = 0.0
    if ends > 1:
        # The exponent is bounded: 2.0 ** 1024 overflows.
        delay = min(policy.longest_delay_seconds, policy.first_delay_seconds * 2.0 ** min(ends - 2, 64))
    return Respawn(
        delay_seconds=delay * spread,
        history=ExitHistory(ends=ends, faults=faults),
        crash_loop=faults >= policy.crash_loop_after,
    )
