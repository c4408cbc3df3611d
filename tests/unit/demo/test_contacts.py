"""The demo's contacts: fictional numbers, and a file that imports without bad rows."""

from __future__ import annotations

import re

import pytest

from speechaid.campaign.importer import Choices, Parsed
from speechaid.campaign.kinds import Kind
from speechaid.demo.contacts import contacts
from tests.support.contacts import parse_contacts

#: Reserved for fiction by FCC and CRTC, Ofcom, Arcep, Bundesnetzagentur, PTS and ACMA.
FICTION = re.compile(
    r"\+1[2-9]\d\d55501\d\d|\+447700900\d{3}|\+442079460\d{3}|\+3363998\d{4}|\+493023125\d{3}"
    r"|\+467017406\d\d|\+6125550\d{4}"
)


def parse(count: int) -> Parsed:
    """As the demo imports it: numbers for fiction are in no numbering plan."""
    choices = Choices(accepted=frozenset({Kind.UNASSIGNED}))
    return parse_contacts(contacts(count), "demo.csv", choices=choices)


@pytest.mark.parametrize("count", [1, 60, 200])
def test_every_contact_is_imported_and_every_number_is_fiction(count: int) -> None:
    parsed = parse(count)
    assert (len(parsed.rows), parsed.bad_rows) == (count, [])
    assert {remark.kind for remark in parsed.remarks} <= {Kind.FOREIGN, Kind.UNASSIGNED, Kind.ID}
    assert {number for row in parsed.rows for number in row.phones if not FICTION.fullmatch(number)} == set()
    assert {len(row.phones) for row in parsed.rows} <= {1, 2, 3}


def test_sixty_people_have_one_to_three_phones_and_two_of_them_share_one() -> None:
    rows = parse(60).rows
    assert {len(row.phones) for row in rows} == {1, 2, 3}
    numbers = [number for row in rows for number in row.phones]
    assert len(numbers) - len(set(numbers)) == 1


def test_a_larger_campaign_gives_no_number_to_two_strangers() -> None:
    rows = parse(5_000).rows
    invented = [number for row in rows[60:] for number in row.phones]
    assert len(invented) == len(set(invented))
