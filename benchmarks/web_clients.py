"""What clients of the HTTP API cost: ``python -m benchmarks.web_clients``.

A daemon on its embedded database calls the people of a batch of 5,000 jobs through the simulator, in turns
without and with 50 HTTP clients at once: most poll the batch, some list batches and jobs. In each turn calls
are counted that the simulator placed, and ``hold`` and ``unhold`` are given again and again. The figures are
ratios of turns of one run: both suffer alike from whatever else the machine does.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from typing import Any

import httpx

from benchmarks.common import percentile
from speechaid.embedded.database import published_uri
from speechaid.model.identity import Role
from speechaid.protocol.client import Client
from speechaid.settings import get_web_settings
from speechaid.store.connection import connect
from tests.support.terminal import Terminal, open_terminal, variables
from tests.support.web import make_token, running_web

JOBS = 5_000
CLIENTS = 50
WORKERS = 10
#: Turns of each kind, and the seconds of each.
TURNS = 4
TURN_SECONDS = 20.0
#: Seconds between two requests of a client.
POLL_SECONDS = 1.0
HOLD_ROUNDS = 10

_SPAWN = multiprocessing.get_context("spawn")


def poll(address: str, token: str, paths: list[str], stop: Event, answers: Any) -> None:
    """Be ten clients: each asks for a path again and again; at the end, what they were answered."""
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


def turn(terminal: Terminal) -> tuple[float, dict[str, list[float]]]:
    """Calls a second, and the milliseconds of each ``hold`` and ``unhold``."""
    placed, began = len(terminal.simulator.placed_calls()), time.monotonic()
    time.sleep(TURN_SECONDS)
    rate = (len(terminal.simulator.placed_calls()) - placed) / (time.monotonic() - began)
    times: dict[str, list[float]] = {"hold": [], "unhold": []}
    with Client(terminal.daemon.socket) as client:
        for _ in range(HOLD_ROUNDS):
            for command, took in times.items():
                at = time.monotonic()
                client.ask(command, {}, timeout_seconds=60)
                took.append((time.monotonic() - at) * 1000)
    return rate, times


def main() -> None:
    """Measure and print."""
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
        batch = terminal.import_contacts(JOBS, "bench")
        with running_web(terminal.place, own) as web:
            found: dict[bool, list[tuple[float, dict[str, list[float]]]]] = {False: [], True: []}
            statuses: Counter[int] = Counter()
            times: list[float] = []
            for number in range(2 * TURNS):
                beside = number % 2 == 1
                stop, answers = _SPAWN.Event(), _SPAWN.Queue()
                paths = [f"/api/v1/batches/{batch}/status"] * 8 + ["/api/v1/batches", "/api/v1/jobs?limit=50"]
                args = (web.address, token, paths, stop, answers)
                clients = [
                    _SPAWN.Process(target=poll, args=args) for _ in range(CLIENTS // 10 if beside else 0)
                ]
                for process in clients:
                    process.start()
                time.sleep(3 if beside else 0)
                found[beside].append(turn(terminal))
                stop.set()
                for process in clients:
                    counted, took = answers.get()
                    statuses.update(counted)
                    times += took
                    process.join()
        store.close()
    rates = {kind: sum(one[0] for one in turns) / len(turns) for kind, turns in found.items()}
    print(f"{JOBS} jobs, {WORKERS} workers, {CLIENTS} clients, {TURNS} turns of {TURN_SECONDS:g} s each way")
    print(
        f"calls a second: {rates[False]:.2f} without, {rates[True]:.2f} with clients"
        f" (ratio {rates[True] / rates[False]:.2f})"
    )
    for name in ("hold", "unhold"):
        alone = [value for _, took in found[False] for value in took[name]]
        beside_all = [value for _, took in found[True] for value in took[name]]
        for share in (0.5, 0.9):
            without, with_clients = percentile(alone, share), percentile(beside_all, share)
            print(f"{name}: {share:.0%} within {without:.0f} ms without, {with_clients:.0f} ms with clients")
    print(
        f"answers by status: {dict(statuses)}; median {percentile(times, 0.5) * 1000:.0f} ms,"
        f" 99th percentile {percentile(times, 0.99) * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main()
