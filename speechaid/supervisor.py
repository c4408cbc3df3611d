"""The supervisor: one thread that keeps the fleet to size, handles signals and commands, and never blocks.

It owns all state. Database work goes to the database thread, orders to workers go over their channels, and
results wake the loop through a descriptor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import setproctitle

from speechaid.clock import Clock, SystemClock
from speechaid.errors import ConfigError, ExitStatus, FleetError
from speechaid.fleet.interfaces import (
    ControlInterface,
    DatabaseInterface,
    DatabaseProbe,
    DatabaseProcess,
    OtherChildren,
    Readable,
)
from speechaid.fleet.messages import Beat, Counts, Event, IdempotentCount, count_key
from speechaid.fleet.processes import become_subreaper, reserve_descriptors
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
from speechaid.telemetry.label_limits import LabelLimits
from speechaid.telemetry.logs import get_logger

#: From the order to hand over to SIGKILL, on top of the timeout of one request to Retell: killing a worker
#: that waits for the answer to a dial would leave the dial ambiguous.
HAND_OVER_GRACE_SECONDS: Final = 5.0
#: A loop that took this much longer than its longest wait was suspended (SIGSTOP), or the machine slept.
LOOP_STALL_SECONDS: Final = 3.0
#: For the database thread and the embedded database to close after the last worker has left.
CLOSING_SECONDS: Final = 120.0
#: SIGTTIN adds no worker beyond this.
MAX_WORKERS_BY_SIGNAL: Final = 2000

#: De-duplication window, in names of idempotent counts: larger than what all workers send between a crash and
#: the retry of that operation.
IDEMPOTENT_COUNTS_KEPT: Final = 20_000

log = get_logger(__name__)


class Phase(IntEnum):
    """How far the shutdown has come; it only ever rises."""

    RUNNING = 0
    #: Workers finish their calls and leave.
    STOPPING = 1
    #: Workers hand their calls over and leave.
    HANDING_OVER = 2
    #: Workers that did not are killed.
    KILLING = 3

    @property
    def label(self) -> str:
        """As ``status``, systemd and the process title show it. Clients compare it: it keeps its old text."""
        return "letting go" if self is Phase.HANDING_OVER else self.name.lower()


class Supervisor:
    """State and main loop of one host's fleet; methods stand in the order in which ``run`` calls them.

    Attributes:
        settings: those in force.
        counts: sum of each counter since the start, over all workers, dead or alive.
        on_event: called for each event of a worker with (slot, name, fields).
        on_tick: called each second with the boot-time clock's seconds.
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
        probe: DatabaseProbe | None = None,
        reader_pids: OtherChildren = lambda: contextlib.nullcontext(frozenset()),
        clock: Clock | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            settings: those to start with.
            spawner: makes the workers.
            control: where requests come from.
            on_request: handles one request; must not block.
            database_thread: gets reports of crashed workers; its callbacks run in the loop.
            read_settings: new settings for a reload; ``ConfigError`` refuses the reload.
            on_settings: called with the settings in force after a reload.
            database: the embedded database, if it is one.
            probe: how soon the database answers.
            reader_pids: the processes that read files for the database thread.
            clock: for tests.
        """
        self.settings = settings
        self.phase = Phase.RUNNING
        self.counts: Counts = {}
        self._label_limits = LabelLimits()
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
        self._probe = probe
        self._reader_pids = reader_pids
        self._clock = clock or SystemClock()
        self._notifier = SystemdNotifier()
        self._started_at = self._clock.now()
        self._awake_at = self._clock.boottime()
        self._tick_at = 0.0
        self._kill_at: float | None = None
        self._title = ""
        #: Why the state file could not be written; None where it was.
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
        """Start, then supervise until a shutdown is requested and the last worker has left.

        Control socket, database thread and database stay open: they belong to the caller.

        Raises:
            FleetError: the state directory or a kernel feature that supervision needs cannot be used.
        """
        with contextlib.ExitStack() as cleanup:
            self._start(cleanup)
            while not self._is_finished():
                if not self._run_guarded(self._wait):
                    # If polling fails, treat every source as ready: no event may be missed.
                    self._ready = Readable(fds=frozenset(self._descriptors), control=True)
                self._dispatch_events()
                self._run_guarded(self._tick)
            self._notifier.extend(CLOSING_SECONDS)
        log.info("supervisor.stopped")
        return ExitStatus.OK

    def _start(self, cleanup: contextlib.ExitStack) -> None:
        self._state_directory = cleanup.enter_context(
            contextlib.closing(StateDirectory(self.settings.control.state_dir))
        )
        state = self._state_directory.load()
        # If SIGCHLD is inherited as SIG_IGN, wait() returns no exit status.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        become_subreaper()
        reserve_descriptors(self.settings.worker.count)
        # Never restored: a signal that comes while the database thread finishes must not kill this process.
        self._signals = SignalQueue(self._signal_handlers)
        self._fleet = cleanup.enter_context(
            contextlib.closing(
                Fleet(
                    self._spawner,
                    self,
                    host=socket.gethostname(),
                    wire=self.settings.to_wire(),
                    timeouts=_timeouts(self.settings),
                    paused=set(state.paused),
                    probe=self._probe,
                    list_interval=self.settings.list_interval,
                )
            )
        )
        self._descriptors = (self._fleet.fileno(), self._signals.fileno(), self._database_thread.fileno())
        self._fleet.other_children = self._other_children
        if self._database is not None:
            self._check_disk_space(self._database.directory)
        self._fleet.draining, self._fleet.held = state.draining, state.held
        self._fleet.paused_batches = set(state.paused_batches)
        self._fleet.scale(self.settings.worker.count)
        log.info("supervisor.started", workers=self._fleet.wanted)
        if state != PersistedState():
            log.warning(
                "supervisor.state_restored",
                draining=state.draining,
                held=state.held,
                paused=sorted(state.paused),
                paused_batches=sorted(state.paused_batches),
            )

    def _dispatch_events(self) -> None:
        """Handle only the sources that are ready: most passes are for one of them."""
        fds = self._ready.fds
        if self._signals.fileno() in fds:
            for number in self._signals.take():
                self._run_guarded(self._handle_signal, number)
        if self._ready.control:
            self._run_guarded(self._handle_requests)
        if self._database_thread.fileno() in fds:
            for callback in self._database_thread.answers():
                self._run_guarded(callback)
        now = self._clock.boottime()
        if self._fleet.fileno() in fds or now >= self._fleet.next_tick_at():
            self._supervising = self._run_guarded(self._fleet.tick, now)

    def _is_finished(self) -> bool:
        return self.phase is not Phase.RUNNING and self._fleet.empty

    def _wait(self) -> None:
        now = self._clock.boottime()
        due = [self._fleet.next_tick_at(), self._tick_at]
        due += [self._kill_at] if self._kill_at is not None else []
        timeout = min(max(0.0, min(due) - now), REVIEW_SECONDS)
        self._ready = self._control.wait(self._descriptors, int(timeout * 1000) + 1)
        now = self._clock.boottime()
        elapsed = now - self._awake_at
        if elapsed > REVIEW_SECONDS + LOOP_STALL_SECONDS:
            log.warning("supervisor.was_suspended", for_seconds=round(elapsed, 1))
            self._fleet.extend_deadlines(elapsed, now)
        self._awake_at = now

    def _handle_signal(self, number: signal.Signals) -> None:
        log.info("signal.received", signal=number.name)
        self._signal_handlers[number]()

    def _handle_requests(self) -> None:
        # What stops calls first, however many other requests arrived with it.
        for request in sorted(self._control.receive(), key=lambda request: not request.command.urgent):
            self._run_guarded(self._on_request, request)

    def _tick(self) -> None:
        """Kill workers whose time to hand over is up; each second: title, systemd, disk, database, hooks."""
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
        if self._state_not_saved is not None:
            self._run_guarded(self._save_state)
        for hook in self.on_tick:
            self._run_guarded(hook, now)

    # Operator commands and signals.

    def shutdown(self, *, now: bool = False) -> None:
        """Begin to stop: workers finish their calls first; ``now`` has them hand over at once."""
        if now:
            self._hand_over()
        elif self.phase is Phase.RUNNING:
            self._enter(Phase.STOPPING)
            self._fleet.stop()

    def scale(self, wanted: int) -> int:
        """Set the number of workers until the next reload; returns it.

        Raises:
            ConfigError: the system does not allow that many.
        """
        reserve_descriptors(wanted)
        self._fleet.scale(wanted)
        log.info("fleet.scaled", wanted=wanted)
        return wanted

    def drain(self, on: bool) -> None:
        """Stop or resume claiming on this host; survives a restart."""
        self._fleet.drain(on)
        self._save_state()

    def hold(self, on: bool) -> None:
        """Hold or release new dials of this host; survives a restart."""
        self._fleet.hold(on)
        self._save_state()

    def pause_batches(self, beginning: str, on: bool) -> None:
        """Hold or release new dials of these batches on this host; survives a restart."""
        self._fleet.pause_batches(beginning, on)
        self._save_state()

    @property
    def in_calls(self) -> int:
        """Number of workers of this host with a live call."""
        return self._fleet.in_calls

    def hang_up(self, job_id: str) -> None:
        """Wake the worker of this host that has the job, to read its request at once."""
        self._fleet.hang_up(job_id)

    def wake_workers(self) -> None:
        """Have an idle worker look for jobs at once: a command may have made some due."""
        self._fleet.wake()

    def pause_worker(self, slot: str) -> None:
        """Stop claiming in one slot; survives its worker and a restart.

        Raises:
            FleetError: there is no such slot.
        """
        self._fleet.require(slot)
        self._fleet.pause(slot, True)
        self._save_state()

    def resume_worker(self, slot: str) -> None:
        """Resume claiming in one slot.

        Raises:
            FleetError: there is no such slot.
        """
        self._fleet.require(slot)
        self._fleet.pause(slot, False)
        self._save_state()

    def set_log_level(self, level: str) -> None:
        """Set the log level of this process and its workers until the next reload."""
        logs.set_level(level)
        self._fleet.set_log_level(level)

    def reload(self) -> dict[str, list[str]]:
        """Read the settings again and apply what can change at run time; what was applied, what was not.

        Raises:
            ConfigError: the new settings are invalid; the old ones stay as a whole.
        """
        self._notifier.reloading()
        try:
            new = self._read_settings()
            reserve_descriptors(new.worker.count)
            applied, needs_restart = reload_changes(self.settings, new)
            before = self.settings.worker.count
            self.settings = after_reload(self.settings, new)
            logs.set_level(self.settings.logging.level)
            self._fleet.set_settings(
                self.settings.to_wire(),
                _timeouts(self.settings),
                list_interval=self.settings.list_interval,
            )
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

    def snapshot(self) -> dict[str, Any]:
        """Supervisor and workers as JSON-ready data."""
        found = snapshot(self._fleet, state=self.phase.label, started_at=self._started_at, clock=self._clock)
        found["supervisor"]["orders_not_kept"] = self._state_not_saved
        return found

    # Callbacks of the fleet (``fleet.workers.FleetListener``).

    def on_counts(self, counts: Counts) -> None:
        """Add a worker's increments to the sums, which survive it."""
        for given, value in counts.items():
            key = self._label_limits.limited(given)
            self.counts[key] = self.counts.get(key, 0) + value

    def on_idempotent_count(self, count: IdempotentCount) -> None:
        """Add increments once per name: a worker may have sent them and died before the operation ended."""
        if count.once in self._counted_once:
            return
        self._counted_once[count.once] = None
        if len(self._counted_once) > IDEMPOTENT_COUNTS_KEPT:
            self._counted_once.popitem(last=False)
        self.on_counts(count.counts)

    def on_worker_event(self, slot: str, event: Event) -> None:
        """Pass a worker's event to the listeners."""
        for listener in self.on_event:
            self._run_guarded(listener, slot, event.name, event.fields)

    def on_worker_exit(self, worker_id: str, beat: Beat | None, cause: ExitCause) -> None:
        """Count the exit, and report a crash to the database thread; other exits are only counted."""
        if cause is not ExitCause.ASKED:
            self.on_counts({count_key("speechaid_worker_restarts_total", {"cause": cause.value}): 1})
        if cause in CRASHES:
            self._database_thread.on_worker_exit(worker_id, beat.job if beat is not None else None, cause)

    # Signal handlers, and the rest of the loop.

    def _stop_or_hand_over(self) -> None:
        """Stop gracefully on the first signal, hand over on the second."""
        if self.phase is Phase.RUNNING:
            self.shutdown()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        if self.phase < Phase.HANDING_OVER:
            self._enter(Phase.HANDING_OVER)
            allowed = self.settings.retell.timeout_seconds + HAND_OVER_GRACE_SECONDS
            self._kill_at = self._clock.boottime() + allowed
            self._fleet.hand_over()

    def _reload_by_signal(self) -> None:
        try:
            self.reload()
        except ConfigError as exc:
            for fault in exc.faults:
                log.error("settings.refused", text=fault)  # noqa: TRY400 - one line a fault, no traceback

    def _one_more(self) -> None:
        try:
            self.scale(min(self._fleet.wanted + 1, MAX_WORKERS_BY_SIGNAL))
        except ConfigError as exc:
            log.warning("fleet.scale_refused", text=str(exc))

    def _one_fewer(self) -> None:
        self.scale(max(self._fleet.wanted - 1, 1))  # never below one; use drain to stop claims

    def _enter(self, phase: Phase) -> None:
        log.info("supervisor.phase", phase=phase.label)
        self.phase = phase
        self._notifier.stopping(self._summary())
        self._show_title()

    def _save_state(self) -> None:
        """Write drain, hold and pauses to the state file, for the next start.

        An emergency stop must not wait for a disk: if the file cannot be written, the state stays in effect
        in memory, the answer says so, and the write is retried each second.
        """
        state = PersistedState(
            draining=self._fleet.draining,
            held=self._fleet.held,
            paused=frozenset(self._fleet.paused),
            paused_batches=frozenset(self._fleet.paused_batches),
        )
        try:
            self._state_directory.save(state)
        except FleetError as fault:
            if self._state_not_saved is None:
                log.warning("supervisor.state_not_saved", text=str(fault))
            self._state_not_saved = str(fault)
            return
        if self._state_not_saved is not None:
            log.info("supervisor.state_saved")
        self._state_not_saved = None

    def _check_disk_space(self, directory: Path) -> None:
        """Hold new dials while the disk may be too full to record a result; live calls are followed."""
        held = self._fleet.no_space is not None
        try:
            disk = os.statvfs(directory)
            reason = no_space(str(directory), disk.f_bavail * disk.f_frsize // 2**20, held=held)
        except OSError as exc:
            reason = f"the free space of {directory} cannot be read: {exc.strerror}"
        self._fleet.hold_for_space(reason)
        if reason is not None and not held:
            log.error("disk.full", text=reason)
        elif reason is None and held:
            log.warning("disk.has_space", directory=str(directory))

    @contextlib.contextmanager
    def _other_children(self) -> Iterator[frozenset[int] | None]:
        """Children that others reap: the embedded database, the process for control over TCP, readers."""
        pid = self._database.pid if self._database is not None else None
        own = self._control.child_pids | (set() if pid is None else {pid})
        with self._reader_pids() as readers:
            yield None if readers is None else readers | own

    def _summary(self) -> str:
        present, wanted = self._fleet.present, self._fleet.wanted
        drained = ", draining" if self._fleet.draining else ""
        if present == wanted or self.phase is not Phase.RUNNING:
            return f"{self.phase.label}, {plural(present, 'worker')}{drained}"
        return f"{self.phase.label}, {present} of {plural(wanted, 'worker')}{drained}"

    def _show_title(self) -> None:
        """Set the process title where it changed."""
        if (summary := self._summary()) != self._title:
            self._title = summary
            setproctitle.setproctitle(f"speechaid: supervisor [{summary}]")

    def _run_guarded(self, step: Callable[..., object], *arguments: object) -> bool:
        """Run one step; a fault in it is logged and supervision goes on. False: it failed."""
        try:
            step(*arguments)
        except Exception:
            log.exception("supervisor.fault")
            self._clock.sleep(0.05)  # a fault in each pass must not become a busy loop
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
