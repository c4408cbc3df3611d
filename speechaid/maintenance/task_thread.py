"""A thread with a store of its own that carries out tasks for the loop, in the order in which they are due.

The loop submits tasks and goes on; finished tasks come back as callbacks, to be called in the loop's thread.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from logging import WARNING
from typing import Final, TypeVar

from speechaid.clock import Clock, SystemClock
from speechaid.commands.interfaces import HandlerContext
from speechaid.errors import ControlError, StoreError
from speechaid.importing.process import ReaderPool
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.settings import Settings
from speechaid.store.connection import Store
from speechaid.telemetry.logs import get_logger

T = TypeVar("T")

#: ``close`` finishes submitted tasks within this many seconds.
CLOSING_SECONDS: Final = 10.0

log = get_logger("speechaid.maintenance.database_thread")


class TaskThread:
    """Owns its store; ``submit``, ``apply_settings`` and ``close`` are for the loop's thread."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        name: str,
        max_tasks: int,
        in_loop: Callable[[Callable[[], None]], None],
        clock: Clock | None = None,
    ) -> None:
        """Start the thread.

        Args:
            store: used by this thread alone, and closed with it.
            settings: those of the handlers.
            name: of the thread.
            max_tasks: waiting tasks at most.
            in_loop: schedules a call in the loop's thread; callable from any thread.
            clock: for tests.
        """
        self._clock = clock or SystemClock()
        self._settings = settings
        self._store = store
        self._max_tasks = max_tasks
        self._in_loop = in_loop
        #: The processes that read files and make reports for this thread's tasks.
        self.readers = ReaderPool()
        #: What this thread counts for metrics.
        self.counters = ThreadCounters()
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # -- called in the loop's thread -----------------------------------------------------------------------

    def submit(
        self,
        task: Callable[[HandlerContext], T],
        on_done: Callable[[T], None],
        *,
        delay_seconds: float = 0.0,
        first: bool = False,
    ) -> None:
        """Run ``task`` in this thread, then ``on_done`` with its result in the loop's thread.

        Args:
            task: may block.
            on_done: must return quickly.
            delay_seconds: the earliest start; other tasks run meanwhile.
            first: before every other task that waits.

        Raises:
            ControlError: as many tasks wait as may.
        """

        def work() -> None:
            result = task(self._handler_context())
            self._in_loop(lambda: on_done(result))

        self._enqueue(work, delay_seconds, first=first)

    def apply_settings(self, settings: Settings) -> None:
        """Take over new settings after a reload."""
        self._settings = settings

    def close(self) -> None:
        """Finish the due tasks, within ``CLOSING_SECONDS``, and close the store."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSING_SECONDS)
        self.readers.close()
        self._finish()
        self._store.close()

    def _finish(self) -> None:
        """What is left to do after the thread's end, in the loop's thread."""

    # -- runs in this thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except StoreError as exc:
                log.event(WARNING, "database_thread.task_failed", error=str(exc))
            except Exception:
                log.exception("database_thread.task_failed")

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next task, the thread's own work among them; None to stop."""
        with self._changed:
            while True:
                now = self._clock.boottime()
                due = self._tasks[0][0] if self._tasks else None
                if self._closing:
                    return heapq.heappop(self._tasks)[2] if due is not None and due <= now else None
                if (own := self._own_work(now)) is not None:
                    return own
                if due is not None and due <= now:
                    return heapq.heappop(self._tasks)[2]
                wake_at = [now + 1.0, self._own_work_at()]
                self._changed.wait(max(0.0, min(wake_at if due is None else [*wake_at, due]) - now))

    def _own_work(self, now: float) -> Callable[[], None] | None:  # noqa: ARG002 - for subclasses
        """What the thread does by itself now, before any task; called with the lock held."""
        return None

    def _own_work_at(self) -> float:
        """When to ask for that again, in seconds of boot time."""
        return float("inf")

    def _handler_context(self) -> HandlerContext:
        return HandlerContext(
            store=self._store,
            settings=self._settings,
            in_loop=self._in_loop,
            readers=self.readers,
            counters=self.counters,
        )

    def _enqueue(self, work: Callable[[], None], delay_seconds: float, *, first: bool = False) -> None:
        with self._changed:
            if len(self._tasks) >= self._max_tasks:
                raise ControlError(
                    f"{self._max_tasks} requests wait for the database already; try again later"
                )
        self._put(work, delay_seconds, first=first)

    def _put(self, work: Callable[[], None], delay_seconds: float, *, first: bool = False) -> None:
        """Add a task, however many wait."""
        with self._changed:
            due = 0.0 if first else self._clock.boottime() + delay_seconds
            heapq.heappush(self._tasks, (due, next(self._numbers), work))
            self._changed.notify()
