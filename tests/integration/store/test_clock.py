"""The database's clock as a worker keeps it, with a driver in between that a test can take away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from speechaid.clock import SystemClock
from speechaid.errors import StoreUnavailable
from speechaid.store.connection import CLOCK_REREAD_SECONDS, CLOCK_RETRY_SECONDS, DatabaseClock

THEN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class HandClock(SystemClock):
    """Turned by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def boottime(self) -> float:
        return self.seconds


class Driver:
    """A server that tells its time, as long as it is there."""

    def __init__(self, clock: HandClock) -> None:
        self.away = False
        self.asked = 0
        self._clock = clock
        self.admin = SimpleNamespace(command=self._command)

    def _command(self, _name: str) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise AutoReconnect("gone")
        return {"localTime": THEN + timedelta(seconds=self._clock.seconds - 1000.0)}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def driver(clock: HandClock) -> Driver:
    return Driver(clock)


@pytest.fixture
def database_clock(clock: HandClock, driver: Driver) -> DatabaseClock:
    client: Any = driver
    return DatabaseClock(client, clock)


def test_a_clock_that_was_never_read_has_no_time(database_clock: DatabaseClock, driver: Driver) -> None:
    driver.away = True
    with pytest.raises(StoreUnavailable):
        database_clock.now()


def test_time_goes_on_without_the_database_which_is_asked_only_now_and_then(
    database_clock: DatabaseClock, driver: Driver, clock: HandClock
) -> None:
    assert database_clock.now() == THEN
    driver.away = True
    clock.seconds += CLOCK_REREAD_SECONDS + 1
    asked = driver.asked
    for _ in range(20):
        assert database_clock.now() == THEN + timedelta(seconds=CLOCK_REREAD_SECONDS + 1)
    once = driver.asked - asked
    assert 1 <= once < 5
    clock.seconds += CLOCK_RETRY_SECONDS + 1
    for _ in range(20):
        database_clock.now()
    assert driver.asked - asked == 2 * once

    driver.away = False
    clock.seconds += CLOCK_RETRY_SECONDS + 1
    database_clock.now()
    asked = driver.asked
    database_clock.now()
    assert driver.asked == asked
