"""The database as the API reads it: two reads at a time, five seconds each, from the primary, read-only.

What stops calls reads beside those two.

Whatever clients ask for, the database serves the daemon and its workers: a read that gets no place in time,
or no answer, is refused with 503.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final, TypeVar

from speechaid.embedded.database import published_uri
from speechaid.embedded.files import WEB_CREDENTIALS
from speechaid.errors import FleetError, LoginsBusy, StoreUnavailable
from speechaid.model.identity import User
from speechaid.protocol.translation import say
from speechaid.settings.groups import DatabaseSettings
from speechaid.store.connection import Store, connect
from speechaid.store.scoped import ScopedStore
from speechaid.web.places import Kind, current_kind
from speechaid.web.problems import Problem

_T = TypeVar("_T")

AT_ONCE: Final = 2
#: Reads for what stops calls, and for the state of the database: each finds one document, or none.
URGENT_AT_ONCE: Final = 4
READ_SECONDS: Final = 5.0
#: Seconds that a read waits for a place.
PLACE_SECONDS: Final = 5.0
#: Seconds for which one reading serves every client that polls.
SHARED_SECONDS: Final = 3.0
_MAX_SHARED: Final = 1000
#: Logins that wait for their turn; one is checked at a time.
_MAX_LOGINS: Final = 8


class _Lane:
    """Threads for reads, and their places."""

    def __init__(self, at_once: int, name: str) -> None:
        self.threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self.places = asyncio.Semaphore(at_once)


class DatabaseReader:
    """Runs reads in threads of its own; for one event loop."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Connect at the first read."""
        self._settings = settings
        self._lanes = {False: _Lane(AT_ONCE, "read"), True: _Lane(URGENT_AT_ONCE, "urgent-read")}
        # A login takes some tenths of a second of a processor: it keeps no read waiting.
        self._login_thread = ThreadPoolExecutor(1, thread_name_prefix="login")
        self._logins = 0
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._uri: str | None = None
        #: By key: until when the reading counts, and the reading.
        self._shared: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}

    async def read(self, account_id: str | None, function: Callable[[ScopedStore], _T]) -> _T:
        """Run a read of this account's documents (None: of all).

        Raises:
            Problem: no place was free in time.
            StoreUnavailable: the database is away, or did not answer in time.
        """
        return await self._run(lambda store: function(ScopedStore(store, account_id)))

    async def count_jobs(self, batch_id: str) -> dict[str, int]:
        """Count the jobs of a batch by status; one reading serves all who ask within some seconds.

        The caller has found the batch within its own account: the index that counts has no account.
        """
        return await self._share(
            ("jobs", batch_id), lambda: self._run(lambda store: store.jobs.counts(batch_id))
        )

    async def share(self, key: Hashable, account_id: str | None, function: Callable[[ScopedStore], _T]) -> _T:
        """As ``read``; one reading serves all of one account who ask within some seconds."""
        return await self._share((key, account_id), lambda: self.read(account_id, function))

    async def on_identities(self, function: Callable[[Store], _T]) -> _T:
        """Run an operation on the database of users and tokens, the only one that this process writes."""
        return await self._run(function)

    async def check_login(self, name: str, password: str, address: str) -> User:
        """The user whose name and password these are; logins are checked one after the other.

        Raises:
            LoginRefused, TooManyTries, LoginsBusy: as ``Identities.check_login``.
            StoreUnavailable: the database is away.
        """
        if self._logins >= _MAX_LOGINS:
            raise LoginsBusy("too many passwords are being checked: try again in some seconds")
        self._logins += 1
        task = asyncio.get_running_loop().run_in_executor(
            self._login_thread,
            self._with_store,
            lambda store: store.identities.check_login(name, password, address),
        )
        task.add_done_callback(lambda _: self._note_login())
        return await asyncio.shield(task)

    async def is_up(self) -> bool:
        """Whether the database answers."""
        try:
            await self._share("ping", lambda: self._run(Store.ping))
        except (StoreUnavailable, Problem):
            return False
        return True

    def close(self) -> None:
        """Close the connection; reads under way end with a fault."""
        for threads in (*(lane.threads for lane in self._lanes.values()), self._login_thread):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    def _note_login(self) -> None:
        self._logins -= 1

    async def _run(self, function: Callable[[Store], _T]) -> _T:
        lane = self._lanes[current_kind.get() is not Kind.ORDINARY]
        try:
            await asyncio.wait_for(lane.places.acquire(), PLACE_SECONDS)
        except TimeoutError as exc:
            text = say("other reads of the database are under way: try again later")
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code="busy") from exc
        task = asyncio.get_running_loop().run_in_executor(lane.threads, self._with_store, function)
        # The place is free when the thread is, not when the client leaves.
        task.add_done_callback(lambda _: lane.places.release())
        return await asyncio.shield(task)

    def _with_store(self, function: Callable[[Store], _T]) -> _T:
        store = self._open()
        try:
            return function(store)
        except StoreUnavailable:
            self._forget(store)
            raise

    def _open(self) -> Store:
        """The connection; a new one where the embedded database has another address since."""
        with self._lock:
            if self._store is None:
                directory = self._settings.embedded_directory
                try:
                    uri = None if directory is None else published_uri(directory, WEB_CREDENTIALS)
                except FleetError as exc:
                    raise StoreUnavailable(f"the database is away: {exc}") from exc
                self._store, self._uri = connect(self._settings, uri=uri, operation_seconds=READ_SECONDS), uri
            return self._store

    def _forget(self, store: Store) -> None:
        """Before the next read, look where the embedded database listens: a restart takes another port."""
        directory = self._settings.embedded_directory
        if directory is None:
            return  # the driver finds a server again by itself
        with self._lock:
            try:
                moved = published_uri(directory, WEB_CREDENTIALS) != self._uri
            except FleetError:
                moved = True
            if moved and self._store is store:
                self._store = None
                store.close()

    async def share_result(
        self, key: Hashable, produce: Callable[[], Awaitable[_T]], seconds: float = SHARED_SECONDS
    ) -> _T:
        """What ``produce`` returns, for all who ask for the same key within so many seconds of its end."""
        return await self._share(("result", key), produce, seconds)

    def forget_shared(self) -> None:
        """Have the next reader of each shared reading read anew: something was changed."""
        self._shared.clear()

    async def _share(
        self, key: Hashable, produce: Callable[[], Awaitable[_T]], seconds: float = SHARED_SECONDS
    ) -> _T:
        now = time.monotonic()
        known = self._shared.get(key)
        if known is None or now >= known[0]:
            if len(self._shared) >= _MAX_SHARED:
                self._shared = {name: one for name, one in self._shared.items() if one[0] > now}
                while len(self._shared) >= _MAX_SHARED:
                    self._shared.pop(next(iter(self._shared)))
            # Its time begins with its end: a slow reading is not begun again while it runs.
            task = asyncio.ensure_future(produce())
            self._shared[key] = (float("inf"), task)
            task.add_done_callback(lambda done: self._note_read(key, done, seconds))
            known = self._shared[key]
        result: _T = await asyncio.shield(known[1])
        return result

    def _note_read(self, key: Hashable, task: asyncio.Future[Any], seconds: float) -> None:
        known = self._shared.get(key)
        if known is None or known[1] is not task:
            return
        if task.cancelled() or task.exception() is not None:
            del self._shared[key]
        else:
            self._shared[key] = (time.monotonic() + seconds, known[1])
