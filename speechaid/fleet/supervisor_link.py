"""A worker's end of the channel to its supervisor: reports go out, orders come in, and it waits here.

A worker has no helper thread: before each step that may block it sends a beat with the step and the deadline
of the next beat (``report_step``), and it waits in ``commands``, where an order or a signal wakes it at once.
"""

from __future__ import annotations

import faulthandler
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import setproctitle

from speechaid.clock import Clock, SystemClock
from speechaid.errors import FleetError
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import (
    Beat,
    Bye,
    Command,
    Counts,
    Event,
    IdempotentCount,
    Order,
    Ready,
    Report,
    SuspectList,
    TurnWanted,
    WorkerIdentity,
    count_key,
    decode_command,
    encode_report,
    turn_of,
)
from speechaid.fleet.signals import SignalQueue, ignore
from speechaid.model.batch import may_mean
from speechaid.model.reading import as_printable
from speechaid.model.states import CREATE_CALL_STEP, NoNewCalls, WorkerState
from speechaid.rules.coverage import PollReason, Suspicion
from speechaid.rules.turn import Turn, TurnEnd, TurnKind

#: A worker stops for these; on a second one, or on SIGQUIT, it hands its call over.
STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
#: Meant for the supervisor; a worker that gets one by mistake (``pkill -HUP``) ignores it.
SUPERVISOR_SIGNALS: Final = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2)
#: Makes a worker write the stacks of all its threads to standard error.
DUMP_SIGNAL: Final = signal.SIGUSR1

#: Increments in one message, which keeps it well under the channel's limit.
COUNTS_PER_MESSAGE: Final = 200
EVENTS_KEPT: Final = 200
#: A step that begins this soon after the last beat, with about the same deadline, sends no beat of its own.
SAME_STEP_SECONDS: Final = 0.25


class SupervisorLink:
    """The worker's connection to its supervisor: beats, counts and events out; orders and signals in.

    Attributes:
        orphaned: the supervisor is gone: finish the live call and leave.
        stop_requested: claim nothing more, finish the live call and leave.
        hand_over_requested: hand the live call over at once and leave.
        paused, draining, held: why nothing may be claimed for now; updated by ``commands`` and
            ``read_orders``.
        paused_batches: names, or beginnings of ids, of batches whose dials are held on this host.
        calls_done: calls that this process has finished.
        failing: the error of each step that fails again and again, by its name; sent with each beat.
        wants_turn: it has asked for a turn, and looks for nothing meanwhile.
    """

    def __init__(self, channel: Channel, identity: WorkerIdentity, clock: Clock | None = None) -> None:
        self.identity = identity
        self.orphaned = False
        self.stop_requested = False
        self.hand_over_requested = False
        self.paused = False
        self.draining = False
        self.held = False
        self.paused_batches: set[str] = set()
        self.calls_done = 0
        self.failing: dict[str, str] = {}
        self.wants_turn = False
        self._clock = clock or SystemClock()
        self._channel = channel
        self._counts: Counts = {}
        self._idempotent_counts: deque[IdempotentCount] = deque()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        #: What is to be said about turns, with the next message.
        self._turn_reports: list[TurnEnd | TurnWanted] = []
        #: The turn that came, and for how many seconds to wait without one.
        self._turn: Turn | None = None
        self._wait_seconds: float | None = None
        self._last_turn = 0
        #: The turn in use, and what is said at its end.
        self._used: Turn | None = None
        self._turn_end: TurnEnd | None = None
        self._doing: tuple[object, ...] = ()
        self._since = self._clock.boottime()
        #: The last beat that was sent: its subject (state, job, call, database), time and deadline.
        self._last_report: tuple[object, ...] = ()
        self._last_report_at = self._last_deadline = 0.0
        self._stop_signals = 0
        #: A signal or end-of-file came that no wait in ``commands`` has ended for yet.
        self._interrupted = False
        faulthandler.register(DUMP_SIGNAL, all_threads=True, chain=False)
        ignore(SUPERVISOR_SIGNALS)
        self._signals = SignalQueue([*STOP_SIGNALS, signal.SIGQUIT])
        #: Orders that were received and that ``commands`` has not returned yet, and whether a signal came.
        self._unread: list[Command] = []
        self._interrupted = False
        #: The call that is covered, and until when.
        self._covered: tuple[str, float] = ("", 0.0)
        #: Calls to be polled, and why; jobs whose hang-up was asked for.
        self._polls: dict[str, PollReason] = {}
        self._hang_ups: set[str] = set()
        # A pause or a drain sent before the fork holds from the first step.
        self._receive_early()

    @property
    def may_claim(self) -> bool:
        """Whether no order and no signal forbids a new claim."""
        return self._forbidden_by() is None

    def read_orders(self) -> NoNewCalls | None:
        """Take in the orders and signals that have come, without waiting; why no new call may be placed.

        ``commands`` returns these orders later.
        """
        self._receive_early()
        return self._forbidden_by()

    def _forbidden_by(self) -> NoNewCalls | None:
        if self.held:
            return NoNewCalls.HOST_HELD
        # Without a supervisor no order arrives any more: a hold typed now would not be heard.
        if self.stop_requested or self.hand_over_requested or self.orphaned:
            return NoNewCalls.STOPPING
        if self.draining:
            return NoNewCalls.DRAINING
        return NoNewCalls.WORKER_PAUSED if self.paused else None

    def is_batch_paused(self, batch_id: str | None, name: str | None) -> bool:
        """Whether dials of this batch are held on this host, by the orders read so far."""
        return may_mean(self.paused_batches, batch_id, name)

    def covered_until(self, call_id: str) -> float:
        """Until when this call need not be polled, in seconds of the boot-time clock; 0: it must be.

        Without a supervisor nobody reports the call's end.
        """
        call, until = self._covered
        return until if call == as_printable(call_id) and not self.orphaned else 0.0

    def take_poll(self, call_id: str) -> PollReason | None:
        """Why this call has to be polled now; once for each order. Orders about other calls are void."""
        why = self._polls.get(as_printable(call_id))
        self._polls.clear()
        return why

    def take_hang_up(self, job_id: str) -> bool:
        """Whether the hang-up of this job's call was asked for; once for each order."""
        asked = as_printable(job_id) in self._hang_ups
        self._hang_ups.clear()
        return asked

    def report(self, report: Report) -> bool:
        """Send a report now; False where the supervisor cannot take it, and it is lost."""
        return self._send(report)

    def suspect_list(self, call_id: str, suspicion: Suspicion) -> None:
        """Report that get-call contradicts Retell's list about this call."""
        self.report(SuspectList(call=as_printable(call_id), suspicion=suspicion))

    def ready(self) -> None:
        """Report that the signal handlers are set and the worker's code begins."""
        self._channel.send(encode_report(Ready(pid=self.identity.pid)))

    def report_step(
        self,
        state: WorkerState,
        step: str,
        *,
        within_seconds: float,
        job: str | None = None,
        call: str | None = None,
        database: bool = False,
    ) -> None:
        """Send a beat: the next step, and that the next beat comes within so many seconds.

        ``database`` says that the step waits for the database.

        Past that deadline and a grace time the supervisor takes this worker for hung, and kills it. A step
        right after another of the same job, with about the same deadline, sends no beat.
        """
        self._end_turn_with(state, step, job)
        # Both are names of other programs: a NUL ends no process title, and none fills the channel.
        job, call = (None if name is None else as_printable(name) for name in (job, call))
        now = self._clock.boottime()
        deadline = now + within_seconds
        subject = (state, job, call, database)
        if subject == self._last_report and now - self._last_report_at < SAME_STEP_SECONDS > abs(
            deadline - self._last_deadline
        ):
            self._send()
            return
        if (state, job) != self._doing:
            self._doing, self._since = (state, job), now
            setproctitle.setproctitle(
                f"speechaid: {self.identity.slot} [{state.value}{f' {job}' if job else ''}]"
            )
        counts = self._take_counts()
        beat = Beat(
            state=state,
            step=step,
            job=job,
            call=call,
            since=self._since,
            deadline=deadline,
            done=self.calls_done,
            counts=counts,
            database=database,
            failing=dict(self.failing),
        )
        if self._send(beat):
            self._last_report, self._last_report_at, self._last_deadline = subject, now, deadline
        else:
            self._restore_counts(counts)  # a beat may be lost, an increment may not

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        """Add to a counter of the supervisor; sent with the next beat."""
        key = count_key(name, labels)
        self._counts[key] = self._counts.get(key, 0) + value

    def count_once(self, once: str, increments: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        """Add to counters for an operation that must count exactly once, even if this worker dies in it.

        Call it right before the write that makes the operation final: the increments are sent at once, so
        that they survive this process; a worker that repeats the operation sends them under the same name.
        """
        counts = {count_key(name, labels): float(value) for name, labels, value in increments}
        self._idempotent_counts.append(IdempotentCount(once=once, counts=counts))
        self._send()

    def call_finished(self) -> None:
        """Count a call that has ended and is written: progress, as the supervisor sees it."""
        self.calls_done += 1

    def emit(self, name: str, /, **fields: Any) -> None:
        """Send an event to the supervisor's listeners, with the next beat, before any step that may block.

        Kept while the channel is full, up to ``EVENTS_KEPT``.
        """
        self._events.append(Event(name=name, fields=fields))

    # -- turns (``rules.turn``) --------------------------------------------------------------------------

    def ask_for_turn(self, *, after_job: bool) -> None:
        """Ask for a turn, with the next message; ``after_job``: there was a job since the last question."""
        self.wants_turn = True
        unsent = [report for report in self._turn_reports if isinstance(report, TurnWanted)]
        after_job = after_job or any(report.after_job for report in unsent)
        self._turn_reports = [report for report in self._turn_reports if isinstance(report, TurnEnd)]
        self._turn_reports.append(TurnWanted(after_job=after_job))

    def take_turn(self) -> Turn | None:
        """The turn that has come; it is in use until ``end_turn``, or until a call is to be placed by it."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._used, self.wants_turn = turn, False
            # A look for lapsed leases is over with the adoption: the worker may follow that call for long.
            recovers = turn.kind is TurnKind.RECOVER
            self._turn_end = TurnEnd(number=turn.number, got=True, more=True) if recovers else None
        return turn

    def take_wait(self) -> float | None:
        """For how many seconds to wait for a turn, if the supervisor has said so since the last call."""
        seconds, self._wait_seconds = self._wait_seconds, None
        return seconds

    def begin_alone(self) -> None:
        """The worker looks without a turn; one that comes meanwhile is declined."""
        self.wants_turn = False

    def note_claim(self, *, more: bool, served: str | None) -> None:
        """By the turn in use a job was claimed: the turn ends when the call is to be placed."""
        if self._used is not None:
            self._turn_end = TurnEnd(number=self._used.number, got=True, more=more, served=served)

    def end_turn(
        self,
        *,
        got: bool = False,
        failed: bool = False,
        declined: bool = False,
        next_due_at: float | None = None,
    ) -> None:
        """End the turn in use, if there is one; what ``note_claim`` said of it goes before ``got``."""
        used, end, self._used, self._turn_end = self._used, self._turn_end, None, None
        if used is None:
            return
        if end is None or failed or not got:
            end = TurnEnd(
                number=used.number,
                got=got,
                more=got,
                failed=failed,
                declined=declined,
                next_due_at=next_due_at,
            )
        self._turn_reports.append(end)

    def _end_turn_with(self, state: WorkerState, step: str, job: str | None) -> None:
        """End the turn in use with the step that begins, where that is no part of a look."""
        if self._used is None or self._turn_end is None:
            return
        recovers = self._used.kind is TurnKind.RECOVER and job is not None
        if recovers or step == CREATE_CALL_STEP or state is WorkerState.FOLLOWING:
            self.end_turn(got=True)

    def _take_in_answer(self, command: Command) -> None:
        if command.order is Order.WAIT:
            self._wait_seconds = float(command.data.get("seconds", 0.0))
            return
        try:
            turn = turn_of(command.data)
        except FleetError as fault:
            self.emit("command.unreadable", text=str(fault))
            return
        if turn.number <= self._last_turn:
            return  # doubled
        self._last_turn = turn.number
        if self.wants_turn and self._turn is None:
            self._turn = turn
        else:
            self._turn_reports.append(TurnEnd(number=turn.number, declined=True))
            self._send()

    def commands(self, timeout_seconds: float) -> list[Command]:
        """Wait until the time is up, an order or signal comes, or the supervisor ends; the orders.

        The attributes are up to date when it returns. With 0 it does not wait.
        """
        self._receive_early()
        interrupted, commands = self._interrupted, self._unread
        self._interrupted, self._unread = False, []
        if not (interrupted or commands) and timeout_seconds > 0:
            self._send()
            self._channel.wait(timeout_seconds, self._signals.fileno())
            _, commands = self._receive()
        return commands

    def bye(self, reason: str) -> None:
        """Send the last message: why this worker exits by itself."""
        while counts := self._take_counts():
            if not self._send(Bye(reason=reason, counts=counts)):
                return
        self._send(Bye(reason=reason))

    def close(self) -> None:
        """Close the channel; the supervisor sees end-of-file."""
        self._signals.close()
        faulthandler.unregister(DUMP_SIGNAL)
        self._channel.close()

    def _receive_early(self) -> None:
        """Take in what has come, and keep it for ``commands``, which must not wait then."""
        interrupted, commands = self._receive()
        self._interrupted = self._interrupted or interrupted
        self._unread += commands

    def _receive(self) -> tuple[bool, list[Command]]:
        """Whether a signal or end-of-file came, and the orders that came."""
        arrived = self._signals.take()
        for number in arrived:
            self._handle_signal(number)
        commands = []
        for message in self._channel.receive():
            try:
                commands.append(decode_command(message))
            except FleetError as fault:
                self.emit("command.unreadable", text=str(fault))
        for command in commands:
            self._handle_command(command)
        lost = self._channel.eof and not self.orphaned
        self.orphaned = self._channel.eof
        return bool(arrived) or lost, commands

    def _handle_signal(self, number: signal.Signals) -> None:
        if number in STOP_SIGNALS:
            self._stop_signals += 1
        self.stop_requested = True
        # An order to stop does not count here: one from the supervisor and one SIGTERM from a service manager
        # that signals the whole group are one request, not two.
        if number == signal.SIGQUIT or self._stop_signals > 1:
            self.hand_over_requested = True

    def _handle_command(self, command: Command) -> None:
        match command.order:
            case Order.STOP:
                self.stop_requested = True
            case Order.HAND_OVER:
                self.stop_requested = self.hand_over_requested = True
            case Order.PAUSE | Order.RESUME:
                self.paused = command.order is Order.PAUSE
            case Order.DRAIN | Order.UNDRAIN:
                self.draining = command.order is Order.DRAIN
            case Order.HOLD:
                self.held = bool(command.data.get("on"))
            case Order.PAUSE_BATCH | Order.RESUME_BATCH:
                batch = str(command.data.get("batch"))
                pauses = command.order is Order.PAUSE_BATCH
                (self.paused_batches.add if pauses else self.paused_batches.discard)(batch)
            case Order.TURN | Order.WAIT:
                self._take_in_answer(command)
            case Order.SETTINGS | Order.LOG_LEVEL:
                pass  # handled by the worker
            case _:
                self._handle_call_order(command)

    def _handle_call_order(self, command: Command) -> None:
        """Take in an order about the call in hand."""
        match command.order:
            case Order.HANG_UP:  # what to do is in ``job.request``
                self._hang_ups.add(str(command.data.get("job")))
            case Order.COVERED:
                self._covered = str(command.data.get("call")), float(command.data.get("until") or 0.0)
            case Order.UNCOVERED:
                self._covered = ("", 0.0)
            case Order.POLL:
                self._polls[str(command.data.get("call"))] = PollReason(str(command.data.get("why")))

    def _send(self, *last: Report) -> bool:
        """Send queued reports and then these, in one packet where they fit; whether these were sent."""
        waiting: list[Report] = [*self._idempotent_counts, *self._events, *self._turn_reports]
        messages = [encode_report(report) for report in (*waiting, *last)]
        try:
            sent = not messages or self._channel.send_all(messages)
        except FleetError:
            self._send_one_by_one()
            return all(self._channel.send(encode_report(report)) for report in last)
        if sent and waiting:
            self._idempotent_counts.clear()
            self._events.clear()
            self._turn_reports.clear()
        return sent

    def _send_one_by_one(self) -> None:
        """Send queued reports one by one: together they are too long."""
        while self._idempotent_counts and self._channel.send(encode_report(self._idempotent_counts[0])):
            self._idempotent_counts.popleft()
        while self._events:
            try:
                if not self._channel.send(encode_report(self._events[0])):
                    return
            except FleetError:
                self.count("speechaid_events_too_long_total")  # lost to listeners, no harm to the call
            self._events.popleft()
        while self._turn_reports and self._channel.send(encode_report(self._turn_reports[0])):
            self._turn_reports.pop(0)

    def _take_counts(self) -> Counts:
        taken = dict(list(self._counts.items())[:COUNTS_PER_MESSAGE])
        for key in taken:
            del self._counts[key]
        return taken

    def _restore_counts(self, counts: Counts) -> None:
        for key, value in counts.items():
            self._counts[key] = self._counts.get(key, 0) + value
