"""Where a child sends the parts of its result."""

from __future__ import annotations

import json
import os

from speechaid.importing import frames
from speechaid.importing.frames import Kind


class Output:
    """Writes frames to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send_part(self, body: bytes) -> None:
        """Send a part of the result."""
        self.send(Kind.PART, body)

    def send_progress(self, done: int) -> None:
        """Say how far the work has come, such as in rows."""
        self.send(Kind.PROGRESS, json.dumps(done).encode())

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Send a frame; waits until the parent has taken it."""
        data = memoryview(frames.encode(kind, body))
        while data:
            data = data[os.write(self._descriptor, data) :]
