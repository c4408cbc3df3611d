"""What the handlers of control commands are given, and what they give back.

Two kinds, as the command table says (``CommandSpec.runs``). A *loop handler* runs in the supervising thread
and returns at once. A *desk handler* runs in the clerk's thread, may wait for the database, and may return
``Later`` to be called again, so that others' work goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from speechaid.errors import ControlError
from speechaid.protocol.messages import ErrorCode, Request
from speechaid.settings import Settings
from speechaid.store.connection import Store

Result = dict[str, Any]


class CommandRefused(ControlError):  # noqa: N818 - an answer, not an accident
    """A command is not done; the code is for programs, the text for people."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class DaemonControl(Protocol):
    """What commands may ask of the supervisor; all of it answers at once.

    ``ControlError``, ``ConfigError`` or ``FleetError`` from any of these is a refusal with its text.
    """

    def snapshot(self) -> Result:
        """The state of everything, fit for JSON, as ``status`` shows it (docs/control-protocol.md)."""

    def drain(self, on: bool) -> None:
        """Workers of this host claim nothing any more; or again."""

    def pause_worker(self, slot: str) -> None:
        """The worker of this slot claims nothing any more, nor does its successor."""

    def resume_worker(self, slot: str) -> None:
        """The worker of this slot claims again."""

    def hold(self, on: bool) -> None:
        """New dials of this host are held; or no longer."""

    def scale(self, wanted: int) -> int:
        """So many workers are wanted; the number."""

    def reload(self) -> dict[str, list[str]]:
        """Read the settings again: what was ``applied``, and what ``needs_restart``."""

    def set_log_level(self, level: str) -> None:
        """Log from this level on."""

    def shutdown(self, *, now: bool = False) -> None:
        """Begin to stop; ``now`` hands live calls over."""


@dataclass(frozen=True, kw_only=True)
class HandlerContext:
    """What the clerk works with."""

    store: Store
    settings: Settings
    #: Have this called in the loop's thread, soon and in order; may be called from any thread.
    in_loop: Callable[[Callable[[], None]], None]


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One command as a desk handler sees it."""

    args: Mapping[str, Any]
    #: Who asked, as the kernel vouches: ``maria (uid 1000)``.
    actor: str
    attachment: bytes | None
    #: Tell the client how far the work is.
    progress: Callable[[Mapping[str, Any]], None]
    #: The loop's own state when the command came (``Daemon.snapshot``); for the commands that ask for it.
    fleet: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Continue:
    """Not done yet: call ``step`` after so many seconds; others' work goes first."""

    after_seconds: float
    step: Callable[[HandlerContext], Result | Continue]


LoopHandler = Callable[[DaemonControl, Mapping[str, Any]], Result]
BackgroundHandler = Callable[[HandlerContext, Invocation], Result | Continue]

_T = TypeVar("_T")


class SubmitTask(Protocol):
    """The clerk's in-tray."""

    def __call__(
        self,
        task: Callable[[HandlerContext], _T],
        on_done: Callable[[_T], None],
        *,
        delay_seconds: float = 0.0,
    ) -> None:
        """Run ``task`` in the clerk's thread, then ``on_done`` with its result in the loop's thread.

        Tasks of commands never raise: what went wrong is part of their result.

        Args:
            task: takes its time.
            on_done: quick; called once.
            delay_seconds: not before; other tasks are done meanwhile.

        Raises:
            ControlError: the clerk takes no more work; the text says why.
        """


class AnswerSink(Protocol):
    """The end of the control socket that answers go to (``control.ControlSocket``)."""

    def reply(self, request: Request, result: Mapping[str, Any]) -> None:
        """It is done."""

    def refuse(self, request: Request, code: ErrorCode, message: str) -> None:
        """It is not done, and why."""

    def progress(self, request: Request, progress: Mapping[str, Any]) -> None:
        """How far it is."""

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        """One item of a stream; False: the client's queue is full, None: it is gone."""
