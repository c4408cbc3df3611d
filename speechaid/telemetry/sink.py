"""Where lines go: one write each, so that many processes never tear them, and without waiting for a reader.

A pipe takes up to ``PIPE_BUF`` bytes whole or not at all; that bounds a line. Setting ``O_NONBLOCK`` on
standard error itself would change it for everybody who shares it (a shell, the parent), so pipes and
terminals are opened anew, for us alone, and sockets are asked not to wait, message by message. A file never
makes wait, and opening it anew would lose its offset.

A log file of our own is found by its name before each line: whoever rotates it need tell nobody.
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

#: Bytes of a line with its end: POSIX's PIPE_BUF, as Linux has it.
LINE_LIMIT: Final = min(select.PIPE_BUF, 4096)
#: Who may read a log file that is made here, as far as the umask allows.
_FILE_MODE: Final = 0o640


class Sink(Protocol):
    """Takes whole lines."""

    def write(self, line: bytes) -> bool:
        """Whether the line was taken; False: not now, the reader is behind. OSError: nobody will read it."""

    def wait(self, seconds: float) -> bool:
        """Wait for the reader, at most so long; whether there is room again."""

    def close(self) -> None:
        """Release what was opened for the lines."""


def open_sink(stream: TextIO | None) -> Sink:
    """The right way to write to this stream; None is a process without standard error."""
    if stream is None or stream.closed:
        return _Nowhere()
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except ValueError:  # no file behind it (io.UnsupportedOperation is a ValueError too)
        return _Stream(stream)
    except OSError:  # its descriptor was closed behind Python's back
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
        behind = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{behind.st_dev}:{behind.st_ino}"


def file_fault(path: Path, *, make: bool = True) -> str | None:
    """Why no line can be written to a file of this name; None where one can.

    Args:
        path: the file.
        make: make it for that where it is not there; without, a directory that takes files will do.
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
    return f"SPEECHAID_LOG_FILE={path}: {fault}; allowed: a file that can be written to"


class LogFile:
    """A file under a name, appended to by many processes, each line by one write at its end.

    Before each line the name is looked up: where the file was moved away, a new one is begun; until there can
    be one, lines go to the old one, which its mover still has. A file that was cut goes on at its start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._opened_by = 0
        self._torn = False

    def write(self, line: bytes) -> bool:
        """Append one line; False where the disk took only a part of it."""
        self._follow()
        whole = b"\n" + line if self._torn else line
        written = os.write(self._descriptor, whole)
        # A disk that is full takes a part: what comes next must not be read as the rest of it.
        self._torn = written < len(whole)
        return not self._torn

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - the protocol's
        """Nobody waits for a full disk."""
        return False

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _follow(self) -> None:
        if self._opened_by != os.getpid():
            self._descriptor = -1  # a forked child closes what it was not given: the number may be another's
        if self._descriptor >= 0 and self._is_in_place():
            return
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC
            fresh = os.open(self._path, flags, _FILE_MODE)
        except OSError:
            if self._descriptor < 0:
                raise
            return  # moved away, and no new one can be made yet: the old one is still read
        self.close()
        self._descriptor, self._opened_by = fresh, os.getpid()

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False


class _File:
    """A file; whoever shares its offset appends behind us."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes) -> bool:
        os.write(self._descriptor, line)
        return True

    def wait(self, seconds: float) -> bool:
        """There is always room, or the disk is full."""
        return seconds > 0

    def close(self) -> None:
        """It is not ours."""


class _Reopened:
    """A pipe or a terminal, opened once more so as never to wait for its reader."""

    def __init__(self, descriptor: int) -> None:
        self._shared = descriptor
        self._own = -1

    def write(self, line: bytes) -> bool:
        # A forked child closes what it was not given, and may get this very number for a database's socket.
        # A log that is rotated by dup2 changes what stands behind the shared descriptor.
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
    """Journald, or whoever else gave us a socket for standard error."""

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
        """It is not ours."""


class _Stream:
    """An object of Python's without a file behind it, as tests use."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> bool:
        self._stream.write(line.decode("utf-8", "replace"))
        return True

    def wait(self, seconds: float) -> bool:
        """It takes all at once."""
        return seconds > 0

    def close(self) -> None:
        """It is not ours."""


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
    """The same pipe or terminal without waiting; -1 where it belongs to another user or has no reader."""
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return -1


def _is_ready(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether a write would not wait, within so long; another process may still come first."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
