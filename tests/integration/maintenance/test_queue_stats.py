"""Queue stats on a real database: due and callable jobs, stuck jobs, accounts with little credit."""

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


class Counted:
    """A database, and one tick of the housekeeping that counts it."""

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

    def stats(self) -> Document:
        housekeeper = Housekeeper(self.store)
        housekeeper.tick(self.settings, 0.0)
        stats = housekeeper.stats()
        assert stats["database"] == {"state": "up"}
        return {**stats["census"], "key_held": stats["key_held"]}


@pytest.fixture
def counted(database: Database[Document], database_uri: str) -> Iterator[Counted]:
    environ = {
        "MONGO_URI": database_uri,
        "MONGO_DB": database.name,
        "RETELL_API_KEY": KEY,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+15005550006",
    }
    opened = Counted(database, get_settings(environ, env_file=None))
    yield opened
    opened.store.close()


def test_due_jobs_and_callable_jobs_are_counted_apart(counted: Counted) -> None:
    counted.batch("open")
    counted.batch("paused", is_active=False, pause={"by": "maria"})
    counted.batch("odd", call_settings={"allowed_hours": {"start": "9am", "end": "6pm"}})
    counted.batch("full", call_settings={"max_concurrent_calls": 1}, open_dials=[{"key": "k"}])
    for batch_id in ("open", "paused", "odd", "full", "missing", None):
        counted.job(batch_id)
        counted.job(batch_id, reserved_until=counted.ago(60))
        counted.job(batch_id, reserved_until=counted.ago(-600))
    found = counted.stats()
    assert found["due"] == 12
    assert found["callable"] == 4  # of the open batch, and without a batch
    assert found["oldest_due_seconds"] == pytest.approx(60, abs=20)
    assert found["batch_states"] == {"dialling": 2, "paused": 1, "not_understood": 1, "missing": 1}
    assert found["not_understood"] == {"count": 1, "named": ["odd"]}


def test_batches_whose_switch_or_account_is_not_understood_are_named_and_not_counted_as_paused(
    counted: Counted,
) -> None:
    counted.database.accounts.insert_one({"account_id": "acc-odd", "daily_call_limit": "1,000"})
    counted.batch("switch", is_active="pausado")
    counted.batch("account", account_id="acc-odd")
    counted.batch("paused", account_id="acc-odd", is_active=False, pause={"by": "maria"})
    for batch_id in ("switch", "account", "paused"):
        counted.job(batch_id)
    found = counted.stats()
    assert found["batch_states"] == {"not_understood": 2, "paused": 1}
    assert found["not_understood"] == {"count": 2, "named": ["account", "switch"]}
    assert found["paused_unexpectedly"]["count"] == found["callable"] == 0


#: Accounts that cannot be understood, by what is odd.
ODD_ACCOUNTS: dict[str, Document] = {
    "status": {"status": "pausado"},
    "timezone": {"timezone": "Chile/Nowhere"},
    "plan_type": {"plan_type": "Ilimitado"},
    "plan_type, a number": {"plan_type": 7},
    "daily_call_limit": {"daily_call_limit": "1,000"},
}


@pytest.mark.parametrize("odd", ODD_ACCOUNTS.values(), ids=ODD_ACCOUNTS)
@pytest.mark.parametrize("owner", ["batch", "jobs"])
def test_an_account_that_is_not_understood_is_named_and_its_jobs_are_not_counted_as_callable(
    counted: Counted, odd: Document, owner: str
) -> None:
    counted.account("acc-odd", **{"plan_type": "unlimited", **odd})
    counted.account("acc-sound", plan_type="unlimited")
    counted.batch("b", **({"account_id": "acc-odd"} if owner == "batch" else {}))
    counted.job("b", account_id="acc-odd")
    counted.job(account_id="acc-sound")

    found = counted.stats()

    assert (found["due"], found["ready"], found["callable"]) == (2, 1, 1)
    assert found["not_understood"] == {"count": 1, "named": ["b"]}
    housekeeper = Housekeeper(counted.store)
    housekeeper.tick(counted.settings, 0.0)
    (named,) = housekeeper.stats()["unreadable"]["named"]
    assert (named["collection"], named["name"], named["forbids"]) == ("accounts", "acc-odd", True)


def test_an_inactive_batch_without_a_recorded_pause_is_reported_while_it_has_work(counted: Counted) -> None:
    for batch_id, fields in {
        "recorded": {"pause": {"by": "maria"}},
        "unrecorded": {},
        "finished": {},
    }.items():
        counted.batch(batch_id, is_active=False, **fields)
        counted.job(batch_id, status="done" if batch_id == "finished" else "pending")
    found = counted.stats()
    assert found["paused_unexpectedly"] == {"count": 1, "named": ["unrecorded"]}
    assert found["batch_states"] == {"paused": 2, "finished": 1}


def test_the_accounts_with_the_least_left_are_reported_in_calls(counted: Counted) -> None:
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
        counted.account(**account)
        counted.batch(f"of-{account['account_id']}", account_id=account["account_id"])
        counted.job(
            f"of-{account['account_id']}", status="done" if account["account_id"] == "idle" else "pending"
        )
    assert counted.stats()["accounts"] == [
        {"account_id": "credit", "calls_left": 2.0, "credit_left": 32.0},
        {"account_id": "minutes", "calls_left": 5.0, "talk_left_seconds": 900.0},
    ]


def test_the_account_of_jobs_suspended_without_credit_is_still_reported(counted: Counted) -> None:
    counted.account("empty", plan_type="minutes_based", minutes_purchased=1, minutes_used=1)
    counted.batch("b", account_id="empty")
    counted.job("b", status="suspended", suspend_reason="no_credit")
    assert [row["calls_left"] for row in counted.stats()["accounts"]] == [0.0]


def test_lapsed_leases_and_parked_calls_are_counted(counted: Counted) -> None:
    counted.job(None, status="in_progress", reserved_until=counted.ago(400))
    counted.job(None, status="in_progress", reserved_until=counted.ago(4))
    counted.job(None, status="in_progress", reserved_until=counted.ago(-60))
    parked = {"key": "k", "number": "+56911111111", "parked_at": counted.ago(10)}
    counted.job(None, status="in_progress", reserved_until=counted.ago(-60), dial=parked)
    found = counted.stats()
    assert (found["lapsed"], found["parked"]) == (2, 1)
    assert found["oldest_lapsed_seconds"] == pytest.approx(400, abs=20)


HOLDS: list[Callable[[Counted], object]] = [
    lambda counted: counted.store.holds.hold(by="maria", reason="stop"),
    lambda counted: counted.store.holds.write_breaker(
        fingerprint(KEY), {"state": "open", "kind": "blocked", "reason": "401"}, expected_revision=None
    ),
]


@pytest.mark.parametrize("hold", HOLDS, ids=["fleet", "breaker"])
def test_nothing_is_callable_while_dialling_is_held(
    counted: Counted, hold: Callable[[Counted], object]
) -> None:
    counted.job(None)
    assert counted.stats()["callable"] == 1
    hold(counted)
    found = counted.stats()
    assert (found["due"], found["callable"]) == (1, 0)


def test_the_breaker_of_another_key_does_not_hold_this_host(counted: Counted) -> None:
    counted.job(None)
    fields = {"state": "open", "kind": "blocked", "reason": "401"}
    counted.store.holds.write_breaker(fingerprint("another"), fields, expected_revision=None)
    found = counted.stats()
    assert (found["callable"], found["key_held"]) == (1, False)
