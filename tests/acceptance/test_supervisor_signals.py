"""The supervisor as a whole process: real signals, its real control socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.support.fleet_harness import ROOT, Found, environment, is_alive, title_of, until


class Daemon:
    """One supervisor with fake workers, in its own directory."""

    def __init__(self, directory: Path, **extra: str) -> None:
        self.directory = directory
        self.tasks = directory / "tasks"
        self.environment = {
            **environment(directory),
            "PATH": os.environ["PATH"],
            "SPEECHAID_BEAT_GRACE_SECONDS": "0.5",
            **(extra or {"WORKER_COUNT": "2"}),
        }
        self.log = directory / "log"
        self._context = zmq.Context()
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.fleet_daemon"],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # A new connection for each process: what is sent on the old one before its end is noticed is lost.
        self._context.destroy(linger=0)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(f"ipc://{self.directory}/control.sock")
        return self.process

    def request(self, command: str, **args: object) -> dict[str, Any]:
        """Send a command, and wait for the answer; the error's text where it was refused."""
        self._socket.send_json({"v": 1, "id": "1", "command": command, "args": args})
        if not self._socket.poll(30_000):
            pytest.fail(f"no answer to {command}; the log:\n{self.log.read_text()}")
        answer = json.loads(self._socket.recv())
        return {"result": answer["result"]["done"]} if answer["ok"] else {"error": answer["error"]["message"]}

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = self.request("status")["result"]
        return found

    def pids(self, *states: str) -> dict[str, int]:
        rows = self.snapshot()["workers"]
        return {row["slot"]: row["pid"] for row in rows if row["pid"] and row["state"] in states}

    def at_work(self, workers: int = 2) -> dict[str, int]:
        """The pids, once exactly this many workers are idle or paused."""

        def all_of_them() -> dict[str, int] | None:
            pids = self.pids("idle", "paused")
            return pids if len(pids) == workers else None

        return self.until(all_of_them, f"{workers} workers at work")

    def until(self, condition: Callable[[], Found | None], what: str) -> Found:
        return until(condition, what, log=self.log)

    def task(self, slot: str, text: str) -> None:
        fresh = self.tasks / ".fresh"
        fresh.write_text(text)
        fresh.replace(self.tasks / slot)

    def in_call(self, slot: str = "worker-1") -> int:
        self.task(slot, "call")
        return self.until(lambda: self.pids("following").get(slot), "a call")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for_log(self, text: str) -> None:
        self.until(lambda: text in self.log.read_text(), f"{text!r} in the log")

    def exits(self, slot: str) -> list[str]:
        """How this slot's workers exited, by their own files."""
        return sorted(path.suffix[1:] for path in self.tasks.glob(f"{slot}.*"))

    def close(self) -> None:
        self._context.destroy(linger=0)
        for path in self.tasks.iterdir():
            path.unlink()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
        self.process.wait(40)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_lets_calls_finish(daemon: Daemon, number: signal.Signals) -> None:
    daemon.at_work()
    daemon.in_call()
    daemon.signal(number)
    daemon.until(lambda: daemon.exits("worker-2") == ["finished"], "the exit of the idle worker")
    state = daemon.snapshot()  # it answers while it waits for the call
    assert state["supervisor"]["state"] == "stopping"
    assert daemon.pids("following").keys() == {"worker-1"}
    daemon.task("worker-1", "idle")
    assert daemon.process.wait(40) == 0
    assert daemon.exits("worker-1") == ["finished"]
    assert "database_thread.closed" in daemon.log.read_text()


def test_a_second_sigterm_hands_calls_over(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.in_call()
    daemon.signal(signal.SIGTERM)
    daemon.until(lambda: daemon.snapshot()["supervisor"]["state"] == "stopping", "the stop")
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(40) == 0
    assert daemon.exits("worker-1") == ["handed_over"]


def test_sigquit_hands_calls_over_at_once(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.in_call()
    daemon.signal(signal.SIGQUIT)
    assert daemon.process.wait(40) == 0
    assert daemon.exits("worker-1") == ["handed_over"]
    assert daemon.exits("worker-2") == ["finished"]


def test_ttin_adds_a_worker_and_ttou_removes_one(daemon: Daemon) -> None:
    daemon.at_work(2)
    daemon.signal(signal.SIGTTIN)
    daemon.at_work(3)
    daemon.signal(signal.SIGTTOU)
    daemon.at_work(2)
    assert daemon.exits("worker-3") == ["finished"]


def test_a_reload_applies_what_it_can_and_refuses_invalid_settings_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "daemon.env"
    file.write_text("WORKER_COUNT=2\n")
    daemon = Daemon(tmp_path, SPEECHAID_ENV_FILE=str(file))
    try:
        daemon.at_work(2)
        file.write_text("WORKER_COUNT=3\nMONGO_DB=other_db\n")
        daemon.signal(signal.SIGHUP)
        daemon.at_work(3)
        daemon.wait_for_log('settings.need_restart changed=["MONGO_DB')
        file.write_text("WORKER_COUNT=1\nLEASE_SECONDS=-1\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("settings.refused")
        assert "LEASE_SECONDS=-1" in daemon.log.read_text()
        assert len(daemon.at_work(3)) == 3
        assert "LEASE_SECONDS=-1" in daemon.request("reload")["error"]
        file.write_text("WORKER_COUNT=3\n")
        daemon.signal(signal.SIGTTIN)
        daemon.at_work(4)
        assert "WORKER_COUNT: 4 by scale -> 3" in str(daemon.request("reload"))
        daemon.at_work(3)
    finally:
        daemon.close()


def test_a_killed_worker_is_replaced_and_its_job_is_reported(daemon: Daemon) -> None:
    daemon.at_work()
    victim = daemon.in_call()
    os.kill(victim, signal.SIGKILL)
    daemon.wait_for_log(f":{victim} job=job-7 cause=killed")
    daemon.until(lambda: daemon.pids("following").get("worker-1", victim) != victim, "a successor")


def test_a_hung_worker_is_logged_with_its_call_dumped_and_replaced(daemon: Daemon) -> None:
    victim = daemon.at_work()["worker-1"]
    daemon.task("worker-1", "hang")
    daemon.wait_for_log("state=following step=get_call job=job-9 call=call-9")
    daemon.task("worker-1", "idle")
    daemon.until(lambda: daemon.pids("idle").get("worker-1", victim) != victim, "a successor")
    assert "in _perform" in daemon.log.read_text()


def test_workers_outlive_a_killed_zygote(daemon: Daemon) -> None:
    before = daemon.at_work()
    zygote = daemon.snapshot()["supervisor"]["zygote"]["pid"]
    os.kill(zygote, signal.SIGKILL)
    os.kill(before["worker-2"], signal.SIGKILL)
    daemon.until(lambda: daemon.pids("idle").get("worker-2", before["worker-2"]) != before["worker-2"], "two")
    assert daemon.at_work()["worker-1"] == before["worker-1"]
    # A spare replaced the worker, perhaps before the end of the zygote was noticed.
    daemon.until(
        lambda: daemon.snapshot()["supervisor"]["zygote"]["pid"] not in {None, zygote}, "another zygote"
    )


def test_a_killed_supervisor_leaves_workers_that_finish_and_a_new_one_starts(daemon: Daemon) -> None:
    daemon.at_work()
    orphan = daemon.in_call()
    zygote = daemon.snapshot()["supervisor"]["zygote"]["pid"]
    daemon.process.kill()
    daemon.process.wait()
    daemon.until(lambda: daemon.exits("worker-2") == ["orphaned"], "the exit of the idle orphan")
    daemon.until(lambda: not is_alive(zygote), "the zygote's end")
    assert is_alive(orphan)  # it is still in its call
    daemon.start()
    daemon.until(lambda: "worker-1" in daemon.pids("following"), "the new worker-1")
    assert daemon.pids("following")["worker-1"] != orphan
    daemon.task("worker-1", "idle")
    daemon.until(lambda: not is_alive(orphan), "the orphan's end after its call")
    daemon.until(lambda: "orphaned" in daemon.exits("worker-1"), "its file")


def test_a_supervisor_that_was_suspended_does_not_take_its_workers_for_hung(daemon: Daemon) -> None:
    before = daemon.at_work()
    daemon.signal(signal.SIGSTOP)
    suspended_for = 6.0  # well past the grace time, and past the limit of the loop
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.process.wait(suspended_for)
    daemon.signal(signal.SIGCONT)
    daemon.wait_for_log("supervisor.was_suspended")
    assert daemon.at_work() == before


def test_drain_and_pauses_survive_the_supervisor(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.request("pause-worker", worker="worker-2")
    daemon.request("drain")
    daemon.until(lambda: len(daemon.pids("paused")) == 2, "a drained host")
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()
    daemon.until(lambda: len(daemon.pids("paused")) == 2, "a host that starts drained")
    daemon.request("undrain")
    daemon.until(lambda: daemon.pids("idle").keys() == {"worker-1"}, "the one that may")
    assert daemon.pids("paused").keys() == {"worker-2"}
    daemon.request("resume-worker", worker="worker-2")
    daemon.until(lambda: len(daemon.pids("idle")) == 2, "both at work")
    assert "there is no worker 'worker-9'" in daemon.request("pause-worker", worker="worker-9")["error"]


def test_a_second_supervisor_on_the_same_state_directory_is_refused_with_the_pid(daemon: Daemon) -> None:
    daemon.at_work()
    second = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.fleet_daemon"],
        env={**daemon.environment, "SPEECHAID_SOCKET": str(daemon.directory / "other.sock")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert f"another speechaid (pid {daemon.process.pid})" in second.stderr


def test_ps_shows_what_each_process_does(daemon: Daemon) -> None:
    pid = daemon.at_work()["worker-2"]
    daemon.in_call()
    assert title_of(pid) == "speechaid: worker-2 [idle]"
    assert title_of(daemon.pids("following")["worker-1"]) == "speechaid: worker-1 [following job-7]"
    daemon.until(
        lambda: title_of(daemon.process.pid) == "speechaid: supervisor [running, 2 workers]", "the title"
    )
