"""The chaos monkey: performs kills, freezes and faults, and reverts them when due."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.errors import StoreError
from speechaid.store.connection import Store
from tests.chaos.hosts import ROOT, Host
from tests.chaos.plan import Action, ActionKind
from tests.chaos.processes import Process, reap_orphans, send

#: Bounds to which an action's duration is scaled, in seconds.
DATABASE_AWAY_SECONDS: Final = (1.0, 5.0)
FAULT_SECONDS: Final = (2.0, 7.0)
PAUSE_SECONDS: Final = (2.0, 6.0)
#: How much longer than the lease a process stays frozen, in seconds.
PAST_LEASE_SECONDS: Final = (0.5, 5.0)
#: Seconds until an ended daemon (it found no database at start) is started again.
RESTART_SECONDS: Final = 1.0
#: Preferred states of target workers, in turn, so that every part of a call is hit.
TARGET_STATES: Final = (
    "dialling",
    "following",
    "settling",
    "claiming",
    "following",
    "dialling",
    "recovering",
)


@dataclass(frozen=True)
class Pause:
    """A batch's pause as its operator saw it; Unix times."""

    batch_id: str
    answered_at: float
    resumed_at: float


@dataclass(order=True)
class Scheduled:
    """A callback and when to run it (monotonic seconds)."""

    at: float
    callback: Callable[[], None] = field(compare=False)


class Monkey:
    """Performs the actions of one run."""

    def __init__(
        self,
        *,
        hosts: list[Host],
        database: EmbeddedDatabase,
        simulator: SimulatorProcess,
        store: Store,
        batches: list[str],
        lease_seconds: float,
        log: Path,
    ) -> None:
        self.hosts = hosts
        self.done: Counter[str] = Counter()
        self.pauses: list[Pause] = []
        self._database = database
        self._simulator = simulator
        self._store = store
        self._batches = batches
        self._lease_seconds = lease_seconds
        self._log_file = log
        self._scheduled: list[Scheduled] = []
        self._database_back_at = 0.0
        self._restart_at: dict[str, float] = {}
        self._frozen: set[int] = set()
        self._state_index = 0

    # -- actions -------------------------------------------------------------------------------------------

    def perform(self, action: Action) -> bool:
        """Perform an action; False if there is no target at present."""
        performers: dict[ActionKind, Callable[[Action], bool]] = {
            ActionKind.KILL_WORKER: self._kill_worker,
            ActionKind.KILL_SUPERVISOR: self._kill_supervisor,
            ActionKind.KILL_HOST: self._kill_host,
            ActionKind.KILL_ZYGOTE: self._kill_zygote,
            ActionKind.KILL_DATABASE: self._kill_database,
            ActionKind.FREEZE_WORKER: self._freeze_worker,
            ActionKind.FREEZE_SUPERVISOR: self._freeze_supervisor,
            ActionKind.FREEZE_HOST: self._freeze_host,
            ActionKind.HAND_OVER: self._hand_over,
            ActionKind.PAUSE: self._pause,
            ActionKind.FAULT: self._fault,
        }
        if not performers[action.kind](action):
            return False
        self.done[action.kind] += 1
        self._log(f"{action.kind} {action.fault or ''}")
        return True

    def tick(self) -> None:
        """Run due callbacks; restart what the fleet does not restart itself: supervisors and the database."""
        now = time.monotonic()
        due = [scheduled for scheduled in self._scheduled if scheduled.at <= now]
        self._scheduled = [scheduled for scheduled in self._scheduled if scheduled.at > now]
        for scheduled in sorted(due):
            scheduled.callback()
        if now >= self._database_back_at:
            self._database.ensure()
        for host in self.hosts:
            if host.pid is None and now >= self._restart_at.setdefault(host.name, now + RESTART_SECONDS):
                self.done[f"daemon exited with {host.exit_status}"] += 1
                self._start(host)
        owned = {pid for pid in (self._database.pid, self._simulator.pid) if pid is not None}
        reap_orphans(owned | {host.pid for host in self.hosts if host.pid is not None})

    def revert_all(self) -> None:
        """Revert everything now: thaw all processes, clear all faults."""
        while self._scheduled:
            self._scheduled = [Scheduled(0.0, scheduled.callback) for scheduled in self._scheduled]
            self.tick()
        self._simulator.clear_faults()

    def workers_are_distinct(self) -> bool:
        """Whether no worker process was ever seen on two hosts."""
        seen = Counter(worker for host in self.hosts for worker in host.workers_seen)
        return not seen or max(seen.values()) == 1

    # -- kills ---------------------------------------------------------------------------------------------

    def _kill_worker(self, action: Action) -> bool:
        worker = self._some_worker(action)
        return worker is not None and send(worker.pid, signal.SIGKILL)

    def _kill_supervisor(self, action: Action) -> bool:
        host = self._some_host(action)
        if host is None:
            return False
        host.kill()
        self._start(host)
        return True

    def _kill_host(self, action: Action) -> bool:
        host = self._some_host(action)
        if host is None:
            return False
        processes = host.processes()
        host.kill()
        for process in processes:
            killed = send(process.pid, signal.SIGKILL)
            self.done["worker killed with its host"] += int(killed and process.is_worker)
        self._start(host)
        return True

    def _kill_zygote(self, action: Action) -> bool:
        host = self._some_host(action)
        zygotes = [process for process in host.processes() if process.is_zygote] if host else []
        return bool(zygotes) and send(zygotes[0].pid, signal.SIGKILL)

    def _kill_database(self, action: Action) -> bool:
        pid = self._database.pid
        if pid is None or not self._database.is_alive():
            return False
        self._database_back_at = time.monotonic() + _scale(DATABASE_AWAY_SECONDS, action.duration)
        return send(pid, signal.SIGKILL)

    # -- freezes -------------------------------------------------------------------------------------------

    def _freeze_worker(self, action: Action) -> bool:
        worker = self._some_worker(action)
        return worker is not None and self._freeze([worker.pid], action)

    def _freeze_supervisor(self, action: Action) -> bool:
        host = self._some_host(action)
        return host is not None and host.pid is not None and self._freeze([host.pid], action, host)

    def _freeze_host(self, action: Action) -> bool:
        host = self._some_host(action)
        if host is None or host.pid is None:
            return False
        # The supervisor first, so that it kills no worker as hung; it is thawed last.
        return self._freeze([host.pid, *(process.pid for process in host.processes())], action, host)

    def _freeze(self, pids: list[int], action: Action, host: Host | None = None) -> bool:
        if self._frozen.intersection(pids):
            return False
        stopped = [pid for pid in pids if send(pid, signal.SIGSTOP)]
        self._frozen.update(stopped)
        if host is not None:
            host.frozen = True

        def thaw() -> None:
            for pid in reversed(stopped):
                send(pid, signal.SIGCONT)
            self._frozen.difference_update(stopped)
            if host is not None:
                host.frozen = False

        self._after(self._lease_seconds + _scale(PAST_LEASE_SECONDS, action.duration), thaw)
        return bool(stopped)

    def thaw_all(self) -> None:
        """End every freeze now: an interrupted run must leave no stopped process behind."""
        for pid in self._frozen:
            send(pid, signal.SIGCONT)
        self._frozen.clear()

    # -- the operator --------------------------------------------------------------------------------------

    def _hand_over(self, action: Action) -> bool:
        """Two SIGTERMs, as an impatient deployment sends them; the next start adopts the calls."""
        host = self._some_host(action)
        if host is None:
            return False
        host.processes()
        host.signal(signal.SIGTERM)
        time.sleep(0.05 + action.duration / 2)
        host.signal(signal.SIGTERM)
        status = host.wait(20)
        self.done[f"hand-over ended with {status}"] += 1
        if status is None:
            host.kill()
        self._start(host)
        return True

    def _pause(self, action: Action) -> bool:
        host = self._some_host(action)
        if host is None:
            return False
        batch_id = self._batches[int(action.duration * len(self._batches))]
        command = [sys.executable, "-m", "speechctl", "--json", "pause-batch", batch_id]
        command_process = subprocess.Popen(
            command,
            env={**os.environ, "SPEECHAID_SOCKET": str(host.socket), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._after(0.05, lambda: self._await_pause(command_process, batch_id, action, time.monotonic() + 60))
        return True

    def _await_pause(
        self, process: subprocess.Popen[bytes], batch_id: str, action: Action, until: float
    ) -> None:
        """Record when the answer came, and resume some seconds later."""
        if process.poll() is None and time.monotonic() < until:
            self._after(0.05, lambda: self._await_pause(process, batch_id, action, until))
            return
        process.kill()
        answered_at = time.time() if process.wait() == 0 else None
        self.done["pause answered" if answered_at else "pause not answered"] += 1
        self._after(
            _scale(PAUSE_SECONDS, action.duration) if answered_at else 0.0,
            lambda: self._resume(batch_id, answered_at, time.time()),
        )

    def _resume(self, batch_id: str, answered_at: float | None, resumed_at: float) -> None:
        try:
            self._store.batches.resume(batch_id, by="chaos")
        except StoreError:
            self._after(0.5, lambda: self._resume(batch_id, answered_at, resumed_at))
            return
        if answered_at is not None:
            self.pauses.append(Pause(batch_id, answered_at, resumed_at))

    # -- Retell --------------------------------------------------------------------------------------------

    def _fault(self, action: Action) -> bool:
        fields: dict[str, Any] = dict(action.fault)
        fault = self._simulator.fault(fields.pop("kind"), **fields)
        self._after(_scale(FAULT_SECONDS, action.duration), lambda: self._simulator.clear_faults(fault))
        self.done[f"fault {action.fault['kind']}"] += 1
        return True

    # -- targets and schedule ------------------------------------------------------------------------------

    def _some_host(self, action: Action) -> Host | None:
        """A host whose supervisor runs and has workers; a starting host is left alone."""
        hosts = [host for host in self.hosts if host.pid is not None and not host.frozen and host.workers()]
        return hosts[int(action.target * len(hosts))] if hosts else None

    def _some_worker(self, action: Action) -> Process | None:
        workers = [
            worker for host in self.hosts for worker in host.workers() if worker.pid not in self._frozen
        ]
        self._state_index += 1
        wanted = f"[{TARGET_STATES[self._state_index % len(TARGET_STATES)]}"
        chosen = [worker for worker in workers if wanted in worker.title] or workers
        return chosen[int(action.target * len(chosen))] if chosen else None

    def _log(self, text: str) -> None:
        """Write one line to the log of actions."""
        with self._log_file.open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat()} {text}\n")

    def _start(self, host: Host) -> None:
        self._restart_at.pop(host.name, None)
        host.start()

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._scheduled.append(Scheduled(time.monotonic() + seconds, callback))


def _scale(bounds: tuple[float, float], fraction: float) -> float:
    low, high = bounds
    return low + (high - low) * fraction
