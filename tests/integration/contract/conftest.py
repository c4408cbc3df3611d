"""The store on each server that it is tested on; what a server cannot do is run all the same, and must fail.

``server`` is one of ``servers.available()``; the store on it has its indexes and no documents.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechaid.store.connection import Store
from tests.integration.contract.known_gaps import KNOWN_GAPS
from tests.integration.contract.servers import Server, available, start

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A known gap is expected to fail; one that passes fails the run, so that the list stays true."""
    for item in items:
        if not isinstance(item, pytest.Function) or _HERE not in item.path.parents:
            continue
        if hasattr(item, "callspec") and "server" in item.callspec.params:
            gaps = KNOWN_GAPS.get(str(item.callspec.params["server"]), {})
            if item.originalname in gaps:
                item.add_marker(pytest.mark.xfail(reason=gaps[item.originalname], strict=True))


@pytest.fixture(scope="session", params=available())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server after the other."""
    with start(request.param, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def module_store(server: Server) -> Iterator[Store]:
    """A store for all tests of a module: making its indexes takes longer than most of them."""
    with server.store(_new_name()) as opened:
        opened.prepare()
        yield opened


@pytest.fixture
def store(module_store: Store) -> Iterator[Store]:
    """A store with its indexes and no documents."""
    yield module_store
    tables = [table for table, _ in module_store.indexed()]
    others = (module_store.holds.table, module_store.do_not_call.table, module_store.test_calls.numbers)
    for table in (*tables, *others):
        table.delete({})


@pytest.fixture
def empty_store(server: Server) -> Iterator[Store]:
    """A store in a database in which nothing has been made yet, not even an index."""
    with server.store(_new_name()) as opened:
        yield opened


def _new_name() -> str:
    return f"speechaid_contract_{secrets.token_hex(6)}"
