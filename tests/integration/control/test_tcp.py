"""The process for control over TCP: its restart, and floods of its clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from speechaid.control import ControlSocket
from speechaid.control_sockets.relay import RelayProcess, TcpAccess
from speechaid.protocol.client import new_pair
from speechaid.protocol.keys import AllowedClient, KeyPair
from speechaid.protocol.messages import Request
from tests.support.fleet_harness import until

PATIENCE_MS = 20_000
#: Requests of the flood; of them so many without an answer, more than are passed on and fewer than the
#: answers that are queued for a client.
FLOOD = 3000
WINDOW = 200
#: Requests of one client that wait for the daemon.
OF_CLIENT = 64


class Keys:
    """A server's key pair and address, and a reader's and a writer's keys."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        self.server = new_pair()
        self.pairs = {"read": new_pair(), "write": new_pair()}

    @property
    def access(self) -> TcpAccess:
        clients = {
            pair.public: AllowedClient(name=access, access=access, public=pair.public)
            for access, pair in self.pairs.items()
        }
        return TcpAccess(address=self.address, pair=self.server, clients=clients)


class TcpClient:
    """A DEALER with a key."""

    def __init__(self, keys: Keys, access: str) -> None:
        self._context = zmq.Context()
        self.dealer = self._context.socket(zmq.DEALER)
        self.dealer.linger = 0
        pair: KeyPair = keys.pairs[access]
        self.dealer.curve_publickey = pair.public.encode()
        self.dealer.curve_secretkey = pair.secret.encode()
        self.dealer.curve_serverkey = keys.server.public.encode()
        self.dealer.connect(keys.address)
        #: The answers by the id of their request, and how many there were.
        self.answers: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def send(self, request_id: str, command: str, **args: Any) -> None:
        header = {"v": 1, "id": request_id, "command": command, "args": args}
        self.dealer.send(json.dumps(header).encode())

    def receive(self, timeout_ms: int = PATIENCE_MS) -> bool:
        if not self.dealer.poll(timeout_ms):
            return False
        answer = json.loads(self.dealer.recv())
        self.answers[answer["id"]] += 1
        self.codes[str(answer.get("error", {}).get("code", "ok"))] += 1
        return True

    def close(self) -> None:
        self.dealer.close(linger=0)
        self._context.term()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@contextlib.contextmanager
def connected(keys: Keys, access: str) -> Iterator[TcpClient]:
    client = TcpClient(keys, access)
    try:
        yield client
    finally:
        client.close()


def flood(client: TcpClient, command: str, **args: Any) -> None:
    """Send the whole flood; wait for an answer where too many are open."""
    for number in range(FLOOD):
        client.send(f"f{number}", command, **args)
        while number + 1 - client.answers.total() >= WINDOW:
            assert client.receive(), client.codes


def receive(control: ControlSocket) -> list[Request]:
    """The requests of the next pass that has any."""
    while not (requests := control.receive()):
        assert control.wait([], PATIENCE_MS).control
    return requests


def test_a_flood_that_the_daemon_does_not_take_is_answered_and_a_hold_passes_it(
    keys: Keys, tmp_path: Path
) -> None:
    control = ControlSocket(tmp_path / "run" / "control.sock", keys.access)
    with contextlib.closing(control), connected(keys, "read") as reader, connected(keys, "write") as writer:
        # The daemon takes nothing meanwhile: no more waits for it than the limit of a client.
        flood(reader, "status")
        while reader.answers.total() < FLOOD - OF_CLIENT:
            assert reader.receive(), reader.codes
        writer.send("stop", "hold", reason="flood")
        received: list[Request] = []
        while not any(request.command.urgent for request in received):
            received += receive(control)
        for request in received:
            control.reply(request, {})
        while writer.answers["stop"] == 0:
            control.wait([], 50)
            writer.receive(0)
        while reader.answers.total() < FLOOD:
            control.wait([], 50)
            for request in control.receive():
                control.reply(request, {})
            while reader.receive(0):
                pass
    assert reader.answers == Counter({f"f{number}": 1 for number in range(FLOOD)})
    assert set(reader.codes) == {"ok", "busy"}
    assert reader.codes["ok"] == OF_CLIENT


def test_each_hold_of_a_writer_is_answered_during_a_flood_of_a_reader(keys: Keys, tmp_path: Path) -> None:
    control = ControlSocket(tmp_path / "run" / "control.sock", keys.access)
    with contextlib.closing(control), connected(keys, "read") as reader, connected(keys, "write") as writer:
        sent = holds = 0
        while reader.answers.total() < FLOOD:
            while sent < FLOOD and sent - reader.answers.total() < WINDOW:
                # Forbidden: a reader may not hold.
                reader.send(f"f{sent}", "hold" if sent % 2 else "status")
                sent += 1
            if holds == writer.answers.total() and holds < 50:
                writer.send(f"h{holds}", "hold")
                holds += 1
            control.wait([], 10)
            for request in control.receive():
                control.reply(request, {})
            for client in (reader, writer):
                while client.receive(0):
                    pass
        while writer.answers.total() < holds:
            control.wait([], 10)
            for request in control.receive():
                control.reply(request, {})
            writer.receive(0)
    assert writer.codes == Counter({"ok": holds})
    assert reader.answers == Counter({f"f{number}": 1 for number in range(FLOOD)})


def test_the_process_is_started_again_where_it_was_killed(keys: Keys, tmp_path: Path) -> None:
    relay = RelayProcess(keys.access, tmp_path / "control.sock")
    with contextlib.closing(relay):
        killed = relay.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        def is_another() -> bool:
            relay.ensure()
            return relay.pid not in {None, killed}

        until(is_another, "it is started again")
