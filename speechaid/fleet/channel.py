"""One end of the line between supervisor and worker: JSON messages over ``SOCK_SEQPACKET``, never blocking.

A packet holds one message, an object, or several, an array of objects.

``SOCK_SEQPACKET`` keeps message boundaries, delivers what a dead peer had sent, and reports its death by
end-of-file, which ``getppid`` does not. The messages are in ``speechaid.fleet.messages``.
"""

from __future__ import annotations

import array
import contextlib
import json
import select
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from speechaid.errors import FleetError

#: Longest packet; a larger one raises at the sender.
MAX_MESSAGE_BYTES: Final = 64 * 1024

Message = dict[str, Any]

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=str)


class Channel:
    """A connected, non-blocking socket that keeps message boundaries.

    Attributes:
        eof: the other end is closed, and everything that it sent has been received.
        faults: packets received that were not valid messages.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.set_inheritable(False)
        self._sock = sock
        self.eof = False
        self.faults = 0

    @classmethod
    def pair(cls) -> tuple[Self, socket.socket]:
        """Our end, and the socket for the other process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def fileno(self) -> int:
        """The descriptor, for pollers; -1 once closed."""
        return self._sock.fileno()

    def send(self, message: Mapping[str, Any], *, descriptors: Iterable[int] = ()) -> bool:
        """Send one message now; False where the other end is full or closed.

        Raises:
            FleetError: the message is larger than ``MAX_MESSAGE_BYTES``.
        """
        rights = array.array("i", descriptors)
        return self._send(encode(message), [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [])

    def send_all(self, messages: Sequence[Message]) -> bool:
        """Send these in one packet, or none of them; False where the other end is full or closed.

        Raises:
            FleetError: together they are larger than ``MAX_MESSAGE_BYTES``.
        """
        return self._send(encode(messages if len(messages) > 1 else messages[0]), [])

    def _send(self, data: bytes, ancillary: list[tuple[int, int, array.array[int]]]) -> bool:
        try:
            self._sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            # ``eof`` reports a dead peer, after its last messages have been read.
            return False
        except OSError as exc:
            raise FleetError(f"a message could not be sent: {exc}") from exc
        return True

    def receive(self, limit: int = 1000) -> list[Message]:
        """Everything that has arrived, until ``limit`` messages; sets ``eof`` after the last one."""
        messages: list[Message] = []
        while len(messages) < limit and not self.eof:
            try:
                data, _, flags, _ = self._sock.recvmsg(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                # The peer died with unread messages of ours; its last messages are still queued behind this.
                continue
            if not data:
                self.eof = True
            elif not flags & socket.MSG_TRUNC and (decoded := decode_all(data)):
                messages += decoded
            else:
                self.faults += 1
        return messages

    def wait(self, timeout_seconds: float | None, *others: int) -> bool:
        """Wait for a message, end-of-file or one of the other descriptors; False on time-out."""
        poller = select.poll()  # select.select fails past descriptor 1023
        for descriptor in (*(() if self.eof else (self.fileno(),)), *others):
            poller.register(descriptor, select.POLLIN)
        milliseconds = None if timeout_seconds is None else max(0.0, timeout_seconds) * 1000
        return bool(poller.poll(milliseconds))

    def close(self) -> None:
        """Close this end; the other sees end-of-file."""
        with contextlib.suppress(OSError):
            self._sock.close()


def encode(content: Mapping[str, Any] | Sequence[Message]) -> bytes:
    """Encode a packet.

    Raises:
        FleetError: it is larger than ``MAX_MESSAGE_BYTES``.
    """
    data = _ENCODER.encode(content).encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise FleetError(f"a message of {len(data)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    return data


def decode(data: bytes) -> Message | None:
    """Decode a packet of one message; None where it is invalid."""
    messages = decode_all(data)
    return messages[0] if len(messages) == 1 else None


def decode_all(data: bytes) -> list[Message]:
    """Decode the messages of a packet; none where it is invalid."""
    try:
        content = json.loads(data)
    except ValueError:
        return []
    messages = content if isinstance(content, list) else [content]
    return messages if all(isinstance(message, dict) for message in messages) else []
