"""The census against a real database: what waits, what may be called, what is stuck, what will run dry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.model.masking import fingerprint
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store, connect

Document = dict[str, Any]
KEY = "key_0123456789abcdef"


class Office:
    """A database, and one turn of the clerk's counting."""

    def __init__(self, database: Database[Document], settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.store: Store = connect(settings.database)
        self.store.prepare()
        self._jobs = 0

    def job(self, batch_id: str | None = None, status: str = "pending", **fields: Any) -> None:
        self._jobs += 1
        document = {"job_id": f"job-{self._jobs}", "status": status, "created_at": self.store.now()}
        self.database.jobs.insert_one({**document, "batch_id": batch_id, "reserved_until": None, **fields})

    def batch(self, batch_id: str, **fields: Any) -> str:
        return self.store.batches.create({"batch_id": batch_id, **fields})

    def account(self, account_id: str, **fields: Any) -> None:
        self.database.accounts.insert_one({"account_id": account_id, **fields})

    def ago(self, seconds: float) -> Any:
        return self.store.now() - timedelta(seconds=seconds)

    def census(self) -> Document:
        housekeeper = Housekeeper(self.store)
        housekeeper.tick(self.settings, 0.0)
        figures = housekeeper.stats()
        assert figures["database"] == {"state": "up"}
        return {**figures["census"], "key_held": figures["key_held"]}


@pytest.fixture
def office(database: Database[Document], database_uri: str) -> Iterator[Office]:
    environ = {
        "MONGO_URI": database_uri,
        "MONGO_DB": database.name,
        "RETELL_API_KEY": KEY,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+15005550006",
    }
    found = Office(database, get_settings(environ, env_file=None))
    yield found
    found.store.close()


def test_due_jobs_are_told_apart_from_those_that_may_be_called(office: Office) -> None:
    office.batch("open")
    office.batch("paused", is_active=False, pause={"by": "maria"})
    office.batch("odd", call_settings={"allowed_hours": {"start": "9am", "end": "6pm"}})
    office.batch("full", call_settings={"max_concurrent_calls": 1}, open_dials=[{"key": "k"}])
    for batch_id in ("open", "paused", "odd", "full", "missing", None):
        office.job(batch_id)
        office.job(batch_id, reserved_until=office.ago(60))
        office.job(batch_id, reserved_until=office.ago(-600))
    found = office.census()
    assert found["due"] == 12
    assert found["callable"] == 4  # of the open one, and without a batch
    assert found["oldest_due_seconds"] == pytest.approx(60, abs=20)
    assert found["batch_states"] == {"dialling": 2, "paused": 1, "not_understood": 1, "missing": 1}
    assert found["not_understood"] == {"count": 1, "named": ["odd"]}


def test_a_pause_that_nobody_ordered_is_told_while_there_is_work(office: Office) -> None:
    for batch_id, fields in {
        "ordered": {"pause": {"by": "maria"}},
        "unordered": {},
        "over": {},
    }.items():
        office.batch(batch_id, is_active=False, **fields)
        office.job(batch_id, status="done" if batch_id == "over" else "pending")
    found = office.census()
    assert found["paused_unexpectedly"] == {"count": 1, "named": ["unordered"]}
    assert found["batch_states"] == {"paused": 2, "finished": 1}


def test_accounts_with_the_least_left_are_told_in_calls(office: Office) -> None:
    accounts: list[Document] = [
        {"account_id": "minutes", "plan_type": "minutes_based", "minutes_purchased": 100, "minutes_used": 85},
        {
            "account_id": "credit",
            "plan_type": "credit_based",
            "credit_balance": 50.0,
            "credit_used": 18.0,
            "cost_per_call_setup": 1.0,
            "cost_per_minute": 5.0,
        },
        {"account_id": "free", "plan_type": "unlimited"},
        {"account_id": "idle", "plan_type": "minutes_based"},
    ]
    for account in accounts:
        office.account(**account)
        office.batch(f"of-{account['account_id']}", account_id=account["account_id"])
        office.job(
            f"of-{account['account_id']}", status="done" if account["account_id"] == "idle" else "pending"
        )
    assert office.census()["accounts"] == [
        {"account_id": "credit", "calls_left": 2.0, "credit_left": 32.0},
        {"account_id": "minutes", "calls_left": 5.0, "talk_left_seconds": 900.0},
    ]


def test_jobs_suspended_for_want_of_credit_keep_their_account_in_sight(office: Office) -> None:
    office.account("empty", plan_type="minutes_based", minutes_purchased=1, minutes_used=1)
    office.batch("b", account_id="empty")
    office.job("b", status="suspended", suspend_reason="no_credit")
    assert [row["calls_left"] for row in office.census()["accounts"]] == [0.0]


def test_lapsed_leases_and_parked_calls_are_counted(office: Office) -> None:
    office.job(None, status="in_progress", reserved_until=office.ago(400))
    office.job(None, status="in_progress", reserved_until=office.ago(4))
    office.job(None, status="in_progress", reserved_until=office.ago(-60))
    parked = {"key": "k", "number": "+56911111111", "parked_at": office.ago(10)}
    office.job(None, status="in_progress", reserved_until=office.ago(-60), dial=parked)
    found = office.census()
    assert (found["lapsed"], found["parked"]) == (2, 1)
    assert found["oldest_lapsed_seconds"] == pytest.approx(400, abs=20)


HOLDS: list[Callable[[Office], object]] = [
    lambda office: office.store.holds.hold(by="maria", reason="stop"),
    lambda office: office.store.holds.write_breaker(
        fingerprint(KEY), {"state": "open", "kind": "blocked", "reason": "401"}, expected_revision=None
    ),
]


@pytest.mark.parametrize("hold", HOLDS, ids=["fleet", "breaker"])
def test_nothing_is_callable_while_dialling_is_held(office: Office, hold: Callable[[Office], object]) -> None:
    office.job(None)
    assert office.census()["callable"] == 1
    hold(office)
    found = office.census()
    assert (found["due"], found["callable"]) == (1, 0)


def test_the_breaker_of_another_key_holds_nothing_here(office: Office) -> None:
    office.job(None)
    fields = {"state": "open", "kind": "blocked", "reason": "401"}
    office.store.holds.write_breaker(fingerprint("another"), fields, expected_revision=None)
    found = office.census()
    assert (found["callable"], found["key_held"]) == (1, False)
