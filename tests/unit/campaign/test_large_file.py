"""A large file whose right values follow from how it was made: they are read as they were written."""

from __future__ import annotations

import csv
import io
from datetime import datetime

from benchmarks.import_file import TITLES, TODAY, contacts
from speechaid.campaign.importer import ContactsReader

ROWS = 2_000


def expected_phones(row: list[str]) -> set[str]:
    """The last nine digits of a Chilean number are the whole of it, however it is written."""
    digits = ("".join(filter(str.isdecimal, cell)) for cell in row[2:5])
    return {f"+56{text[-9:]}" for text in digits if text}


def test_every_value_of_a_large_file_is_the_one_that_was_written() -> None:
    written = list(contacts(ROWS))
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows([TITLES, *written])
    reader = ContactsReader(text.getvalue().encode(), "large.csv", country="CL", today=TODAY)
    while reader.read(500):
        pass
    rows = reader.take().rows
    assert len(rows) > ROWS * 0.98
    for row in rows:
        cells = written[row.line - 2]
        assert set(row.phones) <= expected_phones(cells)
        assert (row.dni, row.name) == (cells[0], cells[1])
        assert row.debt_amount == int("".join(filter(str.isdecimal, cells[5])))
        assert row.currency == "CLP"
        assert row.due_date == datetime.strptime(cells[7], "%d/%m/%Y").date().isoformat()  # noqa: DTZ007
        assert list(row.additional_info.values()) == cells[8:]
