"""The supervisor's side of the zygote: started, asked without waiting, replaced when it dies or hangs.

When idle, it makes a spare (``fleet.spare``), which serves the next request at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from speechaid.errors import FleetError
from speechaid.fleet.channel import Channel
from speechaid.fleet.processes import Child, Usage, read_state, read_usage
from speechaid.fleet.spare import CLOSING_SECONDS, Spares
from speechaid.rules.overload import LateWorker, diagnose
from speechaid.telemetry.logs import get_logger

#: glibc's malloc returns memory only above these thresholds, which by default grow with use: a worker has 9
#: instead of 12 MiB after it has read large bodies.
MALLOC_ENVIRONMENT: Final = {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}

_SUPERVISOR_ONLY_VARIABLES: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})

#: Open requests: enough to keep the zygote busy, few enough for its socket's buffer.
MAX_OPEN_REQUESTS: Final = 8
#: The zygote imports everything that workers use before it reports ready.
BOOT_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0
#: More time for a zygote that the machine gives too little processor time; then it is looked at again.
EXTENSION_SECONDS: Final = 5.0
#: Delay before the next zygote; doubled after each that died young.
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 10.0
#: A zygote that lived this long did not die young.
SETTLED_SECONDS: Final = 30.0

log = get_logger(__name__)


class ZygoteState(StrEnum):
    """State of the zygote."""

    #: None runs; the next one starts after its delay.
    AWAY = "away"
    #: Started, still importing.
    BOOTING = "booting"
    READY = "ready"


@dataclass(frozen=True, kw_only=True)
class ForkResult:
    """Result of one request: a pid, or the error."""

    request: int
    pid: int | None
    error: str | None = None


class Spawner:
    """Keeps one zygote and a spare, and requests workers from them; never waits for either."""

    def __init__(self, target: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.state = ZygoteState.AWAY
        self.pid: int | None = None
        self.restarts = 0
        self._target = target
        self._answer_seconds = answer_seconds
        self._line: Channel | None = None
        self._child: Child | None = None
        self._asked: dict[int, float] = {}
        self._last_request = 0
        self._started_at = 0.0
        self._ready_by = 0.0
        self._start_at = 0.0
        #: What the zygote had used when it was last heard of, or asked while it had nothing to do.
        self._usage = Usage(at=0.0)
        self._young_deaths = 0
        self._spares = Spares()
        #: Number of the open request for a spare; 0: none.
        self._spare_request = 0
        #: Results of requests that the spare served, returned by the next tick.
        self._results: list[ForkResult] = []

    @property
    def can_ask(self) -> bool:
        """Whether a worker can be requested now."""
        return self._zygote_can_fork or self._spares.child is not None

    @property
    def busy(self) -> bool:
        """Whether a result is awaited: a child may exist whose pid is not known yet."""
        return bool(self._asked or self._results)

    @property
    def pids(self) -> set[int]:
        """The children that this object reaps."""
        return {child.pid for child in (self._child, self._spares.child) if child is not None}

    def descriptors(self) -> tuple[int, ...]:
        """Descriptors to watch: the zygote's channel and process, and the spare."""
        watched = (self._line, self._child, self._spares.child)
        return tuple(each.fileno() for each in watched if each is not None)

    def next_tick_at(self) -> float | None:
        """When the next tick is due (seconds of the boot-time clock); None: no limit."""
        if self._results:
            return 0.0
        if self.state is ZygoteState.AWAY:
            return self._start_at
        if self.state is ZygoteState.BOOTING:
            return self._ready_by
        return min(self._asked.values(), default=self._spares.due_at)

    def ask(self, request: Mapping[str, Any], descriptor: int, now: float) -> int | None:
        """Request a worker that gets this descriptor; the request's number, or None: not now."""
        if (pid := self._spares.use(request, descriptor, now)) is None:
            return self._ask_zygote(request, descriptor, now)
        self._last_request += 1
        self._results.append(ForkResult(request=self._last_request, pid=pid))
        return self._last_request

    def tick(self, now: float, *, needed: bool = True, spare: bool = True) -> list[ForkResult]:
        """Read results, replace a dead or hung zygote where one is needed; the results.

        Args:
            now: seconds of the boot-time clock.
            needed: workers may still be requested.
            spare: keep a spare too.
        """
        # Kept in this object until they are returned: a result that is lost is a slot that is lost.
        self._results += self._read(now)
        fault = self._fault(now)
        if fault is not None:
            self._give_up(fault, now)
        if needed and self.state is ZygoteState.AWAY and now >= self._start_at:
            self._start(now)
        self._update_spare(now)
        if needed and spare:
            self._request_spare(now)
        results, self._results = self._results, []
        return results

    def close(self) -> None:
        """Kill zygote and spare; workers live on."""
        self._spares.end()
        if self._line is not None:
            self._line.close()
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(CLOSING_SECONDS)
            self._child.reap()
            self._child.close()
        self._line = self._child = self.pid = None
        self.state = ZygoteState.AWAY
        self._start_at = float("inf")

    @property
    def _zygote_can_fork(self) -> bool:
        return self.state is ZygoteState.READY and len(self._asked) < MAX_OPEN_REQUESTS

    def _ask_zygote(self, request: Mapping[str, Any], descriptor: int, now: float) -> int | None:
        if not self._zygote_can_fork or self._line is None:
            return None
        self._last_request += 1
        message = {**request, "id": self._last_request}
        if not self._line.send(message, descriptors=(descriptor,)):
            return None
        if not self._asked:
            self._note_usage(now)
        self._asked[self._last_request] = now + self._answer_seconds
        return self._last_request

    def _note_usage(self, now: float) -> None:
        if self.pid is not None:
            self._usage = read_usage(self.pid, now)

    def _request_spare(self, now: float) -> None:
        due_at = self._spares.due_at
        if self._asked or due_at is None or now < due_at:
            return
        number = None
        try:
            ours, theirs = Channel.pair()
            with theirs:
                number = self._ask_zygote(self._spares.starting(ours), theirs.fileno(), now)
        except (OSError, FleetError) as fault:
            log.warning("zygote.no_spare", text=str(fault))
        if number is None:
            self._spares.drop(now)
        self._spare_request = number or 0

    def _update_spare(self, now: float) -> None:
        """Reap an ended spare, and take a new one from the results."""
        self._spares.check(now)
        for result in self._results:
            if result.request == self._spare_request:
                self._spares.started(result.pid, now)
        self._results = [result for result in self._results if result.request != self._spare_request]

    def _start(self, now: float) -> None:
        try:
            ours, theirs = Channel.pair()
        except OSError as exc:
            self._give_up(f"could not be started: {exc}", now)
            return
        with theirs:
            command = [sys.executable, "-P", "-m", "speechaid.fleet.zygote"]
            command += ["--line", str(theirs.fileno()), "--target", self._target]
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                    start_new_session=True,  # keeps signals of a terminal away
                )
            except OSError as exc:
                ours.close()
                self._give_up(f"could not be started: {exc}", now)
                return
        # ``Child`` reaps it: Popen must not do so too, nor warn about a running process.
        process.returncode = 0
        try:
            child = Child(process.pid)
        except FleetError as fault:
            ours.close()  # its order to leave; it is reaped as a stray
            self._give_up(f"could not be started: {fault}", now)
            return
        self._line, self._child, self.pid = ours, child, process.pid
        self.state, self._started_at, self._ready_by = ZygoteState.BOOTING, now, now + BOOT_SECONDS
        self._note_usage(now)

    def _read(self, now: float) -> list[ForkResult]:
        results = []
        for message in self._line.receive() if self._line is not None else ():
            self._note_usage(now)
            if "ready" in message:
                self.state = ZygoteState.READY
            elif self._asked.pop(message.get("id", 0), None) is not None:
                results.append(
                    ForkResult(request=message["id"], pid=message.get("pid"), error=message.get("error"))
                )
        return results

    def _fault(self, now: float) -> str | None:
        """Why this zygote has to be replaced; None: it need not."""
        if self._line is None or self._child is None:
            return None
        if self._line.eof:
            return "died"
        fault = None
        if self.state is ZygoteState.BOOTING and now > self._ready_by:
            fault = f"was not ready within {BOOT_SECONDS:.0f} s"
        elif any(now > deadline for deadline in self._asked.values()):
            fault = f"did not answer within {self._answer_seconds:.0f} s"
        if fault is not None and self._is_slowed(self._child.pid, now):
            self._ready_by = now + EXTENSION_SECONDS
            self._asked = dict.fromkeys(self._asked, now + EXTENSION_SECONDS)
            return None
        return fault

    def _is_slowed(self, pid: int, now: float) -> bool:
        """Whether the machine gives the zygote too little processor time."""
        usage = read_usage(pid, now)
        late = LateWorker(
            seconds=now - self._usage.at,
            state=read_state(pid),
            cpu_seconds=usage.cpu_seconds - self._usage.cpu_seconds,
            run_delay_seconds=usage.run_delay_seconds - self._usage.run_delay_seconds,
        )
        return diagnose(late).overload

    def _give_up(self, reason: str, now: float) -> None:
        """Kill the zygote; its open requests fail with the reason."""
        if self._child is not None and self._line is not None:
            # Not waited for: it is reaped as a stray.
            self._child.send_signal(signal.SIGKILL)
            self._child.close()
            self._line.close()
        self._young_deaths = 0 if now - self._started_at >= SETTLED_SECONDS else self._young_deaths + 1
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(self._young_deaths, 20))
        log.error("zygote.lost", reason=reason, next_in_seconds=round(delay, 1))
        self._results += [ForkResult(request=n, pid=None, error=f"the zygote {reason}") for n in self._asked]
        self._asked.clear()
        self._line = self._child = self.pid = None
        self.restarts += 1
        self.state, self._start_at = ZygoteState.AWAY, now + delay


def _environment() -> dict[str, str]:
    """This process's environment with malloc's thresholds, without systemd's variables for the supervisor."""
    ours = {name: value for name, value in os.environ.items() if name not in _SUPERVISOR_ONLY_VARIABLES}
    return {**ours, **MALLOC_ENVIRONMENT}
