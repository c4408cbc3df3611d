"""A host: ``speechaid run`` with its own socket, state directory and log."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from speechaid.protocol.client import Client, Refused, Unreachable
from tests.chaos.processes import Process, children, send

#: The checkout under test, for children with another working directory.
ROOT: Final = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Host:
    """A directory in which one supervisor after the other runs."""

    def __init__(self, name: str, directory: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.directory = directory / name
        self.directory.mkdir()
        self.log = self.directory / "daemon.log"
        #: Every worker process seen on this host, to check that no other host has it.
        self.workers_seen: set[tuple[int, int]] = set()
        #: Whether it is stopped by SIGSTOP.
        self.frozen = False
        self.socket = self.directory / "control.sock"
        self._variables = {
            **variables,
            "SPEECHAID_SOCKET": str(self.socket),
            "SPEECHAID_STATE_DIR": str(self.directory / "state"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a supervisor without waiting for it; the previous one must have ended."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "speechaid", "run"],
                cwd=self.directory,
                env=kept | self._variables | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads here, and one system call
            )
        self.frozen = False

    @property
    def pid(self) -> int | None:
        """The supervisor's process id; None: it is not running."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status of the latest supervisor; None while it runs."""
        return None if self._process is None else self._process.poll()

    def processes(self) -> list[Process]:
        """The supervisor's children: workers and zygote."""
        found = [] if self.pid is None else children(self.pid)
        self.workers_seen |= {(process.pid, process.started) for process in found if process.is_worker}
        return found

    def workers(self) -> list[Process]:
        """The current workers."""
        return [process for process in self.processes() if process.is_worker]

    def signal(self, number: signal.Signals) -> None:
        """Signal the supervisor, if it runs."""
        if self.pid is not None:
            send(self.pid, number)

    def kill(self) -> None:
        """SIGKILL the supervisor and wait until it has ended; its workers continue."""
        self.processes()
        self.signal(signal.SIGKILL)
        self.wait(10)

    def wait(self, seconds: float) -> int | None:
        """Wait for the supervisor; its exit status, None if it does not end in time."""
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def ask(self, command: str, timeout_seconds: float = 20.0, **arguments: object) -> dict[str, Any] | None:
        """Send a control command; return its result, None without an answer or if refused."""
        client = Client(self.socket)
        try:
            return client.ask(command, arguments, timeout_seconds=timeout_seconds)
        except (Refused, Unreachable):
            return None
        finally:
            client.close()


def _die_with_parent() -> None:
    """In the child, before exec: it must not outlive the run, however the run ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
