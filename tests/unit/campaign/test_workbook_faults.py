"""Workbooks whose parts contradict what they say of themselves: one sentence each."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from speechaid.errors import ImportFailed
from tests.support.contacts import parse_contacts

SEED = Path(__file__).parents[2] / "fuzz" / "corpus" / "contacts" / "merged.xlsx"


def with_sheet(change: tuple[bytes, bytes]) -> bytes:
    """The seed, with a change in the XML of its first sheet."""
    data = io.BytesIO()
    with zipfile.ZipFile(SEED) as seed, zipfile.ZipFile(data, "w") as archive:
        for name in seed.namelist():
            content = seed.read(name)
            archive.writestr(name, content.replace(*change) if name.endswith("sheet1.xml") else content)
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
