"""What clients of the HTTP API cost: ``python -m benchmarks.web_clients``.

A daemon on its embedded database calls the people of a batch of 5,000 jobs through the simulator, in turns
without and with 50 HTTP clients at once: most poll the batch, some list batches and jobs. In each turn calls
are counted that the simulator placed, and ``hold`` and ``unhold`` are given again and again. The figures are
ratios of turns of one run: both suffer alike from whatever else the machine does. The daemon has its own
embedded database, whatever ``--server`` says.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from typing import Any

import httpx

from benchmarks import common
from benchmarks.common import percentile
from speechaid.embedded.database import published_uri
from speechaid.model.identity import Role
from speechaid.protocol.client import Client
from speechaid.settings import get_web_settings
from speechaid.store.connection import connect
from tests.support.terminal import Terminal, open_terminal, variables
from tests.support.web import WebProcess, make_token

JOBS = 5_000
CLIENTS = 50
WORKERS = 10
#: Turns of each kind, and the seconds of each.
TURNS = 4
TURN_SECONDS = 20.0
#: Seconds between two requests of a client.
POLL_SECONDS = 1.0
HOLD_ROUNDS = 10
#: Clients of one process.
CLIENTS_TOGETHER = 10

_SPAWN = multiprocessing.get_context("spawn")


class WeighedWebProcess(WebProcess):
    """With the share of the processors that its unit gives it (``CPUWeight=20``), beside a daemon's 100."""

    command = ("nice", "-n", "7", *WebProcess.command)


def poll(address: str, token: str, paths: list[str], stop: Event, answers: Any) -> None:
    """Be a client for each path, which it asks for again and again; at the end, what they were answered."""
    os.nice(19)  # they are elsewhere: what they cost is not the daemon's
    statuses: Counter[int] = Counter()
    times: list[float] = []

    def client(path: str) -> None:
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            while not stop.is_set():
                began = time.monotonic()
                status = http.get(path).status_code
                times.append(time.monotonic() - began)
                statuses[status] += 1
                stop.wait(POLL_SECONDS)

    threads = [threading.Thread(target=client, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put((dict(statuses), times))


def turn(terminal: Terminal, seconds: float) -> tuple[float, dict[str, list[float]]]:
    """Calls a second, and the milliseconds of each ``hold`` and ``unhold``."""
    placed, began = len(terminal.simulator.placed_calls()), time.monotonic()
    time.sleep(seconds)
    rate = (len(terminal.simulator.placed_calls()) - placed) / (time.monotonic() - began)
    times: dict[str, list[float]] = {"hold": [], "unhold": []}
    with Client(terminal.daemon.socket) as client:
        for _ in range(HOLD_ROUNDS):
            for command, took in times.items():
                at = time.monotonic()
                client.ask(command, {}, timeout_seconds=60)
                took.append((time.monotonic() - at) * 1000)
    return rate, times


class Clients:
    """Processes of clients, from ``start`` to ``stop``; sums what they were answered."""

    def __init__(self, address: str, token: str, batch: str) -> None:
        self._place = (address, token)
        status = f"/api/v1/batches/{batch}/status"
        self._paths = [status] * (CLIENTS_TOGETHER - 2) + ["/api/v1/batches", "/api/v1/jobs?limit=50"]
        self._stop = _SPAWN.Event()
        self._answers = _SPAWN.Queue()
        self._processes: list[Any] = []
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []

    def start(self, count: int) -> None:
        """Start so many clients, ten to a process."""
        self._stop.clear()
        args = (*self._place, self._paths, self._stop, self._answers)
        self._processes = [_SPAWN.Process(target=poll, args=args) for _ in range(count // CLIENTS_TOGETHER)]
        for process in self._processes:
            process.start()

    def stop(self) -> None:
        """Stop them."""
        self._stop.set()
        for process in self._processes:
            counted, took = self._answers.get()
            self.statuses.update(counted)
            self.seconds += took
            process.join()
        self._processes = []


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument(
        "--clients", type=int, default=CLIENTS, help="a multiple of 10 (default: %(default)s)"
    )
    options = parser.parse_args()
    jobs, turns, seconds = (400, 1, 5.0) if options.quick else (JOBS, TURNS, TURN_SECONDS)
    report = common.Report(
        "web_clients",
        options,
        jobs=jobs,
        workers=WORKERS,
        clients=options.clients,
        turns=turns,
        seconds=seconds,
        database="embedded",
    )
    #: Without clients, and beside them.
    found: dict[bool, list[tuple[float, dict[str, list[float]]]]] = {False: [], True: []}
    with open_terminal(
        talk_seconds=(3.0, 6.0),
        WORKER_COUNT=str(WORKERS),
        SPEECHAID_DEFAULT_ALLOWED_HOURS="00:00-24:00",
    ) as terminal:
        own = {
            name: value
            for name, value in variables(terminal.place, terminal.simulator).items()
            if not name.startswith("RETELL")
        } | {"SPEECHAID_SOCKET": str(terminal.daemon.socket), "SPEECHAID_WEB_REQUESTS_PER_CLIENT": "64"}
        database = get_web_settings({**own, "HOME": "/nonexistent"}, None).database
        store = connect(database, uri=published_uri(terminal.place / "database"))
        token = make_token(store, "bench", Role.MANAGER)
        store.close()
        batch = terminal.import_contacts(jobs, "bench")
        web = WeighedWebProcess(terminal.place, own)
        web.start()
        try:
            clients = Clients(web.address, token, batch)
            for number in range(2 * turns):
                beside = number % 2 == 1
                clients.start(options.clients if beside else 0)
                time.sleep(3)
                found[beside].append(turn(terminal, seconds))
                clients.stop()
        finally:
            web.stop()
        left = int(terminal.ask("batch", batch)["jobs"].get("pending", 0))
    show(report, found, clients)
    if not left:
        report.note("The people ran out: the last turns had nobody to call.")
    report.write()


def show(
    report: common.Report, found: dict[bool, list[tuple[float, dict[str, list[float]]]]], clients: Clients
) -> None:
    """Print the figures."""
    rates = {kind: sum(rate for rate, _ in turns) / len(turns) for kind, turns in found.items()}
    rows: list[list[object]] = [["calls a second", *rates.values(), rates[True] / rates[False]]]
    for name in ("hold", "unhold"):
        for share in (0.5, 0.9):
            figures = [
                percentile([value for _, took in found[kind] for value in took[name]], share)
                for kind in (False, True)
            ]
            rows.append([f"{name}, {share:.0%} within, ms", *figures, figures[1] / figures[0]])
    report.table("Without clients and beside them", ["", "without", "beside", "ratio"], rows)
    answers = [[str(status), count] for status, count in sorted(clients.statuses.items())]
    report.table("Answers", ["status", "count"], answers)
    milliseconds = [[f"{share:.0%}", percentile(clients.seconds, share) * 1000] for share in (0.5, 0.9, 0.99)]
    report.table("An answer took at most", ["share", "ms"], milliseconds)


if __name__ == "__main__":
    main()
