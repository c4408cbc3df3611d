"""The database thread: the work of commands in the database, but for the urgent ones (``emergency_thread``).

The loop submits tasks and goes on; finished tasks come back in ``answers``, signalled by a descriptor that
the loop polls. Between tasks the thread does the housekeeping: counts for status and metrics, and work on
which no worker's call depends. While the database is unavailable, tasks fail with their error, and
housekeeping is postponed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from logging import WARNING
from typing import Any

from speechaid.clock import Clock
from speechaid.commands.interfaces import HandlerContext
from speechaid.errors import StoreError, StoreUnavailable
from speechaid.fleet.messages import Counts
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.maintenance.task_thread import TaskThread
from speechaid.model.reading import instant
from speechaid.rules.respawn import ExitCause
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.maintenance.database_thread")

#: Waiting tasks at most; more are refused: a client sends too many, or the database hangs.
MAX_TASKS = 1000
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


class DatabaseThread(TaskThread):
    """Owns the supervisor's store; the public methods are for the loop's thread, the rest runs in its own."""

    def __init__(self, store: Store, settings: Settings, *, clock: Clock | None = None) -> None:
        super().__init__(
            store, settings, name="database", max_tasks=MAX_TASKS, in_loop=self.add_answer, clock=clock
        )
        self._housekeeper = Housekeeper(store, counters=self.counters)
        self._answers: list[Callable[[], None]] = []
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._history: list[dict[str, Any]] = []
        self._history_due_at = 0.0
        #: When a command last wrote, by the boot-time clock; whether what status shows is to be read again.
        self._written_at = -1.0
        self._reading_due = False
        try:
            self._thread.start()
        except RuntimeError:  # the system allows no more threads
            self._close_descriptors()
            raise

    # -- called in the loop's thread -----------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable while answers wait."""
        return self._read_fd

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
                self._put(release, CRASH_RETRY_SECONDS)
                return
            for left, then in released:
                log.event(
                    WARNING, "job.left_by_crash", job=left.job_id, worker=worker_id, cause=cause, then=then
                )

        # However many requests wait: without this note the crashed worker's call would have no follower until
        # its lease lapses. There are no more notes than workers end.
        self._put(release, 0.0)

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
        is_wanted = self._reading_due or (self._is_behind() and not early)
        if not is_wanted or self.stats()["database"]["state"] != "up":
            return False

        def count(_context: HandlerContext) -> None:
            if self._reading_due:
                self._reading_due = False
                self._housekeeper.read_after_write(self._settings)
            if self._is_behind() and not early:  # another status may have had it counted meanwhile
                self._housekeeper.count(self._settings)

        # Before what waits: a status is answered without the count after a second.
        self.submit(count, lambda _: on_done(), first=True)
        return True

    def note_retell_answer(self, at: float | None) -> None:
        """Note when Retell last answered this process, in seconds of boot time; None: it does not."""
        self._housekeeper.retell_answered_at = at

    def take_counts(self) -> Counts:
        """Return what was counted for metrics since the last call."""
        return self.counters.take()

    def stats(self) -> dict[str, Any]:
        """The latest counts, and whether the database answers; for status, ready for JSON."""
        stats = {
            **self._housekeeper.stats(),
            "counted_before_command": self._is_behind(),
            "failing": self._housekeeper.failures.repeated_errors(),
        }
        if stats["database"]["state"] == "up" and not self._store.has_primary():
            # The thread itself may be waiting for the database, and so have no newer state.
            stats = {**stats, "database": {"state": "away", "error": SILENT}}
        return stats

    def _finish(self) -> None:
        with contextlib.suppress(StoreError):
            self._write_history()
        if not self._thread.is_alive():  # else it may still signal an answer
            self._close_descriptors()

    def _close_descriptors(self) -> None:
        for descriptor in (self._read_fd, self._write_fd):
            os.close(descriptor)

    def _is_behind(self) -> bool:
        """Whether a command has written since the latest count began."""
        return self._written_at > self._housekeeper.counted_from

    def after_write(self) -> None:
        """Called before a command that has written is answered: the next status shows its effect.

        In the thread of the command. The emergency thread waits for nothing: the next status does.
        """
        self._written_at = self._clock.boottime()
        if threading.current_thread() is self._thread:
            self._housekeeper.read_after_write(self._settings)
        else:
            self._reading_due = True

    # -- runs in the database thread -------------------------------------------------------------------------

    def _own_work(self, now: float) -> Callable[[], None] | None:
        # Before tasks: history and housekeeping limit themselves, and a long import would starve them.
        if self._history and now >= self._history_due_at:
            return self._write_history
        if self._housekeeper.due_at <= now:
            return self._run_housekeeping
        moment = time.monotonic()
        return (lambda: self.readers.end_kept(moment)) if self.readers.due_at <= moment else None

    def _own_work_at(self) -> float:
        return self._housekeeper.due_at

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
        except StoreError as exc:
            self._housekeeper.failures.note_failure("history", str(exc))
            raise
        else:
            self._housekeeper.failures.note_success("history")

    def add_answer(self, answer: Callable[[], None]) -> None:
        """Have the loop call this, soon and in order; callable from any thread."""
        with self._changed:
            self._answers.append(answer)
        with contextlib.suppress(BlockingIOError):  # full: the loop is signalled already
            os.write(self._write_fd, b"!")
