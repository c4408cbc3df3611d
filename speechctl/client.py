"""The client's end of the control socket: one request, its progress, its answer, one deadline for all.

A refused connection looks like silence to ZeroMQ, so the socket is looked at before asking, and again after a
time-out, to say which of the causes it is (``speechctl.diagnosis``).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import zmq

from speechaid.protocol import messages
from speechctl.diagnosis import absence, silence

if TYPE_CHECKING:
    from speechaid.protocol.keys import Credentials, KeyPair

#: A stream gives a sign of life every few seconds; past this silence the daemon is gone, in milliseconds.
STREAM_SILENCE_MS: Final = 20_000

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A daemon on the network."""

    #: ``tcp://10.0.0.5:7410``.
    address: str
    credentials: Credentials

    def __str__(self) -> str:
        return self.address


class Unreachable(Exception):  # noqa: N818 - a condition of the world
    """The daemon cannot be asked; the text says why and what to do."""


class Unanswered(Unreachable):
    """The daemon is there, but the answer did not come in time: the work may still be done."""


class Refused(Exception):  # noqa: N818 - an answer
    """The daemon answered that it does not do it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_status(self) -> int:
        """1 for a refusal, 2 for wrong usage."""
        known = {str(code): status for code, status in messages.EXIT_STATUS.items()}
        return known.get(self.code, 1)


class Client:
    """A connection to one daemon; use it in ``with``."""

    def __init__(self, target: Path | Remote) -> None:
        self.target = target
        self._context = zmq.Context()
        self._dealer: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._poller = zmq.Poller()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection and whatever was not sent yet."""
        self._disconnect()
        self._context.term()

    def ask(
        self,
        command: str,
        args: Mapping[str, Any],
        *,
        attachment: bytes | None = None,
        timeout_seconds: float,
        on_progress: Progress | None = None,
    ) -> dict[str, Any]:
        """The result of a command.

        Args:
            command: a name of the command table.
            args: its arguments as they travel.
            attachment: the file's bytes, for a command that takes one.
            timeout_seconds: longest wait for the final answer; progress does not lengthen it.
            on_progress: told how far the daemon is.

        Raises:
            Refused: the daemon said no.
            Unreachable: no daemon is there, or it may not be asked.
            Unanswered: it did not answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        dealer = self._connected()
        request_id = _fresh_id()
        header = messages.encode({"id": request_id, "command": command, "args": args})
        dealer.send_multipart([header] if attachment is None else [header, attachment], zmq.NOBLOCK)
        heard = False
        while (left_ms := int((deadline - time.monotonic()) * 1000)) > 0:
            if not self._poll(dealer, left_ms):
                break
            reply = _decoded(dealer.recv_multipart())
            if reply is None or reply.get("id") not in {request_id, None}:
                continue  # an answer to an earlier question that nobody waits for any more
            if "progress" in reply:
                heard = True
                if on_progress is not None:
                    on_progress(reply["progress"])
                continue
            return _result(reply)
        self._disconnect()  # an answer that comes late must not meet the next question
        fault = self._absence()
        if fault is not None:
            raise Unreachable(f"the daemon went away before it answered: {fault}")
        raise Unanswered(self._silence(heard, timeout_seconds))

    def stream(self, command: str, args: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What a command tells on and on; leave the loop to end it.

        Raises:
            Refused: the daemon said no.
            Unreachable: no daemon is there, or it went away.
        """
        dealer = self._connected()
        request_id = _fresh_id()
        header = messages.encode({"id": request_id, "command": command, "args": args})
        dealer.send_multipart([header], zmq.NOBLOCK)
        while self._poll(dealer, STREAM_SILENCE_MS):
            reply = _decoded(dealer.recv_multipart())
            if reply is None or reply.get("id") not in {request_id, None}:
                continue
            if "progress" not in reply:
                _result(reply)
                return
            yield dict(reply["progress"])
        fault = self._absence() or "it does not give a sign of life any more: it is stopped or stuck"
        self._disconnect()
        raise Unreachable(f"the daemon went away: {fault}")

    def _poll(self, dealer: zmq.Socket[bytes], timeout_ms: int) -> bool:
        """Wait for a reply; a door that does not open is told at once.

        Raises:
            Unreachable: the daemon refuses this key, or is another than the one believed.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        while (left_ms := int((deadline - time.monotonic()) * 1000)) > 0:
            ready = dict(self._poller.poll(left_ms))
            if dealer in ready:
                return True
            if self._monitor is not None and self._monitor in ready:
                from zmq.utils.monitor import recv_monitor_message

                event = recv_monitor_message(self._monitor)["event"]
                if event == zmq.Event.HANDSHAKE_FAILED_AUTH:
                    raise Unreachable(f"the daemon at {self.target} does not let this key in")
                if event != zmq.Event.CONNECTED:
                    raise Unreachable(
                        f"what listens at {self.target} does not prove that it is the daemon of this key file"
                    )
        return False

    def _absence(self) -> str | None:
        return absence(self.target) if isinstance(self.target, Path) else None

    def _silence(self, accepted: bool, timeout_seconds: float) -> str:
        if isinstance(self.target, Path):
            return silence(self.target, accepted=accepted, timeout_seconds=timeout_seconds)
        if accepted:
            return (
                f"{self.target} took the request, but did not answer within {timeout_seconds:g} s; it goes on"
            )
        return (
            f"no answer from {self.target} within {timeout_seconds:g} s: no daemon listens there "
            "(SPEECHAID_CONTROL_TCP), or a firewall is between"
        )

    def _connected(self) -> zmq.Socket[bytes]:
        if self._dealer is None:
            fault = self._absence()
            if fault is not None:
                raise Unreachable(fault)
            dealer = self._dealer = self._context.socket(zmq.DEALER)
            dealer.linger = 0
            if isinstance(self.target, Path):
                dealer.connect(f"ipc://{self.target}")
            else:
                self._monitor = _unlock(dealer, self.target)
                self._poller.register(self._monitor, zmq.POLLIN)
                dealer.connect(self.target.address)
            self._poller.register(dealer, zmq.POLLIN)
        return self._dealer

    def _disconnect(self) -> None:
        if self._dealer is not None:
            if self._monitor is not None:
                self._dealer.disable_monitor()
                self._monitor.close(linger=0)  # pyzmq would leave that to the collector, and term() waits
                self._monitor = None
            self._dealer.close(linger=0)
            self._dealer = None
            self._poller = zmq.Poller()


def new_pair() -> KeyPair:
    """A fresh pair of CURVE keys."""
    from speechaid.protocol.keys import KeyPair

    public, secret = zmq.curve_keypair()
    return KeyPair(public=public.decode("ascii"), secret=secret.decode("ascii"))


def _unlock(dealer: zmq.Socket[bytes], target: Remote) -> zmq.Socket[bytes]:
    """Have a connection prove itself, and the server too; returns what tells whether either failed."""
    dealer.curve_publickey = target.credentials.pair.public.encode("ascii")
    dealer.curve_secretkey = target.credentials.pair.secret.encode("ascii")
    dealer.curve_serverkey = target.credentials.server.encode("ascii")
    dealer.heartbeat_ivl = 5_000
    dealer.heartbeat_timeout = 20_000
    return dealer.get_monitor_socket(
        zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
        | zmq.Event.HANDSHAKE_FAILED_AUTH
    )


def _fresh_id() -> str:
    """A request's name; the module ``secrets`` would take longer to import than the daemon to answer."""
    return os.urandom(8).hex()


def _decoded(frames: list[bytes]) -> dict[str, Any] | None:
    try:
        reply = json.loads(frames[-1])
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None


def _result(reply: Mapping[str, Any]) -> dict[str, Any]:
    if reply.get("ok") is True and isinstance(reply.get("result"), dict):
        return dict(reply["result"])
    error = reply.get("error")
    if not isinstance(error, dict):
        raise Refused("internal", "the daemon's answer is not understood: it is of another version")
    raise Refused(str(error.get("code")), str(error.get("message")))
