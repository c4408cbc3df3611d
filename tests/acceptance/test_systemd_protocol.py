"""What a whole daemon sends to systemd: a real datagram socket in its place, and real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fleet_harness import ROOT, environment, until

WATCHDOG_USEC = "30000000"


class Systemd:
    """Starts the daemon, and keeps the notifications in order, one dict for each datagram."""

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self.received: list[dict[str, str]] = []
        self._searched = 0
        self.env_file = directory / "daemon.env"
        self.env_file.write_text("WORKER_COUNT=2\n")
        self.log = directory / "log"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind("\0" + address[1:] if address.startswith("@") else address)
        self._listener.setblocking(False)
        variables = environment(directory, NOTIFY_SOCKET=address, WATCHDOG_USEC=WATCHDOG_USEC)
        self.environment = {
            **variables,
            "PATH": os.environ["PATH"],
            "SPEECHAID_ENV_FILE": str(self.env_file),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def main(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.fleet_daemon"],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def receive(self) -> list[dict[str, str]]:
        """The notifications since the last call."""
        fresh = []
        while True:
            try:
                text = self._listener.recv(4096).decode()
            except BlockingIOError:
                break
            fresh.append(dict(line.split("=", 1) for line in text.split("\n")))
        self.received += fresh
        return fresh

    def wait_for(self, matches: Callable[[dict[str, str]], bool], what: str) -> dict[str, str]:
        """The first matching notification after the one that was found last."""

        def find() -> dict[str, str] | None:
            self.receive()
            for number, message in enumerate(self.received[self._searched :], self._searched):
                if matches(message):
                    self._searched = number + 1
                    return message
            return None

        return until(find, what, log=self.log)

    def wait_for_status(self, text: str) -> None:
        self.wait_for(lambda message: message.get("STATUS") == text, f"STATUS={text}")

    def wait_for_log(self, text: str, times: int = 1) -> None:
        until(lambda: self.log.read_text().count(text) >= times, f"{text!r} in the log", log=self.log)

    def task(self, name: str, text: str) -> None:
        (self.directory / "tasks" / name).write_text(text)

    def close(self) -> None:
        for path in (self.directory / "tasks").iterdir():
            path.unlink()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self.main.wait()
        self._listener.close()


@pytest.fixture(params=["path"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """A bound socket of either kind; the daemon is not started."""
    named = {"path": str(tmp_path / "notify"), "abstract": f"@{tmp_path}"}
    systemd = Systemd(tmp_path, named[request.param])
    yield systemd
    systemd.close()


def is_ready(message: dict[str, str]) -> bool:
    return message.get("READY") == "1"


@pytest.mark.parametrize("systemd", ["path", "abstract"], indirect=True)
def test_systemd_is_notified_of_start_reload_calls_and_stop(systemd: Systemd) -> None:
    systemd.start()
    ready = systemd.wait_for(is_ready, "READY")
    assert ready["MAINPID"] == str(systemd.main.pid)
    assert ready["STATUS"].startswith("running, ")
    assert "worker.ready" in systemd.log.read_text()  # a worker was ready before
    before = [message for message in systemd.received if message is not ready]
    assert not any(is_ready(message) for message in before)
    systemd.wait_for(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")

    systemd.env_file.write_text("WORKER_COUNT=3\n")
    systemd.main.send_signal(signal.SIGHUP)
    reloading = systemd.wait_for(lambda message: message.get("RELOADING") == "1", "RELOADING")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    systemd.wait_for_status("running, 3 workers, 0 in calls")
    assert any(map(is_ready, systemd.received[systemd.received.index(reloading) :]))

    systemd.task("worker-1", "call")
    systemd.wait_for_status("running, 3 workers, 1 in calls")
    systemd.main.send_signal(signal.SIGTERM)
    systemd.wait_for(lambda message: message.get("STOPPING") == "1", "STOPPING")
    systemd.wait_for_status("stopping, 1 worker, 1 in calls")
    systemd.wait_for(
        lambda message: "EXTEND_TIMEOUT_USEC" in message, "a request for more time during a call"
    )
    assert systemd.main.poll() is None
    (systemd.directory / "tasks" / "worker-1").unlink()
    assert systemd.main.wait(40) == 0
    systemd.receive()
    assert (
        int(systemd.received[-1]["EXTEND_TIMEOUT_USEC"]) >= 60_000_000
    )  # for what is closed after the workers


def test_systemd_is_notified_of_a_stop_by_hand_over(systemd: Systemd) -> None:
    systemd.task("worker-1", "call")
    systemd.start()
    systemd.wait_for_status("running, 2 workers, 1 in calls")
    systemd.main.send_signal(signal.SIGQUIT)
    stopping = systemd.wait_for(lambda message: message.get("STOPPING") == "1", "STOPPING")
    assert stopping["STATUS"].startswith("letting go")
    assert systemd.main.wait(40) == 0


def test_a_refused_reload_is_notified_like_an_applied_one(systemd: Systemd) -> None:
    systemd.start()
    systemd.wait_for(is_ready, "READY")
    systemd.env_file.write_text("WORKER_COUNT=many\n")
    systemd.main.send_signal(signal.SIGHUP)
    systemd.wait_for_log("settings.refused")
    systemd.receive()
    kinds = [next(iter(m)) for m in systemd.received if m.keys() & {"READY", "RELOADING"}]
    assert kinds == ["READY", "RELOADING", "READY"]


def test_a_daemon_whose_workers_do_not_start_is_never_ready(systemd: Systemd) -> None:
    systemd.environment["SPEECHAID_RESPAWN_MAX_SECONDS"] = "0.5"
    systemd.task("every", "not-ready")
    systemd.start()
    systemd.wait_for_log("state=booting next_in_seconds=", times=6)
    systemd.receive()
    assert not any(map(is_ready, systemd.received))


def test_a_loop_whose_fleet_ticks_fail_does_not_feed_the_watchdog(systemd: Systemd) -> None:
    systemd.start()
    systemd.wait_for(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")
    systemd.task("break-fleet", "")
    systemd.wait_for_log("supervisor.fault")
    systemd.receive()
    failed = systemd.log.read_text().count("supervisor.fault")
    systemd.wait_for_log("supervisor.fault", times=failed + 60)  # a few ticks of the loop
    assert not any("WATCHDOG" in message for message in systemd.receive())


def test_a_suspended_loop_sends_nothing_and_feeds_the_watchdog_again_after_it(systemd: Systemd) -> None:
    systemd.start()
    systemd.wait_for(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")
    systemd.main.send_signal(signal.SIGSTOP)
    until(lambda: " T " in Path(f"/proc/{systemd.main.pid}/stat").read_text(), "the stop")
    systemd.receive()
    with pytest.raises(subprocess.TimeoutExpired):
        systemd.main.wait(3)  # three of its ticks
    assert systemd.receive() == []
    systemd.main.send_signal(signal.SIGCONT)
    systemd.wait_for(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")
