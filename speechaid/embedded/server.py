"""The embedded database's process: ``python -m speechaid.embedded.server DIR``.

SecantusDB is GPL-2.0, so no other module imports it; the daemon talks to this process only over the MongoDB
wire protocol. Files in DIR (mode 0700):

    data/            the WiredTiger files
    credentials      user and password, JSON, mode 0600
    web-credentials  those of the web process: it may read the campaigns, and write its users and sessions
    address          {"host", "port", "pid", "started"}, JSON, exists while a server runs
    port             the port of the last start: clients that reconnect find the server where it was
    server.lock      held (flock) by the running server: one directory, one server
    supervisor.lock  held by the supervisor; free = it is gone
    server.log       log of the server

Access control is on before the port opens: the user is created in process, before there is a socket, so that
other users of this machine can never connect without the password.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import resource
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from speechaid.embedded import files, oplog
from speechaid.embedded.hinted_reads import use_hinted_indexes
from speechaid.embedded.index_cache import cache_index_reads
from speechaid.embedded.index_writes import speed_up_index_writes
from speechaid.embedded.login_limits import LoginLimits
from speechaid.errors import ExitStatus, FleetError
from speechaid.settings.groups import identity_database
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.summed_log import SummedLog

#: Below the kernel's range for outgoing connections, so that none of those has our port while the server is
#: being restarted.
PORTS = range(20_000, 32_000)
MAX_CONNECTIONS = 4_000
#: Of these, connections without a login: each client of a worker has one, its monitor.
MAX_BEFORE_LOGIN = 2_500
IDLE_SECONDS = 86_400.0
USER = "speechaid"
WEB_USER = "speechaid-web"
ROLES = ["readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"]
#: Interval of the server's checks, and checks in a row without a client after which an orphan exits.
CHECK_SECONDS = 2.0
IDLE_CHECKS = 5
#: Errors after which the storage cannot go on: a full, failing or vanished disk, or a panic.
FATAL_ERRORS = (
    "No space left",
    "quota exceeded",
    "Input/output error",
    "Read-only file system",
    "PANIC",
    "panic",
)

log = get_logger("speechaid.embedded.server")  # not __name__: it runs as __main__


def main(arguments: list[str] | None = None) -> int:
    """Serve one directory until SIGTERM, or until supervisor and clients are gone."""
    options = _parse(arguments)
    directory: Path = options.directory
    setproctitle(f"speechaid: embedded database {directory}")
    stopping, broken = threading.Event(), threading.Event()
    warnings = SummedLog(log)
    _prepare_process(stopping, broken, warnings)
    lock = files.take_lock(directory / "server.lock")
    if lock is None:
        return _refuse(options.ready_fd, f"another database server runs in {directory}")
    try:
        server = _build(
            directory,
            port=_port(directory, options.port),
            sync=not options.no_sync,
            campaigns=options.campaigns,
        )
    except (FleetError, OSError) as exc:
        return _refuse(options.ready_fd, str(exc))
    except Exception as exc:
        log.exception("database.not_started")
        return _refuse(options.ready_fd, f"the storage failed: {exc}")
    _publish(directory, server.port)
    _report(options.ready_fd, {"port": server.port})
    log.info("database.serving", port=server.port)
    supervisor_lock = _watch(directory, server, stopping, broken, warnings)
    (directory / "address").unlink(missing_ok=True)
    _stop(server)
    log.info("database.stopped")
    # Both locks end with the process; kept alive until here so that neither is released earlier.
    del supervisor_lock, lock
    return ExitStatus.OK


def _prepare_process(stopping: threading.Event, broken: threading.Event, warnings: SummedLog) -> None:
    """Set signals, log, umask and limits of this process, whatever it inherited."""
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # The supervisor may have blocked its signals while it started us; the mask is inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)
    # One descriptor for each connection, and some for the storage.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    logs.configure("INFO")
    library = logging.getLogger("secantus")
    library.addHandler(_StorageFaults(broken))
    library.getChild("server").addFilter(lambda record: _is_logged(record, warnings))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="speechaid-embedded-database", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0, help="this port and no other (0: choose)")
    parser.add_argument("--ready-fd", type=int, default=-1, help="descriptor for one JSON line when started")
    parser.add_argument("--no-sync", action="store_true", help="no fsync a commit: for tests")
    parser.add_argument("--campaigns", help="the campaigns' database, which a second user may read")
    return parser.parse_args(arguments)


def _build(directory: Path, *, port: int, sync: bool, campaigns: str | None) -> Any:
    """Open the storage, create the users, and only then listen."""
    from secantus import SecantusDBServer  # noqa: PLC0415 - GPL-2.0: in this process only
    from secantus import server as server_module  # noqa: PLC0415 - as above
    from secantus import sortkey as sortkey_module  # noqa: PLC0415 - as above
    from secantus import storage as storage_module  # noqa: PLC0415 - as above
    from wiredtiger import swig_wiredtiger  # noqa: PLC0415 - as above

    data = directory / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    server = SecantusDBServer(
        host="127.0.0.1",
        port=port,
        storage_path=str(data),
        require_auth=True,
        enable_test_commands=False,
        # Idle connections are of our own pools: dropping them would cost a reconnect in the next dial.
        client_idle_timeout_s=IDLE_SECONDS,
        max_connections=MAX_CONNECTIONS,
        session_max=MAX_CONNECTIONS + 100,
        cache_size="256M",
        sync_on_commit=sync,
    )
    if not use_hinted_indexes(server.storage, storage_module):
        log.warning("database.hints_walk", text="an unknown version of SecantusDB: look-ups are slower")
    if not cache_index_reads(server.storage):
        log.warning("database.index_cache_off", text="an unknown version of SecantusDB: slower")
    if not speed_up_index_writes(server.storage, storage_module, sortkey_module, swig_wiredtiger):
        log.warning("database.index_writes_slow", text="an unknown version of SecantusDB: imports are slower")
    if not oplog.turn_off_oplog(server.storage):
        log.warning("database.oplog_on", text="an unknown version of SecantusDB: slower, on twice the disk")
    limits = LoginLimits(server_module, connections=MAX_BEFORE_LOGIN, idle_seconds=IDLE_SECONDS)
    if not limits.install(server):
        log.warning(
            "database.login_limits_off", text="an unknown version of SecantusDB: no limits before login"
        )
    try:
        _ensure_user(server, _credentials(directory, files.CREDENTIALS, USER), ROLES)
        if campaigns is not None:
            web = _credentials(directory, files.WEB_CREDENTIALS, WEB_USER)
            _ensure_user(server, web, _web_roles(campaigns))
        server.start()
    except BaseException:
        server.storage.close()
        raise
    return server


def _web_roles(campaigns: str) -> list[dict[str, str]]:
    """It reads the campaigns, and writes its own users and sessions."""
    return [
        {"role": "read", "db": campaigns},
        {"role": "readWrite", "db": identity_database(campaigns)},
    ]


def _ensure_user(server: Any, credentials: files.Credentials, roles: Sequence[object]) -> None:
    """Create the user, or set its password: the credentials file decides, also after it was replaced."""
    from secantus.commands import CommandContext, dispatch  # noqa: PLC0415 - as above

    body = {"pwd": credentials.password, "roles": list(roles), "$db": "admin"}
    for verb in ("createUser", "updateUser"):
        context = CommandContext(
            connection_id=0, storage=server.storage, cursors=server.cursors, db_name="admin"
        )
        reply = dispatch({verb: credentials.user, **body}, context)
        if reply.get("ok") == 1.0:
            return
    raise FleetError(f"the database did not accept its user: {reply.get('errmsg')}")


def _credentials(directory: Path, name: str, user: str) -> files.Credentials:
    """Read the credentials of a user; create them where they are missing."""
    path = directory / name
    if not path.exists():
        text = json.dumps({"user": user, "password": secrets.token_urlsafe(32)})
        files.write_private(path, text)
    return files.read_credentials(directory, name)


def _port(directory: Path, requested: int) -> int:
    """The requested port, else that of the last start if it is free, else a free one."""
    if requested:
        return requested
    candidates = [random.choice(PORTS) for _ in range(30)]  # noqa: S311 - no secret, only a free number
    with contextlib.suppress(OSError, ValueError):
        candidates.insert(0, int((directory / "port").read_text()))
    return next((port for port in candidates if files.port_is_free(port)), 0)


def _publish(directory: Path, port: int) -> None:
    pid = os.getpid()
    address = {"host": "127.0.0.1", "port": port, "pid": pid, "started": files.process_start(pid)}
    files.write_private(directory / "port", str(port))
    files.write_private(directory / "address", json.dumps(address))


def _watch(
    directory: Path, server: Any, stopping: threading.Event, broken: threading.Event, warnings: SummedLog
) -> int | None:
    """Wait for SIGTERM, or until the supervisor is gone and no client is left.

    Returns the supervisor's lock where it was taken: a supervisor that starts while the server stops then
    waits, instead of adopting a server that is about to exit.
    """
    idle_checks = 0
    while not stopping.wait(CHECK_SECONDS):
        warnings.tick()
        warnings.take_counts()
        if broken.is_set():
            # Without a close, which would have to write; what was committed is in the journal.
            log.error("database.storage_failed", text="leaving, to be restarted")
            logging.shutdown()
            os._exit(ExitStatus.SOFTWARE)
        oplog.delete_old_rows(server.storage)
        idle_checks = idle_checks + 1 if _clients(server) == 0 else 0
        if idle_checks < IDLE_CHECKS:
            continue
        lock = files.take_lock(directory / "supervisor.lock")
        if lock is not None:
            log.info("database.orphaned", for_seconds=idle_checks * CHECK_SECONDS)
            return lock
    return None


def _stop(server: Any) -> None:
    """Close the port, let running statements finish, flush and close the storage."""
    with contextlib.suppress(OSError):
        # A close alone would leave the accepting thread asleep: two seconds each stop.
        server._socket.shutdown(socket.SHUT_RDWR)  # noqa: SLF001
    server.stop()


def _clients(server: Any) -> int:
    with server._active_conns_lock:  # noqa: SLF001 - the server has no public count
        return int(server._active_conns)  # noqa: SLF001


class _StorageFaults(logging.Handler):
    """Finds faults in the server's log after which the storage is unusable until it is reopened.

    The server answers such a statement with an error and goes on, but a table that a full disk left half
    made stays unusable in memory, even when there is space again.
    """

    def __init__(self, broken: threading.Event) -> None:
        super().__init__(logging.ERROR)
        self._broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        """Check the error of a failed statement."""
        error = record.exc_info[1] if record.exc_info else None
        if type(error).__name__ == "WiredTigerError" and any(text in str(error) for text in FATAL_ERRORS):
            self._broken.set()


def _is_logged(record: logging.LogRecord, warnings: SummedLog) -> bool:
    """Whether the server's record is logged as it is.

    Not so warnings, of which any client causes any number; errors are, since ``_StorageFaults`` reads them.
    """
    if record.levelno != logging.WARNING:
        return True
    warnings.event(
        record.levelno,
        "database.warning",
        client="unknown",
        cause=str(record.msg),
        text=record.getMessage(),
    )
    return False


def _report(fd: int, message: dict[str, object]) -> None:
    if fd < 0:
        return
    try:
        os.write(fd, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        pass  # the supervisor died; its successor reads the address file
    finally:
        os.close(fd)


def _refuse(fd: int, reason: str) -> int:
    log.error("database.refused", text=reason)
    _report(fd, {"error": reason})
    return ExitStatus.CANTCREAT


if __name__ == "__main__":
    sys.exit(main())
