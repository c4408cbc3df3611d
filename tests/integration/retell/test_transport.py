"""The Retell client against servers that misbehave below HTTP, and against none at all."""

from __future__ import annotations

import base64
import contextlib
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from speechaid.model.reading import Document
from speechaid.retell import client as client_module
from speechaid.retell import transport
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import Ambiguous, Blocked, NotSent, RetellUnavailable
from speechaid.retell.requests_body import DIAL_KEY, create_body

KEY = "key_of_the_tests"
NUMBER = "+56900000001"


def body(key: str, to_number: str = NUMBER, **metadata: str) -> Document:
    return create_body(
        from_number="+56200000001",
        to_number=to_number,
        agent_id="agent_1",
        variables={"nombre": "Ana"},
        metadata=metadata,
        key=key,
        ring_seconds=10,
        max_call_seconds=120,
    )


def client_of(base_url: str, seconds: float = 20.0, **fields: Any) -> RetellClient:
    return RetellClient(
        base_url=base_url, api_key=KEY, timeout_seconds=seconds, user_agent="speechaid/test", **fields
    )


Behaviour = Callable[[socket.socket], None]


class RawServer:
    """Accepts connections, and lets a function do what it likes with each, in a thread of its own."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
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
    return head + content


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
    """A file with a key and a certificate that this key has signed for a host."""
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
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
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
