"""The connection: one client a process, made after the fork, and the collections behind named methods."""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from speechaid.clock import Clock, SystemClock
from speechaid.errors import ConfigError, StoreError
from speechaid.model.reading import Document, instant
from speechaid.settings import DatabaseSettings
from speechaid.store import indexes
from speechaid.store.accounts import Accounts
from speechaid.store.analyses import Analyses
from speechaid.store.batches import Batches
from speechaid.store.call_logs import CallLogs
from speechaid.store.call_results import CallResults
from speechaid.store.diagnostics import Diagnostics
from speechaid.store.do_not_call import DoNotCallList
from speechaid.store.holds import Holds
from speechaid.store.indexes import Index, create_indexes
from speechaid.store.jobs import Jobs
from speechaid.store.legacy import LegacyReservations
from speechaid.store.operator_actions import OperatorActions
from speechaid.store.operator_requests import OperatorRequests
from speechaid.store.pages import Pages
from speechaid.store.preflight import PreflightQueries
from speechaid.store.queue import Queue
from speechaid.store.table import Table, translated

#: Seconds after which the database's clock is read again; clocks drift by milliseconds in that time.
CLOCK_REREAD_SECONDS = 60.0
#: Seconds until it is tried again after it could not be read.
CLOCK_RETRY_SECONDS = 10.0
#: A reading of the clock that took longer than this says too little about the offset to replace an older one.
CLOCK_READING_MAX_SECONDS = 2.0
#: One that took longer than this is taken again, so often at most; the quickest counts.
CLOCK_READING_GOOD_SECONDS = 0.05
CLOCK_READINGS = 5
#: The interpreter settles on how to run a piece of code within so many passes.
WARM_UP_PASSES = 12
#: A rehearsal never holds up a start for long.
WARM_UP_TIMEOUTS = ("connectTimeoutMS", "serverSelectionTimeoutMS", "socketTimeoutMS")
WARM_UP_TIMEOUT_MS = 1_000
#: A closed client's threads look for their end each half second.
THREADS_END_SECONDS = 3.0


class DatabaseClock:
    """The database's time, without asking it each time: its offset from this machine's boot-time clock.

    Leases and due times are judged by this clock alone, so hosts whose wall clocks differ or jump agree.
    An error is at most half the round trip of the reading, of several the quickest. A process that was
    frozen between computing the time and using it errs to the early side: it sees fewer leases lapsed, and
    writes shorter ones.
    """

    def __init__(self, client: MongoClient[Document], clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._offset: float | None = None
        self._read_at = 0.0

    def now(self) -> datetime:
        """The database's time now, aware UTC, to the millisecond that BSON keeps.

        Raises:
            StoreUnavailable: the database's clock has never been read, and cannot be now.
        """
        boottime = self._clock.boottime()
        if self._offset is None or boottime - self._read_at > CLOCK_REREAD_SECONDS:
            self._read()
            boottime = self._clock.boottime()
        assert self._offset is not None  # noqa: S101 - _read sets it or raises
        stamp = datetime.fromtimestamp(boottime + self._offset, UTC)
        return stamp.replace(microsecond=stamp.microsecond // 1000 * 1000)

    def skew_seconds(self) -> float:
        """How far this host's wall clock is ahead of the database's, in seconds."""
        return (self._clock.now() - self.now()) / timedelta(seconds=1)

    def _read(self) -> None:
        try:
            took, local_time, after = self._quickest_reading()
        except StoreError:
            # An old offset is still right to the millisecond; the outage is another's to report. Asking again
            # at each reading would make every step of a worker wait for the database.
            if self._offset is None:
                raise
            self._read_at = self._clock.boottime() - CLOCK_REREAD_SECONDS + CLOCK_RETRY_SECONDS
            return
        if took < CLOCK_READING_MAX_SECONDS:
            self._offset = local_time - after + took / 2
            self._read_at = after
            return
        # Frozen in the middle, or a database that crawls: behind by that much at worst, never ahead, or
        # leases that others hold would look lapsed.
        if self._offset is None:
            self._offset = local_time - after
        self._read_at = after - CLOCK_REREAD_SECONDS + CLOCK_RETRY_SECONDS

    def _quickest_reading(self) -> tuple[float, float, float]:
        """Seconds that it took, the database's time in it, and the boot-time clock after it.

        The first one of a process also connects and logs in before the question goes out: that alone may
        take a second, all of it on one side of the answer.
        """
        readings = []
        for _ in range(CLOCK_READINGS):
            before = self._clock.boottime()
            with translated():
                answer: Document = self._client.admin.command("hello")
            after = self._clock.boottime()
            local_time = instant(answer.get("localTime"))
            if local_time is None:
                raise StoreError("the database does not tell its time (no localTime in the answer to hello)")
            readings.append((after - before, local_time.timestamp(), after))
            if after - before <= CLOCK_READING_GOOD_SECONDS:
                break
        return min(readings)


class Store:
    """All collections of one database; what may be asked of each is a named method of its class."""

    def __init__(
        self,
        client: MongoClient[Document],
        settings: DatabaseSettings,
        *,
        clock: Clock | None = None,
        remarks: tuple[str, ...] = (),
    ) -> None:
        self._client = client
        #: What the driver does not understand in the address, one line each; it goes on without.
        self.remarks = remarks
        self._clock = DatabaseClock(client, clock or SystemClock())
        database = client.get_database(
            settings.name,
            write_concern=WriteConcern("majority", j=True, wtimeout=20_000),
            read_concern=ReadConcern("majority"),
        )

        def table(name: str) -> Table:
            return Table(database.get_collection(name))

        self.jobs = Jobs(table(settings.jobs_collection), self.now)
        self.legacy = LegacyReservations(self.jobs.table)
        self.queue = Queue(self.jobs.table, self.now)
        self.requests = OperatorRequests(self.jobs, self.now)
        self.operator_actions = OperatorActions(self.jobs.table, self.now)
        self.batches = Batches(table(settings.batches_collection), self.now)
        self.accounts = Accounts(table(settings.accounts_collection), self.now)
        self.results = CallResults(table(settings.results_collection))
        self.analyses = Analyses(self.results.table, self.jobs, self.now)
        self.diagnostics = Diagnostics(self.jobs.table, self.results.table, self.now)
        self.logs = CallLogs(table(settings.logs_collection), self.now)
        self.holds = Holds(table("speechaid_holds"), self.now)
        self.do_not_call = DoNotCallList(table("speechaid_do_not_call"), self.now)
        self.pages = Pages()
        self.preflight = PreflightQueries(
            jobs=self.jobs.table,
            holds=self.holds.table,
            accounts=self.accounts.table,
            batches=self.batches.table,
            do_not_call=self.do_not_call.table,
        )

    def now(self) -> datetime:
        """The time by the database's clock."""
        return self._clock.now()

    def skew_seconds(self) -> float:
        """How far this host's wall clock is ahead of the database's."""
        return self._clock.skew_seconds()

    def ping(self) -> None:
        """Ask the database for a sign of life; ``StoreUnavailable`` where it gives none."""
        with translated():
            self._client.admin.command("ping")

    def has_primary(self) -> bool:
        """Whether the driver's own watch, every ten seconds, found a server that takes writes; asks nothing.

        A server that hangs is found out by it long before the question that waits there gives up.
        """
        return self._client.topology_description.has_writable_server()

    def prepare(self) -> None:
        """Make the indexes that are missing."""
        create_indexes(self.indexed())

    def indexed(self) -> list[tuple[Table, tuple[Index, ...]]]:
        """Each collection with the indexes that it should have."""
        return [
            (self.jobs.table, indexes.JOBS),
            (self.batches.table, indexes.BATCHES),
            (self.accounts.table, indexes.ACCOUNTS),
            (self.results.table, indexes.RESULTS),
            (self.logs.table, indexes.LOGS),
        ]

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()


def connect(
    settings: DatabaseSettings,
    *,
    uri: str | None = None,
    clock: Clock | None = None,
    more: Mapping[str, Any] | None = None,
) -> Store:
    """A store on the settings' database; nothing is sent until it is used.

    Args:
        settings: where the database is; ``uri`` replaces its address (the embedded database has its own).
        uri: the address to use instead; a secret.
        clock: this machine's clocks; a test brings its own.
        more: options of the driver that hold against all others.

    Raises:
        ConfigError: the address cannot be understood.
    """
    address = uri if uri is not None else settings.uri.get_secret_value()
    options: dict[str, Any] = {
        "appname": "speechaid",
        "tz_aware": True,
        "maxPoolSize": settings.max_pool_size,
        # Opened at the first use, so that a client may be made before a fork: until then it has no thread.
        "connect": False,
        **_unless_given(address),
        **(more or {}),
    }
    try:
        # The driver would print its warnings with a line of its own source, again in each process.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client: MongoClient[Document] = MongoClient(address, **options)
        return Store(client, settings, clock=clock, remarks=tuple(_remark(one.message) for one in caught))
    except (InvalidURI, ConfigurationError, ValueError) as exc:
        # The driver's text may quote the address, and so a password.
        fault = f"MONGO_URI cannot be used ({type(exc).__name__})"
        allowed = "allowed: mongodb://…, mongodb+srv://…, embedded:DIR"
        hint = "in a user's name or password @ : / % are written %40 %3A %2F %25"
        raise ConfigError([f"{fault}; {allowed}; {hint}"]) from exc


def _remark(warning: Warning | str) -> str:
    """A warning of the driver in one line, without its advice to programmers."""
    text = " ".join(str(warning).split()).partition(" or maybe a camelCase")[0].partition(" Refer to")[0]
    return f"MONGO_URI: {text.rstrip('.')}; the option is ignored"


def _unless_given(address: str) -> dict[str, Any]:
    """Options of the driver where the address has none of its own: what an operator wrote there stands."""
    options = {
        # One thread and one connection less a process than the streaming protocol needs.
        "serverMonitoringMode": "poll",
        "connectTimeoutMS": 5_000,
        "serverSelectionTimeoutMS": 5_000,
        # Longer than any lawful operation; without it a silent database would be waited for without end.
        "socketTimeoutMS": 30_000,
    }
    given = {name.lower() for name, _ in parse_qsl(address.partition("?")[2])}
    return {name: value for name, value in options.items() if name.lower() not in given}


@functools.cache
def warm_up_queries(settings: DatabaseSettings) -> None:
    """Connect, read as a worker reads, and let go again, before any fork: saves a MiB in each worker.

    The interpreter rewrites code as it is used, and the driver makes what it needs at the first use: after
    the fork each worker would have a copy of its own. Nothing is left open. Without a database there is none.
    """
    store = connect(settings, more=dict.fromkeys(WARM_UP_TIMEOUTS, WARM_UP_TIMEOUT_MS))
    try:
        for _ in range(WARM_UP_PASSES):
            store.ping()
            store.holds.read("warm-up")
            store.batches.find("warm-up")
            store.accounts.among(["warm-up"])
            store.queue.candidates("warm-up", 1)
    except StoreError:
        pass
    finally:
        store.close()
    _wait_for_threads(THREADS_END_SECONDS)


def _wait_for_threads(seconds: float) -> None:
    """The driver's threads end soon after their client was closed; none may live across a fork."""
    deadline = time.monotonic() + seconds
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.005)


def warm_up_driver() -> None:
    """Build and drop a client that never connects: what that costs once is shared by forked workers.

    The driver imports what it logs in with only then, which is after the fork: 1.2 MiB a worker.
    """
    for name in ("saslprep", "synchronous.auth", "synchronous.auth_aws", "synchronous.auth_oidc"):
        with contextlib.suppress(ImportError):  # internals: another version may have them elsewhere
            importlib.import_module(f"pymongo.{name}")
    client: MongoClient[Document] = MongoClient("mongodb://127.0.0.1:1", connect=False)
    client.close()
