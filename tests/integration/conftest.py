"""What every integration test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from speechaid.dialer import recovery
from tests.support.common_stage import common_stage, module_stage
from tests.support.database import database, database_client, database_uri
from tests.support.sibling import sibling_program
from tests.support.stage import Document, Stage, open_stage

__all__ = ["common_stage", "database", "database_client", "database_uri", "module_stage"]

#: Without the second server ``scripts/sibling`` has said that its tests are left out; in CI it has failed.
collect_ignore = [] if sibling_program() else ["test_sibling.py"]


@pytest.fixture
def stage(
    database: Database[Document], database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A worker's things on a database and a Retell simulator of this test's own."""
    # The stage turns the simulator's clock, the database's runs on: here they may differ.
    monkeypatch.setattr(recovery, "CLOCKS_AGREE_SECONDS", float("inf"))
    with open_stage(database, database_uri) as opened:
        yield opened
