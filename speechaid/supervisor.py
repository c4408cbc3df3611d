"""The supervisor: one thread that keeps the fleet to size, hears signals and commands, and never waits.

It owns all state. What needs the database goes to the clerk, what needs a worker goes over its channel, and
what comes back wakes the loop through a descriptor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import setproctitle

from speechaid.clock import Clock, SystemClock
from speechaid.errors import ConfigError, ExitStatus, FleetError
from speechaid.fleet.interfaces import ControlInterface, DatabaseInterface, DatabaseProcess, Readable
from speechaid.fleet.messages import Beat, Counts, Event, IdempotentCount, count_key
from speechaid.fleet.processes import become_subreaper, make_room
from speechaid.fleet.signals import SignalQueue
from speechaid.fleet.snapshot import snapshot, status_line
from speechaid.fleet.spawner import Spawner
from speechaid.fleet.state_file import PersistedState, StateDirectory
from speechaid.fleet.systemd import SystemdNotifier
from speechaid.fleet.workers import REVIEW_SECONDS, Fleet, Timeouts
from speechaid.protocol.messages import Request
from speechaid.protocol.text import plural
from speechaid.rules.check_findings import no_space
from speechaid.rules.respawn import CRASHES, ExitCause, RespawnPolicy
from speechaid.settings import Settings, after_reload, reload_changes
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger

#: From the order to let go to the SIGKILL, beyond the time of one request to Retell: a worker that waits for
#: the answer to a dial is worth waiting for, as killing it would leave the dial ambiguous.
HAND_OVER_GRACE_SECONDS: Final = 5.0
#: A loop that was away for longer than its longest rest and this was stopped, or the machine slept.
ABSENCE_SECONDS: Final = 3.0
#: What the clerk and the embedded database may take after the last worker has left.
CLOSING_SECONDS: Final = 120.0
#: More by signal than this is a finger left on the key.
MOST_WORKERS: Final = 2000

#: Names of deeds that are remembered so as not to count them twice: more than a fleet of any size does
#: between a worker's death and the repetition of its last deed.
IDEMPOTENT_COUNTS_KEPT: Final = 20_000

log = get_logger(__name__)


class Phase(IntEnum):
    """How far the supervisor is on its way out; it only ever rises."""

    RUNNING = 0
    #: Workers finish their calls and leave.
    STOPPING = 1
    #: Workers hand their calls over and leave.
    HANDING_OVER = 2
    #: Those that did not are killed.
    KILLING = 3

    @property
    def label(self) -> str:
        """As ``status``, systemd and the process title show it. Clients compare it: it keeps its old text."""
        return "letting go" if self is Phase.HANDING_OVER else self.name.lower()


class Supervisor:
    """The daemon's state, and the verbs of its loop in the order in which ``run`` calls them.

    Attributes:
        settings: as in force.
        counts: every counter's sum since the start, of workers dead and alive.
        on_event: who hears what workers tell; called as (slot, name, fields).
        on_tick: who is called each second, with the boot-time clock's seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        spawner: Spawner,
        control: ControlInterface,
        on_request: Callable[[Request], None],
        database_thread: DatabaseInterface,
        read_settings: Callable[[], Settings],
        on_settings: Callable[[Settings], None] | None = None,
        database: DatabaseProcess | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.phase = Phase.RUNNING
        self.counts: Counts = {}
        self._counted_once: OrderedDict[str, None] = OrderedDict()
        self.on_event: list[Callable[[str, str, Mapping[str, Any]], None]] = []
        self.on_tick: list[Callable[[float], None]] = []
        self._spawner = spawner
        self._control = control
        self._on_request = on_request
        self._database_thread = database_thread
        self._read_settings = read_settings
        self._on_settings = on_settings
        self._database = database
        self._clock = clock or SystemClock()
        self._notifier = SystemdNotifier()
        self._started_at = self._clock.now()
        self._awake_at = self._clock.boottime()
        self._tick_at = 0.0
        self._kill_at: float | None = None
        self._title = ""
        #: Why the orders that stand could not be written down; None where they were.
        self._state_not_saved: str | None = None
        self._supervising = False
        self._ready = Readable()
        self._signal_handlers: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGTERM: self._stop_or_hand_over,
            signal.SIGINT: self._stop_or_hand_over,
            signal.SIGQUIT: self._hand_over,
            signal.SIGHUP: self._reload_by_signal,
            signal.SIGTTIN: self._one_more,
            signal.SIGTTOU: self._one_fewer,
        }

    def run(self) -> ExitStatus:
        """Start, then supervise until told to leave and the last worker has left.

        Raises:
            FleetError: the state directory or a right that supervision needs is not to be had.
        """
        with contextlib.ExitStack() as leaving:
            # Closed in reverse: the clerk still writes to the database, and clients may ask until the end.
            leaving.callback(self._run_guarded, self._control.close)
            if self._database is not None:
                leaving.callback(self._run_guarded, self._database.stop)
            leaving.callback(self._run_guarded, self._database_thread.close)
            self._start(leaving)
            while not self._over():
                if not self._run_guarded(self._wait):
                    # Whatever befalls the waiting, nobody goes unheard.
                    self._ready = Readable(fds=frozenset(self._descriptors), control=True)
                self._dispatch_events()
                self._run_guarded(self._tick)
            self._notifier.extend(CLOSING_SECONDS)
        log.info("supervisor.stopped")
        return ExitStatus.OK

    def _start(self, leaving: contextlib.ExitStack) -> None:
        self._state = StateDirectory(self.settings.control.state_dir)
        leaving.callback(self._state.close)
        orders = self._state.load()
        signal.signal(
            signal.SIGCHLD, signal.SIG_DFL
        )  # inherited as ignored, it would hide how children ended
        become_subreaper()
        make_room(self.settings.worker.count)
        # Never put back: a signal that comes while the clerk finishes must not kill it.
        self._signals = SignalQueue(self._signal_handlers)
        self._fleet = Fleet(
            self._spawner,
            self,
            host=socket.gethostname(),
            wire=self.settings.to_wire(),
            timeouts=_timeouts(self.settings),
            paused=set(orders.paused),
        )
        leaving.callback(self._fleet.close)
        self._descriptors = (self._fleet.fileno(), self._signals.fileno(), self._database_thread.fileno())
        self._exempt_database()
        if self._database is not None:
            self._check_disk_space(self._database.directory)
        self._fleet.draining, self._fleet.held = orders.draining, orders.held
        self._fleet.scale(self.settings.worker.count)
        log.info("supervisor.started", workers=self._fleet.wanted)
        if orders != PersistedState():
            log.warning(
                "supervisor.state_restored",
                draining=orders.draining,
                held=orders.held,
                paused=sorted(orders.paused),
            )

    def _dispatch_events(self) -> None:
        """What has news, and nothing else: most turns are for one of these alone."""
        fds = self._ready.fds
        if self._signals.fileno() in fds:
            for number in self._signals.take():
                self._run_guarded(self._handle_signal, number)
        if self._ready.control:
            self._run_guarded(self._take_requests)
        if self._database_thread.fileno() in fds:
            for answer in self._database_thread.answers():
                self._run_guarded(answer)
        now = self._clock.boottime()
        if self._fleet.fileno() in fds or now >= self._fleet.next_tick_at():
            self._supervising = self._run_guarded(self._fleet.tick, now)

    def _over(self) -> bool:
        return self.phase is not Phase.RUNNING and self._fleet.empty

    def _wait(self) -> None:
        now = self._clock.boottime()
        due = [self._fleet.next_tick_at(), self._tick_at]
        due += [self._kill_at] if self._kill_at is not None else []
        rest = min(max(0.0, min(due) - now), REVIEW_SECONDS)
        self._ready = self._control.wait(self._descriptors, int(rest * 1000) + 1)
        now = self._clock.boottime()
        away = now - self._awake_at
        if away > REVIEW_SECONDS + ABSENCE_SECONDS:
            log.warning("supervisor.was_suspended", for_seconds=round(away, 1))
            self._fleet.extend_deadlines(away, now)
        self._awake_at = now

    def _handle_signal(self, number: signal.Signals) -> None:
        log.info("signal.received", signal=number.name)
        self._signal_handlers[number]()

    def _take_requests(self) -> None:
        for request in self._control.receive():
            self._run_guarded(self._on_request, request)

    def _tick(self) -> None:
        """What is looked after each second, and the end of the patience with workers that hold on."""
        now = self._clock.boottime()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at, self.phase = None, Phase.KILLING
            self._fleet.kill()
        if now < self._tick_at:
            return
        self._tick_at = now + 1.0
        self._show_title()
        self._notifier.notify(
            status_line(self._summary(), self._fleet),
            up=self._fleet.present > 0,
            supervising=self._supervising,
            leaving=self.phase is not Phase.RUNNING,
        )
        if self._database is not None:
            self._check_disk_space(self._database.directory)
            self._database.ensure()
            self._exempt_database()
        if self._state_not_saved is not None:
            self._run_guarded(self._save_state)
        for hook in self.on_tick:
            self._run_guarded(hook, now)

    # What an operator orders, by command or by signal.

    def shutdown(self, *, now: bool = False) -> None:
        """Leave: workers finish their calls first, or hand them over at once."""
        if now:
            self._hand_over()
        elif self.phase is Phase.RUNNING:
            self._enter(Phase.STOPPING)
            self._fleet.stop()

    def scale(self, wanted: int) -> int:
        """So many workers, until the next reload; the number.

        Raises:
            ConfigError: the system does not allow that many.
        """
        make_room(wanted)
        self._fleet.scale(wanted)
        log.info("fleet.scaled", wanted=wanted)
        return wanted

    def drain(self, on: bool) -> None:
        """No worker of this host claims, or all may again; outlives this process."""
        self._fleet.drain(on)
        self._save_state()

    def hold(self, on: bool) -> None:
        """Every new dial of this host is held, or no longer; outlives this process."""
        self._fleet.hold(on)
        self._save_state()

    def pause_worker(self, slot: str) -> None:
        """One worker claims nothing; outlives its process, and this one.

        Raises:
            FleetError: there is no such worker.
        """
        self._fleet.require(slot)
        self._fleet.pause(slot, True)
        self._save_state()

    def resume_worker(self, slot: str) -> None:
        """One worker claims again.

        Raises:
            FleetError: there is no such worker.
        """
        self._fleet.require(slot)
        self._fleet.pause(slot, False)
        self._save_state()

    def set_log_level(self, level: str) -> None:
        """How much this daemon and its workers log, until the next reload."""
        logs.set_level(level)
        self._fleet.set_log_level(level)

    def reload(self) -> dict[str, list[str]]:
        """Read the settings again and apply what a running daemon can; what was applied, what was not.

        Raises:
            ConfigError: the new set is bad; the old one stays whole.
        """
        self._notifier.reloading()
        try:
            new = self._read_settings()
            make_room(new.worker.count)
            applied, needs_restart = reload_changes(self.settings, new)
            before = self.settings.worker.count
            self.settings = after_reload(self.settings, new)
            logs.set_level(self.settings.logging.level)
            self._fleet.set_settings(self.settings.to_wire(), _timeouts(self.settings))
            if self._fleet.wanted not in {before, self.settings.worker.count}:
                applied.append(f"WORKER_COUNT: {self._fleet.wanted} by scale -> {self.settings.worker.count}")
            self.scale(self.settings.worker.count)
        finally:
            self._notifier.reloaded()
        log.info("settings.reloaded", applied=applied)
        if needs_restart:
            log.warning("settings.need_restart", changed=needs_restart)
        if self._on_settings is not None:
            self._on_settings(self.settings)
        return {"applied": applied, "needs_restart": needs_restart}

    # What an operator asks.

    def snapshot(self) -> dict[str, Any]:
        """All that the loop knows, as JSON-ready data."""
        found = snapshot(self._fleet, state=self.phase.label, started_at=self._started_at, clock=self._clock)
        found["supervisor"]["orders_not_kept"] = self._state_not_saved
        return found

    # What the fleet tells (``fleet.workers.Listener``).

    def on_counts(self, counts: Counts) -> None:
        """Sum up a worker's increments; the sums survive it."""
        for key, value in counts.items():
            self.counts[key] = self.counts.get(key, 0) + value

    def on_idempotent_count(self, tally: IdempotentCount) -> None:
        """Sum up increments that count once: a worker that died may have told them before it was repeated."""
        if tally.once in self._counted_once:
            return
        self._counted_once[tally.once] = None
        if len(self._counted_once) > IDEMPOTENT_COUNTS_KEPT:
            self._counted_once.popitem(last=False)
        self.on_counts(tally.counts)

    def on_worker_event(self, slot: str, event: Event) -> None:
        """Pass a worker's event on."""
        for listener in self.on_event:
            self._run_guarded(listener, slot, event.name, event.fields)

    def on_worker_exit(self, worker_id: str, beat: Beat | None, cause: ExitCause) -> None:
        """Have the database's side told what a crash left in hand; other ends speak against no job."""
        if cause is not ExitCause.ASKED:
            self.on_counts({count_key("speechaid_worker_restarts_total", {"cause": cause.value}): 1})
        if cause in CRASHES:
            self._database_thread.on_worker_exit(worker_id, beat.job if beat is not None else None, cause)

    # What signals do; the rest of the loop's verbs.

    def _stop_or_hand_over(self) -> None:
        """The second wish to stop is the stronger one."""
        if self.phase is Phase.RUNNING:
            self.shutdown()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        if self.phase < Phase.HANDING_OVER:
            self._enter(Phase.HANDING_OVER)
            timeouts = self.settings.retell.timeout_seconds + HAND_OVER_GRACE_SECONDS
            self._kill_at = self._clock.boottime() + timeouts
            self._fleet.hand_over()

    def _reload_by_signal(self) -> None:
        try:
            self.reload()
        except ConfigError as exc:
            for fault in exc.faults:
                log.error("settings.refused", text=fault)  # noqa: TRY400 - one line a fault, no traceback

    def _one_more(self) -> None:
        try:
            self.scale(min(self._fleet.wanted + 1, MOST_WORKERS))
        except ConfigError as exc:
            log.warning("fleet.scale_refused", text=str(exc))

    def _one_fewer(self) -> None:
        self.scale(max(self._fleet.wanted - 1, 1))  # none at all is for drain, not for a finger on a key

    def _enter(self, phase: Phase) -> None:
        log.info("supervisor.phase", phase=phase.label)
        self.phase = phase
        self._notifier.stopping(self._summary())
        self._show_title()

    def _save_state(self) -> None:
        """Write down what stands until it is taken back, for the next start.

        An emergency stop must not wait for a disk: where nothing can be written the orders stand in memory,
        the answer says so, and each second tries again.
        """
        orders = PersistedState(
            draining=self._fleet.draining, held=self._fleet.held, paused=frozenset(self._fleet.paused)
        )
        try:
            self._state.save(orders)
        except FleetError as fault:
            if self._state_not_saved is None:
                log.warning("supervisor.state_not_saved", text=str(fault))
            self._state_not_saved = str(fault)
            return
        if self._state_not_saved is not None:
            log.info("supervisor.state_saved")
        self._state_not_saved = None

    def _check_disk_space(self, directory: Path) -> None:
        """No call is placed whose end might find no room; those that go on are followed."""
        held = self._fleet.no_space is not None
        try:
            found = os.statvfs(directory)
            why = no_space(str(directory), found.f_bavail * found.f_frsize // 2**20, held=held)
        except OSError as exc:
            why = f"the disk of {directory} cannot be looked at: {exc.strerror}"
        self._fleet.hold_for_space(why)
        if why is not None and not held:
            log.error("disk.full", text=why)
        elif why is None and held:
            log.warning("disk.has_space", directory=str(directory))

    def _exempt_database(self) -> None:
        """Its process is our child, and its own keeper's to reap."""
        pid = self._database.pid if self._database is not None else None
        self._fleet.others = set() if pid is None else {pid}

    def _summary(self) -> str:
        present, wanted = self._fleet.present, self._fleet.wanted
        drained = ", draining" if self._fleet.draining else ""
        if present == wanted or self.phase is not Phase.RUNNING:
            return f"{self.phase.label}, {plural(present, 'worker')}{drained}"
        return f"{self.phase.label}, {present} of {plural(wanted, 'worker')}{drained}"

    def _show_title(self) -> None:
        """In ``ps``, where it changed."""
        if (summary := self._summary()) != self._title:
            self._title = summary
            setproctitle.setproctitle(f"speechaid: supervisor [{summary}]")

    def _run_guarded(self, step: Callable[..., object], *arguments: object) -> bool:
        """Do one step; a fault of ours in it is logged, and the fleet is supervised on. False: it failed."""
        try:
            step(*arguments)
        except Exception:
            log.exception("supervisor.fault")
            self._clock.sleep(0.05)  # a fault in each turn must not turn hot
            return False
        return True


def _timeouts(settings: Settings) -> Timeouts:
    worker = settings.worker
    return Timeouts(
        grace_seconds=worker.beat_grace_seconds,
        respawn=RespawnPolicy(
            first_delay_seconds=worker.respawn_min_seconds,
            longest_delay_seconds=worker.respawn_max_seconds,
            outage_delay_seconds=min(5.0, worker.respawn_max_seconds),
        ),
    )
