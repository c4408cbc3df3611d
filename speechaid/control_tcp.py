"""The control socket over TCP: CURVE keys and a list of allowed clients, never unencrypted.

libzmq asks for each handshake (ZAP, RFC 27) whether the client's key is allowed; the authenticator answers
here, in the loop's thread, from a list in memory. Without an authenticator, ``zap_enforce_domain`` makes
libzmq refuse every client. Each message is checked against the list again: a client that was revoked while
connected is refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from speechaid.errors import ConfigError, ControlError
from speechaid.protocol import keys
from speechaid.protocol.keys import AllowedClient, KeyPair, KeyringError
from speechaid.protocol.messages import Access, Peer
from speechaid.settings import Settings
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

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
#: Refusals of one kind that are logged in this span of seconds; further ones are only counted.
_LOG_LIMIT: Final = 20
_LOG_SPAN_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class TcpAccess:
    """Where to listen over TCP, with which key pair, and for which clients (by public key)."""

    address: str
    pair: KeyPair = field(repr=False)
    clients: Mapping[str, AllowedClient]


def tcp_access(settings: Settings) -> TcpAccess | None:
    """Read the keys for control over TCP; None where ``SPEECHAID_CONTROL_TCP`` is not set.

    Raises:
        ConfigError: an address is set, and keys are missing or readable by others: never in the clear.
    """
    control = settings.control
    if control.tcp is None:
        return None
    directory = control.keys_dir or control.state_dir / "keys"
    try:
        pair, clients = keys.server_pair(directory), keys.allowed_clients(directory)
    except KeyringError as exc:
        fault = f"SPEECHAID_CONTROL_TCP={control.tcp}: without keys there is no control over TCP: {exc}"
        raise ConfigError([fault]) from exc
    return TcpAccess(address=control.tcp, pair=pair, clients=clients)


@dataclass(kw_only=True)
class _RefusalLog:
    """Refusals of one kind: when they were logged lately, and how many were not."""

    logged: list[float] = field(default_factory=list)
    suppressed: int = 0


class TcpEnd:
    """A ROUTER on TCP, and its ZAP authenticator.

    Raises:
        ControlError: it cannot listen on the address.
    """

    def __init__(
        self,
        access: TcpAccess,
        *,
        configure: Callable[[zmq.Socket[bytes]], None],
    ) -> None:
        self.address = access.address
        self._clients = dict(access.clients)
        self._refusals: dict[str, _RefusalLog] = {}
        with contextlib.ExitStack() as opened:
            self._context = zmq.Context()
            opened.callback(self._context.destroy, linger=0)
            try:
                self._open(access, configure)
            except zmq.ZMQError as exc:
                fault = f"cannot listen on {self.address} (SPEECHAID_CONTROL_TCP): {exc}"
                raise ControlError(fault) from exc
            opened.pop_all()  # open from now on, until ``close``
        if not access.clients:
            text = "add a client with speechctl keys add NAME, then reload"
            log.warning("control.no_clients", address=self.address, text=text)

    def _open(self, access: TcpAccess, configure: Callable[[zmq.Socket[bytes]], None]) -> None:
        # The authenticator first: a handshake before it is bound would be refused.
        self._authenticator = self._context.socket(zmq.REP)
        self._authenticator.linger = 0
        self._authenticator.bind(_ZAP_ENDPOINT)
        self.router = self._context.socket(zmq.ROUTER)
        configure(self.router)
        _require_curve(self.router, access.pair)
        self._monitor = self.router.get_monitor_socket(
            zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
            | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            | zmq.Event.HANDSHAKE_FAILED_AUTH
        )
        self.router.bind(self.address)

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """Sockets to poll, besides the ROUTER."""
        return (self._authenticator, self._monitor)

    def allow(self, clients: Mapping[str, AllowedClient]) -> None:
        """Replace the list of allowed clients."""
        self._clients = dict(clients)

    def process_handshakes(self) -> None:
        """Answer authentication requests and log refused handshakes; never blocks."""
        while self._authenticator.poll(0):
            self._authenticator.send_multipart(self._zap_reply(self._authenticator.recv_multipart()))
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())
            reason = _FAILURES.get(zmq.Event(event["event"]))
            if reason is not None and event["event"] != zmq.Event.HANDSHAKE_FAILED_AUTH:
                self._log_refusal("handshake", f"a connection to {self.address} was refused: {reason}")

    def peer_of(self, frame: zmq.Frame) -> Peer | None:
        """Sender of a frame; None where the client has been revoked since it connected."""
        try:
            key, address = str(frame.get("User-Id")), str(frame.get("Peer-Address"))
        except zmq.ZMQError:
            return None
        client = self._clients.get(key)
        if client is None:
            self._log_refusal("revoked", f"a revoked client at {address} was refused")
            return None
        return Peer(name=client.name, address=address, access=Access(client.access))

    def close(self) -> None:
        """Stop listening."""
        self.router.disable_monitor()
        self._monitor.close(linger=0)
        self.router.close(linger=0)
        self._authenticator.close(linger=0)
        self._context.term()

    def _zap_reply(self, request: list[bytes]) -> list[bytes]:
        """The reply to a ZAP request: version, id, status, text, user id, metadata."""
        if len(request) < 6:
            return [b"1.0", b"", b"500", b"not understood", b"", b""]
        version, request_id, domain, address, _identity, mechanism, *proof = request
        head = [version, request_id]
        if mechanism != b"CURVE" or domain != _DOMAIN or len(proof) != 1 or len(proof[0]) != 32:
            self._log_refusal(
                "plain", f"a client at {_shown(address)} was refused: {_shown(mechanism)} is not CURVE"
            )
            return [*head, b"400", b"CURVE alone", b"", b""]
        public = z85.encode(proof[0]).decode("ascii")
        client = self._clients.get(public)
        if client is None:
            self._log_refusal(
                "key", f"a client at {_shown(address)} was refused: its key {public} is not allowed"
            )
            return [*head, b"400", b"key not allowed", b"", b""]
        log.info("control.connected", client=client.name, access=client.access, address=_shown(address))
        return [*head, b"200", b"OK", public.encode("ascii"), b""]

    def _log_refusal(self, kind: str, text: str) -> None:
        """Log a refusal; each kind has its own limit, so that a flood of one hides none of another."""
        refusals = self._refusals.setdefault(kind, _RefusalLog())
        now = time.monotonic()
        refusals.logged = [moment for moment in refusals.logged if now - moment < _LOG_SPAN_SECONDS]
        if len(refusals.logged) >= _LOG_LIMIT:
            refusals.suppressed += 1
            return
        log.warning("control.refused", text=text, not_logged=refusals.suppressed or None)
        refusals.logged.append(now)
        refusals.suppressed = 0


def _require_curve(router: zmq.Socket[bytes], pair: KeyPair) -> None:
    """Require CURVE and a known client key."""
    router.curve_server = True
    router.curve_publickey = pair.public.encode("ascii")
    router.curve_secretkey = pair.secret.encode("ascii")
    router.zap_domain = _DOMAIN
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    router.handshake_ivl = _HANDSHAKE_MS
    router.heartbeat_ivl = _HEARTBEAT_MS
    router.heartbeat_timeout = _HEARTBEAT_TIMEOUT_MS


def _shown(value: bytes) -> str:
    """Untrusted bytes, made safe for a log."""
    return value.decode("ascii", "backslashreplace")[:64]
