"""The command line against a database thread of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.store.connection import connect
from speechctl.cli import main
from tests.integration.control.test_commands import settings_for
from tests.support.fakes import served

Document = dict[str, Any]
Speechctl = Callable[..., str]


@pytest.fixture
def speechctl(
    tmp_path: Path, database: Database[Document], database_uri: str, capsys: pytest.CaptureFixture[str]
) -> Iterator[Speechctl]:
    """Runs speechctl against a served database thread; returns its output and asserts its exit status."""
    settings = settings_for(database_uri, database.name)
    store = connect(settings.database)
    store.prepare()
    database_thread = DatabaseThread(connect(settings.database), settings)
    path = tmp_path / "control.sock"

    def run(*argv: str, status: int = 0, yes: bool = True) -> str:
        assert main([*argv, "--socket", str(path), *(["--yes"] if yes else [])]) == status
        shown = capsys.readouterr()
        return shown.err if status else shown.out

    with served(path, database_thread):
        yield run
    database_thread.close()
    store.close()
