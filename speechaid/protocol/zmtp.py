"""ZeroMQ's wire protocol (ZMTP 3.0, https://rfc.zeromq.org/spec/23), the server's side in the clear. Pure.

libzmq takes any number of frames into memory before it delivers the first, and ends its process where
descriptors run out while a client connects to a unix socket. The daemon decodes its clients' messages
itself: what is too much ends that client's connection, before it is in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MORE, _LONG, _COMMAND = 1, 2, 4
_LONG_SIZE: Final = struct.Struct(">Q")

#: What each side sends first: signature, version, mechanism.
GREETING: Final = (
    b"\xff" + bytes(8) + b"\x7f" + bytes([3, 0]) + b"NULL".ljust(20, b"\0") + bytes([0]) + bytes(31)
)
#: Parts of a message that are kept, and further ones that are read and thrown away before the connection
#: ends.
PARTS_KEPT: Final = 3
_PARTS_READ: Final = 1000
#: Longest command (READY, PING), and longest part that is thrown away, in bytes.
_COMMAND_BYTES: Final = 8 * 1024
_THROWN_AWAY_BYTES: Final = 1024 * 1024


class ZmtpFault(Exception):  # noqa: N818 - what a client did, no error of ours
    """A client sent what the protocol or its limits forbid: its connection has to be closed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a client."""

    #: The first ``PARTS_KEPT`` parts.
    parts: tuple[bytes, ...]
    #: How many there were.
    count: int


def encode_message(parts: Sequence[bytes]) -> bytes:
    """The frames of one message."""
    last = len(parts) - 1
    return b"".join(_frame(part, _MORE if place < last else 0) for place, part in enumerate(parts))


def ready(socket_type: bytes) -> bytes:
    """The command that ends the handshake, for a socket of this type."""
    properties = _property(b"Socket-Type", socket_type) + _property(b"Identity", b"")
    return _frame(b"\x05READY" + properties, _COMMAND)


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value


def _frame(body: bytes, flags: int) -> bytes:
    if len(body) > 255:
        return bytes([flags | _LONG]) + _LONG_SIZE.pack(len(body)) + body
    return bytes([flags, len(body)]) + body


class Decoder:
    """Turns the bytes of one client into its messages."""

    def __init__(self, max_bytes: int) -> None:
        """Expect a greeting first.

        Args:
            max_bytes: longest message that is kept, all its parts together.
        """
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._count = 0
        self._kept_bytes = 0
        self._greeted = False
        #: Whether the client has ended its side of the handshake.
        self.is_ready = False
        #: What has to be sent to the client in answer to its commands.
        self.replies = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes that have been received and not been returned as messages."""
        return len(self._buffer) + self._kept_bytes

    @property
    def wanted(self) -> int:
        """Bytes that the frame which has begun will take; 0 where its length is not known yet."""
        header = self._header()
        return 0 if header is None else header[1] + header[2]

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes in."""
        self._buffer += data

    def take_message(self) -> Message | None:
        """The next message, or None where it has not come whole.

        Raises:
            ZmtpFault: see there.
        """
        if not self._greeted and not self._read_greeting():
            return None
        while (header := self._header()) is not None:
            flags, begins, size = header
            self._check_frame(flags, size)
            if len(self._buffer) < begins + size:
                return None
            body = bytes(memoryview(self._buffer)[begins : begins + size])
            del self._buffer[: begins + size]
            if flags & _COMMAND:
                self._handle_command(body)
                continue
            self._count += 1
            if self._count <= PARTS_KEPT:
                self._parts.append(body)
                self._kept_bytes += size
            if not flags & _MORE:
                message = Message(tuple(self._parts), self._count)
                self._parts, self._count, self._kept_bytes = [], 0, 0
                return message
        return None

    def _read_greeting(self) -> bool:
        seen = bytes(self._buffer[: len(GREETING)])
        if (seen[:1] or b"\xff") != b"\xff" or (len(seen) > 9 and not seen[9] & 1):
            raise ZmtpFault("the client does not speak ZeroMQ")
        if len(seen) > 10 and seen[10] < 3:
            raise ZmtpFault("the client speaks a version of ZeroMQ's protocol before 3.0")
        if len(seen) < len(GREETING):
            return False
        if seen[12:32] != GREETING[12:32]:
            raise ZmtpFault("the client asks for encryption, which the unix socket does not have")
        del self._buffer[: len(GREETING)]
        self._greeted = True
        return True

    def _header(self) -> tuple[int, int, int] | None:
        """Flags, length of the header and size of the body of the first frame; None: not received yet."""
        if not self._greeted or len(self._buffer) < 2:
            return None
        flags = self._buffer[0]
        if not flags & _LONG:
            return flags, 2, self._buffer[1]
        if len(self._buffer) < 9:
            return None
        return flags, 9, int(_LONG_SIZE.unpack_from(self._buffer, 1)[0])

    def _check_frame(self, flags: int, size: int) -> None:
        if flags & ~(_MORE | _LONG | _COMMAND) or (flags & _COMMAND and (flags & _MORE or self._count)):
            raise ZmtpFault("a frame has flags that the protocol does not know")
        if flags & _COMMAND:
            limit = _COMMAND_BYTES
        elif not self.is_ready:
            raise ZmtpFault("the client sends before the handshake has ended")
        elif self._count < PARTS_KEPT:
            limit = self._max_bytes - self._kept_bytes
        else:
            limit = _THROWN_AWAY_BYTES
        if size > limit:
            raise ZmtpFault(f"a frame of {size} bytes is far above what is allowed")
        if self._count >= _PARTS_READ:
            raise ZmtpFault(f"a message has more than {_PARTS_READ} frames")

    def _handle_command(self, body: bytes) -> None:
        name = body[1 : 1 + body[0]] if body else b""
        if not self.is_ready:
            if name != b"READY":
                raise ZmtpFault("the client's handshake is not understood")
            self.is_ready = True
        elif name == b"PING":
            # Two bytes of a time-out, then what the answer repeats.
            self.replies += _frame(b"\x04PONG" + body[7:23], _COMMAND)
