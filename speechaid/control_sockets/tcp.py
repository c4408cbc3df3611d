"""The process for control over TCP: ``python -m speechaid.control_sockets.tcp``, started by ``relay``.

CURVE keys and a list of allowed clients, never unencrypted. libzmq asks for each handshake (ZAP, RFC 27)
whether the client's key is allowed; the authenticator answers here, from the list that the parent sends.
Without an authenticator, ``zap_enforce_domain`` makes libzmq refuse every client.

A message is passed on over the unix socket as ``{"key", "address", "route", "count"}`` and at most two
frames of the client; further frames are read one by one and thrown away. The parent checks the key against
its own list again. An answer comes as route and message; an empty route says that the daemon has taken the
oldest request of this connection. What it has not taken is bounded, of one client and in all, and everything
beyond is answered ``busy`` here: nothing is dropped in silence. Urgent commands of clients with write access
have a connection of their own, in which no other client's requests are before them. Standard input has the
configuration, then new lists of clients, a line each; its end is the end of this process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import zmq
from setproctitle import setproctitle
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from speechaid.errors import ControlError, ExitStatus
from speechaid.protocol import messages
from speechaid.protocol.messages import Access, ErrorCode, Refusal, Request
from speechaid.protocol.translation import ENGLISH
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.summed_log import SummedLog

log = get_logger("speechaid.control_sockets.tcp")  # not __name__: it runs as __main__

_DOMAIN: Final = b"speechaid"
_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_FAILURES: Final = {
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "the handshake broke off",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "no CURVE, or the wrong server key",
    zmq.Event.HANDSHAKE_FAILED_AUTH: "its key is not allowed",
}
#: Interval of heartbeats to a silent peer, and time until it is disconnected, in milliseconds.
_HEARTBEAT_MS: Final = 5_000
_HEARTBEAT_TIMEOUT_MS: Final = 20_000
_HANDSHAKE_MS: Final = 10_000
#: Seconds between two reports of refusals to the parent, while there are any.
_REPORT_SECONDS: Final = 1.0
#: Requests received at a time; and queued for a client that sends faster than they are received.
_BURST: Final = 16
_RECEIVE_HIGH_WATER: Final = 16
#: Answers queued for a client that does not read; further ones are dropped.
_SEND_HIGH_WATER: Final = 256
#: Frames of a client's message that are passed on, and those after which this process ends: libzmq has taken
#: them all into memory, and only the end of the process gives it back at once.
_FRAMES_PASSED: Final = 2
_FRAMES_READ: Final = 1000
#: Requests that the daemon has not taken yet, at most: of one client, and of all together; and their bytes
#: (one request always may). What is under way in the daemon has limits there (``commands.admission``).
_WAITING_OF_CLIENT: Final = 64
_WAITING_IN_ALL: Final = 512
_WAITING_BYTES: Final = 2 * messages.ATTACHMENT_LIMIT
#: A request that is longer is not looked into: no urgent command needs so much, and its id is not repeated.
_SHORT_BYTES: Final = 64 * 1024
#: So many seconds after its next message, the connection of a client that is no longer allowed is closed: it
#: has been told why.
_CLOSE_SECONDS: Final = 0.5
#: Limits of this process: descriptors, and its memory in bytes.
_DESCRIPTORS: Final = 1024
_MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024


class Line:
    """A connection to the daemon's unix socket, and the requests on it that the daemon has not taken yet."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.maxmsgsize = -1
        # Bounded by what ``fault_of`` allows; libzmq's own limit would drop what one client too many sends.
        self.socket.sndhwm = 0
        self.monitor = self.socket.get_monitor_socket(zmq.Event.DISCONNECTED)
        # libzmq connects again by itself.
        self.socket.connect(address)
        #: Client and size of each request, in order.
        self._waiting: deque[tuple[str, int]] = deque()
        self._of_client: Counter[str] = Counter()
        self._bytes = 0

    def fault_of(self, key: str, size: int) -> str | None:
        """Why a request of this client and size may not be passed on now."""
        if self._of_client[key] >= _WAITING_OF_CLIENT:
            return f"{_WAITING_OF_CLIENT} requests of this client wait already: wait for an answer"
        if len(self._waiting) >= _WAITING_IN_ALL or (self._bytes and self._bytes + size > _WAITING_BYTES):
            return "the daemon is busy: too many requests over TCP wait already; try again later"
        return None

    def pass_on(self, key: str, parts: list[bytes]) -> None:
        """Pass a request on."""
        size = sum(map(len, parts))
        self.socket.send_multipart(parts, zmq.NOBLOCK)
        self._waiting.append((key, size))
        self._of_client[key] += 1
        self._bytes += size

    def note_taken(self) -> None:
        """The daemon has taken the oldest request."""
        if self._waiting:
            key, size = self._waiting.popleft()
            self._of_client[key] -= 1
            if not self._of_client[key]:
                del self._of_client[key]
            self._bytes -= size

    def process_disconnect(self) -> None:
        """Where the connection has ended, nobody takes what was sent on it."""
        while self.monitor.poll(0):
            self.monitor.recv_multipart()
            self._waiting.clear()
            self._of_client.clear()
            self._bytes = 0

    def close(self) -> None:
        """Close the connection."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)


class TcpEnd:
    """A ROUTER on TCP, and its ZAP authenticator.

    Raises:
        ControlError: it cannot listen on the address.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.address = str(config["address"])
        self._clients: dict[str, Mapping[str, str]] = dict(config["clients"])
        #: Of clients that are no longer allowed: when the connection is closed, and the address.
        self._closing: dict[int, tuple[float, str]] = {}
        self._refusals = SummedLog(log)
        self._connections = SummedLog(log)
        self._report_at = 0.0
        self._context = zmq.Context()
        # The authenticator first: a handshake before it is bound would be refused.
        self._authenticator = self._context.socket(zmq.REP)
        self._authenticator.linger = 0
        self._authenticator.bind(_ZAP_ENDPOINT)
        self.router = self._context.socket(zmq.ROUTER)
        _limit(self.router)
        _require_curve(self.router, str(config["public"]), str(config["secret"]))
        self._monitor = self.router.get_monitor_socket(
            zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
            | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            | zmq.Event.HANDSHAKE_FAILED_AUTH
        )
        try:
            self.router.bind(self.address)
        except zmq.ZMQError as exc:
            self.close()
            raise ControlError(str(exc)) from exc
        address = f"ipc://{config['socket']}"
        self._urgent, self._ordinary = (Line(self._context, address) for _ in range(2))

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """All sockets to poll."""
        lines = (socket for line in self._lines for socket in (line.socket, line.monitor))
        return (self._authenticator, self._monitor, self.router, *lines)

    @property
    def _lines(self) -> tuple[Line, ...]:
        return self._urgent, self._ordinary

    def allow(self, clients: Mapping[str, Mapping[str, str]]) -> None:
        """Replace the list of allowed clients."""
        self._clients = dict(clients)

    @property
    def timeout_ms(self) -> int | None:
        """How long to wait for the sockets at most; None: however long."""
        due = [at for at, _ in self._closing.values()]
        if self._refusals.is_waiting or self._connections.is_waiting:
            due.append(self._report_at)
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1) if due else None

    def report(self) -> None:
        """Each second, log and report to the parent what was refused; call it as often as you like."""
        now = time.monotonic()
        if now < self._report_at:
            return
        self._report_at = now + _REPORT_SECONDS
        self._refusals.tick()
        self._connections.tick()
        self._connections.take_counts()
        if counts := self._refusals.take_counts():
            _report({"refused": counts})

    def close_revoked(self) -> None:
        """Close the connections of clients that are no longer allowed, once they have been told."""
        now = time.monotonic()
        for descriptor in [one for one, (at, _) in self._closing.items() if at <= now]:
            _, address = self._closing.pop(descriptor)
            _shut_down(descriptor, address)

    def pass_requests(self) -> None:
        """Pass the messages that have arrived on to the daemon, at most a burst."""
        for _ in range(_BURST):
            try:
                route = self.router.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._pass_request(route)

    def _pass_request(self, route: bytes) -> None:
        frames: list[zmq.Frame] = []
        count = 0
        while self.router.getsockopt(zmq.RCVMORE):
            frame = self.router.recv(zmq.NOBLOCK, copy=False)
            count += 1
            if count <= _FRAMES_PASSED:
                frames.append(frame)
            elif count > _FRAMES_READ:
                key = _metadata(frames[0], "User-Id")
                name = self._clients.get(key, {}).get("name", key)
                _report({"flooded_by": key})
                raise ControlError(f"client {name} sent a message of more than {_FRAMES_READ} frames")
        if not frames:
            return
        key, address = _metadata(frames[0], "User-Id"), _metadata(frames[0], "Peer-Address")
        if key not in self._clients:
            descriptor = int(frames[0].get(zmq.SRCFD))
            if descriptor in self._closing:
                return
            self._closing[descriptor] = (time.monotonic() + _CLOSE_SECONDS, address)
        relayed = {"route": route.hex(), "key": key, "address": address, "count": count}
        parts = [frame.bytes for frame in frames]
        line = self._urgent if count == 1 and self._is_urgent(key, parts[0]) else self._ordinary
        if (fault := line.fault_of(key, sum(map(len, parts)))) is not None:
            self._refuse_as_busy(route, key, parts[0], fault)
            return
        line.pass_on(key, [json.dumps(relayed).encode(), *parts])

    def _is_urgent(self, key: str, frame: bytes) -> bool:
        """Whether it is a command that stops calls, of a client that may give it."""
        client = self._clients.get(key)
        if client is None or client["access"] != Access.WRITE or len(frame) > _SHORT_BYTES:
            return False
        decoded = messages.decode_request(frame)
        return isinstance(decoded, Request) and decoded.command.urgent

    def _refuse_as_busy(self, route: bytes, key: str, frame: bytes, fault: str) -> None:
        name = self._clients.get(key, {}).get("name", key)
        self._log_refusal("busy", f"key {name}", f"a request was not taken: {fault}")
        decoded = messages.decode_request(frame) if len(frame) <= _SHORT_BYTES else None
        refusal = Refusal(
            id=None if decoded is None else decoded.id,
            code=ErrorCode.BUSY,
            message=fault,
            language=ENGLISH if decoded is None else decoded.language,
        )
        try:
            self.router.send_multipart((route, messages.encode_refusal(refusal)), zmq.NOBLOCK)
        except zmq.ZMQError:  # it does not read its answers, or has left
            self._log_refusal("not_read", f"key {name}", "an answer was dropped: the client does not read")

    def pass_answers(self) -> None:
        """Pass the daemon's answers on to the clients, at most a burst of each connection."""
        for line in self._lines:
            line.process_disconnect()
            for _ in range(_BURST):
                if not self._pass_answer(line):
                    break

    def _pass_answer(self, line: Line) -> bool:
        """Whether there was one."""
        try:
            route, message = line.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        except ValueError:
            return True  # no answer has another form
        if not route:
            line.note_taken()
            return True
        try:
            self.router.send_multipart((route, message), zmq.NOBLOCK)
        except zmq.ZMQError as exc:
            why = "full" if isinstance(exc, zmq.Again) else "gone"
            note = {"route": route.hex(), "undelivered": why}
            line.socket.send_multipart([json.dumps(note).encode()], zmq.NOBLOCK)
        return True

    def process_handshakes(self) -> None:
        """Answer authentication requests and log refused handshakes; never blocks."""
        while self._authenticator.poll(0):
            self._authenticator.send_multipart(self._zap_reply(self._authenticator.recv_multipart()))
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())
            reason = _FAILURES.get(zmq.Event(event["event"]))
            if reason is not None and event["event"] != zmq.Event.HANDSHAKE_FAILED_AUTH:
                text = f"a connection to {self.address} was refused: {reason}"
                self._log_refusal("handshake", "unknown", text)

    def close(self) -> None:
        """Stop listening."""
        self.router.disable_monitor()
        self._monitor.close(linger=0)
        self.router.close(linger=0)
        self._authenticator.close(linger=0)
        if hasattr(self, "_ordinary"):
            for line in self._lines:
                line.close()
        self._context.term()

    def _zap_reply(self, request: list[bytes]) -> list[bytes]:
        """The reply to a ZAP request: version, id, status, text, user id, metadata."""
        if len(request) < 6:
            return [b"1.0", b"", b"500", b"not understood", b"", b""]
        version, request_id, domain, address, _identity, mechanism, *proof = request
        head = [version, request_id]
        if mechanism != b"CURVE" or domain != _DOMAIN or len(proof) != 1 or len(proof[0]) != 32:
            text = f"a client at {_shown(address)} was refused: {_shown(mechanism)} is not CURVE"
            self._log_refusal("not_curve", _shown(address), text)
            return [*head, b"400", b"CURVE alone", b"", b""]
        public = z85.encode(proof[0]).decode("ascii")
        client = self._clients.get(public)
        if client is None:
            text = f"a client at {_shown(address)} was refused: its key {public} is not allowed"
            self._log_refusal("unknown_key", _shown(address), text)
            return [*head, b"400", b"key not allowed", b"", b""]
        # Summed up, too: a client may connect as often as it likes.
        self._connections.event(
            logging.INFO,
            "control.connected",
            client=f"key {client['name']}",
            cause="connected",
            access=client["access"],
            address=_shown(address),
        )
        return [*head, b"200", b"OK", public.encode("ascii"), b""]

    def _log_refusal(self, cause: str, client: str, text: str) -> None:
        self._refusals.event(logging.WARNING, "control.refused", client=client, cause=cause, text=text)


def _limit(router: zmq.Socket[bytes]) -> None:
    router.linger = 0
    router.rcvhwm = _RECEIVE_HIGH_WATER
    router.sndhwm = _SEND_HIGH_WATER
    # Above our own limit, so that a file a little too large gets an error; far above, libzmq disconnects.
    router.maxmsgsize = messages.ATTACHMENT_LIMIT + messages.JSON_LIMIT
    router.router_mandatory = True


def _require_curve(router: zmq.Socket[bytes], public: str, secret: str) -> None:
    """Require CURVE and a known client key."""
    router.curve_server = True
    router.curve_publickey = public.encode("ascii")
    router.curve_secretkey = secret.encode("ascii")
    router.zap_domain = _DOMAIN
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    router.handshake_ivl = _HANDSHAKE_MS
    router.heartbeat_ivl = _HEARTBEAT_MS
    router.heartbeat_timeout = _HEARTBEAT_TIMEOUT_MS


def _shown(value: bytes) -> str:
    """Untrusted bytes, made safe for a log."""
    return value.decode("ascii", "backslashreplace")[:64]


def _shut_down(descriptor: int, address: str) -> None:
    """End a client's connection; libzmq, which has no function for that, then closes the descriptor.

    Args:
        descriptor: of the connection; where that is gone, the descriptor may be of something else.
        address: the client's.
    """
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            name = connection.getpeername()
            if isinstance(name, tuple) and str(name[0]) == address:
                connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _metadata(frame: zmq.Frame, name: str) -> str:
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""


def main() -> int:
    """Relay until standard input ends."""
    setproctitle("speechaid: control over TCP")
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _limit_process()
    os.set_blocking(sys.stdout.fileno(), False)
    lines = _Lines(sys.stdin.fileno())
    config = next(iter(lines.wait()), None)
    if config is None:
        return ExitStatus.OK
    file = config["log_file"]
    logs.configure(
        config["log_level"],
        config["log_format"],
        file=None if file is None else Path(file),
        secrets=(str(config["secret"]),),
    )
    try:
        end = TcpEnd(config)
    except ControlError as exc:
        _report({"error": str(exc)})
        return ExitStatus.UNAVAILABLE
    _report({"listening": end.address})
    try:
        _relay(end, lines)
    except ControlError as exc:
        log.error("control.relay_ends", text=str(exc))  # noqa: TRY400 - what a client sent, no fault of ours
        logging.shutdown()
        # Without a close: libzmq would free a flood frame by frame.
        os._exit(ExitStatus.SOFTWARE)
    end.close()
    return ExitStatus.OK


def _relay(end: TcpEnd, lines: _Lines) -> None:
    poller = zmq.Poller()
    poller.register(lines.descriptor, zmq.POLLIN)
    for one in end.sockets:
        poller.register(one, zmq.POLLIN)
    while True:
        ready = dict(poller.poll(end.timeout_ms))
        if lines.descriptor in ready:
            for line in lines.read():
                end.allow(line["clients"])
            if lines.ended:
                return
        end.process_handshakes()
        end.pass_answers()
        end.pass_requests()
        end.close_revoked()
        end.report()


class _Lines:
    """The JSON lines of a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """The lines that have come; blocks where nothing has."""
        data = os.read(self.descriptor, 65_536)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait(self) -> Iterable[dict[str, Any]]:
        """The first lines; none where the input ends before."""
        while not self.ended:
            if lines := self.read():
                return lines
        return []


def _limit_process() -> None:
    """What a client makes this process use is bounded: beyond it, this process ends, and no other."""
    for kind, wanted in ((resource.RLIMIT_NOFILE, _DESCRIPTORS), (resource.RLIMIT_AS, _MEMORY_BYTES)):
        _, hard = resource.getrlimit(kind)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _report(message: Mapping[str, Any]) -> None:
    """Write a line to the parent; a pipe that it does not empty holds nothing up, and loses it."""
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
