"""The files by which a supervisor and an embedded database find each other: locks, address, credentials."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from speechaid.errors import FleetError


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The one user of an embedded database; the password is a secret."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a running server listens, and which process it is.

    Attributes:
        started: the process's start in clock ticks since boot: a pid alone may have been given away anew.
    """

    host: str
    port: int
    pid: int
    started: int

    def is_current(self) -> bool:
        """Whether the very process that wrote this address is still there."""
        return process_start(self.pid) == self.started


def prepare(directory: Path) -> None:
    """Make the directory, for its owner alone, and show that it can be written to.

    Raises:
        FleetError: it cannot be made, is somebody else's, or takes no data (read-only, full).
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != os.geteuid():
            raise FleetError(f"the database directory {directory} belongs to another user")
        directory.chmod(0o700)
        # A whole megabyte: the first thing that the server does is to write logs of that size.
        write_private(directory / ".space", "\0" * 2**20)
        (directory / ".space").unlink()
    except OSError as exc:
        with contextlib.suppress(OSError):
            (directory / ".space").unlink(missing_ok=True)
        raise FleetError(f"the database directory {directory} cannot be used: {exc.strerror or exc}") from exc


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable for its owner alone from its first byte."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_credentials(directory: Path) -> Credentials:
    """Read the user and password; a file that others could read is closed to them first.

    Raises:
        FleetError: missing, a link, or not what was written there.
    """
    path = directory / "credentials"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            values = json.load(file)
        return Credentials(user=str(values["user"]), password=str(values["password"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise FleetError(f"the database's credentials in {path} cannot be read: {exc}") from exc


def read_address(directory: Path) -> Address | None:
    """Where the directory's server listens, or None if none that is alive has said so."""
    try:
        values = json.loads((directory / "address").read_text(encoding="utf-8"))
        address = Address(
            host=str(values["host"]),
            port=int(values["port"]),
            pid=int(values["pid"]),
            started=int(values["started"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if address.is_current() else None


def take_lock(path: Path) -> int | None:
    """Take an exclusive flock and say in the file who holds it; None when another process does.

    The lock lives as long as the returned descriptor, which children do not inherit.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    with contextlib.suppress(OSError):  # a full disk: the pid is a courtesy, the lock is what counts
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def lock_holder(path: Path) -> str:
    """The pid that the holder of a lock wrote into it, for a message; "unknown" where it did not."""
    try:
        return path.read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        return "unknown"


def process_start(pid: int) -> int:
    """When a process started, in clock ticks since boot; -1 when there is none (a zombie is none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    # The name in brackets may hold anything, blanks and brackets too: count from the last bracket.
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] in "ZX" else int(fields[19])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
