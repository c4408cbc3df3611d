"""What stops calls costs few round trips: with a slow database each of them delays the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent

from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.maintenance.emergency_thread import EmergencyThread
from speechaid.protocol.client import Client
from speechaid.store.connection import connect
from tests.integration.control.test_commands import settings_for
from tests.support.fakes import served

Document = dict[str, Any]


class Sent(CommandListener):
    """The names of the commands that were sent to the database."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"find", "aggregate", "update", "insert", "getMore"}:
            self.names.append(event.command_name)

    def succeeded(self, event: Any) -> None:
        """It was noted when it was sent."""

    failed = succeeded


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def client(tmp_path: Path, database: Database[Document], database_uri: str, sent: Sent) -> Iterator[Client]:
    settings = settings_for(database_uri, database.name)
    store = connect(settings.database)
    store.prepare()
    store.batches.create({"batch_id": "batch-1", "name": "March", "is_active": True})
    database_thread = DatabaseThread(store, settings)
    counted = connect(settings.database, more={"event_listeners": [sent]})
    emergency_thread = EmergencyThread(counted, settings, database_thread.add_answer)
    path = tmp_path / "control.sock"
    with served(path, database_thread, emergency_thread), Client(path) as asking:
        yield asking
    emergency_thread.close()
    database_thread.close()


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ("hold", {}, ["find", "update", "find"]),
        ("pause-batch", {"batch": "BATCH"}, ["find", "update", "find"]),
    ],
)
def test_a_stop_costs_one_write_and_two_reads_where_no_dial_is_on_its_way(
    client: Client, sent: Sent, command: str, args: Document, expected: list[str]
) -> None:
    batch_id = client.ask("batches", {}, timeout_seconds=30)["batches"][0]["batch_id"]
    given = {name: batch_id if value == "BATCH" else value for name, value in args.items()}
    client.ask(command, given, timeout_seconds=30)  # the first one also connects
    sent.names.clear()
    answer = client.ask(command, given, timeout_seconds=30)
    assert sent.names == expected
    assert (answer["waited_for"], answer["live_calls"], answer["ambiguous"]) == (0, 0, 0)
