"""The Retell client against servers that misbehave below HTTP, and against none at all."""

from __future__ import annotations

import base64
import contextlib
import errno
import gzip
import io
import ipaddress
import logging
import random
import socket
import ssl
import struct
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.util import connection
from urllib3.util.wait import wait_for_read

from speechaid.retell import client as client_module
from speechaid.retell import connections, transport
from speechaid.retell.faults import Ambiguous, Blocked, NotSent, RetellUnavailable
from speechaid.retell.requests_body import DIAL_KEY
from tests.support.retell_requests import KEY, NUMBER, body, client_of

LOOPBACK = ipaddress.ip_address("127.0.0.1")


Behaviour = Callable[[socket.socket], None]


class RawServer:
    """Accepts connections, and lets a function do what it likes with each, in a thread of its own."""

    def __init__(self, behaviour: Behaviour, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(address)
        self._done = threading.Event()
        self.connections = 0
        self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while read_request(connection):
                self.requests += 1
                self._behaviour(connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def read_request(connection: socket.socket) -> bytes:
    """One whole request, or nothing at the end of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
    head, _, content = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")
    ]
    while len(content) < sum(lengths):
        content += connection.recv(65536)
    return head + b"\r\n\r\n" + content


def drip(head: bytes, piece: bytes) -> Behaviour:
    """Sends a head, then a piece every twentieth of a second until the client leaves."""

    def behave(connection: socket.socket) -> None:
        gone = threading.Event()
        connection.sendall(head)
        while not gone.wait(0.05):
            connection.sendall(piece)

    return behave


def say(answer: bytes) -> Behaviour:
    """Sends that, and closes."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def http(content: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(content), *lines, b"", content])


BROKEN: dict[str, Behaviour] = {
    "reset at once": reset,
    "closed at once": say(b""),
    "no HTTP": say(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "half a status line": say(b"HTTP/1.1 20"),
    "half a body": say(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{"),
    "a broken chunk": say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "no gzip": say(http(b"plain", b"Content-Encoding: gzip")),
    "a dripping status line": drip(b"", b"H"),
    "dripping headers": drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
    "one endless header": drip(b"HTTP/1.1 200 OK\r\nX-Drip: ", b"1"),
    "a dripping body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
    "dripping chunks": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "silence": drip(b"", b""),
    "a redirect": say(http(b"", b"Location: http://127.0.0.1:9/elsewhere", status=b"307 Temporary Redirect")),
    "another call": say(http(b'{"call_id": "call_9", "to_number": "+56900000002"}')),
    "another dial": say(http(b'{"call_id": "call_9", "metadata": {"speechaid_dial_key": ["other"]}}')),
}


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[RawServer]:
    server = RawServer(behaviour)
    try:
        yield server
    finally:
        server.close()


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
def test_whatever_breaks_after_the_request_left_is_ambiguous_and_bounded(behaviour: Behaviour) -> None:
    with serving(behaviour) as server, client_of(server.base_url, seconds=0.6) as client:
        with pytest.raises(Ambiguous):
            client.create_call(body("broken"))
        # None, where patience ended before the server's thread had its turn.
        assert server.requests <= 1, "a create was sent twice"
        with pytest.raises(RetellUnavailable):
            client.get_call("call_1")


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_ANSWER_BYTES", 100_000)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    flood = drip(head, b"10000\r\n" + b" " * 65536 + b"\r\n")
    with (
        serving(flood) as server,
        client_of(server.base_url) as client,
        pytest.raises(RetellUnavailable, match="unreadable"),
    ):
        client.get_call("call_1")


def test_pages_that_never_end_are_bounded_altogether() -> None:
    served = iter(range(1_000_000))

    def endless(connection: socket.socket) -> None:
        page = b'{"items": [], "has_more": true, "pagination_key": "%d"}' % next(served)
        connection.sendall(http(page))

    with (
        serving(endless) as server,
        client_of(server.base_url, seconds=0.5) as client,
        pytest.raises(RetellUnavailable),
    ):
        client.find_calls(to_number=NUMBER)


@pytest.mark.parametrize(
    "page",
    [
        b'{"items": [], "has_more": true}',
        b'{"items": [], "has_more": true, "pagination_key": "same"}',
        b'{"items": [{"call_status": "ended"}]}',
        b'{"items": "none"}',
        b"[]",
    ],
)
def test_a_list_that_cannot_be_read_whole_is_no_empty_list(page: bytes) -> None:
    with (
        serving(lambda connection: connection.sendall(http(page))) as server,
        client_of(server.base_url) as client,
        pytest.raises(RetellUnavailable),
    ):
        client.find_calls(metadata={DIAL_KEY: "k"})


def test_a_list_that_ignores_the_filter_makes_no_strangers_call_ours() -> None:
    page = (
        b'{"items": ['
        b'{"call_id": "theirs", "to_number": "+56900000001", "metadata": {"speechaid_dial_key": "x"}},'
        b'{"call_id": "ours", "to_number": "+56900000001", "metadata": {"speechaid_dial_key": "k"}},'
        b'{"call_id": "silent", "to_number": "+56900000001"},'
        b'{"call_id": "far", "to_number": "+56900000002"}], "has_more": false}'
    )
    with (
        serving(lambda connection: connection.sendall(http(page))) as server,
        client_of(server.base_url) as client,
    ):
        found = client.find_calls(metadata={DIAL_KEY: "k"}, to_number=NUMBER)
    # A list that leaves the metadata out is taken at its word: dropping the call could mean dialling again.
    assert [call.call_id for call in found] == ["ours", "silent"]


def test_one_connection_serves_many_requests_and_a_create_takes_none_that_rested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "FRESH_SECONDS", 0.0)
    answer = http(b'{"call_id": "call_1"}')
    with (
        serving(lambda connection: connection.sendall(answer)) as server,
        client_of(server.base_url) as client,
    ):
        for _ in range(3):
            client.get_call("call_1")
        assert server.connections == 1
        client.create_call(body("fresh"))
        assert server.connections == 2


def test_the_key_travels_in_the_header_and_comes_back_in_no_message() -> None:
    heard: list[bytes] = []

    def echo(connection: socket.socket) -> None:
        message = b'{"message": "no such key: %s"}' % KEY.encode()
        connection.sendall(http(message, status=b"401 Unauthorized"))

    class Listening(RawServer):
        def _serve(self, connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while request := read_request(connection):
                    heard.append(request)
                    echo(connection)

    server = Listening(echo)
    client = client_of(server.base_url)
    with contextlib.closing(server), client, pytest.raises(Blocked) as blocked:
        client.get_concurrency()
    assert f"Authorization: Bearer {KEY}".encode() in heard[0]
    assert KEY not in str(blocked.value)
    assert KEY not in repr(client) + str(vars(client))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """A listener that accepts nobody, its queue full: connecting to it takes for ever."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def serving_at(address: str, base_url: str, behaviour: Behaviour) -> Iterator[int]:
    """A server at another address of this host, with the port of a server there is; yields that port."""
    port = int(base_url.rpartition(":")[2])
    server = RawServer(behaviour, (address, port))
    try:
        yield port
    finally:
        server.close()


NOWHERE: dict[str, str] = {
    "connection refused": "http://127.0.0.1:{port}",
    "no such name": "http://retell.invalid",
    "an absurd name": f"http://{'a' * 70}.invalid",
}


@pytest.mark.parametrize("base_url", NOWHERE.values(), ids=NOWHERE)
def test_without_a_connection_there_is_surely_no_call(base_url: str) -> None:
    with client_of(base_url.format(port=closed_port())) as client:
        with pytest.raises(NotSent):
            client.create_call(body("unsent"))
        with pytest.raises(RetellUnavailable):
            client.get_concurrency()


def test_a_connection_that_takes_too_long_is_surely_no_call() -> None:
    with (
        full_backlog() as base_url,
        client_of(base_url, seconds=0.5) as client,
        pytest.raises(NotSent),
    ):
        client.create_call(body("slow connect"))


def test_a_connection_that_is_reset_while_it_is_made_is_surely_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """urllib3 goes on to read an answer after this very fault, if it meets it while sending."""

    def reset_at_once(*_arguments: object, **_options: object) -> socket.socket:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(connection, "create_connection", reset_at_once)
    with client_of("http://127.0.0.1:9") as client, pytest.raises(NotSent, match="reset by peer"):
        client.create_call(body("reset"))


def test_a_name_that_is_looked_up_for_ever_is_surely_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def never(*_arguments: object, **_options: object) -> list[Any]:
        release.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with client_of("http://retell.test", seconds=0.3) as client, pytest.raises(NotSent, match="in time"):
        client.create_call(body("slow name"))
    release.set()


def test_a_server_that_speaks_no_tls_is_surely_no_call() -> None:
    def plain(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listener = socket.create_server(("127.0.0.1", 0))

    def answer_plainly() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            plain(connection)

    thread = threading.Thread(target=answer_plainly, daemon=True)
    thread.start()
    client = client_of(f"https://127.0.0.1:{listener.getsockname()[1]}")
    with listener, client, pytest.raises(NotSent):
        client.create_call(body("no tls"))
    thread.join(10)


def test_a_compressed_answer_is_read_and_half_of_one_is_none() -> None:
    packed = gzip.compress(b'{"call_id": "call_1", "transcript": "%s"}' % (b"Hola. " * 50_000))
    whole = http(packed, b"Content-Encoding: gzip", b"Connection: close")
    half = http(packed[:-20], b"Content-Encoding: gzip")
    answers = iter([whole, whole, half])
    with (
        serving(lambda connection: connection.sendall(next(answers))) as server,
        client_of(server.base_url) as client,
    ):
        for _ in range(2):
            assert client.get_call("call_1").document["transcript"].startswith("Hola.")
        with pytest.raises(RetellUnavailable, match="reset"):
            client.get_call("call_1")


def test_what_a_small_answer_unpacks_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_ANSWER_BYTES", 100_000)
    bomb = http(gzip.compress(b" " * 10_000_000), b"Content-Encoding: gzip")
    with (
        serving(lambda connection: connection.sendall(bomb)) as server,
        client_of(server.base_url) as client,
        pytest.raises(RetellUnavailable, match="unreadable"),
    ):
        client.get_call("call_1")


def test_a_connection_that_the_server_closed_is_replaced_before_the_next_request() -> None:
    closing = threading.Event()

    def once(connection: socket.socket) -> None:
        connection.sendall(http(b'{"call_id": "call_1"}'))
        connection.shutdown(socket.SHUT_RDWR)
        closing.set()

    with serving(once) as server, client_of(server.base_url) as client:
        for _ in range(3):
            client.get_call("call_1")
            assert closing.wait(20)
            closing.clear()
        assert server.connections == 3


def proxied(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """An environment in which this is the only proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("https_proxy", proxy)


def test_the_environments_proxy_is_asked_for_whole_addresses_and_told_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[bytes] = []

    def proxy(connection: socket.socket) -> None:
        connection.sendall(http(b'{"call_id": "call_1"}'))

    class Listening(RawServer):
        def _serve(self, connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while request := read_request(connection):
                    heard.append(request)
                    proxy(connection)

    server = Listening(proxy)
    proxied(monkeypatch, server.base_url.replace("//", "//ana:clave%40@"))
    with contextlib.closing(server), client_of("http://retell.test/base") as client:
        client.get_call("call_1")
    assert heard[0].startswith(b"GET http://retell.test/base/v2/get-call/call_1 HTTP/1.1\r\n")
    assert b"\r\nHost: retell.test\r\n" in heard[0]
    assert b"\r\nProxy-Authorization: Basic " + base64.b64encode(b"ana:clave@") + b"\r\n" in heard[0]


def test_a_proxy_that_refuses_the_way_is_surely_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    class Refusing(RawServer):
        def _serve(self, connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                heard.append(read_request(connection))
                connection.sendall(http(b"", status=b"407 Proxy Authentication Required"))

    server = Refusing(reset)
    proxied(monkeypatch, server.base_url)
    with (
        contextlib.closing(server),
        client_of("https://retell.test") as client,
        pytest.raises(NotSent, match="407"),
    ):
        client.create_call(body("refused"))
    assert heard[0].startswith(b"CONNECT retell.test:443 HTTP/1.")
    assert KEY.encode() not in heard[0]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://ana:cl/ave@127.0.0.1:1", "http://"])
def test_a_proxy_that_cannot_be_used_is_surely_no_call(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    proxied(monkeypatch, proxy)
    with client_of("https://retell.test") as client:
        client.prepare()
        with pytest.raises(NotSent, match="proxy") as fault:
            client.create_call(body("no proxy"))
    assert "ave" not in str(fault.value)


def test_loopback_and_exceptions_pass_the_proxy_by(monkeypatch: pytest.MonkeyPatch) -> None:
    proxied(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    answer = http(b'{"call_id": "call_1"}')
    with serving(lambda connection: connection.sendall(answer)) as server:
        with client_of(server.base_url) as client:
            client.get_call("call_1")
        monkeypatch.setenv("no_proxy", "retell.test")
        with client_of("http://retell.test") as client, pytest.raises(NotSent, match=r"service|name"):
            client.create_call(body("past the proxy"))


def test_certificates_that_are_not_there_are_surely_no_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with client_of("https://127.0.0.1:9") as client:
        client.prepare()
        with pytest.raises(NotSent, match="No such file"):
            client.create_call(body("no certificates"))


def certificate(directory: Path, host: str) -> Path:
    """A file with a key and a certificate that this key has signed for a host, and for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    today = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(LOOPBACK)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = directory / f"{host}.pem"
    path.write_bytes(key.private_bytes(pem, form, encryption) + signed.public_bytes(pem))
    return path


class SecureServer(RawServer):
    """Speaks TLS, after having been a proxy first where it is asked to be one."""

    def __init__(self, behaviour: Behaviour, certificate: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        super().__init__(behaviour)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            assert read_request(connection).startswith(b"CONNECT retell.test:443 ")
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            super()._serve(self._tls.wrap_socket(connection, server_side=True))


@pytest.mark.parametrize(("host", "trusted"), [("retell.test", True), ("other.test", False)])
def test_through_a_proxy_the_server_itself_has_to_prove_who_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, trusted: bool
) -> None:
    proof = certificate(tmp_path, host)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(proof))
    answer = http(b'{"call_id": "call_1"}')
    server = SecureServer(lambda connection: connection.sendall(answer), proof)
    proxied(monkeypatch, server.base_url)
    with contextlib.closing(server), client_of("https://retell.test") as client:
        if trusted:
            for _ in range(3):
                assert client.create_call(body("safe")).call_id == "call_1"
            assert (server.connections, server.requests) == (1, 3)
        else:
            with pytest.raises(NotSent, match="certificate verify failed"):
                client.create_call(body("unsafe"))
            assert server.requests == 0


class TlsServer(RawServer):
    """Speaks TLS from the first byte."""

    def __init__(self, behaviour: Behaviour, certificate: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        super().__init__(behaviour)

    @property
    def base_url(self) -> str:
        return super().base_url.replace("http://", "https://")

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            super()._serve(self._tls.wrap_socket(connection, server_side=True))


def trusted(monkeypatch: pytest.MonkeyPatch, directory: Path, host: str = "retell.test") -> Path:
    """A certificate that the environment's bundle has."""
    proof = certificate(directory, host)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(proof))
    return proof


def session_to(base_url: str) -> transport.Session:
    return transport.Session(base_url, user_agent="speechaid/test", auth=transport.BearerAuth(KEY))


def test_on_loopback_the_proxy_is_passed_by_and_the_bundle_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxied(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    proof = trusted(monkeypatch, tmp_path)
    answer = http(b'{"call_id": "call_1"}')
    with contextlib.closing(TlsServer(lambda connection: connection.sendall(answer), proof)) as server:
        with client_of(server.base_url) as client:
            assert client.create_call(body("trusted")).call_id == "call_1"
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        with client_of(server.base_url) as client, pytest.raises(NotSent, match="certificate verify failed"):
            client.create_call(body("not trusted"))
        assert server.requests == 1


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("form", ["file", "directory"])
def test_the_environments_bundle_is_a_file_or_a_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, form: str
) -> None:
    proof = certificate(tmp_path, "retell.test")
    if form == "directory":  # as c_rehash makes it
        name = subprocess.run(
            ["openssl", "x509", "-noout", "-hash", "-in", proof], check=True, capture_output=True, text=True
        ).stdout.strip()
        proof.with_name(f"{name}.0").symlink_to(proof)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(proof if form == "file" else tmp_path))
    answer = http(b'{"call_id": "call_1"}')
    with (
        contextlib.closing(TlsServer(lambda connection: connection.sendall(answer), proof)) as server,
        client_of(server.base_url) as client,
    ):
        assert client.create_call(body("trusted")).call_id == "call_1"


def test_the_environments_bundle_replaces_that_of_mozilla(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    proof = certificate(tmp_path, "retell.test")
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(proof))
    monkeypatch.setattr(certifi, "where", lambda: str(proof))
    answer = http(b'{"call_id": "call_1"}')
    with contextlib.closing(TlsServer(lambda connection: connection.sendall(answer), proof)) as server:
        with client_of(server.base_url) as client:
            assert client.create_call(body("trusted")).call_id == "call_1"
        trusted(monkeypatch, tmp_path, "other.test")
        with client_of(server.base_url) as client, pytest.raises(NotSent, match="certificate verify failed"):
            client.create_call(body("not trusted"))


def test_what_is_left_inside_tls_is_not_taken_for_the_next_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first answer fills the reader's buffer to its last byte; the second shares its TLS record."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\nX-Fill: "
    filling = io.DEFAULT_BUFFER_SIZE - 8000 - len(start) - len(b"\r\n\r\n")
    first = start + b"x" * filling + b"\r\n\r\n" + b"1" * 8000
    answers = iter([first + http(b"smuggled"), http(b"second")])
    server = TlsServer(lambda connection: connection.sendall(next(answers)), trusted(monkeypatch, tmp_path))
    session = session_to(server.base_url)
    with contextlib.closing(server), contextlib.closing(session):
        assert session.exchange("GET", "/1", content=None, seconds=20).content == b"1" * 8000
        assert session.exchange("GET", "/2", content=None, seconds=20).content == b"second"
        assert server.connections == 2


def test_what_comes_after_an_answer_was_read_is_not_taken_for_the_next_one() -> None:
    sent = threading.Event()
    go = threading.Event()

    def twice(connection: socket.socket) -> None:
        connection.sendall(http(b"own"))
        assert go.wait(20)
        connection.sendall(http(b"smuggled"))
        sent.set()

    with serving(twice) as server, contextlib.closing(session_to(server.base_url)) as session:
        for _ in range(3):
            sent.clear()
            assert session.exchange("GET", "/", content=None, seconds=20).content == b"own"
            go.set()
            assert sent.wait(20)
        assert server.connections == 3


def test_an_answer_before_the_request_is_surely_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """For instance a load balancer's 503 to whoever connects."""
    connect = connection.create_connection

    def connect_and_wait(*arguments: Any, **options: Any) -> socket.socket:
        connected = connect(*arguments, **options)
        assert wait_for_read(connected, 20)
        return connected

    monkeypatch.setattr(connection, "create_connection", connect_and_wait)

    class Talkative(RawServer):
        def _serve(self, connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.sendall(http(b'{"call_id": "call_1"}', status=b"201 Created"))
                super()._serve(connection)

    with (
        contextlib.closing(Talkative(reset)) as server,
        client_of(server.base_url) as client,
        pytest.raises(NotSent, match="before the request"),
    ):
        client.create_call(body("too early"))


class HeadReader(RawServer):
    """Answers when it has read the head of a request; the rest it leaves to a function."""

    def __init__(self, answer: bytes, then: Behaviour) -> None:
        self._answer = answer
        super().__init__(then)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(1024)
            connection.sendall(self._answer)
            self._behaviour(connection)


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(1 << 20):
        pass


LARGE = bytes(16 * 1024 * 1024)


def test_a_refusal_before_the_request_was_sent_whole_is_read() -> None:
    refusal = http(b"too large", b"Connection: close", status=b"413 Content Too Large")
    with (
        contextlib.closing(HeadReader(refusal, read_to_the_end)) as server,
        contextlib.closing(session_to(server.base_url)) as session,
    ):
        answer = session.exchange("POST", "/", content=LARGE, seconds=20)
    assert (answer.status, answer.content) == (413, b"too large")


def test_a_request_that_is_read_slowly_keeps_to_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read_slowly(connection: socket.socket) -> None:
        gone = threading.Event()
        while connection.recv(16 * 1024) and not gone.wait(0.05):
            pass

    class SlowTls(TlsServer):
        def _serve(self, connection: socket.socket) -> None:
            with (
                contextlib.suppress(OSError),
                connection,
                self._tls.wrap_socket(connection, server_side=True) as secure,
            ):
                read_slowly(secure)

    plain = HeadReader(b"", read_slowly)
    tls = SlowTls(read_slowly, trusted(monkeypatch, tmp_path))
    for server in (plain, tls):
        session = session_to(server.base_url)
        with contextlib.closing(server), contextlib.closing(session):
            with pytest.raises(transport.ExchangeFailed, match="timeout") as failed:
                session.exchange("POST", "/", content=LARGE, seconds=0.6)
            assert failed.value.sent


def test_an_address_that_swallows_packets_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    answer = http(b'{"call_id": "call_1"}')
    with (
        full_backlog() as silent,
        serving_at("127.0.0.2", silent, lambda connection: connection.sendall(answer)) as port,
        client_of(f"http://retell.test:{port}", seconds=2.0) as client,
    ):

        def both(host: str, *arguments: Any, **options: Any) -> list[Any]:
            if host != "retell.test":
                return resolve(host, *arguments, **options)
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in ("127.0.0.1", "127.0.0.2")
            ]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        assert client.create_call(body("second address")).call_id == "call_1"


def test_addresses_of_both_families_are_tried_in_turn() -> None:
    six, four = ["fd00::1", "fd00::2", "fd00::3"], ["192.0.2.1"]
    entries = [(socket.AF_INET6, 1, 6, "", (address, 443, 0, 0)) for address in six]
    entries += [(socket.AF_INET, 1, 6, "", (address, 443)) for address in four]  # type: ignore[misc]
    assert connections._in_turn(entries) == ["fd00::1", "192.0.2.1", "fd00::2", "fd00::3"]
    assert connections._in_turn([]) == []


CONNECT_ANSWERS: dict[str, tuple[Behaviour, str]] = {
    "drips": (drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"), "timed out|too long"),
    "is silent": (drip(b"", b""), "timed out"),
    "is endless": (drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n" * 50_000), "too large|headers"),
    "is cut off": (say(b"HTTP/1.1 20"), "20"),
    "says more": (drip(http(b"") + b"HTTP/1.1 201 Created\r\n", b""), "more than its answer"),
    "leaves the handshake waiting": (drip(http(b""), b""), "timed out"),
}


@pytest.mark.parametrize(("behaviour", "reason"), CONNECT_ANSWERS.values(), ids=CONNECT_ANSWERS)
def test_a_proxy_that_does_not_open_the_way_is_surely_no_call(
    monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, reason: str
) -> None:
    with serving(behaviour) as server:
        proxied(monkeypatch, server.base_url)
        with client_of("https://retell.test", seconds=0.6) as client, pytest.raises(NotSent, match=reason):
            client.create_call(body("no way"))


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 1024 * 1024])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_arrives_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str, size: int
) -> None:
    heard: list[bytes] = []
    content = random.Random(size).randbytes(size)

    def answer_to(connection: socket.socket) -> None:
        connection.sendall(http(b"{}"))

    class Listening(TlsServer):
        def _serve(self, connection: socket.socket) -> None:
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.enter_context(connection)
                if scheme == "https":
                    connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
                while request := read_request(connection):
                    heard.append(request)
                    answer_to(connection)

    server = Listening(answer_to, trusted(monkeypatch, tmp_path))
    session = session_to(server.base_url.replace("https://", f"{scheme}://"))
    with contextlib.closing(server), contextlib.closing(session):
        for _ in range(2):
            session.exchange("POST", "/", content=content, seconds=20)
    assert [request.partition(b"\r\n\r\n")[2] for request in heard] == [content] * 2


def test_neither_netrc_nor_cookies_nor_the_addresses_password_are_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ana password clave\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    heard: list[bytes] = []

    class Listening(RawServer):
        def _serve(self, connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while request := read_request(connection):
                    heard.append(request)
                    connection.sendall(http(b"{}", b"Set-Cookie: a=b; Path=/"))

    server = Listening(reset)
    for auth in (None, transport.BearerAuth(KEY)):
        session = transport.Session(server.base_url, user_agent="speechaid/test", auth=auth)
        for _ in range(2):
            session.exchange("GET", "/", content=None, seconds=20)
        session.close()
    server.close()
    assert [request.count(b"Authorization:") for request in heard] == [0, 0, 1, 1]
    assert not any(b"Cookie" in request or b"Basic" in request for request in heard)


def test_neither_key_nor_path_stands_in_a_fault_or_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    path = "/hidden/path"
    faults = [
        reset,
        say(b"no HTTP"),
        say(http(b"", b"X-A: \0")),
        say(b"HTTP/1.1 200 OK\r\nX\r\n\r\n"),
        drip(b"", b""),
    ]
    texts = []
    with caplog.at_level(logging.INFO):
        for behaviour in faults:
            with serving(behaviour) as server, contextlib.closing(session_to(server.base_url)) as session:
                with pytest.raises(transport.ExchangeFailed) as failed:
                    session.exchange("POST", path, content=b"{}", seconds=0.5)
                texts += ["".join(traceback.format_exception(failed.value)), repr(vars(session))]
    assert not [text for text in [*texts, caplog.text] if path in text or KEY in text]
