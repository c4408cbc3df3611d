"""People over all batches."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import DRY_RUN, REASON
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

_PERSON: Final = Argument(
    name="person",
    positional=True,
    required=True,
    help="a national id, a phone number, the beginning of a name, or job:ID",
)

_IN_ACCOUNT: Final = Argument(name="account", help="in this account only", completes="account")
SPECS: Final = (
    CommandSpec(
        name="person",
        help="one person: every job and call of all batches, opt-outs, and the next dial",
        access=Access.READ,
        arguments=(
            _PERSON,
            _IN_ACCOUNT,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=50,
                help="at most this many jobs and calls, the latest (default 50)",
            ),
        ),
    ),
    CommandSpec(
        name="evidence",
        help="the calls to a person: each with its rule, the hour where it rang, and what it counts as",
        access=Access.READ,
        arguments=(
            _PERSON,
            _IN_ACCOUNT,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=1000,
                default=100,
                help="at most this many calls, the latest (default 100)",
            ),
        ),
    ),
    background_write(
        "opt-out",
        "a person is not to be called again: all numbers and the national id go on the do-not-call list",
        _PERSON,
        _IN_ACCOUNT,
        REASON,
        question="Never call {person} again, on any number?",
        timeout_seconds=600.0,
    ),
    background_write(
        "paid",
        "a person has paid, or those of a file: their waiting jobs are cancelled, and it is recorded",
        Argument(
            name="person",
            positional=True,
            help="a national id, a phone number, the beginning of a name, or job:ID",
        ),
        Argument(name="file", kind=Kind.FILE, help="a CSV or XLSX file of national ids, instead of a person"),
        Argument(name="column", help="the file's column of ids, where its title is not a usual one"),
        Argument(name="amount_column", help="the file's column of amounts"),
        _IN_ACCOUNT,
        Argument(
            name="amount", kind=Kind.NUMBER, minimum=0, maximum=1e12, help="how much the person has paid"
        ),
        Argument(
            name="correct",
            kind=Kind.FLAG,
            help="replace an amount that was recorded before; the old one is kept beside it",
        ),
        Argument(name="note", help="a note; recorded with author and time, numbers masked"),
        DRY_RUN,
        timeout_seconds=600.0,
    ),
    background_write(
        "forget",
        "erase what is stored about a person; opt-outs, amounts, costs and dates stay",
        _PERSON,
        _IN_ACCOUNT,
        REASON,
        question="Erase for good what is stored about {person}?",
        timeout_seconds=600.0,
    ),
)
