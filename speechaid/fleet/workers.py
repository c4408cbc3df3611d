"""The fleet: as many workers as wanted, each watched by its own deadline, replaced when it ends.

Everything happens in ``turn``, called by the supervisor's loop: read what workers said, reap who ended,
take the zygote's answers, then look at each slot and take at most its next step. All channels and pidfds sit
in one epoll, whose own descriptor the loop waits for, so that a beat costs the same in a fleet of any size.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from speechaid.errors import FleetError
from speechaid.fleet.channel import Channel
from speechaid.fleet.messages import (
    Beat,
    Bye,
    Counts,
    Event,
    IdempotentCount,
    Order,
    Ready,
    Report,
    WorkerIdentity,
    decode_report,
)
from speechaid.fleet.poller import ProcessPoller
from speechaid.fleet.processes import Child, Exit, reap_strays
from speechaid.fleet.slots import Slot, SlotState
from speechaid.fleet.spawner import ForkResult, Spawner
from speechaid.fleet.supervisor_link import DUMP_SIGNAL
from speechaid.rules.respawn import ExitCause, ExitHistory, RespawnPolicy, decide

#: The slots are looked over at least so often, and whenever something changed.
REVIEW_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long the fleet waits for what, in seconds."""

    #: From the fork to ``ready``.
    boot_seconds: float = 60.0
    #: Past a worker's own deadline.
    grace_seconds: float = 5.0
    #: From the stack dump to the kill.
    dump_seconds: float = 1.0
    respawn: RespawnPolicy = field(default_factory=RespawnPolicy)


class FleetListener(Protocol):
    """Who hears what happens in the fleet; called from the loop, and must not wait."""

    def on_counts(self, counts: Counts) -> None:
        """Increments of a worker's counters."""

    def on_idempotent_count(self, tally: IdempotentCount) -> None:
        """Increments that count once under their name."""

    def on_worker_event(self, slot: str, event: Event) -> None:
        """An event that a worker told."""

    def on_worker_exit(self, worker_id: str, beat: Beat | None, cause: ExitCause) -> None:
        """A worker process is no more; the beat is the last that it sent."""


class Fleet:
    """The slots, and all that is done to them.

    Attributes:
        wanted: workers that there ought to be; the turns close the gap.
        paused: slots whose workers claim nothing.
        draining, held: whether any worker of this host may claim, as an operator ordered.
        no_space: why no call is placed for want of room on the database's disk; None where there is some.
        others: children of this process that are somebody else's to reap.
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
    ) -> None:
        self.wanted = 0
        self.paused: set[str] = set(paused or ())
        self.draining = False
        self.held = False
        self.no_space: str | None = None
        self.others: set[int] = set()
        self.slots: dict[int, Slot] = {}
        self.spawner = spawner
        self.timeouts = timeouts
        self._log_level: str | None = None
        self._listener = listener
        self._host = host
        self._wire = wire
        self._closing = False
        self._poller = ProcessPoller()
        self._review_at = 0.0
        self._lenient_until = 0.0
        # What slots that were scaled away had counted: the fleet's own counts never fall.
        self._calls_of_gone = 0
        self._restarts_of_gone = 0

    def fileno(self) -> int:
        """Readable when a turn has something to do."""
        return self._poller.fileno()

    def next_tick_at(self) -> float:
        """When the next turn is due at the latest, in seconds of the boot-time clock."""
        zygote = None if self._closing else self.spawner.next_tick_at()
        due = min(self._review_at, self._poller.next_read_at)
        return due if zygote is None else min(due, zygote)

    def tick(self, now: float) -> None:
        """One pass: hear, reap, judge, and bring the fleet to size."""
        # Nobody is judged by words that lie unread.
        for slot, over in self._poller.poll(now, hear_all=now >= self._review_at):
            if over:
                self._reap(slot, now)
            else:
                self._receive(slot, now)
        for answer in self.spawner.tick(now, needed=not self._closing):
            self._handle_fork_result(answer, now)
        self._poller.follow_zygote(self.spawner.descriptors())
        if now >= self._review_at:
            self._review(now)

    # What the supervisor orders.

    def scale(self, wanted: int) -> None:
        """So many workers, from now on: more at once, fewer as they finish."""
        self.wanted = max(0, wanted)
        self._review_at = 0.0

    def require(self, name: str) -> None:
        """See that there is such a worker.

        Raises:
            FleetError: there is none.
        """
        if name not in self.paused and not any(slot.name == name for slot in self.slots.values()):
            names = f"worker-1 to worker-{self.wanted}" if self.wanted else "none"
            raise FleetError(f"there is no worker {name!r}; there are: {names}")

    def pause(self, name: str, on: bool) -> None:
        """This slot's worker claims nothing, also the ones that follow it; or it claims again."""
        (self.paused.add if on else self.paused.discard)(name)
        for slot in self.slots.values():
            if slot.name == name:
                slot.send_order(Order.PAUSE if on else Order.RESUME)

    def drain(self, on: bool) -> None:
        """No worker claims, or all may again."""
        self.draining = on
        self.broadcast(Order.DRAIN if on else Order.UNDRAIN)

    def hold(self, on: bool) -> None:
        """An operator holds every new dial, or no longer."""
        self.held = on
        self.broadcast(Order.HOLD, on=self.may_not_dial)

    def hold_for_space(self, why: str | None) -> None:
        """Every new dial is held for want of room, or no longer."""
        if (why is None) != (self.no_space is None):
            self.no_space = why
            self.broadcast(Order.HOLD, on=self.may_not_dial)
        self.no_space = why

    def set_log_level(self, level: str) -> None:
        """Tell every worker, those to come too."""
        self._log_level = level
        self.broadcast(Order.LOG_LEVEL, level=level)

    def set_settings(self, wire: Mapping[str, Any], timeouts: Timeouts) -> None:
        """New settings, for those that run and those to come."""
        self._wire, self.timeouts, self._log_level = wire, timeouts, None
        self.broadcast(Order.SETTINGS, wire=dict(wire))

    def broadcast(self, order: Order, /, **data: Any) -> None:
        """Give every worker an order."""
        for slot in self.slots.values():
            slot.send_order(order, **data)

    def stop(self) -> None:
        """Every worker finishes its call and leaves; none is replaced."""
        self._close_with(Order.STOP)

    def hand_over(self) -> None:
        """Every worker lets go of its call and leaves; none is replaced."""
        self._close_with(Order.HAND_OVER)

    def kill(self) -> None:
        """The end of patience."""
        for slot in self.slots.values():
            if slot.alive and slot.state is not SlotState.KILLED:
                log.warning("%s did not let go in time and is killed: %s", slot.name, slot.describe(None))
                self._kill(slot)

    def extend_deadlines(self, seconds: float, now: float) -> None:
        """Move every deadline: we did not look for so long ourselves, or the machine slept.

        What was said meanwhile may lie queued, stale, or have found no room: it too is read leniently.
        """
        self._lenient_until = now + self.timeouts.boot_seconds
        for slot in self.slots.values():
            if slot.due is not None and slot.state is not SlotState.WAITING:
                slot.due += seconds

    # What the supervisor asks.

    @property
    def may_not_dial(self) -> bool:
        """Whether every new dial of this host is held, for whatever reason."""
        return self.held or self.no_space is not None

    @property
    def empty(self) -> bool:
        """No process is left, nor on its way."""
        return all(slot.state is SlotState.WAITING for slot in self.slots.values())

    @property
    def present(self) -> int:
        """Workers that run and are ready."""
        return sum(slot.state is SlotState.RUNNING for slot in self.slots.values())

    @property
    def in_calls(self) -> int:
        """Workers that have a call in hand, by their latest reports."""
        return sum(
            slot.alive and slot.beat is not None and slot.beat.call is not None
            for slot in self.slots.values()
        )

    @property
    def calls_done(self) -> int:
        """Calls finished since the start, also in slots that are gone."""
        return self._calls_of_gone + sum(slot.calls_done for slot in self.slots.values())

    @property
    def restarts(self) -> int:
        """Workers that ended unasked since the start, also in slots that are gone."""
        return self._restarts_of_gone + sum(slot.restarts.total() for slot in self.slots.values())

    @property
    def crash_loops(self) -> list[str]:
        """Workers that keep ending badly."""
        return [slot.name for slot in self.slots.values() if slot.crash_loop]

    @property
    def dependency_away(self) -> bool:
        """A worker left for want of something that it depends on, and none has run well in its slot since."""
        return any(slot.history.dependency_away for slot in self.slots.values())

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Each slot as status shows it, in the order of the numbers."""
        slots = sorted(self.slots.values(), key=lambda slot: slot.number)
        rows = [slot.row(now) for slot in slots]
        for row in rows:
            row["paused"] = row["slot"] in self.paused
        return rows

    def pids(self) -> set[int]:
        """Every process held here."""
        return {slot.child.pid for slot in self.slots.values() if slot.child is not None} | self.spawner.pids

    def close(self) -> None:
        """End the zygote and let go of all descriptors; workers that still live see end-of-file."""
        self.spawner.close()
        for slot in self.slots.values():
            if slot.channel is not None:
                slot.channel.close()
        self._poller.close()

    # The parts of a turn, in their order.

    def _receive(self, slot: Slot, now: float) -> None:
        channel = slot.channel
        if channel is None or not self._poller.tracks(channel.fileno()):
            return  # it has said its last word
        for message in channel.receive():
            try:
                report = decode_report(message)
            except FleetError as fault:
                log.error("%s: %s", slot.name, fault)  # noqa: TRY400 - the sentence says it all
                continue
            self._handle_report(slot, report, now)
        if channel.eof:
            self._poller.forget(channel.fileno())

    def _handle_report(self, slot: Slot, report: Report, now: float) -> None:
        match report:
            case Ready():
                slot.extend_deadline(now + self.timeouts.boot_seconds)
                log.info(
                    "%s is up as %s",
                    slot.name,
                    slot.worker_id,
                    extra={"event": "worker.ready", "worker": slot.name},
                )
            case Beat():
                if slot.state is SlotState.HUNG:
                    log.warning(
                        "%s reports after all", slot.name, extra={"event": "worker.late", "worker": slot.name}
                    )
                slot.note_beat(
                    report, max(report.deadline + self.timeouts.grace_seconds, self._lenient_until)
                )
                self._listener.on_counts(report.counts)
            case IdempotentCount():
                self._listener.on_idempotent_count(report)
            case Event():
                self._listener.on_worker_event(slot.name, report)
            case Bye():
                self._listener.on_counts(report.counts)
                log.debug("%s leaves: %s", slot.name, report.reason)

    def _reap(self, slot: Slot, now: float) -> None:
        if slot.child is None:
            return
        end = slot.child.reap()
        if end is None:
            return
        while slot.channel is not None and not slot.channel.eof and slot.channel.wait(0):
            self._receive(slot, now)  # its last words, all of them: counts must not be lost
        self._ended(slot, end, now)

    def _ended(self, slot: Slot, end: Exit | None, now: float) -> None:
        """A process is no more, or could not be made: note it, and decide when the next one starts."""
        cause = slot.cause(end)
        beat, worker_id, what = slot.beat, slot.worker_id, slot.describe(now)
        ran_well = self._runs_well(slot, now)
        known_outage = slot.history.dependency_away
        for held in (slot.child, slot.channel):
            if held is not None:
                self._poller.forget(held.fileno())
        slot.vacate()
        self._review_at = 0.0
        if worker_id:
            self._listener.on_worker_exit(worker_id, beat, cause)
        wanted = slot.number <= self.wanted and not self._closing
        self._schedule_respawn(slot, cause, now, ran_well=ran_well)
        usual = {ExitCause.ASKED, ExitCause.RECYCLED} | ({ExitCause.UNAVAILABLE} if known_outage else set())
        level = logging.INFO if cause in usual else logging.WARNING
        ahead = f"the next one starts in {(slot.due or now) - now:.1f} s" if wanted else "it is not replaced"
        log.log(
            level,
            "%s ended (%s, %s): %s; %s",
            worker_id or slot.name,
            cause.value,
            end or "never born",
            what,
            ahead,
            extra={"event": "worker.ended", "worker": slot.name, "cause": cause.value},
        )

    def _runs_well(self, slot: Slot, now: float) -> bool:
        """Whether its process has lived long enough, or done enough, for what came before to be forgotten."""
        settled = now - slot.started_at >= self.timeouts.respawn.stable_after_seconds
        return slot.ready and (settled or (slot.beat is not None and slot.beat.done > 0))

    def _schedule_respawn(self, slot: Slot, cause: ExitCause, now: float, *, ran_well: bool) -> None:
        decision = decide(
            cause,
            slot.history,
            self.timeouts.respawn,
            ran_well=ran_well,
            jitter=random.random(),  # noqa: S311 - to spread, not to hide
        )
        if decision.crash_loop and not slot.crash_loop:
            log.error(
                "%s is in a crash loop: %d bad ends in a row, the last one %s; it is tried again, slowly",
                slot.name,
                decision.history.faults,
                cause.value,
                extra={"event": "worker.crash_loop", "worker": slot.name},
            )
        slot.crash_loop, slot.history = decision.crash_loop, decision.history
        slot.due = now + decision.delay_seconds
        if cause is not ExitCause.ASKED:
            slot.restarts[cause] += 1

    def _handle_fork_result(self, answer: ForkResult, now: float) -> None:
        slot = next((s for s in self.slots.values() if s.request == answer.request), None)
        if slot is None or slot.channel is None:
            return
        self._review_at = 0.0
        if answer.pid is None:
            log.error("%s could not be started: %s", slot.name, answer.error)
            self._ended(slot, None, now)
            return
        identity = WorkerIdentity(slot=slot.name, host=self._host, pid=answer.pid)
        slot.started(Child(answer.pid), identity.worker_id, now, now + self.timeouts.boot_seconds)
        self._poller.add(slot)

    def _review(self, now: float) -> None:
        """Look at every slot, take at most its next step, and find out when to look again."""
        if not self._closing:
            for number in range(1, self.wanted + 1):
                self.slots.setdefault(number, Slot(number, now))
        for slot in list(self.slots.values()):
            slot.flush()
            if slot.crash_loop and self._runs_well(slot, now):
                log.info("%s runs well again", slot.name, extra={"event": "worker.well", "worker": slot.name})
                slot.crash_loop, slot.history = False, ExitHistory()
            if slot.number > self.wanted or self._closing:
                self._retire(slot)
            elif slot.state is SlotState.WAITING and slot.due is not None and now >= slot.due:
                self._spawn(slot, now)
            if slot.due is not None and now >= slot.due:
                self._check_deadline(slot, now)
        due = [slot.due for slot in self.slots.values() if slot.due is not None and slot.due > now]
        self._review_at = min([now + REVIEW_SECONDS, *due])
        if not self.spawner.busy:
            reap_strays(self.pids() | self.others)

    def _retire(self, slot: Slot) -> None:
        """Nobody wants this slot any more: it goes as soon as its process has left."""
        if slot.state is SlotState.WAITING:
            if not self._closing:
                del self.slots[slot.number]
                self._calls_of_gone += slot.calls_done
                self._restarts_of_gone += slot.restarts.total()
            slot.due = None
        elif not slot.asked:
            slot.asked = True
            slot.send_order(Order.STOP)

    def _spawn(self, slot: Slot, now: float) -> None:
        if not self.spawner.can_ask:
            return
        ours, theirs = Channel.pair()
        with theirs:
            request = {"slot": slot.name, "host": self._host, "settings": self._wire}
            number = self.spawner.ask(request, theirs.fileno(), now)
        if number is None:
            ours.close()
            return
        slot.spawning(number, ours)
        # Said before it is born, so that it holds from its first step.
        standing = {Order.PAUSE: slot.name in self.paused, Order.DRAIN: self.draining}
        for order in (order for order, stands in standing.items() if stands):
            slot.send_order(order)
        if self.may_not_dial:
            slot.send_order(Order.HOLD, on=True)
        if self._log_level is not None:
            slot.send_order(Order.LOG_LEVEL, level=self._log_level)

    def _check_deadline(self, slot: Slot, now: float) -> None:
        """Its deadline is past: ask for its stack, and when that was granted time, kill it."""
        if slot.child is None:
            return
        if slot.state in {SlotState.BOOTING, SlotState.RUNNING}:
            log.error(
                "%s is hung: %s; its stack follows on standard error, then it is killed",
                slot.worker_id,
                slot.describe(now),
                extra={"event": "worker.hung", "worker": slot.name, **slot.fields()},
            )
            slot.was_hung = True
            slot.move(SlotState.HUNG, now + self.timeouts.dump_seconds)
            slot.child.send_signal(DUMP_SIGNAL)
        elif slot.state is SlotState.HUNG:
            self._kill(slot)

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
