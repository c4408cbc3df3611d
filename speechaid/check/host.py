"""Checks of this host: control socket, ports, directories, limits. Nothing is written."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from speechaid.control_sockets.relay import tcp_access
from speechaid.errors import ConfigError
from speechaid.fleet.processes import descriptors_needed
from speechaid.protocol import messages
from speechaid.protocol.translation import joined, say, system_fault
from speechaid.rules import check_findings
from speechaid.rules.check_findings import CheckFinding
from speechaid.settings import Settings
from speechaid.telemetry.sink import file_fault, log_refused


def checks(settings: Settings, *, before_start: bool) -> Iterator[CheckFinding]:
    """All checks of the host, in the order of the report."""
    path = settings.control.socket
    pid = _listener(path)
    if pid is not None:
        yield check_findings.socket_held(str(path), pid, before_start=before_start)
    elif (fault := _socket_fault(path)) is not None:
        yield check_findings.socket_unusable(str(path), fault)
    else:
        yield check_findings.socket_free(str(path))
    yield from _ports(settings, daemon_runs=pid is not None)
    try:
        tcp_access(settings)
    except ConfigError as exc:
        yield check_findings.keys_missing(joined("; ", exc.faults))
    yield directory(say("state directory"), settings.control.state_dir)
    if settings.logging.file is not None:
        yield _log_file(settings.logging.file)
    yield _descriptors(settings.worker.count)


def _listener(path: Path) -> str | None:
    """The pid of the daemon that listens at a socket, or ``unknown``; None where no daemon listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fsencode(path))
        except OSError:
            return None
    try:
        return messages.lock_path(path).read_text(encoding="ascii").strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"


def _socket_fault(path: Path) -> str | None:
    """Why a daemon could not listen there; the socket of a dead daemon is removed by the next one."""
    try:
        is_socket = stat.S_ISSOCK(path.stat().st_mode)
    except FileNotFoundError:
        return _directory_fault(path.parent)
    except OSError as exc:
        return system_fault(exc)
    return _directory_fault(path.parent) if is_socket else say("exists and is not a socket")


def _ports(settings: Settings, *, daemon_runs: bool) -> Iterator[CheckFinding]:
    metrics, control = settings.telemetry.metrics_address, settings.control.tcp
    addresses = {"metrics port": None if metrics == "off" else metrics, "control port": control}
    for name, address in addresses.items():
        if address is None:
            continue
        fault = _address_fault(address.removeprefix("tcp://"))
        yield check_findings.port(name, address, fault=fault, daemon_runs=daemon_runs)


def _address_fault(address: str) -> str | None:
    """Why a program could not listen at ``HOST:PORT`` now; None where it could."""
    host, _, port = address.rpartition(":")
    host = "" if host == "*" else host.strip("[]")
    try:
        resolved = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, _, _, socket_address = resolved[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(socket_address)
            probe.listen(1)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            return system_fault(exc)
        return say("is in use{holder}", holder=_holder(int(port)))
    return None


def _holder(port: int) -> str:
    """The program that listens at a port, as the end of a sentence; empty where it is not visible."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
            inodes |= {
                row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port
            }
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parents[1]
                command = (process / "comm").read_text().strip()
                return say(" by {command} (pid {pid})", command=command, pid=process.name)
    return ""


def directory(name: str, path: Path) -> CheckFinding:
    """Whether files can be created in a directory, and how much space is free."""
    fault = _directory_fault(path)
    free_mb = None if fault else shutil.disk_usage(_existing(path)).free // 2**20
    return check_findings.directory(name, str(path), fault=fault, free_mb=free_mb)


def _log_file(path: Path) -> CheckFinding:
    """Check the log file without creating it: it would belong to this user, and not to the service."""
    if (fault := file_fault(path, make=False)) is not None:
        return check_findings.log_file_unusable(log_refused(path, fault))
    return directory(say("log directory"), path.parent)


def _directory_fault(path: Path) -> str | None:
    """Why files cannot be created in a directory, which need not exist yet."""
    existing = _existing(path)
    if not existing.is_dir():
        return say("{existing} is not a directory", existing=existing)
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        return say("this user may not write to {existing}", existing=existing)
    return None


def _existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    return next(existing for existing in (path, *path.parents) if existing.exists())


def _descriptors(workers: int) -> CheckFinding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = None if hard == resource.RLIM_INFINITY else hard
    needed, least = descriptors_needed(workers), descriptors_needed(workers, at_least=True)
    return check_findings.descriptors(limit=limit, needed=needed, least=least, workers=workers)
