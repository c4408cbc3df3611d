"""Why a daemon does not answer, in a sentence that names the remedy: what the socket's file and lock tell."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from speechaid.protocol import messages


def absence(path: Path) -> str | None:
    """Why no daemon can answer at this path, or None where one listens."""
    fault = messages.path_fault(path)
    if fault is not None:
        return fault
    try:
        mode = path.stat().st_mode
        if not stat.S_ISSOCK(mode):
            return f"{path} is not a socket{_elsewhere(path)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(os.fsencode(path))
    except OSError as exc:
        return _explained(path, exc)
    return None


def silence(path: Path, *, accepted: bool, timeout_seconds: float) -> str:
    """What to make of a daemon that listens and did not answer in time."""
    holder = _lock_holder(path)
    who = f"the daemon (pid {holder})" if holder else "the daemon"
    within = f"within {timeout_seconds:g} s"
    if accepted:
        return (
            f"{who} took the request, but the work did not end {within}; it goes on: speechctl status tells "
            f"whether the database is away; --timeout waits longer"
        )
    return f"{who} did not answer {within}: it is stopped or stuck (see its log); --timeout waits longer"


def _explained(path: Path, exc: OSError) -> str:
    if isinstance(exc, FileNotFoundError):
        return f"no daemon listens at {path}: it is not running, or uses another socket{_elsewhere(path)}"
    if isinstance(exc, PermissionError):
        return f"{_me()} may not use {path}: join the group that owns it{_group(path)}, or ask with sudo"
    if isinstance(exc, ConnectionRefusedError):
        return f"{path} is left over from a daemon that is gone: start it again with: speechaid run"
    return f"{path} cannot be reached: {exc.strerror}"


def _lock_holder(path: Path) -> int | None:
    """The pid in the lock file, if such a process exists."""
    try:
        pid = int(messages.lock_path(path).read_text())
    except (OSError, ValueError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


def _elsewhere(path: Path) -> str:
    """Where else it might be."""
    usual = messages.client_socket()
    if path == usual:
        return " (start it with: speechaid run; --socket or SPEECHAID_SOCKET names another socket)"
    return f" (without --socket it would be {usual})"


def _me() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _group(path: Path) -> str:
    """The group that may use the socket, or enter its directory, as far as it can be seen."""
    for place in (path, path.parent):
        try:
            return f" ({place.group()})"
        except (OSError, KeyError, NotImplementedError):
            continue
    return ""
