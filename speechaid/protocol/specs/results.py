"""What came of the calls."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import FILTERS, OF_BATCH
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind

SPECS: Final = (
    CommandSpec(
        name="report",
        help="what the calls achieved: people reached, outcomes, minutes, cost, debt, promised, recovered",
        access=Access.READ,
        timeout_seconds=300.0,
        arguments=(
            OF_BATCH,
            Argument(
                name="account",
                help="of this account only (id, or its unique beginning)",
                completes="account",
            ),
            Argument(name="agent", is_id=True, help="only calls of this agent (its id)"),
            Argument(name="number", help="only calls to this phone number: +56912345678, or national"),
            Argument(name="from_number", help="only calls from this number"),
            Argument(
                name="day",
                is_id=True,
                help="calls that were placed on this day of the account's zone: 2026-11-30, today, yesterday",
            ),
            Argument(name="from", is_id=True, help="from this day of the account's zone on: 2026-11-30"),
            Argument(name="to", is_id=True, help="up to this day, which counts too: 2026-11-30"),
            Argument(
                name="format",
                choices=("terminal", "markdown", "json", "xlsx"),
                default="terminal",
                help="output format; xlsx needs --output",
            ),
            Argument(name="output", local=True, help="write it to this file"),
            Argument(
                name="directory",
                local=True,
                help="write a file for each account into this directory: report-ACCOUNT-DAY.xlsx",
            ),
            Argument(
                name="replace",
                kind=Kind.FLAG,
                local=True,
                help="with --directory: write anew what is there already",
            ),
        ),
    ),
    CommandSpec(
        name="promises",
        help="who promised to pay, how much and when",
        access=Access.READ,
        arguments=(
            OF_BATCH,
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=5000,
                default=200,
                help="show at most this many",
            ),
        ),
    ),
    CommandSpec(
        name="export",
        help="calls, jobs, promises to pay or the do-not-call list into a CSV or XLSX file",
        access=Access.READ,
        arguments=(
            Argument(
                name="output",
                positional=True,
                required=True,
                local=True,
                help="the file to write: results.csv, results.xlsx, or - for CSV on the terminal",
            ),
            Argument(
                name="what",
                choices=("calls", "jobs", "promises", "dnc"),
                default="calls",
                help="what to export, one row each",
            ),
            *FILTERS,
            Argument(
                name="locale",
                is_id=True,
                help="who opens the CSV file, by language and country: es_CL, es_MX (default: the account's)",
            ),
            Argument(name="after", is_id=True, help="the position that an earlier page gave as its next"),
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=5000,
                # Other commands run between two pages.
                default=1000,
                help="rows of one request; a file gets all pages, whatever this says",
            ),
        ),
        timeout_seconds=120.0,
    ),
)
