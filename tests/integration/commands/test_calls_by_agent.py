"""Jobs, calls and lines of one agent or calling number, and what the next call of a job has."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from tests.integration.commands.conftest import Speechctl

Document = dict[str, Any]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST: Document = {
    "agent_id": "agent_1",
    "agent_version": 4,
    "from_number": "+56220000001",
    "language": "es-419",
}
SECOND: Document = {
    "agent_id": "agent_2",
    "agent_version": None,
    "from_number": "+56220000002",
    "language": None,
}


@pytest.fixture
def calls(database: Database[Document]) -> None:
    """Two calls of the first agent and one of the second; and one of a program that records no agent."""
    for number, agent in enumerate([FIRST, FIRST, SECOND, {}]):
        outcome = "answered" if number else "busy"
        last = {"last_agent_id": agent.get("agent_id"), "last_from_number": agent.get("from_number")}
        job = {"job_id": f"job-{number}", "status": "done", "last_outcome": outcome, "created_at": NOW}
        database.jobs.insert_one({**job, **(last if agent else {})})
        call = {"call_id": f"call_{number}", "job_id": f"job-{number}", "outcome": outcome, "created_at": NOW}
        call |= {"placed_at": NOW, "duration_ms": 60_000, "connected": True}
        database.call_results.insert_one({**call, **agent})
        line = {"event": "call.settled", "job_id": f"job-{number}", "at": NOW, **agent}
        database.call_logs.insert_one(
            {name: value for name, value in line.items() if name != "agent_id"}
            | {"agent": agent.get("agent_id")}
        )


def shown_jobs(speechctl: Speechctl, *options: str) -> list[str]:
    return [row["job_id"] for row in json.loads(speechctl("jobs", *options, "--json"))["jobs"]]


@pytest.mark.usefixtures("calls")
def test_jobs_are_found_by_the_agent_and_the_number_of_their_last_call(speechctl: Speechctl) -> None:
    assert shown_jobs(speechctl, "--agent", "agent_1") == ["job-0", "job-1"]
    assert shown_jobs(speechctl, "--agent", "agent_1", "--outcome", "busy") == ["job-0"]
    assert shown_jobs(speechctl, "--from-number", "+56220000002") == ["job-2"]
    assert shown_jobs(speechctl, "--agent", "agent_3") == []
    assert "from-number: '22 000' cannot be understood" in speechctl(
        "jobs", "--from-number", "22 000", status=2
    )


@pytest.mark.usefixtures("calls")
def test_calls_are_exported_with_their_agent_and_by_it(speechctl: Speechctl, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    speechctl("export", str(path), "--agent", "agent_1")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";" if ";" in path.read_text("utf-8-sig") else ","))
    assert [row["call_id"] for row in rows] == ["call_0", "call_1"]
    assert {(row["agent_id"], row["agent_version"], row["language"]) for row in rows} == {
        ("agent_1", "4", "es-419")
    }
    assert all("56220000001" in row["from_number"] for row in rows)


@pytest.mark.usefixtures("calls")
def test_the_do_not_call_list_belongs_to_no_agent(speechctl: Speechctl, tmp_path: Path) -> None:
    assert "leave out --agent" in speechctl(
        "export", str(tmp_path / "dnc.csv"), "--what", "dnc", "--agent", "agent_1", status=2
    )


@pytest.mark.usefixtures("calls")
def test_lines_are_found_by_agent(speechctl: Speechctl) -> None:
    lines = json.loads(speechctl("logs", "--agent", "agent_2", "--json"))["lines"]
    assert [line["job_id"] for line in lines] == ["job-2"]


@pytest.mark.usefixtures("calls")
def test_a_job_s_calls_name_their_agent_and_its_version(speechctl: Speechctl) -> None:
    (call,) = json.loads(speechctl("job", "job-0", "--json"))["calls"]
    assert (call["agent_id"], call["agent_version"]) == ("agent_1", 4)
    assert call["from_number"].endswith("01")
    assert "2200000" not in call["from_number"]
    assert "agent_1 v4" in speechctl("job", "job-0")


@pytest.mark.usefixtures("calls")
def test_the_report_has_a_row_for_each_agent_and_number(speechctl: Speechctl) -> None:
    rows = json.loads(speechctl("report", "--format", "json"))["agents"]
    assert [(row["agent_id"], row["version"], row["from_number"], row["calls"]) for row in rows] == [
        ("agent_1", 4, "+56220000001", 2),
        ("agent_2", None, "+56220000002", 1),
    ]
    assert (rows[0]["successful"], rows[0]["minutes"]) == (1, 2.0)
    assert "By agent and number" in speechctl("report", "--format", "markdown")
    assert "Calls by agent and number" in speechctl("report")


@pytest.mark.parametrize(
    ("settings", "pin", "value"),
    [
        ({}, None, "agent_test (of the settings), its version chosen by Retell"),
        ({}, {"agent_id": "agent_test", "version": 4}, "agent_test (of the settings), version 4 (pinned"),
        ({"agent_id": "agent_2", "language": "es-419"}, None, "agent_2 (of the batch), its version chosen"),
        ({"agent_version": "latest"}, None, "agent_test (of the settings), version latest (of the batch)"),
        ({"from_number": "+56220000001"}, None, "(of the batch)"),
    ],
)
def test_explain_says_what_the_next_call_has_and_where_it_comes_from(
    speechctl: Speechctl, database: Database[Document], settings: Document, pin: object, value: str
) -> None:
    batch = {"batch_id": "batch-1", "is_active": True, "call_settings": settings, "agent_pin": pin}
    database.batches.insert_one(batch)
    contact = {"phones": ["+12025550101"], "next_phone_index": 0}
    database.jobs.insert_one(
        {"job_id": "job-1", "batch_id": "batch-1", "status": "pending", "contact": contact}
    )
    answer = json.loads(speechctl("explain", "job-1", "--json"))
    check = next(row for row in answer["checks"] if row["name"] == "agent")
    assert check["passed"] is True
    assert value in check["value"]
    assert "6220000" not in check["value"]
    assert answer["agent"]["agent_id"] in check["value"]
