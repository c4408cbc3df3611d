"""The supervisor's side of the zygote: started, asked without waiting, replaced when it dies or hangs.

Where it has nothing else to do it makes a spare (``fleet.spare``), which serves the next request at once.
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

from speechaid.fleet.channel import Channel
from speechaid.fleet.processes import Child
from speechaid.fleet.spare import CLOSING_SECONDS, Spares
from speechaid.telemetry.logs import get_logger

#: glibc's malloc gives memory back only above these thresholds, which by default grow with use: 9 instead of
#: 12 MiB a worker after it has read large bodies.
MALLOC_ENVIRONMENT: Final = {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}

_FOR_THE_SUPERVISOR: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})

#: Requests under way at once: enough to keep the zygote busy, few enough for its socket's buffer.
MAX_ASKED: Final = 8
#: The zygote imports all that workers use before it answers for the first time.
BOOT_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0
#: Between two zygotes that die young; doubled each time.
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 10.0
#: A zygote that lived so long was a good one.
SETTLED_SECONDS: Final = 30.0

log = get_logger(__name__)


class ZygoteState(StrEnum):
    """Where the zygote stands."""

    #: None runs; the next is started when its time comes.
    AWAY = "away"
    #: Started, still importing.
    BOOTING = "booting"
    READY = "ready"


@dataclass(frozen=True, kw_only=True)
class ForkResult:
    """What came of one request: a pid, or the reason why there is none."""

    request: int
    pid: int | None
    error: str | None = None


class Spawner:
    """Keeps one zygote and a spare, and asks them for workers; never waits for either."""

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
        self._start_at = 0.0
        self._young_deaths = 0
        self._spares = Spares()
        #: The request that asks the zygote for a spare; 0: none is under way.
        self._spare_request = 0
        #: What the spare has answered, to be told at the next turn.
        self._results: list[ForkResult] = []

    @property
    def can_ask(self) -> bool:
        """A worker can be asked for now."""
        return self._zygote_can_fork or self._spares.child is not None

    @property
    def busy(self) -> bool:
        """An answer is awaited: a child may exist whose pid nobody knows yet."""
        return bool(self._asked or self._results)

    @property
    def pids(self) -> set[int]:
        """The children that are held here."""
        return {child.pid for child in (self._child, self._spares.child) if child is not None}

    def descriptors(self) -> tuple[int, ...]:
        """What to watch: the zygote's line, its process, and the spare; they change with each of them."""
        watched = (self._line, self._child, self._spares.child)
        return tuple(each.fileno() for each in watched if each is not None)

    def next_tick_at(self) -> float | None:
        """When something falls due (seconds of the boot-time clock), or None."""
        if self._results:
            return 0.0
        if self.state is ZygoteState.AWAY:
            return self._start_at
        if self.state is ZygoteState.BOOTING:
            return self._started_at + BOOT_SECONDS
        return min(self._asked.values(), default=self._spares.due_at)

    def ask(self, request: Mapping[str, Any], descriptor: int, now: float) -> int | None:
        """Ask for a worker that gets this descriptor; the request's number, or None: not now."""
        if (pid := self._spares.use(request, descriptor, now)) is None:
            return self._ask_zygote(request, descriptor, now)
        self._last_request += 1
        self._results.append(ForkResult(request=self._last_request, pid=pid))
        return self._last_request

    def tick(self, now: float, *, needed: bool = True) -> list[ForkResult]:
        """Take what it said, see whether it lives, start another where one is needed; answers that came."""
        answers, self._results = [*self._results, *self._read()], []
        fault = self._fault(now)
        if fault is not None:
            answers += self._give_up(fault, now)
        if needed and self.state is ZygoteState.AWAY and now >= self._start_at:
            self._start(now)
        answers = self._keep_spare(answers, now)
        if needed:
            self._order_spare(now)
        return answers

    def close(self) -> None:
        """End zygote and spare; workers live on."""
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
        return self.state is ZygoteState.READY and len(self._asked) < MAX_ASKED

    def _ask_zygote(self, request: Mapping[str, Any], descriptor: int, now: float) -> int | None:
        if not self._zygote_can_fork or self._line is None:
            return None
        self._last_request += 1
        message = {**request, "id": self._last_request}
        if not self._line.send(message, descriptors=(descriptor,)):
            return None
        self._asked[self._last_request] = now + self._answer_seconds
        return self._last_request

    def _order_spare(self, now: float) -> None:
        due_at = self._spares.due_at
        if self._asked or due_at is None or now < due_at:
            return
        ours, theirs = Channel.pair()
        with theirs:
            number = self._ask_zygote(self._spares.ordered(ours), theirs.fileno(), now)
        if number is None:
            self._spares.drop(now)
        self._spare_request = number or 0

    def _keep_spare(self, answers: list[ForkResult], now: float) -> list[ForkResult]:
        """See to the spare: whether it still waits, and whether it is among the answers; the others."""
        self._spares.check(now)
        for answer in answers:
            if answer.request == self._spare_request:
                self._spares.arrived(answer.pid, now)
        return [answer for answer in answers if answer.request != self._spare_request]

    def _start(self, now: float) -> None:
        ours, theirs = Channel.pair()
        with theirs:
            command = [sys.executable, "-P", "-m", "speechaid.fleet.zygote"]
            command += ["--line", str(theirs.fileno()), "--target", self._target]
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                    start_new_session=True,  # a terminal's signals are for the supervisor alone
                )
            except OSError as exc:
                ours.close()
                self._give_up(f"could not be started: {exc}", now)
                return
        # Held by pidfd like every other child; this object must not reap it too, nor warn that nobody did.
        process.returncode = 0
        self._line, self._child, self.pid = ours, Child(process.pid), process.pid
        self.state, self._started_at = ZygoteState.BOOTING, now

    def _read(self) -> list[ForkResult]:
        answers = []
        for message in self._line.receive() if self._line is not None else ():
            if "ready" in message:
                self.state = ZygoteState.READY
            elif self._asked.pop(message.get("id", 0), None) is not None:
                answers.append(
                    ForkResult(request=message["id"], pid=message.get("pid"), error=message.get("error"))
                )
        return answers

    def _fault(self, now: float) -> str | None:
        """Why this zygote has to be given up, if so."""
        if self._line is None or self._child is None:
            return None
        if self._line.eof:
            return "died"
        if self.state is ZygoteState.BOOTING and now > self._started_at + BOOT_SECONDS:
            return f"was not ready within {BOOT_SECONDS:.0f} s"
        if any(now > deadline for deadline in self._asked.values()):
            return f"did not answer within {self._answer_seconds:.0f} s"
        return None

    def _give_up(self, reason: str, now: float) -> list[ForkResult]:
        """Give this one up; its open requests are answered with the reason."""
        if self._child is not None and self._line is not None:
            # Nobody waits for its end: nobody holds it from here on, so it is reaped as a stray.
            self._child.send_signal(signal.SIGKILL)
            self._child.close()
            self._line.close()
        self._young_deaths = 0 if now - self._started_at >= SETTLED_SECONDS else self._young_deaths + 1
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(self._young_deaths, 20))
        log.error("zygote.lost", reason=reason, next_in_seconds=round(delay, 1))
        answers = [ForkResult(request=n, pid=None, error=f"the zygote {reason}") for n in self._asked]
        self._asked.clear()
        self._line = self._child = self.pid = None
        self.restarts += 1
        self.state, self._start_at = ZygoteState.AWAY, now + delay
        return answers


def _environment() -> dict[str, str]:
    """Ours, with malloc's thresholds, without what systemd said to the supervisor alone."""
    ours = {name: value for name, value in os.environ.items() if name not in _FOR_THE_SUPERVISOR}
    return {**ours, **MALLOC_ENVIRONMENT}
