"""The jobs of an import, drafted while its file is read: the daemon waits for the reader process anyhow."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from speechaid.campaign.importer import draft_job
from speechaid.campaign.rows import Row
from speechaid.model.reading import Document


class Drafts:
    """The drafts of the rows that have come so far."""

    def __init__(self, account_id: str | None) -> None:
        """The account pays for the jobs; None: there is none."""
        self._account_id = account_id
        #: By the line of the row in the file.
        self._drafts: dict[int, tuple[Row, Document]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Draft the jobs of further rows."""
        for row in rows:
            self._drafts[row.line] = row, self._draft(row)

    def take(self, row: Row) -> Document:
        """The draft of a row, once; a new one where the whole file has shown that the row was another one."""
        drafted = self._drafts.pop(row.line, None)
        return drafted[1] if drafted is not None and drafted[0] is row else self._draft(row)

    def _draft(self, row: Row) -> Document:
        return draft_job(row, self._account_id, f"job-{secrets.token_hex(8)}")
