"""One embedded database for the whole test run, and a fresh database name in it for each test.

``SPEECHAID_TEST_MONGO_URI`` points the tests at another server instead.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.embedded.database import EmbeddedDatabase


@pytest.fixture(scope="session")
def database_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real server on the wire, credentials included."""
    given = os.environ.get("SPEECHAID_TEST_MONGO_URI")
    if given:
        yield given
        return
    server = EmbeddedDatabase(tmp_path_factory.mktemp("database"), sync_on_commit=False)
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def database_client(database_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the tests' own, to look at the data behind the back of the code under test."""
    with MongoClient[dict[str, Any]](database_uri, tz_aware=True, serverSelectionTimeoutMS=10_000) as client:
        yield client


@pytest.fixture
def database(database_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """An empty database for this test alone; its ``name`` goes to the code under test."""
    name = f"speechaid_test_{secrets.token_hex(6)}"
    yield database_client[name]
    database_client.drop_database(name)
