"""``export``: all pages from the daemon into one file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from speechaid.protocol.client import Client, Progress, Refused
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.sheets import CsvForm, exported_cells, exported_titles
from speechaid.protocol.text import printable_name
from speechctl.sheets import write

#: How long to wait for a database that goes away between two pages, in seconds, and how often to ask again.
DATABASE_WAIT_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0


def run(
    client: Client,
    path: str,
    args: Mapping[str, Any],
    *,
    timeout_seconds: float,
    on_progress: Progress | None,
) -> dict[str, Any]:
    """Write all pages to ``path``; returns what was written, with the number of rows.

    Raises:
        SheetError: the file cannot be written.
    """
    first = client.ask("export", args, timeout_seconds=timeout_seconds)
    written = 0

    def rows() -> Iterator[list[Any]]:
        nonlocal written
        page = first
        while True:
            for row in page["rows"]:
                written += 1
                yield exported_cells(row, first)
            if page["next"] is None:
                return
            if on_progress is not None:
                on_progress({"state": "exporting", "done": written})
            page = _next(client, {**args, "after": page["next"]}, timeout_seconds)

    form = CsvForm(**first["form"]) if "form" in first else None
    write(path, [(str(first["what"]).capitalize(), exported_titles(first), rows())], form=form)
    return {"what": first["what"], "output": printable_name(path), "rows": written}


def _next(client: Client, args: Mapping[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """The next page; waits for a database that is away, since rows that are written must not be lost."""
    deadline = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            return client.ask("export", args, timeout_seconds=timeout_seconds)
        except Refused as refused:
            if refused.code != ErrorCode.UNAVAILABLE or time.monotonic() > deadline:
                raise
        time.sleep(RETRY_SECONDS)
