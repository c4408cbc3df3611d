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
    WorkerIdentity,
    count_key,
    decode_command,
    encode_report,
)
from speechaid.fleet.signals import SignalQueue, ignore
from speechaid.model.batch import may_mean
from speechaid.model.reading import as_printable
from speechaid.model.states import NoNewCalls, WorkerState
from speechaid.rules.coverage import PollReason, Suspicion

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
        self._clock = clock or SystemClock()
        self._channel = channel
        self._counts: Counts = {}
        self._idempotent_counts: deque[IdempotentCount] = deque()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
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
            case Order.SETTINGS | Order.LOG_LEVEL:
                pass  # handled by the worker
            case Order.PAUSE_BATCH:
                self.paused_batches.add(str(command.data.get("batch")))
            case Order.RESUME_BATCH:
                self.paused_batches.discard(str(command.data.get("batch")))
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
        waiting: list[Report] = [*self._idempotent_counts, *self._events]
        messages = [encode_report(report) for report in (*waiting, *last)]
        try:
            sent = not messages or self._channel.send_all(messages)
        except FleetError:
            self._send_one_by_one()
            return all(self._channel.send(encode_report(report)) for report in last)
        if sent and waiting:
            self._idempotent_counts.clear()
            self._events.clear()
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

    def _take_counts(self) -> Counts:
        taken = dict(list(self._counts.items())[:COUNTS_PER_MESSAGE])
        for key in taken:
            del self._counts[key]
        return taken

    def _restore_counts(self, counts: Counts) -> None:
        for key, value in counts.items():
            self._counts[key] = self._counts.get(key, 0) + value
