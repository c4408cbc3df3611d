"""The supervisor as a process, with ``tests.support.fleet_worker`` as its worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from speechaid.control import ControlSocket
from speechaid.errors import ConfigError, FleetError
from speechaid.fleet.spawner import Spawner
from speechaid.protocol.messages import ErrorCode, Request
from speechaid.rules.respawn import ExitCause
from speechaid.settings import get_settings
from speechaid.supervisor import Supervisor
from speechaid.telemetry import logs
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.fleet_daemon")


class QuietDatabaseThread:
    """No database: the job of a crashed worker is only logged."""

    def __init__(self) -> None:
        self._reader, _ = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def submit(self, task: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        raise NotImplementedError

    def answers(self) -> list[Callable[[], None]]:
        return []

    def on_worker_exit(self, worker_id: str, job: str | None, cause: ExitCause) -> None:
        log.info("database_thread.worker_exit", worker_id=worker_id, job=job, cause=cause.value)

    def close(self) -> None:
        log.info("database_thread.closed")


def main() -> int:
    settings = get_settings()
    logs.configure(settings.logging.level)
    control = ControlSocket(settings.control.socket)

    def on_request(request: Request) -> None:
        args = request.args
        handlers: dict[str, Callable[[], Any]] = {
            "status": supervisor.snapshot,
            "drain": lambda: supervisor.drain(True),
            "undrain": lambda: supervisor.drain(False),
            "pause-worker": lambda: supervisor.pause_worker(args["worker"]),
            "resume-worker": lambda: supervisor.resume_worker(args["worker"]),
            "scale": lambda: supervisor.scale(args["count"]),
            "reload": supervisor.reload,
            "shutdown": lambda: supervisor.shutdown(now=args["now"]),
        }
        try:
            control.reply(request, {"done": handlers[request.command.name]()})
        except (FleetError, ConfigError) as exc:
            control.refuse(request, ErrorCode.REFUSED, str(exc))

    database_thread = QuietDatabaseThread()
    supervisor = Supervisor(
        settings,
        spawner=Spawner("tests.support.fleet_worker:main"),
        control=control,
        on_request=on_request,
        database_thread=database_thread,
        read_settings=get_settings,
    )
    break_fleet = Path(os.environ["FLEET_WORKER_DIR"]) / "break-fleet"

    def break_when_asked(_now: float) -> None:
        """Close the fleet's epoll: from then on every tick of the fleet fails."""
        if break_fleet.exists():
            os.close(supervisor._fleet.fileno())
            supervisor.on_tick.remove(break_when_asked)

    supervisor.on_tick.append(break_when_asked)
    with closing(control), closing(database_thread):
        return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
