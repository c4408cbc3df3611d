"""A file of bad rows is understood whatever language its reasons are written in."""

from __future__ import annotations

from datetime import date

import pytest

from speechaid.campaign.importer import Choices, ContactsReader, Parsed

ROW = "Ana Rojas;12.345.678-5;+56955550171"


def read(reason: str) -> Parsed:
    text = f"_line;_reason;nombre;rut;telefono\n3;{reason};{ROW}\n"
    reader = ContactsReader(
        text.encode(), "bad.csv", country="CL", today=date(2026, 11, 30), choices=Choices()
    )
    while reader.read(100):
        pass
    return reader.parsed


@pytest.mark.parametrize(
    "reason",
    [
        "telefono: the number +569******71 stands under 3 people (lines 3, 4, 5), as a placeholder does",
        "telefono: el número +569******71 lo tienen 3 personas (líneas 3, 4, 5), como los que son de relleno",
    ],
)
def test_a_row_that_was_not_corrected_stays_bad(reason: str) -> None:
    parsed = read(reason)
    assert parsed.rows == []
    assert [bad.reason.partition(" three people")[0] for bad in parsed.bad_rows] == [
        "telefono: the number +569******71 stands under"
    ]
