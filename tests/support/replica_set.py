"""A replica set that answers the driver and holds no data: shows which member gets which command."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import bson

Document = dict[str, Any]

_OP_REPLY: Final = 1
_OP_QUERY: Final = 2004
_OP_MSG: Final = 2013
_HEADER: Final = struct.Struct("<iiii")
_HELLO: Final = frozenset({"hello", "ismaster", "isMaster"})
#: What a driver sends for itself.
_OWN: Final = _HELLO | {"ping", "endSessions"}


@dataclass(frozen=True)
class Received:
    """A command that a member received."""

    name: str
    collection: str
    #: What the command says of them; None: nothing, so that the server's default holds.
    read_concern: str | None
    read_preference: str | None


@dataclass
class ReplicaSet:
    """A primary and a secondary; ``received`` has every command but the driver's own, by role."""

    hosts: list[str] = field(default_factory=list)
    received: dict[str, list[Received]] = field(default_factory=lambda: {"primary": [], "secondary": []})

    def uri(self, options: str) -> str:
        return f"mongodb://{','.join(self.hosts)}/?replicaSet=rs0&{options}"

    def clear(self) -> None:
        for commands in self.received.values():
            commands.clear()


class _Member(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, group: ReplicaSet, role: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.group, self.role = group, role
        self.name = f"127.0.0.1:{self.server_address[1]}"
        group.hosts.append(self.name)

    def answer(self, command: Document) -> Document:
        name = next(iter(command))
        if name not in _OWN:
            concern, preference = command.get("readConcern", {}), command.get("$readPreference", {})
            self.group.received[self.role].append(
                Received(name, str(command[name]), concern.get("level"), preference.get("mode"))
            )
        if name in _HELLO:
            return self._hello()
        namespace = f"{command.get('$db')}.{command[name]}"
        cursor = {"id": bson.Int64(0), "ns": namespace, "firstBatch": []}
        return {"ok": 1.0, "n": 0, "nModified": 0, "cursor": cursor, "values": []}

    def _hello(self) -> Document:
        return {
            "ok": 1.0,
            "helloOk": True,
            "isWritablePrimary": self.role == "primary",
            "ismaster": self.role == "primary",
            "secondary": self.role == "secondary",
            "setName": "rs0",
            "setVersion": 1,
            "hosts": self.group.hosts,
            "primary": self.group.hosts[0],
            "me": self.name,
            "minWireVersion": 0,
            "maxWireVersion": 17,
            "maxBsonObjectSize": 16 * 2**20,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30,
            "localTime": datetime.now(UTC),
        }


class _Handler(socketserver.BaseRequestHandler):
    server: _Member

    def handle(self) -> None:
        while (head := self._read(_HEADER.size)) is not None:
            length, request, _, opcode = _HEADER.unpack(head)
            body = self._read(length - _HEADER.size)
            if body is None:
                return
            if opcode == _OP_QUERY:
                command = bson.decode(body[body.index(b"\0", 4) + 9 :])
                answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self.server.answer(command))
                opcode = _OP_REPLY
            else:
                size = struct.unpack_from("<i", body, 5)[0]
                answer = b"\0" * 5 + bson.encode(self.server.answer(bson.decode(body[5 : 5 + size])))
                opcode = _OP_MSG
            self.request.sendall(_HEADER.pack(_HEADER.size + len(answer), 1, request, opcode) + answer)

    def _read(self, size: int) -> bytes | None:
        found = b""
        while len(found) < size:
            part = self.request.recv(size - len(found))
            if not part:
                return None
            found += part
        return found


@contextmanager
def open_replica_set() -> Iterator[ReplicaSet]:
    """A replica set on this machine."""
    group = ReplicaSet()
    members = [_Member(group, role) for role in ("primary", "secondary")]
    threads = [threading.Thread(target=member.serve_forever, args=(0.05,)) for member in members]
    for thread in threads:
        thread.start()
    try:
        yield group
    finally:
        for member, thread in zip(members, threads, strict=True):
            member.shutdown()
            thread.join()
            member.server_close()
