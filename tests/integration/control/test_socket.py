"""The control socket against real clients: access, refusals, and protection from bad clients."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechaid.control import ControlSocket
from speechaid.errors import ControlError
from speechaid.protocol import messages
from speechaid.protocol.messages import ErrorCode, Request
from tests.fuzz.control import resident_kb
from tests.support.fakes import Service, served
from tests.support.fleet_harness import until

#: Long enough for a busy machine; reached only where a test fails.
PATIENCE_MS = 20_000


class RawClient:
    """A DEALER that sends arbitrary frames."""

    def __init__(self, path: Path) -> None:
        self._context = zmq.Context()
        self.dealer = self._context.socket(zmq.DEALER)
        self.dealer.linger = 0
        self.dealer.connect(f"ipc://{path}")

    def send(self, *frames: bytes) -> None:
        self.dealer.send_multipart(frames)

    def ask(self, **header: Any) -> dict[str, Any]:
        self.send(json.dumps({"v": 1, "id": "q1", "args": {}, **header}).encode())
        return self.receive()

    def receive(self) -> dict[str, Any]:
        assert self.dealer.poll(PATIENCE_MS), "no answer"
        reply: dict[str, Any] = json.loads(self.dealer.recv())
        return reply

    def close(self) -> None:
        self.dealer.close(linger=0)
        self._context.term()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def service(path: Path) -> Iterator[Service]:
    with served(path) as running:
        yield running


@pytest.fixture
def client(service: Service, path: Path) -> Iterator[RawClient]:
    raw = RawClient(path)
    yield raw
    raw.close()


# -- binding the socket ------------------------------------------------------------------------------------


def test_only_owner_and_group_may_use_the_socket_and_enter_its_directory(path: Path) -> None:
    before = os.umask(0)
    try:
        with served(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
            assert stat.S_IMODE(messages.lock_path(path).stat().st_mode) == 0o640
            assert os.umask(0) == 0, "the process's umask is as it was"
    finally:
        os.umask(before)


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(service: Service, path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from speechaid.control import ControlSocket;"
        "ControlSocket(Path(sys.argv[1]))"
    )
    second = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert f"ControlError: another speechaid (pid {os.getpid()}) holds" in second.stderr


def test_the_first_daemon_answers_after_a_second_was_refused(client: RawClient, path: Path) -> None:
    with pytest.raises(ControlError):
        ControlSocket(path)
    assert client.ask(command="status")["ok"] is True


def test_the_socket_of_a_dead_daemon_is_taken_over(path: Path) -> None:
    program = (
        "import os, sys, signal; from pathlib import Path; from speechaid.control import ControlSocket;"
        "ControlSocket(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert path.is_socket(), "the dead daemon left its socket"
    with served(path):
        client = RawClient(path)
        assert client.ask(command="status")["ok"] is True
        client.close()


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")
    with pytest.raises(ControlError, match="no socket"):
        ControlSocket(path)
    assert path.read_text() == "precious"


def test_a_failed_start_releases_the_lock(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("in the way")
    with pytest.raises(ControlError):
        ControlSocket(path)
    path.unlink()
    ControlSocket(path).close()


def test_a_closed_socket_is_removed(path: Path) -> None:
    ControlSocket(path).close()
    assert not path.exists()
    assert messages.lock_path(path).read_text() == ""
    ControlSocket(path).close()


def test_a_directory_that_every_user_may_write_to_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(ControlError, match="writable by every user"):
        ControlSocket(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a directory")
def test_a_directory_of_another_user_is_refused(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(ControlError, match="belongs to uid 12345"):
        ControlSocket(path)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="allows 107"):
        ControlSocket(tmp_path / ("x" * 120))


# -- answering ---------------------------------------------------------------------------------------------


def test_an_answer_has_the_id_of_its_request(client: RawClient) -> None:
    reply = client.ask(command="status", id="abc.1")
    assert (reply["v"], reply["id"], reply["ok"]) == (1, "abc.1", True)


def test_an_invalid_request_gets_an_error_and_the_next_one_its_answer(
    client: RawClient,
) -> None:
    client.send(b"not json")
    reply = client.receive()
    assert (reply["id"], reply["ok"], reply["error"]["code"]) == (None, False, "bad_json")
    assert client.ask(command="status", v=9)["error"]["code"] == "bad_version"
    assert client.ask(command="status")["ok"] is True


@pytest.mark.parametrize("frames", [[b""], [b"{}", b"", b""], [b"{}"] * 50], ids=["empty", "three", "fifty"])
def test_a_wrong_number_of_frames_is_refused(client: RawClient, frames: list[bytes]) -> None:
    client.send(*frames)
    assert client.receive()["error"]["code"] in {"bad_json", "bad_request"}


def test_a_request_that_is_too_large_is_refused(client: RawClient) -> None:
    client.send(b" " * (messages.JSON_LIMIT + 1))
    assert client.receive()["error"]["code"] == ErrorCode.TOO_LARGE


def test_a_file_above_the_limit_is_refused(client: RawClient) -> None:
    header = {"v": 1, "id": "q1", "command": "import", "args": {"filename": "a.csv"}}
    client.send(json.dumps(header).encode(), bytes(messages.ATTACHMENT_LIMIT + 1))
    assert client.receive()["error"]["code"] == ErrorCode.TOO_LARGE


def test_a_frame_far_above_the_limit_disconnects_its_sender_only(
    service: Service, client: RawClient, path: Path
) -> None:
    client.send(bytes(messages.ATTACHMENT_LIMIT + messages.JSON_LIMIT + 1))
    other = RawClient(path)
    assert other.ask(command="status")["ok"] is True
    other.close()


def test_a_request_has_the_peer_from_the_kernel(path: Path) -> None:
    requests: list[Request] = []
    control = ControlSocket(path)
    client = RawClient(path)
    client.send(b'{"v": 1, "id": "q1", "command": "status"}')
    while not requests:
        assert control.wait([], PATIENCE_MS).control
        requests = control.receive()
    peer = requests[0].peer
    assert (peer.uid, peer.gid, peer.pid) == (os.getuid(), os.getgid(), os.getpid())
    client.close()
    control.close()


def test_answers_to_a_disconnected_client_raise_nothing(path: Path) -> None:
    control = ControlSocket(path)
    client = RawClient(path)
    client.send(b'{"v": 1, "id": "q1", "command": "status"}')
    assert control.wait([], PATIENCE_MS).control
    (request,) = control.receive()
    client.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _still_connected(control, request):
        control.wait([], 20)
    for _ in range(1000):
        control.reply(request, {"text": "x" * 1000})
    control.close()


def _still_connected(control: ControlSocket, request: Request) -> bool:
    return control.stream(request, {}) is not None


def test_a_client_that_never_reads_does_not_block_the_others(service: Service, path: Path) -> None:
    unread = RawClient(path)
    unread.dealer.rcvhwm = 1
    for _ in range(2000):
        try:
            unread.dealer.send(b'{"v": 1, "id": "q1", "command": "status"}', zmq.NOBLOCK)
        except zmq.Again:
            break
    client = RawClient(path)
    assert client.ask(command="status")["ok"] is True
    client.close()
    unread.close()


def test_an_answer_that_is_not_json_becomes_an_error(path: Path) -> None:
    control = ControlSocket(path)
    client = RawClient(path)
    client.send(b'{"v": 1, "id": "q1", "command": "batches"}')
    assert control.wait([], PATIENCE_MS).control
    (request,) = control.receive()
    endless: list[object] = []
    endless.append(endless)
    control.reply(request, {"ratio": endless})
    assert client.receive()["error"]["code"] == "internal"
    client.close()
    control.close()


# -- waiting -----------------------------------------------------------------------------------------------


def test_waiting_ends_when_a_descriptor_of_the_caller_is_readable(path: Path) -> None:
    control = ControlSocket(path)
    quiet_end, quiet = os.pipe()
    busy_end, busy = os.pipe()
    os.write(busy, b"!")
    ready = control.wait([quiet_end, busy_end], PATIENCE_MS)
    assert (ready.fds, ready.control) == (frozenset({busy_end}), False)
    os.read(busy_end, 1)
    assert control.wait([quiet_end], 0).fds == frozenset(), (
        "a descriptor that is not passed any more is not polled"
    )
    os.close(quiet)
    assert control.wait([quiet_end], PATIENCE_MS).fds == frozenset({quiet_end}), "end-of-file wakes as well"
    for descriptor in (quiet_end, busy_end, busy):
        os.close(descriptor)
    control.close()


def test_a_flood_is_received_in_bursts(path: Path) -> None:
    control = ControlSocket(path)
    client = RawClient(path)

    def flood() -> None:
        for _ in range(500):
            client.send(b'{"v": 1, "id": "q1", "command": "status"}')

    sender = threading.Thread(target=flood)
    sender.start()
    sizes: list[int] = []
    while sum(sizes) < 500:
        assert control.wait([], PATIENCE_MS).control
        sizes.append(len(control.receive()))
    assert max(sizes) <= 64
    sender.join()
    client.close()
    control.close()


def test_an_answer_of_a_loop_command_is_always_json(path: Path) -> None:
    control = ControlSocket(path)
    client = RawClient(path)
    client.send(b'{"v": 1, "id": "q1", "command": "status"}')
    assert control.wait([], PATIENCE_MS).control
    (request,) = control.receive()
    control.reply(
        request, {"name": "Zoë", "odd": float("nan"), "place": Path("/a"), "state": ErrorCode.REFUSED}
    )
    result = {"name": "Zoë", "odd": None, "place": "/a", "state": "refused"}
    assert client.receive() == {"v": 1, "id": "q1", "ok": True, "result": result}
    client.close()
    control.close()


def test_an_answer_with_a_path_that_is_not_utf_8_is_json_nevertheless(path: Path) -> None:
    control = ControlSocket(path)
    client = RawClient(path)
    client.send(b'{"v": 1, "id": "q1", "command": "status"}')
    assert control.wait([], PATIENCE_MS).control
    (request,) = control.receive()
    control.reply(request, {"place": os.fsdecode(b"/d\xf1")})
    assert client.receive() == {"v": 1, "id": "q1", "ok": True, "result": {"place": r"/d\xf1"}}
    client.close()
    control.close()


# -- arbitrary input ---------------------------------------------------------------------------------------

frames = st.lists(
    st.binary(max_size=200)
    | st.just(b'{"v": 1, "id": "q1", "command": "status"}')
    | st.builds(
        lambda command, args: json.dumps({"v": 1, "id": "q1", "command": command, "args": args}).encode(),
        st.sampled_from(sorted(messages.COMMANDS)) | st.text(max_size=20),
        st.dictionaries(st.text(max_size=10), st.integers() | st.text(max_size=10), max_size=3),
    ),
    min_size=1,
    max_size=3,
)


@settings(
    max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(frames=frames)
def test_every_message_gets_an_answer_and_the_service_goes_on(client: RawClient, frames: list[bytes]) -> None:
    client.send(*frames)
    reply = client.receive()
    if reply.get("progress") == {"state": "listening"}:
        return  # a stream: it has no last answer
    while "progress" in reply:
        reply = client.receive()
    assert isinstance(reply["ok"], bool)
    if not reply["ok"]:
        assert reply["error"]["code"] in set(ErrorCode)
        assert reply["error"]["code"] != ErrorCode.INTERNAL


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=300))
def test_bytes_that_are_not_zeromq_do_not_stop_the_service(
    client: RawClient, path: Path, garbage: bytes
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
        raw.connect(str(path))
        raw.sendall(garbage)
    assert client.ask(command="status")["ok"] is True


# -- hostile and broken surroundings -----------------------------------------------------------------------


def test_a_message_of_very_many_frames_ends_its_connection_only(
    service: Service, client: RawClient, path: Path
) -> None:
    """libzmq, in the client, sends a message once it is complete."""
    hostile = RawClient(path)
    for _ in range(400_000):
        hostile.dealer.send(b"", zmq.SNDMORE)
    hostile.dealer.send(b"")
    before = resident_kb(os.getpid())
    for _ in range(50):
        assert client.ask(command="status")["ok"] is True
    assert not hostile.dealer.poll(100), "it gets no answer"
    hostile.close()
    assert resident_kb(os.getpid()) - before < 30_000


def test_a_socket_that_is_swept_away_is_made_anew_with_its_lock(service: Service, path: Path) -> None:
    connected = RawClient(path)
    assert connected.ask(command="status")["ok"] is True
    path.unlink()
    messages.lock_path(path).unlink()
    path.parent.rmdir()
    until(path.exists, "the socket is made anew")
    later = RawClient(path)
    assert later.ask(command="status")["ok"] is True
    assert connected.ask(command="status")["ok"] is True, "an open connection goes on"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(ControlError, match="holds the control socket"):
        ControlSocket(path)
    for one in (connected, later):
        one.close()


def test_a_file_in_the_place_of_a_swept_socket_is_left_alone(service: Service, path: Path) -> None:
    path.unlink()
    path.write_text("precious")
    time.sleep(2.5)  # two checks
    assert path.read_text() == "precious"
    path.unlink()
    until(path.exists, "the socket is made anew")
    client = RawClient(path)
    assert client.ask(command="status")["ok"] is True
    client.close()


def test_connections_without_descriptors_left_are_closed_and_the_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    script = (
        "import resource, sys; from pathlib import Path; from tests.support.fakes import served\n"
        "import time\n"
        "with served(Path(sys.argv[1])):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "    print('up', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdin is not None
        assert daemon.stdout.readline() == "up\n"
        client = RawClient(path)
        assert client.ask(command="status")["ok"] is True
        flood = []
        for _ in range(100):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(path))
            flood.append(one)
        assert client.ask(command="status")["ok"] is True
        for one in flood:
            one.close()
        later = RawClient(path)
        assert later.ask(command="status")["ok"] is True
        for answered in (client, later):
            answered.close()
        daemon.stdin.close()
        assert daemon.wait(60) == 0


def test_a_client_that_does_not_greet_loses_its_connection(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechaid.control_sockets.clients._HANDSHAKE_SECONDS", 0.0)
    with served(path), socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        silent.settimeout(PATIENCE_MS / 1000)
        while silent.recv(4096):
            pass


def test_where_all_places_are_taken_a_new_client_takes_that_of_the_most_silent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechaid.control_sockets.clients.MAX_CONNECTIONS", 4)
    with contextlib.ExitStack() as idle, served(path):
        for _ in range(10):
            idle.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        client = RawClient(path)
        assert client.ask(command="status")["ok"] is True
        client.close()


def test_a_stream_that_is_not_read_costs_no_answer(path: Path) -> None:
    """On one connection: all clients on TCP share the one of the process that relays for them."""
    control = ControlSocket(path)
    client = RawClient(path)
    client.send(b'{"v": 1, "id": "events", "command": "events"}')
    client.send(b'{"v": 1, "id": "asked", "command": "status"}')
    requests: list[Request] = []
    while len(requests) < 2:
        assert control.wait([], PATIENCE_MS).control
        requests += control.receive()
    items = 0
    while control.stream(requests[0], {"text": "x" * 50_000}):
        items += 1
    control.reply(requests[1], {"done": True})
    over = threading.Event()

    def send_on() -> None:
        while not over.is_set():
            control.wait([], 50)

    sending = threading.Thread(target=send_on)
    sending.start()
    while client.receive()["id"] != "asked":
        items -= 1
    over.set()
    sending.join()
    assert items == 0, "every item that was taken comes before it"
    client.close()
    control.close()
