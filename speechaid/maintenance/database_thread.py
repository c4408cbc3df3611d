"""The database thread: the only thread of the supervisor's process for the work of commands in the database.

The loop submits tasks and goes on; finished tasks come back in ``answers``, signalled by a descriptor that
the loop polls. Between tasks the thread does the housekeeping: counts for status and metrics, and work on
which no worker's call depends. While the database is unavailable, tasks fail with their error, and
housekeeping is postponed.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import threading
from collections.abc import Callable, Mapping
from logging import WARNING
from typing import Any, TypeVar

from speechaid.clock import Clock, SystemClock
from speechaid.commands.interfaces import HandlerContext
from speechaid.errors import ControlError, StoreError, StoreUnavailable
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.model.reading import instant
from speechaid.rules.respawn import ExitCause
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

T = TypeVar("T")

log = get_logger("speechaid.maintenance.database_thread")

#: Waiting tasks at most; more are refused: a client sends too many, or the database hangs.
MAX_TASKS = 1000
#: ``close`` finishes submitted tasks within this many seconds.
CLOSING_SECONDS = 10.0
#: Events of jobs that wait to be written at most, that one write holds, and seconds between writes.
MAX_HISTORY = 20_000
HISTORY_CHUNK = 500
HISTORY_SECONDS = 1.0
#: Events too frequent for a job's history: a job that a limit holds back is requeued again and again.
SKIPPED_EVENTS = frozenset({"job.put_back", "database.away"})
#: The error of a database that hangs.
SILENT = "the database does not answer"
#: Seconds until a crash that could not be recorded is recorded again.
CRASH_RETRY_SECONDS = 2.0


class DatabaseThread:
    """Owns the supervisor's store; the public methods are for the loop's thread, the rest runs in its own."""

    def __init__(self, store: Store, settings: Settings, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._settings = settings
        self._store = store
        self._housekeeper = Housekeeper(store)
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._answers: list[Callable[[], None]] = []
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._history: list[dict[str, Any]] = []
        self._history_due_at = 0.0
        #: When a command last wrote here, by the boot-time clock.
        self._written_at = -1.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._thread.start()

    # -- called in the loop's thread -----------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable while answers wait."""
        return self._read_fd

    def submit(
        self, task: Callable[[HandlerContext], T], on_done: Callable[[T], None], *, delay_seconds: float = 0.0
    ) -> None:
        """Run ``task`` in the database thread, then ``on_done`` with its result in the loop's thread.

        Raises:
            ControlError: ``MAX_TASKS`` wait already.
        """

        def work() -> None:
            result = task(self._handler_context())
            self._in_loop(lambda: on_done(result))

        self._enqueue(work, delay_seconds)

    def answers(self) -> list[Callable[[], None]]:
        """Take the callbacks of finished tasks, for the loop to call in order."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 4096)
        with self._changed:
            answers, self._answers = self._answers, []
        return answers

    def on_worker_exit(self, worker_id: str, job: str | None, cause: ExitCause) -> None:  # noqa: ARG002 - the protocol's
        """Release the jobs of a worker that crashed, now or when the database answers again."""

        def release() -> None:
            try:
                released = self._store.jobs.worker_crashed(worker_id, self._settings.worker.max_job_crashes)
            except StoreUnavailable:
                self._enqueue(release, CRASH_RETRY_SECONDS)
                return
            for left, then in released:
                log.event(
                    WARNING, "job.left_by_crash", job=left.job_id, worker=worker_id, cause=cause, then=then
                )

        self._enqueue(release, 0.0)

    def note_event(self, slot: str, event: str, fields: Mapping[str, Any]) -> None:
        """Queue an event for its job's history; written with others within ``HISTORY_SECONDS``.

        Nothing depends on the history: past ``MAX_HISTORY``, the oldest events are dropped.
        """
        if event in SKIPPED_EVENTS or "job" not in fields:
            return
        line = {"event": event, "worker": slot, **fields}
        line["job_id"], line["at"] = line.pop("job"), instant(line.get("at")) or self._clock.now()
        with self._changed:
            self._history.append(line)
            if len(self._history) > MAX_HISTORY:
                del self._history[: len(self._history) - MAX_HISTORY]

    def count_again(self, on_done: Callable[[], None]) -> bool:
        """Count jobs again for a status, where a command has written since; ``on_done`` runs in the loop.

        Returns:
            False where there is no need, or it would load the database: the counts then say their age.

        Raises:
            ControlError: ``MAX_TASKS`` wait already.
        """
        early = self._clock.boottime() < self._housekeeper.may_count_at
        if early or not self._is_behind() or self.stats()["database"]["state"] != "up":
            return False

        def count(_context: HandlerContext) -> None:
            if self._is_behind():  # another status may have had it counted meanwhile
                self._housekeeper.count(self._settings)

        self.submit(count, lambda _: on_done())
        return True

    def apply_settings(self, settings: Settings) -> None:
        """Take over new settings after a reload."""
        self._settings = settings

    def stats(self) -> dict[str, Any]:
        """The latest counts, and whether the database answers; for status, ready for JSON."""
        stats = {**self._housekeeper.stats(), "counted_before_command": self._is_behind()}
        if stats["database"]["state"] == "up" and not self._store.has_primary():
            # The thread itself may be waiting for the database, and so have no newer state.
            stats = {**stats, "database": {"state": "away", "error": SILENT}}
        return stats

    def close(self) -> None:
        """Finish the due tasks, within ``CLOSING_SECONDS``, and close the store."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSING_SECONDS)
        with contextlib.suppress(StoreError):
            self._write_history()
        self._store.close()

    def _is_behind(self) -> bool:
        """Whether a command has written since the latest count began."""
        return self._written_at > self._housekeeper.counted_from

    # -- runs in the database thread -------------------------------------------------------------------------

    def after_write(self) -> None:
        """Called before a command that has written is answered: the next status shows its effect."""
        self._housekeeper.read_after_write(self._settings)
        self._written_at = self._clock.boottime()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except StoreError as exc:
                log.event(WARNING, "database_thread.task_failed", error=str(exc))
            except Exception:
                log.exception("database_thread.task_failed")

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next task, history or housekeeping among them; None to stop."""
        with self._changed:
            while True:
                now = self._clock.boottime()
                due = self._tasks[0][0] if self._tasks else None
                if self._closing:
                    return heapq.heappop(self._tasks)[2] if due is not None and due <= now else None
                # History and housekeeping first: they limit themselves, and a long import would starve them.
                if self._history and now >= self._history_due_at:
                    return self._write_history
                if self._housekeeper.due_at <= now:
                    return self._run_housekeeping
                if due is not None and due <= now:
                    return heapq.heappop(self._tasks)[2]
                next_at = self._housekeeper.due_at if due is None else min(due, self._housekeeper.due_at)
                self._changed.wait(min(1.0, next_at - now))

    def _run_housekeeping(self) -> None:
        self._housekeeper.tick(self._settings, self._clock.boottime())

    def _write_history(self) -> None:
        self._history_due_at = self._clock.boottime() + HISTORY_SECONDS
        with self._changed:
            lines, self._history = self._history, []
        try:
            for begin in range(0, len(lines), HISTORY_CHUNK):
                self._store.logs.write_many(lines[begin : begin + HISTORY_CHUNK])
        except StoreUnavailable:
            with self._changed:
                self._history = (lines[begin:] + self._history)[-MAX_HISTORY:]

    def _handler_context(self) -> HandlerContext:
        return HandlerContext(store=self._store, settings=self._settings, in_loop=self._in_loop)

    def _enqueue(self, work: Callable[[], None], delay_seconds: float) -> None:
        with self._changed:
            if len(self._tasks) >= MAX_TASKS:
                raise ControlError(f"{MAX_TASKS} requests wait for the database already; try again later")
            heapq.heappush(self._tasks, (self._clock.boottime() + delay_seconds, next(self._numbers), work))
            self._changed.notify()

    def _in_loop(self, answer: Callable[[], None]) -> None:
        with self._changed:
            self._answers.append(answer)
        with contextlib.suppress(BlockingIOError):  # full: the loop is signalled already
            os.write(self._write_fd, b"!")
