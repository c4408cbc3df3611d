"""CSV files as spreadsheets read them, by comma, semicolon or tab: no formulas, and phones stay phones."""

from __future__ import annotations

import csv
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechctl import sheets

#: A number, or several with commas between: a reader calculates nothing.
_HARMLESS = re.compile(r"[+-]?[0-9 ().,/+-]*")


def written(rows: Sequence[Sequence[Any]], titles: Sequence[str] = ("a", "b", "c")) -> str:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "export.csv"
        sheets.write(str(path), [("Export", titles, rows)])
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
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_reader_finds_a_formula_in_a_cell(cell: str, separator: str) -> None:
    for row in (["1", "x", cell], [cell, "x", "y"], ["1", cell, "1+cmd|' /C calc'!A0"]):
        found = cells(written([row]), separator)
        assert [cell for cell in found if is_formula(cell)] == []


@given(
    st.lists(
        st.lists(st.text(alphabet="=+-@;,\"' \t\r\n1a", max_size=8), min_size=3, max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_no_reader_finds_a_formula_in_any_file(rows: list[list[str]]) -> None:
    text = written(rows)
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
