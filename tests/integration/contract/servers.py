"""The servers that the store's contract is run on, real ones and stand-ins in the test's own process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import mongomock
from pymongo import MongoClient

from speechaid.model.reading import Document
from speechaid.settings import DatabaseSettings, get_settings
from speechaid.store.connection import Store, connect
from tests.support.database import SERVER_VARIABLE, SIBLING, run_embedded, run_sibling
from tests.support.memory_mongo import MemoryMongo
from tests.support.sibling import sibling_program

#: The embedded database.
EMBEDDED = "embedded"
#: Of the simulated weeks.
MEMORY = "memory"
MONGOMOCK = "mongomock"
#: The server of ``SPEECHAID_TEST_MONGO_URI``.
GIVEN = "given"
NAMES = (EMBEDDED, SIBLING, MEMORY, MONGOMOCK, GIVEN)


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    #: A store on the database of this name, which is gone when the store is left.
    store: Callable[[str], AbstractContextManager[Store]]


def available() -> list[str]:
    """Which of them can be had here."""
    given = os.environ.get(SERVER_VARIABLE)
    missing = {
        *(() if sibling_program() else (SIBLING,)),
        *(() if given and given != SIBLING else (GIVEN,)),
    }
    return [name for name in NAMES if name not in missing]


@contextmanager
def start(name: str, directory: Path) -> Iterator[Server]:
    """Start a server; ``directory`` is for its files."""
    if name in IN_PROCESS:
        yield Server(name, lambda database: _in_process(IN_PROCESS[name](), database))
    elif name == GIVEN:
        yield Server(name, lambda database: _on_the_wire(os.environ[SERVER_VARIABLE], database))
    else:
        with (run_sibling if name == SIBLING else run_embedded)(directory) as uri:
            yield Server(name, lambda database: _on_the_wire(uri, database))


@contextmanager
def _on_the_wire(uri: str, database: str) -> Iterator[Store]:
    store = connect(_settings(database, uri))
    yield store
    store.close()
    with MongoClient[Document](uri) as client:
        client.drop_database(database)


@contextmanager
def _in_process(client: object, database: str) -> Iterator[Store]:
    yield Store(cast("MongoClient[Document]", client), _settings(database))


def _mongomock() -> object:
    """A client that also tells the time, which mongomock does not; the store cannot do without."""
    client: Any = mongomock.MongoClient(tz_aware=True)
    admin = client.get_database("admin")
    answer = admin.command

    def command(name: str) -> Document:
        return {"localTime": _now()} if name == "hello" else dict(answer(name))

    admin.command = command
    return client


def _now() -> datetime:
    return datetime.now(UTC)


#: What stands in for a client, with the server in it.
IN_PROCESS: Mapping[str, Callable[[], object]] = {MEMORY: lambda: MemoryMongo(_now), MONGOMOCK: _mongomock}


def _settings(database: str, uri: str = "mongodb://in-this-process") -> DatabaseSettings:
    environ = {
        "MONGO_URI": uri,
        "MONGO_DB": database,
        "RETELL_API_KEY": "key_0123456789abcdef",
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+15005550006",
    }
    return get_settings(environ, env_file=None).database
