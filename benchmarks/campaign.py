"""The work of all contenders: one account, one batch, jobs with one phone each."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo.database import Database

from benchmarks.servers import Server
from benchmarks.stub import API_KEY
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import connect

ACCOUNT = "acc-bench"
BATCH = "batch-20260101-0000be9c"
PORTION = 5_000

Document = dict[str, Any]


@contextlib.contextmanager
def database_of(server: Server) -> Iterator[Database[Document]]:
    """A new database on the server, with speechaid's indexes; dropped afterwards, unless the server goes too.

    The embedded server drops a collection's documents one by one, which takes longer than writing them.
    """
    name = f"speechaid_bench_{secrets.token_hex(4)}"
    with server.client() as client:
        store = connect(settings_for(server.uri, name, "http://127.0.0.1:9").database)
        store.prepare()
        store.close()
        try:
            yield client[name]
        finally:
            if server.pid is None:
                client.drop_database(name)


def load(database: Database[Document], jobs: int) -> list[str]:
    """Insert account, batch and jobs; returns the names of the jobs."""
    enter_customer(database)
    return enter_jobs(database, 0, jobs)


def enter_customer(database: Database[Document]) -> None:
    """Insert the account and its batch."""
    now = datetime.now(UTC)
    database["accounts"].insert_one(
        {
            "account_id": ACCOUNT,
            "status": "active",
            "plan_type": "minutes_based",
            "country": "CL",
            "timezone": "America/Santiago",
            "minutes_purchased": 1_000_000.0,
            "minutes_used": 0.0,
            "minutes_reserved": 0.0,
        }
    )
    database["batches"].insert_one(
        {
            "batch_id": BATCH,
            "account_id": ACCOUNT,
            "name": "Benchmark",
            "is_active": True,
            "priority": 1,
            "call_settings": {},
            "total_cost": 0.0,
            "total_minutes": 0.0,
            "created_at": now,
        }
    )


def enter_jobs(database: Database[Document], first_number: int, jobs: int) -> list[str]:
    """Insert more jobs, numbered from ``first_number``; returns their names."""
    now = datetime.now(UTC)
    numbers = range(first_number, first_number + jobs)
    names = [f"job-{number:06d}" for number in numbers]
    for first in range(0, jobs, PORTION):
        portion = zip(names[first : first + PORTION], numbers[first : first + PORTION], strict=True)
        database["jobs"].insert_many([job(name, number, now) for name, number in portion], ordered=False)
    return names


def job(name: str, number: int, now: datetime) -> Document:
    """One job as the importer writes it."""
    return {
        "job_id": name,
        "account_id": ACCOUNT,
        "batch_id": BATCH,
        "status": "pending",
        "contact": {
            "name": f"Persona {number}",
            "dni": f"{number}-K",
            "phones": [f"+569{40_000_000 + number}"],
            "next_phone_index": 0,
        },
        "payload": {"company_name": "Acme", "debt_amount": 50_000, "due_date": "2026-12-31"},
        "attempts": 0,
        "reserved_until": now - timedelta(hours=1),
        "created_at": now,
        "updated_at": now,
    }


def environ_for(
    uri: str, name: str, base_url: str, place: Path | None = None, **changes: str
) -> dict[str, str]:
    """A daemon's settings for calls of length 0: it polls at once."""
    state = "/nowhere" if place is None else str(place / "state")
    return {
        "MONGO_URI": uri,
        "MONGO_DB": name,
        "RETELL_API_KEY": API_KEY,
        "RETELL_BASE_URL": base_url,
        "RETELL_AGENT_ID": "agent_bench",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "10",
        "CALL_POLLING_INTERVAL": POLL_SECONDS,
        "LEASE_SECONDS": "120",
        "SPEECHAID_STATE_DIR": state,
        **changes,
    }


#: Seconds between the create and the first poll, for every contender.
POLL_SECONDS = "0.001"


def settings_for(uri: str, name: str, base_url: str) -> Settings:
    """The same settings, for this process."""
    environ = environ_for(uri, name, base_url) | {"SPEECHAID_SOCKET": "/nowhere/control.sock"}
    return get_settings(environ, env_file=None)
