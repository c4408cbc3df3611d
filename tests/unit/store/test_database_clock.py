"""The database's clock as one process estimates it, from readings that may be slow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from pymongo import MongoClient

from speechaid.store.connection import DatabaseClock

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A boot-time clock and a server with slow answers; both count from the same moment."""

    def __init__(self, *delays: tuple[float, float]) -> None:
        #: Seconds to the server and back, one pair per query; the last pair repeats.
        self.delays = list(delays)
        self.seconds = 0.0
        self.admin = self

    def boottime(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def command(self, name: str) -> dict[str, Any]:
        assert name == "hello"
        there, back = self.delays.pop(0) if len(self.delays) > 1 else self.delays[0]
        self.seconds += there
        answer = {"localTime": self.now()}
        self.seconds += back
        return answer

    def error(self) -> float:
        """How far the estimated clock is ahead of the server's, in seconds."""
        clock = DatabaseClock(cast("MongoClient[dict[str, Any]]", self), self)
        return (clock.now() - self.now()) / timedelta(seconds=1)


def test_a_slow_connection_before_the_first_query_does_not_put_the_clock_ahead() -> None:
    assert abs(World((1.5, 0.0), (0.002, 0.002)).error()) < 0.01


def test_the_quickest_of_several_slow_readings_counts() -> None:
    assert abs(World((0.9, 0.0), (0.0, 0.4), (0.05, 0.03), (0.5, 0.5)).error()) < 0.02


def test_a_process_frozen_during_every_reading_is_behind_rather_than_ahead() -> None:
    # With a clock that is ahead, leases of others would seem lapsed.
    assert World((30.0, 0.0)).error() <= 0
    assert World((0.0, 30.0)).error() <= 0
