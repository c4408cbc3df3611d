"""Remarks on files that can be read, but may not mean what was read."""

from __future__ import annotations

from datetime import date

import pytest

from speechaid.campaign.date_warnings import DATE_WARNINGS, ReadDay, date_warning
from speechaid.campaign.dates import Day, order_of, read_date
from speechaid.campaign.importer import Parsed
from speechaid.campaign.kinds import Kind
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
        ("31/07/2026", "CL", None),
        ("07/31/2026", "US", None),
        ("05/06/2026", "CL", None),
        ("2026-07-31", "US", None),
        ("31 de julio de 2026", "US", None),
        ("2018-01-31", "CL", None),
    ],
)
def test_a_doubtful_date_gets_the_warning_of_the_table(text: str, country: str, name: str | None) -> None:
    parsed = read(f"telefono,vencimiento\n+56955550001,{text}\n".encode(), country)
    (row,) = parsed.rows
    assert row.due_date is not None
    day = date.fromisoformat(row.due_date)
    assert isinstance(read_date(text, order_of(country)), Day)
    found = ReadDay(text=text, day=day, today=TODAY)
    assert next((one.name for one in DATE_WARNINGS if one.applies(found)), None) == name
    texts = [remark.text for remark in parsed.remarks if remark.kind is Kind.DATE]
    assert texts == ([] if name is None else [f"vencimiento: {date_warning(found)}"])
    assert name is None or (text in texts[0] and row.due_date in texts[0])


def test_every_warning_has_an_example_above() -> None:
    marks = test_a_doubtful_date_gets_the_warning_of_the_table.pytestmark  # type: ignore[attr-defined]
    shown = {case[2] for case in marks[0].args[1]} - {None}
    assert {row.name for row in DATE_WARNINGS} == shown | {"order"}  # tests/unit/campaign/test_date_orders.py


def test_a_second_column_with_the_same_meaning_is_kept_with_a_remark() -> None:
    parsed = read(b"nombre,telefono,nombre,plan,plan,saldo,monto\nAna,+56955550001,Luz,a,b,1,2\n")
    (row,) = parsed.rows
    assert (row.name, row.debt_amount) == ("Ana", 2)
    assert row.additional_info == {"nombre": "Luz", "plan": "a", "plan_5": "b", "saldo": "1"}
    texts = [remark.text for remark in parsed.remarks]
    assert [remark.line for remark in parsed.remarks] == [1, 1, 1]
    assert "columns 1 ('nombre') and 3 ('nombre') both mean name: the first is used" in texts[0]
    assert "columns 7 ('monto') and 6 ('saldo') both mean amount: the first is used" in texts[1]
    assert "two columns are called 'plan': the second is kept as 'plan_5'" in texts[2]


def test_a_broken_byte_in_a_utf8_file_is_reported_with_its_position() -> None:
    parsed = read("nombre,telefono\nMuñoz,+56955550001\nLuz@,+56955550002\n".encode().replace(b"@", b"\xff"))
    (remark,) = parsed.remarks
    assert "the file is UTF-8, but for 1 of its lines" in remark.text
    assert "line 3, 'Luz\u00ff'" in remark.text
    assert [row.name for row in parsed.rows] == ["Muñoz", "Luz\u00ff"]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\x1f\x8b\x08name;plan\nAna;1\n", "byte 0x1F at offset 0, line 1"),
        (b"\nname\x03\xa9\nAna\n", "byte 0x03 at offset 5, line 2"),
        (b"\x00" * 200 + b"ab\n", "byte 0x00 at offset 0, line 1"),
    ],
)
def test_a_file_that_is_not_text_is_refused_with_a_position_and_without_its_bytes(
    data: bytes, place: str
) -> None:
    with pytest.raises(ImportFailed) as failed:
        read(data)
    assert place in str(failed.value)
    assert "allowed: CSV in UTF-8, UTF-16, Windows-1252, Mac Roman or DOS, or an XLSX workbook" in str(
        failed.value
    )
    assert str(failed.value).isascii()
