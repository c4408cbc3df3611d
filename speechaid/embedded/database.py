"""The embedded database as a supervised child: ``MONGO_URI=embedded:DIR``.

One supervisor owns a directory (``supervisor.lock``), one server works in it (``server.lock``). The server
runs in its own session, so that neither Ctrl-C in a terminal nor its supervisor's death reaches it. It exits
once supervisor and clients are gone; until then the next supervisor adopts it.
"""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from urllib.parse import quote

from speechaid.embedded import files
from speechaid.embedded.process import ServerProcess, spawn
from speechaid.errors import FleetError
from speechaid.protocol.translation import say
from speechaid.telemetry.logs import get_logger

#: A start may have to replay a long journal, a stop to flush the cache.
START_SECONDS = 60.0
STOP_SECONDS = 20.0
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: The back-off starts anew after a server has run this long.
STEADY_SECONDS = 60.0

log = get_logger(__name__)


class EmbeddedDatabase:
    """The database server of one directory; for one thread, the supervisor's."""

    def __init__(
        self, directory: Path | str, *, sync_on_commit: bool = True, campaigns: str | None = None
    ) -> None:
        """Set the directory; nothing is touched before :meth:`start`.

        Args:
            directory: created if missing; for one supervisor at a time.
            sync_on_commit: fsync each commit; False only in tests.
            campaigns: the name of the campaigns' database, which a user for the web process may read.
        """
        self._campaigns = campaigns
        self.directory = Path(directory).expanduser().absolute()
        self._sync_on_commit = sync_on_commit
        self._lock: int | None = None
        self._server: ServerProcess | None = None
        self._address: files.Address | None = None
        self._failures = 0
        self._next_try = 0.0  # monotonic

    def start(self) -> str:
        """Start a server, or adopt the one that a dead supervisor left; returns its URI, a secret.

        Raises:
            FleetError: the extra is not installed, or the directory is unusable or in use.
        """
        if importlib.util.find_spec("secantus") is None:
            raise FleetError(
                say("the embedded database is not installed: pip install '.[embedded]' in the checkout")
            )
        files.prepare(self.directory)
        self._lock = self._lock_directory()
        try:
            self._server = self._find_running()
            if self._server is None:
                self._server = self._spawn(port=0)
                self._finish_start(
                    self._server.report(START_SECONDS) or {"error": say("it did not start in time")}
                )
        except BaseException:
            self.stop()
            raise
        return self.uri

    @property
    def uri(self) -> str:
        """URI with password: a secret. It stays the same over restarts.

        Raises:
            FleetError: no server has been started.
        """
        if self._address is None:
            raise FleetError(say("no database runs in {directory}", directory=self.directory))
        return _uri(self.directory, self._address)

    @property
    def pid(self) -> int | None:
        """The server's process id; None while there is none."""
        return self._server.pid if self._server and self._server.is_alive() else None

    def is_alive(self) -> bool:
        """Whether a server runs and has reported ready."""
        return self._server is not None and not self._server.is_starting and self._server.is_alive()

    def ensure(self) -> None:
        """Restart a dead server on its old port, with a back-off; never blocks. Call it every second."""
        now = time.monotonic()
        if self._lock is None:
            return
        if self._server is None:
            if now >= self._next_try:
                self._restart()
        elif self._server.is_starting:
            self._check_start(self._server)
        elif not self._server.is_alive():
            self._reap(
                self._server, say("the embedded database in {directory} died", directory=self.directory)
            )
        elif self._failures and now - self._server.since > STEADY_SECONDS:
            self._failures = 0

    def stop(self) -> None:
        """Stop the server cleanly, flushing its cache, and release the directory."""
        if self._server is not None:
            if not self._server.end(grace_seconds=STOP_SECONDS):
                log.error("database_killed", process=self._server.pid, after_seconds=STOP_SECONDS)
            self._server.release()
        self._server = self._address = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_directory(self) -> int:
        path = self.directory / "supervisor.lock"
        deadline = time.monotonic() + STOP_SECONDS
        while (lock := files.take_lock(path)) is None:
            # An orphaned server that is exiting holds this lock until its end: wait for it.
            holder = files.lock_holder(path)
            if holder != files.lock_holder(self.directory / "server.lock") or time.monotonic() > deadline:
                raise FleetError(
                    say(
                        "the database in {directory} is in use by process {holder}",
                        directory=self.directory,
                        holder=holder,
                    )
                )
            time.sleep(0.1)
        return lock

    def _find_running(self) -> ServerProcess | None:
        """The server that a dead supervisor left running; None where there is none."""
        path = self.directory / "server.lock"
        deadline = time.monotonic() + START_SECONDS
        while (lock := files.take_lock(path)) is None:
            # Without an address it is still starting, or already stopping and about to drop its lock.
            server = self._adopt(files.read_address(self.directory))
            if server is not None:
                return server
            if time.monotonic() > deadline:
                raise FleetError(
                    say(
                        "process {lock_holder} holds {path} and publishes no address",
                        lock_holder=files.lock_holder(path),
                        path=path,
                    )
                )
            time.sleep(0.1)
        os.close(lock)
        return None

    def _adopt(self, address: files.Address | None) -> ServerProcess | None:
        if address is None:
            return None
        try:
            server = ServerProcess(address.pid)
        except ProcessLookupError:
            return None
        if not address.is_current():  # checked again, now that the pidfd pins the process
            server.release()
            return None
        self._address = address
        log.info("database_adopted", process=address.pid)
        return server

    def _restart(self) -> None:
        # Clients have the old URI, so only the old port will do.
        port = self._address.port if self._address else 0
        try:
            self._server = self._spawn(port=port)
        except FleetError as exc:
            self._back_off(str(exc))

    def _spawn(self, *, port: int) -> ServerProcess:
        return spawn(
            self.directory, port=port, sync_on_commit=self._sync_on_commit, campaigns=self._campaigns
        )

    def _check_start(self, server: ServerProcess) -> None:
        report = server.report()
        if report is None and time.monotonic() - server.since > START_SECONDS:
            server.kill()
            report = {"error": say("it did not start in time")}
        if report is None:
            return
        try:
            self._finish_start(report)
            log.info("database_back", process=server.pid)
        except FleetError as exc:
            self._reap(server, str(exc))

    def _finish_start(self, report: dict[str, object]) -> None:
        """Take the report of a starting server: it listens, or the error."""
        if "error" in report:
            raise FleetError(
                say(
                    "the embedded database in {directory} did not start: {error}",
                    directory=self.directory,
                    error=report["error"],
                )
            )
        address = files.read_address(self.directory)
        if address is None:
            raise FleetError(
                say(
                    "the embedded database in {directory} died right after its start",
                    directory=self.directory,
                )
            )
        self._address = address

    def _reap(self, server: ServerProcess, reason: str) -> None:
        server.kill()
        status = server.release()
        self._server = None
        self._back_off(
            reason if status is None else say("{reason} (exit status {status})", reason=reason, status=status)
        )

    def _back_off(self, reason: str) -> None:
        delay = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._next_try = time.monotonic() + delay
        log.error("database_died", text=reason, next_in_seconds=delay)


def published_uri(directory: Path | str, credentials: str = files.CREDENTIALS) -> str:
    """The URI, a secret, of the server that runs in a directory, of any supervisor.

    Args:
        directory: of the server's files.
        credentials: the file of the user: ``files.WEB_CREDENTIALS`` for one that only reads campaigns.

    Raises:
        FleetError: none runs there, or its credentials cannot be read.
    """
    directory = Path(directory).expanduser().absolute()
    address = files.read_address(directory)
    if address is None:
        raise FleetError(f"no database runs in {directory}")
    return _uri(directory, address, credentials)


def _uri(directory: Path, address: files.Address, file: str = files.CREDENTIALS) -> str:
    credentials = files.read_credentials(directory, file)
    login = f"{quote(credentials.user, safe='')}:{quote(credentials.password, safe='')}"
    return f"mongodb://{login}@{address.host}:{address.port}/?authSource=admin&directConnection=true"
