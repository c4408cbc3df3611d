"""The emergency thread: the database work of hold, pause, hang-up and cancel, which wait for no other work.

Reports, imports, counts and everything else that the database thread does may take minutes. What stops calls
has a thread and a client of its own, and each of its operations is short: by index, and given up after
``OPERATION_SECONDS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from speechaid.maintenance.task_thread import TaskThread
from speechaid.settings import DatabaseSettings, Settings
from speechaid.store.connection import Store, connect

#: Longest that one operation may take, with its retries.
OPERATION_SECONDS: Final = 5.0
#: Waiting tasks at most; commands are bounded before (``commands.admission``).
MAX_TASKS: Final = 256

_MILLISECONDS: Final = round(OPERATION_SECONDS * 1000)
#: One connection for the thread, and one for what replaces it after a time-out.
_CLIENT_OPTIONS: Final[dict[str, Any]] = {
    "maxPoolSize": 2,
    "timeoutMS": _MILLISECONDS,
    "serverSelectionTimeoutMS": _MILLISECONDS,
    "connectTimeoutMS": _MILLISECONDS,
}


class EmergencyThread(TaskThread):
    """Carries out the first database work of urgent commands."""

    def __init__(
        self, store: Store, settings: Settings, in_loop: Callable[[Callable[[], None]], None]
    ) -> None:
        super().__init__(store, settings, name="emergency", max_tasks=MAX_TASKS, in_loop=in_loop)
        self._thread.start()


def emergency_store(settings: DatabaseSettings) -> Store:
    """A store whose operations end within ``OPERATION_SECONDS``; nothing is sent until it is used."""
    return connect(settings, more=_CLIENT_OPTIONS)
