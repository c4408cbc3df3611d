"""Child processes by pidfd: signalled and reaped without a race on the pid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
from collections.abc import Collection
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Final

from speechaid.errors import ConfigError, FleetError
from speechaid.protocol.text import plural
from speechaid.telemetry.logs import get_logger

_PR_SET_CHILD_SUBREAPER: Final = 36
#: Soft limit of open files wherever the hard one allows it; the unit's ``LimitNOFILE=``.
SOFT_DESCRIPTOR_LIMIT: Final = 65_536
#: Descriptors beside two for each worker: sockets, files, database connections, clients of the metrics.
_OTHER_DESCRIPTORS: Final = 512
#: Least number of those: with fewer, the loop could neither start a worker nor reap one.
_LEAST_OTHER_DESCRIPTORS: Final = 128
#: In thousandths of the machine's memory. Neither supervisor nor database uses half of it.
_OOM_SCORE_ABOVE_SUPERVISOR: Final = 500
_HIGHEST_OOM_SCORE: Final = 1000

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended: by its own status, or by a signal; one of the two is set."""

    status: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit status {self.status}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:  # a real-time signal has no name
            return f"signal {self.signal}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a process has used of the machine, by its main thread; where unknown NaN, which passes no test."""

    #: When it was read, in seconds of the boot-time clock.
    at: float
    #: Processor time.
    cpu_seconds: float = nan
    #: For how long it was ready to run, and had no processor.
    run_delay_seconds: float = nan


def read_usage(pid: int, now: float) -> Usage:
    """Read what a process has used so far; unknown where the kernel does not say (CONFIG_SCHED_INFO).

    Called at each beat: it takes about ten microseconds.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            cpu, run_delay, _ = os.read(descriptor, 128).split()
        finally:
            os.close(descriptor)
        return Usage(at=now, cpu_seconds=int(cpu) / 1e9, run_delay_seconds=int(run_delay) / 1e9)
    except (OSError, ValueError):
        return Usage(at=now)


def read_state(pid: int) -> str:
    """The letter of the state of a process, as in ``/proc/PID/stat``; empty where it cannot be read."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return status.rpartition(b")")[2].split()[0].decode("ascii")


class Child:
    """One child process, identified by its pidfd until it has been reaped.

    Raises:
        FleetError: there is no such process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as exc:
            raise FleetError(f"process {pid} cannot be opened by pidfd: {exc}") from exc

    def fileno(self) -> int:
        """Readable once the process has ended."""
        return self._pidfd

    def send_signal(self, number: signal.Signals) -> None:
        """Signal this process; does nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until it has ended; False on time-out."""
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(timeout_seconds * 1000))

    def reap(self) -> Exit | None:
        """How it ended, or None while it runs; after that the pid may be reused."""
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return Exit(status=None, signal=signal.SIGKILL)  # reaped elsewhere: assume the worst
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return Exit(status=found.si_status)
        return Exit(signal=found.si_status)

    def close(self) -> None:
        """Close the pidfd."""
        os.close(self._pidfd)


def become_subreaper() -> None:
    """Make orphaned descendants our children, so that workers forked by the zygote are reaped here.

    Raises:
        FleetError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise FleetError(f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}")


def raise_oom_score() -> None:
    """Have the kernel kill this worker before supervisor and database when memory runs out.

    A worker is replaced and its call adopted within seconds; the end of the others would end every worker.
    Raising the score takes no privilege. Under the systemd unit, which lowers the supervisor's score by as
    much (``OOMScoreAdjust=``), a worker ends up with the score of an ordinary process.
    """
    try:
        # Bytes, no Path: right after a fork a Path or a codec copies a quarter MiB of pages.
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:  # noqa: PTH123 - as above
            score = int(file.read()) + _OOM_SCORE_ABOVE_SUPERVISOR
            file.write(b"%d" % min(score, _HIGHEST_OOM_SCORE))
    except (OSError, ValueError) as exc:
        log.warning("worker.oom_score_not_raised", error=str(exc))


def reap_strays(known: Collection[int]) -> list[int]:
    """Reap ended children without a ``Child``, such as a worker whose zygote died before it sent the pid."""
    reaped: list[int] = []
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return reaped
        # A known child may be first in line: its ``Child`` reaps it; those behind it come at the next call.
        if found is None or found.si_pid in known:
            return reaped
        os.waitpid(found.si_pid, 0)
        reaped.append(found.si_pid)


def forbid_core_files() -> None:
    """Have no crash of this process and its children leave a core file: it would hold key and numbers."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def descriptors_needed(workers: int, *, at_least: bool = False) -> int:
    """Descriptors that the supervisor needs for this many workers: at most, or ``at_least``."""
    return 2 * workers + (_LEAST_OTHER_DESCRIPTORS if at_least else _OTHER_DESCRIPTORS)


def reserve_descriptors(workers: int) -> None:
    """Raise the soft limit of open files as far as the unit's, or for more workers; up to the hard limit.

    Clients and connections take some, too: started by hand, a process has 1,024 of them.

    Raises:
        ConfigError: the hard limit is too low to supervise them.
    """
    needed = descriptors_needed(workers)
    limit = _raise_descriptor_limit(max(needed, SOFT_DESCRIPTOR_LIMIT))
    if limit >= needed:
        return
    wanted = f"{plural(workers, 'worker needs', 'workers need')} {needed} descriptors"
    shortage = f"{wanted}, and the system allows {limit}"
    if limit < descriptors_needed(workers, at_least=True):
        raise ConfigError([f"WORKER_COUNT: {shortage}: raise LimitNOFILE= or ulimit -Hn, or set fewer"])
    log.warning("fleet.few_descriptors", text=f"{shortage}: raise LimitNOFILE=")


def _raise_descriptor_limit(needed: int) -> int:
    """Raise the soft limit where it is lower, up to the hard one; the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return soft
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return max(soft, allowed)
