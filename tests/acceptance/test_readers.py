"""Hostile and large files at a whole daemon: what stops calls goes on meanwhile, and no process is left."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from speechaid.protocol.client import Client, Refused, Unreachable
from tests.support.terminal import Terminal, open_terminal

Document = dict[str, Any]
ROWS = 30_000


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with open_terminal(talk_seconds=(6_000, 9_000), SPEECHAID_LOG_FORMAT="json") as opened:
        yield opened


def workbook(rows: int, **cells: str) -> bytes:
    """A workbook of so many contacts, with further cells at these places."""
    data = io.BytesIO()
    with xlsxwriter.Workbook(data, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for row, (name, phone) in enumerate([("nombre", "telefono"), *map(contact, range(rows))]):
            sheet.write_string(row, 0, name)
            sheet.write_string(row, 1, phone)
        for place, text in cells.items():
            sheet.write_string(place, text)
    return data.getvalue()


def contact(number: int) -> tuple[str, str]:
    return f"Persona {number}", f"+569{61_000_000 + number}"


def csv_of(rows: int) -> bytes:
    return "\n".join(["nombre,telefono", *(",".join(contact(number)) for number in range(rows))]).encode()


def readers(terminal: Terminal) -> list[int]:
    """The reader processes of the daemon, also those that have ended and are not reaped."""
    supervisor = terminal.ask("status")["supervisor"]["pid"]
    found: list[int] = []
    for task in Path(f"/proc/{supervisor}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split() if is_reader(pid)]
    return found


def is_reader(pid: str) -> bool:
    try:
        return b"reader [file]" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


class Import:
    """An import in a thread of its own: its progress messages, and how it ended."""

    def __init__(self, terminal: Terminal, command: str, file: bytes, filename: str, **args: Any) -> None:
        self.progress: list[Mapping[str, Any]] = []
        self.result: Document | None = None
        self.refusal: str | None = None
        self._args = (terminal, command, file, {"filename": filename, **args})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether there is an answer."""
        return not self._thread.is_alive()

    @property
    def is_reading(self) -> bool:
        """Whether its file is being read."""
        return any(each["state"] == "reading" for each in self.progress)

    def wait(self) -> None:
        """Wait for the answer."""
        self._thread.join(300)
        assert self.is_over, "no answer"

    def _run(self) -> None:
        terminal, command, file, args = self._args
        try:
            with Client(terminal.daemon.socket) as client:
                self.result = client.ask(
                    command, args, attachment=file, timeout_seconds=300, on_progress=self.progress.append
                )
        except (Refused, Unreachable) as exc:  # the daemon may be stopped meanwhile
            self.refusal = str(exc)


def is_stopped_meanwhile(terminal: Terminal, work: Import) -> bool:
    """Hold, look and lift the hold, all while the work goes on; whether it still does."""
    terminal.until(lambda: work.is_reading or work.is_over)
    assert terminal.ask("hold", "--reason", "complaints")["held"] is True
    assert terminal.ask("status")["supervisor"]["held"] is True
    went_on = not work.is_over
    terminal.type("unhold")
    return went_on


def test_a_workbook_with_one_far_cell_is_one_sentence(terminal: Terminal) -> None:
    work = Import(terminal, "import", workbook(1, XFD1048576="x"), "far.xlsx", name="far")
    work.wait()
    assert work.refusal is not None
    assert "at most 20,000,000 are read; delete what stands far from the table" in work.refusal
    assert_unharmed(terminal)


@pytest.mark.parametrize("command", ["import", "dnc-import"])
@pytest.mark.parametrize("unit", [" ", "1 ", "\t", "+1(", "31/12/"])
def test_long_cells_are_read_in_a_moment(terminal: Terminal, command: str, unit: str) -> None:
    cell = (unit * 9_990)[:9_990]
    rows = [f'Ana,+56955550001,"a{cell}b","{cell}","{cell}9"' for _ in range(20)]
    file = "\n".join(["nombre,telefono,monto,vencimiento,rut", *rows]).encode()
    args = {"name": "long", "dry_run": True} if command == "import" else {"dry_run": True}
    work = Import(terminal, command, file, "long.csv", **args)
    is_stopped_meanwhile(terminal, work)
    work.wait()
    assert work.result is not None
    assert_unharmed(terminal)


@pytest.mark.parametrize(("command", "filename"), [("import", "large.xlsx"), ("dnc-import", "large.csv")])
def test_what_stops_calls_does_not_wait_for_a_large_file(
    terminal: Terminal, command: str, filename: str
) -> None:
    file = workbook(ROWS) if filename.endswith("xlsx") else csv_of(ROWS)
    args = {"name": "large", "dry_run": True} if command == "import" else {"dry_run": True}
    work = Import(terminal, command, file, filename, **args)
    assert is_stopped_meanwhile(terminal, work)
    work.wait()
    assert work.result is not None
    assert work.result["good_rows" if command == "import" else "numbers"] == ROWS
    terminal.until(lambda: readers(terminal) == [])
    assert_unharmed(terminal)


def test_a_reader_that_is_killed_is_one_sentence_and_one_line_of_the_log(terminal: Terminal) -> None:
    work = Import(terminal, "import", csv_of(ROWS), "killed.csv", name="killed")
    (pid,) = terminal.until(lambda: readers(terminal) if work.is_reading else None)
    os.kill(pid, signal.SIGKILL)
    work.wait()
    assert work.refusal is not None
    assert "the process that read killed.csv (text of 0.8 MB) was killed" in work.refusal
    lines = map(json.loads, terminal.daemon.log.read_text().splitlines())
    (line,) = (line for line in lines if line["event"] == "reader.failed")
    assert (line["cause"], line["task"], line["pid"]) == ("killed", "contacts", pid)
    assert terminal.ask("batches")["batches"] == [], "nothing was imported"
    assert_unharmed(terminal)


def test_a_stop_of_the_daemon_ends_its_readers() -> None:
    with open_terminal() as terminal:
        work = Import(terminal, "import", csv_of(ROWS), "stopped.csv", name="stopped")
        (pid,) = terminal.until(lambda: readers(terminal) if work.is_reading else None)
        assert terminal.daemon.stop() == 0
        assert not Path(f"/proc/{pid}").exists()


def assert_unharmed(terminal: Terminal) -> None:
    """No worker was killed, and no process is left."""
    status = terminal.ask("status")
    assert status["supervisor"]["restarts"] == 0
    assert readers(terminal) == []
