"""One line an event of a job's life and of operators' commands, kept for a set time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from speechaid.model.reading import Document
from speechaid.store.table import Table


class CallLogs:
    """The call_logs collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now
        #: Days that a line is kept.
        self.retention_days = 90.0

    def write(self, event: str, *, job_id: str | None = None, **fields: Any) -> None:
        """Add a line about a job."""
        self._insert({"event": event, "job_id": job_id, **fields})

    def write_many(self, lines: Sequence[Document]) -> None:
        """Add lines about jobs, each with its ``event``, ``job_id`` and ``at``."""
        expires_at = self._now() + timedelta(days=self.retention_days)
        self.table.insert_many([{**line, "expires_at": expires_at} for line in lines])

    def audit(self, *, actor: str, command: str, args: Mapping[str, Any], outcome: str) -> None:
        """Add a line about an operator's command: who, what, and what came of it."""
        self._insert(
            {"event": "command", "actor": actor, "command": command, "args": dict(args), "outcome": outcome}
        )

    def of_job(self, job_id: str) -> list[Document]:
        """A job's lines, in order."""
        return self.table.find({"job_id": job_id}, sort=[("at", 1)])

    def commands(self, limit: int) -> list[Document]:
        """The latest commands, newest first."""
        return self.table.find({"event": "command"}, sort=[("at", -1)], limit=limit)

    def _insert(self, fields: Document) -> None:
        now = self._now()
        kept = {name: value for name, value in fields.items() if value is not None}
        self.table.insert({**kept, "at": now, "expires_at": now + timedelta(days=self.retention_days)})
