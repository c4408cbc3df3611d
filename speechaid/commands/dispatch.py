"""From a valid request to its answer: pick the handler, run it where it belongs, turn every failure into a
named refusal, and put every write on record.

Nothing here raises into the supervisor's loop, and nothing waits.
"""

from __future__ import annotations

import logging
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from speechaid.commands.contract import (
    Answers,
    Call,
    Daemon,
    Desk,
    Later,
    Refused,
    Result,
    Submit,
)
from speechaid.commands.registry import DESK_HANDLERS, LOOP_AFTER, LOOP_BEFORE, LOOP_HANDLERS
from speechaid.errors import ConfigError, NotFound, SpeechaidError, StoreError, StoreUnavailable
from speechaid.protocol import Access, ErrorCode, Peer, Refusal, Request, Runs

_log = logging.getLogger(__name__)

#: A record of a command that the database could not take is offered again so often, so far apart.
_AUDIT_TRIES: Final = 360
_AUDIT_PAUSE_SECONDS: Final = 10.0


def dispatch(request: Request, *, daemon: Daemon, answers: Answers, submit: Submit) -> None:
    """Answer a request: at once what the loop can do, in its time what the clerk must."""
    if request.command.runs is Runs.LOOP:
        _run_in_loop(request, daemon, answers, submit)
    else:
        _run_at_desk(request, daemon, answers, submit)


def actor_of(peer: Peer) -> str:
    """Who a peer is, for people: ``maria (uid 1000)``. May ask the user database, so never in the loop."""
    if peer.uid is None:
        return "unknown client"
    try:
        return f"{pwd.getpwuid(peer.uid).pw_name} (uid {peer.uid})"
    except KeyError:
        return f"uid {peer.uid}"


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A command that was carried out."""

    result: Result


_Outcome = _Done | Later | Refusal
DeskStep = Callable[[Desk], Result | Later]


def _run_in_loop(request: Request, daemon: Daemon, answers: Answers, submit: Submit) -> None:
    outcome = _attempt(request, lambda: LOOP_HANDLERS[request.command.name](daemon, request.args))
    _conclude(request, outcome, answers, submit)


def _run_at_desk(request: Request, daemon: Daemon, answers: Answers, submit: Submit) -> None:
    name = request.command.name

    def hand_over(step: DeskStep, delay_seconds: float = 0.0) -> None:
        try:
            submit(lambda desk: _attempt(request, lambda: step(desk)), on_done, delay_seconds=delay_seconds)
        except SpeechaidError as exc:
            _conclude(request, _refusal(request, exc), answers, submit)

    def on_done(outcome: _Outcome) -> None:
        if isinstance(outcome, Later):
            hand_over(outcome.step, outcome.after_seconds)
            return
        if isinstance(outcome, _Done) and name in LOOP_AFTER:
            after = _attempt(request, lambda: LOOP_AFTER[name](daemon, request.args))
            outcome = after if isinstance(after, Refusal) else outcome
        _conclude(request, outcome, answers, submit)

    if name in LOOP_BEFORE:
        before = _attempt(request, lambda: LOOP_BEFORE[name](daemon, request.args))
        if isinstance(before, Refusal):
            _conclude(request, before, answers, submit)
            return
    # A client that hears this knows that the daemon lives, whatever the database does.
    answers.progress(request, {"state": "accepted"})
    hand_over(lambda desk: DESK_HANDLERS[name](desk, _call(request, desk, answers)))


def _conclude(request: Request, outcome: _Outcome, answers: Answers, submit: Submit) -> None:
    """The answer, then the record."""
    if isinstance(outcome, _Done):
        answers.reply(request, outcome.result)
    elif isinstance(outcome, Refusal):
        answers.refuse(request, outcome.code, outcome.message)
    if request.command.access is Access.WRITE:
        _record(request, outcome, submit)


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


def _record(request: Request, outcome: _Outcome, submit: Submit) -> None:
    """Put a write on record: who, what, and what came of it; again and again while the database is away."""
    word = outcome.code if isinstance(outcome, Refusal) else "done"
    given = {name: value for name, value in request.args.items() if value not in {None, False}}
    _log.info(
        "command %s: %s",
        request.command.name,
        word,
        extra={"event": "command", "peer_uid": request.peer.uid, "peer_pid": request.peer.pid},
    )

    def write(desk: Desk) -> StoreError | None:
        try:
            desk.store.logs.audit(
                actor=actor_of(request.peer), command=request.command.name, args=given, outcome=str(word)
            )
        except StoreError as exc:
            return exc
        return None

    def offer(tries_left: int, delay_seconds: float) -> None:
        def on_done(fault: StoreError | None) -> None:
            if fault is None:
                return
            if tries_left > 0 and isinstance(fault, StoreUnavailable):
                offer(tries_left - 1, _AUDIT_PAUSE_SECONDS)
            else:
                _log.error("the command %s is not on record: %s", request.command.name, fault)

        try:
            submit(write, on_done, delay_seconds=delay_seconds)
        except SpeechaidError as exc:
            _log.warning("the command %s is not on record: %s", request.command.name, exc)

    offer(_AUDIT_TRIES, 0.0)
