"""The demo's page and API: ``speechaid web`` as an operator would start it, beside the demo's daemon."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from speechaid.demo.daemon import INHERITED_VARIABLES, die_with_parent
from speechaid.errors import FleetError

START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 20.0


class WebProcess:
    """``speechaid web`` on a free port; a context manager."""

    def __init__(self, directory: Path, socket: Path) -> None:
        """Prepare it.

        Args:
            directory: its working directory, with its log; the database is in ``database`` below.
            socket: the daemon's control socket.
        """
        self.log = directory / "web.log"
        #: Where it serves: ``127.0.0.1:40123``.
        self.address = ""
        self._directory = directory
        self._variables = {
            "MONGO_URI": f"embedded:{directory / 'database'}",
            "SPEECHAID_SOCKET": str(socket),
            "SPEECHAID_WEB_ADDRESS": "127.0.0.1:0",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it serves.

        Raises:
            FleetError: it exited, or did not serve in time.
        """
        kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "speechaid", "web"),
                cwd=self._directory,
                env=kept | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
            )
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r"web\.started address=(\S+)", self._read_log())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise FleetError(f"the page did not start; its log is {self.log}")
            time.sleep(0.1)
        self.address = found[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stop()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()

    def _read_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")
