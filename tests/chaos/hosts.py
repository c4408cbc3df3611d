"""A host of the fleet: ``speechaid run`` with a socket, a state directory and a log of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from speechctl.client import Client, Refused, Unreachable
from tests.chaos.processes import Process, children, send

#: The checkout under test, for children that run in a directory of their own.
ROOT: Final = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Host:
    """One supervisor after the other, at one place."""

    def __init__(self, name: str, directory: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.directory = directory / name
        self.directory.mkdir()
        self.log = self.directory / "daemon.log"
        #: Every worker process ever seen here, to tell hosts' workers apart.
        self.seen: set[tuple[int, int]] = set()
        #: Stopped by SIGSTOP for a while.
        self.frozen = False
        self.socket = self.directory / "control.sock"
        self._variables = {
            **variables,
            "SPEECHAID_SOCKET": str(self.socket),
            "SPEECHAID_STATE_DIR": str(self.directory / "state"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a supervisor without waiting for it; one that was here before must be gone."""
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
        """The supervisor's process; None where there is none."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How the latest supervisor ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def below(self) -> list[Process]:
        """Workers and zygote."""
        found = [] if self.pid is None else children(self.pid)
        self.seen |= {(process.pid, process.began) for process in found if process.is_worker}
        return found

    def workers(self) -> list[Process]:
        """The workers that there are just now."""
        return [process for process in self.below() if process.is_worker]

    def signal(self, number: signal.Signals) -> None:
        """Signal the supervisor, if there is one."""
        if self.pid is not None:
            send(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the supervisor, and wait until it is gone; its workers live on."""
        self.below()
        self.signal(signal.SIGKILL)
        self.wait(10)

    def wait(self, seconds: float) -> int | None:
        """The exit status of the supervisor, None where it does not end in time."""
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def ask(self, command: str, timeout_seconds: float = 20.0, **arguments: object) -> dict[str, Any] | None:
        """Give a control command; None where nobody answers or it is refused."""
        client = Client(self.socket)
        try:
            return client.ask(command, arguments, timeout_seconds=timeout_seconds)
        except (Refused, Unreachable):
            return None
        finally:
            client.close()


def _die_with_parent() -> None:
    """In the child, before exec: it must not outlive the run, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
