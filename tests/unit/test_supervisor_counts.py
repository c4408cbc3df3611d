"""The supervisor's sums: increments add up, and an idempotent count is added once per name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from speechaid.fleet.messages import IdempotentCount, count_key, decode_report, encode_report
from speechaid.fleet.spawner import Spawner
from speechaid.rules.respawn import ExitCause
from speechaid.settings import Settings
from speechaid.supervisor import IDEMPOTENT_COUNTS_KEPT, Supervisor

PLACED = count_key("speechaid_calls_placed_total", {})


class QuietDatabaseThread:
    """Ignores every report."""

    def on_worker_exit(self, worker_id: str, job: str | None, cause: ExitCause) -> None:
        pass


@pytest.fixture
def supervisor(settings: Settings) -> Supervisor:
    """A supervisor that was never started."""
    unused = cast("Any", None)
    return Supervisor(
        settings,
        spawner=Spawner("unused:main"),
        control=unused,
        on_request=unused,
        database_thread=cast("Any", QuietDatabaseThread()),
        read_settings=lambda: settings,
    )


def test_increments_of_all_workers_add_up(supervisor: Supervisor) -> None:
    supervisor.on_counts({PLACED: 1.0})
    supervisor.on_counts({PLACED: 2.0})
    assert supervisor.counts == {PLACED: 3.0}


def test_a_count_that_two_workers_send_is_added_once(supervisor: Supervisor) -> None:
    first = IdempotentCount(once="placed:key-1", counts={PLACED: 1.0})
    supervisor.on_idempotent_count(first)
    supervisor.on_idempotent_count(IdempotentCount(once="placed:key-1", counts={PLACED: 1.0}))
    supervisor.on_idempotent_count(IdempotentCount(once="placed:key-2", counts={PLACED: 1.0}))
    assert supervisor.counts[PLACED] == 2.0


def test_an_idempotent_count_survives_encoding() -> None:
    count = IdempotentCount(once="settled:key-1", counts={count_key("x_total", {"outcome": "busy"}): 1.0})
    assert decode_report(encode_report(count)) == count


def test_the_number_of_remembered_names_is_bounded(supervisor: Supervisor) -> None:
    for number in range(IDEMPOTENT_COUNTS_KEPT + 500):
        supervisor.on_idempotent_count(IdempotentCount(once=str(number), counts={PLACED: 1.0}))
    supervisor.on_idempotent_count(
        IdempotentCount(once=str(IDEMPOTENT_COUNTS_KEPT + 499), counts={PLACED: 1.0})
    )
    assert supervisor.counts[PLACED] == IDEMPOTENT_COUNTS_KEPT + 500
    assert len(supervisor._counted_once) == IDEMPOTENT_COUNTS_KEPT


def test_every_exit_without_an_order_counts_as_a_restart(supervisor: Supervisor) -> None:
    for cause in ExitCause:
        supervisor.on_worker_exit("worker-1@here:1", None, cause)
    causes = {dict(labels)["cause"] for _, labels in supervisor.counts}
    assert causes == {cause.value for cause in ExitCause if cause is not ExitCause.ASKED}
