"""What a scrape costs with 200 workers, and whether the supervisor grows: ``python -m benchmarks.scrape``.

First a whole daemon whose workers all follow long calls is scraped again and again: with the database up,
with the connection to it cut, and by several Prometheus servers at once. Then a supervisor gets the reports
of 200 workers in two hours, a call a minute each: beats, counts, idempotent counts and events, through the
real channels, from processes that do nothing else, as fast as it takes them; its memory is read meanwhile,
while it is being scraped.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import secrets
import select
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import common
from benchmarks.processes import memory_mib, until
from benchmarks.servers import Server
from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.errors import ExitStatus
from speechaid.fleet.messages import WorkerIdentity
from speechaid.fleet.supervisor_link import SupervisorLink
from speechaid.model.states import WorkerState
from speechaid.settings import Settings
from speechaid.telemetry.metric_table import observation
from tests.support.prometheus import Wire

WORKERS: Final = 200
SCRAPES: Final = 400
#: How many processes send reports in the place of workers.
TALKERS: Final = 8
#: A call a minute and worker.
CALLS_AN_HOUR: Final = WORKERS * 60
HOURS: Final = 2
#: Polls of one call in a minute, with three reports each.
POLLS: Final = 6
#: Longest wait, in seconds, for 200 first calls or for the reports of two hours.
PATIENCE_SECONDS: Final = 900.0
CALLS_VARIABLE: Final = "BENCH_CALLS"


# -- scraping ------------------------------------------------------------------------------------------------


class Scraper:
    """Requests ``/metrics`` as Prometheus does, on one connection."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=60)
        self.bytes = 0

    def scrape(self) -> tuple[float, bytes]:
        """Milliseconds of one scrape, and the page."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4"})
        page = self._connection.getresponse().read()
        taken = (time.perf_counter() - began) * 1000
        self.bytes = len(page)
        return taken, page

    def many(self, count: int) -> list[float]:
        """Several scrapes, with a pause after each, as Prometheus does."""
        taken = []
        for _ in range(count):
            taken.append(self.scrape()[0])
            time.sleep(0.02)
        return taken

    def close(self) -> None:
        self._connection.close()


def value(page: bytes, metric: str) -> float:
    """The sum of a metric over its labels."""
    pattern = re.compile(rb"^" + metric.encode() + rb"(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
    return sum(float(found) for found in pattern.findall(page))


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A new directory with a name short enough for a socket."""
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def environ(place: Path, uri: str, **more: str) -> dict[str, str]:
    return {
        "MONGO_URI": uri,
        "MONGO_DB": f"bench_{secrets.token_hex(4)}",
        "RETELL_API_KEY": "key_simulated",
        "RETELL_BASE_URL": "http://127.0.0.1:1",
        "RETELL_AGENT_ID": "agent_bench",
        "RETELL_FROM_NUMBER": "+12125550100",
        "SPEECHAID_STATE_DIR": str(place / "state"),
        **more,
    }


@contextlib.contextmanager
def in_calls(place: Path, uri: str, workers: int) -> Iterator[DaemonProcess]:
    """A daemon whose workers all follow calls that last for hours."""
    with SimulatorProcess(
        odds={"user_hangup": 1}, ring_seconds=[1, 2], talk_seconds=[7200, 7200], concurrency_limit=2 * workers
    ) as simulator:
        settings = environ(
            place,
            uri,
            RETELL_BASE_URL=simulator.base_url,
            WORKER_COUNT=str(workers),
            CALL_MAX_DURATION_MINUTES="120",
        )
        daemon = DaemonProcess(place, settings)
        daemon.start()
        try:
            daemon.ask(
                "import", contacts(workers + 20), filename="contacts.csv", name="scraped", **IMPORT_OPTIONS
            )
            until(
                lambda: len([row for row in daemon.ask("status")["workers"] if row["call"]]) == workers,
                f"{workers} workers in calls",
                seconds=PATIENCE_SECONDS,
            )
            yield daemon
        finally:
            daemon.stop(at_once=True)


def in_parallel(address: str, count: int, scrapers: int) -> list[float]:
    """Several scrapers at once."""
    taken: list[float] = []

    def run() -> None:
        with contextlib.closing(Scraper(address)) as scraper:
            taken.extend(scraper.many(count))

    threads = [threading.Thread(target=run) for _ in range(scrapers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def row(name: str, taken: list[float]) -> list[object]:
    spread = common.Spread.of(taken)
    return [
        name,
        spread.median,
        common.percentile(taken, 0.95),
        common.percentile(taken, 0.99),
        spread.high,
        len(taken),
    ]


def scraping(report: common.Report, server: Server, options: argparse.Namespace) -> None:
    """The first part."""
    workers, scrapes = options.workers, 40 if options.quick else SCRAPES
    port = int(re.findall(r":(\d+)", server.uri)[-1])
    wire = Wire(port)
    with (
        directory() as place,
        in_calls(place, server.uri.replace(f":{port}", f":{wire.port}"), workers) as daemon,
    ):
        address = daemon.ask("status")["metrics"]
        with contextlib.closing(Scraper(address)) as scraper:
            scraper.many(5)
            rows = [row(f"{workers} workers in calls", scraper.many(scrapes))]
            rows.append(row("the same, four at once", in_parallel(address, scrapes // 4, 4)))
            wire.cut()
            until(
                lambda: value(scraper.scrape()[1], "speechaid_database_up") == 0,
                "the daemon to notice the outage",
                seconds=120,
            )
            rows.append(row("the database away", scraper.many(scrapes)))
            wire.mend()
            series = scraper.scrape()[1].count(b"\n")
        columns = ["milliseconds", "median", "p95", "p99", "most", "scrapes"]
        report.table(f"A scrape of {scraper.bytes / 1024:.0f} KiB, {series} lines", columns, rows)


# -- feeding -------------------------------------------------------------------------------------------------


def talk(link: SupervisorLink, identity: WorkerIdentity, _settings: Settings) -> ExitStatus:
    """The main function of the talkers: report calls as a worker would, as fast as the supervisor reads."""
    link.ready()
    line = Line(link)
    for number in range(int(os.environ[CALLS_VARIABLE])):
        if link.stop_requested or link.orphaned:
            break
        _tell_of_a_call(link, line, f"{identity.pid}-{number}")
        link.commands(0)
    while not (link.stop_requested or link.orphaned):
        link.report_step(WorkerState.IDLE, "rest", within_seconds=60)
        link.commands(1.0)
    link.bye("stopped")
    return ExitStatus.OK


def _tell_of_a_call(link: SupervisorLink, line: Line, name: str) -> None:
    job, call = f"job-{name}", f"call_{name}"

    def report(state: WorkerState, step: str) -> None:
        line.wait()
        link.report_step(state, step, within_seconds=60, job=job, call=call)

    for step in ("claim", "look", "intent", "reserve", "last look", "create call"):
        report(WorkerState.DIALLING, step)
    link.count("speechaid_claims_total")
    line.wait()
    link.count_once(f"placed:{name}", [("speechaid_calls_placed_total", {}, 1.0)])
    link.emit("call.placed", job=job, call=call, batch="batch-1", phone="+569******34")
    for _ in range(POLLS):
        for step in ("wait", "get call", "renew"):
            report(WorkerState.FOLLOWING, step)
        link.count("speechaid_retell_requests_total", endpoint="get-call", code="200")
    line.wait()
    ended = [("speechaid_calls_ended_total", {"outcome": "answered"}, 1.0)]
    link.count_once(f"settled:{name}", [*ended, *observation("speechaid_call_duration_seconds", 45.0)])
    link.emit("call.settled", job=job, call=call, batch="batch-1", outcome="answered", status="done")
    for step in ("verdict", "result", "marks", "job"):
        report(WorkerState.SETTLING, step)
    link.call_finished()


class Line:
    """Waits until the supervisor has read most reports; a real worker has seconds between two."""

    def __init__(self, link: SupervisorLink) -> None:
        self._poll = select.poll()
        self._poll.register(link._channel.fileno(), select.POLLOUT)  # noqa: SLF001 - internal, only this benchmark needs it

    def wait(self) -> None:
        self._poll.poll(60_000)


def serve_talkers() -> int:
    """The daemon as it is, with talkers in the place of workers."""
    # The zygote imports this module too, only for ``talk``.
    from speechaid.daemon import serve  # noqa: PLC0415
    from speechaid.fleet.spawner import Spawner  # noqa: PLC0415

    return serve(Spawner("benchmarks.scrape:talk"))


class TalkingDaemon(DaemonProcess):
    """``speechaid run``, started through this module."""

    command = (sys.executable, "-m", "benchmarks.scrape", "--talkers")


def feeding(report: common.Report, server: Server, options: argparse.Namespace) -> None:
    """The second part."""
    hours = 0.1 if options.quick else float(HOURS)
    calls = int(CALLS_AN_HOUR * hours / TALKERS) * TALKERS
    with directory() as place:
        variables = {CALLS_VARIABLE: str(calls // TALKERS), "PYTHONPATH": str(Path.cwd())}
        daemon = TalkingDaemon(place, environ(place, server.uri, WORKER_COUNT=str(TALKERS), **variables))
        daemon.start()
        try:
            found = daemon.ask("status")
            rows, scrapes = _grow(found["metrics"], int(found["supervisor"]["pid"]), calls, hours)
        finally:
            daemon.stop()
    report.table(
        f"The supervisor under {calls} calls of {WORKERS} workers",
        ["hours reported", "RSS MiB", "seconds"],
        rows,
    )
    columns = ["milliseconds", "median", "p95", "p99", "most", "scrapes"]
    report.table("Scrapes meanwhile", columns, [row("while it is being fed", scrapes)])


def _grow(address: str, pid: int, calls: int, hours: float) -> tuple[list[list[object]], list[float]]:
    """Its memory at each eighth of the reports, and how long the scrapes took meanwhile."""
    rows: list[list[object]] = []
    scrapes: list[float] = []
    began, steps = time.monotonic(), 8
    with contextlib.closing(Scraper(address)) as scraper:
        while len(rows) <= steps:
            taken, page = scraper.scrape()
            scrapes.append(taken)
            reported = value(page, "speechaid_calls_ended_total")
            if reported >= calls * len(rows) / steps:
                passed = time.monotonic() - began
                rows.append([f"{hours * reported / calls:.2f}", memory_mib(pid)["Rss"], passed])
                if passed > PATIENCE_SECONDS:
                    break
            time.sleep(0.1)
    return rows, scrapes


def main() -> int:
    """Measure both and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--workers", type=int, default=WORKERS, help="in calls (default: %(default)s)")
    parser.add_argument("--talkers", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.talkers:
        return serve_talkers()
    options.workers = 10 if options.quick and options.workers == WORKERS else options.workers
    report = common.Report("scrape", options, workers=options.workers)
    with common.open_database(options) as server:
        report.server(server)
        scraping(report, server, options)
        feeding(report, server, options)
    report.write()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
