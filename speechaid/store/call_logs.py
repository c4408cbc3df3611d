"""One line per event of a job and per operator's command, kept for a set time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from bson.errors import InvalidId

from speechaid.model.reading import Document
from speechaid.store.indexes import DAY_SECONDS, LOG_RETENTION
from speechaid.store.table import Table

#: Seconds within which lines of other hosts arrive, clock differences included.
OVERLAP_SECONDS = 15.0


class CallLogs:
    """The call_logs collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def keep_for(self, days: int) -> None:
        """Have the database delete lines ``days`` after their ``at``, existing ones too, within minutes.

        All hosts share one span, the last one set.
        """
        index = LOG_RETENTION
        self.table.expire_after(days * DAY_SECONDS, index.keys, name=index.name, **index.options)

    def write(self, event: str, *, job_id: str | None = None, **fields: Any) -> None:
        """Add a line about a job."""
        self._insert({"event": event, "job_id": job_id, **fields})

    def write_many(self, lines: Sequence[Document]) -> None:
        """Add lines about jobs, each with its ``event``, ``job_id`` and ``at``."""
        self.table.insert_many([dict(line) for line in lines])

    def audit(self, *, actor: str, command: str, args: Mapping[str, Any], outcome: str) -> None:
        """Add a line about an operator's command: who, what, and its outcome."""
        self._insert(
            {"event": "command", "actor": actor, "command": command, "args": dict(args), "outcome": outcome}
        )

    def of_job(self, job_id: str) -> list[Document]:
        """Find a job's lines, in order."""
        return self.table.find({"job_id": job_id}, sort=[("at", 1)])

    def latest(
        self, limit: int, *, job_id: str | None, commands: bool, after: str | None
    ) -> tuple[list[Document], str]:
        """Find the latest lines, oldest first; return them and the position from which to read on.

        A position lies ``OVERLAP_SECONDS`` in the past, since lines of other hosts may arrive late: a reader
        who goes on from it gets some lines again, and recognises them by their ``_id``.

        Raises:
            ValueError: ``after`` is not a position.
        """
        query: Document = {}
        if job_id is not None:
            query["job_id"] = job_id
        if commands:
            query["event"] = "command"
        if after is not None:
            query["_id"] = {"$gt": _object_id(after)}
        position = str(ObjectId.from_datetime(self._now() - timedelta(seconds=OVERLAP_SECONDS)))
        latest_first = [("at" if job_id or commands else "_id", -1)]
        lines = self.table.find(query, sort=latest_first, limit=limit)
        return lines[::-1], position

    def commands(self, limit: int) -> list[Document]:
        """Find the latest commands, newest first."""
        return self.table.find({"event": "command"}, sort=[("at", -1)], limit=limit)

    def refusals(self, seconds: float, limit: int) -> list[str]:
        """What Retell said when it refused dials within the last ``seconds``, the latest first."""
        since = ObjectId.from_datetime(self._now() - timedelta(seconds=seconds))
        query = {"_id": {"$gt": since}, "event": "dial.refused"}
        rows = self.table.find(query, sort=[("_id", -1)], limit=limit, fields=("error",))
        return [str(row.get("error")) for row in rows]

    def _insert(self, fields: Document) -> None:
        kept = {name: value for name, value in fields.items() if value is not None}
        self.table.insert({**kept, "at": self._now()})


def _object_id(position: str) -> ObjectId:
    try:
        return ObjectId(position)
    except InvalidId as exc:
        raise ValueError("not a position of an earlier answer") from exc
