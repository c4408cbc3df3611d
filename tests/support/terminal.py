"""An operator's terminal: speechctl's ``main`` with a whole daemon on its embedded database."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import published_uri
from speechaid.protocol.messages import COMMANDS
from speechctl.cli import main

Document = dict[str, Any]
DEADLINE_SECONDS = 120.0
#: In seconds of the simulator's clock, which runs ten times as fast as real time.
TALK_SECONDS = (40.0, 60.0)


class Terminal:
    """One daemon, and commands to it in this process."""

    def __init__(self, place: Path, simulator: SimulatorProcess, **changes: str) -> None:
        self.place = place
        self.simulator = simulator
        self.daemon = DaemonProcess(place, variables(place, simulator) | changes)
        self._client: MongoClient[Document] | None = None

    @property
    def database(self) -> Database[Document]:
        """The daemon's database, read and written directly."""
        if self._client is None:
            uri = published_uri(self.place / "database")
            self._client = MongoClient(uri, tz_aware=True, serverSelectionTimeoutMS=10_000)
        return self._client["speechai_db"]

    def type(self, *argv: str, status: int = 0) -> str:
        """Run a command line with the expected exit status; returns what it printed."""
        out, err = io.StringIO(), io.StringIO()
        # Some commands wait only a few seconds, too short for a machine that runs many tests.
        timeout = ["--timeout", "60s"] if _has_short_timeout(argv[0]) else []
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                actual = main([*argv, *timeout, "--socket", str(self.daemon.socket)])
            except SystemExit as exc:
                actual = exc.code if isinstance(exc.code, int) else 1
        assert actual == status, f"{argv}: exit {actual}: {err.getvalue()}{out.getvalue()}"
        return out.getvalue() + err.getvalue()

    def ask(self, *argv: str) -> Any:
        """Run a command with ``--json``; returns the answer."""
        return json.loads(self.type(*argv, "--json"))

    def refused(self, *argv: str, status: int = 1) -> str:
        """Run a command that must be refused; returns what it printed."""
        return self.type(*argv, status=status)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until the condition returns something true; returns that."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not true within {DEADLINE_SECONDS:g} s"
            time.sleep(0.05)
        return value

    def import_contacts(self, count: int, name: str, *options: str) -> str:
        """Import a new batch of ``count`` people with one phone each, used nowhere else; returns its id.

        They are called at once, unless the options say otherwise.
        """
        # The same file is not imported twice: of one area alone, every hundredth pair would be the same.
        area, first = secrets.randbelow(700) + 210, secrets.randbelow(10_000 - count)
        rows = [f"Persona {number},+1{area}555{first + number:04d}" for number in range(count)]
        file = self.place / f"{name}.csv"
        file.write_text("\n".join(["nombre,telefono", *rows, ""]))
        more = ["--accept", "unassigned,placeholder,service"]
        more += [] if "--paused" in options else ["--start"]
        more += [] if "--hours" in options else ["--hours", "00:00-24:00"]
        return str(self.ask("import", str(file), "--name", name, *options, *more)["batch_id"])

    def jobs(self, batch_id: str, status: str | None = None) -> list[Document]:
        """The batch's jobs as ``speechctl jobs`` lists them."""
        argv = ["jobs", "--batch", batch_id, "--limit", "500"]
        rows: list[Document] = self.ask(*argv, *(["--status", status] if status else []))["jobs"]
        return rows

    def a_live_call(self, batch_id: str) -> Document:
        """Wait for a job of the batch that is in a call; returns it as ``speechctl job`` does."""

        def job_in_call() -> Document | None:
            rows = self.jobs(batch_id, "in_progress")
            details = (self.ask("job", row["job_id"]) for row in rows)
            return next((job for job in details if (job["dial"] or {}).get("call_id")), None)

        job: Document = self.until(job_in_call)
        return job

    def close(self) -> None:
        """Stop the daemon; it hands its calls over."""
        if self._client is not None:
            self._client.close()
        self.daemon.stop(at_once=True)


def _has_short_timeout(command: str) -> bool:
    return command in COMMANDS and COMMANDS[command].timeout_seconds < 60


def variables(place: Path, simulator: SimulatorProcess) -> dict[str, str]:
    """Settings of a daemon with three workers, short polls and long leases."""
    return {
        "MONGO_URI": f"embedded:{place / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": "3",
        "LEASE_SECONDS": "30",
        "CALL_POLLING_INTERVAL": "0.5",
        "POLL_TIMEOUT_SECONDS": "60",
        "SPEECHAID_STATE_DIR": str(place / "state"),
    }


@contextlib.contextmanager
def open_terminal(
    *, talk_seconds: tuple[float, float] = TALK_SECONDS, start: bool = True, **changes: str
) -> Iterator[Terminal]:
    """A new daemon whose calls are all answered; its directory's name is short enough for a socket."""
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    place.mkdir(mode=0o700)
    with SimulatorProcess(speed=10.0, odds={"agent_hangup": 1}, talk_seconds=list(talk_seconds)) as simulator:
        terminal = Terminal(place, simulator, **changes)
        try:
            if start:
                terminal.daemon.start()
            yield terminal
        finally:
            terminal.close()
            shutil.rmtree(place)
