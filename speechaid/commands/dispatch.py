"""From a valid request to its answer: pick the handler, run it where it belongs, turn every failure into a
named refusal, and put every write on record.

Nothing here raises into the supervisor's loop, and nothing waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from speechaid.commands.contract import (
    Answers,
    Call,
    Daemon,
    Desk,
    Later,
    LoopHandler,
    Refused,
    Result,
    Submit,
)
from speechaid.commands.recording import Recorder, actor_of
from speechaid.commands.registry import DESK_HANDLERS, LOOP_AFTER, LOOP_BEFORE, LOOP_HANDLERS
from speechaid.errors import ConfigError, NotFound, SpeechaidError, StoreUnavailable
from speechaid.protocol import Access, ErrorCode, Refusal, Request, Runs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A command that was carried out."""

    result: Result


_Outcome = _Done | Later | Refusal
DeskStep = Callable[[Desk], Result | Later]


class Dispatcher:
    """The way of each request through the daemon, from the loop's side; used in the loop's thread alone."""

    def __init__(self, *, daemon: Daemon, answers: Answers, submit: Submit) -> None:
        self._daemon = daemon
        self._answers = answers
        self._submit = submit
        self._recorder = Recorder(submit)

    def dispatch(self, request: Request) -> None:
        """Answer a request: at once what the loop can do, in its time what the clerk must."""
        if request.command.runs is Runs.LOOP:
            self._conclude(request, self._in_loop(request, LOOP_HANDLERS))
            return
        if request.command.name in LOOP_BEFORE:
            before = self._in_loop(request, LOOP_BEFORE)
            if isinstance(before, Refusal):
                self._conclude(request, before)
                return
        # A client that hears this knows that the daemon lives, whatever the database does.
        self._answers.progress(request, {"state": "accepted"})
        handler = DESK_HANDLERS[request.command.name]
        self._at_desk(request, lambda desk: handler(desk, _call(request, desk, self._answers)))

    def _in_loop(self, request: Request, handlers: Mapping[str, LoopHandler]) -> _Outcome:
        return _attempt(request, lambda: handlers[request.command.name](self._daemon, request.args))

    def _at_desk(self, request: Request, step: DeskStep, delay_seconds: float = 0.0) -> None:
        def on_done(outcome: _Outcome) -> None:
            if isinstance(outcome, Later):
                self._at_desk(request, outcome.step, outcome.after_seconds)
                return
            if isinstance(outcome, _Done) and request.command.name in LOOP_AFTER:
                after = self._in_loop(request, LOOP_AFTER)
                outcome = after if isinstance(after, Refusal) else outcome
            self._conclude(request, outcome)

        try:
            self._submit(
                lambda desk: _attempt(request, lambda: step(desk)), on_done, delay_seconds=delay_seconds
            )
        except SpeechaidError as exc:
            self._conclude(request, _refusal(request, exc))

    def _conclude(self, request: Request, outcome: _Outcome) -> None:
        """The answer, then the record."""
        if isinstance(outcome, _Done):
            self._answers.reply(request, outcome.result)
        elif isinstance(outcome, Refusal):
            self._answers.refuse(request, outcome.code, outcome.message)
        if request.command.access is Access.WRITE:
            self._recorder.record(request, outcome.code if isinstance(outcome, Refusal) else "done")


def _call(request: Request, desk: Desk, answers: Answers) -> Call:
    return Call(
        args=request.args,
        actor=actor_of(request.peer),
        attachment=request.attachment,
        progress=lambda progress: desk.in_loop(lambda: answers.progress(request, progress)),
    )


def _attempt(request: Request, step: Callable[[], Result | Later]) -> _Outcome:
    try:
        result = step()
    except Exception as exc:  # noqa: BLE001 - loop and clerk must outlive any handler
        return _refusal(request, exc)
    return result if isinstance(result, Later) else _Done(result=result)


def _refusal(request: Request, exc: Exception) -> Refusal:
    """The named refusal that a failure amounts to."""
    if isinstance(exc, Refused):
        return Refusal(id=request.id, code=exc.code, message=str(exc))
    if isinstance(exc, NotFound):
        return Refusal(id=request.id, code=ErrorCode.NOT_FOUND, message=str(exc))
    if isinstance(exc, StoreUnavailable):
        message = f"{exc}; nothing more is known, try again when status shows it back"
        return Refusal(id=request.id, code=ErrorCode.UNAVAILABLE, message=message)
    if isinstance(exc, ConfigError):
        return Refusal(id=request.id, code=ErrorCode.REFUSED, message="; ".join(exc.faults))
    if isinstance(exc, SpeechaidError):
        return Refusal(id=request.id, code=ErrorCode.REFUSED, message=str(exc))
    _log.error("the command %s failed by a fault of its own", request.command.name, exc_info=exc)
    message = f"a fault of the daemon's own ({type(exc).__name__}); its log has the details"
    return Refusal(id=request.id, code=ErrorCode.INTERNAL, message=message)
