"""Contacts files for tests, read as the ``import`` command reads them."""

from __future__ import annotations

from datetime import date
from typing import Final

from speechaid.campaign.importer import Choices, ContactsReader, Parsed

TODAY: Final = date(2026, 7, 3)
#: Lines of one slice; small, so that a file of a few hundred lines crosses several slices.
_SLICE: Final = 100


def parse_contacts(
    data: bytes, filename: str = "contacts.csv", *, country: str = "CL", choices: Choices | None = None
) -> Parsed:
    """Read a contacts file to its end, slice by slice; ``TODAY`` is the date of the import."""
    reader = ContactsReader(data, filename, country=country, today=TODAY, choices=choices)
    while reader.read(_SLICE):
        pass
    return reader.parsed
