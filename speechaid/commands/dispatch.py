"""From a valid request to its answer: pick the handler, run it where it belongs, turn every failure into a
named refusal, and put every write on record.

Nothing here raises into the supervisor's loop, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from speechaid.commands.audit import AuditLog, actor_of
from speechaid.commands.events import Subscriptions
from speechaid.commands.interfaces import (
    AnswerSink,
    CommandRefused,
    Continue,
    DaemonControl,
    HandlerContext,
    Invocation,
    LoopHandler,
    Result,
    SubmitTask,
)
from speechaid.commands.registry import (
    DESK_HANDLERS,
    DONE_WITHOUT_DATABASE,
    LOOP_AFTER,
    LOOP_BEFORE,
    LOOP_HANDLERS,
    STANDING,
    WITH_FLEET,
    WITHOUT_DATABASE,
)
from speechaid.errors import ConfigError, NotFound, SpeechaidError, StoreUnavailable
from speechaid.protocol.messages import Access, ErrorCode, Refusal, Request, Runs
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A command that was carried out."""

    result: Result


_Outcome = _Done | Continue | Refusal
DeskStep = Callable[[HandlerContext], Result | Continue]


class Dispatcher:
    """The way of each request through the daemon, from the loop's side; used in the loop's thread alone."""

    def __init__(
        self,
        *,
        daemon: DaemonControl,
        answers: AnswerSink,
        submit: SubmitTask,
        database_away: Callable[[], str | None] = lambda: None,
        after_write: Callable[[], None] = lambda: None,
        on_listener: Callable[[Request], None] = lambda _request: None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            daemon: what commands act on.
            answers: where answers go.
            submit: the clerk's in-tray.
            database_away: why the database cannot be asked, as far as is known: what needs it is refused at
                once instead of waiting in line for a time-out.
            after_write: the database is not as it was last counted.
            on_listener: a stream has begun, which has no last answer to be counted by.
        """
        self._daemon = daemon
        self._database_away = database_away
        self._after_write = after_write
        self._on_listener = on_listener
        self._answers = answers
        self._submit = submit
        self._recorder = AuditLog(submit)
        #: Who listens to ``events``.
        self.subscriptions = Subscriptions(answers)

    def dispatch(self, request: Request) -> None:
        """Answer a request: at once what the loop can do, in its time what the clerk must."""
        if request.command.runs is Runs.LOOP:
            self._conclude(request, self._in_loop(request, LOOP_HANDLERS))
            return
        if request.command.runs is Runs.STREAM:
            self._subscribe(request)
            return
        if request.command.name in LOOP_BEFORE:
            before = self._in_loop(request, LOOP_BEFORE)
            if isinstance(before, Refusal):
                self._conclude(request, before)
                return
        away = None if request.command.name in WITHOUT_DATABASE else self._database_away()
        if away is not None:
            self._conclude(request, _unavailable(request, away))
            return
        # A client that hears this knows that the daemon lives, whatever the database does.
        self._answers.progress(request, {"state": "accepted"})
        handler = DESK_HANDLERS[request.command.name]
        fleet = self._daemon.snapshot() if request.command.name in WITH_FLEET else {}
        self._in_background(
            request, lambda context: handler(context, _call(request, context, self._answers, fleet))
        )

    def _subscribe(self, request: Request) -> None:
        try:
            self.subscriptions.subscribe(request)
        except CommandRefused as exc:
            self._conclude(request, Refusal(id=request.id, code=exc.code, message=str(exc)))
        else:
            self._on_listener(request)

    def _in_loop(self, request: Request, handlers: Mapping[str, LoopHandler]) -> _Outcome:
        return _attempt(request, lambda: handlers[request.command.name](self._daemon, request.args))

    def _in_background(self, request: Request, step: DeskStep, delay_seconds: float = 0.0) -> None:
        def on_done(outcome: _Outcome) -> None:
            if isinstance(outcome, Continue):
                self._in_background(request, outcome.step, outcome.after_seconds)
                return
            if isinstance(outcome, _Done) and request.command.name in LOOP_AFTER:
                after = self._in_loop(request, LOOP_AFTER)
                outcome = after if isinstance(after, Refusal) else outcome
            self._conclude(request, outcome)

        try:
            self._submit(
                lambda context: _attempt(request, lambda: step(context)), on_done, delay_seconds=delay_seconds
            )
        except SpeechaidError as exc:
            self._conclude(request, _refusal(request, exc))

    def _conclude(self, request: Request, outcome: _Outcome) -> None:
        """The answer, then the record."""
        if isinstance(outcome, _Done):
            self._answers.reply(request, {**outcome.result, **self._not_kept(request)})
        elif isinstance(outcome, Refusal):
            done = request.command.name in DONE_WITHOUT_DATABASE
            why = self._not_kept(request).get("not_kept") if done else None
            forgotten = "" if why is None else f"; a restart would not know it: {why}"
            self._answers.refuse(request, outcome.code, outcome.message + forgotten)
        if request.command.access is Access.WRITE:
            self._recorder.record(request, outcome.code if isinstance(outcome, Refusal) else "done")
            if request.command.runs is Runs.BACKGROUND:
                self._after_write()

    def _not_kept(self, request: Request) -> Result:
        """What the answer to an order that stands has to add where a restart would not know of it."""
        if request.command.name not in STANDING:
            return {}
        why = self._daemon.snapshot()["supervisor"].get("orders_not_kept")
        return {} if why is None else {"not_kept": why}


def _call(
    request: Request, context: HandlerContext, answers: AnswerSink, fleet: Mapping[str, Any]
) -> Invocation:
    return Invocation(
        fleet=fleet,
        args=request.args,
        actor=actor_of(request.peer),
        attachment=request.attachment,
        progress=lambda progress: context.in_loop(lambda: answers.progress(request, progress)),
    )


def _attempt(request: Request, step: Callable[[], Result | Continue]) -> _Outcome:
    try:
        result = step()
    except Exception as exc:  # noqa: BLE001 - loop and clerk must outlive any handler
        return _refusal(request, exc)
    return result if isinstance(result, Continue) else _Done(result=result)


def _refusal(request: Request, exc: Exception) -> Refusal:
    """The named refusal that a failure amounts to."""
    if isinstance(exc, CommandRefused):
        return Refusal(id=request.id, code=exc.code, message=str(exc))
    if isinstance(exc, NotFound):
        return Refusal(id=request.id, code=ErrorCode.NOT_FOUND, message=str(exc))
    if isinstance(exc, StoreUnavailable):
        return _unavailable(request, str(exc))
    if isinstance(exc, ConfigError):
        return Refusal(id=request.id, code=ErrorCode.REFUSED, message="; ".join(exc.faults))
    if isinstance(exc, SpeechaidError):
        done = DONE_WITHOUT_DATABASE.get(request.command.name, "")
        return Refusal(id=request.id, code=ErrorCode.REFUSED, message=f"{done}{exc}")
    log.exception("command.fault", command=request.command.name)  # noqa: LOG004 - in `_attempt`'s handler
    message = f"a fault of the daemon's own ({type(exc).__name__}); its log has the details"
    return Refusal(id=request.id, code=ErrorCode.INTERNAL, message=message)


def _unavailable(request: Request, away: str) -> Refusal:
    """The refusal of what needs the database; what the loop has done all the same is said."""
    done = DONE_WITHOUT_DATABASE.get(request.command.name, "")
    message = f"{done}{away}; nothing more is known, try again when status shows it back"
    return Refusal(id=request.id, code=ErrorCode.UNAVAILABLE, message=message)
