"""CSV files as spreadsheets read them, by comma, semicolon or tab: no formulas, and phones stay phones."""

from __future__ import annotations

import csv
import re
import stat
import tracemalloc
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import python_calamine
from hypothesis import given
from hypothesis import strategies as st

from speechaid.protocol.sheets import CsvForm, date_or_text, local_time
from speechctl import sheets

#: A number, or several with commas between: a reader calculates nothing.
_HARMLESS = re.compile(r"[+-]?[0-9 ().,/+-]*")


COMMA = CsvForm()
SEMICOLON = CsvForm(delimiter=";", decimal=",")
FORMS = pytest.mark.parametrize("form", [COMMA, SEMICOLON], ids=["comma", "semicolon"])


def written(
    rows: Sequence[Sequence[Any]],
    titles: Sequence[str] = ("a", "b", "c"),
    form: CsvForm | None = None,
) -> str:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "export.csv"
        sheets.write(str(path), [("Export", titles, rows)], form=form)
        return path.read_bytes().decode("utf-8-sig")


def cells(text: str, separator: str) -> list[str]:
    # With line ends as they are: an older reader takes each of them for the end of a row.
    return [cell for row in csv.reader(text.splitlines(keepends=True), delimiter=separator) for cell in row]


def is_formula(cell: str) -> bool:
    bare = cell.lstrip(' "\t\r\n\xa0')
    return bare.startswith(("=", "@")) or (bare.startswith(("+", "-")) and not _HARMLESS.fullmatch(bare))


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "-2+3",
        "+1+1",
        "@SUM(1)",
        "-A1",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        " =1+1",
        '"=1+1"',
        "\uff1d1+1",
        "\uff0bA1",
        "+",
        "x;=1+1",
        "x;-2+3",
        'x;"=1+1"',
        "x\t=1+1",
        "x\n=1+1",
        "x\r\n+A1",
        "x;+56912345678",
        "+56912345678;=1+1",
        "+56912345678,=1+1",
        "x,=1+1",
        "x,+A1",
        "+56912345678, +56912345679",
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@FORMS
def test_no_reader_finds_a_formula_in_a_cell(form: CsvForm, cell: str, separator: str) -> None:
    for row in (["1", "x", cell], [cell, "x", "y"], ["1", cell, "1+cmd|' /C calc'!A0"]):
        found = cells(written([row], form=form), separator)
        assert [cell for cell in found if is_formula(cell)] == []


@given(
    st.lists(
        st.lists(st.text(alphabet="=+-@;,\"' \t\r\n1a", max_size=8), min_size=3, max_size=3),
        min_size=1,
        max_size=3,
    )
)
@FORMS
def test_no_reader_finds_a_formula_in_any_file(form: CsvForm, rows: list[list[str]]) -> None:
    text = written(rows, form=form)
    for separator in ",;\t":
        assert [cell for cell in cells(text, separator) if is_formula(cell)] == []


def test_a_title_of_the_imported_file_is_no_formula_either() -> None:
    text = written([["1", "", ""]], titles=("_line", "=1+1", "x;=1+1"))
    assert text.splitlines()[0] == "_line,'=1+1,x;'=1+1"


@pytest.mark.parametrize(
    "cell",
    [
        "+56912345678",
        "+56 9 1234 5678",
        "+56-9-1234-5678",
        "+1 (212) 555-0100",
        "+56912345678, +56912345679",
        "-15",
        "-1.234,50",
        "-",
        -15,
        1.5,
        True,
        "Ana; Eva",
        "a=b",
        "1-9",
    ],
)
def test_phones_numbers_and_texts_stay_as_they_are(cell: object) -> None:
    assert cells(written([["1", cell, "x"]]), ",")[4] == str(cell)


@pytest.mark.parametrize("cell", ["+56912345678", "-15", -15, "-"])
def test_a_signed_number_does_not_begin_a_row(cell: object) -> None:
    """By semicolons and with a decimal comma, ``-15`` and ``1+A1`` behind it are the formula -15.1+A1."""
    assert written([[cell, "1+cmd|' /C calc'!A0", "x"]]).splitlines()[1].startswith("'")


def test_what_is_no_text_is_escaped_as_it_is_written() -> None:
    assert cells(written([["1", ["x;=1+1"], "x"]]), ";") == ["a,b,c", "1,['x", "'=1+1'],x"]


@pytest.mark.parametrize("name", ["export.csv", "export.xlsx"])
def test_a_file_is_readable_by_its_owner_only(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    sheets.write(str(path), [("Export", ("a",), [["1"]])])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_phones_of_a_cell_are_no_sum_where_the_comma_is_the_decimal_sign() -> None:
    phones = "+56912345678, +56912345679"
    assert cells(written([["1", phones, "x"]], form=SEMICOLON), ";")[4].startswith("'+")
    assert cells(written([["1", phones, "x"]], form=COMMA), ",")[4] == phones


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.165, "0,165"), (-0.5, "-0,5"), (1e-05, "0,00001"), (1e22, "1" + "0" * 22), (3, "3")],
)
def test_numbers_have_the_decimal_sign_of_the_reader_and_no_exponent(number: float, shown: str) -> None:
    assert cells(written([["x", number, "y"]], form=SEMICOLON), ";")[4] == shown
    assert cells(written([["x", number, "y"]], form=COMMA), ",")[4] == shown.replace(",", ".")


def workbook(rows: Sequence[Sequence[Any]], titles: Sequence[str]) -> tuple[list[list[Any]], str]:
    """The cells of a written workbook, and the XML of its sheet."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "export.xlsx"
        sheets.write(str(path), [("Export", titles, rows)])
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        xml = zipfile.ZipFile(path).read("xl/worksheets/sheet1.xml").decode()
        return book.get_sheet_by_index(0).to_python(), xml


def test_a_workbook_has_real_dates_times_and_numbers_and_keeps_texts() -> None:
    row = [
        "0912",
        "+56912345678",
        12.5,
        10**12,
        datetime.fromisoformat("2026-03-02 09:00:00"),
        date(2026, 3, 15),
        True,
        None,
    ]
    found, xml = workbook([row], [str(place) for place in range(8)])
    assert found[1] == [*row[:-1], ""]
    assert 'topLeftCell="A2"' in xml
    assert '<autoFilter ref="A1:H2"/>' in xml
    assert xml.count("<col ") == 8


def test_what_a_spreadsheet_cannot_hold_is_a_text() -> None:
    row = [10**16 + 1, float("nan"), date(1815, 6, 18), "x" * 40_000, "\ud800"]
    found, _ = workbook([row], [str(place) for place in range(5)])
    assert found[1][:3] == ["10000000000000001", "nan", "1815-06-18"]
    assert len(found[1][3]) == 32_767


def test_a_workbook_of_many_rows_is_not_kept_in_memory(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        cells = ([f"row {number} {column}" for column in range(10)] for number in range(rows))
        sheets.write(str(tmp_path / "export.xlsx"), [("Export", [*"abcdefghij"], cells)])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)  # what is loaded once
    assert peak(5_000) < peak(500) + 1_000_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-03-02 12:00:00", datetime.fromisoformat("2026-03-02 09:00:00")),
        ("2026-07-02T12:00:00.5+00:00", datetime.fromisoformat("2026-07-02 08:00:00")),
        ("soon", "soon"),
    ],
)
def test_a_time_is_shown_in_the_zone_that_the_title_names(text: str, shown: object) -> None:
    assert local_time(text, "America/Santiago") == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-03-15", date(2026, 3, 15)),
        ("2026-03-15 00:00:00", date(2026, 3, 15)),
        ("15/03/2026", "15/03/2026"),
        ("2026-02-30", "2026-02-30"),
        (None, None),
    ],
)
def test_a_day_is_a_date_and_what_somebody_said_stays_as_it_is(text: object, shown: object) -> None:
    assert date_or_text(text) == shown
