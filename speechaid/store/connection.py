"""The connection to the database: one client per process, made after the fork, and a class per collection."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import threading
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import split_options
from pymongo.write_concern import WriteConcern

from speechaid.clock import Clock, SystemClock
from speechaid.errors import ConfigError, StoreError
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document, instant
from speechaid.protocol.translation import joined, say
from speechaid.settings import DatabaseSettings
from speechaid.store import indexes
from speechaid.store.accounts import Accounts
from speechaid.store.analyses import Analyses
from speechaid.store.batch_sums import BatchSums
from speechaid.store.batches import Batches
from speechaid.store.call_logs import CallLogs
from speechaid.store.call_results import CallResults
from speechaid.store.decoding import LENIENT
from speechaid.store.diagnostics import Diagnostics
from speechaid.store.do_not_call import DoNotCallList
from speechaid.store.erasures import Erasures
from speechaid.store.holds import Holds
from speechaid.store.identity import Identities
from speechaid.store.imports import Imports
from speechaid.store.indexes import Index, create_indexes
from speechaid.store.jobs import Jobs
from speechaid.store.ledger import Ledger
from speechaid.store.legacy import LegacyReservations
from speechaid.store.operator_actions import OperatorActions
from speechaid.store.operator_requests import OperatorRequests
from speechaid.store.packs import Packs
from speechaid.store.pages import Pages
from speechaid.store.people import People
from speechaid.store.preflight import PreflightQueries
from speechaid.store.queue import Queue
from speechaid.store.table import Table, limited, translated
from speechaid.store.test_calls import TestCalls
from speechaid.store.transactions import Transactions

#: Seconds after which the database's clock is read again; clocks drift by milliseconds in that time.
CLOCK_REREAD_SECONDS = 60.0
#: Seconds until the next try after a reading failed.
CLOCK_RETRY_SECONDS = 10.0
#: A reading that took longer than this, in seconds, is too inexact to replace an older offset.
CLOCK_READING_MAX_SECONDS = 2.0
#: After a reading that took longer than this, in seconds, another is made, ``CLOCK_READINGS`` in all at most;
#: the quickest counts.
CLOCK_READING_GOOD_SECONDS = 0.05
CLOCK_READINGS = 5
#: Longest that one operation of a worker may take, in seconds, with the driver's repetitions. A step promises
#: its next report for later than that (``dialer.context.DATABASE_STEP_SECONDS``).
OPERATION_SECONDS = 35.0
#: Longest that the clock's later readings may take, in seconds: an old offset serves as well.
CLOCK_READING_LIMIT_SECONDS = 5.0
#: Passes after which the interpreter has specialised the code that runs.
WARM_UP_PASSES = 12
#: Options that bound the warm-up: it must not delay a start for long.
WARM_UP_TIMEOUTS = ("connectTimeoutMS", "serverSelectionTimeoutMS", "socketTimeoutMS")
WARM_UP_TIMEOUT_MS = 1_000
#: The passes end after this time: the zygote's answer is awaited.
WARM_UP_SECONDS = 3.0
#: A closed client's threads check every half second whether to end.
THREADS_END_SECONDS = 3.0


class DatabaseClock:
    """The database's time without a query each time: this machine's boot-time clock plus an offset.

    Leases and due times are compared with this clock alone, so that hosts whose wall clocks differ or jump
    agree. The error is at most half the round trip of the quickest reading. A process that was frozen between
    computing the time and using it errs to the early side: it sees fewer leases lapsed, and writes shorter
    ones.
    """

    def __init__(
        self, client: MongoClient[Document], clock: Clock, operation_seconds: float | None = None
    ) -> None:
        self._client = client
        self._clock = clock
        self._operation_seconds = operation_seconds
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
            # An old offset is still right to the millisecond, and others report the outage. Another query at
            # each call of ``now`` would make every step of a worker wait for the database.
            if self._offset is None:
                raise
            self._read_at = self._clock.boottime() - CLOCK_REREAD_SECONDS + CLOCK_RETRY_SECONDS
            return
        if took < CLOCK_READING_MAX_SECONDS:
            self._offset = local_time - after + took / 2
            self._read_at = after
            return
        # The process was frozen meanwhile, or the database is very slow: the clock is behind by that much at
        # worst, never ahead, or leases of others would seem lapsed.
        if self._offset is None:
            self._offset = local_time - after
        self._read_at = after - CLOCK_REREAD_SECONDS + CLOCK_RETRY_SECONDS

    def _quickest_reading(self) -> tuple[float, float, float]:
        """The seconds that it took, the database's time (a timestamp), and the boot-time clock after it.

        The first reading of a process also connects and logs in before the query goes out: that may take a
        second, all of it before the answer.
        """
        readings = []
        for _ in range(CLOCK_READINGS):
            before = self._clock.boottime()
            limit = self._operation_seconds
            if limit is not None and self._offset is not None:
                # The clock goes on with its offset: the operation that asks for the time must not wait twice.
                limit = min(limit, CLOCK_READING_LIMIT_SECONDS)
            with limited(self._client, limit):
                answer: Document = self._client.admin.command("hello")
            after = self._clock.boottime()
            local_time = instant(answer.get("localTime"))
            if local_time is None:
                raise StoreError(
                    say("the database does not report its time (no localTime in answer to hello)")
                )
            readings.append((after - before, local_time.timestamp(), after))
            if after - before <= CLOCK_READING_GOOD_SECONDS:
                break
        return min(readings)


class Store:
    """All collections of one database, each as a class with a named method per query."""

    def __init__(
        self,
        client: MongoClient[Document],
        settings: DatabaseSettings,
        *,
        clock: Clock | None = None,
        remarks: tuple[str, ...] = (),
        operation_seconds: float | None = None,
        codec_options: CodecOptions[Document] | None = None,
    ) -> None:
        """Take over a client; the other arguments are those of ``connect``."""
        self._client = client
        #: The driver's warnings about options in the address, one line each; it ignores those options.
        self.remarks = remarks
        self._clock = DatabaseClock(client, clock or SystemClock(), operation_seconds)

        def open_database(name: str) -> Database[Document]:
            return client.get_database(
                name,
                codec_options=codec_options,
                write_concern=WriteConcern("majority", j=True, wtimeout=20_000),
                read_concern=ReadConcern("majority"),
                # Whatever the address says: a secondary may not know yet of a hold, a pause or an opt-out.
                # Each preflight follows a write of the job, which a primary that was replaced cannot
                # acknowledge.
                read_preference=ReadPreference.PRIMARY,
            )

        database, identities = open_database(settings.name), open_database(settings.identity_name)

        def table(name: str, within: Database[Document] = database) -> Table:
            return Table(within.get_collection(name), operation_seconds)

        self.jobs = Jobs(table(settings.jobs_collection), self.now)
        self.legacy = LegacyReservations(self.jobs.table)
        self.queue = Queue(self.jobs.table, self.now)
        self.requests = OperatorRequests(self.jobs, self.now)
        self.operator_actions = OperatorActions(self.jobs.table, self.now)
        self.batches = Batches(table(settings.batches_collection), self.now)
        self.accounts = Accounts(table(settings.accounts_collection), self.now)
        self.results = CallResults(table(settings.results_collection))
        self.batch_sums = BatchSums(self.batches.table, self.results.table, self.now)
        self.transactions = Transactions(table("transactions"), self.results.table, self.accounts)
        self.analyses = Analyses(self.results.table, self.jobs, self.now)
        self.diagnostics = Diagnostics(self.jobs.table, self.results.table, self.now)
        self.logs = CallLogs(table(settings.logs_collection), self.now)
        self.holds = Holds(table("speechaid_holds"), self.now)
        self.packs = Packs(table("speechaid_packs"), self.holds.table, self.now)
        self.ledger = Ledger(table("speechaid_ledger"), self.now)
        self.do_not_call = DoNotCallList(table("speechaid_do_not_call"), self.now)
        self.imports = Imports(
            self.jobs.table, table("speechaid_imports"), table("speechaid_column_mappings"), self.now
        )
        self.erasures = Erasures(
            jobs=self.jobs,
            results=self.results.table,
            logs=self.logs.table,
            imports=self.imports.records,
            batches=self.batches.table,
            now=self.now,
        )
        self.people = People(self.jobs.table, self.results.table)
        self.test_calls = TestCalls(table("speechaid_test_numbers"), self.jobs.table, self.holds, self.now)
        self.pages = Pages()
        self.identities = Identities(
            users=table("users", identities),
            tokens=table("tokens", identities),
            sessions=table("sessions", identities),
            tries=table("tries", identities),
            now=self.now,
        )
        self.preflight = PreflightQueries(
            jobs=self.jobs.table,
            holds=self.holds.table,
            accounts=self.accounts.table,
            batches=self.batches.table,
            do_not_call=self.do_not_call.table,
            test_numbers=self.test_calls.numbers,
        )

    def now(self) -> datetime:
        """The time by the database's clock, aware UTC (``DatabaseClock.now``)."""
        return self._clock.now()

    def skew_seconds(self) -> float:
        """How far this host's wall clock is ahead of the database's, in seconds."""
        return self._clock.skew_seconds()

    def ping(self) -> None:
        """Check that the database answers; raises ``StoreUnavailable`` where it does not."""
        with translated():
            self._client.admin.command("ping")

    def has_primary(self) -> bool:
        """Whether the driver's monitor, which checks every ten seconds, knows a writable server; no query.

        It detects a server that hangs long before a query that waits there times out.
        """
        return self._client.topology_description.has_writable_server()

    def prepare(self) -> list[str]:
        """Create the missing indexes, and drop those that earlier versions made.

        Returns one remark for each unique index that cannot be created, with the jobs that are in its way.
        What these indexes ensure is then ensured by a look before each write and another after it
        (``Jobs.record_intent``, ``Jobs.number_is_taken``, ``CallResults.record``).
        """
        impossible = create_indexes(self.indexed())
        for table, retired in (
            (self.jobs.table, indexes.RETIRED_JOBS),
            (self.logs.table, indexes.RETIRED_LOGS),
        ):
            for name in retired:
                table.drop_index(name)
        if unique := self.jobs.numbers_are_unique(reread=True):
            self.jobs.table.drop_index(indexes.OPEN_NUMBERS.name)
        else:
            create_indexes([(self.jobs.table, (indexes.OPEN_NUMBERS,))])
        remarks = [
            say(
                "index {name} ({purpose}) cannot be created: the collection holds duplicates",
                name=index.name,
                purpose=index.purpose,
            )
            for index in impossible
        ]
        if not unique:
            remarks += [
                say(
                    "jobs {names} have one open number, {number}",
                    names=joined(say(" and "), names),
                    number=mask_phone(number),
                )
                for number, names in self.jobs.shared_numbers().items()
            ]
        return remarks

    def indexed(self) -> list[tuple[Table, tuple[Index, ...]]]:
        """Each collection with the indexes that it should have."""
        return [
            (self.jobs.table, indexes.JOBS),
            (self.batches.table, indexes.BATCHES),
            (self.accounts.table, indexes.ACCOUNTS),
            (self.results.table, indexes.RESULTS),
            (self.transactions.table, indexes.TRANSACTIONS),
            (self.logs.table, indexes.LOGS),
            (self.imports.records, indexes.IMPORTS),
            (self.ledger.table, indexes.LEDGER),
        ]

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def connect(
    settings: DatabaseSettings,
    *,
    uri: str | None = None,
    clock: Clock | None = None,
    more: Mapping[str, Any] | None = None,
    operation_seconds: float | None = None,
) -> Store:
    """Open a store on the settings' database; nothing is sent until it is used.

    Args:
        settings: address, database and collection names, pool size.
        uri: replaces the settings' address (the embedded database has its own); a secret.
        clock: this machine's clocks; tests pass another.
        more: options of the driver that override all others.
        operation_seconds: longest that one operation may take, with the driver's repetitions; shorter limits
            of the address stay in force. None: each try is bounded by the address' limits alone.

    Raises:
        ConfigError: the address is invalid.
    """
    address = uri if uri is not None else settings.uri.get_secret_value()
    options: dict[str, Any] = {
        "appname": "speechaid",
        "tz_aware": True,
        "maxPoolSize": settings.max_pool_size,
        # Connected at the first use, so that a client may be made before a fork: until then it has no thread.
        "connect": False,
        **_unless_given(address),
        **(more or {}),
    }
    try:
        # The driver would print its warnings with a line of its source, again in each process.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client: MongoClient[Document] = MongoClient(address, **options)
            remarks = tuple(_remark(name) for name in _ignored_options(address))
        return Store(
            client,
            settings,
            clock=clock,
            remarks=remarks,
            operation_seconds=_shortest(client, operation_seconds),
            codec_options=LENIENT,
        )
    except (InvalidURI, ConfigurationError, ValueError, OSError) as exc:
        # The driver's text may quote the address, and so a password.
        fault = say("MONGO_URI cannot be used ({name})", name=type(exc).__name__)
        allowed = say("allowed: mongodb://…, mongodb+srv://…, embedded:DIR")
        hint = say("in a user's name or password @ : / % are written %40 %3A %2F %25")
        raise ConfigError(
            [say("{fault}; {allowed}; {hint}", fault=fault, allowed=allowed, hint=hint)]
        ) from exc


def _shortest(client: MongoClient[Document], operation_seconds: float | None) -> float | None:
    """The bound on an operation: the driver puts it in the place of the limits of its address."""
    if operation_seconds is None:
        return None
    options = client.options
    limits = (operation_seconds, options.timeout, options.pool_options.socket_timeout)
    return min(limit for limit in limits if limit)


def _ignored_options(address: str) -> list[str]:
    """Names, as written, of the options of an address that the driver leaves out of what it uses.

    The driver's own warnings do not serve: their wording changes between versions, newer ones do not name
    the option, and they may quote its value, which may be a secret.
    """
    options = [option for option in re.split("[&;]", address.partition("?")[2]) if option]
    return [option.partition("=")[0] for option in options if not split_options(option, warn=True)]


def _remark(option: str) -> str:
    return say(
        "MONGO_URI: the driver does not know the option {option}, or not this value; the option is ignored",
        option=option,
    )


def _unless_given(address: str) -> dict[str, Any]:
    """Options of the driver that the operator's address does not set."""
    options = {
        # One thread and one connection fewer per process than the streaming protocol needs.
        "serverMonitoringMode": "poll",
        "connectTimeoutMS": 5_000,
        "serverSelectionTimeoutMS": 5_000,
        # Longer than any valid operation; without it, a silent database would block without end.
        "socketTimeoutMS": int(OPERATION_SECONDS * 1000),
    }
    given = {name.lower() for name, _ in parse_qsl(address.partition("?")[2])}
    return {name: value for name, value in options.items() if name.lower() not in given}


@functools.cache
def warm_up_queries(settings: DatabaseSettings) -> None:
    """Run a worker's queries and disconnect, before any fork: saves a MiB in each worker.

    The interpreter specialises code as it runs, and the driver allocates at the first use: after the fork
    each worker would hold a copy. Nothing is left open. Without a database nothing happens.
    """
    store = connect(settings, more=dict.fromkeys(WARM_UP_TIMEOUTS, WARM_UP_TIMEOUT_MS))
    until = time.monotonic() + WARM_UP_SECONDS
    try:
        for _ in range(WARM_UP_PASSES):
            if time.monotonic() > until:
                break
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
    """Wait until the closed client's threads have ended; none may live across a fork."""
    deadline = time.monotonic() + seconds
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.005)


def warm_up_driver() -> None:
    """Build and close a client that never connects, so that forked workers share what that loads.

    The driver imports its authentication modules when it logs in, after the fork: 1.2 MiB per worker.
    """
    for name in ("saslprep", "synchronous.auth", "synchronous.auth_aws", "synchronous.auth_oidc"):
        with contextlib.suppress(ImportError):  # internals: another version may have them elsewhere
            importlib.import_module(f"pymongo.{name}")
    client: MongoClient[Document] = MongoClient("mongodb://127.0.0.1:1", connect=False)
    client.close()
