"""LibreOffice opens what speechctl writes and shows what the database has; what it saves is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from pymongo.database import Database
from xlsxwriter import Workbook

from tests.integration.commands.conftest import Speechctl
from tests.integration.commands.test_lists_and_exports import Document, add_results
from tests.support.contacts import parse_contacts
from tests.support.libreoffice import Shown, opened, saved_as

#: Spanish of Chile, Spanish of Mexico, in Microsoft's list of languages.
CHILE: Final = 13322
MEXICO: Final = 2058
PLACED_AT: Final = datetime(2026, 7, 1, 2, 30, tzinfo=UTC)
SANTIAGO: Final = ZoneInfo("America/Santiago")


@pytest.fixture
def exported(speechctl: Speechctl, database: Database[Document], tmp_path: Path) -> Path:
    """A directory with each kind of file, in CSV and XLSX."""
    add_results(database, 2)
    fields = {
        "job_id": "00042",
        "batch_id": "batch-1",
        "contact": {"name": "Ñandú; \"Ávila\", 'x'", "dni": "012345678", "phone_used": "+56912345671"},
        "call_data": {"call_analysis": {"call_summary": "línea 1\nlínea 2; =1+1"}},
        "duration_ms": 61_500,
        "is_successful": False,
        "outcome": "no_answer",
        "cost": 0.165,
        "charged": {"minutes": 1234.5, "credit": 0.000012},
        "placed_at": PLACED_AT,
        "created_at": PLACED_AT,
    }
    database.call_results.insert_one({"call_id": "call_z", **fields})
    database.jobs.insert_one(
        {
            "job_id": "00042",
            "batch_id": "batch-1",
            "status": "pending",
            "contact": {"name": "-Ana", "dni": "012345678", "phones": ["+56912345671", "+56912345672"]},
            "payload": {
                "debt_amount": 1234567.5,
                "due_date": "2026-12-31",
                "reference_number": "0000123456789012345",
            },
            "created_at": PLACED_AT,
        }
    )
    speechctl("dnc-add", "+56912345679")
    for what in ("calls", "jobs", "promises", "dnc"):
        for ending in ("csv", "xlsx"):
            speechctl("export", str(tmp_path / f"{what}.{ending}"), "--what", what)
    speechctl("report", "--format", "xlsx", "--output", str(tmp_path / "report.xlsx"))
    contacts = tmp_path / "march.csv"
    contacts.write_bytes(
        'Nombre;Teléfono;Monto\nÑandú;no tiene;"1.234,50"\nSoto;955550101;1\n'.encode("cp1252")
    )
    speechctl("import", str(contacts), "--accept", "unassigned", "--bad-rows", str(tmp_path / "bad.xlsx"))
    return tmp_path


def by_title(sheet: list[list[Shown]], key: str, wanted: str) -> dict[str, Shown]:
    titles = [cell.text for cell in sheet[0]]
    (row,) = [row for row in sheet[1:] if row[titles.index(key)].text == wanted]
    return dict(zip(titles, row, strict=False))


def check_call(call: dict[str, Shown]) -> None:
    """What holds for CSV and XLSX alike."""
    local = PLACED_AT.astimezone(SANTIAGO)
    assert call["name"].text == "Ñandú; \"Ávila\", 'x'"
    placed = call["placed_at (America/Santiago)"]
    assert (placed.type, placed.value) == ("date", local.strftime("%Y-%m-%dT%H:%M:%S"))
    for column, value in (("cost", 0.165), ("seconds", 61.5), ("charged_minutes", 1234.5)):
        assert (call[column].type, float(call[column].value)) == ("float", value)
    assert float(call["charged_credit"].value) == 0.000012


@pytest.mark.slow
def test_libreoffice_shows_the_values_of_the_database_in_workbooks(exported: Path) -> None:
    names = ("calls", "jobs", "promises", "dnc", "report", "bad")
    found = opened([exported / f"{name}.xlsx" for name in names], exported, locale_id=CHILE)
    call = by_title(found["calls.xlsx"]["Calls"], "call_id", "call_z")
    check_call(call)
    assert call["placed_at (America/Santiago)"].text == "2026-06-30 22:30:00"
    assert call["summary"].text == "línea 1\nlínea 2; =1+1"
    assert (call["job_id"].type, call["job_id"].text) == ("string", "00042")
    assert (call["phone"].type, call["phone"].text) == ("string", "+56912345671")
    assert call["successful"].text == "FALSE"
    assert by_title(found["calls.xlsx"]["Calls"], "call_id", "call_0")["name"].text == "=HYPERLINK(1)"

    job = by_title(found["jobs.xlsx"]["Jobs"], "job_id", "00042")
    assert [job[title].text for title in ("name", "dni", "phones")] == [
        "-Ana",
        "012345678",
        "+56912345671, +56912345672",
    ]
    assert job["reference_number"].text == "0000123456789012345"
    assert (job["debt_amount"].type, float(job["debt_amount"].value)) == ("float", 1234567.5)
    assert (job["due_date"].type, job["due_date"].value) == ("date", "2026-12-31")
    promise = by_title(found["promises.xlsx"]["Promises"], "job_id", "a")
    assert (promise["promised_day"].type, promise["promised_day"].value) == ("date", "2026-03-15")
    assert (promise["promised_day_as_told"].type, promise["promised_amount"].value) == ("string", "15000")
    assert by_title(found["dnc.xlsx"]["Dnc"], "phone", "+56912345679")["phone"].type == "string"

    summary = {row[0].text: row[1] for row in found["report.xlsx"]["Summary"]}
    assert (summary["Calls"].value, summary["Batch"].text) == ("4", "all")
    assert (summary["Success rate"].type, summary["As of (America/Santiago)"].type) == ("percentage", "date")
    assert summary["Success rate"].text == "66.7%"
    assert [row[0].value for row in found["report.xlsx"]["Promises by day"]] == ["Day", "2026-03-15"]
    bad = by_title(found["bad.xlsx"]["Bad rows"], "_line", "2")
    assert [bad[title].text for title in ("Nombre", "Teléfono", "Monto")] == ["Ñandú", "no tiene", "1.234,50"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "locale_id", "delimiter"), [("es_CL", CHILE, ";"), ("es_MX", MEXICO, ",")]
)
def test_libreoffice_shows_the_values_of_the_database_in_csv(
    exported: Path, speechctl: Speechctl, locale: str, locale_id: int, delimiter: str
) -> None:
    names = ("calls", "jobs", "promises", "dnc")
    for name in names:
        speechctl("export", str(exported / f"{name}.csv"), "--what", name, "--locale", locale)
    files = [exported / f"{name}.csv" for name in names]
    found = opened(files, exported, locale_id=locale_id, delimiter=delimiter)
    sheets: dict[str, Any] = {name: found[f"{name}.csv"][name] for name in names}
    call = by_title(sheets["calls"], "call_id", "call_z")
    check_call(call)
    # Before what another reader would calculate stands an apostrophe.
    summary = "línea 1\nlínea 2;' =1+1" if delimiter == "," else "línea 1\nlínea 2; =1+1"
    assert call["summary"].text == summary
    assert by_title(sheets["calls"], "call_id", "call_0")["name"].text == "'=HYPERLINK(1)"
    job = by_title(sheets["jobs"], "name", "'-Ana")
    assert (job["debt_amount"].type, float(job["debt_amount"].value)) == ("float", 1234567.5)
    assert (job["due_date"].type, job["due_date"].value) == ("date", "2026-12-31")
    promise = by_title(sheets["promises"], "job_id", "a")
    assert (promise["promised_day"].value, promise["promised_amount"].value) == ("2026-03-15", "15000")
    assert len(sheets["dnc"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["xls", "ods", "xlsx"])
def test_a_workbook_that_libreoffice_saves_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "made.xlsx"
    with Workbook(path) as book:
        book.add_worksheet("Pagados").write_column(0, 0, ["Celular", 955550199])
        book.worksheets()[0].hide()
        sheet = book.add_worksheet("Deudores")
        sheet.activate()
        sheet.write_row(0, 0, ["Nombre", "Celular", "Monto", "Vencimiento"])
        sheet.write_row(1, 0, ["Ñandú", 955550101])
        sheet.write_number(1, 2, 12.5, book.add_format({"num_format": '"UF" 0.00'}))
        sheet.write_datetime(1, 3, PLACED_AT.date(), book.add_format({"num_format": "dd-mm-yyyy"}))
        sheet.write_row(2, 0, ["Eva", 955550102])
        sheet.set_row(2, None, None, {"hidden": True})
    saved = saved_as(path, ending, tmp_path)
    parsed = parse_contacts(saved.read_bytes(), saved.name)
    row = parsed.rows[0]
    assert (row.name, row.phones, row.debt_amount, row.due_date) == (
        "Ñandú",
        ("+56955550101",),
        12.5,
        "2026-07-01",
    )
    is_scanned = ending == "xlsx"
    assert row.currency == ("CLF" if is_scanned else None)
    assert len(parsed.rows) == (1 if is_scanned else 2)
    assert any("save it as XLSX" in remark.text for remark in parsed.remarks) is not is_scanned
    assert (parsed.source.sheet, parsed.source.other_sheets) == ("Deudores", ("Pagados (hidden)",))
