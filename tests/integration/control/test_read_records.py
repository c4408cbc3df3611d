"""Reads of people's data through socket, database thread and database: each leaves a record, or no answer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.control.test_commands import CSV, PATIENCE_SECONDS, Operator, operator

__all__ = ["operator"]

Document = dict[str, Any]


def read_records(operator: Operator) -> list[Document]:
    return operator.recorded(1, event="read")


@pytest.mark.parametrize(
    ("command", "args", "recorded", "documents"),
    [
        ("jobs", {"limit": 2}, {}, 2),
        ("job", {"job": "job-1"}, {"job": "job-1"}, 1),
        ("explain", {"job": "job-1"}, {"job": "job-1"}, 1),
        ("export", {"what": "jobs"}, {"what": "jobs"}, 3),
        ("export", {"what": "promises"}, {"what": "promises"}, 0),
        ("report", {}, {}, 3),
        ("ids", {"kind": "job"}, {"kind": "job"}, 3),
        ("dnc", {"number": "+56912345671"}, {"number": "+569******71"}, 1),
        ("logs", {}, {}, 1),
    ],
)
def test_a_read_is_recorded_with_who_what_and_how_many(
    operator: Operator, command: str, args: Document, recorded: Document, documents: int
) -> None:
    for number in range(3):
        operator.add_job(f"job-{number}")
    operator.database.call_logs.insert_one({"event": "call.placed", "job_id": "job-1"})
    operator.run(command, **args)
    (line,) = read_records(operator)
    assert (line["command"], line["args"], line["outcome"]) == (command, recorded, "done")
    assert (line["documents"], line["requests"]) == (documents, 1)
    assert "uid" in line["actor"]


def test_a_trial_import_is_recorded_once_with_the_rows_that_it_read(operator: Operator) -> None:
    options = {"filename": "de 912345678.csv", "country": "CL", "dry_run": True, "show_values": True}
    operator.run("import", file=CSV, **options)
    (line,) = read_records(operator)
    assert (line["command"], line["documents"]) == ("import", 3)
    assert line["args"]["filename"] == "de *******78.csv"
    assert line["args"]["show_values"] is True


def test_all_pages_of_an_export_are_one_record(operator: Operator) -> None:
    for number in range(5):
        operator.add_job(f"job-{number}")
    after = None
    while True:
        page = operator.run("export", what="jobs", limit=1, after=after)
        if (after := page["next"]) is None:
            break
    operator.dispatcher.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(line["documents"] for line in read_records(operator)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(read_records(operator)) == 1


def test_a_read_that_cannot_be_recorded_is_not_answered(operator: Operator) -> None:
    operator.add_job("job-1")
    # A collection that the database refuses to write to, as with a user who may only read.
    operator.database.command(
        "collMod", "call_logs", validator={"command": {"$ne": "jobs"}}, validationLevel="strict"
    )
    refused = operator.refusal("jobs")
    assert refused.code == "refused"
    assert "call_logs cannot record who reads this" in str(refused)
    assert "job-1" not in str(refused)
    operator.run("job", job="job-1")


def test_listening_to_events_is_recorded(operator: Operator) -> None:
    stream = operator.client.stream("events", {"job": "job-1"})
    assert next(stream) == {"state": "listening"}
    (line,) = read_records(operator)
    assert (line["command"], line["args"], line["requests"]) == ("events", {"job": "job-1"}, 1)
