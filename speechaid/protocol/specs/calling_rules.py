"""Calling rules by country."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind

#: What a call is for, as ``compliance.packs.Purpose``; a test compares them.
PURPOSES: Final = ("collection", "marketing", "survey", "reminder")
SPECS: Final = (
    CommandSpec(
        name="packs",
        access=Access.READ,
        help="the calling rules by country that this version has (no call is refused by them yet)",
    ),
    CommandSpec(
        name="pack",
        access=Access.READ,
        help="the calling rules of a country for a purpose: hours, holidays, caps, sources",
        arguments=(
            Argument(name="country", positional=True, required=True, is_id=True, help="ISO 3166 code: CL"),
            Argument(
                name="purpose",
                positional=True,
                required=True,
                choices=PURPOSES,
                help="what the calls are for",
            ),
        ),
    ),
    CommandSpec(
        name="check-pack",
        access=Access.READ,
        help="check a file with stricter calling rules of your own, and show what would hold with it",
        arguments=(
            Argument(name="filename", kind=Kind.FILE, positional=True, required=True, help="a TOML file"),
        ),
    ),
)
