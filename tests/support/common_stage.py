"""One stage for all tests of a module, cleared between them: a simulator starts slower than a test runs."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from speechaid.dialer import recovery
from tests.support.stage import Stage, open_stage

_numbers = itertools.count(1)


def phone() -> str:
    """A number not called before: the simulator remembers calls for as long as it runs."""
    number = next(_numbers)
    return f"+1{200 + number // 100 * 7 % 700}555{100 + number % 100:04d}"


@pytest.fixture(scope="module")
def module_stage(database_client: MongoClient[dict[str, Any]], database_uri: str) -> Iterator[Stage]:
    """The stage, opened once per module."""
    name = f"speechaid_test_{secrets.token_hex(6)}"
    with open_stage(database_client[name], database_uri) as opened:
        yield opened
    database_client.drop_database(name)


@pytest.fixture
def common_stage(module_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The module's stage, cleared after each test; tests that use it call ``phone()`` numbers."""
    # The stage advances the simulator's clock but not the database's: here they may differ.
    monkeypatch.setattr(recovery, "CLOCKS_AGREE_SECONDS", float("inf"))
    yield module_stage
    module_stage.clear()
    module_stage.simulator.clear_requests()
    module_stage.simulator.change(list_delay_seconds=0, do_not_call=[], key_seconds=3600)
    module_stage.on_wait = lambda: None
