"""Supervisor and fleet as ``status`` shows them: JSON-ready data."""

from __future__ import annotations

import functools
import os
import socket
from datetime import UTC, datetime
from typing import Any

from speechaid import __version__
from speechaid.clock import Clock
from speechaid.fleet.workers import Fleet


def snapshot(fleet: Fleet, *, state: str, started_at: datetime, clock: Clock) -> dict[str, Any]:
    """The supervisor and each worker at this moment."""
    wall = clock.now().timestamp()
    workers = fleet.rows(clock.boottime())
    for row in workers:
        seconds = row["for_seconds"]
        row["since"] = None if seconds is None else _instant(round(wall - seconds))
    return {
        "supervisor": {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "version": __version__,
            "started_at": started_at.isoformat(),
            "state": state,
            "wanted": fleet.wanted,
            "present": fleet.present,
            "calls_done": fleet.calls_done,
            "restarts": fleet.restarts,
            "draining": fleet.draining,
            "held": fleet.held,
            "paused_batches": sorted(fleet.paused_batches),
            "no_space": fleet.no_space,
            "overloaded": fleet.overload.reason,
            "database_probe_seconds": fleet.probe_seconds,
            "dependency_away": fleet.dependency_away,
            "crash_loops": fleet.crash_loops,
            "zygote": {
                "pid": fleet.spawner.pid,
                "state": fleet.spawner.state.value,
                "restarts": fleet.spawner.restarts,
            },
            "follower": fleet.watch.row(fleet.follower, clock.boottime()),
        },
        "workers": workers,
    }


@functools.lru_cache(maxsize=4096)
def _instant(second: int) -> str:
    """ISO 8601; cached, as most workers are in the state of a second ago."""
    return datetime.fromtimestamp(second, UTC).isoformat()


def status_line(summary: str, fleet: Fleet) -> str:
    """One line for ``systemctl status``; longer than the process title."""
    parts = [summary, f"{fleet.in_calls} in calls"]
    parts += ["dialling held"] if fleet.may_not_dial else []
    parts += ["overloaded"] if fleet.overload.reason is not None else []
    parts += ["a dependency is away"] if fleet.dependency_away else []
    parts += [f"crash loop: {', '.join(loops)}"] if (loops := fleet.crash_loops) else []
    return ", ".join(parts)
