"""Test calls, and the numbers that may get them."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import COUNTRY, NUMBER
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind, background_write

SPECS: Final = (
    background_write(
        "test-call",
        "hear a batch before it starts: call a registered number as a row of it would be called",
        Argument(name="to", required=True, help="a number of test-numbers: +56912345678, or national"),
        Argument(
            name="batch",
            required=True,
            completes="batch",
            help="the batch whose agent, number and settings are tried (id, name, or beginning of the id)",
        ),
        Argument(
            name="row",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=1_000_000,
            help="whose variables the agent gets, from 1 in the order of the import (default: the first)",
        ),
        Argument(name="job", completes="job", help="the same by the job's id, or its unique beginning"),
        COUNTRY,
        Argument(
            name="no_wait",
            kind=Kind.FLAG,
            local=True,
            help="do not follow the call; test-result shows it",
        ),
    ),
    CommandSpec(
        name="test-result",
        help="how far a test call is; then what was said, and the variables sent and collected",
        access=Access.READ,
        arguments=(
            Argument(
                name="test",
                positional=True,
                required=True,
                completes="job",
                help="the id that test-call gave, or its unique beginning",
            ),
        ),
    ),
    CommandSpec(
        name="test-numbers",
        help="the numbers that are registered for test calls",
        access=Access.READ,
    ),
    background_write(
        "test-number-add",
        "register a number for test calls: only such numbers get them",
        NUMBER,
        COUNTRY,
        Argument(name="note", help="whose telephone it is; numbers in it are masked"),
        Argument(
            name="account",
            completes="account",
            help="only for batches of this account (id, or its unique beginning)",
        ),
    ),
    background_write(
        "test-number-remove",
        "take a number off the list for test calls",
        NUMBER,
        COUNTRY,
    ),
)
