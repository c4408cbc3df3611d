"""A Retell stub that costs next to nothing: create answers ``registered``, get answers the ended call.

The demo's simulator records and plays out every call; it would take so long that all contenders look alike.
This stub is a hundred lines on a bare socket. Shared memory holds its counts: calls created, and answers that
a call has ended. It exits when its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Self

Document = dict[str, Any]

API_KEY = "key_of_the_benchmark"
AGENT = {"agent_id": "agent_bench", "agent_version": 0, "agent_name": "Bench"}
COUNTERS = struct.Struct("<QQ")
#: A line of a transcript, so that one of a given size is text and not one letter.
TALK = "Agent: Buenas tardes, llamo por su saldo pendiente.\nUser: Puedo pagar el viernes.\n"


class Calls:
    """The calls created, and the answers about them."""

    def __init__(self, counters: mmap.mmap, transcript_bytes: int, talk_seconds: float) -> None:
        self._talk_seconds = talk_seconds
        self._counters = counters
        self._created = self._ended = 0
        self._metadata: dict[str, tuple[str, Any, float]] = {}
        self._transcript = (TALK * (transcript_bytes // len(TALK) + 1))[:transcript_bytes]
        #: When each call was created, by the boot-time clock, with its metadata.
        self.arrivals: list[tuple[float, Any]] = []

    def create(self, body: Document) -> Document:
        """The answer to a create: a registered call."""
        call_id = f"call_{uuid.uuid4().hex}"
        metadata = body.get("metadata")
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.arrivals.append((now, metadata))
        self._metadata[call_id] = str(body.get("to_number")), metadata, now + self._talk_seconds
        self._created += 1
        self._publish()
        return self._told(call_id) | {"call_status": "registered"}

    def get(self, call_id: str) -> Document | None:
        """The answer to a get: the call, ended or in progress."""
        if call_id not in self._metadata:
            return None
        if time.clock_gettime(time.CLOCK_BOOTTIME) < self._metadata[call_id][2]:
            return self._told(call_id) | {"call_status": "ongoing"}
        self._ended += 1
        self._publish()
        now = int(time.time() * 1000)
        return self._told(call_id) | {
            "call_status": "ended",
            "disconnection_reason": "agent_hangup",
            "start_timestamp": now - 2,
            "end_timestamp": now - 1,
            "duration_ms": 1,
            "transcript": self._transcript,
            "recording_url": f"https://recordings.invalid/{call_id}/recording.wav",
            "public_log_url": f"https://recordings.invalid/{call_id}/public.log",
            "call_cost": {"combined_cost": 0.5, "total_duration_seconds": 0, "product_costs": []},
            "call_analysis": {"call_summary": "Paga el viernes.", "call_successful": True},
            "collected_dynamic_variables": {"fecha_pago_cliente": "viernes"},
        }

    def _told(self, call_id: str) -> Document:
        number, metadata, _ = self._metadata[call_id]
        facts = {"to_number": number, "from_number": "+12125550100", "metadata": metadata}
        return {"call_type": "phone_call", "call_id": call_id, "direction": "outbound", **AGENT, **facts}

    def _publish(self) -> None:
        COUNTERS.pack_into(self._counters, 0, self._created, self._ended)


class Connection(asyncio.Protocol):
    """One client: requests of HTTP/1.1, one after the other."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while True:
            head, found, rest = self._waiting.partition(b"\r\n\r\n")
            if not found:
                return
            length = _content_length(head)
            if len(rest) < length:
                return
            self._waiting = rest[length:]
            self._answer(head.split(b" ", 2), rest[:length])

    def _answer(self, request: list[bytes], body: bytes) -> None:
        status, document = self._serve(request[0], request[1].decode(), body)
        text = json.dumps(document).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        assert self._transport is not None
        self._transport.write(head.encode() + text)

    def _serve(self, verb: bytes, path: str, body: bytes) -> tuple[str, Any]:
        if path == "/v2/create-phone-call":
            return "201 Created", self._calls.create(json.loads(body))
        if path.startswith("/v2/get-call/"):
            call = self._calls.get(path.rpartition("/")[2])
            return ("200 OK", call) if call is not None else ("404 Not Found", {"status": "error"})
        if path == "/get-concurrency":
            return "200 OK", {"current_concurrency": 0, "concurrency_limit": 10_000}
        if path == "/v3/list-calls":
            return "200 OK", {"items": [], "has_more": False}
        if path == "/_arrivals":
            arrivals, self._calls.arrivals = self._calls.arrivals, []
            return "200 OK", arrivals
        return "404 Not Found", {"status": "error", "message": f"{verb.decode()} {path}"}


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class StubProcess:
    """The stub as a child process."""

    def __init__(self, *, transcript_bytes: int = 500, talk_seconds: float = 0.0) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="speechaid-bench-", delete=False)  # noqa: SIM115
        self._file.write(bytes(COUNTERS.size))
        self._file.flush()
        self._counters = mmap.mmap(self._file.fileno(), COUNTERS.size)
        command = [sys.executable, "-m", "benchmarks.stub", self._file.name]
        command += [str(transcript_bytes), str(talk_seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().decode().strip()
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._counters.close()
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

    @property
    def created(self) -> int:
        """Calls created so far."""
        return int(COUNTERS.unpack_from(self._counters)[0])

    @property
    def ended(self) -> int:
        """How many answers said that a call has ended."""
        return int(COUNTERS.unpack_from(self._counters)[1])

    def arrivals(self) -> list[tuple[float, Document]]:
        """Creates since the last call of this: boot-time clock, and the request's metadata."""
        arrivals = json.load(urllib.request.urlopen(f"{self.base_url}/_arrivals", timeout=10))
        return [(float(at), metadata or {}) for at, metadata in arrivals]


async def serve(file: Path, transcript_bytes: int, talk_seconds: float) -> None:
    """Listen on a free port, print the address, and serve until killed."""
    with file.open("r+b") as opened:
        calls = Calls(mmap.mmap(opened.fileno(), COUNTERS.size), transcript_bytes, talk_seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(calls), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    await server.serve_forever()


def leave_with_parent() -> None:
    """End the process when its standard input does."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("transcript_bytes", type=int)
    parser.add_argument("talk_seconds", type=float)
    options = parser.parse_args()
    asyncio.run(serve(options.file, options.transcript_bytes, options.talk_seconds))


if __name__ == "__main__":
    main()
