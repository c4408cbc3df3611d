"""Metrics and health over real HTTP, and the webhook against a real receiver."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.errors import TelemetryError
from speechaid.fleet.messages import count_key
from speechaid.rules.alerts import ALERTS
from speechaid.telemetry import alerts
from speechaid.telemetry.alerts import QUEUE, Message, Webhook, signature
from speechaid.telemetry.http import CLIENTS_AT_ONCE, MetricsServer
from speechaid.telemetry.snapshot import Snapshot, SnapshotHolder
from tests.integration.retell.test_transport import RawServer, TlsServer, certificate, drip, say

DEADLINE_SECONDS = 20.0
AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SUPERVISOR = {
    "state": "running",
    "wanted": 200,
    "present": 200,
    "draining": False,
    "held": False,
    "no_space": None,
    "overloaded": None,
    "database_probe_seconds": 0.004,
    "crash_loops": [],
    "zygote": {"restarts": 0},
    "follower": {"covered": 0, "unusable": False, "restarts": 0},
}
WORKER = {"state": "idle", "job": None, "call": None, "paused": False, "leaving": False}


def publish(holder: SnapshotHolder, **fields: Any) -> None:
    standard: dict[str, Any] = {
        "at": AT,
        "boottime": SystemClock().boottime(),
        "started_at": AT,
        "version": "1.2.3",
        "supervisor": SUPERVISOR,
        "workers": [WORKER] * 200,
        "counts": {count_key("speechaid_calls_placed_total", {}): 3.0},
        "stats": {"database": {"state": "up"}},
    }
    holder.publish(Snapshot(**{**standard, **fields}))


@pytest.fixture
def holder() -> SnapshotHolder:
    return SnapshotHolder()


@pytest.fixture
def server(holder: SnapshotHolder) -> Iterator[MetricsServer]:
    serving = MetricsServer("127.0.0.1:0", holder)
    serving.start()
    yield serving
    serving.close()


def get(server: MetricsServer, path: str, **headers: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(f"http://{server.address}{path}", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=DEADLINE_SECONDS) as response:
            return response.status, response.headers["Content-Type"], response.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers["Content-Type"], exc.read()


def until(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited event did not come"
        time.sleep(0.01)


# -- metrics and health ------------------------------------------------------------------------------------


def test_a_scrape_shows_the_latest_snapshot(holder: SnapshotHolder, server: MetricsServer) -> None:
    publish(holder)
    status, content_type, page = get(server, "/metrics")
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    assert b"\nspeechaid_calls_placed_total 3.0\n" in page
    publish(holder, counts={count_key("speechaid_calls_placed_total", {}): 4.0})
    assert b"\nspeechaid_calls_placed_total 4.0\n" in get(server, "/metrics")[2]


def test_the_format_is_the_one_that_prometheus_requests(
    holder: SnapshotHolder, server: MetricsServer
) -> None:
    publish(holder)
    status, content_type, page = get(server, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert (status, content_type.partition(";")[0]) == (200, "application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


def test_health_and_readiness_answer_with_a_status_and_reasons(
    holder: SnapshotHolder, server: MetricsServer
) -> None:
    assert get(server, "/healthz")[0] == 503
    publish(holder)
    assert get(server, "/healthz")[0] == 200
    assert get(server, "/readyz")[0] == 200
    publish(holder, stats={"database": {"state": "away"}})
    assert get(server, "/healthz")[0] == 200
    status, _, body = get(server, "/readyz")
    assert status == 503
    assert json.loads(body) == {"ok": False, "reasons": ["the database is away"]}


def test_other_paths_are_not_found(server: MetricsServer) -> None:
    assert get(server, "/")[0] == 200
    assert get(server, "/metrics/../etc/passwd")[0] == 404
    assert get(server, "/status")[0] == 404


def test_a_taken_address_is_one_clear_error(server: MetricsServer) -> None:
    with pytest.raises(TelemetryError, match=rf"{server.address}.*in use.*SPEECHAID_METRICS_ADDRESS"):
        MetricsServer(server.address, SnapshotHolder())


def test_an_address_of_another_machine_is_one_clear_error() -> None:
    with pytest.raises(TelemetryError, match=r"192\.0\.2\.1:9478"):
        MetricsServer("192.0.2.1:9478", SnapshotHolder())


def test_an_address_is_free_again_after_close(holder: SnapshotHolder) -> None:
    first = MetricsServer("127.0.0.1:0", holder)
    first.start()
    publish(holder)
    assert get(first, "/healthz")[0] == 200
    first.close()
    second = MetricsServer(first.address, holder)
    assert second.address == first.address
    second.close()


def test_silent_clients_block_no_others_and_the_oldest_are_disconnected(
    holder: SnapshotHolder, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechaid.telemetry.http._Handler.timeout", 10 * DEADLINE_SECONDS)
    publish(holder)
    host, _, port = server.address.rpartition(":")
    silent = [
        socket.create_connection((host, int(port)), DEADLINE_SECONDS) for _ in range(CLIENTS_AT_ONCE * 4)
    ]
    assert [get(server, "/healthz")[0] for _ in range(3)] == [200] * 3
    assert silent[0].recv(1) == b""
    silent[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert silent[-1].recv(12) == b"HTTP/1.0 200"
    for connection in silent:
        connection.close()


# -- the webhook -------------------------------------------------------------------------------------------


class Receiver:
    """An HTTP server that takes alerts, and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        #: Statuses of the next answers; then 200.
        self.statuses: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.gate.wait(DEADLINE_SECONDS)
                receiver.received.append((dict(self.headers.items()), body))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?token=geheim"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def message(summary: str = "it does not answer", *, firing: bool = True) -> Message:
    return Message(
        alert=ALERTS["DatabaseAway"], firing=firing, summary=summary, since=AT, at=AT, host="host-a"
    )


@contextmanager
def webhook(url: str, secret: str | None = None, *pauses: float) -> Iterator[Webhook]:
    hook = Webhook(url, secret, pauses_seconds=pauses)
    try:
        yield hook
    finally:
        hook.close()


def test_an_alert_is_posted_with_all_that_a_person_needs(receiver: Receiver) -> None:
    with webhook(receiver.url) as hook:
        hook.send(message())
        hook.send(message(firing=False))
        until(lambda: hook.results()["delivered"] == 2)
    first, second = receiver.bodies()
    assert (first["alert"], first["state"], first["severity"]) == ("DatabaseAway", "firing", "critical")
    assert first["text"] == "[firing] DatabaseAway on host-a: it does not answer"
    assert first["remedy"]
    assert second["state"] == "resolved"
    assert "X-Speechaid-Signature" not in receiver.received[0][0]


def test_a_receiver_can_tell_that_it_is_genuine(receiver: Receiver) -> None:
    with webhook(receiver.url, "a long secret") as hook:
        hook.send(message())
        until(lambda: bool(receiver.received))
    headers, body = receiver.received[0]
    stamp = headers["X-Speechaid-Timestamp"]
    expected = hmac.new(b"a long secret", stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Speechaid-Signature"] == f"sha256={expected}" == signature("a long secret", stamp, body)
    assert abs(int(stamp) - time.time()) < 60


def test_a_message_is_repeated_until_it_is_taken_and_keeps_its_place(receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 404]
    with webhook(receiver.url, None, 0.01, 0.01, 0.01) as hook:
        hook.send(message("first"))
        hook.send(message("second"))
        until(lambda: hook.results()["delivered"] == 2)
    assert [body["summary"] for body in receiver.bodies()] == ["first"] * 4 + ["second"]
    deliveries = [headers["X-Speechaid-Delivery"] for headers, _ in receiver.received]
    assert len(set(deliveries[:4])) == 1
    assert deliveries[4] != deliveries[0]


def test_a_message_that_nobody_takes_is_given_up_and_the_log_names_no_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/token-geheim"
        with caplog.at_level("DEBUG", "speechaid"), webhook(url, None, 0.01) as hook:
            hook.send(message())
            until(lambda: hook.results()["failed"] == 1)
    assert "webhook.given_up" in caplog.text
    assert not any("geheim" in str(vars(record)) for record in caplog.records)


def test_a_receiver_that_drips_its_answer_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "DELIVERY_SECONDS", 0.5)
    dripping = RawServer(drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"))
    with closing(dripping), webhook(f"{dripping.base_url}/hook") as hook:
        hook.send(message())
        until(lambda: hook.results()["failed"] == 1)


def test_a_receiver_has_taken_a_message_when_its_status_says_so() -> None:
    """What else it says is of no interest: a repetition would wake somebody twice."""
    dripping = RawServer(drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "))
    with closing(dripping), webhook(f"{dripping.base_url}/hook") as hook:
        hook.send(message())
        until(lambda: hook.results()["delivered"] == 1)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_receiver_may_have_a_certificate_that_the_system_or_the_environment_trusts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    proof = certificate(tmp_path, "receiver.test")
    monkeypatch.setenv(variable, str(proof))
    receiver = TlsServer(say(b"HTTP/1.1 204 No Content\r\n\r\n"), proof)
    with closing(receiver), webhook(f"{receiver.base_url}/hook") as hook:
        hook.send(message())
        until(lambda: hook.results()["delivered"] == 1)


def test_a_receiver_without_a_trusted_certificate_gets_nothing(tmp_path: Path) -> None:
    receiver = TlsServer(say(b"HTTP/1.1 204 No Content\r\n\r\n"), certificate(tmp_path, "receiver.test"))
    with closing(receiver), webhook(f"{receiver.base_url}/hook") as hook:
        hook.send(message())
        until(lambda: hook.results()["failed"] == 1)
    assert receiver.requests == 0


def test_a_receiver_that_hangs_costs_the_oldest_messages_and_nothing_else(receiver: Receiver) -> None:
    receiver.gate.clear()
    with webhook(receiver.url) as hook:
        for number in range(QUEUE + 12):
            hook.send(message(str(number)))
        until(lambda: hook.results()["dropped"] > 0)
        receiver.gate.set()
        until(lambda: hook.results()["delivered"] + hook.results()["dropped"] == QUEUE + 12)
    summaries = [body["summary"] for body in receiver.bodies()]
    assert summaries[-1] == str(QUEUE + 11)
    assert summaries == sorted(summaries, key=int)


def test_what_waits_at_the_end_is_tried_once_more(receiver: Receiver) -> None:
    receiver.statuses = [500]
    with webhook(receiver.url, None, 60.0) as hook:
        hook.send(message("first"))
        hook.send(message("second"))
        until(lambda: len(receiver.received) == 1)
    assert [body["summary"] for body in receiver.bodies()] == ["first", "second"]


# -- the Host header -----------------------------------------------------------------------------------------


def asked_for(server: MetricsServer, host: str | None) -> int:
    """The status of a request whose Host header names this host; None: without the header."""
    connection = http.client.HTTPConnection(server.address, timeout=DEADLINE_SECONDS)
    with closing(connection):
        connection.putrequest("GET", "/metrics", skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        return connection.getresponse().status


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9478", "a.localhost", "127.0.0.1:9478", "10.0.0.5", "[::1]:9478", "[::1]", None],
)
def test_a_request_for_this_machine_is_answered(
    server: MetricsServer, holder: SnapshotHolder, host: str | None
) -> None:
    publish(holder)
    assert asked_for(server, host) == 200


@pytest.mark.parametrize("host", ["rebound.example.com", "localhost.example.com:1", "", "127.0.0.1.nip.io"])
def test_a_request_for_another_name_is_refused(
    server: MetricsServer, holder: SnapshotHolder, host: str
) -> None:
    """A page whose name leads to this address may not read the metrics in a visitor's browser."""
    publish(holder)
    assert asked_for(server, host) == 421


def test_names_of_the_settings_are_answered(holder: SnapshotHolder) -> None:
    publish(holder)
    serving = MetricsServer("127.0.0.1:0", holder, ["dialer1.internal"])
    serving.start()
    with closing(serving):
        assert asked_for(serving, "Dialer1.internal:9478") == 200
        assert asked_for(serving, "dialer2.internal:9478") == 421
