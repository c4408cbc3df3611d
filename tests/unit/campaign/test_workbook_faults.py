"""Workbooks whose parts contradict what they say of themselves: one sentence each."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from speechaid.errors import ImportFailed
from tests.support.contacts import parse_contacts

SEED = Path(__file__).parents[2] / "fuzz" / "corpus" / "contacts" / "merged.xlsx"


def with_sheet(change: tuple[bytes, bytes], part: str = "sheet1.xml") -> bytes:
    """The seed, with a change in the XML of its first sheet, or of another part."""
    data = io.BytesIO()
    with zipfile.ZipFile(SEED) as seed, zipfile.ZipFile(data, "w") as archive:
        for name in seed.namelist():
            content = seed.read(name)
            archive.writestr(name, content.replace(*change) if name.endswith(part) else content)
    return data.getvalue()


def test_the_seed_is_read() -> None:
    parsed = parse_contacts(SEED.read_bytes(), "merged.xlsx")
    assert [row.line for row in parsed.rows] == [3, 4, 6]
    assert parsed.source.hidden_rows == 1
    assert [column.title for column in parsed.columns.columns if column.role == "phone"] == ["telefono"] * 2


@pytest.mark.parametrize(
    "change",
    [
        (b'encoding="UTF-8"', b'encoding="UTF-8true"'),
        (b"</sheetData>", b"</sheet>"),
        (b"<sheetData>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><sheetData>"),
    ],
    ids=["encoding", "end", "entities"],
)
def test_a_sheet_that_cannot_be_read_is_one_sentence(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(ImportFailed, match=r"^merged\.xlsx: the spreadsheet cannot be read: "):
        parse_contacts(with_sheet(change), "merged.xlsx")


def test_a_damaged_archive_is_one_sentence_and_is_to_be_saved_again() -> None:
    data = bytearray(SEED.read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo("xl/worksheets/sheet1.xml")
    begin = entry.header_offset + 30 + len(entry.filename)
    sentences = set()
    for offset in range(begin, begin + entry.compress_size):
        damaged = data.copy()
        damaged[offset] ^= 0xFF
        with pytest.raises(ImportFailed) as refused:
            parse_contacts(bytes(damaged), "merged.xlsx")
        sentences.add(str(refused.value))
    assert any("cannot be read: the file is damaged: save it again" in sentence for sentence in sentences)


#: Cells for which the reader would make room, or end its process, and which the scan has to see.
FAR: dict[str, tuple[bytes, bytes]] = {
    "a row of ten digits": (b'r="C3"', b'r="C3333333333"'),
    "a column of four letters": (b'r="C3"', b'r="XXXX3"'),
    "a place in small letters": (b'r="C3"', b'r="xfd1048576"'),
    "a row beyond the last": (b'r="C3"', b'r="C1048577"'),
    "cells without a place in a far row": (
        b"</sheetData>",
        b'<row r="99999999"><c><v>1</v></c></row></sheetData>',
    ),
    "a cell that follows the last one of all": (
        b"</sheetData>",
        b'<row r="1048576"><c r="XFC1048576"/><c><v>1</v></c></row></sheetData>',
    ),
    "no number of a row": (b'<row r="3"', b'<row r="9999999999"'),
}


@pytest.mark.parametrize("case", FAR)
def test_a_far_cell_is_seen_before_the_sheet_is_read(case: str) -> None:
    with pytest.raises(ImportFailed, match=r"which no sheet has|reaches to the cell XFD1048576"):
        parse_contacts(with_sheet(FAR[case]), "merged.xlsx")


FAR_CELL = (b'r="C3"', b'r="XFD1048576"')


def rewritten(*changes: tuple[str, tuple[bytes, bytes]]) -> bytes:
    """The seed with a far cell, and a change in other parts that hides it from who looks for it by name."""
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(with_sheet(FAR_CELL))) as seed, zipfile.ZipFile(data, "w") as archive:
        for name in seed.namelist():
            content = seed.read(name)
            for part, change in changes:
                if name.endswith(part):
                    assert change[0] in content
                    content = content.replace(*change)
            archive.writestr(name, content)
    return data.getvalue()


RELATIONS = "workbook.xml.rels"


def test_a_sheet_is_looked_through_where_its_workbook_names_it_from_the_root() -> None:
    data = rewritten((RELATIONS, (b'"worksheets/', b'"xl/worksheets/')))
    with pytest.raises(ImportFailed, match="reaches to the cell XFD1048576"):
        parse_contacts(data, "merged.xlsx")


def test_a_sheet_that_was_not_looked_through_is_not_read() -> None:
    data = rewritten((RELATIONS, (b"worksheets/sheet1.xml", b"./worksheets\\sheet1.xml")))
    with pytest.raises(ImportFailed, match=r"cannot be found in the file|reaches to the cell"):
        parse_contacts(data, "merged.xlsx")


def test_of_two_parts_with_one_name_none_is_read() -> None:
    data = io.BytesIO(SEED.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("XL/worksheets/Sheet1.xml", archive.read("xl/worksheets/sheet1.xml"))
    with pytest.raises(ImportFailed, match="two parts of one name"):
        parse_contacts(data.getvalue(), "merged.xlsx")


@pytest.mark.parametrize(
    "change",
    [
        (b'<c r="C3" t="s"><v>9</v>', b'<c r="C3" t="e"><v>' + b"Ana" * 3_000 + b"</v>"),
        (b'<c r="C3" t="s">', b'<c r="C3" t="' + b"Ana" * 3_000 + b'">'),
    ],
    ids=["value", "type"],
)
def test_a_long_cell_that_cannot_be_read_is_not_quoted_whole(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(ImportFailed, match="the spreadsheet cannot be read") as refused:
        parse_contacts(with_sheet(change), "merged.xlsx")
    assert len(str(refused.value)) < 500


def test_the_name_of_a_sheet_is_shortened_in_a_sentence() -> None:
    data = rewritten(("workbook.xml", (b'name="', b'name="' + b"x" * 9_000)))
    with pytest.raises(ImportFailed, match="reaches to the cell") as refused:
        parse_contacts(data, "merged.xlsx")
    assert len(str(refused.value)) < 500
