"""``report`` from the command line: what it is restricted to, and the files that it writes."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import python_calamine
from pymongo.database import Database

from tests.integration.commands.conftest import Speechctl

Document = dict[str, Any]

SANTIAGO, MEXICO = "America/Santiago", "America/Mexico_City"
#: 23:30 on 2 March in Santiago, 20:30 in Mexico City.
LATE = datetime(2026, 3, 3, 2, 30, tzinfo=UTC)
#: 00:30 on 3 March in Santiago, 21:30 on 2 March in Mexico City.
AFTER_MIDNIGHT = datetime(2026, 3, 3, 3, 30, tzinfo=UTC)


def call(number: int, account: str, placed_at: datetime, **fields: Any) -> Document:
    phone = f"+5691234560{number}"
    return {
        "call_id": f"call_{number}",
        "dial_key": f"key-{number}",
        "job_id": f"job-{number}",
        "batch_id": f"batch-{account}",
        "account_id": account,
        "contact": {"name": "Ana", "dni": f"1.111.11{number}-1", "phone_used": phone},
        "outcome": "answered",
        "connected": True,
        "duration_ms": 60_000,
        "placed_at": placed_at,
        "created_at": placed_at + timedelta(minutes=2),
        "attempt": 0,
        "agent_id": "agent_a" if number % 2 else "agent_b",
        "from_number": "+15005550006",
        "cost": 0.11,
        "charged": {"minutes": 0.0, "credit": 25.5},
        **fields,
    }


@pytest.fixture(autouse=True)
def campaign(database: Database[Document]) -> None:
    """Two accounts in two zones and currencies, with two calls each, on both sides of Santiago's midnight."""
    database.accounts.insert_many(
        [
            {"account_id": "cl", "timezone": SANTIAGO, "currency": "CLP", "country": "CL"},
            {"account_id": "mx", "timezone": MEXICO, "currency": "MXN", "country": "MX"},
        ]
    )
    database.batches.insert_many(
        [
            {"batch_id": "batch-cl", "name": "Cobranza", "account_id": "cl"},
            {"batch_id": "batch-mx", "account_id": "mx"},
        ]
    )
    promised = {"promised": {"day": "2026-03-20", "amount": "5.000", "currency": "CLP"}}
    calls = [
        call(1, "cl", LATE, **promised),
        call(2, "cl", AFTER_MIDNIGHT, outcome="no_answer", duration_ms=0, connected=False),
        call(3, "mx", LATE),
        call(4, "mx", AFTER_MIDNIGHT, call_data={"call_analysis": {"in_voicemail": True}}),
    ]
    database.call_results.insert_many(calls)
    database.jobs.insert_many(
        {
            "job_id": one["job_id"],
            "batch_id": one["batch_id"],
            "account_id": one["account_id"],
            "status": "done",
            "last_agent_id": one["agent_id"],
            "contact": {"phones": [one["contact"]["phone_used"]]},
            "payload": {
                "debt_amount": 10_000,
                "currency": "CLP" if one["account_id"] == "cl" else "MXN",
            },
        }
        for one in calls
    )
    database.jobs.update_one(
        {"job_id": "job-1"}, {"$set": {"paid": {"at": LATE, "amount": 4000, "currency": "CLP"}}}
    )


def ask(speechctl: Speechctl, *words: str) -> Document:
    found: Document = json.loads(speechctl("report", *words, "--json"))
    return found


def test_a_day_is_that_of_the_accounts_zone(speechctl: Speechctl) -> None:
    days = {
        (account, day): ask(speechctl, "--account", account, "--day", day)["calls"]["total"]
        for account in ("cl", "mx")
        for day in ("2026-03-02", "2026-03-03")
    }
    assert days == {
        ("cl", "2026-03-02"): 1,
        ("cl", "2026-03-03"): 1,
        ("mx", "2026-03-02"): 2,
        ("mx", "2026-03-03"): 0,
    }
    shown = speechctl("report", "--account", "mx", "--day", "2026-03-02")
    assert "Campaign report of account mx, 2026-03-02, " in shown
    assert f"Days and hours are those of {MEXICO}." in shown


def test_over_accounts_of_several_zones_each_has_its_own_days_and_its_currency_its_own_sum(
    speechctl: Speechctl,
) -> None:
    found = ask(speechctl, "--day", "2026-03-02")
    assert found["calls"]["total"] == 3
    assert [(row["currency"], row["credit"]) for row in found["calls"]["charged"]["by_currency"]] == [
        ("CLP", 25.5),
        ("MXN", 51.0),
    ]
    shown = speechctl("report", "--day", "2026-03-02")
    assert f"those of each account's own zone: {MEXICO} (mx); {SANTIAGO} (cl)." in shown
    assert "debt 10,000 CLP, 20,000.00 MXN; promised 5,000 CLP; recovered 4,000 CLP" in shown
    assert "By day (each account's zone)" in shown


@pytest.mark.parametrize(
    ("words", "calls", "jobs"),
    [
        ((), 4, 4),
        (("--batch", "batch-cl"), 2, 2),
        (("--batch", "Cobranza", "--agent", "agent_a"), 1, 1),
        (("--agent", "agent_b"), 2, 2),
        (("--number", "+56 9 1234 5603"), 1, 1),
        (("--from-number", "+15005550006"), 4, 4),
        (("--from-number", "+15005550007"), 0, 0),
        (("--from", "2026-03-03"), 1, 1),
        (("--to", "2026-03-02"), 3, 3),
        (("--from", "2026-03-02", "--to", "2026-03-03", "--account", "cl"), 2, 2),
        (("--day", "today"), 0, 0),
    ],
)
def test_a_report_may_be_restricted(
    speechctl: Speechctl, words: tuple[str, ...], calls: int, jobs: int
) -> None:
    found = ask(speechctl, *words)
    assert (found["calls"]["total"], found["jobs"]["total"]) == (calls, jobs)
    for table in ("days", "hours", "attempts", "agents"):
        assert sum(row["calls"] for row in found[table]) == calls


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--day", "03/02/2026"), "is not a day; write it as 2026-11-30, or today, or yesterday"),
        (("--from", "2026-03-03", "--to", "2026-03-02"), "to: 2026-03-02 is before --from 2026-03-03"),
        (("--day", "today", "--from", "2026-03-02"), "give either --day, or --from and --to"),
        (("--number", "hello"), "is not a phone number; write +56912345678"),
        (("--from-number", "12"), "cannot be understood"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_is_allowed(
    speechctl: Speechctl, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in speechctl("report", *words, status=2)


def test_people_and_machines_are_told_apart_and_the_rate_is_explained(speechctl: Speechctl) -> None:
    shown = speechctl("report")
    assert "2 of 4 people reached: contact rate 50 %" in shown
    assert "contact rate: the share of the people called whom a call reached: a person answered" in shown
    assert "by a machine: 1, 1 of these as Retell's later analysis found" in shown
    assert "charged for each person reached: 51 CLP, 51.00 MXN" in shown


def yesterday(zone: str) -> datetime:
    return datetime.now(ZoneInfo(zone)) - timedelta(days=1)


def test_a_file_for_each_account_is_written_and_overwrites_none(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    place = tmp_path / "reports"
    place.mkdir()
    database.accounts.insert_one({"account_id": "idle", "timezone": SANTIAGO})
    for number, (account, zone) in enumerate((("cl", SANTIAGO), ("mx", MEXICO)), 5):
        database.call_results.insert_one(call(number, account, yesterday(zone).astimezone(UTC)))
    command = ("report", "--day", "yesterday", "--directory", str(place), "--format", "xlsx")
    shown = speechctl(*command)
    files = {
        zone: place / f"report-{name}-{yesterday(zone).date()}.xlsx"
        for name, zone in (("cl", SANTIAGO), ("mx", MEXICO))
    }
    assert sorted(place.iterdir()) == sorted(files.values())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}
    assert "there was no call and no payment in idle: no report is written" in shown
    book = python_calamine.CalamineWorkbook.from_path(str(files[MEXICO]))
    summary = {row[0]: row[1] for row in book.get_sheet_by_name("Summary").to_python()}
    assert (summary["Calls"], summary["People reached"], summary["Charged credit (MXN)"]) == (1, 1, 25.5)
    titles, row = book.get_sheet_by_name("Days").to_python()
    found = dict(zip(titles, row, strict=True))
    assert (found["Day"], found["Calls"]) == (yesterday(MEXICO).date(), 1)

    before = {file: file.read_bytes() for file in place.iterdir()}
    main_output = speechctl(*command, "--account", "mx", "--json", status=1)
    assert main_output == ""
    assert {file: file.read_bytes() for file in place.iterdir()} == before
    database.call_results.insert_one(call(7, "mx", yesterday(MEXICO).astimezone(UTC)))
    assert "is written anew to" in speechctl(*command, "--replace", "--account", "mx")
    assert files[MEXICO].read_bytes() != before[files[MEXICO]]
    assert files[SANTIAGO].read_bytes() == before[files[SANTIAGO]]


def test_options_of_files_that_contradict_each_other_are_refused(
    speechctl: Speechctl, tmp_path: Path
) -> None:
    both = ("--output", "x.md", "--directory", str(tmp_path))
    assert "give one" in speechctl("report", "--format", "markdown", *both, status=2)
    assert "there is no such directory" in speechctl("report", "--directory", "nowhere", status=2)
    assert "--replace is for --directory" in speechctl("report", "--replace", status=2)


def test_without_any_account_there_is_one_file_of_everything(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    database.accounts.delete_many({})
    speechctl("report", "--directory", str(tmp_path), "--format", "markdown")
    (file,) = tmp_path.glob("report-*")
    assert file.name == "report-all-everything.md"
    assert "- **Calls**: 4, 3 connected" in file.read_text()
