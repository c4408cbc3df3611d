"""Ten thousand charges of 0.1 are 1000.00: in the balance, in the batch's sum and in the report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast
from zoneinfo import ZoneInfo

from pymongo import MongoClient
from pymongo.database import Database

from speechaid.campaign.report_reading import AccountFacts
from speechaid.model.account import Reservation
from speechaid.model.reading import Document, number
from speechaid.protocol.money import exact_amount, money
from speechaid.rules import metering
from speechaid.settings import Settings
from speechaid.store.connection import Store, connect
from tests.integration.control.test_commands import settings_for
from tests.support.memory_mongo import MemoryMongo
from tests.support.reports import report_of

CALLS = 10_000
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_ten_thousand_charges_of_a_tenth_sum_to_a_thousand(settings: Settings) -> None:
    client = cast("MongoClient[Document]", MemoryMongo(lambda: NOON))
    store = Store(client, settings.database)
    fields = {"plan_type": "credit_based", "currency": "USD", "credit_balance": 1000.1}
    store.accounts.create("acme", fields, by="maria")
    batch_id = store.batches.create({"account_id": "acme"})
    for call in range(CALLS):
        key = f"dial-{call}"
        account, batch = store.accounts.find("acme"), store.batches.find(batch_id)
        assert account is not None
        store.accounts.reserve(account, Reservation(key=key, minutes=0.0, credit=0.3), job_id="job-1")
        store.batches.register_live_dial(batch_id, key)
        assert store.accounts.settle(
            "acme", key, minutes=0.0, credit=0.1, calls=1, day="2026-03-02", as_read=account
        )
        assert store.batches.settle_dial(batch_id, key, {"total_cost": 0.1}, as_read=batch)
    account, batch = store.accounts.find("acme"), store.batches.find(batch_id)
    assert account is not None
    assert batch is not None
    assert metering.credit_left(account) == 0.1
    assert money(account.credit_used, "USD") == money(account.credit_used + 1e-9, "USD") == "1,000.00 USD"
    assert exact_amount(account.credit_reserved) == 0
    assert exact_amount(number(batch.document["total_cost"]) or 0.0) == 1000


def test_the_report_of_ten_thousand_charges_of_a_tenth_is_a_thousand(
    database: Database[Document], database_uri: str
) -> None:
    store = connect(settings_for(database_uri, database.name).database)
    account = {"account_id": "acme", "plan_type": "credit_based", "currency": "USD"}
    database.accounts.insert_one(account)
    result = {"account_id": "acme", "batch_id": "batch-1", "outcome": "answered", "cost": 0.1}
    price = {"charged": {"minutes": 0.0, "credit": 0.1}}
    database.call_results.insert_many({**result, **price, "dial_key": f"{call}"} for call in range(CALLS))
    accounts = {"acme": AccountFacts(zone=ZoneInfo("UTC"), currency="USD")}
    report = report_of(store, "batch-1", accounts=accounts)
    assert (report["calls"]["total"], report["calls"]["cost"]) == (CALLS, 1000.0)
    (charged,) = report["calls"]["charged"]["by_currency"]
    assert (charged["currency"], charged["credit"]) == ("USD", 1000.0)
    assert report["batches"][0]["cost"] == 1000.0
    store.close()
