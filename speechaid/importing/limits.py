"""The limits of a reader process: set by the child itself, before it reads anything."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from typing import Final, Self

_PR_SET_PDEATHSIG: Final = 1
_NICE: Final = 10
#: Python's files while modules are imported, the pipes, and a few connections to the database.
_DESCRIPTORS: Final = 64
_HIGHEST_OOM_SCORE: Final = b"1000"
#: From the signal that ends the process to SIGKILL.
_CPU_GRACE_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one task may use of the machine."""

    #: Of address space.
    memory_bytes: int = 512 * 1024 * 1024
    #: Of the processor: 100,000 rows of twelve columns take a tenth of it.
    cpu_seconds: int = 300
    #: Kept by the parent: the time for everything.
    wall_seconds: float = 900.0

    def to_arguments(self) -> list[str]:
        """As words of the child's command line."""
        return [str(self.memory_bytes), str(self.cpu_seconds)]

    @classmethod
    def from_arguments(cls, memory_bytes: str, cpu_seconds: str) -> Self:
        """As read by the child."""
        return cls(memory_bytes=int(memory_bytes), cpu_seconds=int(cpu_seconds))


def confine_process(limits: Limits, parent: int) -> None:
    """Limit this process, and have it die with its parent.

    Args:
        limits: of memory and processor.
        parent: the process that started this one. Where it has died already, this one exits.
    """
    # Of the thread that started us: the daemon's database thread, which lives as long as the daemon.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.nice(_NICE)
    # The kernel is to end this process before any other where memory runs out.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(_HIGHEST_OOM_SCORE)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, grace=_CPU_GRACE_SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)


def _limit(kind: int, wanted: int, *, grace: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    most = wanted + grace if hard == resource.RLIM_INFINITY else min(wanted + grace, hard)
    resource.setrlimit(kind, (min(wanted, most), most))
