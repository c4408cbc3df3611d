"""What the supervisor told last, for those who ask from other threads; nobody waits for anybody.

The loop puts up a fresh picture each second and never touches it again; a scrape reads whichever hangs there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from speechaid.clock import Clock, SystemClock

#: A picture older than this, in seconds: the supervisor's loop hangs.
STALE_SECONDS: Final = 15.0

#: Counter sums by name and sorted label pairs.
Sums = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, kw_only=True)
class ConcurrencyReading:
    """What Retell said last of calls at once."""

    used: int
    limit: int


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The daemon at one moment; shared between threads, so nothing in it is changed."""

    #: Wall clock, aware UTC, and seconds of the boot-time clock.
    at: datetime
    boottime: float
    started_at: datetime
    version: str
    #: ``snapshot()["supervisor"]`` and ``["workers"]``.
    supervisor: Mapping[str, Any]
    workers: Sequence[Mapping[str, Any]]
    counts: Sums
    #: What the clerk counted last (``Clerk.figures``).
    figures: Mapping[str, Any] = field(default_factory=dict)
    stalled_seconds: float = 0.0
    concurrency: ConcurrencyReading | None = None
    #: Alerts that fire.
    firing: frozenset[str] = frozenset()


class SnapshotHolder:
    """One picture at a time."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._picture: Snapshot | None = None

    def publish(self, picture: Snapshot) -> None:
        """The newest picture; called in the loop's thread."""
        self._picture = picture

    def snapshot(self) -> Snapshot | None:
        """What hangs there; None before the first."""
        return self._picture

    def unhealthy(self) -> list[str]:
        """Why the daemon is not alive in the sense of its work, a sentence each."""
        picture = self._picture
        if picture is None:
            return ["the supervisor has not begun yet"]
        age = self._clock.boottime() - picture.boottime
        return [f"the supervisor's loop has not turned for {age:.0f} s"] if age > STALE_SECONDS else []

    def not_ready(self) -> list[str]:
        """Why no job of this host would be dialled just now, a sentence each."""
        reasons = self.unhealthy()
        picture = self._picture
        if picture is None:
            return reasons
        supervisor = picture.supervisor
        if supervisor["state"] != "running":
            reasons.append(f"the daemon is {supervisor['state']}")
        if not supervisor["present"]:
            reasons.append("no worker is up")
        if supervisor["draining"]:
            reasons.append("the host is draining")
        state = picture.figures.get("database", {}).get("state", "unknown")
        if state != "up":
            reasons.append(f"the database is {state}")
        return reasons
