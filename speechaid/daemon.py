"""Assembles the daemon: settings, logs, socket, database and fleet; what fails soonest comes first.

Whatever can refuse a start does so before a worker exists, in one sentence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

from pydantic import SecretStr

from speechaid import __version__
from speechaid.clock import SystemClock
from speechaid.commands.dispatch import Dispatcher
from speechaid.commands.events import LogTap
from speechaid.commands.interfaces import DaemonControl, Result
from speechaid.control import ControlSocket, web_uid
from speechaid.control_sockets.relay import tcp_access
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.errors import ConfigError, ExitStatus, StoreForbidden, StoreUnavailable
from speechaid.fleet.messages import count_key
from speechaid.fleet.spawner import Spawner
from speechaid.maintenance.call_analysis import CallAnalysisThread
from speechaid.maintenance.database_probe import OPTIONS, PROBE_SECONDS, DatabaseProbe
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.maintenance.emergency_thread import EmergencyThread, emergency_store
from speechaid.monitoring.call_durations import CallDurations
from speechaid.monitoring.disks import STATE_DIRECTORY, disks
from speechaid.monitoring.monitoring import Monitoring
from speechaid.protocol.keys import AllowedClient
from speechaid.protocol.messages import Access, Request
from speechaid.retell.client import open_retell
from speechaid.settings import Settings, get_settings, settings_warnings
from speechaid.settings.zone_data import use_newest_zone_data
from speechaid.store.connection import Store, connect
from speechaid.supervisor import Supervisor
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.redaction import Redactor
from speechaid.telemetry.sink import file_fault, log_refused

log = get_logger(__name__)

#: Least time between two reads of requests for hang-ups (the probe comes each second), and requests in one.
HANG_UPS_SECONDS: Final = 1.5
HANG_UPS_READ: Final = 500
#: Owner of the hold that ``--held`` sets.
_HELD_BY: Final = "speechaid run --held"


def serve(spawner: Spawner, *, held: bool = False) -> int:
    """Run until a shutdown is requested; returns the exit status.

    Args:
        spawner: makes the workers; its zygote may be starting already.
        held: hold every dial, on any host, until an operator lifts the hold.

    Raises:
        ConfigError: the settings cannot be used.
        ControlError: another daemon has the control socket, or it cannot be made.
        FleetError: the embedded database or the state directory cannot be used.
        StoreUnavailable: the database does not answer.
    """
    use_newest_zone_data()
    settings = get_settings()
    _open_log(settings)
    for warning in settings_warnings():
        log.warning("settings.warning", text=warning)
    with contextlib.ExitStack() as cleanup:
        # Closed in reverse: the database thread still writes to the database, and clients may ask until the
        # end. What is opened is registered in the same line: whatever fails next, it is closed.
        control = _own(
            cleanup,
            ControlSocket(settings.control.socket, tcp_access(settings), web_uid=web_uid(settings)),
        )
        monitoring = _own(cleanup, Monitoring(settings))
        database, settings = _start_database(cleanup, settings)
        store = _own(cleanup, connect(settings.database))
        _prepare(store, settings)
        if held:
            _hold(store)
        database_thread = _own(cleanup, DatabaseThread(store, settings))
        urgent = emergency_store(settings.database)
        emergency_thread = _own(cleanup, EmergencyThread(urgent, settings, database_thread.add_answer))
        daemon = Daemon(
            settings,
            spawner=spawner,
            control=control,
            database_thread=database_thread,
            emergency_thread=emergency_thread,
            database=database,
            monitoring=monitoring,
            call_analysis=_own(cleanup, _call_analysis(settings)),
            probe=_own(cleanup, _probe(settings)),
        )
        log.info("daemon.starting", version=__version__, database=settings.database.shown_uri)
        monitoring.start()
        return daemon.run()


class _Closable(Protocol):
    def close(self) -> None: ...


_Owned = TypeVar("_Owned", bound=_Closable)


def _own(cleanup: contextlib.ExitStack, opened: _Owned) -> _Owned:
    """Have it closed at the end, however that comes."""
    cleanup.callback(_close, opened.close)
    return opened


def _close(close: Callable[[], object]) -> None:
    """Close one thing; a fault in it must not keep the others open."""
    try:
        close()
    except Exception:
        log.exception("daemon.not_closed")


def _call_analysis(settings: Settings) -> CallAnalysisThread:
    return CallAnalysisThread(
        settings,
        lambda: connect(settings.database),
        lambda observe: open_retell(settings, observe=observe),
    )


def _probe(settings: Settings) -> DatabaseProbe:
    return DatabaseProbe(lambda: connect(settings.database, more=OPTIONS, operation_seconds=PROBE_SECONDS))


class Daemon(DaemonControl):
    """A supervisor, the database thread and monitoring, and the commands that act on all three."""

    def __init__(
        self,
        settings: Settings,
        *,
        spawner: Spawner,
        control: ControlSocket,
        database_thread: DatabaseThread,
        emergency_thread: EmergencyThread,
        database: EmbeddedDatabase | None,
        monitoring: Monitoring,
        call_analysis: CallAnalysisThread,
        probe: DatabaseProbe,
    ) -> None:
        self._control = control
        self._database_thread = database_thread
        self._emergency_thread = emergency_thread
        self._database = database
        self._monitoring = monitoring
        self._call_analysis = call_analysis
        self._call_durations = CallDurations()
        self._clock = SystemClock()
        self._clients: Mapping[str, AllowedClient] | None = None
        self._places = {STATE_DIRECTORY: settings.control.state_dir}
        if database is not None:
            self._places["embedded database"] = database.directory
        self._dispatcher = Dispatcher(
            daemon=self,
            answers=control,
            submit=database_thread.submit,
            submit_urgent=emergency_thread.submit,
            database_away=self._database_away,
            after_write=database_thread.after_write,
            on_change=lambda: self._update_monitoring(self._clock.boottime()),
            count_again=database_thread.count_again,
            on_listener=lambda request: self._count_command(request, "done"),
            is_allowed=control.is_allowed,
        )
        control.on_answer = self._count_command
        self._tap = LogTap(Redactor(settings.secrets()))
        logs.add_handler(self._tap)
        self._supervisor = Supervisor(
            settings,
            spawner=spawner,
            control=control,
            on_request=self._dispatcher.dispatch,
            database_thread=database_thread,
            read_settings=self._read_settings,
            on_settings=self._apply_settings,
            database=database,
            probe=probe,
            reader_pids=database_thread.readers.child_pids,
        )
        self._supervisor.on_event += [
            database_thread.note_event,
            self._call_durations.note,
            self._dispatcher.subscriptions.publish,
        ]
        self._supervisor.on_tick += [self._publish_log_lines, self._update_monitoring, self._note_calls]
        #: Whether this host has calls, and when to read requests for hang-ups again.
        self._has_calls = False
        self._hang_ups_due_at = 0.0
        probe.on_answer = self._read_hang_ups

    def run(self) -> ExitStatus:
        """Supervise until the end."""
        try:
            return self._supervisor.run()
        finally:
            self._dispatcher.close()

    # What commands may ask (``commands.interfaces.DaemonControl``).

    def snapshot(self) -> Result:
        """The supervisor's state as of now; what was read from the database has its own times."""
        found = {**self._supervisor.snapshot(), **self._database_thread.stats()}
        found["failing"] = {**found["failing"], **self._call_analysis.failing_tasks()}
        for worker in found["workers"]:
            worker["call_for_seconds"] = self._call_durations.elapsed(worker["call"])
        call = self._supervisor.settings.call
        longest = call.max_duration_minutes * 60 + call.poll_timeout_seconds
        elapsed = [worker["call_for_seconds"] or 0.0 for worker in found["workers"] if worker["job"]]
        return {
            "as_of": self._clock.now().isoformat(),
            **found,
            "drain": self._call_durations.left(elapsed, longest),
            "disks": disks(self._places),
            "alerts": self._monitoring.firing(),
            "recent": self._monitoring.recent_counts(),
            "metrics": self._monitoring.address,
        }

    def drain(self, on: bool) -> None:
        """Stop or resume claiming on this host."""
        self._supervisor.drain(on)

    def pause_worker(self, slot: str) -> None:
        """Stop claiming in this slot."""
        self._supervisor.pause_worker(slot)

    def resume_worker(self, slot: str) -> None:
        """Resume claiming in this slot."""
        self._supervisor.resume_worker(slot)

    def hold(self, on: bool) -> None:
        """Hold or release new dials of this host."""
        self._supervisor.hold(on)

    def pause_batches(self, beginning: str, on: bool) -> None:
        """Hold or release new dials of these batches on this host."""
        self._supervisor.pause_batches(beginning, on)

    def hang_up(self, job_id: str) -> None:
        """Have this host's worker of the job read the job's request at once."""
        self._supervisor.hang_up(job_id)

    def scale(self, wanted: int) -> int:
        """Set the wanted number of workers; returns it."""
        return self._supervisor.scale(wanted)

    def reload(self) -> dict[str, list[str]]:
        """Read settings and keys again; ``ConfigError`` leaves the old ones in force."""
        return self._supervisor.reload()

    def set_log_level(self, level: str) -> None:
        """Set the log level of this process and of its workers."""
        self._supervisor.set_log_level(level)

    def shutdown(self, *, now: bool = False) -> None:
        """Begin to stop; ``now`` hands live calls over."""
        self._supervisor.shutdown(now=now)

    # What the supervisor calls.

    def _read_settings(self) -> Settings:
        """New settings; the keys are read with them, so that bad keys refuse the reload as a whole."""
        access = tcp_access(self._supervisor.settings)
        self._clients = None if access is None else access.clients
        return _with_address(get_settings(), self._database)

    def _apply_settings(self, settings: Settings) -> None:
        self._database_thread.apply_settings(settings)
        self._emergency_thread.apply_settings(settings)
        self._monitoring.apply_settings(settings)
        self._call_analysis.apply_settings(settings)
        if self._clients is not None:
            self._control.allow(self._clients)
            self._dispatcher.end_revoked()

    def _database_away(self) -> str | None:
        """Why the database cannot be asked, by the database thread's latest attempt; None where it can."""
        found = self._database_thread.stats().get("database", {})
        return str(found.get("error") or "the database is away") if found.get("state") == "away" else None

    def _update_monitoring(self, now: float) -> None:
        counts = self._monitoring.update(self.snapshot(), self._supervisor.counts, now)
        self._supervisor.on_counts(counts)
        self._database_thread.note_retell_answer(self._monitoring.retell_answered_at)
        self._supervisor.on_counts(self._call_analysis.take_counts())
        self._supervisor.on_counts(self._database_thread.take_counts())
        refused = self._control.take_refusals()
        name = "speechaid_control_refusals_total"
        self._supervisor.on_counts(
            {count_key(name, {"cause": cause}): float(times) for cause, times in refused.items()}
        )

    def _note_calls(self, _now: float) -> None:
        self._has_calls = self._supervisor.in_calls > 0

    def _read_hang_ups(self, store: Store) -> None:
        """Wake the workers whose call is to be ended by a request on another host; in the probe's thread.

        One indexed read a host, while it has calls: no worker reads its job for this between two polls.
        """
        now = self._clock.boottime()
        if not self._has_calls or now < self._hang_ups_due_at:
            return
        self._hang_ups_due_at = now + HANG_UPS_SECONDS
        for job_id in store.requests.hang_ups(HANG_UPS_READ):
            self._database_thread.add_answer(partial(self._supervisor.hang_up, job_id))

    def _count_command(self, request: Request, result: str) -> None:
        if result == "done" and request.command.access is Access.WRITE:
            self._supervisor.wake_workers()
        labels = {"command": request.command.name, "result": result}
        self._supervisor.on_counts({count_key("speechaid_commands_total", labels): 1.0})

    def _publish_log_lines(self, now: float) -> None:
        """Each second: send this process's log lines to the event streams, and keep them alive."""
        for line in self._tap.take():
            self._dispatcher.subscriptions.publish("supervisor", str(line.pop("event")), line)
        self._dispatcher.subscriptions.tick(now)
        self._dispatcher.tick(now)


def _open_log(settings: Settings) -> None:
    """Configure the log by the settings.

    Raises:
        ConfigError: the log file cannot be written.
    """
    log_settings = settings.logging
    if log_settings.file is not None and (fault := file_fault(log_settings.file)) is not None:
        raise ConfigError([log_refused(log_settings.file, fault)])
    logs.configure(
        log_settings.level, log_settings.format, file=log_settings.file, secrets=settings.secrets()
    )


def _start_database(
    cleanup: contextlib.ExitStack, settings: Settings
) -> tuple[EmbeddedDatabase | None, Settings]:
    """The started embedded database, None where a server is configured; the settings with its address."""
    directory = settings.database.embedded_directory
    if directory is None:
        return None, settings
    database = EmbeddedDatabase(directory, campaigns=settings.database.name)
    cleanup.callback(_close, database.stop)
    database.start()
    return database, _with_address(settings, database)


def _with_address(settings: Settings, database: EmbeddedDatabase | None) -> Settings:
    """The settings with ``embedded:DIR`` replaced by the address of that server."""
    if database is None or settings.database.embedded_directory != database.directory:
        return settings
    address = settings.database.model_copy(update={"uri": SecretStr(database.uri)})
    return settings.model_copy(update={"database": address})


def _hold(store: Store) -> None:
    """Hold every dial before there is a worker; an existing hold keeps its owner and reason."""
    if store.holds.find_hold() is None:
        store.holds.hold(by=_HELD_BY, reason="started held")
    log.warning("daemon.held", text="no host dials until speechctl unhold")


def _prepare(store: Store, settings: Settings) -> None:
    """Make sure that the database answers, and that it has its indexes.

    Raises:
        ConfigError: the database rejects our user and password.
        StoreUnavailable: it does not answer.
    """
    for remark in store.remarks:
        log.warning("database.remark", text=remark)
    address = settings.database.shown_uri
    try:
        store.ping()
        # Before the indexes that are missing are made: they would begin with another span.
        store.logs.keep_for(settings.telemetry.log_retention_days)
        for remark in store.prepare():
            log.warning("database.remark", text=remark)
    except StoreUnavailable as exc:
        raise StoreUnavailable(f"no database at {address}: {exc}") from exc
    except StoreForbidden as exc:
        fault = f"MONGO_URI {address}: {exc}; allowed: a user and password that this database accepts"
        raise ConfigError([fault]) from exc
