"""Contacts: imports, and taking them back."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import BATCH_SETTINGS, DRY_RUN, at_most
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

SPECS: Final = (
    background_write(
        "import",
        "read contacts from a CSV or XLSX file into a batch; bad rows are listed, good ones imported",
        Argument(
            name="filename",
            kind=Kind.FILE,
            positional=True,
            required=True,
            help="the contacts file (CSV, XLSX)",
        ),
        Argument(
            name="batch",
            completes="batch",
            help="add to this batch; without it a new one is created with the settings below",
        ),
        Argument(name="name", help="the new batch's name (default: the file's)"),
        Argument(
            name="start",
            kind=Kind.FLAG,
            help="call these people as soon as the calling hours allow; else resume-batch starts it",
        ),
        Argument(name="sheet", help="the workbook's sheet: its name, or its number from 1"),
        Argument(
            name="header_row",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=40,
            help="the line with the columns' titles, from 1 (default: it is searched for)",
        ),
        Argument(
            name="with_hidden_rows", kind=Kind.FLAG, help="read the rows that a filter or a person has hidden"
        ),
        Argument(
            name="map",
            repeatable=True,
            help="what a column is, as TITLE=ROLE: 'Fono Casa=phone'; kept for the account and these titles",
        ),
        Argument(name="accept", help="kinds of remark whose rows are kept: unassigned,shared"),
        Argument(name="refuse", help="kinds of remark whose rows are bad: foreign,landline"),
        Argument(name="remarks_are_bad", kind=Kind.FLAG, help="refuse every kind that may be refused"),
        Argument(name="strict", kind=Kind.FLAG, help="import nothing if any row is bad"),
        Argument(
            name="duplicates",
            choices=("leave-out", "keep"),
            default="leave-out",
            help="people of the account who wait already, or were called or paid in the last days",
        ),
        Argument(
            name="row",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=10_000_000,
            help="with --dry-run: what this line's person is told, and on which phones",
        ),
        Argument(
            name="show_values",
            kind=Kind.FLAG,
            help="with --dry-run: show phones and ids in full; recorded",
        ),
        Argument(name="return_bad_rows", kind=Kind.FLAG, help="return the bad rows as written"),
        Argument(
            name="bad_rows",
            local=True,
            help="write the bad rows, with what to mend, to this CSV or XLSX file in the input's form",
        ),
        DRY_RUN,
        *BATCH_SETTINGS,
        timeout_seconds=600.0,
    ),
    background_write(
        "undo-import",
        "take back an import of which nobody was called: its contacts are deleted, and its batch if empty",
        Argument(
            name="import",
            positional=True,
            required=True,
            is_id=True,
            help="the import's id, or its batch's: then the latest import",
        ),
        DRY_RUN,
        question="Delete all contacts of the import {import}?",
        timeout_seconds=600.0,
    ),
    CommandSpec(
        name="imports",
        help="the imports with their ids: progress or result of each",
        access=Access.READ,
        arguments=(at_most(20),),
    ),
)
