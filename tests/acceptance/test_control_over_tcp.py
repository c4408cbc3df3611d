"""Control over TCP: a whole daemon, real keys, and clients with wrong keys or none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import zmq

from speechaid.errors import FleetError
from speechaid.protocol.client import Client, Refused, Remote, Unreachable, new_pair
from speechaid.protocol.keys import AllowedClient, Credentials, credentials, write_client, write_credentials
from speechaid.protocol.specs.specification import Access
from tests.fuzz.control import fuzz, written
from tests.support.fleet_harness import parent_of
from tests.support.terminal import Terminal, open_terminal

PATIENCE_SECONDS = 30.0
#: Long enough for an answer on a busy machine, short enough to wait for silence.
SILENCE_MS = 3_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Network:
    """A daemon that listens on TCP, and key files for it."""

    def __init__(self, terminal: Terminal, address: str, keys: Path) -> None:
        self.terminal = terminal
        self.address = address
        self.keys = keys

    def keys_of(self, name: str) -> Path:
        return self.terminal.place / f"{name}.key"

    def client(self, name: str) -> Client:
        return Client(Remote(address=self.address, credentials=credentials(self.keys_of(name))))

    def add(self, name: str, access: str) -> None:
        words = ["keys", "add", name, "--access", access, "--dir", str(self.keys)]
        self.terminal.type(*words, "--out", str(self.keys_of(name)))

    def admits(self, name: str) -> bool:
        with self.client(name) as client:
            try:
                return bool(client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS))
            except Unreachable:
                return False

    def relay(self) -> int:
        """The process that listens on TCP, once it runs."""

        def find() -> int | None:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    pid, title = int(entry.parent.name), entry.read_bytes()
                    if title.startswith(b"speechaid: control over TCP") and parent_of(pid) == self.pid:
                        return pid
            return None

        return int(self.terminal.until(find))

    @property
    def pid(self) -> int:
        return int(self.terminal.ask("status")["supervisor"]["pid"])

    def refusals_logged(self) -> int:
        return self.terminal.daemon.log.read_text().count("control.request_refused")

    def refusals_counted(self, cause: str) -> float:
        """The counter of this cause, as Prometheus reads it."""
        address = self.terminal.ask("status")["metrics"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_SECONDS) as page:
            text = page.read().decode()
        return float(
            text.partition(f'speechaid_control_refusals_total{{cause="{cause}"}} ')[2].split("\n")[0]
        )

    def wait_for_log(self, text: str) -> None:
        self.terminal.until(lambda: text in self.terminal.daemon.log.read_text())


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    address = f"tcp://127.0.0.1:{free_port()}"
    with open_terminal(SPEECHAID_CONTROL_TCP=address, start=False) as terminal:
        opened = Network(terminal, address, terminal.place / "state" / "keys")
        with pytest.raises(FleetError, match="without keys there is no control over TCP"):
            terminal.daemon.start()
        terminal.type("keys", "server", "--dir", str(opened.keys))
        opened.add("maria", "write")
        opened.add("grafana", "read")
        opened.add("panel", "status")
        terminal.daemon.start()
        yield opened


def test_key_files_are_readable_for_their_owner_only(network: Network) -> None:
    for path in (network.keys / "server.json", network.keys_of("maria")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = network.terminal.ask("keys", "list", "--dir", str(network.keys))
    assert {(row["name"], row["access"]) for row in listed["clients"]} == {
        ("maria", "write"),
        ("grafana", "read"),
        ("panel", "status"),
    }
    assert "secret" not in json.dumps(listed)
    assert "exists already" in network.terminal.refused("keys", "server", "--dir", str(network.keys))


def test_a_client_with_a_write_key_reads_and_writes_and_is_recorded_by_name(network: Network) -> None:
    with network.client("maria") as client:
        assert client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)["supervisor"]["pid"]
        client.ask("create-batch", {"name": "from afar"}, timeout_seconds=PATIENCE_SECONDS)
    network.terminal.until(lambda: "maria (key, 127.0.0.1)" in network.terminal.type("logs", "--commands"))


def test_the_command_line_takes_a_key_file(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    from speechctl.cli import main

    assert main(["status", "--socket", network.address, "--key", str(network.keys_of("maria"))]) == 0
    monkeypatch.delenv("SPEECHCTL_KEY", raising=False)
    assert main(["status", "--socket", network.address]) == 2


def test_a_client_with_a_read_key_reads_and_its_writes_are_refused_and_logged(network: Network) -> None:
    with network.client("grafana") as client:
        assert "workers" in client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)
        with pytest.raises(Refused) as caught:
            client.ask("drain", {}, timeout_seconds=PATIENCE_SECONDS)
    assert caught.value.code == "forbidden"
    assert not network.terminal.ask("status")["supervisor"]["draining"]
    network.wait_for_log("drain needs write access, and this client has read")


def test_a_client_with_a_status_key_sees_counts_and_nothing_of_a_person(network: Network) -> None:
    batch_id = network.terminal.import_contacts(3, "clientes de Ana Rojas")
    job = network.terminal.a_live_call(batch_id)
    network.terminal.type("hold", "--reason", "complaint of Ana Rojas +56912345671")
    jobs = list(network.terminal.database["jobs"].find({"batch_id": batch_id}))
    of_people = {"Ana Rojas", "912345671", "********71", str(job["dial"]["call_id"])}
    for found in jobs:
        of_people |= {found["job_id"], found["contact"]["name"], *found["contact"]["phones"]}
    with network.client("panel") as client:
        answers = {
            name: client.ask(name, {}, timeout_seconds=PATIENCE_SECONDS)
            for name in ("status", "alerts", "batches")
        }
        for name in ("jobs", "logs", "doctor", "promises", "forecast", "imports"):
            with pytest.raises(Refused) as caught:
                client.ask(name, {}, timeout_seconds=PATIENCE_SECONDS)
            assert caught.value.code == "forbidden", name
        with pytest.raises(Refused, match="events needs read access, and this client has status"):
            next(client.stream("events", {}))
    network.terminal.type("unhold")
    shown = json.dumps(answers)
    assert [text for text in of_people if text in shown] == []
    assert any(worker["job"] for worker in answers["status"]["workers"])
    assert answers["status"]["fleet_hold"]["at"]
    assert sum(answers["status"]["queue"].values()) >= len(jobs)
    assert batch_id in shown


def test_a_key_that_is_not_on_the_list_is_refused_and_logged(network: Network) -> None:
    known = credentials(network.keys_of("maria"))
    stranger = Credentials(name="stranger", pair=new_pair(), server=known.server)
    remote = Remote(address=network.address, credentials=stranger)
    with Client(remote) as client, pytest.raises(Unreachable, match="does not accept this key"):
        client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)
    network.wait_for_log(f"its key {stranger.pair.public} is not allowed")
    network.terminal.until(lambda: network.refusals_counted("unknown_key"))


def test_a_client_with_another_server_key_is_refused_and_logged(network: Network) -> None:
    known = credentials(network.keys_of("maria"))
    misled = Credentials(name="maria", pair=known.pair, server=new_pair().public)
    remote = Remote(address=network.address, credentials=misled)
    with Client(remote) as client, pytest.raises(Unreachable):
        client.ask("status", {}, timeout_seconds=5.0)
    network.wait_for_log("was refused: no CURVE, or the wrong server key")


def test_an_unencrypted_connection_gets_no_answer_and_is_logged(network: Network) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(network.address)
    plain.send(json.dumps({"v": 1, "id": "q", "command": "status", "args": {}}).encode())
    assert not plain.poll(SILENCE_MS)
    plain.close()
    context.term()
    with socket.create_connection(("127.0.0.1", int(network.address.rpartition(":")[2])), timeout=5) as raw:
        raw.sendall(b"GET /status HTTP/1.1\r\n\r\n")
        raw.settimeout(5)
        received = b""
        with contextlib.suppress(OSError):  # a time-out, or a reset connection
            while piece := raw.recv(4096):
                received += piece
    assert b"{" not in received
    network.wait_for_log(f"a connection to {network.address} was refused")
    assert network.terminal.ask("status")["supervisor"]["state"] == "running"


def test_a_reload_admits_added_clients_and_refuses_revoked_ones_even_connected(
    network: Network,
) -> None:
    network.add("jorge", "write")
    network.terminal.type("reload")
    with network.client("jorge") as client:
        assert client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)
        network.terminal.type("keys", "revoke", "jorge", "--dir", str(network.keys))
        network.terminal.type("reload")
        with pytest.raises(Refused) as caught:
            client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)
        assert caught.value.code == "forbidden"
        # Told why, the connection is closed; the client connects again by itself, and is not let in.
        with pytest.raises(Unreachable, match="does not accept this key"):
            client._poll(client._connected(), int(PATIENCE_SECONDS * 1000))
    with network.client("jorge") as client, pytest.raises(Unreachable):
        client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)
    network.wait_for_log("a revoked client at 127.0.0.1 was refused")


def test_revoking_a_key_ends_its_stream_of_events_and_no_other(network: Network) -> None:
    network.add("luis", "read")
    network.terminal.type("reload")
    with network.client("luis") as client, network.client("grafana") as other:
        stream, of_other = client.stream("events", {}), other.stream("events", {})
        assert next(stream) == next(of_other) == {"state": "listening"}
        network.terminal.type("keys", "revoke", "luis", "--dir", str(network.keys))
        network.terminal.type("reload")
        with pytest.raises(Refused, match="key was revoked") as caught:
            list(stream)
        assert caught.value.code == "forbidden"
        network.terminal.type("log-level", "INFO")
        commands = (item.get("event", {}).get("command") for item in of_other)
        assert any(command == "log-level" for command in commands)


def test_lowering_a_keys_access_ends_what_was_begun_with_more(network: Network) -> None:
    network.add("rosa", "read")
    network.terminal.type("reload")
    with network.client("rosa") as client:
        stream = client.stream("events", {})
        assert next(stream) == {"state": "listening"}
        file = network.keys / "clients" / "rosa.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "access": "status"}))
        network.terminal.type("reload")
        with pytest.raises(Refused, match="gives other access now"):
            list(stream)
        assert client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)


def test_revoking_a_key_stops_the_import_that_it_began(network: Network) -> None:
    people = 60_000
    rows = [
        f"Persona {number},+1{212 + number // 10_000}55{number % 10_000 + 50_000}" for number in range(people)
    ]
    file = "\n".join(["nombre,telefono", *rows]).encode()
    args = {"filename": "all.csv", "name": "revoked", "accept": "unassigned,placeholder,service"}
    network.add("hugo", "write")
    network.terminal.type("reload")

    def revoke(progress: Mapping[str, Any]) -> None:
        if progress["state"] == "reading":
            network.terminal.type("keys", "revoke", "hugo", "--dir", str(network.keys))
            network.terminal.type("reload")

    with network.client("hugo") as client, pytest.raises(Refused, match="key was revoked"):
        client.ask("import", args, attachment=file, timeout_seconds=PATIENCE_SECONDS, on_progress=revoke)
    jobs = network.terminal.database["jobs"]
    # The database thread carries out commands in order: the next step of the import has had its turn.
    network.terminal.type("batches")
    imported = jobs.count_documents({"contact.name": {"$regex": "^Persona 5"}})
    network.terminal.type("batches")
    assert jobs.count_documents({"contact.name": {"$regex": "^Persona 5"}}) == imported < people / 6
    network.terminal.until(lambda: "import" in network.terminal.type("logs", "--commands"))


def test_sighup_admits_added_clients(network: Network) -> None:
    pid = network.terminal.ask("status")["supervisor"]["pid"]
    network.add("ana", "write")
    os.kill(pid, signal.SIGHUP)
    network.terminal.until(lambda: network.admits("ana"))


def test_keys_that_others_can_read_are_refused_on_reload_and_the_old_ones_stay(network: Network) -> None:
    server = network.keys / "server.json"
    server.chmod(0o644)
    assert "readable by others" in network.terminal.refused("reload")
    server.chmod(0o600)
    with network.client("maria") as client:
        assert client.ask("status", {}, timeout_seconds=PATIENCE_SECONDS)


def test_events_stream_over_the_network_too(network: Network) -> None:
    with network.client("grafana") as client:
        stream = client.stream("events", {})
        assert next(stream) == {"state": "listening"}
        network.terminal.type("log-level", "INFO")
        commands = (item.get("event", {}).get("command") for item in stream)
        assert any(command == "log-level" for command in commands)


def test_malformed_and_forbidden_messages_of_a_reader_get_an_error_each_and_write_nothing(
    network: Network,
) -> None:
    # python -m tests.fuzz.control does this with more messages.
    before, lines_before = written(network.terminal), network.refusals_logged()
    reader = Remote(address=network.address, credentials=credentials(network.keys_of("grafana")))
    findings = fuzz(reader, 2_000, seed=11, warm_up=1_000)
    assert findings.wrong == []
    assert findings.grown_kb < 16 * 1024
    assert findings.answers["forbidden"] > 50
    assert written(network.terminal) == before
    # For each cause one at once, and one a minute.
    causes = len(findings.answers)
    assert network.refusals_logged() - lines_before <= causes * (2 + findings.seconds / 60)
    # The page shows the state of a second ago.
    network.terminal.until(lambda: network.refusals_counted("forbidden") >= findings.answers["forbidden"])


@pytest.mark.parametrize(("name", "access"), [("grafana", Access.READ), ("panel", Access.STATUS)])
def test_odd_but_valid_requests_beyond_a_keys_access_are_forbidden_and_write_nothing(
    network: Network, name: str, access: Access
) -> None:
    before = written(network.terminal)
    target = Remote(address=network.address, credentials=credentials(network.keys_of(name)))
    findings = fuzz(target, 250, seed=12, warm_up=50, access=access, is_shaped=True)
    assert findings.wrong == []
    assert findings.answers["forbidden"] > 100
    assert findings.answers["ok"] > 5
    assert findings.grown_kb < 32 * 1024
    assert written(network.terminal) == before


def test_the_end_of_the_process_for_tcp_harms_nothing_and_it_is_started_again(network: Network) -> None:
    supervisor = network.terminal.ask("status")["supervisor"]["pid"]
    relay = network.relay()
    assert "RETELL_API_KEY" not in Path(f"/proc/{relay}/environ").read_text(errors="replace")
    os.kill(relay, signal.SIGKILL)
    assert network.terminal.ask("status")["supervisor"]["pid"] == supervisor
    network.terminal.until(lambda: network.admits("maria"))
    assert network.relay() != relay


def test_a_readers_flood_of_frames_ends_the_process_for_tcp_and_bars_the_reader(network: Network) -> None:
    with network.client("grafana") as client:
        dealer = client._connected()
        for _ in range(200_000):
            dealer.send(b"", zmq.SNDMORE)
        dealer.send(b"")
        network.wait_for_log("client grafana sent a message of more than 1000 frames")
    assert network.terminal.ask("status")["supervisor"]["state"] == "running"
    network.terminal.until(lambda: network.admits("maria"))
    assert not network.admits("grafana")
    network.wait_for_log("control.client_barred")


def test_connections_to_tcp_that_eat_all_descriptors_leave_the_unix_socket_alone(network: Network) -> None:
    host, _, port = network.address.removeprefix("tcp://").rpartition(":")
    with contextlib.ExitStack() as flood:
        for _ in range(1_200):
            one = flood.enter_context(socket.socket())
            one.settimeout(5)
            with contextlib.suppress(OSError):
                one.connect((host, int(port)))
        assert network.terminal.ask("status")["supervisor"]["state"] == "running"
        network.terminal.type("hold", "--reason", "flood")
        network.terminal.type("unhold")
    network.terminal.until(lambda: network.admits("maria"))


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    own = Credentials(name="x", pair=new_pair(), server=new_pair().public)
    write_credentials(tmp_path / "x.key", own)
    before = (tmp_path / "x.key").read_bytes()
    with pytest.raises(Exception, match="exists already"):
        write_credentials(tmp_path / "x.key", own)
    assert (tmp_path / "x.key").read_bytes() == before
    with pytest.raises(Exception, match="not a valid client name"):
        write_client(tmp_path, AllowedClient(name="../x", access="read", public=own.server))


def test_shutdown_now_stops_the_daemon_and_frees_the_port(network: Network) -> None:
    pid = network.terminal.ask("status")["supervisor"]["pid"]
    assert network.terminal.ask("shutdown", "--now", "--yes")["stopping"]

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return not network.terminal.daemon.is_alive()

    network.terminal.until(gone)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(network.address.rpartition(":")[2])))
