"""How soon an emergency stop is in force: ``python -m benchmarks.emergency``.

For hold, pause-batch and status, at rest and beside what might delay them: thousands of reads of a read-only
key over TCP, reports, 1,500 of them at once, an import of 100,000 rows, hostile files, a slow database, and
clients that send messages of very many frames. *In force* is the
time until the daemon acknowledges the command: from then on no worker of the host places a call that it
forbids. *Answered* is the time until the database has it and no dial is on its way. The goals: in force
within 250 ms for 99 of 100 requests, answered within 250 ms beyond two durable writes of the database as it
is then (a write of this program is timed before each round), and no worker killed. The daemon has its own
embedded database, since that is slowed down by stopping it (SIGSTOP) for most of the time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import socket as sockets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xlsxwriter
import zmq
from pymongo import WriteConcern

from benchmarks import common
from benchmarks.common import percentile
from speechaid.embedded.files import read_address
from speechaid.protocol.client import Client, Refused
from speechaid.protocol.keys import credentials
from tests.support.terminal import Terminal, open_terminal

WORKERS = 10
ROUNDS = 200
GOAL_MS = 250.0
#: Reads that the client keeps under way, and frames of a hostile message.
READS = 4_000
FRAMES = 200_000
#: Reports that are kept under way, by so many clients.
REPORTS, REPORT_CLIENTS = 1_500, 10
#: Contacts of the imported file.
ROWS = 100_000
#: Jobs that a report counts.
JOBS = 5_000
#: The slow database runs for the second of these times, in seconds, after it was stopped for the first.
STOPPED_SECONDS, RUNNING_SECONDS = 0.09, 0.01

_SPAWN = multiprocessing.get_context("spawn")


# -- what might delay a stop, each in a process of its own --------------------------------------------------


def read_much(address: str, key_file: str) -> None:
    """Keep reads of a read-only key under way."""
    dealer = _connect(address, key_file)
    waiting = number = 0
    while True:
        while waiting < READS:
            dealer.send(_request(f"r{number}", "report" if number % 2 else "batches"))
            number, waiting = number + 1, waiting + 1
        if "progress" not in json.loads(dealer.recv()):
            waiting -= 1


def report_again(path: str) -> None:
    """Ask for one report after the other."""
    with Client(Path(path)) as client:
        while True:
            client.ask("report", {}, timeout_seconds=600)


def import_again(path: str, file: str) -> None:
    """Read a file of contacts, and import it, again and again."""
    data = Path(file).read_bytes()
    number = 0
    with Client(Path(path)) as client:
        while True:
            number += 1
            args = {"filename": Path(file).name, "name": f"n{number}", "duplicates": "keep", "paused": True}
            with contextlib.suppress(Refused):
                client.ask("import", args, attachment=data, timeout_seconds=3600)


def ask_reports(path: str) -> None:
    """Keep reports of several clients under way, as many as the daemon takes."""
    dealers = [_connect(f"ipc://{path}") for _ in range(REPORT_CLIENTS)]
    for number, dealer in itertools.product(range(REPORTS // REPORT_CLIENTS), dealers):
        dealer.send(_request(f"r{number}", "report"))
    number = REPORTS
    while True:
        for dealer in dealers:
            while dealer.poll(1):
                if "progress" not in json.loads(dealer.recv()):
                    number += 1
                    dealer.send(_request(f"r{number}", "report"))


def slow_down(pid: int) -> None:
    """Let a process run for a tenth of the time."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        os.kill(pid, signal.SIGCONT)
        time.sleep(RUNNING_SECONDS)


def send_frames(path: str, address: str, key_file: str) -> None:
    """Send messages of very many frames, to the unix socket and, with a read-only key, to TCP."""
    while True:
        for dealer in (_connect(f"ipc://{path}"), _connect(address, key_file)):
            for _ in range(FRAMES):
                dealer.send(b"", zmq.SNDMORE)
            dealer.send(b"")
            dealer.poll(500)
            dealer.close(linger=0)


def write_contacts(place: Path, count: int) -> str:
    """A file of so many contacts with twelve columns; its path."""
    titles = (
        "nombre,rut,telefono,telefono2,monto,vencimiento,empresa,referencia,cartera,comuna,ejecutivo,nota"
    )
    lines = (
        f"Persona {number},{number},+569{61_000_000 + number},+569{71_000_000 + number},{1000 + number},"
        f"31/12/2026,Empresa SA,R{number},norte,Santiago,Ana,nada"
        for number in range(count)
    )
    file = place / "large.csv"
    file.write_text("\n".join([titles, *lines]))
    return str(file)


def write_hostile(place: Path) -> str:
    """A workbook whose used range is as large as is read, and too large for the memory; its path."""
    file = place / "hostile.xlsx"
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for name, text in {
            "A1": "telefono",
            "A2": "+56961000000",
            "B2": " " * 9_990,
            "T1000000": "x",
        }.items():
            sheet.write_string(name, text)
    return str(file)


def _connect(address: str, key_file: str | None = None) -> zmq.Socket[bytes]:
    dealer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    if key_file is not None:
        keys = credentials(Path(key_file))
        dealer.curve_publickey = keys.pair.public.encode()
        dealer.curve_secretkey = keys.pair.secret.encode()
        dealer.curve_serverkey = keys.server.encode()
    dealer.connect(address)
    return dealer


def _request(request_id: str, command: str, **args: Any) -> bytes:
    return json.dumps({"v": 1, "id": request_id, "command": command, "args": args}).encode()


# -- measuring ---------------------------------------------------------------------------------------------


class Operator:
    """One client; measures until the first message of the daemon and until the last."""

    def __init__(self, path: Path) -> None:
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.linger = 0
        self._dealer.connect(f"ipc://{path}")
        self._number = 0

    def measure(self, command: str, **args: Any) -> tuple[float, float]:
        """Milliseconds until the command is in force, and until it is answered."""
        self._number += 1
        began = time.perf_counter()
        self._dealer.send(_request(f"m{self._number}", command, **args))
        in_force: float | None = None
        while True:
            if not self._dealer.poll(120_000):
                raise SystemExit(f"{command}: no answer")
            reply = json.loads(self._dealer.recv())
            elapsed = (time.perf_counter() - began) * 1000
            in_force = elapsed if in_force is None else in_force
            if "progress" not in reply:
                if not reply["ok"] and reply["error"]["code"] not in {"unavailable", "timeout"}:
                    raise SystemExit(f"{command}: {reply['error']}")
                return in_force, elapsed

    def close(self) -> None:
        """Disconnect."""
        self._dealer.close(linger=0)
        self._context.term()


@contextlib.contextmanager
def beside(work: Callable[..., None] | None, *arguments: object) -> Iterator[None]:
    """Run work in a process of its own meanwhile."""
    if work is None:
        yield
        return
    process = _SPAWN.Process(target=work, args=arguments, daemon=True)
    process.start()
    time.sleep(2.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


def killed(terminal: Terminal) -> int:
    """Workers that ended without an order."""
    with Client(terminal.daemon.socket) as client:
        return int(client.ask("status", {}, timeout_seconds=60)["supervisor"]["restarts"])


def durable_write(terminal: Terminal) -> float:
    """Milliseconds of a write that is in the database's journal."""
    probe = terminal.database.get_collection("probe", write_concern=WriteConcern(w="majority", j=True))
    began = time.perf_counter()
    probe.update_one({"_id": "emergency"}, {"$inc": {"written": 1}}, upsert=True)
    return (time.perf_counter() - began) * 1000


def rows_of(terminal: Terminal, batch_id: str, rounds: int) -> list[list[object]]:
    """The figures of one state."""
    before = killed(terminal)
    writes: list[float] = []
    operator = Operator(terminal.daemon.socket)
    found: dict[str, list[tuple[float, float]]] = {"hold": [], "pause-batch": [], "status": []}
    for _ in range(rounds):
        writes.append(durable_write(terminal))
        # Again and again: a repeated hold is written and waited for like the first. What ends it is not
        # urgent, and would wait behind what goes on beside.
        found["hold"].append(operator.measure("hold"))
        found["pause-batch"].append(operator.measure("pause-batch", batch=batch_id))
        found["status"].append(operator.measure("status"))
    operator.close()
    lost = killed(terminal) - before
    rows: list[list[object]] = []
    for command, measured in found.items():
        in_force, answered = [one[0] for one in measured], [one[1] for one in measured]
        rows.append(
            [
                command,
                percentile(in_force, 0.5),
                percentile(in_force, 0.99),
                max(in_force),
                percentile(answered, 0.5),
                percentile(answered, 0.99),
                percentile(answered, 0.99) - 2 * percentile(writes, 0.99),
                lost,
            ]
        )
    return rows


def main() -> None:
    options = common.parser(__doc__).parse_args()
    report = common.Report("emergency", options, workers=WORKERS, database="embedded, the daemon's own")
    rounds = 20 if options.quick else ROUNDS
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with open_terminal(
        talk_seconds=(6_000, 9_000), start=False, WORKER_COUNT=str(WORKERS), SPEECHAID_CONTROL_TCP=address
    ) as terminal:
        directory, key_file = terminal.place / "state" / "keys", str(terminal.place / "reader.key")
        terminal.type("keys", "server", "--dir", str(directory))
        words = ["keys", "add", "reader", "--access", "read", "--dir", str(directory)]
        terminal.type(*words, "--out", key_file)
        terminal.daemon.start()
        terminal.a_live_call(terminal.import_contacts(WORKERS, "called"))
        batch_id = terminal.import_contacts(JOBS, "waits", "--paused")
        database = read_address(terminal.place / "database")
        assert database is not None
        path = str(terminal.daemon.socket)
        contacts = ROWS // 10 if options.quick else ROWS
        states: list[tuple[str, Callable[..., None] | None, tuple[object, ...]]] = [
            ("at rest", None, ()),
            (f"{READS} reads of a key", read_much, (address, key_file)),
            ("reports", report_again, (path,)),
            (f"{REPORTS:,} reports at once", ask_reports, (path,)),
            (f"import of {contacts:,} rows", import_again, (path, write_contacts(terminal.place, contacts))),
            ("hostile files", import_again, (path, write_hostile(terminal.place))),
            ("hostile frames", send_frames, (path, address, key_file)),
            ("slow database", slow_down, (database.pid,)),
        ]
        columns = [
            "ms",
            "in force, median",
            "p99",
            "max",
            "answered, median",
            "p99",
            "beyond two writes",
            "workers lost",
        ]
        for name, work, arguments in states:
            with beside(work, *arguments):
                slow = name == "slow database"
                rows = rows_of(terminal, batch_id, rounds // 2 if slow else rounds)
            os.kill(database.pid, signal.SIGCONT)
            report.table(name, columns, rows)
    report.note(
        f"goals: in force within {GOAL_MS:g} ms at the 99th percentile, answered within "
        f"{GOAL_MS:g} ms beyond two durable writes, no worker lost"
    )
    report.write()


if __name__ == "__main__":
    main()
