"""Does the deeds: kills, freezes, lies; and brings back what it has to, at its time."""

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
from tests.chaos.plan import Deed, Kind
from tests.chaos.processes import Process, reap_orphans, send

#: Bounds of what a deed's span is turned into, in seconds.
DATABASE_AWAY_SECONDS: Final = (1.0, 5.0)
FAULT_SECONDS: Final = (2.0, 7.0)
PAUSE_SECONDS: Final = (2.0, 6.0)
#: A frozen process sleeps past its lease by so much.
PAST_LEASE_SECONDS: Final = (0.5, 5.0)
#: A daemon that found no database when it started is started again after so long.
RESTART_SECONDS: Final = 1.0
#: Workers in these states are looked for first, one after the other, so that no part of a call is spared.
STATES: Final = ("dialling", "following", "settling", "claiming", "following", "dialling", "recovering")


@dataclass(frozen=True)
class Pause:
    """A batch's pause as its operator saw it, in seconds of the wall clock."""

    batch_id: str
    answered_at: float
    resumed_at: float


@dataclass(order=True)
class Later:
    """Something to be undone, and when."""

    at: float
    deed: Callable[[], None] = field(compare=False)


class Monkey:
    """One run's hands."""

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
        self._later: list[Later] = []
        self._database_back_at = 0.0
        self._restart_at: dict[str, float] = {}
        self._frozen: set[int] = set()
        self._states = 0

    # -- what is to be done --------------------------------------------------------------------------------

    def do(self, deed: Deed) -> bool:
        """Do one deed; False where there is nobody to do it to just now."""
        acts: dict[Kind, Callable[[Deed], bool]] = {
            Kind.KILL_WORKER: self._kill_worker,
            Kind.KILL_SUPERVISOR: self._kill_supervisor,
            Kind.KILL_HOST: self._kill_host,
            Kind.KILL_ZYGOTE: self._kill_zygote,
            Kind.KILL_DATABASE: self._kill_database,
            Kind.FREEZE_WORKER: self._freeze_worker,
            Kind.FREEZE_SUPERVISOR: self._freeze_supervisor,
            Kind.FREEZE_HOST: self._freeze_host,
            Kind.HAND_OVER: self._hand_over,
            Kind.PAUSE: self._pause,
            Kind.FAULT: self._fault,
        }
        if not acts[deed.kind](deed):
            return False
        self.done[deed.kind] += 1
        self._log(f"{deed.kind} {deed.fault or ''}")
        return True

    def tick(self) -> None:
        """Undo what is due, and keep alive what the fleet itself does not: supervisors and the database."""
        now = time.monotonic()
        due = [later for later in self._later if later.at <= now]
        self._later = [later for later in self._later if later.at > now]
        for later in sorted(due):
            later.deed()
        if now >= self._database_back_at:
            self._database.ensure()
        for host in self.hosts:
            if host.pid is None and now >= self._restart_at.setdefault(host.name, now + RESTART_SECONDS):
                self.done[f"daemon left with {host.exit_status}"] += 1
                self._start(host)
        held = {pid for pid in (self._database.pid, self._simulator.pid) if pid is not None}
        reap_orphans(held | {host.pid for host in self.hosts if host.pid is not None})

    def calm(self) -> None:
        """No more harm: everything thawed, every fault off."""
        while self._later:
            self._later = [Later(0.0, later.deed) for later in self._later]
            self.tick()
        self._simulator.clear_faults()

    def worker_ids_are_apart(self) -> bool:
        """Whether no worker process was ever seen under two hosts."""
        seen = Counter(worker for host in self.hosts for worker in host.seen)
        return not seen or max(seen.values()) == 1

    # -- kills ---------------------------------------------------------------------------------------------

    def _kill_worker(self, deed: Deed) -> bool:
        worker = self._some_worker(deed)
        return worker is not None and send(worker.pid, signal.SIGKILL)

    def _kill_supervisor(self, deed: Deed) -> bool:
        host = self._some_host(deed)
        if host is None:
            return False
        host.kill()
        self._start(host)
        return True

    def _kill_host(self, deed: Deed) -> bool:
        host = self._some_host(deed)
        if host is None:
            return False
        below = host.below()
        host.kill()
        for process in below:
            killed = send(process.pid, signal.SIGKILL)
            self.done["worker killed with its host"] += int(killed and process.is_worker)
        self._start(host)
        return True

    def _kill_zygote(self, deed: Deed) -> bool:
        host = self._some_host(deed)
        zygotes = [process for process in host.below() if process.is_zygote] if host else []
        return bool(zygotes) and send(zygotes[0].pid, signal.SIGKILL)

    def _kill_database(self, deed: Deed) -> bool:
        pid = self._database.pid
        if pid is None or not self._database.is_alive():
            return False
        self._database_back_at = time.monotonic() + _between(DATABASE_AWAY_SECONDS, deed.span)
        return send(pid, signal.SIGKILL)

    # -- freezes -------------------------------------------------------------------------------------------

    def _freeze_worker(self, deed: Deed) -> bool:
        worker = self._some_worker(deed)
        return worker is not None and self._freeze([worker.pid], deed)

    def _freeze_supervisor(self, deed: Deed) -> bool:
        host = self._some_host(deed)
        return host is not None and host.pid is not None and self._freeze([host.pid], deed, host)

    def _freeze_host(self, deed: Deed) -> bool:
        host = self._some_host(deed)
        if host is None or host.pid is None:
            return False
        # The supervisor first, so that it kills nobody as hung; it thaws last.
        return self._freeze([host.pid, *(process.pid for process in host.below())], deed, host)

    def _freeze(self, pids: list[int], deed: Deed, host: Host | None = None) -> bool:
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

        self._after(self._lease_seconds + _between(PAST_LEASE_SECONDS, deed.span), thaw)
        return bool(stopped)

    def thaw_all(self) -> None:
        """End every freeze now: a run that is broken off leaves no stopped process behind."""
        for pid in self._frozen:
            send(pid, signal.SIGCONT)
        self._frozen.clear()

    # -- the operator --------------------------------------------------------------------------------------

    def _hand_over(self, deed: Deed) -> bool:
        """Two SIGTERMs, as an impatient deploy sends them; the next start adopts the calls."""
        host = self._some_host(deed)
        if host is None:
            return False
        host.below()
        host.signal(signal.SIGTERM)
        time.sleep(0.05 + deed.span / 2)
        host.signal(signal.SIGTERM)
        status = host.wait(20)
        self.done[f"hand-over ended with {status}"] += 1
        if status is None:
            host.kill()
        self._start(host)
        return True

    def _pause(self, deed: Deed) -> bool:
        host = self._some_host(deed)
        if host is None:
            return False
        batch_id = self._batches[int(deed.span * len(self._batches))]
        command = [sys.executable, "-m", "speechctl", "--json", "pause-batch", batch_id]
        asked = subprocess.Popen(
            command,
            env={**os.environ, "SPEECHAID_SOCKET": str(host.socket), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._after(0.05, lambda: self._await_pause(asked, batch_id, deed, time.monotonic() + 60))
        return True

    def _await_pause(self, asked: subprocess.Popen[bytes], batch_id: str, deed: Deed, until: float) -> None:
        """Note when the answer came, and resume some seconds later."""
        if asked.poll() is None and time.monotonic() < until:
            self._after(0.05, lambda: self._await_pause(asked, batch_id, deed, until))
            return
        asked.kill()
        answered_at = time.time() if asked.wait() == 0 else None
        self.done["pause answered" if answered_at else "pause not answered"] += 1
        self._after(
            _between(PAUSE_SECONDS, deed.span) if answered_at else 0.0,
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

    def _fault(self, deed: Deed) -> bool:
        fields: dict[str, Any] = dict(deed.fault)
        fault = self._simulator.fault(fields.pop("kind"), **fields)
        self._after(_between(FAULT_SECONDS, deed.span), lambda: self._simulator.clear_faults(fault))
        self.done[f"fault {deed.fault['kind']}"] += 1
        return True

    # -- who and when --------------------------------------------------------------------------------------

    def _some_host(self, deed: Deed) -> Host | None:
        """A host whose supervisor runs and has workers: one that starts just now is left to come up."""
        there = [host for host in self.hosts if host.pid is not None and not host.frozen and host.workers()]
        return there[int(deed.whom * len(there))] if there else None

    def _some_worker(self, deed: Deed) -> Process | None:
        workers = [
            worker for host in self.hosts for worker in host.workers() if worker.pid not in self._frozen
        ]
        self._states += 1
        wanted = f"[{STATES[self._states % len(STATES)]}"
        chosen = [worker for worker in workers if wanted in worker.title] or workers
        return chosen[int(deed.whom * len(chosen))] if chosen else None

    def _log(self, text: str) -> None:
        """One line of what was done and when, beside the daemons' logs."""
        with self._log_file.open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat()} {text}\n")

    def _start(self, host: Host) -> None:
        self._restart_at.pop(host.name, None)
        host.start()

    def _after(self, seconds: float, deed: Callable[[], None]) -> None:
        self._later.append(Later(time.monotonic() + seconds, deed))


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return low + (high - low) * share
