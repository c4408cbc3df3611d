"""Why a daemon does not answer, from the socket's file and lock, in a sentence that names the remedy."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from speechaid.protocol import messages
from speechaid.protocol.translation import say, system_fault

#: Where the service listens, and where its unit may be.
SERVICE_SOCKET: Final = Path("/run/speechaid/control.sock")
UNITS: Final = tuple(
    Path(directory) / "speechaid.service" for directory in ("/etc/systemd/system", "/usr/lib/systemd/system")
)
#: Where systemd makes the directories of services (``RuntimeDirectory=``), each for the user of its unit.
RUNTIME_DIRECTORIES: Final = Path("/run")
_UCRED: Final = struct.Struct("3i")


def unreachable_reason(path: Path, runtime_directories: Path = RUNTIME_DIRECTORIES) -> str | None:
    """Why no daemon can answer at this path, or why it is not trusted; None where one listens.

    Args:
        path: its socket.
        runtime_directories: where only root can make a directory for a service.
    """
    fault = messages.path_fault(path)
    if fault is not None:
        return fault
    try:
        mode = path.stat().st_mode
        if not stat.S_ISSOCK(mode):
            return say("{path} is not a socket{elsewhere}", path=path, elsewhere=_elsewhere(path))
        trusted = _trusted_users(path, runtime_directories)
        fault = _fault_of_files(path, trusted)
        if fault is not None:
            return fault
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # A daemon that hangs accepts nothing: behind others that wait, a connect would wait for ever.
            probe.setblocking(False)
            probe.connect(os.fsencode(path))
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except BlockingIOError:
        return None  # it listens; the request's own time-out says that it hangs
    except OSError as exc:
        return _connect_fault(path, exc)
    pid, uid, _ = _UCRED.unpack(credentials)
    return (
        None
        if uid in trusted
        else _stranger(say("the process that listens at {path} (pid {pid})", path=path, pid=pid), uid)
    )


def _trusted_users(path: Path, runtime_directories: Path) -> frozenset[int]:
    """The users whose socket is believed: this one, root, and the one for whom root made its directory.

    Anybody can make a socket at a path that a client tries, for example in ``/tmp``, and answer there: that
    all calls are held, for example.
    """
    trusted = {os.geteuid(), 0}
    directory = path.parent.resolve()
    if directory.parent == runtime_directories.resolve():
        above = directory.parent.stat()
        if above.st_uid == 0 and not above.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            trusted.add(directory.stat().st_uid)
    return frozenset(trusted)


def _fault_of_files(path: Path, trusted: frozenset[int]) -> str | None:
    """Why the socket's files may be a stranger's; None where only trusted users can have made them."""
    for place in (path.parent, path):
        for status in (place.lstat(), place.stat()):
            if status.st_uid not in trusted:
                return _stranger(str(place), status.st_uid)
    mode = path.parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return say(
            "every user may write in {parent} and replace the daemon's socket: nothing was sent",
            parent=path.parent,
        )
    return None


def _stranger(what: str, uid: int) -> str:
    return say(
        "{what} belongs to {user_name}, not to you, root or the service, and may only"
        " pretend to be the daemon: nothing was sent; if the daemon does run as that user:"
        " sudo -u '#{uid}' speechctl ...",
        what=what,
        user_name=_user_name(uid),
        uid=uid,
    )


def timeout_reason(path: Path, *, accepted: bool, timeout_seconds: float) -> str:
    """Why a daemon that listens did not answer in time.

    Args:
        path: its socket.
        accepted: whether it confirmed the request.
        timeout_seconds: how long the client waited.
    """
    holder = _lock_holder(path)
    who = say("the daemon (pid {holder})", holder=holder) if holder else say("the daemon")
    within = say("within {timeout_seconds:g} s", timeout_seconds=timeout_seconds)
    if accepted:
        return say(
            "{who} accepted the request, but did not finish it {within}; it continues:"
            " speechctl status shows whether the database is away; --timeout waits longer",
            who=who,
            within=within,
        )
    return say(
        "{who} did not answer {within}: it is stopped or stuck (see its log); --timeout waits longer",
        who=who,
        within=within,
    )


def _connect_fault(path: Path, exc: OSError) -> str:
    if isinstance(exc, FileNotFoundError):
        return say(
            "no daemon listens at {path}: it is not running, or uses another socket{elsewhere}",
            path=path,
            elsewhere=_elsewhere(path),
        )
    if isinstance(exc, PermissionError):
        user = _user_name(os.geteuid())
        return say(
            "{user} may not use {path}: join the group that owns it{group}, or ask with sudo",
            user=user,
            path=path,
            group=_group(path),
        )
    if isinstance(exc, ConnectionRefusedError):
        return say(
            "{path} is left over from a daemon that is gone: start it again with: {start_command}",
            path=path,
            start_command=start_command(path),
        )
    return say("{path} cannot be reached: {strerror}", path=path, strerror=system_fault(exc))


def _lock_holder(path: Path) -> int | None:
    """The pid in the lock file, if such a process exists."""
    try:
        pid = int(messages.lock_path(path).read_text())
    except (OSError, ValueError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


def _elsewhere(path: Path) -> str:
    """Where else the daemon may listen."""
    default = messages.client_socket()
    if path == default:
        return say(
            " (start it with: {start_command}; --socket or SPEECHAID_SOCKET names another socket)",
            start_command=start_command(path),
        )
    return say(" (without --socket it would be {default})", default=default)


def start_command(path: Path, units: Iterable[Path] = UNITS) -> str:
    """The command that starts the daemon: where it is a service, another one beside it would be wrong.

    Args:
        path: its socket.
        units: where the service's unit may be.
    """
    is_service = path == SERVICE_SOCKET and any(unit.exists() for unit in units)
    return "systemctl start speechaid" if is_service else "speechaid run"


def _user_name(uid: int) -> str:
    import pwd  # noqa: PLC0415 - only after a fault

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(path: Path) -> str:
    """The group that may use the socket, or enter its directory; empty where it cannot be read."""
    for candidate in (path, path.parent):
        try:
            return f" ({candidate.group()})"
        except (OSError, KeyError, NotImplementedError):
            continue
    return ""
