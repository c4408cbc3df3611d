"""The demo's contacts: fictional numbers, and a file that imports without remarks."""

from __future__ import annotations

import re
from datetime import date

import pytest

from speechaid.campaign.importer import read_contacts
from speechaid.demo.contacts import contacts

#: Reserved for fiction by FCC and CRTC, Ofcom, Arcep, Bundesnetzagentur, PTS and ACMA.
FICTION = re.compile(
    r"\+1[2-9]\d\d55501\d\d|\+447700900\d{3}|\+442079460\d{3}|\+3363998\d{4}|\+493023125\d{3}"
    r"|\+467017406\d\d|\+6125550\d{4}"
)


@pytest.mark.parametrize("count", [1, 60, 200])
def test_every_contact_is_imported_and_every_number_is_fictional(count: int) -> None:
    parsed = read_contacts(contacts(count), "demo.csv", country="CL", today=date(2026, 7, 3))
    assert (len(parsed.rows), parsed.bad_rows, parsed.remarks) == (count, [], [])
    assert {number for row in parsed.rows for number in row.phones if not FICTION.fullmatch(number)} == set()
    assert {len(row.phones) for row in parsed.rows} <= {1, 2, 3}


def test_sixty_contacts_have_one_to_three_phones_and_two_share_a_number() -> None:
    rows = read_contacts(contacts(60), "demo.csv", country="CL", today=date(2026, 7, 3)).rows
    assert {len(row.phones) for row in rows} == {1, 2, 3}
    numbers = [number for row in rows for number in row.phones]
    assert len(numbers) - len(set(numbers)) == 1


def test_generated_contacts_share_no_number() -> None:
    rows = read_contacts(contacts(5_000), "demo.csv", country="CL", today=date(2026, 7, 3)).rows
    generated = [number for row in rows[60:] for number in row.phones]
    assert len(generated) == len(set(generated))
