"""The clients' end of the control socket: a unix socket, its connections, and their limits.

One thread owns it, and nothing here blocks. A client that sends too much or too slowly, or does not read,
loses its own connection at most; where descriptors run out, new connections are closed and old ones go on.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from speechaid.errors import ControlError
from speechaid.protocol import messages, zmtp
from speechaid.protocol.messages import Peer
from speechaid.protocol.zmtp import Decoder, ZmtpFault
from speechaid.telemetry.summed_log import SummedLog

#: Connections at most: in all, and of one process.
MAX_CONNECTIONS: Final = 512
MAX_OF_PROCESS: Final = 128
#: Seconds within which a client has to greet, and may be silent in the middle of a message.
_HANDSHAKE_SECONDS: Final = 10.0
_STALLED_SECONDS: Final = 30.0
#: Read from one connection at a time, in bytes; and kept of it unread.
_CHUNK_BYTES: Final = 256 * 1024
#: Longest message: above the limits of a request, so that a file a little too large gets an answer.
_MESSAGE_BYTES: Final = messages.ATTACHMENT_LIMIT + messages.JSON_LIMIT
#: Frames above ``_CHUNK_BYTES`` that are being received, all together, in bytes; one always may.
_RECEIVING_BYTES: Final = 3 * _MESSAGE_BYTES
#: Items of streams queued for a connection that is not read; further ones are dropped. Answers, by number and
#: in bytes: many more, since all clients on TCP share one connection, and no stream may cost an answer.
_STREAM_HIGH_WATER: Final = 256
_SEND_HIGH_WATER: Final = 4096
_SEND_BYTES: Final = 64 * 1024 * 1024
_BACKLOG: Final = 128
_CREDENTIALS: Final = struct.Struct("3i")
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(kw_only=True)
class Connection:
    """One client's connection; ``peer`` is from the kernel."""

    number: int
    sock: socket.socket
    peer: Peer
    since: float
    decoder: Decoder = field(default_factory=lambda: Decoder(_MESSAGE_BYTES))
    received_at: float = 0.0
    #: A message that is complete and has not been taken.
    message: zmtp.Message | None = None
    outgoing: deque[memoryview] = field(default_factory=deque)
    outgoing_bytes: int = 0
    #: The client has closed its end: what it sent before is still carried out.
    ended: bool = False
    #: What the poller waits for.
    events: int = 0


class ClientConnections:
    """The listening socket and all connections.

    Raises:
        ControlError: it cannot listen.
    """

    def __init__(self, path: Path, refusals: SummedLog) -> None:
        self._path = path
        self._refusals = refusals
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._by_descriptor: dict[int, Connection] = {}
        self._numbers = 0
        #: Connections with a complete message, in the order in which they are served.
        self._ready: deque[Connection] = deque()
        # Given up for a moment where descriptors have run out, to close the connection that asks for one.
        self._reserve = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        #: The process whose connection stays where all places are taken.
        self.spared_pid: int | None = None
        try:
            self._listening = _listen(path)
        except ControlError:
            os.close(self._reserve)
            self._epoll.close()
            raise
        self._identity = _identity(path)
        self._epoll.register(self._listening, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable while ``process_events`` has something to do."""
        return self._epoll.fileno()

    @property
    def pending(self) -> bool:
        """Whether a complete message waits."""
        return bool(self._ready)

    @property
    def is_swept(self) -> bool:
        """Whether the socket's file is gone or is another's: no client can connect any more."""
        return _identity(self._path) != self._identity

    def process_events(self) -> None:
        """Accept, receive and send what is possible now."""
        for descriptor, events in self._epoll.poll(0):
            if descriptor == self._listening.fileno():
                self._accept()
                continue
            connection = self._by_descriptor.get(descriptor)
            if connection is None:
                continue
            if events & select.EPOLLOUT:
                self._flush(connection)
            # Of one whose message still waits to be taken, nothing is read that may follow it.
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and connection.message is None:
                self._receive(connection)

    def take_message(self) -> tuple[Connection, zmtp.Message] | None:
        """The next message: one of each client in turn."""
        if not self._ready:
            return None
        connection = self._ready.popleft()
        message, connection.message = connection.message, None
        assert message is not None  # noqa: S101 - only such connections are in the queue
        self._decode(connection)
        if connection.number in self._connections:
            self._wait_for(connection)
        return connection, message

    def send_always(self, number: int, parts: tuple[bytes, ...]) -> None:
        """Send a message that counts against no limit: who gets it has a limit of its own."""
        connection = self._connections.get(number)
        if connection is not None and not connection.ended:
            self._queue(connection, zmtp.encode_message(parts))

    def send(self, number: int, parts: tuple[bytes, ...], *, of_stream: bool = False) -> bool | None:
        """Send a message; False: the client does not read, None: it has disconnected."""
        connection = self._connections.get(number)
        if connection is None or connection.ended:
            return None
        data = zmtp.encode_message(parts)
        full = len(connection.outgoing) >= (_STREAM_HIGH_WATER if of_stream else _SEND_HIGH_WATER)
        if full or (connection.outgoing and connection.outgoing_bytes + len(data) > _SEND_BYTES):
            return False
        self._queue(connection, data)
        return True if number in self._connections else None

    def is_connected(self, number: int) -> bool:
        """Whether a client is connected still."""
        connection = self._connections.get(number)
        return connection is not None and not connection.ended

    def check_timeouts(self) -> None:
        """Each second: end connections that have stopped in the middle."""
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.ended or connection.message is not None:
                continue
            if not connection.decoder.is_ready and now - connection.since > _HANDSHAKE_SECONDS:
                self._refuse(connection.peer, "timed_out", f"no greeting within {_HANDSHAKE_SECONDS:g} s")
                self._drop(connection)
            elif connection.decoder.buffered and now - connection.received_at > _STALLED_SECONDS:
                text = f"silent for {_STALLED_SECONDS:g} s in the middle of a message"
                self._refuse(connection.peer, "timed_out", text)
                self._drop(connection)
            else:
                self._wait_for(connection)

    def listen_again(self) -> None:
        """Make the socket anew; connections that are open go on.

        Raises:
            ControlError: it cannot be made.
        """
        listening = _listen(self._path)
        self._epoll.unregister(self._listening)
        self._listening.close()
        self._listening, self._identity = listening, _identity(self._path)
        self._epoll.register(listening, select.EPOLLIN)

    def close(self) -> None:
        """Send what can be sent at once, and close everything."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listening.close()
        os.close(self._reserve)
        self._epoll.close()

    def _accept(self) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _FULL:
                    self._refuse_one()
                return
            sock.setblocking(False)
            self._add(sock)

    def _refuse_one(self) -> None:
        """No descriptor is left: close the next connection, or the loop would be woken by it for ever."""
        os.close(self._reserve)
        with contextlib.suppress(OSError):
            self._listening.accept()[0].close()
        with contextlib.suppress(OSError):
            self._reserve = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._refusals.event(
            logging.WARNING,
            "control.no_descriptors",
            client="unknown",
            cause="no_descriptors",
            text="a connection was closed: raise LimitNOFILE=",
        )

    def _add(self, sock: socket.socket) -> None:
        pid, uid, gid = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        peer = Peer(uid=uid, gid=gid, pid=pid)
        same = sum(connection.peer.pid == pid for connection in self._connections.values())
        if same >= MAX_OF_PROCESS:
            self._refuse(peer, "too_many_connections", f"more than {MAX_OF_PROCESS} of one process")
            sock.close()
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            self._drop_most_silent()
        now = time.monotonic()
        self._numbers += 1
        connection = Connection(
            number=self._numbers,
            sock=sock,
            peer=peer,
            since=now,
            received_at=now,
        )
        self._connections[connection.number] = self._by_descriptor[sock.fileno()] = connection
        self._epoll.register(sock, 0)
        self._queue(connection, zmtp.GREETING + zmtp.ready(b"ROUTER"))

    def _drop_most_silent(self) -> None:
        """Make room: connections that only take places must not keep an operator out."""
        others = [one for one in self._connections.values() if one.peer.pid != self.spared_pid]
        if others:
            most_silent = min(others, key=lambda one: one.received_at)
            text = f"the most silent of {MAX_CONNECTIONS}: another took its place"
            self._refuse(most_silent.peer, "too_many_connections", text)
            self._drop(most_silent)

    def _refuse(self, peer: Peer, cause: str, text: str) -> None:
        """Say why a connection is closed."""
        self._refusals.event(
            logging.WARNING,
            "control.client_dropped",
            client=client_of(peer),
            cause=cause,
            text=text,
            peer_pid=peer.pid,
        )

    def _queue(self, connection: Connection, data: bytes) -> None:
        connection.outgoing.append(memoryview(data))
        connection.outgoing_bytes += len(data)
        self._flush(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        if not data:
            self._end(connection)
            return
        connection.received_at = time.monotonic()
        connection.decoder.add(data)
        self._decode(connection)
        if connection.number in self._connections:
            self._wait_for(connection)

    def _decode(self, connection: Connection) -> None:
        """Find the connection's next message; one that sends what is forbidden is closed."""
        try:
            connection.message = connection.decoder.take_message()
        except ZmtpFault as fault:
            self._refuse(connection.peer, "bad_frames", str(fault))
            self._drop(connection)
            return
        if connection.decoder.replies:
            reply = bytes(connection.decoder.replies)
            connection.decoder.replies.clear()
            if len(connection.outgoing) < _SEND_HIGH_WATER:
                self._queue(connection, reply)
        if connection.message is not None:
            self._ready.append(connection)
        elif connection.ended:
            self._drop(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.outgoing:
                data = connection.outgoing[0]
                sent = connection.sock.send(data, socket.MSG_NOSIGNAL)
                connection.outgoing_bytes -= sent
                if sent < len(data):
                    connection.outgoing[0] = data[sent:]
                    break
                connection.outgoing.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection)
            return
        self._wait_for(connection)

    def _end(self, connection: Connection) -> None:
        """The client is gone: nothing more is received or sent; what it sent is carried out."""
        connection.ended = True
        connection.outgoing.clear()
        self._forget_descriptor(connection)
        if connection.message is None:
            self._decode(connection)

    def _drop(self, connection: Connection) -> None:
        self._forget_descriptor(connection)
        if self._connections.pop(connection.number, None) is not None and connection in self._ready:
            self._ready.remove(connection)

    def _forget_descriptor(self, connection: Connection) -> None:
        descriptor = connection.sock.fileno()
        if descriptor >= 0 and self._by_descriptor.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
            connection.sock.close()

    def _wait_for(self, connection: Connection) -> None:
        """Poll for what the connection may do next."""
        if connection.sock.fileno() < 0:
            return
        may_receive = connection.message is None and self._has_room(connection)
        events = (select.EPOLLIN if may_receive else 0) | (select.EPOLLOUT if connection.outgoing else 0)
        if events != connection.events:
            connection.events = events
            self._epoll.modify(connection.sock, events)

    def _has_room(self, connection: Connection) -> bool:
        wanted = connection.decoder.wanted
        if wanted <= _CHUNK_BYTES:
            return True
        # A frame that has begun to come may end; the next large one begins when there is room.
        if connection.decoder.buffered > _CHUNK_BYTES:
            return True
        receiving = sum(
            other.decoder.wanted
            for other in self._connections.values()
            if other is not connection and other.decoder.buffered > _CHUNK_BYTES
        )
        return receiving + wanted <= _RECEIVING_BYTES


def client_of(peer: Peer) -> str:
    """Who sends it, for logs: not the process, which a client changes as often as it likes."""
    if peer.on_behalf is not None:
        return peer.on_behalf.actor
    return f"key {peer.name}" if peer.name is not None else f"uid {peer.uid}"


def _listen(path: Path) -> socket.socket:
    """Bind the socket for owner and group alone; its file must not exist."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o117)
    try:
        sock.bind(os.fsencode(path))
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        raise ControlError(f"cannot listen on the control socket {path}: {exc}") from exc
    finally:
        os.umask(previous)
    sock.setblocking(False)
    return sock


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
