"""The client's end of the control socket: one request, its progress, its answer, one deadline for all.

A refused connection looks like silence to ZeroMQ, so the socket is looked at before asking, and again after a
time-out, to say which of the causes it is (``speechctl.diagnosis``).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from speechaid import protocol
from speechctl.diagnosis import absence, silence

Progress = Callable[[Mapping[str, Any]], None]


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
        known = {str(code): status for code, status in protocol.EXIT_STATUS.items()}
        return known.get(self.code, 1)


class Client:
    """A connection to one daemon; use it in ``with``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._context = zmq.Context()
        self._dealer: zmq.Socket[bytes] | None = None

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
        request_id = secrets.token_hex(8)
        header = protocol.encode({"id": request_id, "command": command, "args": args})
        dealer.send_multipart([header] if attachment is None else [header, attachment], zmq.NOBLOCK)
        heard = False
        while (left_ms := int((deadline - time.monotonic()) * 1000)) > 0:
            if not dealer.poll(left_ms):
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
        fault = absence(self.path)
        if fault is not None:
            raise Unreachable(f"the daemon went away before it answered: {fault}")
        raise Unanswered(silence(self.path, accepted=heard, timeout_seconds=timeout_seconds))

    def _connected(self) -> zmq.Socket[bytes]:
        if self._dealer is None:
            fault = absence(self.path)
            if fault is not None:
                raise Unreachable(fault)
            self._dealer = self._context.socket(zmq.DEALER)
            self._dealer.linger = 0
            self._dealer.connect(f"ipc://{self.path}")
        return self._dealer

    def _disconnect(self) -> None:
        if self._dealer is not None:
            self._dealer.close(linger=0)
            self._dealer = None


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
