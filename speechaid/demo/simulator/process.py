"""The simulator as a child process, with its control endpoints as methods, for tests and the demo."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from speechaid.demo.simulator.server import GREETING, KEY_VARIABLE
from speechaid.errors import SpeechaidError

Document = dict[str, Any]
#: Generous, for a busy machine.
START_SECONDS: Final = 30.0
#: It waits a second for running requests, then exits; generous, for a busy machine.
STOP_SECONDS: Final = 30.0


class SimulatorError(SpeechaidError):
    """The simulator could not be started, or refused a control request."""


class SimulatorProcess:
    """A private simulator on a free loopback port; a context manager that starts and stops it.

    ``settings`` are fields of ``simulator.settings.Settings``, as in ``SimulatorProcess(speed=50, seed=7)``.
    The child exits by itself when this process dies.
    """

    def __init__(
        self, *, api_key: str = "key_simulated", placed_calls_file: Path | None = None, **settings: Any
    ) -> None:
        self.api_key = api_key
        self.placed_calls_file = placed_calls_file
        self.base_url = ""
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        # Loopback requests must not use a proxy from the environment.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def start(self, port: int = 0) -> None:
        """Start the child and wait until it listens.

        Raises:
            SimulatorError: it did not start.
        """
        command = [sys.executable, "-m", "speechaid.demo.simulator", f"--port={port}", "--exit-with-parent"]
        command.append(f"--settings={json.dumps(self._settings)}")
        if self.placed_calls_file is not None:
            command.append(f"--ledger={self.placed_calls_file}")
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, KEY_VARIABLE: self.api_key},
            # Ctrl-C must reach only the parent: until the parent stops us, we must report how calls ended.
            start_new_session=True,
        )
        line = self._first_line(self._process)
        if not line.startswith(GREETING):
            self.stop()
            raise SimulatorError("the simulator did not start; see its message on standard error")
        self.base_url = line.removeprefix(GREETING).strip()

    @staticmethod
    def _first_line(process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        deadline, text = time.monotonic() + START_SECONDS, b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                break
            text += piece
        return text.decode()

    def stop(self) -> int | None:
        """SIGTERM, after a while SIGKILL; returns its exit status."""
        return self._end("terminate")

    def kill(self) -> int | None:
        """SIGKILL; ``start`` continues with the calls of the same file."""
        return self._end("kill")

    def _end(self, method: str) -> int | None:
        process = self._process
        if process is None:
            return None
        getattr(process, method)()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process = None
        return process.returncode

    @property
    def pid(self) -> int:
        """The child's process id.

        Raises:
            SimulatorError: it is not running.
        """
        if self._process is None:
            raise SimulatorError("the simulator is not running")
        return self._process.pid

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.base_url.rsplit(":", 1)[1])

    def health(self) -> Document:
        """``{status, now, calls, live}``."""
        return self._ask("GET", "health")

    def settings(self) -> Document:
        """All settings; keys as fingerprints."""
        return self._ask("GET", "settings")

    def change(self, **settings: Any) -> Document:
        """Change settings; returns all of them."""
        return self._ask("POST", "settings", settings)

    def script(self, outcomes: dict[str, list[Any]]) -> None:
        """Set the outcomes of numbers (``*``: all others), one per call; the last one repeats."""
        self._ask("POST", "script", outcomes)

    def clear_script(self) -> None:
        """Draw every outcome by the odds again."""
        self._ask("DELETE", "script")

    def fault(self, kind: str, **fields: Any) -> str:
        """Switch a fault on; ``fields`` as in ``simulator.faults.Fault``. Returns its id."""
        return str(self._ask("POST", "faults", {"kind": kind, **fields})["id"])

    def faults(self) -> list[Document]:
        """The active faults, with ``matched`` and ``hits``."""
        return list(self._ask("GET", "faults")["faults"])

    def clear_faults(self, fault_id: str | None = None) -> None:
        """Switch one fault off, or all."""
        self._ask("DELETE", "faults" if fault_id is None else f"faults/{fault_id}")

    def advance(self, seconds: float) -> None:
        """Set the simulator's clock forward: calls proceed, idempotency keys expire."""
        self._ask("POST", "clock", {"advance_seconds": seconds})

    def placed_calls(self) -> list[Document]:
        """Every placed call, in order."""
        return list(self._ask("GET", "placed-calls")["calls"])

    def overlaps(self) -> list[Document]:
        """Pairs of overlapping calls to one number."""
        return list(self._ask("GET", "overlaps")["overlaps"])

    def requests(self) -> Document:
        """``{counts: {endpoint: {result: n}}, creates: [{at, result, body}]}``."""
        return self._ask("GET", "requests")

    def clear_requests(self) -> None:
        """Reset the request counts."""
        self._ask("DELETE", "requests")

    def _ask(self, method: str, path: str, body: object = None) -> Document:
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.base_url}/_simulator/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with self._opener.open(request, timeout=START_SECONDS) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as exc:
            with exc:
                message = json.load(exc).get("message", exc.reason)
            raise SimulatorError(f"{method} {path}: {message}") from exc
        except OSError as exc:
            raise SimulatorError(f"{method} {path}: {exc}") from exc
