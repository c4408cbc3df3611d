"""Limits hold exactly across processes and hosts: eight workers, two supervisors, one database."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest
from pymongo.database import Database

from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.settings import DatabaseSettings
from speechaid.store.connection import connect
from tests.support.database import database, database_client, database_uri
from tests.support.stage import noon_zone

__all__ = ["database", "database_client", "database_uri"]

Document = dict[str, Any]
DEADLINE_SECONDS = 150.0
BATCH = "batch-20260101-00000001"


class Hosts:
    """Two supervisors of four workers each, as on two machines that share a database."""

    def __init__(self, place: Path, uri: str, name: str, simulator: SimulatorProcess) -> None:
        self.daemons = []
        for host in ("a", "b"):
            directory = place / host
            directory.mkdir(mode=0o700)
            variables = {
                "MONGO_URI": uri,
                "MONGO_DB": name,
                "RETELL_API_KEY": simulator.api_key,
                "RETELL_BASE_URL": simulator.base_url,
                "RETELL_AGENT_ID": "agent_test",
                "RETELL_FROM_NUMBER": "+12125550100",
                "RETELL_TIMEOUT_SECONDS": "5",
                "WORKER_COUNT": "4",
                "LEASE_SECONDS": "15",
                "CALL_POLLING_INTERVAL": "0.1",
                "SPEECHAID_STATE_DIR": str(directory / "state"),
            }
            self.daemons.append(DaemonProcess(directory, variables))

    def __enter__(self) -> Self:
        for daemon in self.daemons:
            daemon.start()
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons:
            assert daemon.stop() == 0


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Every call is answered and lasts about a second."""
    with SimulatorProcess(
        speed=30.0, odds={"agent_hangup": 1}, ring_seconds=(3, 9), talk_seconds=(15, 45)
    ) as process:
        yield process


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


def fill(uri: str, name: str, jobs: int, batch: Document, **fields: Any) -> None:
    with closing(connect(DatabaseSettings(name=name), uri=uri)) as store:
        store.prepare()
        store.batches.create({"batch_id": BATCH, **batch})
        store.jobs.insert_many(
            [
                {
                    "job_id": f"job-{number}",
                    "batch_id": BATCH,
                    "status": "pending",
                    "contact": {"phones": [f"+1202555{number:04d}"], "next_phone_index": 0},
                    "attempts": 0,
                    "created_at": store.now(),
                    **fields,
                }
                for number in range(jobs)
            ]
        )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited event did not come"
        time.sleep(0.1)


def most_at_once(placed_calls: list[Document]) -> int:
    """Largest number of calls that were live at one instant; an end counts before a start."""
    starts = [(call["placed_at"], 1) for call in placed_calls]
    ends = [(call["ended_at"], -1) for call in placed_calls if call["ended_at"] is not None]
    live = most = 0
    for _, change in sorted(starts + ends):
        live += change
        most = max(most, live)
    return most


def statuses(jobs: Database[Document]) -> dict[str, int]:
    rows = jobs.jobs.aggregate([{"$group": {"_id": "$status", "jobs": {"$sum": 1}}}])
    return {row["_id"]: row["jobs"] for row in rows}


def test_account_concurrency_and_credit_are_never_exceeded(
    place: Path, database: Database[Document], database_uri: str, simulator: SimulatorProcess
) -> None:
    database.accounts.insert_one(
        {
            "account_id": "acc-1",
            "plan_type": "credit_based",
            "credit_balance": 10,
            "cost_per_call_setup": 1,
            "max_concurrent_calls": 3,
            "timezone": noon_zone(),
        }
    )
    fill(database_uri, database.name, 40, {"account_id": "acc-1"}, account_id="acc-1")
    with Hosts(place, database_uri, database.name, simulator):
        until(lambda: statuses(database) == {"done": 10, "suspended": 30})
        assert len(simulator.placed_calls()) == 10
        assert most_at_once(simulator.placed_calls()) == 3

        database.accounts.update_one({}, {"$inc": {"credit_balance": 5}})
        until(lambda: statuses(database) == {"done": 15, "suspended": 25})

    placed_calls = simulator.placed_calls()
    assert len(placed_calls) == 15
    assert most_at_once(placed_calls) == 3
    assert simulator.overlaps() == []
    account = database.accounts.find_one({})
    assert account is not None
    assert (account["credit_used"], account["calls_today"]) == (pytest.approx(15), 15)
    assert (account["open_dials"], account["credit_reserved"]) == ([], pytest.approx(0))


def test_batch_concurrency_and_the_daily_limit_are_never_exceeded(
    place: Path, database: Database[Document], database_uri: str, simulator: SimulatorProcess
) -> None:
    limit = {"plan_type": "unlimited", "daily_call_limit": 12, "timezone": noon_zone()}
    database.accounts.insert_one({"account_id": "acc-1", **limit})
    settings = {"max_concurrent_calls": 2}
    fill(
        database_uri,
        database.name,
        20,
        {"account_id": "acc-1", "call_settings": settings},
        account_id="acc-1",
    )
    with Hosts(place, database_uri, database.name, simulator):
        until(lambda: statuses(database).get("done") == 12)
        # A job without an account is still dialled, past those that may not be called any more.
        free = {"status": "pending", "attempts": 0, "contact": {"phones": ["+12025559999"]}}
        database.jobs.insert_one({"job_id": "free", **free})
        until(lambda: statuses(database).get("done") == 13)

    assert statuses(database) == {"done": 13, "pending": 8}
    of_batch = [call for call in simulator.placed_calls() if call["to_number"] != "+12025559999"]
    assert len(of_batch) == 12
    assert most_at_once(of_batch) == 2
