"""docs/contacts-file.md and the importer agree on columns."""

from __future__ import annotations

import re
from pathlib import Path

from speechaid.campaign.columns import recognise
from speechaid.campaign.titles import TITLES, Role
from tests.support.contacts import parse_contacts

PAGE = (Path(__file__).parents[3] / "docs" / "contacts-file.md").read_text()
ROWS = {
    cells[0].strip("` "): re.findall(r"`([^`]+)`", cells[1])
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| column")
    for cells in [line.strip("|").split("|")]
}


def test_the_page_has_one_row_for_each_role() -> None:
    assert set(ROWS) == {"phones", *(role.name.lower() for role in TITLES)}


def test_each_column_name_on_the_page_is_recognised() -> None:
    for role, names in ROWS.items():
        for name in names:
            found = recognise([name, "phone"])
            assert found.of(Role.PHONE if role == "phones" else Role[role.upper()]), name
            assert not found.of(Role.VARIABLE)


def test_the_example_can_be_imported() -> None:
    block = "\n".join(line[4:] for line in PAGE.splitlines() if line.startswith("    "))
    parsed = parse_contacts(block.encode(), "example.csv")
    assert parsed.bad_rows == []
    (row,) = parsed.rows
    assert (row.debt_amount, row.due_date, len(row.phones)) == (150000, "2026-07-31", 2)
    assert row.additional_info == {"plan": "hogar"}
