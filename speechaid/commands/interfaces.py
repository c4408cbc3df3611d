"""What the handlers of control commands get, and what they return.

There are two kinds (``CommandSpec.runs``). A *loop handler* runs in the supervisor's loop thread and returns
at once. A *background handler* runs in the database thread, or in the emergency thread where its command is
urgent; it may wait for the database, and may return ``Continue`` to be called again after other work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from speechaid.errors import ControlError
from speechaid.importing.process import ReaderPool
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.protocol.messages import ErrorCode, Request
from speechaid.settings import Settings
from speechaid.store.connection import Store

Result = dict[str, Any]


class CommandRefused(ControlError):  # noqa: N818 - a regular answer, not an accident
    """The command is refused; the code is for programs, the text for people."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class DaemonControl(Protocol):
    """What commands may ask of the supervisor; every method returns at once.

    ``ControlError``, ``ConfigError`` or ``FleetError`` from any of these refuses the command with its text.
    """

    def snapshot(self) -> Result:
        """The state of the daemon, JSON-compatible, as ``status`` returns it (docs/control-protocol.md)."""

    def drain(self, on: bool) -> None:
        """Stop the claims of this host's workers, or allow them again."""

    def pause_worker(self, slot: str) -> None:
        """Stop the claims of the worker in this slot and of its successors."""

    def resume_worker(self, slot: str) -> None:
        """Allow the worker in this slot to claim again."""

    def hold(self, on: bool) -> None:
        """Hold new dials of this host, or release the hold."""

    def pause_batches(self, beginning: str, on: bool) -> None:
        """Hold new dials of the batches whose ids begin so on this host, or release them; empty: of all."""

    def hang_up(self, job_id: str) -> None:
        """Have this host's worker of the job, if there is one, read the job's request at once."""

    def scale(self, wanted: int) -> int:
        """Set the wanted number of workers, and return it."""

    def reload(self) -> dict[str, list[str]]:
        """Read the settings again; returns the names that were ``applied`` and that ``needs_restart``."""

    def set_log_level(self, level: str) -> None:
        """Log from this level on."""

    def shutdown(self, *, now: bool = False) -> None:
        """Begin to stop; ``now`` hands live calls over."""


@dataclass(frozen=True, kw_only=True)
class HandlerContext:
    """What background handlers work with."""

    store: Store
    settings: Settings
    #: Schedules a call in the loop thread, soon and in order; callable from any thread.
    in_loop: Callable[[Callable[[], None]], None]
    #: Reads files, and makes reports, in processes of their own.
    readers: ReaderPool = field(default_factory=ReaderPool)
    #: For metrics.
    counters: ThreadCounters = field(default_factory=ThreadCounters)
    #: Of the API key, in a process that does not get the key itself; None: that of the settings.
    api_key_fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One command as a background handler gets it."""

    args: Mapping[str, Any] = field(repr=False)
    #: The sender, as the kernel confirms it: ``maria (uid 1000)``.
    actor: str
    attachment: bytes | None
    #: Sends a progress message to the client.
    progress: Callable[[Mapping[str, Any]], None]
    #: ``DaemonControl.snapshot`` at the arrival of a command that needs it; otherwise empty.
    snapshot: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Continue:
    """Not finished: call ``step`` after this delay; other work goes first."""

    after_seconds: float
    step: Callable[[HandlerContext], Result | Continue]
    #: The rest of an urgent command is not urgent: the database thread goes on with it.
    at_leisure: bool = False
    #: Ends the command where nobody waits for its answer any more, in the same thread; None: it goes on.
    give_up: Callable[[], None] | None = None


LoopHandler = Callable[[DaemonControl, Mapping[str, Any]], Result]
#: As a loop handler, after a background handler: gets that one's result, and returns what to add to it.
ResultHandler = Callable[[DaemonControl, Mapping[str, Any], Result], Result]
BackgroundHandler = Callable[[HandlerContext, Invocation], Result | Continue]

_T = TypeVar("_T")


class SubmitTask(Protocol):
    """Adds a task to the queue of the database thread or of the emergency thread."""

    def __call__(
        self,
        task: Callable[[HandlerContext], _T],
        on_done: Callable[[_T], None],
        *,
        delay_seconds: float = 0.0,
        first: bool = False,
    ) -> None:
        """Run ``task`` in that thread, then ``on_done`` with its result in the loop thread.

        Tasks of commands never raise: a failure is part of their result.

        Args:
            task: may block.
            on_done: must return quickly; called once.
            delay_seconds: the earliest start; other tasks run meanwhile.
            first: before every other task that waits.

        Raises:
            ControlError: the thread accepts no more work; the text says why.
        """


class AnswerSink(Protocol):
    """Sends answers to clients (``control.ControlSocket``)."""

    def reply(self, request: Request, result: Mapping[str, Any]) -> None:
        """Send the result of a command that was carried out."""

    def refuse(self, request: Request, code: ErrorCode, message: str) -> None:
        """Send the reason why a command is refused."""

    def progress(self, request: Request, progress: Mapping[str, Any]) -> None:
        """Send a progress message."""

    def is_connected(self, request: Request) -> bool:
        """Whether the client may still take an answer, as far as is known."""

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        """Send one item of a stream; False if the client's queue is full, None if the client is gone."""
