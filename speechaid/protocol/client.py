"""The client's end of the control socket: a request, its progress and its answer, within one deadline.

ZeroMQ does not report a refused connection, so the socket is checked before a request is sent, and again
after a time-out, to find the cause (``speechaid.protocol.connection_faults``).
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
from speechaid.protocol.connection_faults import timeout_reason, unreachable_reason
from speechaid.protocol.on_behalf import ON_BEHALF_VERSION, OnBehalf
from speechaid.protocol.translation import ENGLISH, current_language, say

if TYPE_CHECKING:
    from speechaid.protocol.keys import Credentials, KeyPair

#: Longest silence of a stream, in milliseconds; the daemon sends something every few seconds.
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
    """The daemon cannot be reached; the message says why and what to do."""


class Unanswered(Unreachable):
    """The daemon did not answer in time; the command may still be carried out."""


class Refused(Exception):  # noqa: N818 - an answer
    """The daemon refused the command."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_status(self) -> int:
        """1 for a refusal, 2 for wrong usage."""
        known = {str(code): status for code, status in messages.EXIT_STATUS.items()}
        return known.get(self.code, 1)


class Client:
    """A connection to one daemon; a context manager."""

    def __init__(
        self, target: Path | Remote, *, on_behalf: OnBehalf | None = None, language: str | None = None
    ) -> None:
        """Connect at the first request.

        Args:
            target: the daemon's socket, or its address.
            on_behalf: the user of the HTTP API for whom every request is made; only from that process.
            language: of the answers' sentences; None: the language of this process.
        """
        self._language = language
        self.target = target
        self._envelope: dict[str, Any] = (
            {} if on_behalf is None else {"v": ON_BEHALF_VERSION, "on_behalf": on_behalf.to_wire()}
        )
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
        """Close the connection; what was not sent yet is dropped."""
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
        """Send a command; returns its result.

        Args:
            command: a name of the command table.
            args: its wire arguments.
            attachment: the file's bytes, for a command that takes one.
            timeout_seconds: longest wait for the final answer; progress does not extend it.
            on_progress: called with each progress message.

        Raises:
            Refused: the daemon refused the command.
            Unreachable: no daemon listens, or this user or key may not use it.
            Unanswered: no answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        dealer = self._connected()
        request_id = _new_id()
        header = self._encoded(request_id, command, args)
        dealer.send_multipart([header] if attachment is None else [header, attachment], zmq.NOBLOCK)
        accepted = False
        while (left_ms := _milliseconds_until(deadline)) > 0:
            if not self._poll(dealer, left_ms):
                break
            reply = _decoded(dealer.recv_multipart())
            if reply is None or reply.get("id") not in {request_id, None}:
                continue  # a late answer to an earlier request
            if "progress" in reply:
                accepted = True
                if on_progress is not None:
                    on_progress(reply["progress"])
                continue
            return _result(reply)
        self._disconnect()  # so that a late answer is not taken for that of the next request
        fault = self._unreachable_reason()
        if fault is not None:
            raise Unreachable(say("the daemon went away before it answered: {fault}", fault=fault))
        raise Unanswered(self._timeout_reason(accepted, timeout_seconds))

    def _encoded(self, request_id: str, command: str, args: Mapping[str, Any]) -> bytes:
        """A request; a daemon that knows English alone ignores the language."""
        language = self._language or current_language()
        asked = {} if language == ENGLISH else {"language": language}
        return messages.encode(
            {"id": request_id, "command": command, "args": args, **asked, **self._envelope}
        )

    def stream(
        self,
        command: str,
        args: Mapping[str, Any],
        *,
        timeout_seconds: float = STREAM_SILENCE_MS / 1000,
    ) -> Iterator[dict[str, Any]]:
        """Send a streaming command; yields its progress messages until the caller leaves the loop.

        Args:
            command: a name of the command table.
            args: its wire arguments.
            timeout_seconds: longest wait for the first message, which the daemon sends at once.

        Raises:
            Refused: the daemon refused the command.
            Unreachable: no daemon listens, or it went away.
            Unanswered: no first message in time.
        """
        deadline = time.monotonic() + timeout_seconds
        accepted = False
        dealer = self._connected()
        request_id = _new_id()
        header = self._encoded(request_id, command, args)
        dealer.send_multipart([header], zmq.NOBLOCK)
        while self._poll(dealer, STREAM_SILENCE_MS if accepted else _milliseconds_until(deadline)):
            reply = _decoded(dealer.recv_multipart())
            if reply is None or reply.get("id") not in {request_id, None}:
                continue
            if "progress" not in reply:
                _result(reply)
                return
            accepted = True
            yield dict(reply["progress"])
        self._disconnect()
        fault = self._unreachable_reason()
        if fault is None and not accepted:
            raise Unanswered(self._timeout_reason(accepted, timeout_seconds))
        fault = fault or say("it sends nothing any more: it is stopped or stuck")
        raise Unreachable(say("the daemon went away: {fault}", fault=fault))

    def _poll(self, dealer: zmq.Socket[bytes], timeout_ms: int) -> bool:
        """Wait for a reply; a failed handshake ends the wait at once.

        Raises:
            Unreachable: the daemon refuses this key, or the server is not the one of the key file.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        while (left_ms := _milliseconds_until(deadline)) > 0:
            ready = dict(self._poller.poll(left_ms))
            if dealer in ready:
                return True
            if self._monitor is not None and self._monitor in ready:
                from zmq.utils.monitor import recv_monitor_message  # noqa: PLC0415 - over TCP only

                event = recv_monitor_message(self._monitor)["event"]
                if event == zmq.Event.HANDSHAKE_FAILED_AUTH:
                    raise Unreachable(
                        say("the daemon at {target} does not accept this key", target=self.target)
                    )
                if event != zmq.Event.CONNECTED:
                    raise Unreachable(
                        say(
                            "the server at {target} does not prove that it is the daemon of this key file",
                            target=self.target,
                        )
                    )
        return False

    def _unreachable_reason(self) -> str | None:
        return unreachable_reason(self.target) if isinstance(self.target, Path) else None

    def _timeout_reason(self, accepted: bool, timeout_seconds: float) -> str:
        if isinstance(self.target, Path):
            return timeout_reason(self.target, accepted=accepted, timeout_seconds=timeout_seconds)
        if accepted:
            return say(
                "{target} accepted the request, but did not answer within {timeout_seconds:g} s; it"
                " continues",
                target=self.target,
                timeout_seconds=timeout_seconds,
            )
        return say(
            "no answer from {target} within {timeout_seconds:g} s: the daemon is stopped or"
            " stuck, no daemon listens there (SPEECHAID_CONTROL_TCP), or a firewall is between",
            target=self.target,
            timeout_seconds=timeout_seconds,
        )

    def _connected(self) -> zmq.Socket[bytes]:
        if self._dealer is None:
            fault = self._unreachable_reason()
            if fault is not None:
                raise Unreachable(fault)
            dealer = self._dealer = self._context.socket(zmq.DEALER)
            dealer.linger = 0
            if isinstance(self.target, Path):
                dealer.connect(f"ipc://{self.target}")
            else:
                self._monitor = _use_curve(dealer, self.target)
                self._poller.register(self._monitor, zmq.POLLIN)
                dealer.connect(self.target.address)
            self._poller.register(dealer, zmq.POLLIN)
        return self._dealer

    def _disconnect(self) -> None:
        if self._dealer is not None:
            if self._monitor is not None:
                self._dealer.disable_monitor()
                self._monitor.close(linger=0)  # else term() would wait for the garbage collector
                self._monitor = None
            self._dealer.close(linger=0)
            self._dealer = None
            self._poller = zmq.Poller()


def _milliseconds_until(deadline: float) -> int:
    return max(0, int((deadline - time.monotonic()) * 1000))


def new_pair() -> KeyPair:
    """A new pair of CURVE keys."""
    from speechaid.protocol.keys import KeyPair  # noqa: PLC0415 - only to make keys

    public, secret = zmq.curve_keypair()
    return KeyPair(public=public.decode("ascii"), secret=secret.decode("ascii"))


def _use_curve(dealer: zmq.Socket[bytes], target: Remote) -> zmq.Socket[bytes]:
    """Authenticate client and server by CURVE; returns a monitor socket for failed handshakes."""
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


def _new_id() -> str:
    """A request id; importing ``secrets`` would take longer than the daemon's answer."""
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
        raise Refused("internal", say("the daemon's answer cannot be read: it runs another version"))
    raise Refused(str(error.get("code")), str(error.get("message")))
