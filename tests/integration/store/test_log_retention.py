"""Lines of ``call_logs`` are deleted after SPEECHAID_LOG_RETENTION_DAYS, also once that has changed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store, connect

Document = dict[str, Any]
DEADLINE_SECONDS = 60.0
DAY_SECONDS = 86_400
#: The embedded database as speechaid serves it, but looking for old documents more often than each 60 s.
SERVER = """
import sys
from secantus import SecantusDBServer
from speechaid.embedded.index_cache import cache_index_reads
server = SecantusDBServer(storage_path=sys.argv[1], ttl_sweep_seconds=0.2, cache_size="64M")
assert cache_index_reads(server.storage)
server.start()
print(server.port, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def sweeping_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that deletes what has expired within a second or so."""
    given = os.environ.get("SPEECHAID_TEST_MONGO_URI")
    if given:
        with MongoClient[Document](given) as client:
            before = client.admin.command("setParameter", 1, ttlMonitorSleepSecs=1)["was"]
            yield given
            client.admin.command("setParameter", 1, ttlMonitorSleepSecs=before)
        return
    command = [sys.executable, "-c", SERVER, str(tmp_path_factory.mktemp("sweeping"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"mongodb://127.0.0.1:{int(server.stdout.readline())}/"


@pytest.fixture
def sweeping(sweeping_uri: str, database: Database[Document]) -> Iterator[Database[Document]]:
    """A database of that server, for this test alone."""
    with MongoClient[Document](sweeping_uri, tz_aware=True) as client:
        yield client[database.name]
        client.drop_database(database.name)


@pytest.fixture
def store(environ: dict[str, str], sweeping_uri: str, sweeping: Database[Document]) -> Iterator[Store]:
    settings = get_settings(environ | {"MONGO_URI": sweeping_uri, "MONGO_DB": sweeping.name}, env_file=None)
    with closing(connect(settings.database)) as opened:
        yield opened


def retention_seconds(database: Database[Document]) -> list[int]:
    """The spans of all indexes of ``call_logs`` that delete documents."""
    indexes = database.call_logs.index_information().values()
    return [int(index["expireAfterSeconds"]) for index in indexes if "expireAfterSeconds" in index]


def write_lines(store: Store, *ages_days: int) -> None:
    for age in ages_days:
        at = store.now() - timedelta(days=age)
        store.logs.write_many([{"event": "call.ended", "job_id": "job-1", "at": at, "age": age}])


def wait_for_ages(database: Database[Document], *ages_days: int) -> None:
    """Wait until the lines that are left have these ages."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (left := sorted(line["age"] for line in database.call_logs.find())) != list(ages_days):
        assert set(ages_days) <= set(left), "a line was deleted too early"
        assert time.monotonic() < deadline, f"lines of {left} days are left"
        time.sleep(0.1)


def test_lines_older_than_the_setting_are_deleted_and_a_change_moves_the_limit(
    store: Store, sweeping: Database[Document]
) -> None:
    store.logs.keep_for(30)
    store.prepare()
    write_lines(store, 5, 20, 40)
    wait_for_ages(sweeping, 5, 20)
    store.logs.keep_for(10)
    wait_for_ages(sweeping, 5)
    store.logs.keep_for(100)
    write_lines(store, 90, 110)
    wait_for_ages(sweeping, 5, 90)


def test_lines_of_an_earlier_version_follow_the_setting_and_not_the_date_they_were_written_with(
    store: Store, sweeping: Database[Document]
) -> None:
    now = store.now()
    sweeping.call_logs.insert_many(
        {
            "event": "x",
            "age": age,
            "at": now - timedelta(days=age),
            "expires_at": now + timedelta(days=90 - age),
        }
        for age in (20, 80)
    )
    sweeping.call_logs.create_index("expires_at", name="speechaid_log_expiry", expireAfterSeconds=0)
    store.logs.keep_for(30)
    store.prepare()
    assert retention_seconds(sweeping) == [30 * DAY_SECONDS]
    wait_for_ages(sweeping, 20)


def test_lines_of_another_program_are_left_alone(store: Store, sweeping: Database[Document]) -> None:
    sweeping.call_logs.insert_one({"age": 500, "at": store.now() - timedelta(days=500), "message": "old"})
    store.logs.keep_for(1)
    write_lines(store, 0, 2)
    wait_for_ages(sweeping, 0, 500)


def test_a_start_sets_the_span_before_an_index_with_another_one_exists(
    store: Store, sweeping: Database[Document]
) -> None:
    store.logs.keep_for(365)
    store.prepare()
    store.prepare()
    assert retention_seconds(sweeping) == [365 * DAY_SECONDS]


def test_the_longest_span_that_can_be_set_is_one_that_the_database_takes(
    environ: dict[str, str], store: Store, sweeping: Database[Document]
) -> None:
    longest = 24_855
    settings = get_settings(environ | {"SPEECHAID_LOG_RETENTION_DAYS": str(longest)}, env_file=None)
    store.logs.keep_for(settings.telemetry.log_retention_days)
    assert retention_seconds(sweeping) == [longest * DAY_SECONDS]
    assert longest * DAY_SECONDS < 2**31 <= (longest + 1) * DAY_SECONDS


def test_an_ascending_index_of_an_operator_stays_beside_it(
    store: Store, sweeping: Database[Document]
) -> None:
    sweeping.call_logs.create_index("at")
    sweeping.call_logs.create_index([("at", -1)])
    for days in (30, 60):
        store.logs.keep_for(days)
    store.prepare()
    assert retention_seconds(sweeping) == [60 * DAY_SECONDS]
    assert {"at_1", "at_-1"} <= sweeping.call_logs.index_information().keys()


def with_retention(environ: dict[str, str], days: int) -> Settings:
    return get_settings(environ | {"SPEECHAID_LOG_RETENTION_DAYS": str(days)}, env_file=None)


def test_housekeeping_applies_a_changed_setting_once_and_leaves_what_another_host_set(
    environ: dict[str, str], store: Store, sweeping: Database[Document]
) -> None:
    keeper = Housekeeper(store)
    keeper.tick(with_retention(environ, 7), now=100.0)
    assert retention_seconds(sweeping) == [7 * DAY_SECONDS]
    store.logs.keep_for(14)
    keeper.tick(with_retention(environ, 7), now=200.0)
    assert retention_seconds(sweeping) == [14 * DAY_SECONDS]
    keeper.tick(with_retention(environ, 21), now=300.0)
    assert retention_seconds(sweeping) == [21 * DAY_SECONDS]
