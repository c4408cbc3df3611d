"""Carry out valid requests: run the handler in its thread, turn failures into refusals, audit every write.

Nothing here raises into the supervisor's loop, and nothing waits.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from speechaid.clock import Clock, SystemClock
from speechaid.commands.admission import Admission
from speechaid.commands.audit import AuditLog, actor_of, peer_fields
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
    ResultHandler,
    SubmitTask,
)
from speechaid.commands.read_records import ReadRecords
from speechaid.commands.registry import REGISTRY, BackgroundCommand, LoopCommand
from speechaid.commands.scopes import conceal, refuse_unscoped, restrict
from speechaid.commands.status_answers import without_people
from speechaid.errors import ConfigError, NotFound, SpeechaidError, StoreError, StoreUnavailable
from speechaid.model.masking import mask_prose
from speechaid.protocol.messages import REVOKED, Access, ErrorCode, Refusal, Request, Runs
from speechaid.protocol.translation import joined, say
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.summed_log import SummedLog

log = get_logger(__name__)

#: An answer waits for a count at most this long, in seconds, and until the next tick.
_COUNT_WAIT_SECONDS: Final = 1.0
#: Refusals by the database's contents, and a pause that is written but whose dials have not ended: nothing
#: has to be held in its place.
_DECIDED: Final = frozenset({ErrorCode.NOT_FOUND, ErrorCode.AMBIGUOUS_ID, ErrorCode.TIMEOUT})

#: Refusals whose texts quote neither documents nor Retell.
_WITHOUT_PEOPLE: Final = frozenset({ErrorCode.BUSY, ErrorCode.UNAVAILABLE})


@dataclass(frozen=True, kw_only=True)
class _Done:
    """The result of a command that was carried out."""

    result: Result


_Outcome = _Done | Continue | Refusal


class Dispatcher:
    """Runs requests and answers them; used by the loop thread only."""

    def __init__(
        self,
        *,
        daemon: DaemonControl,
        answers: AnswerSink,
        submit: SubmitTask,
        submit_urgent: SubmitTask | None = None,
        database_away: Callable[[], str | None] = lambda: None,
        after_write: Callable[[], None] = lambda: None,
        on_change: Callable[[], None] = lambda: None,
        count_again: Callable[[Callable[[], None]], bool] = lambda _on_done: False,
        on_listener: Callable[[Request], None] = lambda _request: None,
        is_allowed: Callable[[Request], bool] = lambda _request: True,
        clock: Clock | None = None,
    ) -> None:
        """Send nothing yet.

        Args:
            daemon: what commands act on.
            answers: sends the answers.
            submit: adds a task to the database thread's queue.
            submit_urgent: adds a task of an urgent command to the emergency thread's queue; without one the
                database thread gets it.
            database_away: why the database is known to be unavailable, or None: a command that needs it is
                then refused at once instead of waiting for a time-out.
            after_write: called in the database thread after a write there, before the answer: what status
                shows is renewed.
            on_change: called in the loop thread before the answer to a write: alerts are evaluated again.
            count_again: has jobs counted again where a command has written since; calls back when it is done,
                or returns False.
            on_listener: called when a stream begins, because a stream has no final answer to count.
            is_allowed: whether the client still has the access of when it asked; called in any thread.
            clock: the system's unless given.
        """
        self._daemon = daemon
        self._is_allowed = is_allowed
        self._clock = clock or SystemClock()
        self._database_away = database_away
        self._after_write = after_write
        self._on_change = on_change
        self._count_again = count_again
        #: Answers that wait for a count: when they are given without it, and how.
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._on_listener = on_listener
        self._answers = answers
        self._submit = submit
        self._submit_urgent = submit_urgent or submit
        self._admission = Admission()
        #: The requests that count as under way, by identity: a request is no key of a mapping.
        self._admitted: dict[int, Request] = {}
        self._joinable: dict[str, list[Request]] = {}
        self._joinable_lock = threading.Lock()
        #: How many commands of a kind hold something in the loop until the database has decided.
        self._unsettled: Counter[str] = Counter()
        #: Programming errors that requests meet.
        self._faults = SummedLog(log)
        self._audit_log = AuditLog(submit)
        self._read_records = ReadRecords(submit, self._clock)
        #: The clients that listen to ``events``.
        self.subscriptions = Subscriptions(
            answers, on_shown=lambda request: self._read_records.note(request, documents=1)
        )

    def dispatch(self, request: Request) -> None:
        """Answer a request: loop commands at once, background commands when they are done."""
        request = _with_masked_reason(request)
        if request.account_id is None:
            self._begin(request)
        else:
            self._restrict(request, request.account_id)

    def _restrict(self, request: Request, account_id: str) -> None:
        """Look up what the request of a bound user names, in its thread; then begin with what was found.

        Before anything is in force in the loop: a beginning of an id may be another account's.
        """

        def attempt(context: HandlerContext) -> Request | Refusal:
            try:
                return restrict(context, request, account_id)
            except Exception as exc:  # noqa: BLE001 - an exception must not end a thread
                return self._refusal(request, exc)

        def on_done(outcome: Request | Refusal) -> None:
            self._admission.release_request(request)
            if isinstance(outcome, Refusal):
                self._conclude(request, outcome)
            else:
                self._begin(outcome)

        try:
            refuse_unscoped(request)
        except CommandRefused as exc:
            self._conclude(request, self._refusal(request, exc))
            return
        busy = self._admission.admit_request(request)
        if busy is not None:
            self._conclude(request, Refusal(id=request.id, code=ErrorCode.BUSY, message=busy))
            return
        away = self._database_away()
        try:
            if away is not None:
                raise StoreUnavailable(away)
            (self._submit_urgent if request.command.urgent else self._submit)(attempt, on_done)
        except SpeechaidError as exc:
            self._admission.release_request(request)
            self._conclude(request, self._refusal(request, exc))

    def _begin(self, request: Request) -> None:
        if request.command.runs is Runs.STREAM:
            self._subscribe(request)
            return
        registered = REGISTRY[request.command.name]
        if isinstance(registered, BackgroundCommand):
            self._start(request, registered)
        elif not (registered.shows_counts and self._answer_when_counted(request, registered)):
            self._conclude(request, self._in_loop(request, registered.run))

    def tick(self, now: float) -> None:
        """Each second: have reads recorded, and answer without a count what has waited long enough for one.

        Args:
            now: seconds of the boot-time clock.
        """
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.popleft()[1]()
        self._read_records.tick()
        self._faults.tick()
        self._faults.take_counts()

    def end_revoked(self) -> None:
        """After a change of the keys: end what clients without access have outstanding.

        Their streams end, and what waits or is under way is refused at once. Its work ends with the step that
        runs now, an import as if the daemon had stopped; what stops calls is carried out all the same.
        """
        over = [request for request in self._admitted.values() if not self._is_allowed(request)]
        over += self.subscriptions.take(lambda request: not self._is_allowed(request))
        for request in over:
            log.warning("command.revoked", command=request.command.name, **peer_fields(request.peer))
            self._answers.refuse(request, ErrorCode.FORBIDDEN, REVOKED)

    def close(self) -> None:
        """Have the database thread, which is closed after this, write what is not recorded yet."""
        self._read_records.close()

    def _answer_when_counted(self, request: Request, command: LoopCommand) -> bool:
        """Have jobs counted again, then answer; False where that is not needed, or not possible."""
        answered = False

        def answer() -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._note_change(request)
                self._conclude(request, self._in_loop(request, command.run))

        try:
            if not self._count_again(answer):
                return False
        except SpeechaidError:  # too much waits for the database already
            return False
        self._waiting.append((self._clock.boottime() + _COUNT_WAIT_SECONDS, answer))
        return True

    def _start(self, request: Request, command: BackgroundCommand) -> None:
        if command.before is not None:
            before = self._in_loop(request, command.before)
            if isinstance(before, Refusal):
                self._conclude(request, before)
                return
        busy = self._admission.admit_request(request)
        if busy is not None:
            message = say("{done_before}{busy}", done_before=_done_before(request), busy=busy)
            self._conclude(request, Refusal(id=request.id, code=ErrorCode.BUSY, message=message))
            return
        self._admitted[id(request)] = request
        away = self._database_away() if command.needs_database else None
        if away is not None:
            self._conclude(request, _unavailable(request, away))
            return
        if command.settle is not None:
            self._unsettled[_join_key(request)] += 1
        joined = self._join(request) if request.command.urgent else [request]
        # Tells the client that the daemon is alive, whatever the database does.
        self._answers.progress(request, {"state": "accepted"})
        if joined is None:
            return
        snapshot = self._daemon.snapshot() if command.needs_snapshot else {}

        def run(context: HandlerContext) -> Result | Continue:
            self._close_group(joined)
            return command.run(context, _invocation(joined, context, self._answers, snapshot))

        submit = self._submit_urgent if request.command.urgent else self._submit
        self._in_background(joined, run, command, submit, first=command.first)

    def _join(self, request: Request) -> list[Request] | None:
        """The group that the request begins; None where it joins an equal one that has not begun to run.

        A group that has begun may have written already, before what the client has seen since: no request
        joins it.
        """
        with self._joinable_lock:
            group = self._joinable.get(_join_key(request))
            if group is not None:
                group.append(request)
                return None
            self._joinable[_join_key(request)] = group = [request]
            return group

    def _close_group(self, group: list[Request]) -> None:
        """Called in the task's thread before it begins."""
        with self._joinable_lock:
            if self._joinable.get(_join_key(group[0])) is group:
                del self._joinable[_join_key(group[0])]

    def _subscribe(self, request: Request) -> None:
        try:
            self.subscriptions.subscribe(request)
        except CommandRefused as exc:
            self._conclude(request, Refusal(id=request.id, code=exc.code, message=str(exc)))
        else:
            self._read_records.note(request, requests=1)
            self._on_listener(request)

    def _in_loop(self, request: Request, handler: LoopHandler) -> _Outcome:
        return self._attempt(request, lambda: handler(self._daemon, request.args))

    def _in_background(
        self,
        group: list[Request],
        step: Callable[[HandlerContext], Result | Continue],
        command: BackgroundCommand,
        submit: SubmitTask,
        delay_seconds: float = 0.0,
        *,
        first: bool = False,
    ) -> None:
        request = group[0]

        def on_done(outcome: _Outcome) -> None:
            if isinstance(outcome, Continue):
                if self._is_given_up(group, outcome, submit):
                    return
                then = self._submit if outcome.at_leisure else submit
                self._in_background(group, outcome.step, command, then, outcome.after_seconds)
                return
            if isinstance(outcome, _Done) and command.after is not None:
                outcome = self._after(request, command.after, outcome.result)
            self._conclude_group(group, outcome)

        def attempt(context: HandlerContext) -> _Outcome:
            if not request.command.urgent and not self._is_allowed(request):
                return Refusal(id=request.id, code=ErrorCode.FORBIDDEN, message=REVOKED)
            outcome = self._attempt(request, lambda: step(context))
            if isinstance(outcome, _Done) and _is_recorded_read(request):
                outcome = self._record_read(context, request, outcome, command)
            if request.command.access is Access.WRITE and not isinstance(outcome, Continue):
                self._after_write()
            return outcome

        try:
            submit(attempt, on_done, delay_seconds=delay_seconds, first=first)
        except SpeechaidError as exc:
            self._close_group(group)
            self._conclude_group(group, self._refusal(request, exc))

    def _record_read(
        self, context: HandlerContext, request: Request, outcome: _Done, command: BackgroundCommand
    ) -> _Outcome:
        """Record what the answer shows of people, in the database thread; without a record, no answer."""
        documents = 0 if command.documents is None else command.documents(request.args, outcome.result)
        if not documents and not command.records_empty:
            return outcome
        try:
            self._read_records.record(context.store, request, documents)
        except StoreError as exc:
            log.warning("command.not_recorded", command=request.command.name, text=str(exc))
            code = ErrorCode.UNAVAILABLE if isinstance(exc, StoreUnavailable) else ErrorCode.REFUSED
            message = say("not answered, because call_logs cannot record who reads this: {exc}", exc=exc)
            return Refusal(id=request.id, code=code, message=message)
        return outcome

    def _is_given_up(self, group: list[Request], outcome: Continue, submit: SubmitTask) -> bool:
        """End a command whose clients have all left, where it may be ended; whether that was done."""
        give_up = outcome.give_up
        if give_up is None or any(self._answers.is_connected(request) for request in group):
            return False
        refusal = Refusal(id=group[0].id, code=ErrorCode.REFUSED, message=say("the client has left"))
        try:
            submit(lambda _context: give_up(), lambda _: self._conclude_group(group, refusal))
        except SpeechaidError:  # too much waits for the thread: it goes on, and the next step asks again
            return False
        return True

    def _after(self, request: Request, after: ResultHandler, result: Result) -> _Outcome:
        return self._attempt(request, lambda: result | after(self._daemon, request.args, result))

    def _conclude_group(self, group: list[Request], outcome: _Outcome) -> None:
        for request in group:
            self._settle(request, outcome)
            # Each client gets the refusal under the id of its own request.
            own = replace(outcome, id=request.id) if isinstance(outcome, Refusal) else outcome
            self._conclude(request, own)

    def _settle(self, request: Request, outcome: _Outcome) -> None:
        """Once the database has decided, lift what the command put in force in the loop meanwhile.

        Not while another request for the same is under way: the database does not have that one yet.
        """
        registered = REGISTRY[request.command.name]
        if not isinstance(registered, BackgroundCommand) or registered.settle is None:
            return
        key = _join_key(request)
        self._unsettled[key] -= 1
        if self._unsettled[key] > 0:
            return
        del self._unsettled[key]
        if isinstance(outcome, _Done) or (isinstance(outcome, Refusal) and outcome.code in _DECIDED):
            self._in_loop(request, registered.settle)

    def _attempt(self, request: Request, step: Callable[[], Result | Continue]) -> _Outcome:
        try:
            result = step()
        except Exception as exc:  # noqa: BLE001 - an exception in a handler must not end a thread
            return self._refusal(request, exc)
        return result if isinstance(result, Continue) else _Done(result=result)

    def _refusal(self, request: Request, exc: Exception) -> Refusal:
        """The refusal for a failure."""
        if isinstance(exc, CommandRefused):
            return Refusal(id=request.id, code=exc.code, message=str(exc))
        if isinstance(exc, NotFound):
            return Refusal(id=request.id, code=ErrorCode.NOT_FOUND, message=str(exc))
        if isinstance(exc, StoreUnavailable):
            return _unavailable(request, str(exc))
        if isinstance(exc, ConfigError):
            return Refusal(id=request.id, code=ErrorCode.REFUSED, message=joined("; ", exc.faults))
        if isinstance(exc, SpeechaidError):
            message = say("{done_before}{exc}", done_before=_done_before(request), exc=exc)
            return Refusal(id=request.id, code=ErrorCode.REFUSED, message=message)
        # A client may repeat what meets it. ``_attempt`` has the exception in hand.
        self._faults.exception(
            "command.fault",
            client=request.client,
            cause=request.command.name,
            command=request.command.name,
        )
        message = say(
            "a programming error of the daemon ({name}); its log has the details", name=type(exc).__name__
        )
        return Refusal(id=request.id, code=ErrorCode.INTERNAL, message=message)

    def _note_change(self, request: Request) -> None:
        """Have alerts evaluated again, before the answer shows them or what they rest on."""
        try:
            self._on_change()
        except Exception:  # the answer is due all the same
            log.exception("command.fault", command=request.command.name)

    def _conclude(self, request: Request, outcome: _Outcome) -> None:
        """Send the answer, then audit a write."""
        if request.command.access is Access.WRITE:
            self._note_change(request)
        if self._admitted.pop(id(request), None) is not None:
            self._admission.release_request(request)
        if isinstance(outcome, _Done):
            not_saved = self._not_saved(request)
            result = conceal(request, outcome.result | ({"not_kept": not_saved} if not_saved else {}))
            if not request.peer.may(Access.READ):
                result = without_people(request.command.name, result)
            self._answers.reply(request, result)
        elif isinstance(outcome, Refusal):
            not_saved = self._not_saved(request) if _done_before(request) else None
            lost = say("; a restart will lose it: {not_saved}", not_saved=not_saved) if not_saved else ""
            message = outcome.message + lost
            if not request.peer.may(Access.READ) and outcome.code not in _WITHOUT_PEOPLE:
                message = say(
                    "this could not be answered; the daemon's log or a client with a read key says why"
                )
            self._answers.refuse(request, outcome.code, message)
        is_recorded = isinstance(outcome, _Done) and _is_recorded_read(request)
        if request.command.access is Access.WRITE and not is_recorded:
            code = outcome.code if isinstance(outcome, Refusal) else "done"
            self._audit_log.record(request, code, outcome.result if isinstance(outcome, _Done) else None)

    def _not_saved(self, request: Request) -> str | None:
        """Why the persisted state that this command changes could not be saved; None where it was."""
        if not REGISTRY[request.command.name].is_persisted:
            return None
        reason: str | None = self._daemon.snapshot()["supervisor"].get("orders_not_kept")
        return reason


def _with_masked_reason(request: Request) -> Request:
    """A reason goes into documents, answers, events and alerts: numbers are masked before all of them."""
    reason = request.args.get("reason")
    if reason is None:
        return request
    return replace(request, args={**request.args, "reason": mask_prose(reason)})


def _join_key(request: Request) -> str:
    """Equal for requests that ask for the same and come from the same user."""
    peer = request.peer
    return repr((request.command.name, sorted(request.args.items()), peer.uid, peer.name, peer.on_behalf))


def _invocation(
    group: list[Request], context: HandlerContext, answers: AnswerSink, snapshot: Mapping[str, Any]
) -> Invocation:
    request = group[0]

    def report(progress: Mapping[str, Any]) -> None:
        for member in group:
            answers.progress(member, progress)

    return Invocation(
        snapshot=snapshot,
        args=request.args,
        actor=actor_of(request.peer),
        attachment=request.attachment,
        progress=lambda progress: context.in_loop(lambda: report(progress)),
    )


def _is_recorded_read(request: Request) -> bool:
    """Whether the answer shows people's data, and changes nothing."""
    command = REGISTRY[request.command.name]
    shows_people = isinstance(command, BackgroundCommand) and command.documents is not None
    return shows_people and (request.command.access is Access.READ or bool(request.args.get("dry_run")))


def _done_before(request: Request) -> str:
    """The prefix for a refusal: what has already taken effect in the loop."""
    command = REGISTRY.get(request.command.name)
    if request.args.get("dry_run"):
        return ""
    return command.done_before if isinstance(command, BackgroundCommand) else ""


def _unavailable(request: Request, away: str) -> Refusal:
    """The refusal of a command that needs the database; says what was done in the loop nevertheless."""
    message = say(
        '{done_before}{away}; try again when speechctl status shows "database: up"',
        done_before=_done_before(request),
        away=away,
    )
    return Refusal(id=request.id, code=ErrorCode.UNAVAILABLE, message=message)
