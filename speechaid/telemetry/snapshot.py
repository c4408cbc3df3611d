"""The supervisor's latest state, for readers in other threads; neither side waits.

The loop publishes a new snapshot each second and never changes it afterwards; a scrape reads the latest one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from speechaid.clock import Clock, SystemClock

#: Seconds after which a snapshot shows that the supervisor's loop hangs.
STALE_SECONDS: Final = 15.0

#: Counter sums by name and sorted label pairs.
Sums = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, kw_only=True)
class ConcurrencyReading:
    """Retell's latest answer about concurrent calls."""

    used: int
    limit: int
    #: When it came, in seconds of the boot-time clock.
    at: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of the daemon at one moment; shared between threads, so never changed."""

    #: Wall clock, aware UTC, and seconds of the boot-time clock.
    at: datetime
    boottime: float
    started_at: datetime
    version: str
    #: ``supervisor`` and ``workers`` of the daemon's status.
    supervisor: Mapping[str, Any]
    workers: Sequence[Mapping[str, Any]]
    counts: Sums
    #: The latest counts of the database thread (``DatabaseThread.stats``).
    stats: Mapping[str, Any] = field(default_factory=dict)
    #: For how long jobs have been callable without a call having ended.
    stalled_seconds: float = 0.0
    concurrency: ConcurrencyReading | None = None
    #: Names of the firing alerts.
    firing: frozenset[str] = frozenset()


class SnapshotHolder:
    """Holds the latest snapshot, and evaluates health and readiness from it."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._snapshot: Snapshot | None = None

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot; called in the loop's thread."""
        self._snapshot = snapshot

    def latest(self) -> Snapshot | None:
        """The latest snapshot; None before the first."""
        return self._snapshot

    def unhealthy(self) -> list[str]:
        """Why the daemon is not alive, a sentence each; empty where it is."""
        snapshot = self._snapshot
        if snapshot is None:
            return ["the supervisor has not started yet"]
        age = self._clock.boottime() - snapshot.boottime
        return [f"the supervisor's loop has not run for {age:.0f} s"] if age > STALE_SECONDS else []

    def not_ready(self) -> list[str]:
        """Why this host would dial no job now, a sentence each; empty where it would."""
        reasons = self.unhealthy()
        snapshot = self._snapshot
        if snapshot is None:
            return reasons
        supervisor = snapshot.supervisor
        if supervisor["state"] != "running":
            reasons.append(f"the daemon is {supervisor['state']}")
        if not supervisor["present"]:
            reasons.append("no worker is up")
        if supervisor["draining"]:
            reasons.append("the host is draining")
        state = snapshot.stats.get("database", {}).get("state", "unknown")
        if state != "up":
            reasons.append(f"the database is {state}")
        return reasons
