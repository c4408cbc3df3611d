"""Reader processes as the daemon sees them: started, fed, read, ended. Nothing here waits.

For one thread, but for ``ReaderPool.child_pids``: the supervisor's loop reaps what nobody else reaps.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from speechaid.errors import SpeechaidError
from speechaid.importing import frames
from speechaid.importing.frames import FrameDecoder, FrameError, Kind
from speechaid.importing.limits import Limits
from speechaid.importing.tasks import REFUSALS
from speechaid.protocol.translation import N_, read_wire_text, say
from speechaid.settings.child_environment import child_environment
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: Reader processes at once, of each module; further tasks wait.
MOST_PROCESSES: Final = 2
#: A process that may be used again is kept for so long without work, and used for so long, in seconds.
KEPT_SECONDS: Final = 5.0
YOUNG_SECONDS: Final = 60.0
#: A task's result has this many bytes at most.
RESULT_BYTES: Final = 512 * 1024 * 1024
#: Characters of a refusal's text.
_TEXT: Final = 20_000
#: Bytes that are read or written at a time, so that other tasks go between.
_PORTION: Final = 256 * 1024
#: For a killed process to be gone, in seconds; it takes milliseconds.
_END_SECONDS: Final = 1.0
#: One arena of the allocator: each further one reserves address space, which is limited.
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1"}


class Cause(StrEnum):
    """Why a reader process ended without a result."""

    NOT_STARTED = "not_started"
    MEMORY = "memory"
    CPU = "cpu"
    WALL = "wall"
    SIZE = "size"
    KILLED = "killed"
    FAULT = "fault"


#: What is said of each: a sentence of the task's subject and of the limits, then what can be done.
SENTENCES: Final[Mapping[Cause, str]] = {
    Cause.NOT_STARTED: N_("the system starts no process to read {subject}; {later}"),
    Cause.MEMORY: N_("{subject} needs more than {memory} MiB of memory; {smaller}"),
    Cause.CPU: N_("{subject} needs more than {cpu} seconds of the processor; {smaller}"),
    Cause.WALL: N_("{subject} takes longer than {wall} seconds; {smaller}"),
    Cause.SIZE: N_("what stands in {subject} is more than {result} MiB; {smaller}"),
    Cause.KILLED: N_("the process that read {subject} was killed, and not by speechaid: {later}"),
    Cause.FAULT: N_("the process that read {subject} failed ({fault}); {other}"),
}


class ReaderFailed(SpeechaidError):  # noqa: N818 - a condition, not a mistake
    """A reader process ended without a result; the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A task for a reader process."""

    #: What the process runs: it calls ``child.serve``.
    module: str
    #: For the log.
    task: str
    #: JSON-compatible.
    arguments: Mapping[str, Any] = field(repr=False)
    file: bytes = field(default=b"", repr=False)
    #: What is read or made, for people: ``march.csv (CSV, 3.4 MB)``.
    subject: str
    #: What helps where it is too large; and where it is damaged.
    smaller: str
    other: str
    limits: Limits = field(default_factory=Limits)
    connects_to_database: bool = False
    #: The process is kept for a while, for other work of the same module and key; None: it ends.
    keep_for: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class _Started:
    """A process that has been started."""

    process: subprocess.Popen[bytes]
    started_at: float
    kept_at: float = 0.0


class ReaderPool:
    """The reader processes of a daemon."""

    def __init__(self, most: int = MOST_PROCESSES) -> None:
        self._most = most
        self._running: list[Reader] = []
        self._waiting: list[Reader] = []
        #: Processes without work, with what they can be used for.
        self._kept: list[tuple[tuple[str, str], _Started]] = []
        #: Held while a process is started and its pid is noted, and while the loop reaps others' children.
        self._lock = threading.Lock()
        self._pids: set[int] = set()
        self._is_closed = False

    @contextlib.contextmanager
    def child_pids(self) -> Iterator[frozenset[int] | None]:
        """The processes that are reaped here; None while one is being started. For any thread."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield frozenset(self._pids)
        finally:
            self._lock.release()

    def begin(self, work: Work) -> Reader:
        """Have a process do the work as soon as there may be one more."""
        reader = Reader(self, work)
        self._waiting.append(reader)
        return reader

    def close(self) -> None:
        """End every process."""
        self._is_closed = True
        for reader in [*self._running, *self._waiting]:
            reader.close()
        self.end_kept(float("inf"))

    @property
    def due_at(self) -> float:
        """When ``end_kept`` is to be called, in seconds of ``time.monotonic``."""
        return min((started.kept_at + KEPT_SECONDS for _, started in self._kept), default=float("inf"))

    def end_kept(self, now: float) -> None:
        """End the processes that have had no work for a while."""
        for entry in list(self._kept):
            _, started = entry
            if started.kept_at + KEPT_SECONDS <= now or started.process.poll() is not None:
                self._kept.remove(entry)
                self.end_process(started.process)

    def is_next(self, reader: Reader, of: int = 1) -> bool:
        """Whether a process may be started for it now; with ``of``, whether it is among the next so many."""
        module = reader.work.module
        free = self._most - sum(running.work.module == module for running in self._running)
        ahead = [waiting for waiting in self._waiting if waiting.work.module == module]
        return not self._is_closed and reader in ahead[: free + of - 1]

    def start(self, reader: Reader) -> _Started:
        """Start a process for it, or take one that was kept; ``OSError`` where the system has none."""
        self._waiting.remove(reader)
        self._running.append(reader)
        work = reader.work
        now = time.monotonic()
        self.end_kept(now)
        for entry in reversed(self._kept):
            if entry[0] == (work.module, work.keep_for):
                self._kept.remove(entry)
                return entry[1]
        words = [str(os.getpid()), *work.limits.to_arguments()]
        with self._lock:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-B", "-m", work.module, *words],
                env=child_environment(connects_to_database=work.connects_to_database) | _ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._pids.add(process.pid)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None  # noqa: S101 - a pipe
            os.set_blocking(pipe.fileno(), False)
        return _Started(process=process, started_at=now)

    def keep_process(self, work: Work, started: _Started) -> bool:
        """Keep a process that has done its work; False: it is not to be used again."""
        now = time.monotonic()
        if work.keep_for is None or self._is_closed or now - started.started_at > YOUNG_SECONDS:
            return False
        self._kept.append(((work.module, work.keep_for), replace(started, kept_at=now)))
        return True

    def forget(self, reader: Reader) -> None:
        """It has ended, or is no longer wanted."""
        for readers in (self._running, self._waiting):
            if reader in readers:
                readers.remove(reader)

    def end_process(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process, and reap it."""
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.kill()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # the supervisor reaps it with the other strays, and Popen not
            process.returncode = -signal.SIGKILL
        with self._lock:
            self._pids.discard(process.pid)


class Reader:
    """One task in a process of its own; ``poll`` until ``is_finished``."""

    def __init__(self, pool: ReaderPool, work: Work) -> None:
        self.is_finished = False
        #: How far the process says that it has come.
        self.done = 0
        #: Bytes of its result so far.
        self.received = 0
        self._pool = pool
        self.work = work
        self._started: _Started | None = None
        self._decoder = FrameDecoder()
        self._input: list[memoryview] = []
        self._began_at = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for other tasks to end."""
        return self._started is None and not self.is_finished

    @property
    def is_near(self) -> bool:
        """Whether it is among the next whose turn comes."""
        return self._pool.is_next(self, of=4)

    @property
    def pid(self) -> int | None:
        """The running process; None where there is none."""
        return None if self._started is None else self._started.process.pid

    def poll(self) -> list[bytes]:
        """Go on as far as possible without waiting; the parts of the result that have come.

        Raises:
            ReaderFailed: the process ended without a result; it is gone.
            SpeechaidError: the refusal of the task; the process is gone.
        """
        try:
            return self._poll()
        except BaseException:
            self.close()
            raise

    def take_checked(self, take: Callable[..., None], *arguments: object) -> None:
        """Have the caller take what the process has sent, and check it.

        Raises:
            ReaderFailed: ``take`` raised ``ValueError``; the process is gone.
        """
        try:
            take(*arguments)
        except (ValueError, TypeError, RecursionError) as exc:
            failure = self._failure(Cause.FAULT, say("what it sent is not understood"))
            self.close()
            raise failure from exc

    def close(self) -> None:
        """End the process, if there is one. The result, if it is not complete, is lost."""
        self.is_finished = True
        started, self._started = self._started, None
        self._input.clear()
        self._pool.forget(self)
        if started is not None:
            self._pool.end_process(started.process)

    def _finish(self) -> None:
        """The work is done: keep the process for other work, or end it."""
        started = self._started
        is_clean = self._decoder.is_empty and not self._input
        if started is not None and is_clean and self._pool.keep_process(self.work, started):
            self._started = None
        self.close()

    def _poll(self) -> list[bytes]:
        if self.is_finished:
            return []
        if self._started is None:
            if not self._pool.is_next(self):
                return []
            self._start()
        if time.monotonic() - self._began_at > self.work.limits.wall_seconds:
            raise self._failure(Cause.WALL)
        self._write()
        return self._read()

    def _start(self) -> None:
        arguments = json.dumps(self.work.arguments).encode()
        self._began_at = time.monotonic()
        try:
            self._started = self._pool.start(self)
        except OSError as exc:
            log.warning("reader.not_started", task=self.work.task, error=str(exc))
            raise self._failure(Cause.NOT_STARTED) from exc
        file = self.work.file
        self._input = [
            memoryview(frames.encode(Kind.ARGUMENTS, arguments) + frames.frame_header(Kind.FILE, len(file))),
            memoryview(file),
        ]

    def _write(self) -> None:
        assert self._started is not None  # noqa: S101 - started
        pipe = self._started.process.stdin
        assert pipe is not None  # noqa: S101 - a pipe
        left = _PORTION
        while self._input and left > 0:
            try:
                count = os.write(pipe.fileno(), self._input[0][:left])
            except BlockingIOError:
                return
            except BrokenPipeError:  # what it has said, and how it ended, is read next
                self._input.clear()
                return
            left -= count
            self._input[0] = self._input[0][count:]
            if not self._input[0]:
                del self._input[0]

    def _read(self) -> list[bytes]:
        assert self._started is not None  # noqa: S101 - started
        pipe = self._started.process.stdout
        assert pipe is not None  # noqa: S101 - a pipe
        parts: list[bytes] = []
        left = _PORTION
        while left > 0 and not self.is_finished:
            try:
                data = os.read(pipe.fileno(), min(left, 65_536))
            except BlockingIOError:
                break
            if not data:
                self._ended()
                break
            left -= len(data)
            self.received += len(data)
            if self.received > RESULT_BYTES:
                raise self._failure(Cause.SIZE)
            parts += self._take(data)
        return parts

    def _take(self, data: bytes) -> list[bytes]:
        """The parts of the result in these bytes."""
        parts: list[bytes] = []
        try:
            for kind, body in self._decoder.add_bytes(data):
                if kind is Kind.PART:
                    parts.append(body)
                elif kind is Kind.PROGRESS:
                    self.done = _whole(body)
                elif kind is Kind.END:
                    self._finish()
                    break
                else:
                    raise self._explained(kind, body)
        except (FrameError, ValueError, KeyError, TypeError) as exc:
            raise self._failure(Cause.FAULT, say("what it sent is not understood")) from exc
        return parts

    def _explained(self, kind: Kind, body: bytes) -> SpeechaidError:
        """Why the child has no result, as it says itself."""
        if kind is Kind.OUT_OF_MEMORY:
            return self._failure(Cause.MEMORY)
        found = json.loads(body)
        if kind is Kind.REFUSAL:
            self._finish()
            text = read_wire_text(str(found["text"]))
            return REFUSALS[found["kind"]](text if len(text) <= _TEXT else text[:_TEXT])
        if kind is Kind.FAULT:
            return self._failure(Cause.FAULT, f"{found['type']!s:.60} at {found['place']!s:.60}")
        raise FrameError(f"a frame of kind {kind.name}")

    def _ended(self) -> None:
        """Its output has ended without an end frame: say why, once it is gone."""
        assert self._started is not None  # noqa: S101 - started
        status = self._started.process.poll()
        if status is None:
            return
        by = (
            signal.Signals(-status).name
            if -status in set(signal.Signals)
            else say("status {status}", status=status)
        )
        raise self._failure(_CAUSES.get(by, Cause.FAULT), by)

    def _failure(self, cause: Cause, fault: str = "") -> ReaderFailed:
        work, limits = self.work, self.work.limits
        log.warning(
            "reader.failed",
            task=work.task,
            cause=cause.value,
            fault=fault or None,
            pid=self.pid,
            bytes=len(work.file),
            seconds=round(time.monotonic() - self._began_at, 1) if self._began_at else None,
        )
        text = say(
            SENTENCES[cause],
            subject=work.subject,
            smaller=work.smaller,
            other=work.other,
            later=say("try again later; if it happens again, the machine is short of memory"),
            fault=fault,
            memory=limits.memory_bytes // 2**20,
            cpu=limits.cpu_seconds,
            wall=f"{limits.wall_seconds:g}",
            result=RESULT_BYTES // 2**20,
        )
        return ReaderFailed(text)


#: How a process ended, where that says why: a library in Rust aborts where it gets no memory.
_CAUSES: Final[Mapping[str, Cause]] = {
    "SIGABRT": Cause.MEMORY,
    "SIGXCPU": Cause.CPU,
    "SIGKILL": Cause.KILLED,
    "SIGTERM": Cause.KILLED,
}


def _whole(body: bytes) -> int:
    number = json.loads(body)
    if not isinstance(number, int) or number < 0:
        raise ValueError("no number")
    return number
