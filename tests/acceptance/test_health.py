"""The daemon on a machine without space, memory, descriptors or a reader of the log."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded import database as embedded_database
from speechaid.embedded.database import EmbeddedDatabase, published_uri
from speechaid.errors import FleetError, SpeechaidError
from speechaid.model.job import Dial
from speechaid.model.masking import fingerprint
from speechaid.protocol.client import Client, Refused, Unreachable
from speechaid.retell.requests_body import create_body
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from tests.support import fleet_harness
from tests.support.retell_requests import choice_of

JOBS = 12
DEADLINE_SECONDS = 150.0


def until(condition: Callable[[], bool], what: str) -> None:
    fleet_harness.until(condition, what, between=lambda: time.sleep(0.2), within_seconds=DEADLINE_SECONDS)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    path = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(speed=30.0, odds={"agent_hangup": 1}, talk_seconds=(40, 60)) as process:
        yield process


def variables(place: Path, simulator: SimulatorProcess, **more: str) -> dict[str, str]:
    return {
        "MONGO_URI": f"embedded:{place / 'database'}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": "3",
        "LEASE_SECONDS": "10",
        "CALL_POLLING_INTERVAL": "0.5",
        "POLL_TIMEOUT_SECONDS": "30",
        "SPEECHAID_STATE_DIR": str(place / "state"),
        "SPEECHAID_SOCKET": str(place / "control.sock"),
        "SPEECHAID_METRICS_ADDRESS": "127.0.0.1:0",
        **more,
    }


def jobs_by_status(place: Path) -> dict[str, int]:
    with closing(connect(DatabaseSettings(), uri=published_uri(place / "database"))) as store:
        return store.jobs.counts()


def jobs_by_status_or_none(place: Path) -> dict[str, int] | None:
    """None while the database is being restarted."""
    with contextlib.suppress(SpeechaidError):
        return jobs_by_status(place)
    return None


def assert_each_contact_was_called_once(simulator: SimulatorProcess) -> None:
    called = [call["to_number"] for call in simulator.placed_calls()]
    assert len(called) == len(set(called)) == JOBS


def start(place: Path, environ: dict[str, str], *options: str, **how: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "speechaid", "run", *options],
        env={"PATH": os.environ["PATH"], "HOME": str(place), **environ},
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        **how,
    )


def is_up(client: Client) -> bool:
    with contextlib.suppress(Unreachable):
        return bool(client.ask("status", {}, timeout_seconds=2.0)["supervisor"]["present"])
    return False


def test_a_daemon_that_starts_held_forecasts_dials_and_places_none_until_unhold(
    place: Path, simulator: SimulatorProcess
) -> None:
    contacts = [{"name": "Ana", "phones": [f"+1212555{number:04d}"]} for number in range(JOBS)]
    server = EmbeddedDatabase(place / "database")
    with MongoClient[dict[str, Any]](server.start()) as database:
        jobs = [{"job_id": f"job-{n}", "status": "pending", "contact": c} for n, c in enumerate(contacts)]
        database["speechai_db"].jobs.insert_many(jobs)
    server.stop()

    def idle() -> int:
        workers = client.ask("status", {}, timeout_seconds=60.0)["workers"]
        return sum(row["state"] == "idle" for row in workers)

    process = start(place, variables(place, simulator), "--held", stderr=subprocess.DEVNULL)
    with Client(place / "control.sock") as client:
        until(lambda: is_up(client), "the daemon's start")
        until(lambda: idle() == 3, "workers that claim nothing")
        answer = client.ask("forecast", {}, timeout_seconds=60.0)
        assert (len(answer["dials"]), answer["as_if_unheld"]) == (JOBS, True)
        assert simulator.placed_calls() == []
        hold = client.ask("status", {}, timeout_seconds=60.0)["fleet_hold"]
        assert (hold["by"], hold["reason"]) == ("speechaid run --held", "started held")
        client.ask("unhold", {}, timeout_seconds=60.0)
        until(lambda: jobs_by_status(place) == {"done": JOBS}, "all jobs done")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
    assert_each_contact_was_called_once(simulator)


def test_a_log_without_a_reader_stops_no_work(place: Path, simulator: SimulatorProcess) -> None:
    process = start(place, variables(place, simulator, LOG_LEVEL="DEBUG"), stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr, Client(place / "control.sock") as client:
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)  # full with the first few lines
        until(lambda: is_up(client), "the daemon's start")
        arguments = {"filename": "contacts.csv", "name": "unread", **IMPORT_OPTIONS}
        client.ask("import", arguments, attachment=contacts(JOBS), timeout_seconds=60.0)
        until(lambda: jobs_by_status(place) == {"done": JOBS}, "all jobs done")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
    assert_each_contact_was_called_once(simulator)


def test_too_many_workers_for_the_descriptor_limit_are_refused_at_the_start_and_later(
    place: Path, simulator: SimulatorProcess
) -> None:
    def limit_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    many = variables(place, simulator, WORKER_COUNT="200")
    refused = start(place, many, stderr=subprocess.PIPE, preexec_fn=limit_descriptors)
    _, stderr = refused.communicate(timeout=DEADLINE_SECONDS)
    assert refused.returncode == 78
    assert b"200 workers need" in stderr.splitlines()[-1]

    with (place / "log").open("wb") as log, Client(place / "control.sock") as client:
        process = start(place, variables(place, simulator), stderr=log, preexec_fn=limit_descriptors)
        until(lambda: is_up(client), "the daemon's start")
        with pytest.raises(Refused, match="200 workers need"):
            client.ask("scale", {"count": 200}, timeout_seconds=60.0)
        assert client.ask("status", {}, timeout_seconds=60.0)["supervisor"]["wanted"] == 3
        process.send_signal(signal.SIGQUIT)
        assert process.wait(DEADLINE_SECONDS) == 0


class LargeTranscriptProxy(ThreadingHTTPServer):
    """Passes requests to the simulator; one call gets a transcript larger than a worker's memory."""

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.behind = behind
        self.call: str | None = None
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}"


class _ProxyHandler(BaseHTTPRequestHandler):
    server: LargeTranscriptProxy
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        passed = {
            name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers
        }
        request = urllib.request.Request(
            self.server.behind + self.path, content or None, passed, method=self.command
        )
        try:
            with urllib.request.urlopen(request) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            status, body = refusal.code, refusal.read()
        call = self.server.call
        if call is not None and self.path.endswith(call):
            body = json.dumps({**json.loads(body), "transcript": "x" * 24 * 2**20}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the worker has died of it
            self.wfile.write(body)

    do_GET = do_POST = _pass  # noqa: N815 - the base class's names

    def log_request(self, *_: object) -> None:
        """Nothing: standard error is the test's."""


@pytest.fixture
def proxy(simulator: SimulatorProcess) -> Iterator[LargeTranscriptProxy]:
    with LargeTranscriptProxy(simulator.base_url) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_worker_without_memory_dies_alone_and_its_call_is_adopted(
    place: Path, simulator: SimulatorProcess, proxy: LargeTranscriptProxy
) -> None:
    simulator.change(speed=1.0, talk_seconds=(900, 1000))
    environ = variables(place, simulator, RETELL_BASE_URL=proxy.base_url, CALL_MAX_DURATION_MINUTES="60")
    daemon = DaemonProcess(place, environ)

    def workers() -> dict[str, tuple[int, str]]:
        rows = daemon.ask("status")["workers"]
        return {row["slot"]: (row["pid"], row["call"]) for row in rows if row["state"] == "following"}

    try:
        daemon.start()
        batch = daemon.ask(
            "import", contacts(JOBS), filename="contacts.csv", name="starved", **IMPORT_OPTIONS
        )["batch_id"]
        until(lambda: len(workers()) == 3, "three calls")
        # Else the successor, which may start before the lease lapses, would begin a long call of its own.
        daemon.ask("pause-batch", batch=batch)
        before = workers()
        starved, (pid, call) = min(before.items())
        scores = [int(Path(f"/proc/{who}/oom_score_adj").read_text()) for who in ("self", pid)]
        assert scores[1] == min(scores[0] + 500, 1000)  # the kernel would kill it before the supervisor
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (used + 8 * 2**20,) * 2)
        proxy.call = call
        until(lambda: "MemoryError" in daemon.log.read_text(), "the MemoryError")
        proxy.call = None

        def adopted() -> bool:
            """The MemoryError is logged before the exit: its row remains for a moment."""
            return any(held == call and holder != pid for holder, held in workers().values())

        until(adopted, "the call adopted by another worker")
        after = workers()
        assert pid not in {holder for holder, _ in after.values()}
        assert {slot: before[slot] for slot in before if slot != starved}.items() <= after.items()
        daemon.ask("resume-batch", batch=batch)
        simulator.change(speed=30.0, talk_seconds=(40, 60))
        simulator.advance(3600)
        until(lambda: jobs_by_status(place) == {"done": JOBS}, "all jobs done")
        assert_each_contact_was_called_once(simulator)
    finally:
        assert daemon.stop() == 0


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A small file system."""
    disk = place / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m,mode=0700", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill_up(disk: Path) -> None:
    """Fill the disk."""
    with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as ballast:
        while True:
            ballast.write(bytes(65_536))


def leave_too_little(disk: Path) -> None:
    """Leave less space than live calls may need."""
    room = shutil.disk_usage(disk).free - 40 * 2**20
    (disk / "ballast").write_bytes(bytes(room))


def fill(disk: Path) -> None:
    """Fill the disk, and the space that the database had reserved."""
    fill_up(disk)
    with contextlib.suppress(PyMongoError):
        address = published_uri(disk / "database")
        with MongoClient[dict[str, bytes]](address, serverSelectionTimeoutMS=1000) as client:
            while True:
                client["ballast"]["pieces"].insert_one({"piece": os.urandom(500_000)})


def test_a_hold_works_without_a_writable_state_file_and_is_saved_once_it_can_be(
    place: Path, simulator: SimulatorProcess
) -> None:
    daemon = DaemonProcess(place, variables(place, simulator))
    state = place / "state"

    def supervisor() -> dict[str, Any]:
        found: dict[str, Any] = daemon.ask("status")["supervisor"]
        return found

    try:
        daemon.start()
        (state / "standing.new").mkdir()  # in the way of the file, also for root
        held = daemon.ask("hold", reason="stop everything")
        assert "standing.json cannot be written" in held["not_kept"]
        assert supervisor()["held"]
        daemon.ask("import", contacts(JOBS), filename="contacts.csv", name="held", **IMPORT_OPTIONS)
        found = daemon.ask("doctor")["findings"]
        assert {"held", "orders_not_kept"} <= {row["code"] for row in found}
        (state / "standing.new").rmdir()
        until(lambda: supervisor()["orders_not_kept"] is None, "the hold on disk")
        assert json.loads((state / "standing.json").read_text())["held"]
        assert "not_kept" not in daemon.ask("hold")
        assert simulator.placed_calls() == []
    finally:
        assert daemon.stop() == 0


def bring_back(server: EmbeddedDatabase) -> None:
    """Start a killed server again, on its port."""

    def is_back() -> bool:
        server.ensure()
        return server.is_alive()

    until(is_back, "the database's start")


def add_jobs(database: Database[dict[str, Any]], simulator: SimulatorProcess) -> None:
    """Jobs that are due, and one whose create was lost on its way: the replay would be its first call."""
    numbers = [f"+1212555{number:04d}" for number in range(JOBS)]
    jobs = [
        {"job_id": f"job-{n}", "status": "pending", "contact": {"name": "Ana", "phones": [number]}}
        for n, number in enumerate(numbers)
    ]
    now = datetime.now(UTC)
    body = create_body(
        choice=choice_of("agent_test", "+12125550100"),
        timezone="America/New_York",
        to_number=numbers[0],
        variables={},
        metadata={"job_id": "job-0"},
        key="lost",
        ring_seconds=None,
        max_call_seconds=None,
    )
    lost = Dial(
        key="lost",
        number=numbers[0],
        phone_index=0,
        attempt=0,
        intent_at=now,
        body=json.dumps(body),
        api_key_fingerprint=fingerprint(simulator.api_key),
    )
    lapsed = {"claim_token": "dead", "reserved_until": now - timedelta(seconds=1), "dial": lost.document()}
    database.jobs.insert_many([{**jobs[0], "status": "in_progress", **lapsed}, *jobs[1:]])


def test_a_hold_without_database_and_with_a_full_disk_holds_in_memory_and_says_what_is_not_durable(
    place: Path, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_database, "BACKOFF_SECONDS", (0.0,))
    server = EmbeddedDatabase(place / "database")
    daemon = DaemonProcess(place, variables(place, simulator, MONGO_URI=server.start()))
    kept = place / "state" / "standing.json"

    def status() -> dict[str, Any]:
        return daemon.ask("status")

    with MongoClient[dict[str, Any]](server.uri) as client:
        database = client["speechai_db"]
        try:
            daemon.start()
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            # No regular file may grow: as on a full disk.
            supervisor = status()["supervisor"]["pid"]
            resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            with pytest.raises(FleetError) as refused:
                daemon.ask("hold", reason="stop everything")
            for part in (
                "this host is held, the others are not: the database is away",
                "a restart will lose it",
                "standing.json cannot be written: File too large",
            ):
                assert part in str(refused.value)
            assert status()["supervisor"]["held"]
            assert not kept.exists()

            bring_back(server)
            add_jobs(database, simulator)
            looked_up = {"dial.next_lookup_at": {"$exists": True}}
            until(lambda: database.jobs.count_documents(looked_up) == 1, "a search for the lost call")
            found = daemon.ask("doctor")["findings"]
            assert {"held_here", "orders_not_kept"} <= {row["code"] for row in found}
            assert simulator.requests()["creates"] == []
            assert database.jobs.count_documents({"status": "pending"}) == JOBS - 1

            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(supervisor, resource.RLIMIT_FSIZE, unlimited)
            until(lambda: status()["supervisor"]["orders_not_kept"] is None, "the hold on disk")
            assert json.loads(kept.read_text())["held"]
            assert simulator.requests()["creates"] == []
            daemon.ask("unhold")
            database.jobs.update_one(looked_up, {"$set": {"reserved_until": datetime.now(UTC)}})
            until(lambda: database.jobs.count_documents({"status": "done"}) == JOBS, "all jobs done")
            assert_each_contact_was_called_once(simulator)
        finally:
            assert daemon.stop() == 0
            server.stop()


def test_a_disk_that_fills_up_holds_dials_while_there_is_space_for_live_calls(
    small_disk: Path, place: Path, simulator: SimulatorProcess
) -> None:
    control = str(place / "control.sock")
    daemon = DaemonProcess(place, variables(small_disk, simulator, SPEECHAID_SOCKET=control))

    def no_space() -> str | None:
        found: str | None = daemon.ask("status")["supervisor"]["no_space"]
        return found

    try:
        daemon.start()
        leave_too_little(small_disk)
        until(lambda: no_space() is not None, "no_space in status")
        daemon.ask("import", contacts(JOBS), filename="contacts.csv", name="short", **IMPORT_OPTIONS)
        first = daemon.ask("doctor")["findings"][0]
        assert (first["code"], str(small_disk) in first["evidence"]) == ("no_space", True)
        daemon.ask("unhold")  # unhold does not override the lack of space
        assert jobs_by_status(small_disk) == {"pending": JOBS}
        assert simulator.placed_calls() == []
        (small_disk / "ballast").unlink()
        until(lambda: jobs_by_status(small_disk) == {"done": JOBS}, "all jobs done")
        assert no_space() is None
        assert_each_contact_was_called_once(simulator)
    finally:
        assert daemon.stop() == 0


def test_a_full_disk_holds_dials_and_loses_or_repeats_no_call(
    small_disk: Path, place: Path, simulator: SimulatorProcess
) -> None:
    log = small_disk / "log"
    elsewhere = {"SPEECHAID_SOCKET": str(place / "control.sock"), "SPEECHAID_LOG_FILE": str(log)}
    daemon = DaemonProcess(place, variables(small_disk, simulator, **elsewhere))
    try:
        daemon.start()
        daemon.ask("import", contacts(JOBS), filename="contacts.csv", name="full", **IMPORT_OPTIONS)
        until(lambda: len(simulator.placed_calls()) > 0, "the first call")
        fill(small_disk)
        assert daemon.ask("status")["supervisor"]["present"]  # it answers
        fill_up(small_disk)  # a restarted database may have freed some
        assert "No space left" in daemon.ask("drain")["not_kept"]  # it holds all the same
        assert daemon.ask("status")["supervisor"]["draining"]
        assert {disk["of"]: disk["full"] for disk in daemon.ask("status")["disks"]} == {
            "state directory": True,
            "embedded database": True,
        }
        logged = log.stat().st_size
        (small_disk / "ballast").unlink()
        kept = small_disk / "state" / "standing.json"
        until(lambda: kept.exists() and json.loads(kept.read_text())["draining"], "the drain on disk")
        daemon.ask("undrain")
        until(lambda: jobs_by_status_or_none(small_disk) == {"done": JOBS}, "all jobs done")
        until(lambda: log.stat().st_size > logged, "new lines in the log")
        assert_each_contact_was_called_once(simulator)
    finally:
        assert daemon.stop() == 0
