"""What systemd hears of a whole daemon: a real datagram socket in its place, and real signals."""

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
    """Starts the daemon, and keeps what it hears in order, one dict a datagram."""

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self.heard: list[dict[str, str]] = []
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

    def listen(self) -> list[dict[str, str]]:
        """What has come since the last time."""
        fresh = []
        while True:
            try:
                text = self._listener.recv(4096).decode()
            except BlockingIOError:
                break
            fresh.append(dict(line.split("=", 1) for line in text.split("\n")))
        self.heard += fresh
        return fresh

    def hears(self, found: Callable[[dict[str, str]], bool], what: str) -> dict[str, str]:
        """The first such message after the one that was heard last."""

        def look() -> dict[str, str] | None:
            self.listen()
            for number, message in enumerate(self.heard[self._searched :], self._searched):
                if found(message):
                    self._searched = number + 1
                    return message
            return None

        return until(look, what, log=self.log)

    def hears_status(self, text: str) -> None:
        self.hears(lambda message: message.get("STATUS") == text, f"STATUS={text}")

    def says(self, text: str, times: int = 1) -> None:
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
    """Listening on a socket of either kind; nothing is started."""
    named = {"path": str(tmp_path / "notify"), "abstract": f"@{tmp_path}"}
    systemd = Systemd(tmp_path, named[request.param])
    yield systemd
    systemd.close()


def is_ready(message: dict[str, str]) -> bool:
    return message.get("READY") == "1"


@pytest.mark.parametrize("systemd", ["path", "abstract"], indirect=True)
def test_a_start_a_reload_a_call_and_a_stop_as_systemd_hears_them(systemd: Systemd) -> None:
    systemd.start()
    ready = systemd.hears(is_ready, "READY")
    assert ready["MAINPID"] == str(systemd.main.pid)
    assert ready["STATUS"].startswith("running, ")
    assert "worker.ready" in systemd.log.read_text()  # a worker had said that it is up
    before = [message for message in systemd.heard if message is not ready]
    assert not any(is_ready(message) for message in before)
    systemd.hears(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")

    systemd.env_file.write_text("WORKER_COUNT=3\n")
    systemd.main.send_signal(signal.SIGHUP)
    reloading = systemd.hears(lambda message: message.get("RELOADING") == "1", "RELOADING")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    systemd.hears_status("running, 3 workers, 0 in calls")
    assert any(map(is_ready, systemd.heard[systemd.heard.index(reloading) :]))

    systemd.task("worker-1", "call")
    systemd.hears_status("running, 3 workers, 1 in calls")
    systemd.main.send_signal(signal.SIGTERM)
    systemd.hears(lambda message: message.get("STOPPING") == "1", "STOPPING")
    systemd.hears_status("stopping, 1 worker, 1 in calls")
    systemd.hears(lambda message: "EXTEND_TIMEOUT_USEC" in message, "a wish for time while a call goes on")
    assert systemd.main.poll() is None
    (systemd.directory / "tasks" / "worker-1").unlink()
    assert systemd.main.wait(40) == 0
    systemd.listen()
    assert int(systemd.heard[-1]["EXTEND_TIMEOUT_USEC"]) >= 60_000_000  # for what is closed after the workers


def test_a_stop_by_hand_over_is_told_too(systemd: Systemd) -> None:
    systemd.task("worker-1", "call")
    systemd.start()
    systemd.hears_status("running, 2 workers, 1 in calls")
    systemd.main.send_signal(signal.SIGQUIT)
    stopping = systemd.hears(lambda message: message.get("STOPPING") == "1", "STOPPING")
    assert stopping["STATUS"].startswith("letting go")
    assert systemd.main.wait(40) == 0


def test_a_refused_reload_ends_as_one_that_was_taken(systemd: Systemd) -> None:
    systemd.start()
    systemd.hears(is_ready, "READY")
    systemd.env_file.write_text("WORKER_COUNT=many\n")
    systemd.main.send_signal(signal.SIGHUP)
    systemd.says("settings.refused")
    systemd.listen()
    words = [next(iter(m)) for m in systemd.heard if m.keys() & {"READY", "RELOADING"}]
    assert words == ["READY", "RELOADING", "READY"]


def test_a_start_whose_workers_do_not_come_up_is_never_ready(systemd: Systemd) -> None:
    systemd.environment["SPEECHAID_RESPAWN_MAX_SECONDS"] = "0.5"
    systemd.task("every", "stillborn")
    systemd.start()
    systemd.says("state=booting next_in_seconds=", times=6)
    systemd.listen()
    assert not any(map(is_ready, systemd.heard))


def test_a_loop_that_no_longer_looks_after_its_workers_starves_the_watchdog(systemd: Systemd) -> None:
    systemd.start()
    systemd.hears(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")
    systemd.task("blind", "")
    systemd.says("supervisor.fault")
    systemd.listen()
    failed = systemd.log.read_text().count("supervisor.fault")
    systemd.says("supervisor.fault", times=failed + 60)  # a few ticks of the loop
    assert not any("WATCHDOG" in message for message in systemd.listen())


def test_a_stopped_loop_says_nothing_and_says_so_when_it_goes_on(systemd: Systemd) -> None:
    systemd.start()
    systemd.hears(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")
    systemd.main.send_signal(signal.SIGSTOP)
    until(lambda: " T " in Path(f"/proc/{systemd.main.pid}/stat").read_text(), "the stop")
    systemd.listen()
    with pytest.raises(subprocess.TimeoutExpired):
        systemd.main.wait(3)  # three of its ticks
    assert systemd.listen() == []
    systemd.main.send_signal(signal.SIGCONT)
    systemd.hears(lambda message: message.get("WATCHDOG") == "1", "WATCHDOG")
