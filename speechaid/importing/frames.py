"""What daemon and child exchange: frames of a length, a kind and a body. Pure.

A body is JSON, but for the file's, which is the file. Never pickle: what a child sends is not trusted.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

_HEADER: Final = struct.Struct(">IB")
HEADER_BYTES: Final = _HEADER.size
#: A child's frame has this many bytes at most.
FRAME_BYTES: Final = 32 * 1024 * 1024


class FrameError(Exception):
    """What the child sent is no frame."""


class Kind(IntEnum):
    """What a frame is."""

    #: To the child: the task's arguments, then the file.
    ARGUMENTS = 1
    FILE = 2
    #: From the child: a part of the result; how far it has come; the end; why there is no result.
    PART = 3
    PROGRESS = 4
    END = 5
    REFUSAL = 6
    #: From the child: a fault of the code, by its name and place.
    FAULT = 7
    #: From the child: its memory has run out.
    OUT_OF_MEMORY = 8


def encode(kind: Kind, body: bytes = b"") -> bytes:
    """A frame's bytes."""
    return frame_header(kind, len(body)) + body


def frame_header(kind: Kind, size: int) -> bytes:
    """The bytes before a body of this size."""
    return _HEADER.pack(size, kind)


def read_header(data: bytes) -> tuple[int, Kind]:
    """The size of the body, and the frame's kind.

    Raises:
        FrameError: there is no such kind.
    """
    size, number = _HEADER.unpack(data)
    try:
        return size, Kind(number)
    except ValueError as exc:
        raise FrameError(f"a frame of kind {number}") from exc


class FrameDecoder:
    """Frames from the bytes of a pipe, as they come."""

    def __init__(self, most_bytes: int = FRAME_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether no part of a frame waits for its rest."""
        return not self._rest

    def add_bytes(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Add bytes; the frames that are complete now.

        Raises:
            FrameError: a frame is larger than allowed, or of no known kind.
        """
        self._rest += data
        frames: list[tuple[Kind, bytes]] = []
        position = 0
        while len(self._rest) - position >= HEADER_BYTES:
            size, kind = read_header(bytes(self._rest[position : position + HEADER_BYTES]))
            if size > self._most_bytes:
                raise FrameError(f"a frame of {size} bytes")
            end = position + HEADER_BYTES + size
            if len(self._rest) < end:
                break
            frames.append((kind, bytes(self._rest[position + HEADER_BYTES : end])))
            position = end
        del self._rest[:position]
        return frames
