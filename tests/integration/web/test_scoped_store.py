"""A scoped reader finds its account's documents alone, and writes nothing."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from speechaid.errors import NotFound, StoreForbidden
from speechaid.settings.groups import DatabaseSettings
from speechaid.store.connection import Store, connect
from speechaid.store.scoped import ScopedStore, ScopedTable
from speechaid.store.table import Table


@pytest.fixture
def store(database_client: MongoClient[dict[str, Any]], database_uri: str) -> Iterator[Store]:
    settings = DatabaseSettings.model_validate({"name": f"speechaid_test_{secrets.token_hex(6)}"})
    opened = connect(settings, uri=database_uri)
    for account in ("acc_1", "acc_2"):
        opened.accounts.create(account, {"plan_type": "unlimited"}, by="test")
        batch = {"batch_id": f"batch-of-{account}", "account_id": account, "name": "October"}
        opened.batches.create(batch)
        opened.jobs.table.insert(
            {"job_id": f"job-of-{account}", "account_id": account, "batch_id": batch["batch_id"]}
        )
    yield opened
    opened.close()
    database_client.drop_database(settings.name)


def test_only_the_accounts_own_documents_are_found_however_they_are_asked_for(store: Store) -> None:
    own = ScopedStore(store, "acc_1")
    assert own.batches.find_by_any_id("batch-of-acc_1") is not None
    assert own.batches.find_by_any_id("batch-of-acc_2") is None
    hidden = store.batches.get("batch-of-acc_2").document["_id"]
    assert own.batches.find_by_any_id(str(hidden)) is None
    assert own.batches.find_by_prefix("batch-of") == ["batch-of-acc_1"]
    assert own.batches.find_by_name("October", 10) == ["batch-of-acc_1"]
    assert [batch.batch_id for batch in own.batches.select(limit=10)] == ["batch-of-acc_1"]
    assert own.batches.select(limit=10, account_id="acc_2") == []
    assert own.batches.among(["batch-of-acc_1", "batch-of-acc_2"])[0].batch_id == "batch-of-acc_1"
    assert [account.account_id for account in own.accounts.select(limit=10)] == ["acc_1"]
    assert own.accounts.find_by_any_id("acc_2") is None
    with pytest.raises(NotFound):
        own.jobs.get("job-of-acc_2")
    assert own.jobs.counts() == {"None": 1}


def test_a_reader_without_an_account_finds_all(store: Store) -> None:
    found = ScopedStore(store, None)
    assert len(found.batches.select(limit=10)) == 2
    assert [batch.batch_id for batch in found.batches.select(limit=10, skip=1)] == ["batch-of-acc_1"]
    assert [batch.batch_id for batch in found.batches.select(limit=10, before="batch-of-acc_2")] == [
        "batch-of-acc_1"
    ]
    assert len(found.batches.select(limit=10, is_active=False)) == 0


def test_an_or_in_the_query_does_not_widen_it(store: Store) -> None:
    table = ScopedTable(store.batches.table, "acc_1")
    everything: dict[str, Any] = {"$or": [{"account_id": "acc_2"}, {"account_id": "acc_1"}]}
    assert [row["account_id"] for row in table.find(everything)] == ["acc_1"]
    assert table.count({"$and": [{"name": "October"}]}) == 1


@pytest.mark.parametrize("stage", ["$lookup", "$unionWith", "$graphLookup", "$facet", "$out", "$merge"])
def test_a_pipeline_that_leaves_its_collection_is_refused(store: Store, stage: str) -> None:
    with pytest.raises(StoreForbidden):
        ScopedTable(store.batches.table, "acc_1").aggregate([{stage: {}}])


READS = frozenset({"find_one", "find", "stream", "aggregate", "count"})


def test_every_other_operation_is_refused(store: Store) -> None:
    table = ScopedTable(store.batches.table, None)
    names = {name for name, member in vars(Table).items() if inspect.isfunction(member) and name[0] != "_"}
    assert names > READS
    for name in names - READS:
        assert name in vars(ScopedTable), f"{name} would reach the whole collection"
        method = getattr(table, name)
        required = {
            parameter.name: None
            for parameter in inspect.signature(method).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        }
        with pytest.raises(StoreForbidden):
            method(**required)
