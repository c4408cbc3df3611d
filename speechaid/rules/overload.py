"""Whether a worker that missed its deadline hangs or is only slowed down, and whether the host is overloaded.

Pure: no I/O, no clock. Every time is in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Final

from speechaid.protocol.translation import say, say_n

#: Processor time since the last beat of a worker that spins: no step computes for so long.
SPINNING_SECONDS: Final = 5.0
#: A worker that has waited for a processor for this part of the time since its promise was over could not
#: report in time. Not of the time since its last beat: a worker that slept for its whole promise, and had no
#: processor then, is not hung.
RUN_DELAY_PART: Final = 0.5
#: A database that needs longer for the supervisor's probe is slow.
SLOW_PROBE_SECONDS: Final = 1.0
#: So many workers at least, and so large a part of all whose step waits for the database, have to be past
#: half of their promised time: then the database is slow, though it answers the probe.
LATE_WORKERS: Final = 3
LATE_WORKERS_PART: Final = 0.1
#: A worker that waits for a slow database is killed so long after its last beat, and at least
#: ``LEAST_EXTENSION_SECONDS`` after its deadline.
DATABASE_LIMIT_SECONDS: Final = 75.0
LEAST_EXTENSION_SECONDS: Final = 20.0

#: Workers found to be slowed down, within this time, that begin overload mode.
VERDICTS: Final = 2
VERDICTS_WITHIN_SECONDS: Final = 10.0
#: Overload mode ends so long after the last sign of overload.
CLEAN_SECONDS: Final = 30.0


class Verdict(StrEnum):
    """Why a worker missed its deadline."""

    #: Stopped by a signal, and not continued within the grace time.
    STOPPED = "stopped"
    #: It computes without end.
    SPINNING = "spinning"
    #: The machine gave it too little processor time.
    NO_PROCESSOR = "no_processor"
    #: It waits for a database that is slow, or does not answer.
    SLOW_DATABASE = "slow_database"
    #: None of these: it waits for something that does not come.
    HUNG = "hung"


@dataclass(frozen=True, kw_only=True)
class LateWorker:
    """What is known of a worker at a missed deadline; what it used is counted from its last beat."""

    #: Since the time by which it had promised to report.
    seconds: float
    #: Of its main thread, as the kernel names it: T and t are stopped, R runs or waits for a processor.
    state: str = "S"
    #: Processor time of its main thread.
    cpu_seconds: float = 0.0
    #: For how long its main thread was ready to run, and had no processor; without the present wait, which
    #: the kernel adds once it is over.
    run_delay_seconds: float = 0.0
    #: Its step waits for the database.
    in_database: bool = False
    #: For how long the supervisor's own probe has had no answer, or how long the last answer took.
    probe_seconds: float = 0.0
    #: Workers whose step waits for the database, and those among them that are past half of their promise.
    workers_in_database: int = 0
    workers_late: int = 0


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One row of the table: when it applies, and what follows."""

    verdict: Verdict
    applies: Callable[[LateWorker], bool]
    #: The worker is given more time, and an end counts against no job.
    overload: bool
    #: The time ends (``DATABASE_LIMIT_SECONDS``); else it lasts for as long as the row applies.
    limited: bool = False


def _database_is_slow(late: LateWorker) -> bool:
    many = max(LATE_WORKERS, LATE_WORKERS_PART * late.workers_in_database)
    return late.in_database and (late.probe_seconds > SLOW_PROBE_SECONDS or late.workers_late >= many)


#: The first row that applies decides; the last one always does.
DIAGNOSES: Final = (
    Diagnosis(verdict=Verdict.STOPPED, applies=lambda late: late.state in {"T", "t"}, overload=False),
    Diagnosis(
        verdict=Verdict.SPINNING, applies=lambda late: late.cpu_seconds >= SPINNING_SECONDS, overload=False
    ),
    Diagnosis(
        verdict=Verdict.NO_PROCESSOR,
        applies=lambda late: late.state == "R" or late.run_delay_seconds >= RUN_DELAY_PART * late.seconds,
        overload=True,
    ),
    Diagnosis(verdict=Verdict.SLOW_DATABASE, applies=_database_is_slow, overload=True, limited=True),
    Diagnosis(verdict=Verdict.HUNG, applies=lambda _: True, overload=False),
)


def diagnose(late: LateWorker) -> Diagnosis:
    """Decide why a worker missed its deadline."""
    return next(row for row in DIAGNOSES if row.applies(late))


def kill_at(row: Diagnosis, *, beat_at: float, deadline: float) -> float:
    """When a worker of this row is killed at the latest, if it stays silent.

    Args:
        row: of the table.
        beat_at: when the last beat came.
        deadline: the one that it missed, on the same clock.
    """
    if not row.overload:
        return deadline
    return max(beat_at + DATABASE_LIMIT_SECONDS, deadline + LEAST_EXTENSION_SECONDS) if row.limited else inf


@dataclass(frozen=True, kw_only=True)
class OverloadMode:
    """Whether the host is overloaded; instants in seconds of one clock."""

    #: Why it is; None where it is not.
    reason: str | None = None
    #: The last sign of overload.
    sign_at: float = -inf
    #: When workers were found to be slowed down, within ``VERDICTS_WITHIN_SECONDS``.
    verdicts: tuple[float, ...] = ()


def next_mode(
    mode: OverloadMode, now: float, *, probe_seconds: float, slowed: int, extended: bool
) -> OverloadMode:
    """Decide whether overload mode begins, goes on or ends.

    Args:
        mode: as decided before.
        now: the present moment.
        probe_seconds: how long the database needed for the supervisor's last probe, or has needed so far.
        slowed: workers that were found to be slowed down since the last decision.
        extended: a worker that was slowed down has still not reported.
    """
    recent = tuple(at for at in (*mode.verdicts, *(now,) * slowed) if now - at <= VERDICTS_WITHIN_SECONDS)
    slow = probe_seconds > SLOW_PROBE_SECONDS
    sign_at = now if slow or slowed or extended else mode.sign_at
    reason = mode.reason
    if reason is not None and now - sign_at > CLEAN_SECONDS:
        reason = None
    elif reason is None and slow:
        reason = say("the database is slow: it needed more than a second for a short query")
    elif reason is None and len(recent) >= VERDICTS:
        reason = say_n(
            "{count} worker could not report in time: too little processor or database",
            "{count} workers could not report in time: too little processor or database",
            len(recent),
        )
    return replace(mode, reason=reason, sign_at=sign_at, verdicts=recent)
