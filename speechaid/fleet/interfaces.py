"""What the supervisor's loop needs of control socket, database thread and database process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from speechaid.protocol.messages import Request
from speechaid.rules.respawn import ExitCause


@dataclass(frozen=True, kw_only=True, slots=True)
class Readable:
    """What is ready after a wait of the loop."""

    #: Descriptors that are readable, hung up or in error.
    fds: frozenset[int] = frozenset()
    #: Whether requests can be received.
    control: bool = False


#: Tells the child processes that others reap; none is added meanwhile. None: one is just being started.
OtherChildren = Callable[[], AbstractContextManager[frozenset[int] | None]]


class ControlInterface(Protocol):
    """The control socket, as far as the loop needs it."""

    def wait(self, fds: Iterable[int], timeout_ms: int | None) -> Readable:
        """Wait until a request or one of the descriptors is readable; None: without a limit."""

    def receive(self) -> list[Request]:
        """The requests that have arrived."""

    @property
    def child_pids(self) -> set[int]:
        """Processes of its own, which it reaps itself."""

    def close(self) -> None:
        """Remove the socket."""


class DatabaseInterface(Protocol):
    """The thread that does the supervisor's database work."""

    def fileno(self) -> int:
        """Readable while results wait."""

    def answers(self) -> list[Callable[[], None]]:
        """Callbacks with results, to be called in the loop's thread."""

    def on_worker_exit(self, worker_id: str, job: str | None, cause: ExitCause) -> None:
        """A worker process crashed; the job is the last that it reported. Never blocks."""

    def close(self) -> None:
        """Finish what was submitted, within a time limit."""


class DatabaseProbe(Protocol):
    """How soon the database answers, asked again and again beside all other work; returns at once."""

    def took_seconds(self) -> float:
        """How long the present try has lasted, or the last one took, whichever is longer."""

    def silent_seconds(self) -> float:
        """For how long there has been no answer, or how long the last one took, whichever is longer."""


class DatabaseProcess(Protocol):
    """The embedded database, a child process."""

    @property
    def directory(self) -> Path:
        """The directory of its files."""

    @property
    def pid(self) -> int | None:
        """Its process id; None while it has none."""

    def ensure(self) -> None:
        """Restart it where it died; never blocks."""

    def stop(self) -> None:
        """Stop it cleanly."""
