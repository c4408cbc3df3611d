"""The daemon's end of the control socket: bind, receive, validate, answer. It knows no command's meaning.

Order of binding, and why: first the lock (``<socket>.lock``, with our pid), since libzmq binds over a living
daemon's socket without an error and takes over its new clients; then the stale file is removed, the umask is
set and the socket bound, so that only owner and group may connect at any moment.

The supervisor's thread owns the ``ControlSocket``. Only ``wait`` blocks; neither what a client sends nor its
disconnect raises.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pydantic_core
import zmq

from speechaid.control_tcp import TcpAccess, TcpEnd
from speechaid.errors import ControlError
from speechaid.fleet.interfaces import Readable
from speechaid.protocol import messages
from speechaid.protocol.keys import AllowedClient
from speechaid.protocol.messages import ErrorCode, Peer, Refusal, Request, Runs
from speechaid.telemetry.logs import get_logger

log = get_logger(__name__)

#: Requests received at a time: a flood must not keep the loop from its workers.
_BURST: Final = 64
#: A burst ends early after this many bytes: attachments are in memory together.
_BURST_BYTES: Final = messages.ATTACHMENT_LIMIT
#: Requests queued for a client that sends faster than they are received.
_RECEIVE_HIGH_WATER: Final = 16
#: Answers queued for a client that does not read; further ones are dropped.
_SEND_HIGH_WATER: Final = 256
#: ``<host>:<uid>:<gid>:<pid>`` in the metadata of a frame that came over a unix socket.
_PEER_ADDRESS: Final = re.compile(r":(\d+):(\d+):(\d+)$")


class ControlSocket:
    """The ROUTER of the clients, and the lock that makes it the only one.

    Raises:
        ControlError: another daemon holds the socket, or it cannot be made; the text says why.
    """

    def __init__(self, path: Path, tcp: TcpAccess | None = None) -> None:
        self.path = path
        _prepare_directory(path)
        self._lock = _take_lock(path)
        self._context = zmq.Context()
        try:
            self._router = _bind(self._context, path)
        except ControlError:
            self._context.term()
            os.close(self._lock)
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._router, zmq.POLLIN)
        self._tcp: TcpEnd | None = None
        if tcp is not None:
            try:
                self._tcp = TcpEnd(tcp, configure=_configure)
            except ControlError:
                self.close()
                raise
            for other in (self._tcp.router, *self._tcp.sockets):
                self._poller.register(other, zmq.POLLIN)
        self._polled: set[int] = set()
        self._backlog = False
        #: Called for each answer with the request, and ``done`` or the code of the refusal.
        self.on_answer: Callable[[Request, str], None] = lambda _request, _result: None

    def wait(self, fds: Iterable[int], timeout_ms: int | None) -> Readable:
        """Wait until a request or one of ``fds`` is readable, at most this long (None: without a limit)."""
        self._poll_descriptors(set(fds))
        # After a burst more requests may be queued: then only check the other descriptors, without waiting.
        events = dict(self._poller.poll(0 if self._backlog else timeout_ms))
        if self._tcp is not None and any(events.pop(other, 0) for other in self._tcp.sockets):
            self._tcp.process_handshakes()
        routers = [self._router] if self._tcp is None else [self._router, self._tcp.router]
        ready = [router for router in routers if events.pop(router, 0)]
        return Readable(fds=frozenset(events), control=bool(ready) or self._backlog)

    def allow(self, clients: Mapping[str, AllowedClient]) -> None:
        """Replace the list of clients that are allowed over TCP."""
        if self._tcp is not None:
            self._tcp.allow(clients)

    def receive(self) -> list[Request]:
        """The valid requests that have arrived, at most a burst; invalid ones are refused at once."""
        requests, self._backlog = self._receive_from(self._router, remote=False)
        if self._tcp is not None:
            self._tcp.process_handshakes()
            more, backlog = self._receive_from(self._tcp.router, remote=True)
            requests += more
            self._backlog = self._backlog or backlog
        return requests

    def _receive_from(self, router: zmq.Socket[bytes], *, remote: bool) -> tuple[list[Request], bool]:
        """The valid requests of one burst, and whether more may be queued."""
        requests: list[Request] = []
        received_bytes = 0
        for _ in range(_BURST):
            if received_bytes > _BURST_BYTES:
                break
            try:
                frames = router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return requests, False
            received_bytes += sum(map(len, frames))
            request = self._read(frames, remote=remote)
            if request is not None:
                requests.append(request)
        return requests, True

    def reply(self, request: Request, result: Mapping[str, Any]) -> None:
        """Send the result."""
        self.on_answer(request, "done")
        self._answer(request, {"ok": True, "result": result})

    def refuse(self, request: Request, code: ErrorCode, message: str) -> None:
        """Send a refusal: the command was not done, and why."""
        self.on_answer(request, str(code))
        self._answer(request, {"ok": False, "error": {"code": code, "message": message}})

    def progress(self, request: Request, progress: Mapping[str, Any]) -> None:
        """Send progress; the answer follows."""
        self._answer(request, {"progress": progress})

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        """Send one item of a stream; False: the client's queue is full, None: it has disconnected."""
        return self._answer(request, {"progress": item})

    def close(self) -> None:
        """Remove the socket, then release the lock."""
        if self._tcp is not None:
            self._tcp.close()
        self._router.close(linger=0)
        self._context.term()
        self.path.unlink(missing_ok=True)
        # The lock file stays: without it two daemons could lock two files of one name.
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def _poll_descriptors(self, wanted: set[int]) -> None:
        for fd in self._polled - wanted:
            self._poller.unregister(fd)
        for fd in wanted - self._polled:
            self._poller.register(fd, zmq.POLLIN)
        self._polled = wanted

    def _read(self, frames: list[zmq.Frame], *, remote: bool) -> Request | None:
        route, parts = frames[0].bytes, frames[1:]
        peer = self._peer_of(parts[0], remote=remote) if parts else Peer()
        decoded: Request | Refusal
        if peer is None:
            message = "this client's key is not allowed any more"
            decoded = Refusal(code=ErrorCode.FORBIDDEN, message=message)
        elif not 1 <= len(parts) <= 2:
            message = f"a request has one frame of JSON and at most one with a file, not {len(parts)} frames"
            decoded = Refusal(code=ErrorCode.BAD_REQUEST, message=message)
        else:
            decoded = messages.decode_request(parts[0].bytes, parts[1].bytes if len(parts) == 2 else None)
            if isinstance(decoded, Request) and not peer.may(decoded.command.access):
                message = f"{decoded.command.name} needs write access, and this client may only read"
                decoded = Refusal(id=decoded.id, code=ErrorCode.FORBIDDEN, message=message)
        if isinstance(decoded, Refusal):
            self._log_refusal(decoded, peer)
            self._send(route, _error(decoded), remote=remote)
            return None
        return replace(decoded, route=route, peer=peer or Peer(), remote=remote)

    def _log_refusal(self, refusal: Refusal, peer: Peer | None) -> None:
        client = {} if peer is None else {"peer_uid": peer.uid, "client": peer.name, "address": peer.address}
        level = logging.WARNING if refusal.code is ErrorCode.FORBIDDEN else logging.INFO
        log.event(level, "control.request_refused", code=refusal.code, text=refusal.message[:200], **client)

    def _peer_of(self, frame: zmq.Frame, *, remote: bool) -> Peer | None:
        return self._tcp.peer_of(frame) if remote and self._tcp is not None else _peer_of(frame)

    def _answer(self, request: Request, body: Mapping[str, Any]) -> bool | None:
        try:
            message = _encode(request, body)
        except (TypeError, ValueError):
            log.exception("control.answer_not_json", command=request.command.name)
            fault = Refusal(
                id=request.id,
                code=ErrorCode.INTERNAL,
                message="done, but the answer cannot be written as JSON",
            )
            message = _error(fault)
        return self._send(request.route, message, remote=request.remote)

    def _send(self, route: bytes, message: bytes, *, remote: bool) -> bool | None:
        """Whether it was queued; False: the client does not read, None: it has disconnected."""
        router = self._tcp.router if remote and self._tcp is not None else self._router
        try:
            router.send_multipart((route, message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as exc:
            log.debug("control.client_gone", error=str(exc))
            return None
        return True


def _prepare_directory(path: Path) -> None:
    """Make the socket's directory, closed to others; refuse one where others could replace the socket."""
    fault = messages.path_fault(path)
    if fault is not None:
        raise ControlError(fault)
    directory = path.parent
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o750, exist_ok=True)
        status = directory.stat()
    except OSError as exc:
        raise ControlError(f"cannot make the directory of the control socket: {exc}") from exc
    if status.st_uid not in {0, os.geteuid()}:
        raise ControlError(
            f"{directory} belongs to uid {status.st_uid}: the control socket would not be safe there"
        )
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise ControlError(
            f"{directory} is writable by every user: the control socket would not be safe there"
        )


def _take_lock(path: Path) -> int:
    """Lock the file and write our pid into it; its descriptor (close-on-exec)."""
    lock = messages.lock_path(path)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o640)
    except OSError as exc:
        raise ControlError(f"cannot open the lock of the control socket: {exc}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ControlError(f"another speechaid (pid {holder}) holds the control socket {path}") from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _bind(context: zmq.Context[zmq.Socket[bytes]], path: Path) -> zmq.Socket[bytes]:
    """Bind a ROUTER for owner and group. Call it with the lock held."""
    _remove_stale(path)
    router = context.socket(zmq.ROUTER)
    _configure(router)
    previous = os.umask(0o117)
    try:
        router.bind(f"ipc://{path}")
    except zmq.ZMQError as exc:
        router.close(linger=0)
        raise ControlError(f"cannot listen on the control socket {path}: {exc}") from exc
    finally:
        os.umask(previous)
    return router


def _configure(router: zmq.Socket[bytes]) -> None:
    """Set the limits of a ROUTER, on either transport."""
    router.linger = 0
    router.rcvhwm = _RECEIVE_HIGH_WATER
    router.sndhwm = _SEND_HIGH_WATER
    # Above our own limit, so that a file a little too large gets an error; far above, libzmq disconnects.
    router.maxmsgsize = messages.ATTACHMENT_LIMIT + messages.JSON_LIMIT
    router.router_mandatory = True


def _remove_stale(path: Path) -> None:
    """Remove the socket of a dead daemon. Call it with the lock held, which shows that it is dead."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(
            f"{path} exists and is no socket: it is left alone; set SPEECHAID_SOCKET to another path"
        )
    path.unlink()


def _peer_of(frame: zmq.Frame) -> Peer:
    try:
        match = _PEER_ADDRESS.search(str(frame.get("Peer-Address")))
    except zmq.ZMQError:
        match = None
    if match is None:
        return Peer()
    return Peer(uid=int(match[1]), gid=int(match[2]), pid=int(match[3]))


def _encode(request: Request, body: Mapping[str, Any]) -> bytes:
    """Encode an answer.

    Answers of loop commands are plain JSON data, and the loop waits for their encoding: status is long.
    pydantic_core takes a third of the time.
    """
    message = {"id": request.id, **body}
    if request.command.runs is not Runs.LOOP:
        return messages.encode(message)
    try:
        return pydantic_core.to_json(
            {"v": messages.PROTOCOL_VERSION, **message}, inf_nan_mode="null", fallback=str
        )
    except ValueError:  # a text that is not UTF-8, which the slower encoder escapes
        return messages.encode(message)


def _error(refusal: Refusal) -> bytes:
    return messages.encode(
        {"id": refusal.id, "ok": False, "error": {"code": refusal.code, "message": refusal.message}}
    )
