"""A worker's operation ends, whatever the database does; and what the probe says of it meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from speechaid.embedded.database import EmbeddedDatabase
from speechaid.errors import StoreUnavailable
from speechaid.maintenance.database_probe import OPTIONS, PROBE_SECONDS, DatabaseProbe
from speechaid.rules.overload import SLOW_PROBE_SECONDS
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import OPERATION_SECONDS, Store, connect
from tests.support.fleet_harness import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDatabase]:
    server = EmbeddedDatabase(tmp_path_factory.mktemp("database"), sync_on_commit=False)
    server.start()
    yield server
    server.stop()


@contextmanager
def frozen(server: EmbeddedDatabase) -> Iterator[None]:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    until(lambda: is_stopped(server.pid), "the stop")
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def is_stopped(pid: int | None) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_an_operation_ends_though_neither_server_nor_address_end_it(server: EmbeddedDatabase) -> None:
    """Without its limit this one would wait for ever."""
    more = {"socketTimeoutMS": 0, "connectTimeoutMS": 0}
    with closing(connect(DatabaseSettings(), uri=server.uri, more=more, operation_seconds=1.0)) as store:
        store.jobs.counts()
        with frozen(server):
            with pytest.raises(StoreUnavailable):
                store.jobs.counts()
            with pytest.raises(StoreUnavailable):
                store.holds.hold(by="a test", reason=None)
        assert store.jobs.counts() == {}


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, OPERATION_SECONDS),
        ({"timeoutMS": 4_000}, 4.0),
        ({"socketTimeoutMS": 7_000}, 7.0),
        ({"timeoutMS": 90_000, "socketTimeoutMS": 80_000}, OPERATION_SECONDS),
    ],
)
def test_a_shorter_limit_of_the_address_stays_in_force(options: dict[str, int], limit: float) -> None:
    address = "mongodb://127.0.0.1:9/?" + "&".join(f"{name}={value}" for name, value in options.items())
    with closing(connect(DatabaseSettings(), uri=address, operation_seconds=OPERATION_SECONDS)) as store:
        assert store.jobs.table._operation_seconds == limit


def test_a_probe_says_for_how_long_a_database_has_been_silent(server: EmbeddedDatabase) -> None:
    open_store = partial(
        connect, DatabaseSettings(), uri=server.uri, more=OPTIONS, operation_seconds=PROBE_SECONDS
    )
    with closing(DatabaseProbe(open_store)) as probe:
        until(lambda: 0 < probe.silent_seconds() == probe.took_seconds(), "an answer")
        with frozen(server):
            until(lambda: probe.took_seconds() > SLOW_PROBE_SECONDS, "a slow one")
            assert probe.silent_seconds() > SLOW_PROBE_SECONDS
        until(lambda: probe.silent_seconds() <= SLOW_PROBE_SECONDS, "a quick answer")


def test_a_database_that_refuses_is_silent_and_not_slow() -> None:
    nobody = partial(
        connect,
        DatabaseSettings(),
        uri="mongodb://127.0.0.1:9/",
        more=OPTIONS,
        operation_seconds=PROBE_SECONDS,
    )
    with closing(DatabaseProbe(nobody)) as probe:
        until(lambda: probe.silent_seconds() > 3 * SLOW_PROBE_SECONDS, "its silence")
        until(lambda: 0 < probe.took_seconds() <= SLOW_PROBE_SECONDS, "a quick refusal")


def test_a_read_after_the_probe_that_fails_ends_no_probe(server: EmbeddedDatabase) -> None:
    open_store = partial(
        connect, DatabaseSettings(), uri=server.uri, more=OPTIONS, operation_seconds=PROBE_SECONDS
    )
    reads: list[list[str]] = []

    def read_and_fail(store: Store) -> None:
        reads.append(store.requests.hang_ups(9))
        raise StoreUnavailable("on purpose")

    with closing(DatabaseProbe(open_store)) as probe:
        probe.on_answer = read_and_fail
        until(lambda: len(reads) > 1, "a second read")
    assert reads[0] == []
