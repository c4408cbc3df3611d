"""Destinations of log lines: one write per line, so that processes never mix lines, and without blocking.

A pipe takes up to ``PIPE_BUF`` bytes whole or not at all, which limits a line. ``O_NONBLOCK`` on standard
error would change it for every process that shares it (a shell, the parent), so pipes and terminals are
opened again for this process alone, and sockets are written with ``MSG_DONTWAIT``. A file never blocks, and
opening it again would lose its offset.

A log file is looked up by its name before each line: rotating it needs no signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol, TextIO

from speechaid.protocol.translation import say

#: Maximum bytes of a line with its newline: POSIX's PIPE_BUF on Linux.
LINE_LIMIT: Final = min(select.PIPE_BUF, 4096)
#: Mode of a new log file, before the umask.
_FILE_MODE: Final = 0o640


class Sink(Protocol):
    """Takes whole lines."""

    def write(self, line: bytes) -> bool:
        """Write a line; False where the reader is behind. OSError: it can never be read."""

    def wait(self, seconds: float) -> bool:
        """Wait for the reader, at most ``seconds``; return whether it can take a line."""

    def close(self) -> None:
        """Release what was opened for the lines."""


def open_sink(stream: TextIO | None) -> Sink:
    """The sink for a stream; None is a process without standard error."""
    if stream is None or stream.closed:
        return _Nowhere()
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except ValueError:  # no file descriptor (io.UnsupportedOperation is a ValueError too)
        return _Stream(stream)
    except OSError:  # its descriptor was closed without Python's knowledge
        return _Nowhere()
    if stat.S_ISSOCK(mode):
        return _Socket(descriptor)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return _Reopened(descriptor)
    return _File(descriptor)


def goes_to_journald(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Whether systemd has connected this stream to its journal: ``JOURNAL_STREAM`` names device and inode."""
    if stream is None or stream.closed:
        return False
    try:
        target = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{target.st_dev}:{target.st_ino}"


def file_fault(path: Path, *, make: bool = True) -> str | None:
    """Why no line can be written to a file; None where one can.

    Args:
        path: the file.
        make: create it where it is missing; without, a writable directory is enough.
    """
    if not make and not path.exists() and path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK):
        return None
    sink = LogFile(path)
    try:
        sink.write(b"")
    except OSError as exc:
        return exc.strerror or str(exc)
    finally:
        sink.close()
    return None


def log_refused(path: Path, fault: str) -> str:
    """The text of a settings fault: no log can be written to ``SPEECHAID_LOG_FILE``."""
    return say(
        "SPEECHAID_LOG_FILE={path}: {fault}; allowed: a file that can be written to", path=path, fault=fault
    )


class LogFile:
    """A file found by its name, to which many processes append, each line with one write.

    Before each line the name is looked up: where the file was renamed, a new one is created; until that
    succeeds, lines go to the renamed one. A truncated file goes on at its start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._opened_by = 0
        self._torn = False

    def write(self, line: bytes) -> bool:
        """Append one line; False where only a part of it was written."""
        self._reopen_if_moved()
        whole = b"\n" + line if self._torn else line
        written = os.write(self._descriptor, whole)
        # A full disk takes a part of a line: the next line must not look like its continuation.
        self._torn = written < len(whole)
        return not self._torn

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - the protocol's
        """Never wait for a full disk."""
        return False

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _reopen_if_moved(self) -> None:
        if self._opened_by != os.getpid():
            self._descriptor = -1  # a forked child closes inherited descriptors: the number may be reused
        if self._descriptor >= 0 and self._is_in_place():
            return
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC
            fresh = os.open(self._path, flags, _FILE_MODE)
        except OSError:
            if self._descriptor < 0:
                raise
            return  # renamed, and no new file can be created yet: go on with the old one
        self.close()
        self._descriptor, self._opened_by = fresh, os.getpid()

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False


class _File:
    """A file; other processes that share its offset append after these lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes) -> bool:
        os.write(self._descriptor, line)
        return True

    def wait(self, seconds: float) -> bool:
        """A file always takes a line, or the disk is full."""
        return seconds > 0

    def close(self) -> None:
        """Do nothing: the descriptor is shared."""


class _Reopened:
    """A pipe or a terminal, opened again without blocking."""

    def __init__(self, descriptor: int) -> None:
        self._shared = descriptor
        self._own = -1

    def write(self, line: bytes) -> bool:
        # A forked child closes inherited descriptors, and may reuse this number for a database's socket.
        # A log that is rotated by dup2 changes the target of the shared descriptor.
        if self._own < 0 or not _same_file(self._own, self._shared):
            self._own = _open_again(self._shared)
        if self._own < 0 and not _is_ready(self._shared):
            return False
        try:
            os.write(self._shared if self._own < 0 else self._own, line)
        except BlockingIOError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        return _is_ready(self._shared, seconds)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._own >= 0 and _same_file(self._own, self._shared):
                os.close(self._own)
        self._own = -1


class _Socket:
    """A socket as standard error: journald, or another process that reads it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes) -> bool:
        borrowed = socket.socket(fileno=self._descriptor)
        try:
            borrowed.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        finally:
            borrowed.detach()
        return True

    def wait(self, seconds: float) -> bool:
        return _is_ready(self._descriptor, seconds)

    def close(self) -> None:
        """Do nothing: the descriptor is shared."""


class _Stream:
    """A Python object without a file descriptor, as tests use."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> bool:
        self._stream.write(line.decode("utf-8", "replace"))
        return True

    def wait(self, seconds: float) -> bool:
        """It takes everything at once."""
        return seconds > 0

    def close(self) -> None:
        """Do nothing: the stream belongs to the caller."""


class _Nowhere:
    """There is no standard error."""

    def write(self, line: bytes) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - as above
        return False

    def close(self) -> None:
        """Nothing was opened."""


def _same_file(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def _open_again(descriptor: int) -> int:
    """Open a pipe or terminal again, non-blocking; -1 where it belongs to another user or has no reader."""
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return -1


def _is_ready(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether a write would not block, waiting at most ``seconds``; another process may still write first."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
