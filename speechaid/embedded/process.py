"""One server process of the embedded database: started or adopted, watched by pidfd, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from speechaid.errors import FleetError
from speechaid.settings.child_environment import child_environment

#: The log is rotated at a start where it is longer.
LOG_BYTES = 2**20


class ServerProcess:
    """A server that is starting, running or has exited; not necessarily our child."""

    def __init__(self, pid: int, *, child: subprocess.Popen[bytes] | None = None, report: int = -1) -> None:
        """Watch a process.

        Args:
            pid: the process, our child or not.
            child: its handle where this process started it, else None.
            report: our end of the pipe on which a starting server writes one line; owned by this object.

        Raises:
            ProcessLookupError: there is no such process.
        """
        self.pid = pid
        self.since = time.monotonic()
        self._child = child
        self._report = report
        self._pidfd = os.pidfd_open(pid)

    def is_alive(self) -> bool:
        """Whether the process exists; it may still be starting, or not answer."""
        return not _readable(self._pidfd, 0.0)

    def report(self, timeout_seconds: float = 0.0) -> dict[str, object] | None:
        """The report of a starting server: ``{"port"}`` or ``{"error"}``; None while there is none."""
        if not _readable(self._report, timeout_seconds):
            return None
        line = os.read(self._report, 65_536)
        os.close(self._report)
        self._report = -1
        if not line:
            return {"error": "the database server died while starting; see server.log"}
        message: dict[str, object] = json.loads(line)
        return message

    @property
    def is_starting(self) -> bool:
        """Whether its report is still awaited."""
        return self._report >= 0

    def end(self, *, grace_seconds: float) -> bool:
        """Stop it by SIGTERM, after the grace time by SIGKILL; whether SIGTERM was enough."""
        self.signal(signal.SIGTERM)
        stopped = _readable(self._pidfd, grace_seconds)
        if not stopped:
            self.kill()
            _readable(self._pidfd, grace_seconds)
        return stopped

    def kill(self) -> None:
        """Kill it: what was committed is on disk."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, never to a later one with the same pid."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def release(self) -> int | None:
        """Close the descriptors, and reap the process if it is our exited child; its exit status."""
        status = None
        if self._child is not None and not self.is_alive():
            status = self._child.wait()
        for descriptor in (self._pidfd, self._report):
            if descriptor >= 0:
                os.close(descriptor)
        self._pidfd = self._report = -1
        return status


def spawn(directory: Path, *, port: int, sync_on_commit: bool, campaigns: str | None = None) -> ServerProcess:
    """Start a server without waiting for it.

    Args:
        directory: of its files.
        port: it listens there; 0: it chooses one.
        sync_on_commit: fsync each commit.
        campaigns: the name of the campaigns' database, which a second user may read; None: there is none.

    Raises:
        FleetError: the process could not be started.
    """
    try:
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise FleetError(f"the database server in {directory} cannot be started: {exc}") from exc
    command = [sys.executable, "-P", "-m", "speechaid.embedded.server", str(directory)]
    command += ["--port", str(port), "--ready-fd", str(theirs)]
    command += [] if sync_on_commit else ["--no-sync"]
    command += [] if campaigns is None else ["--campaigns", campaigns]
    try:
        log = _open_log(directory / "server.log")
        try:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs],
                # Neither Ctrl-C in a terminal nor the end of our session may reach the database.
                start_new_session=True,
            )
        finally:
            os.close(log)
        try:
            return ServerProcess(child.pid, child=child, report=ours)
        except BaseException:  # it cannot be watched, so it must not run
            child.kill()
            child.wait()
            raise
    except OSError as exc:
        os.close(ours)
        raise FleetError(f"the database server in {directory} cannot be started: {exc}") from exc
    finally:
        os.close(theirs)


def _open_log(path: Path) -> int:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _readable(descriptor: int, timeout_seconds: float) -> bool:
    """Whether a pidfd (the process has exited) or a pipe (a line or end-of-file) is readable."""
    if descriptor < 0:
        return False
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(timeout_seconds * 1000))
