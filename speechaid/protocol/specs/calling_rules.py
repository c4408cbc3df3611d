"""Calling rules by country."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import PURPOSES
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

SPECS: Final = (
    CommandSpec(
        name="packs",
        access=Access.READ,
        help="the calling rules by country: those in force in this database, else those of this version",
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
            Argument(
                name="variant",
                is_id=True,
                help="the pack of this name, which batches name by --pack-variant",
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
    background_write(
        "set-pack",
        "put calling rules in force on every host: those of a file, or all that this version ships",
        Argument(
            name="filename", kind=Kind.FILE, positional=True, help="a TOML file, as check-pack reads it"
        ),
        Argument(
            name="shipped", kind=Kind.FLAG, help="all packs of this version, in the place of stricter ones"
        ),
        question="Change the calling rules of every batch with a purpose, on every host?",
    ),
)
