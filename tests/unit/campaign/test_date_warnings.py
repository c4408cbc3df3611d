"""What an import says of files that can be read, and perhaps do not mean what was read."""

from __future__ import annotations

from datetime import date

import pytest

from speechaid.campaign.date_warnings import DOUBTS, ReadDay, date_warning
from speechaid.campaign.importer import Parsed
from speechaid.errors import ImportFailed
from tests.support.contacts import TODAY, parse_contacts


def read(data: bytes, country: str = "CL") -> Parsed:
    return parse_contacts(data, country=country)


@pytest.mark.parametrize(
    ("text", "country", "name"),
    [
        ("01/01/1900", "CL", "empty"),
        ("1970-01-01", "CL", "empty"),
        ("2016-06-01", "CL", "past"),
        ("31/07/98", "CL", "ahead"),
        ("07/31/2026", "CL", "order"),
        ("31/07/2026", "US", "order"),
        ("31/07/2026", "CL", None),
        ("07/31/2026", "US", None),
        ("05/06/2026", "CL", None),
        ("2026-07-31", "US", None),
        ("31 de julio de 2026", "US", None),
        ("2018-01-31", "CL", None),
    ],
)
def test_a_day_is_doubted_for_the_reason_of_the_table(text: str, country: str, name: str | None) -> None:
    parsed = read(f"telefono,vencimiento\n+56900000001,{text}\n".encode(), country)
    (row,) = parsed.rows
    assert row.due_date is not None
    day = date.fromisoformat(row.due_date)
    found = ReadDay(text=text, day=day, country=country, today=TODAY)
    assert next((one.name for one in DOUBTS if one.applies(found)), None) == name
    told = [remark.text for remark in parsed.remarks]
    assert told == ([] if name is None else [f"vencimiento: {date_warning(found)}"])
    assert name is None or (text in told[0] and row.due_date in told[0])


def test_every_doubt_has_an_example_above() -> None:
    marks = test_a_day_is_doubted_for_the_reason_of_the_table.pytestmark  # type: ignore[attr-defined]
    assert {row.name for row in DOUBTS} == {case[2] for case in marks[0].args[1]} - {None}


def test_a_second_column_of_one_meaning_is_kept_and_said() -> None:
    parsed = read(b"nombre,telefono,nombre,plan,plan,saldo,monto\nAna,+56900000001,Luz,a,b,1,2\n")
    (row,) = parsed.rows
    assert (row.name, row.debt_amount) == ("Ana", 1)
    assert row.additional_info == {"nombre": "Luz", "plan": "a", "plan_5": "b", "monto": "2"}
    told = [remark.text for remark in parsed.remarks]
    assert [remark.line for remark in parsed.remarks] == [1, 1, 1]
    assert "columns 1 ('nombre') and 3 ('nombre') both mean name: the first is used" in told[0]
    assert "two columns are called 'plan': the second is kept as 'plan_5'" in told[1]
    assert "columns 6 ('saldo') and 7 ('monto') both mean debt_amount" in told[2]


def test_one_broken_byte_in_a_file_of_utf8_is_told_with_its_place() -> None:
    parsed = read("nombre,telefono\nMuñoz,+56900000001\nLuz@,+56900000002\n".encode().replace(b"@", b"\xff"))
    (remark,) = parsed.remarks
    assert "byte 0xFF at offset 39, line 3" in remark.text
    assert "UTF-8" in remark.text
    assert read("nombre,telefono\nMuñoz,+56900000001\n".encode("cp1252")).remarks == []


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\x1f\x8b\x08name;plan\nAna;1\n", "byte 0x1F at offset 0, line 1"),
        (b"\nname\x03\xa9\nAna\n", "byte 0x03 at offset 5, line 2"),
        (b"\x00" * 200 + b"ab\n", "byte 0x00 at offset 0, line 1"),
    ],
)
def test_a_file_that_is_no_text_is_told_by_place_and_not_by_its_bytes(data: bytes, place: str) -> None:
    with pytest.raises(ImportFailed) as failed:
        read(data)
    assert place in str(failed.value)
    assert "allowed: CSV in UTF-8, UTF-16 or Windows-1252, or an XLSX workbook" in str(failed.value)
    assert str(failed.value).isascii()
