"""The fleet: as many workers as wanted, each with a deadline, each replaced when it ends.

Everything happens in ``tick``, called by the supervisor's loop: read reports, reap ended processes, take the
zygote's answers, then review each slot and make at most one state change. All channels and pidfds are in one
epoll, whose descriptor the loop waits for, so that a beat costs the same in a fleet of any size.
"""

from __future__ import annotations

import contextlib
import logging
import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from speechaid.errors import FleetError
from speechaid.fleet.call_watch import FOLLOWER, CallWatch
from speechaid.fleet.channel import Channel
from speechaid.fleet.interfaces import DatabaseProbe, OtherChildren
from speechaid.fleet.messages import (
    Beat,
    Bye,
    Counts,
    EndedCalls,
    Event,
    IdempotentCount,
    ListPass,
    Order,
    Ready,
    Report,
    SuspectList,
    TurnWanted,
    WorkerIdentity,
    decode_report,
    turn_data,
)
from speechaid.fleet.poller import INTERVAL_A_WORKER_SECONDS, READ_INTERVAL_SECONDS, ProcessPoller
from speechaid.fleet.processes import Child, Exit, read_state, read_usage, reap_strays
from speechaid.fleet.slots import Slot, SlotState
from speechaid.fleet.spawner import ForkResult, Spawner
from speechaid.fleet.supervisor_link import DUMP_SIGNAL
from speechaid.model.reading import as_printable
from speechaid.rules.overload import Diagnosis, LateWorker, OverloadMode, diagnose, kill_at, next_mode
from speechaid.rules.respawn import ExitCause, ExitHistory, RespawnPolicy, decide
from speechaid.rules.turn import TurnEnd, TurnScheduler
from speechaid.telemetry.logs import get_logger

#: Longest time between two reviews of the slots; a change causes one at once.
REVIEW_SECONDS: Final = 1.0
#: A worker that is slowed down is looked at again after this time.
EXTENSION_SECONDS: Final = 5.0
#: Workers on their way to their first report, at most: more at once would only slow each other down.
MOST_BIRTHS: Final = 16

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Time limits of the fleet, in seconds."""

    #: From the request to the fork; above the time that the spawner allows its zygote.
    birth_seconds: float = 30.0
    #: From the fork to the ``ready`` report.
    boot_seconds: float = 60.0
    #: Past the deadline of a worker's last beat.
    grace_seconds: float = 5.0
    #: From the stack dump to the kill.
    dump_seconds: float = 1.0
    respawn: RespawnPolicy = field(default_factory=RespawnPolicy)


class FleetListener(Protocol):
    """Callbacks of the fleet; called from the loop, and must not block."""

    def on_counts(self, counts: Counts) -> None:
        """Increments of a worker's counters."""

    def on_idempotent_count(self, count: IdempotentCount) -> None:
        """Increments that count once per name."""

    def on_worker_event(self, slot: str, event: Event) -> None:
        """An event that a worker sent."""

    def on_worker_exit(self, worker_id: str, beat: Beat | None, cause: ExitCause) -> None:
        """A worker process has ended; the beat is its last one."""


class Fleet:
    """All slots; owned by the supervisor's loop.

    Attributes:
        wanted: number of workers; each tick moves the fleet towards it.
        paused: names of slots whose workers claim nothing.
        draining, held: as ordered by an operator for this host.
        paused_batches: beginnings of the ids of batches whose dials an operator holds on this host.
        no_space: why dials are held for lack of space on the database's disk; None where there is enough.
        other_children: tells the child processes that are reaped elsewhere, and that none is added meanwhile;
            None: one is just being started, so that nothing may be reaped.
        follower: the slot of the process that asks Retell's list for ended calls; no worker.
        watch: which calls it asks for, and which are covered.
        overload: whether machine or database are overloaded; then no worker is started, but for the first.
    """

    def __init__(
        self,
        spawner: Spawner,
        listener: FleetListener,
        *,
        host: str,
        wire: Mapping[str, Any],
        timeouts: Timeouts,
        paused: set[str] | None = None,
        probe: DatabaseProbe | None = None,
        list_interval: float = 0.0,
    ) -> None:
        self.wanted = 0
        self.paused: set[str] = set(paused or ())
        self.draining = False
        self.held = False
        self.paused_batches: set[str] = set()
        self.no_space: str | None = None
        self.other_children: OtherChildren = lambda: contextlib.nullcontext(frozenset())
        self.slots: dict[int, Slot] = {}
        self.follower = Slot(0, 0.0, FOLLOWER)
        self.watch = CallWatch(list_interval)
        self.spawner = spawner
        self.timeouts = timeouts
        self.overload = OverloadMode()
        #: Which idle workers look for jobs, and when.
        self.scheduler = TurnScheduler()
        self._probe = probe
        #: Workers that are being started and have not reported yet, and whether others wait for that.
        self._births = 0
        self._births_wait = False
        #: Workers found to be slowed down since the last review.
        self._slowed = 0
        self._log_level: str | None = None
        self._listener = listener
        self._host = host
        self._wire = wire
        self._closing = False
        self._poller = ProcessPoller()
        self._review_at = 0.0
        self._lenient_until = 0.0
        # Counts of slots that were removed: totals stay monotonic.
        self._calls_of_removed = 0
        self._restarts_of_removed = 0

    def fileno(self) -> int:
        """Readable when a tick has something to do."""
        return self._poller.fileno()

    def next_tick_at(self) -> float:
        """When the next tick is due at the latest, in seconds of the boot-time clock."""
        zygote = None if self._closing else self.spawner.next_tick_at()
        due = min(self._review_at, self._poller.next_read_at, self.watch.next_at, self.scheduler.next_at)
        return due if zygote is None else min(due, zygote)

    def tick(self, now: float) -> None:
        """One pass: read reports, reap, check deadlines, and bring the fleet to size."""
        # Before deadlines are checked, every unread report is read.
        for slot, ended in self._poller.poll(now, read_all=now >= self._review_at):
            self._guarded(slot, self._reap if ended else self._receive, now)
        for result in self.spawner.tick(now, needed=not self._closing, spare=not self._births_stopped):
            self._handle_fork_result(result, now)
        self._follow_zygote()
        self._guarded(self.follower, self._update_coverage, now)
        if now >= self._review_at:
            self._review(now)
        if now >= self.scheduler.next_at:
            self._give_turns(now)

    # Orders of the supervisor.

    def scale(self, wanted: int) -> None:
        """Set the number of workers: more start at once, surplus ones finish their calls first."""
        self.wanted = max(0, wanted)
        self._poller.read_interval = min(READ_INTERVAL_SECONDS, self.wanted * INTERVAL_A_WORKER_SECONDS)
        self._review_at = 0.0

    def require(self, name: str) -> None:
        """Check that a slot exists.

        Raises:
            FleetError: it does not.
        """
        if name not in self.paused and not any(slot.name == name for slot in self.slots.values()):
            names = f"worker-1 to worker-{self.wanted}" if self.wanted else "none"
            raise FleetError(f"there is no worker {name!r}; there are: {names}")

    def pause(self, name: str, on: bool) -> None:
        """Pause or resume a slot: its worker, and those that follow in it."""
        (self.paused.add if on else self.paused.discard)(name)
        self.scheduler.wake()
        for slot in self.slots.values():
            if slot.name == name:
                slot.send_order(Order.PAUSE if on else Order.RESUME)

    def drain(self, on: bool) -> None:
        """Stop or resume claiming in all workers."""
        self.draining = on
        self.scheduler.wake()
        self.broadcast(Order.DRAIN if on else Order.UNDRAIN)

    def hold(self, on: bool) -> None:
        """Hold or release new dials, by an operator's order."""
        self.held = on
        self.scheduler.wake()
        self.broadcast(Order.HOLD, on=self.may_not_dial)

    def pause_batches(self, beginning: str, on: bool) -> None:
        """Hold or release new dials of the batches whose ids begin so, on this host."""
        (self.paused_batches.add if on else self.paused_batches.discard)(beginning)
        self.scheduler.wake()
        self.broadcast(Order.PAUSE_BATCH if on else Order.RESUME_BATCH, batch=beginning)

    def wake(self) -> None:
        """Have an idle worker look for jobs at once."""
        self.scheduler.wake()

    def hang_up(self, job_id: str) -> None:
        """Wake the worker that reported this job last, to read the job's request at once."""
        name = as_printable(job_id)
        for slot in self.slots.values():
            if slot.beat is not None and slot.beat.job == name:
                slot.send_order(Order.HANG_UP, job=name)

    def hold_for_space(self, reason: str | None) -> None:
        """Hold new dials for lack of disk space; None releases them."""
        changed = (reason is None) != (self.no_space is None)
        self.no_space = reason
        if changed:
            self.scheduler.wake()
            self.broadcast(Order.HOLD, on=self.may_not_dial)

    def set_log_level(self, level: str) -> None:
        """Set the log level of all workers, present and future."""
        self._log_level = level
        self.broadcast(Order.LOG_LEVEL, level=level)

    def set_settings(self, wire: Mapping[str, Any], timeouts: Timeouts, *, list_interval: float) -> None:
        """Set the settings of all workers, present and future."""
        self._wire, self.timeouts, self._log_level = wire, timeouts, None
        self.watch.interval = list_interval
        self.broadcast(Order.SETTINGS, wire=dict(wire))

    def broadcast(self, order: Order, /, **data: Any) -> None:
        """Send an order to every worker, and to the follower."""
        for slot in self._all_slots:
            slot.send_order(order, **data)

    def stop(self) -> None:
        """Stop all workers after their calls; none is replaced."""
        self._close_with(Order.STOP)

    def hand_over(self) -> None:
        """Have all workers hand their calls over and leave; none is replaced."""
        self._close_with(Order.HAND_OVER)

    def kill(self) -> None:
        """Kill all processes that are left."""
        for slot in self._all_slots:
            if slot.alive and slot.state is not SlotState.KILLED:
                log.warning("worker.killed", worker=slot.name, **slot.fields(None))
                self._kill(slot)

    def extend_deadlines(self, seconds: float, now: float) -> None:
        """Move every deadline by the time in which the supervisor itself did not run.

        Beats sent meanwhile may be queued, out of date or lost: their deadlines are extended too.
        """
        self._lenient_until = now + self.timeouts.boot_seconds
        self.scheduler.extend(seconds)
        for slot in self._all_slots:
            if slot.due is not None and slot.state is not SlotState.WAITING:
                slot.due += seconds
                slot.usage = replace(slot.usage, at=slot.usage.at + seconds)

    # State, as the supervisor reads it.

    @property
    def probe_seconds(self) -> float:
        """How long the database needed for the supervisor's last probe, or has needed so far."""
        return 0.0 if self._probe is None else self._probe.took_seconds()

    @property
    def may_not_dial(self) -> bool:
        """Whether new dials of this host are held, by order or for lack of space."""
        return self.held or self.no_space is not None

    @property
    def _births_stopped(self) -> bool:
        """Whether no worker may be started: in overload mode, unless there is none at all."""
        return self.overload.reason is not None and not self._has_no_worker

    @property
    def empty(self) -> bool:
        """No process is left or being started."""
        return all(slot.state is SlotState.WAITING for slot in self._all_slots)

    @property
    def _has_no_worker(self) -> bool:
        return all(slot.state is SlotState.WAITING for slot in self.slots.values())

    @property
    def _all_slots(self) -> list[Slot]:
        """Those of the workers, and the follower's."""
        return [*self.slots.values(), self.follower]

    @property
    def present(self) -> int:
        """Number of workers that are ready."""
        return sum(slot.state is SlotState.RUNNING for slot in self.slots.values())

    @property
    def in_calls(self) -> int:
        """Number of workers with a live call, by their latest beats."""
        return sum(
            slot.alive and slot.beat is not None and slot.beat.call is not None
            for slot in self.slots.values()
        )

    @property
    def calls_done(self) -> int:
        """Calls finished since the start, in removed slots too."""
        return self._calls_of_removed + sum(slot.calls_done for slot in self.slots.values())

    @property
    def restarts(self) -> int:
        """Workers that ended without an order since the start, in removed slots too."""
        return self._restarts_of_removed + sum(slot.restarts.total() for slot in self.slots.values())

    @property
    def crash_loops(self) -> list[str]:
        """Names of slots in a crash loop."""
        return [slot.name for slot in self.slots.values() if slot.crash_loop]

    @property
    def dependency_away(self) -> bool:
        """A worker left because a dependency was away, and none has run well in its slot since."""
        return any(slot.history.dependency_away for slot in self.slots.values())

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Each slot as ``status`` shows it, by number."""
        slots = sorted(self.slots.values(), key=lambda slot: slot.number)
        rows = [slot.row(now) for slot in slots]
        turns = self.scheduler.holders()
        for slot, row in zip(slots, rows, strict=True):
            row["paused"] = row["slot"] in self.paused
            row["turn"] = turns[slot.number].value if slot.number in turns else None
        return rows

    def pids(self) -> set[int]:
        """All processes that are reaped here."""
        return {slot.child.pid for slot in self._all_slots if slot.child is not None} | self.spawner.pids

    def close(self) -> None:
        """End the zygote and close all descriptors; workers that still live see end-of-file."""
        self.spawner.close()
        for slot in self._all_slots:
            if slot.channel is not None:
                slot.channel.close()
        self._poller.close()

    # The parts of a tick, in their order.

    def _follow_zygote(self) -> None:
        try:
            self._poller.follow_zygote(self.spawner.descriptors())
        except OSError as fault:  # the spawner's deadlines replace what could not be watched
            log.error("zygote.not_watched", text=str(fault))  # noqa: TRY400 - no bug

    def _guarded(self, slot: Slot, step: Callable[[Slot, float], object], now: float) -> None:
        """Take one step in a slot; a fault in it is logged, and the other slots have their turn."""
        try:
            step(slot, now)
        except Exception:
            log.exception("worker.step_failed", worker=slot.name)

    def _receive(self, slot: Slot, now: float) -> None:
        channel = slot.channel
        if channel is None or not self._poller.tracks(channel.fileno()):
            return  # everything it sent has been read
        for message in channel.receive():
            try:
                report = decode_report(message)
            except FleetError as fault:
                log.error("worker.report_unreadable", worker=slot.name, text=str(fault))  # noqa: TRY400
                continue
            self._guarded(slot, partial(self._handle_report, report), now)
        if channel.eof:
            self._poller.forget(channel.fileno())

    def _handle_report(self, report: Report, slot: Slot, now: float) -> None:
        match report:
            case Ready():
                slot.note_report(now + self.timeouts.boot_seconds, now)
                if self._births_wait:
                    self._review_at = 0.0
                log.info("worker.ready", worker=slot.name, worker_id=slot.worker_id)
            case Beat():
                self._handle_beat(report, slot, now)
            case IdempotentCount():
                self._listener.on_idempotent_count(report)
            case Event():
                self._listener.on_worker_event(slot.name, report)
            case TurnWanted() if not slot.asked:
                self.scheduler.note_request(slot.number, now, after_job=report.after_job)
            case TurnEnd():
                self.scheduler.note_end(slot.number, report, now)
            case Bye():
                self._listener.on_counts(report.counts)
                log.debug("worker.leaving", worker=slot.name, reason=report.reason)
            case _:
                self._handle_list_report(report, now)

    def _handle_list_report(self, report: Report, now: float) -> None:
        """Take in what was reported about Retell's list."""
        match report:
            case SuspectList():
                self.watch.handle_suspicion(report, now)
            case ListPass():
                self.watch.handle_pass(report, now)
            case EndedCalls():
                self.watch.handle_ended(report)

    def _handle_beat(self, beat: Beat, slot: Slot, now: float) -> None:
        if slot.state is SlotState.HUNG:
            log.warning("worker.late", worker=slot.name)
        due = max(beat.deadline + self.timeouts.grace_seconds, self._lenient_until)
        slot.note_beat(beat, due, now)
        if beat.job is not None:
            self.scheduler.note_busy(slot.number, now)
        self._listener.on_counts(beat.counts)

    def _give_turns(self, now: float) -> None:
        """Send turns to idle workers, and the others to wait."""
        turns, waits = self.scheduler.give(
            now,
            may_claim=not (self.draining or self.may_not_dial or self._closing),
            paused={slot.number for slot in self.slots.values() if slot.name in self.paused}
            if self.paused
            else (),
            slow=self.overload.reason is not None,
        )
        for number, turn in turns.items():
            self.slots[number].send_order(Order.TURN, **turn_data(turn))
        for number, seconds in waits.items():
            self.slots[number].send_order(Order.WAIT, seconds=seconds)

    def _reap(self, slot: Slot, now: float) -> None:
        if slot.child is None:
            return
        end = slot.child.reap()
        if end is None:
            return
        while slot.channel is not None and not slot.channel.eof and slot.channel.wait(0):
            self._receive(slot, now)  # everything it sent: counts must not be lost
        self._ended(slot, end, now)

    def _ended(self, slot: Slot, end: Exit | None, now: float) -> None:
        """Record that a process has ended or could not be forked, and decide when the next one starts."""
        cause = slot.cause(end)
        beat, worker_id, fields = slot.beat, slot.worker_id, slot.fields(now)
        ran_well = self._runs_well(slot, now)
        known_outage = slot.history.dependency_away
        for source in (slot.child, slot.channel):
            if source is not None:
                self._poller.forget(source.fileno())
        slot.vacate()
        self.scheduler.forget(slot.number, now)
        self._review_at = 0.0
        wanted = not self._is_surplus(slot) and not self._closing
        # Before the listener is told: whatever happens there, the slot is filled again.
        self._schedule_respawn(slot, cause, now, ran_well=ran_well)
        if slot is self.follower:
            self.watch.follower_ended()
        else:
            self._listener.on_worker_exit(worker_id, beat, cause)
        usual = {ExitCause.ASKED, ExitCause.RECYCLED} | ({ExitCause.UNAVAILABLE} if known_outage else set())
        level = logging.INFO if cause in usual else logging.WARNING
        log.event(
            level,
            "worker.ended",
            worker=slot.name,
            worker_id=worker_id or None,
            cause=cause.value,
            exit=None if end is None else str(end),
            **fields,
            next_in_seconds=round((slot.due or now) - now, 1) if wanted else None,
        )

    def _runs_well(self, slot: Slot, now: float) -> bool:
        """Whether its process has run long enough, or finished a call: earlier faults no longer count."""
        settled = now - slot.started_at >= self.timeouts.respawn.stable_after_seconds
        return slot.ready and (settled or (slot.beat is not None and slot.beat.done > 0))

    def _schedule_respawn(self, slot: Slot, cause: ExitCause, now: float, *, ran_well: bool) -> None:
        decision = decide(
            cause,
            slot.history,
            self.timeouts.respawn,
            ran_well=ran_well,
            jitter=random.random(),  # noqa: S311 - jitter, no secret
        )
        if decision.crash_loop and not slot.crash_loop:
            faults = decision.history.faults
            log.error("worker.crash_loop", worker=slot.name, faults=faults, cause=cause.value)
        slot.crash_loop, slot.history = decision.crash_loop, decision.history
        slot.due = now + decision.delay_seconds
        if cause is not ExitCause.ASKED:
            slot.restarts[cause] += 1

    def _handle_fork_result(self, result: ForkResult, now: float) -> None:
        slot = next((s for s in self._all_slots if s.request == result.request), None)
        if slot is None or slot.channel is None:
            return  # given up meanwhile: the process finds its channel closed, and leaves
        self._review_at = 0.0
        error = result.error
        if result.pid is not None:
            try:
                self._take_process(slot, result.pid, now)
            except (FleetError, OSError) as fault:
                # It cannot be watched. Its channel is closed: it leaves before it claims anything.
                error = str(fault)
            else:
                return
        log.error("worker.not_started", worker=slot.name, text=error)
        self._ended(slot, None, now)

    def _take_process(self, slot: Slot, pid: int, now: float) -> None:
        identity = WorkerIdentity(slot=slot.name, host=self._host, pid=pid)
        slot.started(Child(pid), identity.worker_id, now, now + self.timeouts.boot_seconds)
        self._poller.add(slot)

    def _review(self, now: float) -> None:
        """Take at most one step in each slot, and find out when the next one is due."""
        self._review_at = now + REVIEW_SECONDS
        self._update_overload(now)
        self._births_wait = False
        self._births = sum(
            slot.state in {SlotState.SPAWNING, SlotState.BOOTING} for slot in self.slots.values()
        )
        if not self._closing:
            for number in range(1, self.wanted + 1):
                self.slots.setdefault(number, Slot(number, now))
        for slot in self._all_slots:
            self._guarded(slot, self._review_slot, now)
        due = [slot.due for slot in self._all_slots if slot.due is not None and slot.due > now]
        self._review_at = min([self._review_at, *due])
        if not self.spawner.busy:
            with self.other_children() as others:
                if others is not None:
                    reap_strays(self.pids() | others)

    def _review_slot(self, slot: Slot, now: float) -> None:
        slot.flush()
        if slot.crash_loop and self._runs_well(slot, now):
            log.info("worker.well", worker=slot.name)
            slot.crash_loop, slot.history = False, ExitHistory()
        if self._is_surplus(slot):
            self._retire(slot)
        elif slot.state is SlotState.WAITING and slot.due is not None and now >= slot.due:
            if self._births >= MOST_BIRTHS:
                self._births_wait = True
            elif self._may_start(slot):
                self._births += 1
                self._spawn(slot, now)
            return
        if slot.state is SlotState.KILLED:
            self._reap(slot, now)
        if slot.due is not None and now >= slot.due:
            self._check_deadline(slot, now)

    def _is_surplus(self, slot: Slot) -> bool:
        """Whether a slot's process has to leave; the follower stays for as long as there are workers."""
        if slot is self.follower:
            return self.watch.interval <= 0 or (self._closing and self._has_no_worker)
        return slot.number > self.wanted or self._closing

    def _may_start(self, slot: Slot) -> bool:
        if slot is self.follower and (self._closing or not self.watch.needs_follower):
            return False
        return not self._births_stopped

    def _update_coverage(self, follower: Slot, now: float) -> None:
        needed = self.watch.needs_follower
        self._listener.on_counts(self.watch.update(self.slots.values(), follower, now))
        if self.watch.needs_follower and not needed:
            self._review_at = 0.0

    def _update_overload(self, now: float) -> None:
        """Begin or end overload mode."""
        before = self.overload.reason
        self.overload = next_mode(
            self.overload,
            now,
            probe_seconds=self.probe_seconds,
            slowed=self._slowed,
            extended=any(slot.overloaded for slot in self._all_slots),
        )
        self._slowed = 0
        if before is None and self.overload.reason is not None:
            log.warning("fleet.overloaded", text=self.overload.reason)
        elif before is not None and self.overload.reason is None:
            log.info("fleet.overload_over")

    def _retire(self, slot: Slot) -> None:
        """Remove a surplus slot once its process has left."""
        if slot is self.follower:
            if slot.alive and slot.state is not SlotState.KILLED:  # it has nothing to finish
                slot.asked = True
                self._kill(slot)
        elif slot.state is SlotState.WAITING:
            if not self._closing:
                del self.slots[slot.number]
                self._calls_of_removed += slot.calls_done
                self._restarts_of_removed += slot.restarts.total()
            slot.due = None
        elif not slot.asked:
            slot.asked = True
            slot.send_order(Order.STOP)
            self.scheduler.forget(slot.number, 0.0)

    def _spawn(self, slot: Slot, now: float) -> None:
        if not self.spawner.can_ask:
            return
        try:
            ours, number = self._request_worker(slot, now)
        except (OSError, FleetError) as fault:  # no descriptor, no memory for a message
            log.error("worker.not_started", worker=slot.name, text=str(fault))  # noqa: TRY400 - no bug
            self._schedule_respawn(slot, ExitCause.NOT_SPAWNED, now, ran_well=False)
            self._listener.on_worker_exit("", None, ExitCause.NOT_SPAWNED)
            return
        if number is None:
            ours.close()
            return
        slot.spawning(number, ours, now + self.timeouts.birth_seconds)
        # Sent before the fork, so that they take effect from the worker's first step.
        if slot.name in self.paused:
            slot.send_order(Order.PAUSE)
        if self.draining:
            slot.send_order(Order.DRAIN)
        if self.may_not_dial:
            slot.send_order(Order.HOLD, on=True)
        for beginning in self.paused_batches:
            slot.send_order(Order.PAUSE_BATCH, batch=beginning)
        if self._log_level is not None:
            slot.send_order(Order.LOG_LEVEL, level=self._log_level)

    def _request_worker(self, slot: Slot, now: float) -> tuple[Channel, int | None]:
        """Our end of a new channel, and the number of the request; None: the spawner takes none now."""
        ours, theirs = Channel.pair()
        with theirs:
            request = {"slot": slot.name, "host": self._host, "settings": self._wire}
            try:
                return ours, self.spawner.ask(request, theirs.fileno(), now)
            except FleetError:
                ours.close()
                raise

    def _check_deadline(self, slot: Slot, now: float) -> None:
        """Past its deadline: give it more time or have it dump its stack; past the time for that: kill it."""
        if slot.state is SlotState.SPAWNING:
            waited = f"no process after {self.timeouts.birth_seconds:.0f} s"
            log.error("worker.not_started", worker=slot.name, text=waited)
            self._ended(slot, None, now)
        elif slot.child is None:
            return
        elif slot.state in {SlotState.BOOTING, SlotState.RUNNING}:
            late = self._late_worker(slot, slot.child, now)
            row = diagnose(late)
            if not (row.overload and self._extend(slot, row, now)):
                self._begin_kill(slot, slot.child, row, now)
        elif slot.state is SlotState.HUNG:
            self._kill(slot)

    def _late_worker(self, slot: Slot, child: Child, now: float) -> LateWorker:
        """What is known of a worker that missed its deadline."""
        usage, others = read_usage(child.pid, now), self.slots.values()
        in_database = [other for other in others if other.in_database()]
        return LateWorker(
            seconds=now - (slot.usage.at if slot.beat is None else slot.beat.deadline),
            state=read_state(child.pid),
            cpu_seconds=usage.cpu_seconds - slot.usage.cpu_seconds,
            run_delay_seconds=usage.run_delay_seconds - slot.usage.run_delay_seconds,
            in_database=slot.in_database(),
            probe_seconds=0.0 if self._probe is None else self._probe.silent_seconds(),
            workers_in_database=len(in_database),
            workers_late=sum(other.is_late(now) for other in in_database),
        )

    def _extend(self, slot: Slot, row: Diagnosis, now: float) -> bool:
        """Give a worker that is slowed down more time; False where it has had enough."""
        deadline = self._first_deadline(slot)
        until = kill_at(row, beat_at=slot.usage.at, deadline=deadline)
        if now >= until:
            return False
        if not slot.overloaded:
            slot.overloaded = True
            self._slowed += 1
            log.warning("worker.slowed", worker=slot.name, why=row.verdict.value, **slot.fields(now))
        slot.due = min(now + EXTENSION_SECONDS, until)
        return True

    def _first_deadline(self, slot: Slot) -> float:
        """The deadline of its last report, without extensions."""
        if slot.beat is None:
            return slot.usage.at + self.timeouts.boot_seconds
        return slot.beat.deadline + self.timeouts.grace_seconds

    def _begin_kill(self, slot: Slot, child: Child, row: Diagnosis, now: float) -> None:
        """Have it dump its stack; it is killed a moment later, unless it reports."""
        event = "worker.too_slow" if row.overload else "worker.hung"
        fields = {"worker_id": slot.worker_id, "why": row.verdict.value, **slot.fields(now)}
        log.error(event, worker=slot.name, **fields)
        slot.was_hung, slot.overloaded = True, row.overload
        slot.move(SlotState.HUNG, now + self.timeouts.dump_seconds)
        child.send_signal(DUMP_SIGNAL)

    def _kill(self, slot: Slot) -> None:
        slot.move(SlotState.KILLED, None)
        if slot.child is not None:
            slot.child.send_signal(signal.SIGKILL)

    def _close_with(self, order: Order) -> None:
        self._closing = True
        self._review_at = 0.0
        for slot in self.slots.values():
            slot.asked = True
            slot.send_order(order)
