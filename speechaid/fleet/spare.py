"""The spare: one process more than there are slots, forked and waiting, so that a successor is there at once.

It is what a worker is before it knows its slot, and a child of the supervisor's as they are. Its line carries
one message, ``{slot, host}`` with the worker's end of its channel as SCM_RIGHTS, and makes it that worker.
End-of-file on the line is its order to leave.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, Final

from speechaid.errors import FleetError
from speechaid.fleet.channel import Channel
from speechaid.fleet.processes import Child
from speechaid.telemetry.logs import get_logger

#: A killed process is gone in no time, unless the kernel holds it.
CLOSING_SECONDS: Final = 1.0
#: None is made so soon after the last birth, which it would be in the way of, nor after one that failed.
REST_SECONDS: Final = 1.0

log = get_logger(__name__)


class Spares:
    """The spare, or the want of one; who makes it is the spawner's affair."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._line: Channel | None = None
        #: Settings that it was made for, and those of the last request. None: no worker has been wanted yet.
        self._made_for: Mapping[str, Any] | None = None
        self._wanted: Mapping[str, Any] | None = None
        self._due_at = 0.0

    @property
    def child(self) -> Child | None:
        """The process, while it waits."""
        return self._child

    @property
    def due_at(self) -> float | None:
        """When one is to be made (seconds of the boot-time clock); None where that is not wanted."""
        return None if self._wanted is None or self._line is not None else self._due_at

    def use(self, request: Mapping[str, Any], descriptor: int, now: float) -> int | None:
        """Make it the worker that is asked for; its pid, or None where there is none of these settings."""
        self._wanted, self._due_at = request["settings"], now + REST_SECONDS
        if self._child is None or self._line is None:
            return None
        call = {name: value for name, value in request.items() if name != "settings"}
        fits = self._wanted == self._made_for
        pid = self._child.pid if fits and self._line.send(call, descriptors=(descriptor,)) else None
        self.drop(now)  # a worker now; or it sees the end of its line, leaves, and is reaped as a stray
        return pid

    def ordered(self, line: Channel) -> dict[str, Any]:
        """One is being made, with the other end of this line; what to ask the zygote for."""
        self._line, self._made_for = line, self._wanted
        return {"settings": self._made_for}

    def arrived(self, pid: int | None, now: float) -> None:
        """It is there, or could not be made."""
        try:
            self._child = None if pid is None else Child(pid)
        except FleetError as fault:
            log.warning("zygote.no_spare", text=str(fault))
        if self._child is None:
            self.drop(now)

    def check(self, now: float) -> None:
        """Bury it where it has ended."""
        if self._child is not None and self._child.reap() is not None:
            self.drop(now)

    def drop(self, now: float) -> None:
        """Have none."""
        for held in (self._child, self._line):
            if held is not None:
                held.close()
        self._child = self._line = None
        self._due_at = now + REST_SECONDS

    def end(self) -> None:
        """Kill and bury it; want no other."""
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(CLOSING_SECONDS)
            self._child.reap()
        self.drop(0.0)
        self._wanted = None
