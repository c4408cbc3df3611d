"""The do-not-call list, imports with bad rows, and exports: from the command line to the database."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import python_calamine
from pymongo.database import Database
from xlsxwriter import Workbook

from speechaid.model.masking import mask_phone
from speechaid.rules.numbers import is_valid
from tests.integration.commands.conftest import Speechctl
from tests.support.contacts import parse_contacts

Document = dict[str, Any]


def rows_of(path: Path, delimiter: str = ";") -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_a_number_can_be_added_found_and_removed(speechctl: Speechctl, database: Database[Document]) -> None:
    assert "will not be called again" in speechctl(
        "dnc-add", "9 1234 5678", "--country", "CL", "--reason", "asked"
    )
    (entry,) = database.speechaid_do_not_call.find({})
    assert entry["_id"] == "+56912345678"
    assert entry["source"].endswith(": asked")
    shown = speechctl("dnc", "+56912345678")
    assert "is on the list since" in shown
    assert "12345678" not in shown  # masked
    assert "already" in speechctl("dnc-add", "+56912345678")
    assert "may be called again" in speechctl("dnc-remove", "+56912345678")
    assert "is not on the list" in speechctl("dnc", "+56912345678")
    assert "not a phone number" in speechctl("dnc-add", "hello", status=2)
    recorded = {line["command"]: line for line in database.call_logs.find({"event": "command"})}
    assert "12345678" not in str(recorded.get("dnc-remove"))


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("09-76543210", ["+56976543210"]),
        ("9 7654 3210 no llamar", ["+56976543210"]),
        ("22 555 0101 anexo 12", ["+56225550101"]),
        ("9 1111 1111", ["+56911111111"]),
        ("55 1234 5678", ["+525512345678", "+565512345678"]),
        ("+54 9 11 5555-0101", ["+5491155550101"]),
    ],
)
def test_an_opt_out_is_never_refused_for_its_form(
    speechctl: Speechctl, database: Database[Document], written: str, listed: list[str]
) -> None:
    database.batches.insert_one({"batch_id": "batch-mx", "country": "MX"})
    database.accounts.insert_one({"account_id": "acc-cl", "country": "cl"})
    shown = speechctl("dnc-add", written)
    entries = database.speechaid_do_not_call.find({"spelling_of": None})
    assert sorted(entry["_id"] for entry in entries) == listed
    for number in listed:
        assert mask_phone(number) in shown
    assert ("no numbering plan has this number" in shown) == any(not is_valid(number) for number in listed)
    assert "is on the list since" in speechctl("dnc", written)
    assert "may be called again" in speechctl("dnc-remove", written)
    assert database.speechaid_do_not_call.count_documents({}) == 0


def test_what_no_job_can_be_dialled_with_is_refused_since_listing_it_protects_no_one(
    speechctl: Speechctl, database: Database[Document]
) -> None:
    assert "nothing is changed" in speechctl("dnc-add", "976543", status=2)
    assert database.speechaid_do_not_call.count_documents({}) == 0


def test_opt_outs_of_a_file_are_not_refused_for_their_form(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    path = tmp_path / "opt-outs.csv"
    path.write_text("telefono;nota\n9 7654 3210 no llamar;x\n22 555 0101 anexo 9;y\n9 1111 1111;\nno;z\n")
    shown = speechctl("dnc-import", str(path), "--country", "CL")
    assert "3 numbers, 3 of them new" in shown
    assert "line 5" in shown
    assert {entry["_id"] for entry in database.speechaid_do_not_call.find({})} == {
        "+56976543210",
        "+56225550101",
        "+56911111111",
    }


def test_a_number_is_found_and_removed_in_every_spelling(
    speechctl: Speechctl, database: Database[Document]
) -> None:
    """An entry that an earlier version wrote; its twin would go on to protect the line."""
    database.speechaid_do_not_call.insert_one({"_id": "+541155550101", "source": "an earlier version"})
    assert "is on the list" in speechctl("dnc", "+54 9 11 5555 0101")
    assert "already on the list" in speechctl("dnc-add", "+54 9 11 5555 0101")
    assert "may be called again" in speechctl("dnc-remove", "011 15 5555 0101", "--country", "AR")
    assert database.speechaid_do_not_call.count_documents({}) == 0


def test_the_list_can_be_imported_and_exported(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    bare = tmp_path / "bare.txt"
    bare.write_text("+56912345671\n+56912345672\nnot a number\n+56912345671\n")
    assert "2 of them not listed yet" in speechctl("dnc-import", str(bare), "--dry-run")
    assert database.speechaid_do_not_call.count_documents({}) == 0
    shown = speechctl("dnc-import", str(bare))
    assert "2 of them new" in shown
    assert "line 3" in shown
    named = tmp_path / "named.csv"
    named.write_text("nombre;telefono\nAna;9 1234 5672\nEva;9 1234 5673\n")
    assert "2 numbers, 1 of them new" in speechctl("dnc-import", str(named), "--country", "CL")

    out = tmp_path / "list.csv"
    assert "3 rows" in speechctl("export", str(out), "--what", "dnc")
    assert [row["phone"] for row in rows_of(out)] == [f"+5691234567{last}" for last in (1, 2, 3)]
    assert "0 of them new" in speechctl("dnc-import", str(out))


class Keyboard(io.StringIO):
    """Standard input of an interactive terminal."""

    def isatty(self) -> bool:
        return True


def test_a_command_that_cannot_be_done_asks_for_no_confirmation(
    speechctl: Speechctl, database: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("n\nn\n"))
    for words in (
        ["hang-up", "zzz"],
        ["cancel-job", "zzz"],
        ["cancel-batch", "zzz"],
        ["reset-jobs", "--batch", "z"],
    ):
        printed = speechctl(*words, status=1, yes=False)
        assert "there is no" in printed
        assert "[y/N]" not in printed
    database.jobs.insert_one({"job_id": "job-1", "status": "pending", "contact": {}})
    assert "Cancel job-1? [y/N]" in speechctl("cancel-job", "job-1", status=1, yes=False)
    database.batches.insert_one({"batch_id": "batch-1"})
    assert "batch-1 that is not finished? [y/N]" in speechctl("cancel-batch", "batch-1", status=1, yes=False)


CONTACTS = """nombre,telefono,monto,referencia
Ana,+56955550071,1000,A-1
Luis,not a phone,2000,A-2
Eva,+56955550073,a lot,A-3
Sol,+56955550074,3000,A-4
"""


def test_bad_rows_can_be_written_corrected_and_imported(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    file, bad = tmp_path / "march.csv", tmp_path / "bad.csv"
    file.write_text(CONTACTS)
    speechctl("import", str(file), "--bad-rows", str(bad))
    rows = rows_of(bad, ",")
    assert [(row["_line"], row["nombre"], row["monto"]) for row in rows] == [
        ("3", "Luis", "2000"),
        ("4", "Eva", "a lot"),
    ]
    assert "letters stand inside the number" in rows[0]["_reason"]

    bad.write_text(bad.read_text().replace("not a phone", "+56955550072").replace("a lot", "500"))
    batch = database.batches.find_one({})
    assert batch is not None
    into = ("import", str(bad), "--batch", batch["batch_id"])
    refused = speechctl(
        *into, "--hours", "09:00-18:00", "--days", "1-5", "--retry-delay-hours", "0", status=2
    )
    assert refused.strip().endswith("leave out --hours, --days, --retry-delay-hours")
    assert "leave out --priority" in speechctl(*into, "--priority", "high", status=2)
    assert "2 contacts imported" in speechctl(*into)
    assert database.jobs.count_documents({"batch_id": batch["batch_id"]}) == 4
    eva = database.jobs.find_one({"contact.name": "Eva"})
    assert eva is not None
    assert eva["payload"] == {"debt_amount": 500, "reference_number": "A-3", "additional_info": {}}


def test_the_file_of_bad_rows_has_the_form_of_the_input(speechctl: Speechctl, tmp_path: Path) -> None:
    file, bad = tmp_path / "march.csv", tmp_path / "bad.csv"
    text = 'Título;;\nNombre;Teléfono;Año\nÑandú;+56955550071;1\nPeña;no tiene;2\nSoto;x;3;"4;5"\n'
    file.write_bytes(text.encode("cp1252"))
    speechctl("import", str(file), "--bad-rows", str(bad))
    lines = bad.read_bytes().decode("cp1252").splitlines()
    assert lines[0] == "_line;_reason;Nombre;Teléfono;Año"
    assert lines[1].startswith("4;")
    assert lines[1].endswith(";Peña;no tiene;2")
    assert lines[2].startswith("5;")
    assert lines[2].endswith(';Soto;x;3;"4;5"')
    assert bad.stat().st_mode & 0o777 == 0o600


def mended(path: Path, *changes: tuple[str, str]) -> None:
    """Mend a file of bad rows as its owner would: cells are typed anew, all others stay."""
    if path.suffix == ".csv":
        data = path.read_bytes()
        encoding = "utf-16" if data.startswith(b"\xff\xfe") else "utf-8-sig"
        if not data.startswith((b"\xff\xfe", b"\xef\xbb\xbf")):
            encoding = "cp1252"
        text = data.decode(encoding)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_bytes(text.encode(encoding))
        return
    rows = python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()
    with Workbook(path, {"strings_to_formulas": False}) as book:
        sheet = book.add_worksheet()
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                typed = dict(changes).get(str(cell), cell)
                sheet.write(number, column, typed, day if isinstance(cell, date) else None)


TITLES = ("Nombre", "RUT", "Teléfono", "Monto", "Vencimiento", "", "Nota", "Nota")
ROWS: tuple[tuple[object, ...], ...] = (
    ("Ñandú Ávila", "1-9", "no tiene", 150.125, date(2026, 3, 31), "", "línea 1\nlínea 2", "b"),
    ("Peña; Soto", "00012345", 955550102, "mucho", date(2026, 4, 1), "", '"x"', "=1+1"),
    ("Zoë", "3-5", "955550103", 1500, date(2026, 5, 2), "", "", ""),
)
CHANGES = (("no tiene", "955550101"), ("mucho", "2000"))


def file_of(form: str, directory: Path, rows: Sequence[Sequence[object]]) -> Path:
    """A contacts file of these rows below a title: a workbook, or CSV as ``DELIMITER ENCODING``."""
    if form == "xlsx":
        path = directory / "march.xlsx"
        with Workbook(path, {"strings_to_formulas": False}) as book:
            sheet = book.add_worksheet()
            day = book.add_format({"num_format": "dd-mm-yyyy"})
            for number, row in enumerate([("Marzo",), TITLES, *rows]):
                for column, cell in enumerate(row):
                    sheet.write(number, column, cell, day if isinstance(cell, date) else None)
        return path
    delimiter, encoding = form.split()
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("Marzo",), TITLES, *rows])
    path = directory / "march.csv"
    path.write_bytes(text.getvalue().replace("150.125", "150.12").encode(encoding))
    return path


@pytest.mark.parametrize("form", ["xlsx", "; cp1252", ", utf-8-sig", "| utf-16", "; utf-8"])
def test_a_mended_file_of_bad_rows_brings_what_the_right_file_would_have_brought(
    form: str, speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    ending = "xlsx" if form == "xlsx" else "csv"
    bad, right = tmp_path / f"bad.{ending}", tmp_path / f"right.{ending}"
    options = ("--map", "6=variable", "--accept", "unassigned")
    speechctl("import", str(file_of(form, tmp_path, ROWS)), "--bad-rows", str(bad), *options)
    (batch,) = database.batches.find({})
    into = ("--batch", batch["batch_id"], "--accept", "unassigned")
    # Mended in two steps: a row that is still bad comes out again, in the same form.
    mended(bad, CHANGES[0])
    speechctl("import", str(bad), "--bad-rows", str(right), *into)
    mended(right, CHANGES[1])
    speechctl("import", str(right), *into)

    (tmp_path / "whole").mkdir()
    typed = dict(CHANGES)
    rows = [[typed.get(str(cell), cell) for cell in row] for row in ROWS]
    whole = file_of(form, tmp_path / "whole", rows)
    speechctl("import", str(whole), "--duplicates", "keep", "--name", "whole", *options)
    parts, wholes = (
        {job["contact"]["name"]: (job["contact"], job["payload"]) for job in database.jobs.find(query)}
        for query in ({"batch_id": batch["batch_id"]}, {"batch_id": {"$ne": batch["batch_id"]}})
    )
    assert parts == wholes
    assert len(parts) == 3


def test_bad_rows_of_a_workbook_can_be_written_as_csv_and_no_amount_changes(
    speechctl: Speechctl, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.csv"
    speechctl("import", str(file_of("xlsx", tmp_path, ROWS)), "--bad-rows", str(bad), "--country", "CL")
    first, second = rows_of(bad, ";")
    assert (first["Monto"], first["Vencimiento"]) == ("150.1250", "2026-03-31")
    assert (second["RUT"], second["Teléfono"]) == ("00012345", "955550102")
    parsed = parse_contacts(bad.read_bytes().replace(b"no tiene", b"955550101"))
    assert "cannot be told apart" in parsed.bad_rows[0].reason


def test_what_a_workbook_hides_or_counts_otherwise_stays_so_in_its_bad_rows(
    speechctl: Speechctl, tmp_path: Path
) -> None:
    file, bad = tmp_path / "march.xlsx", tmp_path / "bad.xlsx"
    with Workbook(file, {"date_1904": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["Nombre", "Celular", "Celular 2", "Vencimiento", "Monto"])
        sheet.write_row(1, 0, ["Ana", "no tiene", 955550102, 44925])
        sheet.write_number(1, 4, 12.5, book.add_format({"num_format": '"UF" 0.0'}))
        sheet.write_row(2, 0, ["Eva", 955550103])
        sheet.set_column(2, 2, None, None, {"hidden": True})
    speechctl("import", str(file), "--bad-rows", str(bad), "--accept", "unassigned")
    mended(bad, ("no tiene", "955550101"))
    (row,) = parse_contacts(bad.read_bytes(), "bad.xlsx").rows
    assert (row.phones, row.due_date) == (("+56955550101",), "2026-12-31")
    assert (row.debt_amount, row.currency) == (12.5, "CLF")


def add_results(database: Database[Document], count: int) -> None:
    database.batches.insert_one({"batch_id": "batch-1", "name": "March"})
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    database.call_results.insert_many(
        {
            "call_id": f"call_{number}",
            "job_id": f"job-{number}",
            "batch_id": "batch-1",
            "contact": {"name": "=HYPERLINK(1)", "dni": "1-9", "phone_used": "+56912345671"},
            "call_data": {"call_analysis": {"call_summary": "said yes"}, "recording_url": "https://x"},
            "duration_ms": 90_000,
            "is_successful": True,
            "outcome": "answered",
            "cost": 0.165,
            "attempt": 0,
            "phone_index": 1,
            "placed_at": at,
            "created_at": at,
        }
        for number in range(count)
    )
    # As SpeechAI writes it: another kind of _id, no outcome.
    database.call_results.insert_one({"_id": "old-1", "call_id": "call_old", "job_id": "j", "duration_ms": 0})
    promise = {"fecha_pago_cliente": "15/03/2026", "monto_pago_cliente": "$ 15.000"}
    contact = {"name": "Ana", "phones": ["+56912345671"]}
    database.jobs.insert_many(
        [
            {"job_id": "a", "batch_id": "batch-1", "status": "done", "contact": contact, **promise},
            {"job_id": "b", "batch_id": "batch-1", "status": "completed", "contact": contact},
        ]
    )


def test_results_are_exported_page_by_page_as_csv(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    add_results(database, 7)
    out = tmp_path / "calls.csv"
    assert "8 rows" in speechctl("export", str(out), "--limit", "3")
    rows = rows_of(out)
    assert sorted(row["call_id"] for row in rows) == sorted(["call_old", *(f"call_{n}" for n in range(7))])
    row = next(row for row in rows if row["call_id"] == "call_3")
    assert row["name"] == "'=HYPERLINK(1)"
    assert (row["phone"], row["seconds"], row["cost"]) == ("+56912345671", "90,0", "0,165")
    # The settings' zone, where the batch has no account.
    assert row["placed_at (America/Santiago)"] == "2026-03-02 09:00:00"
    assert (row["attempt"], row["phone_number"], row["summary"]) == ("1", "2", "said yes")
    speechctl("export", str(out), "--batch", "batch-1", "--what", "jobs")
    assert [row["status"] for row in rows_of(out)] == ["done", "done"]
    assert "belongs to no batch" in speechctl(
        "export", str(out), "--batch", "batch-1", "--what", "dnc", status=2
    )


def test_files_have_the_signs_and_the_time_of_the_account(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    add_results(database, 1)
    account = {"account_id": "mx", "country": "MX", "timezone": "America/Mexico_City"}
    database.accounts.insert_one(account)
    database.batches.update_one({"batch_id": "batch-1"}, {"$set": {"account_id": "mx"}})
    out = tmp_path / "calls.csv"
    speechctl("export", str(out), "--batch", "batch-1")
    (row,) = rows_of(out, ",")
    assert (row["cost"], row["placed_at (America/Mexico_City)"]) == ("0.165", "2026-03-02 06:00:00")
    speechctl("export", str(out), "--batch", "batch-1", "--locale", "es_CL")
    assert [row["cost"] for row in rows_of(out, ";")] == ["0,165"]
    assert "such as es_CL" in speechctl("export", str(out), "--locale", "Chile", status=2)
    page = json.loads(speechctl("export", "-", "--batch", "batch-1", "--json"))
    assert page["rows"][0][page["columns"].index("placed_at")] == "2026-03-02 12:00:00"
    assert json.loads(speechctl("report", "--batch", "batch-1", "--json"))["hours"][0]["hour"] == 6


def test_a_workbook_has_the_values_of_the_database_as_what_they_are(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    contact = {"name": "Ana", "dni": "012345678", "phones": ["+56912345671"]}
    payload = {"debt_amount": 150000.5, "due_date": "2026-03-31", "reference_number": "00017"}
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    job = {"job_id": "a", "status": "pending", "contact": contact, "payload": payload, "created_at": at}
    database.jobs.insert_one(job)
    out = tmp_path / "jobs.xlsx"
    speechctl("export", str(out), "--what", "jobs")
    titles, row = python_calamine.CalamineWorkbook.from_path(str(out)).get_sheet_by_index(0).to_python()
    found = dict(zip(titles, row, strict=True))
    assert (found["dni"], found["reference_number"]) == ("012345678", "00017")
    assert (found["phones"], found["debt_amount"]) == ("+56912345671", 150000.5)
    assert found["due_date"] == date(2026, 3, 31)
    assert found["created_at (America/Santiago)"] == datetime.fromisoformat("2026-03-02 09:00:00")


def test_exported_spreadsheets_can_be_read_back(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    add_results(database, 3)
    out, report = tmp_path / "calls.xlsx", tmp_path / "report.xlsx"
    speechctl("export", str(out))
    book = python_calamine.CalamineWorkbook.from_path(str(out))
    titles, *rows = book.get_sheet_by_index(0).to_python()
    assert rows[1][titles.index("name")] == "=HYPERLINK(1)"
    assert rows[1][titles.index("seconds")] == 90
    assert b"<f>" not in zipfile.ZipFile(io.BytesIO(out.read_bytes())).read("xl/worksheets/sheet1.xml")
    assert "needs --output" in speechctl("report", "--format", "xlsx", status=2)
    speechctl("report", "--format", "xlsx", "--output", str(report))
    book = python_calamine.CalamineWorkbook.from_path(str(report))
    assert book.sheet_names[:3] == ["Summary", "Outcomes", "Attempts"]
    summary = {row[0]: row[1] for row in book.get_sheet_by_name("Summary").to_python()}
    assert (summary["Calls"], summary["Promised amount"]) == (4, 15000)
    speechctl("report", "--format", "markdown", "--output", str(tmp_path / "report.md"))
    assert (tmp_path / "report.md").read_text().startswith("# Campaign report")


def test_promises_lists_the_promises_to_pay(speechctl: Speechctl, database: Database[Document]) -> None:
    add_results(database, 1)
    shown = speechctl("promises")
    assert "1 promise to pay" in shown
    assert "2026-03-15" in shown
    assert "15,000" in shown


def test_a_call_and_a_promise_are_exported_with_the_debt_and_its_currency(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    payload = {"debt_amount": 12.5, "currency": "CLF", "reference_number": "00017"}
    database.jobs.insert_many(
        [
            {"job_id": "job-1", "status": "done", "payload": payload, "monto_pago_cliente": "12,5"},
            {
                "job_id": "job-2",
                "status": "done",
                "payload": {"currency": "USD"},
                "monto_pago_cliente": "$ 20",
            },
        ]
    )
    database.call_results.insert_one({"call_id": "call_1", "job_id": "job-1", "outcome": "answered"})
    database.call_results.insert_one({"call_id": "call_2", "job_id": "deleted", "outcome": "answered"})

    def exported(what: str, key: str) -> dict[str, Document]:
        out = tmp_path / f"{what}.xlsx"
        speechctl("export", str(out), "--what", what)
        titles, *rows = python_calamine.CalamineWorkbook.from_path(str(out)).get_sheet_by_index(0).to_python()
        found = [dict(zip(map(str, titles), row, strict=True)) for row in rows]
        return {str(row[key]): dict(row) for row in found}

    calls = exported("calls", "call_id")
    assert [calls["call_1"][name] for name in payload] == [12.5, "CLF", "00017"]
    assert [calls["call_2"][name] for name in payload] == ["", "", ""]
    jobs = exported("jobs", "job_id")
    assert (jobs["job-1"]["currency"], jobs["job-1"]["promised_amount"]) == ("CLF", 12.5)
    promises = exported("promises", "job_id")
    assert (promises["job-2"]["promised_amount"], promises["job-2"]["promised_currency"]) == (20, "USD")
    shown = speechctl("report")
    assert "12.50 CLF, 20.00 USD" in shown


def test_promises_shows_the_soonest_days_wherever_they_stand(
    speechctl: Speechctl, database: Database[Document]
) -> None:
    days = ("2026-05-20", "20/04/2026", "2026-06-20", "someday", "2026-03-20")
    database.jobs.insert_many(
        [{"job_id": f"job-{day}", "status": "done", "fecha_pago_cliente": day} for day in days]
    )
    shown = speechctl("promises", "--limit", "2")
    assert [day for day in ("2026-03-20", "2026-04-20", "2026-05-20", "2026-06-20") if day in shown] == [
        "2026-03-20",
        "2026-04-20",
    ]


def test_a_promise_names_the_phone_and_the_call_that_promised(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    """The job was called again after the promise, on its first phone, and nothing was promised."""
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    contact = {"name": "Ana", "phones": ["+56912345671", "+56912345672"]}
    database.jobs.insert_one(
        {"job_id": "job-1", "status": "failed", "contact": contact, "fecha_pago_cliente": "2026-03-15"}
        | {"call_id": "call_2", "call_ended_at": at.replace(day=4)}
    )
    promised = {"collected_dynamic_variables": {"fecha_pago_cliente": "2026-03-15"}, "transcript": "x"}
    database.call_results.insert_many(
        {"job_id": "job-1", "call_id": f"call_{number}", "contact": {"phone_used": phone}}
        | {"created_at": at.replace(day=2 + number), "call_data": data}
        for number, phone, data in (
            (0, "+56912345671", {}),
            (1, "+56912345672", promised),
            (2, "+56912345671", {}),
        )
    )
    out = tmp_path / "promises.csv"
    speechctl("export", str(out), "--what", "promises")
    (row,) = rows_of(out)
    assert (row["phone"], row["call_id"]) == ("+56912345672", "call_1")
    assert row["called_at (America/Santiago)"] == "2026-03-03 09:00:00"
    (shown,) = json.loads(speechctl("promises", "--json"))["promises"]
    # A list of people, as all others: whole numbers are in exports alone.
    assert (shown["phone"], shown["call_id"]) == ("+569******72", "call_1")


def test_a_spreadsheet_of_contacts_is_read_like_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "march.xlsx"
    book = Workbook(str(path))
    sheet = book.add_worksheet()
    for number, line in enumerate(csv.reader(CONTACTS.splitlines())):
        sheet.write_row(number, 0, line)
    book.close()
    of_sheet = parse_contacts(path.read_bytes(), path.name)
    of_text = parse_contacts(CONTACTS.encode(), "march.csv")
    assert of_sheet.rows == of_text.rows
    assert [row.reason for row in of_sheet.bad_rows] == [row.reason for row in of_text.bad_rows]


# -- ids for completion --------------------------------------------------------------------------------------


def test_ids_that_a_shell_would_expand_are_not_offered_for_completion(
    speechctl: Speechctl, database: Database[Document]
) -> None:
    hostile = ["acme $(reboot)", "acme`id`", "acme;id", "-acme", "acme*", "acm\xe9"]
    database.accounts.insert_many([{"account_id": name} for name in [*hostile, "acme-1"]])
    assert speechctl("ids", "account").split() == ["acme-1"]
    assert speechctl("ids", "account", "acme").split() == ["acme-1"]


def test_ids_that_speechaid_makes_are_offered_for_completion(
    speechctl: Speechctl, database: Database[Document], tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("nombre,telefono\nAna,+56955550101\n")
    speechctl("import", str(file), "--name", "Julio; $(reboot)")
    (job,) = database.jobs.find({})
    assert speechctl("ids", "job").split() == [job["job_id"]]
    assert speechctl("ids", "batch").split() == [job["batch_id"]]
