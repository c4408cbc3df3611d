"""docs/contacts-file.md and the importer agree on columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from speechaid.campaign.kinds import KINDS
from speechaid.campaign.recognition import recognise
from speechaid.campaign.titles import TITLES, Role
from tests.support.contacts import parse_contacts
from tools.contacts_page import PAGES, with_tables

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "contacts-file.md").read_text()
ROWS = {
    cells[0].strip("` "): re.findall(r"`([^`]+)`", cells[1])
    for line in PAGE.partition("<!-- columns")[2].partition("<!-- end")[0].splitlines()
    if line.startswith("| `") and "--map" not in line and "| `left-out`" not in line
    for cells in [line.strip("|").split("|")]
}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_tables_of_the_page_are_those_of_the_code(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == with_tables(text, spanish=page.parent.name == "es"), "python -m tools.contacts_page"


def test_the_page_has_a_row_for_each_role_and_each_kind_of_remark() -> None:
    assert set(ROWS) == {*TITLES, Role.PHONE}
    for kind in KINDS:
        assert f"| `{kind}` |" in PAGE


def test_each_column_name_on_the_page_is_recognised() -> None:
    for role, names in ROWS.items():
        assert names
        for name in names:
            found = recognise([name, "phone"])
            assert found.of(Role(role)), name
            assert not found.of(Role.VARIABLE)


def test_the_example_can_be_imported() -> None:
    block = "\n".join(line[4:] for line in PAGE.splitlines() if line.startswith("    "))
    parsed = parse_contacts(block.encode(), "example.csv")
    assert parsed.bad_rows == []
    (row,) = parsed.rows
    assert (row.debt_amount, row.due_date, len(row.phones)) == (150000, "2026-07-31", 2)
    assert row.additional_info == {"plan": "hogar"}
