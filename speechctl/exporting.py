"""``export``: all pages from the daemon into one file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from speechaid.protocol.client import Client, Progress, Refused
from speechaid.protocol.messages import ColumnKind, ErrorCode
from speechaid.protocol.sheets import CsvForm, date_or_text, local_time
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
    # A daemon of an older version does not say what its columns are.
    zone, kinds = first.get("timezone", "UTC"), first.get("kinds") or [""] * len(first["columns"])
    titles = [
        f"{title} ({zone})" if kind == ColumnKind.TIME else title
        for title, kind in zip(first["columns"], kinds, strict=True)
    ]

    def rows() -> Iterator[list[Any]]:
        nonlocal written
        page = first
        while True:
            for row in page["rows"]:
                written += 1
                yield [_cell(cell, kind, zone) for cell, kind in zip(row, kinds, strict=True)]
            if page["next"] is None:
                return
            if on_progress is not None:
                on_progress({"state": "exporting", "done": written})
            page = _next(client, {**args, "after": page["next"]}, timeout_seconds)

    form = CsvForm(**first["form"]) if "form" in first else None
    write(path, [(str(first["what"]).capitalize(), titles, rows())], form=form)
    return {"what": first["what"], "output": printable_name(path), "rows": written}


def _cell(cell: Any, kind: str, zone: str) -> Any:
    """A cell as a file has it: times are local, dates are dates, ids and phones are texts."""
    if cell is None:
        return None
    if kind == ColumnKind.TIME:
        return local_time(cell, zone)
    if kind == ColumnKind.DAY:
        return date_or_text(cell)
    return str(cell) if kind == ColumnKind.TEXT else cell


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
