"""Files as programs save them, and files that cannot be used."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from speechaid.campaign import tables, workbook_scan
from speechaid.campaign.number_list import read_numbers
from speechaid.errors import ImportFailed
from speechaid.protocol.translation import in_language
from speechctl.sheets import write_bad_rows
from tests.support.contacts import parse_contacts

TEXT = "Nombre{d}Teléfono{d}Nota\nMuñoz{d}955550001{d}«ok»\n"


def workbook(rows: list[list[object]], *, first_sheet_empty: bool = False) -> bytes:
    made = io.BytesIO()
    book = xlsxwriter.Workbook(made, {"in_memory": True})
    if first_sheet_empty:
        book.add_worksheet()
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        sheet.write_row(number, 0, row)
    book.close()
    return made.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
def test_every_encoding_and_delimiter_of_spreadsheet_programs_is_read(encoding: str, delimiter: str) -> None:
    (row,) = parse_contacts(TEXT.format(d=delimiter).encode(encoding)).rows
    assert (row.name, row.phones) == ("Muñoz", ("+56955550001",))
    assert row.additional_info == {"Nota": "«ok»"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(line_end: str) -> None:
    (row,) = parse_contacts(TEXT.format(d=",").replace("\n", line_end).encode()).rows
    assert (row.line, row.name) == (2, "Muñoz")


def test_a_delimiter_line_is_used_and_counted() -> None:
    (row,) = parse_contacts(b"sep=;\r\nphone;name\r\n955550001;a,b\r\n").rows
    assert (row.line, row.name) == (3, "a,b")


def test_commas_in_the_names_of_columns_do_not_hide_the_delimiter() -> None:
    (row,) = parse_contacts(b'phone;"a,b,c,d";"e,f,g"\n955550001;1;2\n').rows
    assert row.additional_info == {"a,b,c,d": "1", "e,f,g": "2"}


@pytest.mark.parametrize("data", [b"", b"\n \r\n\t", b"\xef\xbb\xbf", b"\0\0\0"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(ImportFailed, match=r"contacts\.csv: the file is empty"):
        parse_contacts(data)


def test_a_header_without_contacts_is_refused() -> None:
    with pytest.raises(ImportFailed, match="no contact below the header"):
        parse_contacts(b"name,phone\n\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\x01\x02" * 100, "neither text nor a spreadsheet"),
        (b"PK\x03\x04 no zip at all", "cannot be read"),
        (b"\xd0\xcf\x11\xe0 no old Excel", "cannot be read"),
        (",".join(["phone", *map(str, range(999))]).encode() + b"\n1", "1000 columns; at most 200"),
        (b"phone\n" + b'"x\n' * 2_000, "records with broken quotes"),
        (b'"phone\n955550001', "header cannot be read"),
    ],
)
def test_an_unusable_file_is_refused_with_one_message(data: bytes, message: str) -> None:
    with pytest.raises(ImportFailed, match=message):
        parse_contacts(data)


def test_a_too_large_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_BYTES", 10)
    with pytest.raises(ImportFailed, match="split it"):
        parse_contacts(b"phone\n955550001\n")


def test_a_giant_cell_is_a_bad_row_and_the_next_row_is_read() -> None:
    parsed = parse_contacts(b'phone\n"' + b"9" * 300_000 + b'"\n955550001\n')
    assert [row.line for row in parsed.rows] == [3]
    assert "larger than 128 kB" in parsed.bad_rows[0].reason


def test_control_characters_are_removed() -> None:
    (row,) = parse_contacts(b"name,phone\nAna\x1b[2J,955550001\n").rows
    assert row.name == "Ana[2J"


@pytest.mark.parametrize("filename", ["a.xlsx", "a.XLS", "a.ods"])
def test_a_text_file_with_a_spreadsheets_name_is_refused(filename: str) -> None:
    with pytest.raises(ImportFailed, match="not a spreadsheet"):
        parse_contacts(b"phone\n955550001\n", filename)


def test_a_workbook_is_read_with_its_numbers_and_dates() -> None:
    rows: list[list[object]] = [
        ["Nombre", "RUT", "Celular", "Monto", "Vencimiento", "Cuotas"],
        ["Ana", 11111111, 56955550001, 150000.5, "2026-07-31", 3],
        [],
        ["Eva", "2-7", "955550002", "1.500", "31/07/2026", 2.5],
        # The point of a number cell is a decimal point.
        ["Luz", "3-5", "955550003", 150.125, "", ""],
    ]
    parsed = parse_contacts(workbook(rows, first_sheet_empty=True), "contacts.xlsx")
    first, second, third = parsed.rows
    assert third.debt_amount == 150.125
    assert (first.dni, first.phones, first.debt_amount) == ("11111111", ("+56955550001",), 150000.5)
    assert first.additional_info == {"Cuotas": "3"}
    assert (second.line, second.debt_amount, second.due_date) == (4, 1500, "2026-07-31")


def test_a_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_scan, "MAX_UNPACKED_BYTES", 1_000_000)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 2_000_000)
    with pytest.raises(ImportFailed, match="unpacks to more than"):
        parse_contacts(made.getvalue(), "bomb.xlsx")


def fault_of(data: bytes) -> str:
    """Why the whole file was refused; empty where it was read."""
    try:
        parsed = parse_contacts(data)
    except ImportFailed as exc:
        return str(exc)
    assert parsed.rows or parsed.bad_rows
    assert all(row.phones for row in parsed.rows)
    return ""


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_one_message(data: bytes) -> None:
    for content in (data, b"phone,name\n" + data, b"PK\x03\x04" + data):
        fault = fault_of(content)
        assert not fault or fault.startswith("contacts.csv: ")


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5))
def test_any_text_is_read_or_refused_with_one_message(cells: list[tuple[str, str]]) -> None:
    lines = "".join(f'"{name}","{phone}"\n' for name, phone in cells)
    fault = fault_of(f"name,phone\n{lines}".encode("utf-8", "replace"))
    assert not fault or fault.startswith("contacts.csv: ")


BACK_AGAIN = ("$ 1.234.567,-", "=1+1", "-5", "x,-y", "+a;=b", "@cmd", "a,'b", "uno\n-dos", " =1", "sí")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("text", BACK_AGAIN)
def test_a_file_of_bad_rows_gives_its_cells_back_as_they_were(
    text: str, delimiter: str, tmp_path: Path
) -> None:
    form = {"titles": ["Nombre", "Celular", "Nota"], "delimiter": delimiter, "decimal": ",", "codec": "utf_8"}
    rows = [{"line": 2, "reason": "no phone number", "cells": ["Ana", "955550101", text]}]
    write_bad_rows(str(tmp_path / "bad.csv"), rows, form)
    (row,) = parse_contacts((tmp_path / "bad.csv").read_bytes()).rows
    assert row.additional_info == {"Nota": text.strip()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_file_of_bad_rows_in_spanish_gives_its_quotes_back(delimiter: str, tmp_path: Path) -> None:
    cells = ['Ana "la Flaca" Pérez', '"12"; 34', "«la de la esquina», dijo 'no'"]
    source = io.StringIO(newline="")
    csv.writer(source, delimiter=delimiter).writerows([["Nombre", "Celular", "Nota"], cells])
    (bad,) = parse_contacts(source.getvalue().encode()).bad_rows
    reason = in_language(bad.reason, "es")
    assert reason != bad.reason
    form = {"titles": ["Nombre", "Celular", "Nota"], "delimiter": delimiter, "decimal": ",", "codec": "utf_8"}
    rows = [{"line": bad.line, "reason": reason, "cells": list(bad.cells)}]
    write_bad_rows(str(tmp_path / "bad.csv"), rows, form)
    data = (tmp_path / "bad.csv").read_bytes()
    first, second = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    assert first == ["_line", "_reason", "Nombre", "Celular", "Nota"]
    assert second[1] == reason
    (again,) = parse_contacts(data).bad_rows
    assert list(again.cells)[2:] == cells


def test_a_closed_sum_passes_again_and_a_row_that_stays_bad_is_the_same_again() -> None:
    parsed = parse_contacts(
        b"_line;_reason;Nombre;Celular;Monto\n2;no phone number;Ana;955550101;$ 1.234.567,'-\n"
        b"3;no phone number;Eva;;$ 9.999,'-\n"
    )
    assert [row.debt_amount for row in parsed.rows] == [1234567]
    assert [bad.cells[2:] for bad in parsed.bad_rows] == [["Eva", "", "$ 9.999,-"]]


@pytest.mark.parametrize("title", ["telefono", "monto", "fecha de vencimiento", "rut"])
@pytest.mark.parametrize(
    "cell", ["x" * 9_000, "9 " * 4_500, "1/" * 4_500], ids=["letters", "digits", "dates"]
)
def test_no_sentence_about_a_row_repeats_a_long_title_or_cell(title: str, cell: str) -> None:
    parsed = parse_contacts(f"phone;{title} {cell}\n955550101;{cell}\n1;2\n".encode(), "long.csv")
    sentences = [row.reason for row in parsed.bad_rows] + [str(one) for one in parsed.columns.remarks]
    assert sentences
    assert all(len(sentence) < 500 for sentence in sentences)


@pytest.mark.parametrize("data", [b" \n\n", b"\x01\x01\n", b";;;"])
def test_a_list_of_numbers_with_blanks_alone_is_one_sentence(data: bytes) -> None:
    with pytest.raises(ImportFailed, match=r"^dnc\.csv: "):
        read_numbers(data, "dnc.csv", countries=["CL"])
