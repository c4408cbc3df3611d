"""One embedded database for the whole test run, and a fresh database name in it for each test.

``SPEECHAID_TEST_MONGO_URI`` points the tests at another server instead; with ``sibling`` in it they start the
embedded database's sibling (``tests.support.sibling``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.embedded.database import EmbeddedDatabase
from tests.support.sibling import Sibling, sibling_program

#: The server that the tests run on: a URI, or ``sibling``; unset, the embedded database.
SERVER_VARIABLE: Final = "SPEECHAID_TEST_MONGO_URI"
SIBLING: Final = "sibling"


@pytest.fixture(scope="session")
def database_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real server on the wire, credentials included."""
    given = os.environ.get(SERVER_VARIABLE)
    if given and given != SIBLING:
        yield given
        return
    run = run_sibling if given == SIBLING else run_embedded
    with run(tmp_path_factory.mktemp("database")) as uri:
        yield uri


@contextmanager
def run_embedded(directory: Path) -> Iterator[str]:
    """The embedded database, and its URI, a secret."""
    server = EmbeddedDatabase(directory, sync_on_commit=False)
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def run_sibling(directory: Path) -> Iterator[str]:
    """The embedded database's sibling, and its URI, a secret."""
    program = sibling_program()
    assert program is not None, "scripts/sibling builds it"
    server = Sibling(program, directory)
    try:
        yield server.start()
    finally:
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
    for each in (name, f"{name}_web"):
        database_client.drop_database(each)
