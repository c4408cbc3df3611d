"""The clerk: the one thread of the supervisor's process that talks to the database.

The loop puts tasks on its desk and goes on; what is done comes back among ``answers``, announced on a
descriptor that the loop polls. Between tasks the clerk keeps house: it counts for status and metrics, and it
does the small things that no worker's call depends on. A database that is away makes tasks fail with their
own words, and postpones the housekeeping.
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

#: More waiting tasks than this and new ones are refused: somebody floods, or the database hangs.
TASKS_AT_MOST = 1000
#: At the end, what was submitted is finished within so many seconds.
CLOSING_SECONDS = 10.0
#: Events of jobs that wait to be written at most, that are written at once, and how often.
HISTORY_AT_MOST = 20_000
HISTORY_CHUNK = 500
HISTORY_SECONDS = 1.0
#: Events that are told too often to be kept: a job that a limit keeps back is looked at again and again.
UNKEPT_EVENTS = frozenset({"job.put_back", "database.away"})
#: What is said of a database that hangs.
SILENT = "the database does not answer"
#: A crash that could not be written down is offered again so much later, in seconds.
CRASH_RETRY_SECONDS = 2.0


class DatabaseThread:
    """Owns the supervisor's store; everything but ``submit``, ``answers`` and friends runs in its thread."""

    def __init__(self, store: Store, settings: Settings, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._settings = settings
        self._store = store
        self._housekeeper = Housekeeper(store)
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._news = threading.Condition()
        self._answers: list[Callable[[], None]] = []
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._history: list[dict[str, Any]] = []
        self._history_due_at = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="clerk", daemon=True)
        self._thread.start()

    # -- called in the loop's thread -----------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable while answers wait."""
        return self._read_fd

    def submit(
        self, task: Callable[[HandlerContext], T], on_done: Callable[[T], None], *, delay_seconds: float = 0.0
    ) -> None:
        """Run ``task`` in the clerk's thread, then ``on_done`` with its result in the loop's.

        Raises:
            ControlError: too many tasks wait already.
        """

        def work() -> None:
            result = task(self._handler_context())
            self._in_loop(lambda: on_done(result))

        self._enqueue(work, delay_seconds)

    def answers(self) -> list[Callable[[], None]]:
        """What is done: to be called in the loop's thread, in order."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 4096)
        with self._news:
            answers, self._answers = self._answers, []
        return answers

    def on_worker_exit(self, worker_id: str, job: str | None, cause: ExitCause) -> None:  # noqa: ARG002 - the protocol's
        """A worker died: have its job put where others find it at once, now or when the database is back."""

        def note() -> None:
            try:
                taken = self._store.jobs.worker_crashed(worker_id, self._settings.worker.max_job_crashes)
            except StoreUnavailable:
                self._enqueue(note, CRASH_RETRY_SECONDS)
                return
            for left, what in taken:
                log.event(
                    WARNING, "job.left_by_crash", job=left.job_id, worker=worker_id, cause=cause, then=what
                )

        self._enqueue(note, 0.0)

    def note_event(self, slot: str, event: str, fields: Mapping[str, Any]) -> None:
        """An event of a job's life, to be kept in its history; written with others, a moment later.

        History is told, not relied on: past a bound, while the database is away, the oldest is forgotten.
        """
        if event in UNKEPT_EVENTS or "job" not in fields:
            return
        line = {"event": event, "worker": slot, **fields}
        line["job_id"], line["at"] = line.pop("job"), instant(line.get("at")) or self._clock.now()
        with self._news:
            self._history.append(line)
            if len(self._history) > HISTORY_AT_MOST:
                del self._history[: len(self._history) - HISTORY_AT_MOST]

    def refresh_stats_soon(self) -> None:
        """What was counted is no longer so: an operator who has changed something looks at status next."""
        with self._news:
            self._housekeeper.due_at = 0.0
            self._news.notify()

    def apply_settings(self, settings: Settings) -> None:
        """New settings after a reload."""
        self._settings = settings

    def stats(self) -> dict[str, Any]:
        """What the clerk counted last, and whether the database answers: for status, ready for JSON."""
        stats = self._housekeeper.stats()
        if stats["database"]["state"] == "up" and not self._store.has_primary():
            # The clerk itself may be waiting for an answer just now, and so could not tell.
            stats = {**stats, "database": {"state": "away", "error": SILENT}}
        return stats

    def close(self) -> None:
        """Finish what is due, within a bound, and let go of the database."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(CLOSING_SECONDS)
        with contextlib.suppress(StoreError):
            self._write_history()
        self._store.close()

    # -- the clerk's own thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except StoreError as exc:
                log.event(WARNING, "clerk.task_failed", error=str(exc))
            except Exception:
                log.exception("clerk.task_failed")

    def _next(self) -> Callable[[], None] | None:
        """The next task, or a turn of housekeeping; None when it is time to leave."""
        with self._news:
            while True:
                now = self._clock.boottime()
                due = self._tasks[0][0] if self._tasks else None
                if self._closing:
                    return heapq.heappop(self._tasks)[2] if due is not None and due <= now else None
                # House and history first: they ration themselves, and a long import would starve them.
                if self._history and now >= self._history_due_at:
                    return self._write_history
                if self._housekeeper.due_at <= now:
                    return self._run_housekeeping
                if due is not None and due <= now:
                    return heapq.heappop(self._tasks)[2]
                next_at = self._housekeeper.due_at if due is None else min(due, self._housekeeper.due_at)
                self._news.wait(min(1.0, next_at - now))

    def _run_housekeeping(self) -> None:
        self._housekeeper.tick(self._settings, self._clock.boottime())

    def _write_history(self) -> None:
        self._history_due_at = self._clock.boottime() + HISTORY_SECONDS
        with self._news:
            lines, self._history = self._history, []
        try:
            for begin in range(0, len(lines), HISTORY_CHUNK):
                self._store.logs.write_many(lines[begin : begin + HISTORY_CHUNK])
        except StoreUnavailable:
            with self._news:
                self._history = (lines[begin:] + self._history)[-HISTORY_AT_MOST:]

    def _handler_context(self) -> HandlerContext:
        return HandlerContext(store=self._store, settings=self._settings, in_loop=self._in_loop)

    def _enqueue(self, work: Callable[[], None], delay_seconds: float) -> None:
        with self._news:
            if len(self._tasks) >= TASKS_AT_MOST:
                raise ControlError(f"{TASKS_AT_MOST} requests wait for the database already; try again later")
            heapq.heappush(self._tasks, (self._clock.boottime() + delay_seconds, next(self._numbers), work))
            self._news.notify()

    def _in_loop(self, answer: Callable[[], None]) -> None:
        with self._news:
            self._answers.append(answer)
        with contextlib.suppress(BlockingIOError):  # full: the loop is told already
            os.write(self._write_fd, b"!")
