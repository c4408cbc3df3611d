"""speechctl against a real socket: exit statuses, output for people and programs, missing answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from speechaid.control import ControlSocket
from speechaid.protocol.client import Client, Refused, Remote, Unanswered, Unreachable, new_pair
from speechaid.protocol.connection_faults import SERVICE_SOCKET, start_command, unreachable_reason
from speechaid.protocol.keys import Credentials
from speechaid.protocol.messages import ErrorCode, Request, lock_path
from speechctl import exporting
from speechctl.cli import main
from tests.support.fakes import Service, served

PATIENCE_SECONDS = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def service(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("SPEECHAID_SOCKET", str(path))
    with served(path) as running:
        yield running


@contextlib.contextmanager
def never_done(path: Path) -> Iterator[None]:
    """A daemon that receives requests and sends progress without end."""
    control = ControlSocket(path)
    stop = threading.Event()

    def serve() -> None:
        received: list[Request] = []
        while not stop.is_set():
            control.wait([], 20)
            received += control.receive()
            for request in received:
                control.progress(request, {"state": "importing", "done": 1, "of": 2})

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    stop.set()
    thread.join()
    control.close()


# -- exit statuses and output ------------------------------------------------------------------------------


def test_a_done_command_exits_0_with_text_for_people(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    assert "worker-2  following  job-7" in capsys.readouterr().out


def test_json_output_is_the_result(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drain", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["draining"], answer["stopping"], answer["calls_in_hand"]) == (True, False, 1)
    assert service.daemon.draining is True


def test_a_refusal_exits_1_with_its_reason(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause-worker", "9"]) == 1
    assert "speechctl: there is no worker '9'" in capsys.readouterr().err


def test_a_refusal_as_json_has_its_code(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause-worker", "9", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not_found"


def test_a_dangerous_command_runs_with_yes(service: Service) -> None:
    assert main(["shutdown", "--now", "--yes"]) == 0
    assert service.daemon.stopping == "now"


def test_drain_with_wait_returns_when_the_last_call_has_ended(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = []

    def poll_again(seconds: float) -> None:
        polls.append(seconds)
        service.daemon.in_call = len(polls) < 3

    # Only the name in that module: the database driver's threads use ``time.sleep`` too.
    monkeypatch.setattr("speechctl.live.time", SimpleNamespace(sleep=poll_again, monotonic=time.monotonic))
    assert main(["drain", "--wait"]) == 0
    assert len(polls) == 3
    assert "drained" in capsys.readouterr().out


def test_drain_with_wait_waits_for_a_worker_that_is_claiming(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.daemon.in_call = False
    states = ["idle", "claiming", "dialling", "draining"]
    service.daemon.first_state = states[0]
    polls = []

    def poll_again(seconds: float) -> None:
        polls.append(seconds)
        service.daemon.first_state = states[len(polls)]

    monkeypatch.setattr("speechctl.live.time", SimpleNamespace(sleep=poll_again, monotonic=time.monotonic))
    assert main(["drain", "--wait"]) == 0
    assert len(polls) == 3


def test_the_installed_command_answers_as_a_process(service: Service) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "speechctl", "status"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("speechaid 0.2.0 on host-a")


def test_a_closed_pipe_on_the_output_is_no_error(service: Service) -> None:
    command = f"{sys.executable} -m speechctl status | true; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.stderr == ""


@pytest.mark.parametrize("command", ["status", "status --json", "completion bash", "--version"])
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(("output", "why"), [("> /dev/full", "No space left"), (">&-", "it is closed")])
def test_output_that_cannot_be_written_is_an_error_in_one_line(
    service: Service, command: str, buffered: str, output: str, why: str
) -> None:
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m speechctl {command} {output}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert why in run.stderr


def test_a_confirmation_without_input_asks_for_yes(service: Service) -> None:
    command = f"{sys.executable} -m speechctl shutdown --now <&-"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "use --yes" in run.stderr


def test_characters_that_the_output_cannot_encode_are_replaced(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = service.daemon.snapshot()
    snapshot["supervisor"]["host"] = "ñuñoa"
    monkeypatch.setattr(service.daemon, "snapshot", lambda: snapshot)
    run = subprocess.run(
        [sys.executable, "-m", "speechctl", "status"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("speechaid 0.2.0 on ?u?oa")


def test_speechctl_does_not_import_the_daemon_or_rich(service: Service) -> None:
    program = (
        "import sys; from speechctl.cli import main; main(['status', '--json']);"
        "heavy = {'rich', 'pymongo', 'pydantic', 'requests', 'speechaid.settings'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


# -- missing answers ---------------------------------------------------------------------------------------


def test_without_a_daemon_it_exits_3_at_once_and_says_how_to_start_one(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECHAID_SOCKET", str(path))
    assert main(["status"]) == 3
    assert "start it with: speechaid run" in capsys.readouterr().err


def test_where_the_daemon_is_a_service_the_advice_is_to_start_that(tmp_path: Path) -> None:
    unit = tmp_path / "speechaid.service"
    assert start_command(SERVICE_SOCKET, [unit]) == "speechaid run"
    unit.touch()
    assert start_command(SERVICE_SOCKET, [unit]) == "systemctl start speechaid"
    assert start_command(tmp_path / "control.sock", [unit]) == "speechaid run"


def test_a_socket_other_than_the_default_is_pointed_out(path: Path) -> None:
    with Client(path) as client, pytest.raises(Unreachable, match="without --socket it would be"):
        client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)


def test_a_left_over_socket_is_reported_as_such(path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with Client(path) as client, pytest.raises(Unreachable, match="left over from a daemon that is gone"):
        client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)


def test_a_file_that_is_no_socket_is_reported_as_such(path: Path) -> None:
    path.write_text("")
    with Client(path) as client, pytest.raises(Unreachable, match="is not a socket"):
        client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
def test_a_socket_of_another_group_is_reported_as_such(service: Service, path: Path) -> None:
    os.seteuid(65534)
    try:
        with Client(path) as client, pytest.raises(Unreachable, match="join the group"):
            client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)
    finally:
        os.seteuid(0)


# -- sockets of others ---------------------------------------------------------------------------------------

#: ``nobody``, who is neither this user nor root.
STRANGER_UID = 65534


@contextlib.contextmanager
def stranger(path: Path) -> Iterator[None]:
    """A process of another user that listens at this path, and would answer whatever it likes."""
    program = (
        "import os, socket, sys, time;"
        f"os.setgid({STRANGER_UID}); os.setuid({STRANGER_UID});"
        "listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777);"
        "listener.listen(); print('ready', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may enter, as ``/tmp``; that of the test is closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")


@needs_root
def test_a_daemon_in_the_directory_of_a_stranger_is_not_believed(shared: Path) -> None:
    directory = shared / "speechaid-1000"
    directory.mkdir()
    os.chown(directory, STRANGER_UID, STRANGER_UID)
    with stranger(directory / "control.sock"), Client(directory / "control.sock") as client:
        with pytest.raises(Unreachable, match=f"{directory} belongs to nobody, not to you") as caught:
            client.ask("hold", {}, timeout_seconds=PATIENCE_SECONDS)
        assert "nothing was sent" in str(caught.value)


@needs_root
def test_a_socket_of_a_stranger_in_a_shared_directory_is_not_believed(shared: Path) -> None:
    with (
        stranger(shared / "control.sock"),
        Client(shared / "control.sock") as client,
        pytest.raises(Unreachable, match=r"control\.sock belongs to nobody"),
    ):
        client.ask("hold", {}, timeout_seconds=PATIENCE_SECONDS)


@needs_root
def test_a_stranger_who_listens_behind_a_file_of_ours_is_not_believed(shared: Path) -> None:
    with stranger(shared / "control.sock"), Client(shared / "control.sock") as client:
        os.chown(shared / "control.sock", 0, 0)
        with pytest.raises(Unreachable, match=r"\(pid \d+\) belongs to nobody"):
            client.ask("hold", {}, timeout_seconds=PATIENCE_SECONDS)


def test_a_socket_in_a_directory_that_every_user_may_change_is_not_believed(
    service: Service, path: Path
) -> None:
    path.parent.chmod(0o777)
    with Client(path) as client, pytest.raises(Unreachable, match="every user may write in"):
        client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)


@needs_root
def test_a_service_is_believed_whose_runtime_directory_root_made(shared: Path) -> None:
    shared.chmod(0o755)  # as /run: only root makes directories there
    directory = shared / "speechaid"
    directory.mkdir()
    os.chown(directory, STRANGER_UID, STRANGER_UID)
    path = directory / "control.sock"
    with stranger(path):
        assert unreachable_reason(path, runtime_directories=shared) is None
        shared.chmod(0o1777)  # where everybody makes directories, an owner proves nothing
        assert "belongs to nobody" in str(unreachable_reason(path, runtime_directories=shared))


def test_a_daemon_that_does_not_answer_is_named_with_its_pid(path: Path) -> None:
    control = ControlSocket(path)
    with Client(path) as client, pytest.raises(Unanswered, match=rf"pid {os.getpid()}\) did not answer"):
        client.ask("status", {}, timeout_seconds=0.2)
    control.close()


def test_events_of_a_daemon_that_does_not_answer_end_with_the_time_out(path: Path) -> None:
    control = ControlSocket(path)
    with (
        Client(path) as client,
        pytest.raises(Unanswered, match=r"did not answer within 0\.2 s: it is stopped"),
    ):
        next(client.stream("events", {}, timeout_seconds=0.2))
    control.close()


def test_a_silent_address_on_the_network_may_be_a_stopped_daemon() -> None:
    pair = new_pair()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        remote = Remote(
            address=address, credentials=Credentials(name="maria", pair=pair, server=new_pair().public)
        )
        stopped_or_absent = r"stopped or stuck, no daemon listens there .* or a firewall"
        with Client(remote) as client, pytest.raises(Unanswered, match=stopped_or_absent):
            client.ask("status", {}, timeout_seconds=0.2)


def test_progress_is_reported_as_such_and_does_not_extend_the_time_out(path: Path) -> None:
    progress: list[object] = []
    with (
        never_done(path),
        Client(path) as client,
        pytest.raises(Unanswered, match=r"accepted the request.*it continues"),
    ):
        client.ask("batches", {}, timeout_seconds=2.0, on_progress=progress.append)
    assert progress


def test_a_late_answer_is_not_taken_for_the_next_one(path: Path) -> None:
    control = ControlSocket(path)
    with Client(path) as client:
        with pytest.raises(Unanswered):
            client.ask("status", {}, timeout_seconds=0.2)
        stop = threading.Event()

        def serve() -> None:
            number = 0
            while not stop.is_set():
                control.wait([], 20)
                for request in control.receive():
                    number += 1
                    control.reply(request, {"number": number})

        thread = threading.Thread(target=serve)
        thread.start()
        first, second = (client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)["number"] for _ in "ab")
        assert second == first + 1
        stop.set()
        thread.join()
    control.close()


def test_a_refusal_carries_its_code_and_exit_status(service: Service, path: Path) -> None:
    with Client(path) as client, pytest.raises(Refused) as caught:
        client.ask("nonsense", {}, timeout_seconds=PATIENCE_SECONDS)
    assert (caught.value.code, caught.value.exit_status) == (ErrorCode.UNKNOWN_COMMAND, 2)


def test_the_lock_file_of_a_stopped_daemon_has_no_pid(path: Path) -> None:
    ControlSocket(path).close()
    assert lock_path(path).read_text() == ""


def test_an_export_continues_where_it_was_when_the_database_is_back(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "RETRY_SECONDS", 0.01)
    page = {"what": "dnc", "columns": ["phone"], "rows": [["+569"]]}
    pages_requested: list[str | None] = []
    control = ControlSocket(path)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            control.wait([], 20)
            for request in control.receive():
                pages_requested.append(request.args["after"])
                if len(pages_requested) in {2, 3}:
                    control.refuse(request, ErrorCode.UNAVAILABLE, "the database is away")
                else:
                    control.reply(request, {**page, "next": "1:+569" if len(pages_requested) == 1 else None})

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert main(["export", str(tmp_path / "list.csv"), "--what", "dnc", "--socket", str(path)]) == 0
    finally:
        stop.set()
        thread.join()
        control.close()
    assert pages_requested == [None, "1:+569", "1:+569", "1:+569"]
    assert len((tmp_path / "list.csv").read_text().splitlines()) == 3


def test_a_daemon_that_accepts_no_connection_is_reported_within_the_time_out(path: Path) -> None:
    """It is stopped, and as many clients as the system allows wait for it already."""
    with contextlib.ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket(socket.AF_UNIX))
        path.parent.mkdir(parents=True, exist_ok=True)
        listening.bind(str(path))
        listening.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(str(path))
        script = (
            "import sys; from pathlib import Path; from speechctl.cli import main;"
            "sys.exit(main(['status', '--socket', sys.argv[1], '--timeout', '1s']))"
        )
        command = [sys.executable, "-c", script, str(path)]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 3
    assert "did not answer within 1 s" in finished.stderr
