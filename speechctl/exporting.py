"""``export``: all pages from the daemon into one file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from speechaid.protocol.client import Client, Progress, Refused
from speechaid.protocol.messages import ColumnKind, ErrorCode
from speechaid.protocol.sheets import CsvForm, exported_cells
from speechaid.protocol.text import printable_name
from speechaid.protocol.translation import ENGLISH, current_language, say
from speechctl.render.text import as_words
from speechctl.sheets import write

#: How long to wait for a database that goes away between two pages, in seconds, and how often to ask again.
DATABASE_WAIT_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0
#: Columns whose cells are codes of ours.
_CODES: Final = frozenset({"outcome", "last_outcome", "status"})


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
    columns = list(first["columns"])
    for_people = is_for_people(path)
    titles = column_titles(columns, kinds, zone, in_words=for_people)
    codes = {at for at, column in enumerate(columns) if for_people and column in _CODES}

    def rows() -> Iterator[list[Any]]:
        nonlocal written
        page = first
        while True:
            for row in page["rows"]:
                written += 1
                cells = exported_cells(row, first)
                yield [as_words(cell) if cell and at in codes else cell for at, cell in enumerate(cells)]
            if page["next"] is None:
                return
            if on_progress is not None:
                on_progress({"state": "exporting", "done": written})
            page = _next(client, {**args, "after": page["next"]}, timeout_seconds)

    form = CsvForm(**first["form"]) if "form" in first else None
    name = str(first["what"]).capitalize()
    write(path, [(say(name) if for_people else name, titles, rows())], form=form)
    return {"what": first["what"], "output": printable_name(path), "rows": written}


def is_for_people(path: str) -> bool:
    """Whether the file's titles and codes are words of the reader's language.

    A workbook is opened by people; programs read CSV, whose names are the same in every language. So they are
    in English workbooks.
    """
    return Path(path).suffix.lower() == ".xlsx" and current_language() != ENGLISH


def column_titles(columns: Sequence[str], kinds: Sequence[str], zone: str, *, in_words: bool) -> list[str]:
    """The titles of a file; those of times name the zone.

    Args:
        columns: their names.
        kinds: what each holds.
        zone: of the times.
        in_words: of the reader's language: ``fecha de la llamada`` for ``placed_at``.
    """
    titles = [say(column.replace("_", " ")) if in_words else column for column in columns]
    return [
        f"{title} ({zone})" if kind == ColumnKind.TIME else title
        for title, kind in zip(titles, kinds, strict=True)
    ]


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
