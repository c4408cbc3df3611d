"""Why a daemon does not answer, from the socket's file and lock, in a sentence that names the remedy."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from speechaid.protocol import messages

#: Where the service listens, and where its unit may be.
SERVICE_SOCKET: Final = Path("/run/speechaid/control.sock")
UNITS: Final = tuple(
    Path(directory) / "speechaid.service" for directory in ("/etc/systemd/system", "/usr/lib/systemd/system")
)


def unreachable_reason(path: Path) -> str | None:
    """Why no daemon can answer at this path; None where one listens."""
    fault = messages.path_fault(path)
    if fault is not None:
        return fault
    try:
        mode = path.stat().st_mode
        if not stat.S_ISSOCK(mode):
            return f"{path} is not a socket{_elsewhere(path)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # A daemon that hangs accepts nothing: behind others that wait, a connect would wait for ever.
            probe.setblocking(False)
            probe.connect(os.fsencode(path))
    except BlockingIOError:
        return None  # it listens; the request's own time-out says that it hangs
    except OSError as exc:
        return _connect_fault(path, exc)
    return None


def timeout_reason(path: Path, *, accepted: bool, timeout_seconds: float) -> str:
    """Why a daemon that listens did not answer in time.

    Args:
        path: its socket.
        accepted: whether it confirmed the request.
        timeout_seconds: how long the client waited.
    """
    holder = _lock_holder(path)
    who = f"the daemon (pid {holder})" if holder else "the daemon"
    within = f"within {timeout_seconds:g} s"
    if accepted:
        return (
            f"{who} accepted the request, but did not finish it {within}; it continues: speechctl status "
            f"shows whether the database is away; --timeout waits longer"
        )
    return f"{who} did not answer {within}: it is stopped or stuck (see its log); --timeout waits longer"


def _connect_fault(path: Path, exc: OSError) -> str:
    if isinstance(exc, FileNotFoundError):
        return f"no daemon listens at {path}: it is not running, or uses another socket{_elsewhere(path)}"
    if isinstance(exc, PermissionError):
        return (
            f"{_user_name()} may not use {path}: join the group that owns it{_group(path)}, or ask with sudo"
        )
    if isinstance(exc, ConnectionRefusedError):
        return f"{path} is left over from a daemon that is gone: start it again with: {start_command(path)}"
    return f"{path} cannot be reached: {exc.strerror}"


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
        return f" (start it with: {start_command(path)}; --socket or SPEECHAID_SOCKET names another socket)"
    return f" (without --socket it would be {default})"


def start_command(path: Path, units: Iterable[Path] = UNITS) -> str:
    """The command that starts the daemon: where it is a service, another one beside it would be wrong.

    Args:
        path: its socket.
        units: where the service's unit may be.
    """
    is_service = path == SERVICE_SOCKET and any(unit.exists() for unit in units)
    return "systemctl start speechaid" if is_service else "speechaid run"


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _group(path: Path) -> str:
    """The group that may use the socket, or enter its directory; empty where it cannot be read."""
    for candidate in (path, path.parent):
        try:
            return f" ({candidate.group()})"
        except (OSError, KeyError, NotImplementedError):
            continue
    return ""
