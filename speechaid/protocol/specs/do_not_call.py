"""The do-not-call list."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import COUNTRY, DRY_RUN, NUMBER, REASON
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

_LISTED: Final = "the phone number, or the national id of a person: +56912345678, 12.345.678-5"

_LISTED_NUMBER: Final = Argument(name="number", positional=True, required=True, help=_LISTED)

_OPTIONAL_NUMBER: Final = Argument(name="number", positional=True, help=_LISTED)
SPECS: Final = (
    CommandSpec(
        name="dnc",
        help="the do-not-call list: its length, and whether a number or a person is on it",
        access=Access.READ,
        arguments=(_OPTIONAL_NUMBER, COUNTRY),
    ),
    background_write(
        "dnc-add",
        "put a number on the do-not-call list: no host dials it",
        NUMBER,
        COUNTRY,
        REASON,
    ),
    background_write(
        "dnc-remove",
        "take a number, or a person with the numbers of opt-out, off the do-not-call list",
        _LISTED_NUMBER,
        COUNTRY,
        question="Allow these calls again?",
    ),
    background_write(
        "dnc-import",
        "put the numbers of a CSV or XLSX file on the do-not-call list",
        Argument(
            name="filename",
            kind=Kind.FILE,
            positional=True,
            required=True,
            help="one number per line, or a table with a phone column",
        ),
        COUNTRY,
        DRY_RUN,
        timeout_seconds=600.0,
    ),
)
