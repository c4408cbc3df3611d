"""The simulator as a process: start, stop, its file of placed calls, its command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from speechaid.demo.simulator.process import SimulatorError, SimulatorProcess
from speechaid.demo.simulator.server import main
from speechaid.errors import ExitStatus
from tests.support.fleet_harness import is_alive

NUMBER = "+56922220001"


def create(simulator: SimulatorProcess, **fields: object) -> requests.Response:
    return requests.post(
        f"{simulator.base_url}/v2/create-phone-call",
        json={"from_number": "+56220000000", "to_number": NUMBER, **fields},
        headers={"Authorization": f"Bearer {simulator.api_key}"},
        timeout=20,
    )


def test_placed_calls_survive_a_kill_and_the_next_simulator_continues_with_them(tmp_path: Path) -> None:
    path = tmp_path / "placed-calls.jsonl"
    simulator = SimulatorProcess(placed_calls_file=path, script={"*": ["user_hangup"]})
    with simulator:
        first = create(simulator, idempotency_key="dial-1", metadata={"job": "7"}).json()
        port = simulator.port
        simulator.kill()
        assert json.loads(path.read_text())["call_id"] == first["call_id"]

        simulator.start(port)
        assert create(simulator, idempotency_key="dial-1", metadata={"job": "7"}).json() == first
        second = create(simulator, idempotency_key="dial-2").json()
        simulator.advance(7200)
        calls = simulator.placed_calls()
        assert [call["call_id"] for call in calls] == [first["call_id"], second["call_id"]]
        assert {call["disconnection_reason"] for call in calls} == {"user_hangup"}
        assert [pair["call_ids"] for pair in simulator.overlaps()] == [[first["call_id"], second["call_id"]]]


def test_it_exits_with_status_0_on_sigterm_even_while_a_client_hangs() -> None:
    simulator = SimulatorProcess()
    simulator.start()
    simulator.fault("hang", seconds=600)
    with socket.create_connection(("127.0.0.1", simulator.port)) as client:
        client.sendall(b"GET /get-concurrency HTTP/1.1\r\nHost: here\r\n\r\n")
        while not simulator.requests()["counts"]:
            time.sleep(0.01)
        assert simulator.stop() == 0


def test_it_exits_when_its_parent_dies() -> None:
    parent = (
        "import os, signal, sys\n"
        "from speechaid.demo.simulator.process import SimulatorProcess\n"
        "simulator = SimulatorProcess()\n"
        "simulator.start()\n"
        "print(simulator.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # The simulator holds no copy of this pipe, so it closes with the parent.
        orphan = int(process.stdout.readline())
        process.wait()
    for _ in range(600):
        if not is_alive(orphan):
            return
        time.sleep(0.05)
    pytest.fail("the simulator outlived its parent")


def test_the_command_line_prints_its_address_and_writes_its_port(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    odds = tmp_path / "odds.json"
    odds.write_text('{"dial_busy": 1}')
    options = ["--api-key=key_x", "--seed=3", f"--odds={odds}", "--ring-seconds=1,2", "--speed=10"]
    command = [sys.executable, "-m", "speechaid.demo.simulator", *options, f"--port-file={port_file}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = port_file.read_text().strip()
        address = f"http://127.0.0.1:{port}"
        settings = requests.get(f"{address}/_simulator/settings", timeout=20).json()
        process.terminate()
        assert process.wait() == 0
    assert line == f"Retell simulator listening on {address}\n"
    assert settings["odds"] == {"dial_busy": 1}
    assert (settings["ring_seconds"], settings["speed"], settings["seed"]) == ([1, 2], 10, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--api-key=k", "--ring-seconds=5,1"], "ring_seconds"),
        (["--api-key=k", "--odds=/no/such/file"], "No such file"),
        (["--api-key=k", '--odds={"user_hangup": -1}'], "odds"),
        (["--api-key=k", '--odds={"user_hangup":'], "not JSON"),
        (["--api-key=k", "--script=pyproject.toml"], "not JSON: pyproject.toml"),
        (["--api-key=k", "--speed=0"], "speed"),
        ([], "api_keys"),
    ],
)
def test_the_error_for_an_invalid_option_names_it(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == ExitStatus.USAGE
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--api-key=k", f"--port={port}"]) == ExitStatus.CANTCREAT
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_a_simulator_that_cannot_start_raises_an_error() -> None:
    with pytest.raises(SimulatorError, match="did not start"):
        SimulatorProcess(speed=0).start()


def test_a_stopped_simulator_has_no_pid_and_does_not_answer() -> None:
    simulator = SimulatorProcess()
    simulator.start()
    assert os.getpid() != simulator.pid
    # Directly after it printed its address: a signal must not be lost then.
    assert simulator.stop() == 0
    with pytest.raises(SimulatorError, match="not running"):
        _ = simulator.pid
    with pytest.raises(SimulatorError, match="health"):
        simulator.health()
