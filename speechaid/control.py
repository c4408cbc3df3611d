"""The daemon's end of the control socket: bind, receive, validate, answer. It knows no command's meaning.

Order of binding, and why: first the lock (``<socket>.lock``, with our pid), since a socket can be made anew
beside a living daemon's; then the stale file is removed, the umask is set and the socket bound, so that only
owner and group may connect at any moment. Where something removes the socket (a cleaner of /tmp), it is made
anew.

The supervisor's thread owns the ``ControlSocket``. Only ``wait`` blocks; neither what a client sends nor its
disconnect raises.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pwd
import select
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pydantic_core

from speechaid.control_sockets.clients import ClientConnections, Connection, client_of
from speechaid.control_sockets.relay import RelayProcess, TcpAccess
from speechaid.control_sockets.rights import missing_right, with_rights
from speechaid.errors import ConfigError, ControlError
from speechaid.fleet.interfaces import Readable
from speechaid.model.masking import mask_prose
from speechaid.protocol import messages
from speechaid.protocol.keys import AllowedClient
from speechaid.protocol.messages import Access, ErrorCode, Peer, Refusal, Request, Runs
from speechaid.protocol.page_sentences import for_page
from speechaid.protocol.translation import say, translated
from speechaid.protocol.zmtp import Message
from speechaid.settings import Settings
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.summed_log import SummedLog

log = get_logger(__name__)

#: Requests received at a time: a flood must not keep the loop from its workers, or from an urgent command,
#: whose client needs some passes to connect.
_BURST: Final = 4
#: A burst ends early after this many bytes: attachments are in memory together.
_BURST_BYTES: Final = messages.ATTACHMENT_LIMIT
#: Interval of the checks of socket, connections and relay, in seconds.
_CHECK_SECONDS: Final = 1.0
#: Bytes of a connection's number in ``Request.route``; what follows is the client's route in the relay.
_NUMBER_BYTES: Final = 8
#: Clients of the relay that are known to be gone and that something may still be sent to.
_GONE_REMEMBERED: Final = 1000


class ControlSocket:
    """The socket of the clients, and the lock that makes it the only one.

    Raises:
        ControlError: another daemon holds the socket, or it cannot be made; the text says why.
    """

    def __init__(self, path: Path, tcp: TcpAccess | None = None, *, web_uid: int | None = None) -> None:
        """Bind the socket.

        Args:
            path: of the socket.
            tcp: how clients on the network are let in; None: there are none.
            web_uid: of the user whose processes are believed on whose behalf they ask; this process' own
                unless given.
        """
        self.path = path
        self._web_uid = os.geteuid() if web_uid is None else web_uid
        _prepare_directory(path)
        with contextlib.ExitStack() as opened:
            self._lock = _take_lock(path)
            opened.callback(self._release_lock)
            _remove_stale(path)
            #: What clients are refused, and why their connections end.
            self._refusals = SummedLog(log)
            self._clients = ClientConnections(path, self._refusals)
            opened.callback(self._close_clients)
            self._poller = select.poll()
            self._poller.register(self._clients, select.POLLIN)
            self._relay = None if tcp is None else RelayProcess(tcp, path)
            if self._relay is not None:
                opened.callback(self._relay.close)
            self._opened = opened.pop_all()
        self._polled: set[int] = set()
        self._check_at = time.monotonic() + _CHECK_SECONDS
        self._restore_fault: str | None = None
        #: Clients of the relay whose answers cannot be delivered: None for those that are gone, False for
        #: those that do not read.
        self._undeliverable: dict[bytes, bool | None] = {}
        #: Called for each answer with the request, and ``done`` or the code of the refusal.
        self.on_answer: Callable[[Request, str], None] = lambda _request, _result: None

    def wait(self, fds: Iterable[int], timeout_ms: int | None) -> Readable:
        """Wait until a request or one of ``fds`` is readable, at most this long (None: without a limit)."""
        self._poll_descriptors(set(fds))
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while True:
            now = time.monotonic()
            if now >= self._check_at:
                self._check_at = now + _CHECK_SECONDS
                self._check()
            until = self._check_at if deadline is None else min(deadline, self._check_at)
            # A request may wait already: then only check the other descriptors, without waiting.
            left = 0 if self._clients.pending else max(0, int((until - now) * 1000) + 1)
            ready = {descriptor for descriptor, _ in self._poller.poll(left)}
            if self._clients.fileno() in ready:
                ready.discard(self._clients.fileno())
                self._clients.process_events()
            is_over = deadline is not None and time.monotonic() >= deadline
            if ready or self._clients.pending or is_over:
                return Readable(fds=frozenset(ready), control=self._clients.pending)

    def allow(self, clients: Mapping[str, AllowedClient]) -> None:
        """Replace the list of clients that are allowed over TCP."""
        if self._relay is not None:
            self._relay.allow(clients)

    def is_allowed(self, request: Request) -> bool:
        """Whether its client still has the access that it had when the request came; for any thread."""
        peer = request.peer
        if peer.key is None:
            return True
        client = None if self._relay is None else self._relay.clients.get(peer.key)
        return client is not None and (client.name, client.access) == (peer.name, peer.access)

    @property
    def child_pids(self) -> set[int]:
        """Child processes that are reaped here."""
        pid = None if self._relay is None else self._relay.pid
        return set() if pid is None else {pid}

    def take_refusals(self) -> dict[str, int]:
        """How often clients were refused or disconnected since the last call, by cause."""
        counts = Counter(self._refusals.take_counts())
        if self._relay is not None:
            counts.update(self._relay.take_counts())
        return dict(counts)

    def receive(self) -> list[Request]:
        """The valid requests that have arrived, at most a burst; invalid ones are refused at once."""
        requests: list[Request] = []
        received_bytes = 0
        for _ in range(_BURST):
            # A client that connects now is served in turn, not after those that were there.
            self._clients.process_events()
            if received_bytes > _BURST_BYTES or (taken := self._clients.take_message()) is None:
                break
            connection, message = taken
            received_bytes += sum(map(len, message.parts))
            is_relay = self._relay is not None and connection.peer.pid == self._relay.pid
            read = self._read_relayed if is_relay else self._read_own
            request = read(connection, message)
            if request is not None:
                requests.append(request)
        return requests

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
        if self.is_allowed(request):
            self._answer(request, {"progress": progress})

    def is_connected(self, request: Request) -> bool:
        """Whether the client may take an answer; of one over TCP this is known once something was sent."""
        number = int.from_bytes(request.route[:_NUMBER_BYTES], "big")
        return self._clients.is_connected(number) and self._undeliverable.get(request.route, True) is not None

    def stream(self, request: Request, item: Mapping[str, Any]) -> bool | None:
        """Send one item of a stream; False: the client's queue is full, None: it has disconnected.

        One whose key was revoked has none of it either.
        """
        if not self.is_allowed(request):
            return None
        if self._undeliverable.get(request.route, True) is False:
            del self._undeliverable[request.route]
            return False  # the relay has dropped an earlier item
        return self._answer(request, {"progress": item}, of_stream=True)

    def close(self) -> None:
        """Remove the socket, then release the lock."""
        self._opened.close()

    def _close_clients(self) -> None:
        is_ours = not self._clients.is_swept
        self._clients.close()
        if is_ours:
            self.path.unlink(missing_ok=True)

    def _release_lock(self) -> None:
        # The lock file stays: without it two daemons could lock two files of one name.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def _poll_descriptors(self, wanted: set[int]) -> None:
        for fd in self._polled - wanted:
            self._poller.unregister(fd)
        for fd in wanted - self._polled:
            self._poller.register(fd, select.POLLIN)
        self._polled = wanted

    def _check(self) -> None:
        """Each second: time-outs of clients, the relay, and whether the socket is still there."""
        self._clients.check_timeouts()
        self._refusals.tick()
        if self._relay is not None:
            self._relay.ensure()
            self._clients.spared_pid = self._relay.pid
        if not self._clients.is_swept:
            return
        try:
            self._restore()
        except ControlError as exc:
            if str(exc) != self._restore_fault:
                log.error("control.socket_lost", path=str(self.path), text=str(exc))  # noqa: TRY400
            self._restore_fault = str(exc)
        else:
            self._restore_fault = None
            log.warning("control.socket_restored", path=str(self.path), text="its file had been removed")

    def _restore(self) -> None:
        _prepare_directory(self.path)
        if not _is_same_file(self._lock, messages.lock_path(self.path)):
            # Removed as well: another daemon may have made its own meanwhile.
            lock = _take_lock(self.path)
            os.close(self._lock)
            self._lock = lock
        _remove_stale(self.path)
        self._clients.listen_again()

    # -- requests ------------------------------------------------------------------------------------------

    def _read_own(self, connection: Connection, message: Message) -> Request | None:
        return self._read(message.parts, message.count, connection.peer, _route(connection))

    def _read_relayed(self, connection: Connection, message: Message) -> Request | None:
        """A message of a client on TCP, whose key and address our child names in the first part."""
        relayed = self._envelope(message)
        if relayed is None:
            return None
        route = _route(connection) + bytes.fromhex(relayed["route"])
        if "undelivered" in relayed:
            if len(self._undeliverable) >= _GONE_REMEMBERED:
                self._undeliverable.pop(next(iter(self._undeliverable)))
            self._undeliverable[route] = None if relayed["undelivered"] == "gone" else False
            return None
        # The relay counts what was not taken yet, and refuses what is too much; the empty route says: taken.
        self._clients.send_always(connection.number, (b"", b""))
        self._undeliverable.pop(route, None)
        client = None if self._relay is None else self._relay.clients.get(relayed["key"])
        if client is None:
            text = f"a revoked client at {relayed['address']} was refused"
            # Only a key that was allowed once comes so far.
            client_of_key = f"key {relayed['key']}"
            self._refusals.event(
                logging.WARNING, "control.refused", client=client_of_key, cause="revoked", text=text
            )
            self._send(
                route, messages.encode_refusal(Refusal(code=ErrorCode.FORBIDDEN, message=messages.REVOKED))
            )
            return None
        peer = Peer(
            name=client.name,
            key=client.public,
            address=str(relayed["address"]),
            access=Access(client.access),
        )
        return self._read(message.parts[1:], relayed["count"], peer, route)

    def _envelope(self, message: Message) -> dict[str, Any] | None:
        try:
            relayed = json.loads(message.parts[0])
            bytes.fromhex(relayed["route"])
        except (ValueError, KeyError, TypeError):
            log.error("control.relay_not_understood")  # noqa: TRY400 - what it sent is no news
            return None
        return dict(relayed)

    def _read(self, parts: tuple[bytes, ...], count: int, peer: Peer, route: bytes) -> Request | None:
        decoded: Request | Refusal
        if not 1 <= count <= 2:
            text = say(
                "a request has one frame of JSON and at most one with a file, not {number} frames",
                number=count,
            )
            decoded = Refusal(code=ErrorCode.BAD_REQUEST, message=text)
        else:
            decoded = messages.decode_request(parts[0], parts[1] if count == 2 else None)
            if isinstance(decoded, Request):
                asked_for = decoded.peer.on_behalf
                peer = with_rights(peer, asked_for, web_uid=self._web_uid, own_uid=os.geteuid())
                lacks = missing_right(decoded, peer, asked_for)
                if lacks is not None:
                    decoded = Refusal(
                        id=decoded.id, code=ErrorCode.FORBIDDEN, message=lacks, language=decoded.language
                    )
        if isinstance(decoded, Refusal):
            self._refuse_message(decoded, peer, route)
            return None
        return replace(decoded, route=route, peer=peer, remote=peer.name is not None)

    def _refuse_message(self, refusal: Refusal, peer: Peer, route: bytes) -> None:
        self._log_refusal(refusal, peer)
        self._send(route, messages.encode_refusal(refusal))

    def _log_refusal(self, refusal: Refusal, peer: Peer) -> None:
        level = logging.WARNING if refusal.code is ErrorCode.FORBIDDEN else logging.INFO
        self._refusals.event(
            level,
            "control.request_refused",
            client=client_of(peer),
            cause=str(refusal.code),
            # It quotes what the client sent.
            text=mask_prose(refusal.message[:200]),
            address=peer.address,
        )

    def _answer(self, request: Request, body: Mapping[str, Any], *, of_stream: bool = False) -> bool | None:
        if not self.is_allowed(request):
            body = {"ok": False, "error": {"code": ErrorCode.FORBIDDEN, "message": messages.REVOKED}}
        try:
            message = _encode(request, body)
        except (TypeError, ValueError, RecursionError):  # a stored document may be nested too deeply
            self._refusals.exception(
                "control.answer_not_json",
                client=client_of(request.peer),
                cause=str(ErrorCode.INTERNAL),
                command=request.command.name,
            )
            fault = Refusal(
                id=request.id,
                code=ErrorCode.INTERNAL,
                message=say("done, but the answer cannot be written as JSON"),
                language=request.language,
            )
            message = messages.encode_refusal(fault)
        return self._send(request.route, message, of_stream=of_stream)

    def _send(self, route: bytes, message: bytes, *, of_stream: bool = False) -> bool | None:
        """Whether it was queued; False: the client does not read, None: it has disconnected."""
        number, of_relay = int.from_bytes(route[:_NUMBER_BYTES], "big"), route[_NUMBER_BYTES:]
        if not of_relay:
            return self._clients.send(number, (message,), of_stream=of_stream)
        if self._undeliverable.get(route, True) is None:
            return None
        return self._clients.send(number, (of_relay, message), of_stream=of_stream)


def web_uid(settings: Settings) -> int | None:
    """The uid of ``SPEECHAID_WEB_USER``; None where it is not set.

    Raises:
        ConfigError: this machine has no such user.
    """
    name = settings.control.web_user
    try:
        return None if name is None else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError([f"SPEECHAID_WEB_USER={name}: this machine has no such user"]) from None


def _route(connection: Connection) -> bytes:
    return connection.number.to_bytes(_NUMBER_BYTES, "big")


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    own = os.fstat(descriptor)
    return (own.st_dev, own.st_ino) == (status.st_dev, status.st_ino)


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
    # The pid is for people; on a full disk it is missing, and the lock holds all the same.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


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


def _for_reader(request: Request, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer for whom it is: people who use the page type no commands, programs with a token do."""
    on_behalf = request.peer.on_behalf
    if on_behalf is None or on_behalf.kind != "user":
        return body
    shown: Mapping[str, Any] = for_page(body)
    return shown


def _encode(request: Request, body: Mapping[str, Any]) -> bytes:
    """Encode an answer.

    Answers of loop commands are plain JSON data, and the loop waits for their encoding: status is long.
    pydantic_core takes a third of the time.
    """
    message = {"id": request.id, **translated(_for_reader(request, body), request.language)}
    if request.command.runs is not Runs.LOOP:
        return messages.encode(message)
    try:
        return pydantic_core.to_json(
            {"v": messages.PROTOCOL_VERSION, **message},
            inf_nan_mode="null",
            bytes_mode="base64",
            fallback=str,
        )
    except ValueError:  # a text that is not UTF-8, which the slower encoder escapes
        return messages.encode(message)
