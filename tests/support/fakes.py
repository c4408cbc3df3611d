"""Shared fakes: a daemon for commands to act on, and a loop in a thread that serves commands."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from speechaid.clock import SystemClock
from speechaid.commands.dispatch import Dispatcher
from speechaid.commands.interfaces import Continue, HandlerContext, Result, SubmitTask
from speechaid.control import ControlSocket
from speechaid.errors import ConfigError, ControlError
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.maintenance.emergency_thread import EmergencyThread

T = TypeVar("T")


class FakeDaemon:
    """The supervisor as commands use it, in memory: a fleet of three, the second worker in a call."""

    def __init__(self) -> None:
        self.draining = False
        self.held = False
        self.wanted = 3
        self.level = "INFO"
        self.paused: set[str] = set()
        #: Beginnings of the ids of batches that are paused on this host.
        self.paused_batches: set[str] = set()
        #: Jobs whose worker was told of a hang-up.
        self.hung_up: list[str] = []
        self.stopping: str | None = None
        #: Whether the second worker is in a call.
        self.in_call = True
        #: The state of the first worker's process, where it has one.
        self.first_state: str | None = None
        #: The faults that a reload finds.
        self.faults: list[str] = []
        #: Why a restart would not find the persisted state.
        self.orders_not_kept: str | None = None

    def snapshot(self) -> dict[str, Any]:
        found = self._snapshot()
        if self.first_state is not None:
            found["workers"][0] |= {"pid": 71, "state": self.first_state}
        return found

    def _snapshot(self) -> dict[str, Any]:
        return {
            "supervisor": {
                "pid": 4242,
                "host": "host-a",
                "version": "0.2.0",
                "started_at": "2026-03-02T10:00:00+00:00",
                "state": "stopping" if self.stopping else "running",
                "wanted": self.wanted,
                "present": 3,
                # Of removed slots, too: more than the sum of the rows below.
                "calls_done": 186,
                "restarts": 2,
                "draining": self.draining,
                "held": self.held,
                "paused_batches": sorted(self.paused_batches),
                "no_space": None,
                "overloaded": None,
                "database_probe_seconds": 0.004,
                "orders_not_kept": self.orders_not_kept,
                "dependency_away": False,
                "crash_loops": [],
                "follower": {"covered": 0, "unusable": False, "restarts": 0},
            },
            "workers": [
                {
                    "slot": f"worker-{number}",
                    "state": "following" if number == 2 and self.in_call else "idle",
                    "job": "job-7" if number == 2 and self.in_call else None,
                    "call": "call_7" if number == 2 and self.in_call else None,
                    "for_seconds": 12.0,
                    "starts_in_seconds": None,
                    "calls_done": number,
                    "restarts": {},
                    "crash_loop": False,
                    "leaving": False,
                    "paused": f"worker-{number}" in self.paused,
                }
                for number in (1, 2, 3)
            ],
            "database": {"state": "up"},
            "queue": {"pending": 5},
            "batches": [],
            "fleet_hold": None,
            "breakers": [],
            "counted_at": "2026-03-02T10:00:05+00:00",
        }

    def drain(self, on: bool) -> None:
        self.draining = on

    def hold(self, on: bool) -> None:
        self.held = on

    def pause_batches(self, beginning: str, on: bool) -> None:
        (self.paused_batches.add if on else self.paused_batches.discard)(beginning)

    def hang_up(self, job_id: str) -> None:
        self.hung_up.append(job_id)

    def pause_worker(self, slot: str) -> None:
        self.paused.add(slot)

    def resume_worker(self, slot: str) -> None:
        self.paused.discard(slot)

    def scale(self, wanted: int) -> int:
        self.wanted = wanted
        return wanted

    def reload(self) -> dict[str, list[str]]:
        if self.faults:
            raise ConfigError(self.faults)
        return {"applied": ["WORKER_COUNT"], "needs_restart": []}

    def set_log_level(self, level: str) -> None:
        self.level = level

    def shutdown(self, *, now: bool = False) -> None:
        self.stopping = "now" if now else "gracefully"


def no_database_thread(
    task: Callable[[HandlerContext], T],
    on_done: Callable[[T], None],
    *,
    delay_seconds: float = 0.0,
    first: bool = False,
) -> None:
    """A database thread that accepts no task."""
    raise ControlError("there is no database thread")


class Service:
    """A control socket served as by the supervisor: one thread, which waits only in ``wait``."""

    def __init__(
        self,
        path: Path,
        database_thread: DatabaseThread | None = None,
        emergency_thread: EmergencyThread | None = None,
    ) -> None:
        self.daemon = FakeDaemon()
        self.socket = ControlSocket(path)
        #: Passes of the loop that had something to do.
        self.turns = 0
        self.fault: BaseException | None = None
        self._database_thread = database_thread
        submit: SubmitTask = no_database_thread if database_thread is None else database_thread.submit
        self.dispatcher = Dispatcher(
            daemon=self.daemon,
            answers=self.socket,
            submit=submit,
            submit_urgent=None if emergency_thread is None else emergency_thread.submit,
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control loop")
        self._thread.start()

    def close(self) -> None:
        """End the loop; raise its exception, if it had one."""
        self._over.set()
        self._thread.join()
        if self.fault is not None:
            raise self.fault

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._turn()
        except BaseException as exc:
            self.fault = exc
            raise
        finally:
            self.socket.close()

    def _turn(self) -> None:
        descriptors = [] if self._database_thread is None else [self._database_thread.fileno()]
        ready = self.socket.wait(descriptors, 50)
        self.turns += bool(ready.control or ready.fds)
        for request in sorted(self.socket.receive(), key=lambda request: not request.command.urgent):
            self.dispatcher.dispatch(request)
        for answer in self._database_thread.answers() if self._database_thread is not None else []:
            answer()
        self.dispatcher.tick(SystemClock().boottime())


def finished(answer: Result | Continue, context: HandlerContext) -> Result:
    """The result of a background handler, whose further steps run here."""
    while isinstance(answer, Continue):
        time.sleep(answer.after_seconds)
        answer = answer.step(context)
    return answer


@contextlib.contextmanager
def served(
    path: Path,
    database_thread: DatabaseThread | None = None,
    emergency_thread: EmergencyThread | None = None,
) -> Iterator[Service]:
    """Run a service during a test."""
    service = Service(path, database_thread, emergency_thread)
    try:
        yield service
    finally:
        service.close()
