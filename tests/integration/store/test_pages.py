"""A collection read page by page: exact whatever becomes of the cursor behind it, and few finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent, CommandSucceededEvent

from speechaid.campaign.export_rows import EXPORTS
from speechaid.store.connection import Store, connect
from speechaid.store.pages import MAX_CURSORS, Pages
from tests.integration.control.test_commands import settings_for

Document = dict[str, Any]


class Finds(CommandListener):
    """Keeps count of finds, and the cursors that they open."""

    def __init__(self) -> None:
        self.count = 0
        self.cursors: list[int] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.count += event.command_name == "find"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "find" and event.reply["cursor"]["id"]:
            self.cursors.append(event.reply["cursor"]["id"])

    def failed(self, event: object) -> None:
        pass


@pytest.fixture
def finds() -> Finds:
    return Finds()


@pytest.fixture
def store(database: Database[Document], database_uri: str, finds: Finds) -> Iterator[Store]:
    settings = settings_for(database_uri, database.name)
    opened = connect(settings.database, more={"event_listeners": [finds]})
    # All that an ``_id`` may be, and more than the driver fetches in one go.
    database.jobs.insert_many(
        [
            *({"_id": number, "batch_id": "b"} for number in range(3)),
            *({"_id": f"{number:04}", "batch_id": "b"} for number in range(600)),
            *({"_id": ObjectId(), "batch_id": "b" if number % 2 else "c"} for number in range(20)),
        ]
    )
    yield opened
    opened.close()


def read_on(pages: Pages, store: Store, query: Document, after: str | None, limit: int) -> Iterator[Any]:
    """The rest, page by page."""
    while True:
        found, after = pages.page(store.jobs.table, query, after=after, limit=limit)
        yield from (document["_id"] for document in found)
        if after is None:
            return


def test_pages_hold_every_document_once_and_cost_one_find(
    store: Store, database: Database[Document], finds: Finds
) -> None:
    ids = list(read_on(Pages(), store, {"batch_id": "b"}, None, 100))
    expected = [document["_id"] for document in database.jobs.find({"batch_id": "b"})]
    assert ids == [*range(3), *(f"{number:04}" for number in range(600)), *ids[603:]]
    assert sorted(map(str, ids)) == sorted(map(str, expected))
    assert finds.count == 1


def test_a_cursor_that_dies_is_gone_on_from_where_it_was(
    store: Store, database: Database[Document], finds: Finds
) -> None:
    pages, ids, after = Pages(), [], None
    for _ in range(2):
        found, after = pages.page(store.jobs.table, {}, after=after, limit=100)
        ids += [document["_id"] for document in found]
    assert finds.cursors
    database.command("killCursors", "jobs", cursors=finds.cursors)
    ids += read_on(pages, store, {}, after, 100)
    assert finds.count > 1
    assert len(ids) == len(set(ids)) == database.jobs.count_documents({})


def test_two_who_read_the_same_do_not_take_each_others_documents(store: Store) -> None:
    pages = Pages()
    both = [read_on(pages, store, {}, None, 50) for _ in range(2)]
    for one, other in zip(*both, strict=True):
        assert one == other


def test_many_who_stop_in_the_middle_leave_few_cursors_and_may_go_on(
    store: Store, database: Database[Document]
) -> None:
    pages = Pages()
    left = [pages.page(store.jobs.table, {}, after=f"1:{begin:04}", limit=5) for begin in range(9)]
    assert len(pages) == MAX_CURSORS
    rest = list(read_on(pages, store, {}, left[0][1], 100))
    assert len(rest) == database.jobs.count_documents({}) - 3 - 6


def test_what_is_fetched_of_a_call_is_all_that_its_row_needs(
    store: Store, database: Database[Document]
) -> None:
    call = EXPORTS["calls"]
    text = {name: f"a {name}" for name in call.columns}
    whole = {
        **text,
        "contact": {"name": "Ana", "dni": "1-9", "phone_used": "+56912345671"},
        "call_data": {
            "transcript": "long",
            "call_analysis": {"call_summary": "s", "user_sentiment": "good"},
            "recording_url": "https://x",
            "public_log_url": "https://y",
        },
        "charged": {"minutes": 1.5, "credit": 2},
        "is_successful": True,
        "duration_ms": 9000,
        "placed_at": "2026-03-02T12:00:00+00:00",
        "cost": 1.0,
        "attempt": 0,
        "phone_index": 1,
    }
    database.call_results.insert_one(dict(whole))
    (fetched,) = store.results.table.find({}, fields=call.fields)
    assert "transcript" not in fetched["call_data"]
    # The export adds this of the call's job.
    of_job = {"payload": {"reference_number": "A-1", "debt_amount": 1000, "currency": "CLP"}}
    assert call.row(fetched | of_job) == call.row(whole | of_job)
    assert None not in call.row(whole | of_job)
