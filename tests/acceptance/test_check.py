"""``speechaid check`` as a process: its output and exit status."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.embedded.files import read_credentials
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect

Environ = dict[str, str]
Levels = dict[str, str]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(api_key="key_of_the_check") as process:
        yield process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDatabase]:
    server = EmbeddedDatabase(tmp_path_factory.mktemp("database"), sync_on_commit=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    path = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def variables(place: Path, simulator: SimulatorProcess, server: EmbeddedDatabase) -> Environ:
    """Valid settings for a daemon."""
    return {
        "MONGO_URI": server.uri,
        "MONGO_DB": f"check_{secrets.token_hex(4)}",
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": "2",
        "SPEECHAID_METRICS_ADDRESS": "127.0.0.1:0",
        "SPEECHAID_SOCKET": str(place / "control.sock"),
        "SPEECHAID_STATE_DIR": str(place / "state"),
        "HOME": str(place),
        # No zone data of this machine, which may be old: the package's alone.
        "PYTHONTZPATH": "",
        "PATH": os.environ["PATH"],
    }


def run(variables: Environ, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "speechaid", "check", *words],
        env=variables,
        cwd=variables["HOME"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def levels(variables: Environ, *words: str, status: int) -> Levels:
    """The level by name, of the last finding of each name; asserts the exit status."""
    done = run(variables, "--json", *words)
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    return {row["name"]: row["level"] for row in json.loads(done.stdout)["checks"]}


def text_of(variables: Environ, name: str) -> str:
    rows: list[dict[str, Any]] = json.loads(run(variables, "--json").stdout)["checks"]
    return str(next(row["text"] for row in rows if row["name"] == name))


def test_with_everything_in_order_all_checks_pass_and_nothing_is_dialled(
    variables: Environ, simulator: SimulatorProcess
) -> None:
    with closing(connect(DatabaseSettings(name=variables["MONGO_DB"]), uri=variables["MONGO_URI"])) as store:
        store.prepare()
    simulator.clear_requests()
    found = levels(variables, status=0)
    assert set(found) >= {"settings", "database", "durability", "indexes", "clock", "other workers", "retell"}
    assert set(found) >= {"agent", "number"}
    assert set(found) >= {"socket", "state directory", "descriptors"}
    assert {name for name, level in found.items() if level != "ok"} <= {"database"}  # a standalone server
    assert set(simulator.requests()["counts"]) == {"concurrency", "agent", "number"}
    assert simulator.placed_calls() == []


def test_an_agent_and_a_number_that_retell_does_not_have_are_named(
    variables: Environ, simulator: SimulatorProcess
) -> None:
    simulator.change(agents={"agent_other": {}}, numbers={"+56220000000": {}})
    try:
        found = levels(variables, status=1)
        assert (found["retell"], found["agent"], found["number"]) == ("ok", "fail", "fail")
        assert "no agent agent_test" in text_of(variables, "agent")
        assert variables["RETELL_FROM_NUMBER"] not in text_of(variables, "number")
        # Calls in progress must be followed all the same.
        found = levels(variables, "--before-start", status=0)
        assert (found["agent"], found["number"]) == ("warn", "warn")
    finally:
        simulator.change(agents=None, numbers=None)


def test_each_invalid_setting_is_reported_and_the_exit_status_is_78(variables: Environ) -> None:
    variables["WORKER_COUNT"] = "many"
    del variables["RETELL_AGENT_ID"]
    done = run(variables)
    assert done.returncode == 78
    assert [line.split("  ")[0] for line in done.stdout.splitlines()][::2] == ["fail"] * 3
    assert "WORKER_COUNT=many" in done.stdout
    assert f"{Path(variables['HOME']) / '.env'} is not there" in done.stdout
    assert levels(variables, "--before-start", status=78) == {"settings": "fail"}


def test_a_misspelt_variable_is_a_warning(variables: Environ) -> None:
    variables["WORKER_COUTN"] = "9"
    assert levels(variables, status=0)["settings"] == "warn"


def test_an_unavailable_database_fails_and_the_other_checks_run(variables: Environ) -> None:
    variables["MONGO_URI"] = "mongodb://somebody:the_password@127.0.0.1:1/"
    done = run(variables)
    assert done.returncode == 1
    assert "fail  database " in done.stdout
    assert "ok    retell " in done.stdout
    assert "the_password" not in done.stdout + done.stderr


def test_a_wrong_database_password_fails(variables: Environ, server: EmbeddedDatabase) -> None:
    password = read_credentials(server.directory).password
    variables["MONGO_URI"] = variables["MONGO_URI"].replace(password, "wrong")
    assert levels(variables, status=1)["database"] == "fail"


def test_a_wrong_retell_key_fails_even_before_a_start(variables: Environ) -> None:
    variables["RETELL_API_KEY"] = "another_key"
    assert levels(variables, "--before-start", status=1)["retell"] == "fail"
    assert "another_key" not in run(variables).stdout


def test_a_retell_outage_fails_but_is_a_warning_before_a_start(variables: Environ) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens there
        variables["RETELL_BASE_URL"] = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert levels(variables, status=1)["retell"] == "fail"
        assert levels(variables, "--before-start", status=0)["retell"] == "warn"


def test_more_workers_than_retell_allows_calls_is_a_warning(variables: Environ) -> None:
    variables["WORKER_COUNT"] = "21"
    assert levels(variables, status=0)["retell"] == "warn"
    assert text_of(variables, "retell") == "the key is valid; 0 of 20 calls in progress, but WORKER_COUNT=21"


def test_jobs_in_progress_of_another_program_are_a_warning(variables: Environ) -> None:
    job = {"status": "in_progress", "worker_id": "bot-7", "updated_at": datetime.now(UTC)}
    ours = {**job, "claim_token": "token", "worker_id": "worker-1@host:7"}
    with MongoClient[dict[str, Any]](variables["MONGO_URI"]) as client:
        client[variables["MONGO_DB"]]["jobs"].insert_many([{**job}, ours])
    assert levels(variables, status=0)["other workers"] == "warn"
    assert text_of(variables, "other workers").startswith("1 job is in progress under another program")


def test_an_unusable_socket_or_directory_fails(variables: Environ, place: Path) -> None:
    (place / "file").write_text("")
    variables["SPEECHAID_SOCKET"] = str(place / "file")
    variables["SPEECHAID_STATE_DIR"] = str(place / "file" / "state")
    found = levels(variables, status=1)
    assert (found["socket"], found["state directory"]) == ("fail", "fail")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SPEECHAID_LOG_FILE", "/nosuch/dir/log"), ("SPEECHAID_CONTROL_TCP", "tcp://127.0.0.1:17433")],
)
def test_a_fault_that_stops_a_start_fails_with_the_same_sentence(
    variables: Environ, variable: str, value: str
) -> None:
    environ = {**variables, variable: value}
    start = [sys.executable, "-m", "speechaid", "run"]
    refused = subprocess.run(start, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 78
    sentence = next(line for line in refused.stderr.splitlines() if variable in line)
    checked = run(environ)
    assert checked.returncode == 1
    finding = next(line for line in checked.stdout.splitlines() if variable in line)
    assert finding.startswith("fail")
    assert sentence.endswith(finding[finding.index(variable) :])


def test_the_check_of_the_log_file_creates_none(variables: Environ, place: Path) -> None:
    log = place / "log"
    assert run({**variables, "SPEECHAID_LOG_FILE": str(log)}).returncode == 0
    assert not log.exists()


def test_a_port_in_use_fails_and_names_the_program(variables: Environ) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        variables["SPEECHAID_METRICS_ADDRESS"] = address
        assert levels(variables, status=1)["metrics port"] == "fail"
        assert text_of(variables, "metrics port").endswith(f"(pid {os.getpid()})")
    assert levels(variables, status=0)["metrics port"] == "ok"


def test_too_few_descriptors_fail(variables: Environ) -> None:
    limited = f'ulimit -n 100 && exec "{sys.executable}" -m speechaid check'
    done = subprocess.run(
        ["/bin/sh", "-c", limited],
        env=variables,
        cwd=variables["HOME"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "fail  descriptors" in done.stdout


def test_a_running_daemon_is_ok_unless_another_is_to_start(variables: Environ, place: Path) -> None:
    variables["MONGO_URI"] = f"embedded:{place / 'database'}"
    assert levels(variables, "--before-start", status=0)["database"] == "ok"
    daemon = DaemonProcess(place, variables)
    try:
        daemon.start()
        pid = daemon.ask("status")["supervisor"]["pid"]
        found = levels(variables, status=0)
        assert (found["database"], found["durability"], found["indexes"]) == ("ok", "ok", "ok")
        assert text_of(variables, "socket").startswith(f"a daemon (pid {pid}) listens")
        assert levels(variables, "--before-start", status=1)["socket"] == "fail"
    finally:
        assert daemon.stop() == 0


@pytest.mark.parametrize("output", ["> /dev/full", ">&-"])
def test_an_unwritable_output_is_one_line_of_error(variables: Environ, place: Path, output: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m speechaid check {output}"],
        env=variables,
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 73
    assert "cannot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
