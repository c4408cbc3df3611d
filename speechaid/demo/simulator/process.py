"""The simulator as a child process with its control endpoints as methods, for tests and the demo."""

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
#: A start on a busy machine may take its time.
START_SECONDS: Final = 30.0
#: It gives requests a second to end, and leaves; on a busy machine that takes its time.
STOP_SECONDS: Final = 30.0


class SimulatorError(SpeechaidError):
    """The simulator could not be started, or refused a control request."""


class SimulatorProcess:
    """A simulator of one's own on a free loopback port; a context manager that starts and stops it.

    ``settings`` are fields of ``simulator.settings.Settings``, as in ``SimulatorProcess(speed=50, seed=7)``.
    The child leaves by itself when this process dies.
    """

    def __init__(
        self, *, api_key: str = "key_simulated", ledger_file: Path | None = None, **settings: Any
    ) -> None:
        self.api_key = api_key
        self.ledger_file = ledger_file
        self.base_url = ""
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        # Loopback must never go through a proxy that the environment names.
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
            SimulatorError: it did not come up.
        """
        command = [sys.executable, "-m", "speechaid.demo.simulator", f"--port={port}", "--exit-with-parent"]
        command.append(f"--settings={json.dumps(self._settings)}")
        if self.ledger_file is not None:
            command.append(f"--ledger={self.ledger_file}")
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, KEY_VARIABLE: self.api_key},
            # A Ctrl-C in the terminal is for the parent: calls must be told to have ended until it stops us.
            start_new_session=True,
        )
        line = self._first_line(self._process)
        if not line.startswith(GREETING):
            self.stop()
            raise SimulatorError("the simulator did not start; its own message is on standard error")
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
        """Ask it to leave, insist after a while; returns its exit status."""
        return self._end("terminate")

    def kill(self) -> int | None:
        """SIGKILL; ``start`` on the same ledger file goes on with its calls."""
        return self._end("kill")

    def _end(self, manner: str) -> int | None:
        process = self._process
        if process is None:
            return None
        getattr(process, manner)()
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
        """Where it listens."""
        return int(self.base_url.rsplit(":", 1)[1])

    def health(self) -> Document:
        """``{status, now, calls, live}``."""
        return self._ask("GET", "health")

    def settings(self) -> Document:
        """All settings; keys as fingerprints."""
        return self._ask("GET", "settings")

    def change(self, **settings: Any) -> Document:
        """Turn settings; returns all of them."""
        return self._ask("POST", "settings", settings)

    def script(self, outcomes: dict[str, list[Any]]) -> None:
        """Set the outcomes of numbers (``*``: of every other one), one a call, the last for ever after."""
        self._ask("POST", "script", outcomes)

    def clear_script(self) -> None:
        """Every number draws by the odds again."""
        self._ask("DELETE", "script")

    def fault(self, kind: str, **fields: Any) -> str:
        """Switch a fault on; ``fields`` as in ``simulator.faults.Fault``. Returns its id."""
        return str(self._ask("POST", "faults", {"kind": kind, **fields})["id"])

    def faults(self) -> list[Document]:
        """The faults that are on, with ``matched`` and ``hits``."""
        return list(self._ask("GET", "faults")["faults"])

    def clear_faults(self, fault_id: str | None = None) -> None:
        """Switch one fault off, or all."""
        self._ask("DELETE", "faults" if fault_id is None else f"faults/{fault_id}")

    def advance(self, seconds: float) -> None:
        """Set the simulator's clock forward: calls go on, keys grow old."""
        self._ask("POST", "clock", {"advance_seconds": seconds})

    def ledger(self) -> list[Document]:
        """Every call truly placed, in order."""
        return list(self._ask("GET", "ledger")["calls"])

    def overlaps(self) -> list[Document]:
        """Pairs of calls to one number that overlapped in time."""
        return list(self._ask("GET", "overlaps")["overlaps"])

    def requests(self) -> Document:
        """``{counts: {endpoint: {result: n}}, creates: [{at, result, body}]}``."""
        return self._ask("GET", "requests")

    def clear_requests(self) -> None:
        """Count from zero."""
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
