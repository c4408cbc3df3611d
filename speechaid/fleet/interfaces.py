"""What the supervisor's loop needs of those beside it: control socket, clerk, database process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from speechaid.protocol.messages import Request
from speechaid.rules.respawn import ExitCause


@dataclass(frozen=True, kw_only=True, slots=True)
class Readable:
    """What a rest of the loop ended with."""

    #: The descriptors that are readable, hung up or in error.
    fds: frozenset[int] = frozenset()
    #: Whether requests are there to be received.
    control: bool = False


class ControlInterface(Protocol):
    """The control socket, as far as the loop needs it."""

    def wait(self, fds: Iterable[int], timeout_ms: int | None) -> Readable:
        """Rest until a request or one of the descriptors is readable, at most so long."""

    def receive(self) -> list[Request]:
        """The requests that lie there."""

    def close(self) -> None:
        """Remove the socket."""


class DatabaseInterface(Protocol):
    """The thread that does the database's share of the supervisor's work."""

    def fileno(self) -> int:
        """Readable while answers wait."""

    def answers(self) -> list[Callable[[], None]]:
        """What is done: to be called in the loop's thread."""

    def on_worker_exit(self, worker_id: str, job: str | None, cause: ExitCause) -> None:
        """A worker process crashed; the job is the last that it reported. Never waits."""

    def close(self) -> None:
        """Finish what was submitted, within a bound of its own."""


class DatabaseProcess(Protocol):
    """A child that the fleet needs to live: the embedded database."""

    @property
    def directory(self) -> Path:
        """Where it writes."""

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""

    def ensure(self) -> None:
        """Bring it back where it died; never waits."""

    def stop(self) -> None:
        """End it cleanly."""
