"""The daemon put together: settings, logs, socket, database, clerk and fleet, what fails soonest first.

Everything that can refuse a start does so before a worker exists, in one sentence.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from speechaid import __version__
from speechaid.commands.dispatch import Dispatcher
from speechaid.commands.events import LogTap
from speechaid.control import ControlSocket, TcpAccess
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.errors import ConfigError, ExitStatus, StoreForbidden, StoreUnavailable
from speechaid.fleet.messages import count_key
from speechaid.fleet.spawner import Spawner
from speechaid.maintenance.call_analysis import CallAnalysisThread
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.monitoring.call_durations import CallDurations
from speechaid.monitoring.disks import disks
from speechaid.monitoring.monitoring import Monitoring
from speechaid.protocol import keys
from speechaid.protocol.keys import KeyringError
from speechaid.protocol.messages import Request
from speechaid.settings import Settings, get_settings, settings_warnings
from speechaid.store.connection import Store, connect
from speechaid.supervisor import Supervisor
from speechaid.telemetry import logs
from speechaid.telemetry.redaction import Redactor
from speechaid.telemetry.sink import file_fault
from speechaid.worker import open_retell

log = logging.getLogger(__name__)

#: Whose hold it is that stands from the start.
_HELD_BY: Final = "speechaid run --held"


def serve(spawner: Spawner, *, held: bool = False) -> int:
    """Run until told to stop; returns the exit status.

    Args:
        spawner: makes the workers; its zygote may be starting already.
        held: dial nothing, on any host, until an operator lifts the hold.

    Raises:
        ConfigError: the settings cannot be used.
        ControlError: the control socket is another daemon's, or cannot be made.
        FleetError: the embedded database or the state directory is not to be had.
        StoreUnavailable: the database is not there.
    """
    settings = get_settings()
    _open_log(settings)
    for warning in settings_warnings():
        log.warning("%s", warning)
    with contextlib.ExitStack() as undo:
        control = ControlSocket(settings.control.socket, tcp_access(settings))
        undo.callback(control.close)
        monitoring = Monitoring(settings)
        undo.callback(monitoring.close)
        database, settings = _start_database(settings)
        if database is not None:
            undo.callback(database.stop)
        store = _open_store(settings)
        if held:
            _hold(store)
        database_thread = DatabaseThread(store, settings)
        undo.callback(database_thread.close)
        daemon = Daemon(
            settings,
            spawner=spawner,
            control=control,
            database_thread=database_thread,
            database=database,
            monitoring=monitoring,
        )
        undo.pop_all()  # from here on the supervisor closes them, in its own order
    address = settings.database.shown_uri
    log.info("speechaid %s, database %s", __version__, address, extra={"event": "daemon.starting"})
    return daemon.run()


class Daemon(Supervisor):
    """The supervisor with what the clerk knows, and with commands that know both."""

    def __init__(
        self,
        settings: Settings,
        *,
        spawner: Spawner,
        control: ControlSocket,
        database_thread: DatabaseThread,
        database: EmbeddedDatabase | None,
        monitoring: Monitoring,
    ) -> None:
        super().__init__(
            settings,
            spawner=spawner,
            control=control,
            obey=self._dispatch,
            database_thread=database_thread,
            read_settings=lambda: _with_address(get_settings(), database),
            database=database,
            apply_log_level=logs.set_level,
        )
        self._places = {"state directory": settings.control.state_dir}
        if database is not None:
            self._places["embedded database"] = database.directory
        self._background = database_thread
        self._socket = control
        self._call_durations = CallDurations()
        self._dispatcher = Dispatcher(
            daemon=self,
            answers=control,
            submit=database_thread.submit,
            database_away=self._database_away,
            after_write=database_thread.refresh_stats_soon,
            on_listener=lambda request: self._count_command(request, "done"),
        )
        self._tap = LogTap(Redactor(settings.secrets()))
        logging.getLogger("speechaid").addHandler(self._tap)
        self.on_event += [
            database_thread.note_event,
            self._call_durations.note,
            self._dispatcher.subscriptions.publish,
        ]
        self.on_tick.append(self._publish_log_lines)
        self._monitoring = monitoring
        self._call_analysis: CallAnalysisThread | None = None
        control.on_answer = self._count_command
        self.on_tick.append(self._update_monitoring)

    def run(self) -> ExitStatus:
        """Supervise, watched from beginning to end."""
        self._monitoring.start()
        settings = self.settings
        self._call_analysis = CallAnalysisThread(
            settings,
            lambda: connect(settings.database),
            lambda observe: open_retell(settings, observe=observe),
        )
        try:
            return super().run()
        finally:
            self._call_analysis.close()
            self._monitoring.close()

    def snapshot(self) -> dict[str, Any]:
        """What the loop knows, and what the clerk counted last."""
        found = {**super().snapshot(), **self._background.stats()}
        for worker in found["workers"]:
            worker["call_for_seconds"] = self._call_durations.elapsed(worker["call"])
        call = self.settings.call
        longest = call.max_duration_minutes * 60 + call.poll_timeout_seconds
        elapsed = [worker["call_for_seconds"] or 0.0 for worker in found["workers"] if worker["job"]]
        return {
            **found,
            "drain": self._call_durations.left(elapsed, longest),
            "disks": disks(self._places),
            "alerts": self._monitoring.firing(),
            "metrics": self._monitoring.address,
        }

    def reload(self) -> dict[str, list[str]]:
        """Read the settings again, for the clerk and for the door to the network too.

        Raises:
            ConfigError: the new set is bad, or the keys are; the old ones stay.
        """
        access = tcp_access(self.settings)
        changes = super().reload()
        self._background.apply_settings(self.settings)
        self._monitoring.apply_settings(self.settings)
        if self._call_analysis is not None:
            self._call_analysis.apply_settings(self.settings)
        if access is not None:
            self._socket.allow(access.clients)
        return changes

    def _database_away(self) -> str | None:
        """Why the database cannot be asked, as the clerk last found it."""
        found = self._background.stats().get("database", {})
        return str(found.get("error") or "the database is away") if found.get("state") == "away" else None

    def _update_monitoring(self, now: float) -> None:
        self.on_counts(self._monitoring.update(self.snapshot(), self.counts, now))
        if self._call_analysis is not None:
            self.on_counts(self._call_analysis.take_counts())

    def _count_command(self, request: Request, result: str) -> None:
        labels = {"command": request.command.name, "result": result}
        self.on_counts({count_key("speechaid_commands_total", labels): 1.0})

    def _publish_log_lines(self, now: float) -> None:
        """Each second: this process's own log lines, and signs of life."""
        for line in self._tap.take():
            self._dispatcher.subscriptions.publish("supervisor", str(line.pop("event")), line)
        self._dispatcher.subscriptions.tick(now)

    def _dispatch(self, _supervisor: Supervisor, request: Request) -> None:
        self._dispatcher.dispatch(request)


def _open_log(settings: Settings) -> None:
    """Send the log where the settings say.

    Raises:
        ConfigError: its file cannot be written to.
    """
    wanted = settings.logging
    if wanted.file is not None and (fault := file_fault(wanted.file)) is not None:
        raise ConfigError([log_refused(wanted.file, fault)])
    logs.configure(wanted.level, wanted.format, file=wanted.file, secrets=settings.secrets())


def log_refused(path: Path, fault: str) -> str:
    """That no log can be written there, as a fault of the settings."""
    return f"SPEECHAID_LOG_FILE={path}: {fault}; allowed: a file that can be written to"


def tcp_access(settings: Settings) -> TcpAccess | None:
    """Who may come in over the network, and how; None where nobody may.

    Raises:
        ConfigError: an address is set, and keys are missing or not safe: never in the clear.
    """
    control = settings.control
    if control.tcp is None:
        return None
    directory = control.keys_dir or control.state_dir / "keys"
    try:
        pair, clients = keys.server_pair(directory), keys.allowed_clients(directory)
    except KeyringError as exc:
        fault = f"SPEECHAID_CONTROL_TCP={control.tcp}: without keys there is no control over TCP: {exc}"
        raise ConfigError([fault]) from exc
    return TcpAccess(address=control.tcp, pair=pair, clients=clients)


def _start_database(settings: Settings) -> tuple[EmbeddedDatabase | None, Settings]:
    """The embedded database, started, and the settings with its address; None where a server is named."""
    directory = settings.database.embedded_directory
    if directory is None:
        return None, settings
    database = EmbeddedDatabase(directory)
    database.start()
    return database, _with_address(settings, database)


def _with_address(settings: Settings, database: EmbeddedDatabase | None) -> Settings:
    """The settings with ``embedded:DIR`` replaced by where that server listens."""
    if database is None or settings.database.embedded_directory != database.directory:
        return settings
    address = settings.database.model_copy(update={"uri": SecretStr(database.uri)})
    return settings.model_copy(update={"database": address})


def _hold(store: Store) -> None:
    """Hold every dial before there is a worker; a hold that stands keeps its owner and reason."""
    if store.holds.fleet() is None:
        store.holds.hold(by=_HELD_BY, reason="started held")
    log.warning("started held: no host dials until speechctl unhold", extra={"event": "daemon.held"})


def _open_store(settings: Settings) -> Store:
    store = connect(settings.database)
    for remark in store.remarks:
        log.warning("%s", remark)
    address = settings.database.shown_uri
    try:
        store.ping()
        store.prepare()
    except StoreUnavailable as exc:
        store.close()
        raise StoreUnavailable(f"no database at {address}: {exc}") from exc
    except StoreForbidden as exc:
        store.close()
        fault = f"MONGO_URI {address}: {exc}; allowed: a user and password that this database lets in"
        raise ConfigError([fault]) from exc
    except BaseException:
        store.close()
        raise
    return store
