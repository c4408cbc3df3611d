"""Files shared by supervisor and embedded database: locks, address, credentials."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from speechaid.errors import FleetError
from speechaid.protocol.translation import say, system_fault

_PRIVATE = 0o600
#: The files with user and password: of the daemon, and of the web process.
CREDENTIALS: Final = "credentials"
WEB_CREDENTIALS: Final = "web-credentials"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A user of an embedded database; the password is a secret."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Address and process of a running server.

    Attributes:
        started: start of the process in clock ticks since boot: a pid alone may have been reused.
    """

    host: str
    port: int
    pid: int
    started: int

    def is_current(self) -> bool:
        """Whether the process that wrote this address still runs."""
        return process_start(self.pid) == self.started


def prepare(directory: Path) -> None:
    """Create the directory, for its owner only, and check that it can be written to.

    Raises:
        FleetError: it cannot be created, belongs to another user, is read-only or full.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != os.geteuid():
            raise FleetError(
                say("the database directory {directory} belongs to another user", directory=directory)
            )
        directory.chmod(0o700)
        # One MiB, as the server begins by writing logs of that size.
        write_private(directory / ".space", "\0" * 2**20)
        (directory / ".space").unlink()
    except OSError as exc:
        with contextlib.suppress(OSError):
            (directory / ".space").unlink(missing_ok=True)
        raise FleetError(
            say(
                "the database directory {directory} cannot be used: {strerror}",
                directory=directory,
                strerror=system_fault(exc),
            )
        ) from exc


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable for its owner only from the first byte."""
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


def read_credentials(directory: Path, name: str = CREDENTIALS) -> Credentials:
    """Read user and password; first sets the file's mode to 0600 where it is another.

    Raises:
        FleetError: the file is missing, a link, or invalid.
    """
    path = directory / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            # The unit of the HTTP API sees the file on a read-only mount, where any change is refused.
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != _PRIVATE:
                os.fchmod(file.fileno(), _PRIVATE)
            values = json.load(file)
        return Credentials(user=str(values["user"]), password=str(values["password"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise FleetError(
            say("the database's credentials in {path} cannot be read: {exc}", path=path, exc=exc)
        ) from exc


def read_address(directory: Path) -> Address | None:
    """The address of the directory's server; None where no live server has published one."""
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
    """Take an exclusive flock and write our pid into the file; None where another process has it.

    The lock lasts as long as the returned descriptor, which children do not inherit.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    with contextlib.suppress(OSError):  # a full disk: the pid is for people, the lock holds
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def lock_holder(path: Path) -> str:
    """The pid in a lock file, for a message; "unknown" where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        return "unknown"


def process_start(pid: int) -> int:
    """Start of a process in clock ticks since boot; -1 where there is none, or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    # The name in brackets may contain anything, blanks and brackets too: count from the last bracket.
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] in "ZX" else int(fields[19])


def port_is_free(port: int) -> bool:
    """Whether this loopback port can be bound now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
