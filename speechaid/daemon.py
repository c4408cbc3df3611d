"""The daemon put together: settings, logs, socket, database, clerk and fleet, what fails soonest first.

Everything that can refuse a start does so before a worker exists, in one sentence.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

from pydantic import SecretStr

from speechaid import __version__
from speechaid.clerk import Clerk
from speechaid.commands.dispatch import Dispatcher
from speechaid.control import ControlSocket
from speechaid.errors import ExitStatus, StoreUnavailable
from speechaid.fleet.embedded import EmbeddedDatabase
from speechaid.fleet.messages import count_key
from speechaid.observation import Observation
from speechaid.protocol import Request
from speechaid.settings import Settings, get_settings, settings_warnings
from speechaid.store.connection import Store, connect
from speechaid.supervisor import Supervisor
from speechaid.telemetry import logs

#: What the zygote runs in each worker.
WORKER: Final = "speechaid.worker:main"

log = logging.getLogger(__name__)


def serve() -> int:
    """Run until told to stop; returns the exit status.

    Raises:
        ConfigError: the settings cannot be used.
        ControlError: the control socket is another daemon's, or cannot be made.
        FleetError: the embedded database or the state directory is not to be had.
        StoreUnavailable: the database is not there.
    """
    settings = get_settings()
    logs.configure(settings.logging.level, settings.logging.format, secrets=settings.secrets())
    for warning in settings_warnings():
        log.warning("%s", warning)
    with contextlib.ExitStack() as undo:
        control = ControlSocket(settings.control.socket)
        undo.callback(control.close)
        observation = Observation(settings)
        undo.callback(observation.close)
        database, settings = _start_database(settings)
        if database is not None:
            undo.callback(database.stop)
        store = _open_store(settings)
        clerk = Clerk(store, settings)
        undo.callback(clerk.close)
        daemon = Daemon(
            settings, control=control, clerk=clerk, database=database, observation=observation
        )
        undo.pop_all()  # from here on the supervisor closes them, in its own order
    address = settings.database.shown_uri
    log.info("speechaid %s, database %s", __version__, address, extra={"event": "starting"})
    return daemon.run()


class Daemon(Supervisor):
    """The supervisor with what the clerk knows, and with commands that know both."""

    def __init__(
        self,
        settings: Settings,
        *,
        control: ControlSocket,
        clerk: Clerk,
        database: EmbeddedDatabase | None,
        observation: Observation,
    ) -> None:
        super().__init__(
            settings,
            target=WORKER,
            control=control,
            obey=self._dispatch,
            clerk=clerk,
            read_settings=lambda: _with_address(get_settings(), database),
            database=database,
            apply_log_level=logs.set_level,
        )
        self._desk = clerk
        self.on_event.append(clerk.note_event)
        self._dispatcher = Dispatcher(daemon=self, answers=control, submit=clerk.submit)
        self._observation = observation
        control.on_answer = self._count_command
        self.on_tick.append(self._observe)

    def run(self) -> ExitStatus:
        """Supervise, watched from beginning to end."""
        self._observation.start()
        try:
            return super().run()
        finally:
            self._observation.close()

    def snapshot(self) -> dict[str, Any]:
        """What the loop knows, and what the clerk counted last."""
        return {
            **super().snapshot(),
            **self._desk.figures(),
            "alerts": self._observation.firing(),
            "metrics": self._observation.address,
        }

    def reload(self) -> dict[str, list[str]]:
        """Read the settings again, for the clerk too."""
        changes = super().reload()
        self._desk.apply(self.settings)
        self._observation.apply(self.settings)
        return changes

    def _observe(self, now: float) -> None:
        self.counted(self._observation.look(self.snapshot(), self.counts, now))

    def _count_command(self, request: Request, result: str) -> None:
        labels = {"command": request.command.name, "result": result}
        self.counted({count_key("speechaid_commands_total", labels): 1.0})

    def _dispatch(self, _supervisor: Supervisor, request: Request) -> None:
        self._dispatcher.dispatch(request)


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


def _open_store(settings: Settings) -> Store:
    store = connect(settings.database)
    try:
        store.ping()
        store.prepare()
    except StoreUnavailable as exc:
        store.close()
        raise StoreUnavailable(f"no database at {settings.database.shown_uri}: {exc}") from exc
    except BaseException:
        store.close()
        raise
    return store
