"""The spare: one worker process forked in advance, so that a successor is there at once.

It is a worker that does not know its slot yet, and a child of the supervisor like them. Its line carries one
message, ``{slot, host}`` with the worker's end of its channel as SCM_RIGHTS, and makes it that worker.
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

#: A killed process is gone at once, unless the kernel holds it.
CLOSING_SECONDS: Final = 1.0
#: Delay after a fork, so that a spare does not compete with workers that start, and after a failed one.
DELAY_SECONDS: Final = 1.0

log = get_logger(__name__)


class Spares:
    """The state of the spare; the spawner makes it."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._line: Channel | None = None
        #: Settings that it was made for, and those of the last request; None: no worker was requested yet.
        self._made_for: Mapping[str, Any] | None = None
        self._wanted: Mapping[str, Any] | None = None
        self._due_at = 0.0

    @property
    def child(self) -> Child | None:
        """The process, while it waits."""
        return self._child

    @property
    def due_at(self) -> float | None:
        """When to make one (seconds of the boot-time clock); None: not now."""
        return None if self._wanted is None or self._line is not None else self._due_at

    def use(self, request: Mapping[str, Any], descriptor: int, now: float) -> int | None:
        """Make it the requested worker; its pid, or None where there is no spare of these settings."""
        self._wanted, self._due_at = request["settings"], now + DELAY_SECONDS
        if self._child is None or self._line is None:
            return None
        message = {name: value for name, value in request.items() if name != "settings"}
        fits = self._wanted == self._made_for
        pid = self._child.pid if fits and self._line.send(message, descriptors=(descriptor,)) else None
        self.drop(now)  # a worker now; or it sees end-of-file, leaves, and is reaped as a stray
        return pid

    def starting(self, line: Channel) -> dict[str, Any]:
        """One is being made, with the other end of this line; the request to the zygote."""
        self._line, self._made_for = line, self._wanted
        return {"settings": self._made_for}

    def started(self, pid: int | None, now: float) -> None:
        """It has been forked, or could not be (pid None)."""
        try:
            self._child = None if pid is None else Child(pid)
        except FleetError as fault:
            log.warning("zygote.no_spare", text=str(fault))
        if self._child is None:
            self.drop(now)

    def check(self, now: float) -> None:
        """Reap the spare if it has exited."""
        if self._child is not None and self._child.reap() is not None:
            self.drop(now)

    def drop(self, now: float) -> None:
        """Close the descriptors and forget the spare; the next one is due after the delay."""
        for handle in (self._child, self._line):
            if handle is not None:
                handle.close()
        self._child = self._line = None
        self._due_at = now + DELAY_SECONDS

    def end(self) -> None:
        """Kill and reap the spare; make no other."""
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(CLOSING_SECONDS)
            self._child.reap()
        self.drop(0.0)
        self._wanted = None
