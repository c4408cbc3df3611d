"""The demo's daemon, started as an operator would: a command and environment variables."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from speechaid.errors import FleetError
from speechaid.protocol.client import Client, Refused, Unreachable

#: Environment variables that are passed on; no settings of speechaid.
INHERITED_VARIABLES: Final = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class DaemonProcess:
    """``speechaid run`` as a child, and a connection to its control socket."""

    command: tuple[str, ...] = (sys.executable, "-m", "speechaid", "run")

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        """Prepare the daemon without starting it.

        Args:
            directory: its working directory, with its log and socket.
            variables: its settings; of our environment it gets only ``INHERITED_VARIABLES``.
        """
        self.socket = directory / "control.sock"
        self.log = directory / "daemon.log"
        self._directory = directory
        # Several may run at once: each takes a free port for its metrics, which ``status`` reports.
        defaults = {"SPEECHAID_SOCKET": str(self.socket), "SPEECHAID_METRICS_ADDRESS": "127.0.0.1:0"}
        self._variables = {**defaults, **variables}
        self._process: subprocess.Popen[bytes] | None = None
        self._client = Client(self.socket)

    def start(self) -> None:
        """Start it and wait until it answers and has a worker.

        Raises:
            FleetError: it exited, or was not up in time; with the last line of its log.
        """
        kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own
                self.command,
                cwd=self._directory,
                env=kept | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The demo handles Ctrl-C in the terminal; if the demo dies, the daemon ends too.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet, and one system call
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_up():
            if not self.is_alive() or time.monotonic() > deadline:
                raise FleetError(f"the daemon did not start: {self._last_log_line()}")
            time.sleep(0.1)

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def ask(self, command: str, attachment: bytes | None = None, **arguments: object) -> dict[str, Any]:
        """Send a control command; return its result.

        Raises:
            FleetError: it was refused, or there was no answer.
        """
        try:
            return self._client.ask(command, arguments, attachment=attachment, timeout_seconds=60.0)
        except (Refused, Unreachable) as exc:
            raise FleetError(f"{command}: {exc}") from exc

    def stop(self, *, at_once: bool = False) -> int | None:
        """Stop it as an operator would, after live calls or (at once) handing them over; its exit status."""
        self._client.close()
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGQUIT if at_once else signal.SIGTERM)
        for grace in (STOP_SECONDS, STOP_SECONDS):
            try:
                return process.wait(grace)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
        process.kill()
        return process.wait()

    def _is_up(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            status = self._client.ask("status", {}, timeout_seconds=2.0)
        except (Refused, Unreachable):
            return False
        return bool(status["supervisor"]["present"])

    def _last_log_line(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1].removeprefix("speechaid: ") if lines else f"{self.log} is empty"


def die_with_parent() -> None:
    """In the child, before exec: have the kernel signal it when the demo dies in any way.

    SIGQUIT, not SIGTERM: the simulator dies at the same moment, so live calls would never be reported as
    ended.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
