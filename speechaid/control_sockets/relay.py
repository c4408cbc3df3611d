"""The process for control over TCP, as its parent sees it: started, restarted, told whom to admit.

libzmq ends its process where descriptors run out, and takes any number of frames into memory: what the
network can reach is therefore a process of its own (``tcp``), with limits of its own, which passes
messages on over the unix socket. Its death ends the connections over TCP and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from speechaid.errors import ConfigError, ControlError
from speechaid.protocol import keys
from speechaid.protocol.keys import AllowedClient, KeyPair, KeyringError
from speechaid.protocol.translation import say
from speechaid.settings import Settings
from speechaid.settings.child_environment import child_environment
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: For the process to listen after its start, and to leave after the end of its input, in seconds.
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 2.0
#: Seconds until it is started again, longer each time; from the beginning once it has run so long.
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS: Final = 60.0
#: For so many seconds a client is refused whose message ended the process.
_BARRED_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class TcpAccess:
    """Where to listen over TCP, with which key pair, and for which clients (by public key)."""

    address: str
    pair: KeyPair = field(repr=False)
    clients: Mapping[str, AllowedClient]
    log_level: int | str = "INFO"
    log_format: Literal["text", "json"] = "text"
    #: None: standard error.
    log_file: Path | None = None


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
        fault = say(
            "SPEECHAID_CONTROL_TCP={tcp}: without keys there is no control over TCP: {exc}",
            tcp=control.tcp,
            exc=exc,
        )
        raise ConfigError([fault]) from exc
    return TcpAccess(
        address=control.tcp,
        pair=pair,
        clients=clients,
        log_level=settings.logging.level,
        log_format=settings.logging.format,
        log_file=settings.logging.file,
    )


class RelayProcess:
    """The running process; for one thread, the supervisor's.

    Attributes:
        clients: those that are allowed, by public key. The parent decides by this list, whatever the process
        says.

    Raises:
        ControlError: it cannot listen on the address.
    """

    def __init__(self, access: TcpAccess, socket: Path) -> None:
        self.clients: Mapping[str, AllowedClient] = dict(access.clients)
        self._listed_clients = self.clients
        #: Until when a key is refused.
        self._barred: dict[str, float] = {}
        #: Refusals that the process reported, by cause; and the beginning of its next line.
        self._counts: Counter[str] = Counter()
        self._rest = b""
        self._access = access
        self._socket = socket
        self._child: subprocess.Popen[bytes] | None = None
        self._is_starting = False
        self._since = 0.0
        self._failures = 0
        self._next_try = 0.0
        self._start()
        fault = self._report(_START_SECONDS)
        if fault is not None:
            self.close()
            raise ControlError(f"cannot listen on {access.address} (SPEECHAID_CONTROL_TCP): {fault}")
        if not access.clients:
            text = "add a client with speechctl keys add NAME, then reload"
            log.warning("control.no_clients", address=access.address, text=text)

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return None if self._child is None else self._child.pid

    def allow(self, clients: Mapping[str, AllowedClient]) -> None:
        """Replace the list of allowed clients: in force at once for those that are connected."""
        self._listed_clients = dict(clients)
        self._apply_clients()

    def take_counts(self) -> dict[str, int]:
        """How often the process has refused a connection or a message since the last call, by cause."""
        counts, self._counts = self._counts, Counter()
        return dict(counts)

    def ensure(self) -> None:
        """Start the process again where it died, with a back-off; never blocks. Call it every second."""
        now = time.monotonic()
        if any(now >= until for until in self._barred.values()):
            self._barred = {key: until for key, until in self._barred.items() if now < until}
            self._apply_clients()
        if self._child is None:
            if now >= self._next_try:
                self._start()
            return
        if self._child.poll() is not None:
            self._read_reports(self._child)
            self._back_off(f"it ended ({self._child.returncode})")
            return
        if self._is_starting:
            if (fault := self._report(0.0)) is not None:
                self._back_off(fault)
            return
        self._read_reports(self._child)
        if self._failures and now - self._since > _STEADY_SECONDS:
            self._failures = 0

    def close(self) -> None:
        """End the process."""
        if self._child is None:
            return
        child, self._child = self._child, None
        _close_pipes(child)
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _apply_clients(self) -> None:
        self.clients = {
            key: client for key, client in self._listed_clients.items() if key not in self._barred
        }
        if self._child is not None:
            self._send({"clients": _listed(self.clients)})

    def _read_reports(self, child: subprocess.Popen[bytes]) -> None:
        """What the process has reported since: refusals, or whose message it does not survive."""
        assert child.stdout is not None  # noqa: S101 - a pipe
        os.set_blocking(child.stdout.fileno(), False)
        try:
            *lines, self._rest = (self._rest + os.read(child.stdout.fileno(), 65_536)).split(b"\n")
        except BlockingIOError:
            return
        for line in lines:
            report = json.loads(line)
            self._counts.update(report.get("refused", {}))
            if "flooded_by" in report:
                self._bar_flooder(report["flooded_by"])

    def _bar_flooder(self, key: str) -> None:
        """Refuse the client whose message ended the process: the others are to come in again."""
        client = self._listed_clients.get(key)
        if client is None:
            return
        self._failures = 0
        self._barred[key] = time.monotonic() + _BARRED_SECONDS
        self.clients = {name: one for name, one in self.clients.items() if name != key}
        text = f"refused for {_BARRED_SECONDS:g} s: a message of very many frames; speechctl keys revoke"
        log.error("control.client_barred", client=client.name, text=text)

    def _start(self) -> None:
        self._since, self._is_starting, self._rest = time.monotonic(), True, b""
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "speechaid.control_sockets.tcp"],
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Neither Ctrl-C in a terminal nor the end of our session: it ends with its input.
                start_new_session=True,
            )
        except OSError as exc:
            self._back_off(str(exc))
            return
        assert self._child.stdin is not None  # noqa: S101 - a pipe
        os.set_blocking(self._child.stdin.fileno(), False)
        self._send(
            {
                "address": self._access.address,
                "public": self._access.pair.public,
                "secret": self._access.pair.secret,
                "socket": str(self._socket),
                "log_level": self._access.log_level,
                "log_format": self._access.log_format,
                "log_file": None if self._access.log_file is None else str(self._access.log_file),
                "clients": _listed(self.clients),
            }
        )

    def _send(self, message: Mapping[str, Any]) -> None:
        """Send one line; a process that does not read it is ended, and gets the whole list when it starts."""
        assert self._child is not None  # noqa: S101 - the callers have checked
        assert self._child.stdin is not None  # noqa: S101 - a pipe
        line = json.dumps(message).encode() + b"\n"
        try:
            if os.write(self._child.stdin.fileno(), line) == len(line):
                return
        except OSError as exc:
            log.warning("control.relay_does_not_read", text=str(exc))
        self._child.kill()

    def _report(self, timeout_seconds: float) -> str | None:
        """Why the starting process cannot listen; None where it does, or has not said so yet."""
        assert self._child is not None  # noqa: S101 - the callers have checked
        assert self._child.stdout is not None  # noqa: S101 - a pipe
        poller = select.poll()
        poller.register(self._child.stdout, select.POLLIN)
        if not poller.poll(timeout_seconds * 1000):
            late = time.monotonic() - self._since >= _START_SECONDS
            return "it did not start in time" if late else None
        line, _, self._rest = os.read(self._child.stdout.fileno(), 4096).partition(b"\n")
        self._is_starting = False
        try:
            fault = json.loads(line).get("error")
        except ValueError:
            return "it died while starting"
        return None if fault is None else str(fault)

    def _back_off(self, reason: str) -> None:
        delay = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._next_try = time.monotonic() + delay
        if self._child is not None:
            child, self._child = self._child, None
            _close_pipes(child)
            child.kill()
            child.wait()
        log.error("control.relay_died", text=reason, next_in_seconds=delay)


def _listed(clients: Mapping[str, AllowedClient]) -> dict[str, dict[str, str]]:
    return {key: {"name": client.name, "access": client.access} for key, client in clients.items()}


def _close_pipes(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
