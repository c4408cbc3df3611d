"""One line per event of a job and per operator's command, kept for a set time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from bson.errors import InvalidId

from speechaid.model.reading import Document
from speechaid.store.indexes import DAY_SECONDS, LOG_BATCH_COMMANDS, LOG_COMMANDS, LOG_READS, LOG_RETENTION
from speechaid.store.table import Table

#: Events of operators: a command that changes something, reads of people's data, and what was erased of it.
COMMAND = "command"
READ = "read"
#: How much of people's data was erased, and by whom.
ERASED = "erased"
_INDEX_OF = {COMMAND: LOG_COMMANDS.name, READ: LOG_READS.name}
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

    def audit(
        self,
        *,
        actor: str,
        command: str,
        args: Mapping[str, Any],
        outcome: str,
        batch: str | None = None,
        changes: Sequence[Document] | None = None,
    ) -> None:
        """Add a line about an operator's command: who, what, and its outcome.

        Args:
            actor: who sent it.
            command: its name.
            args: as typed.
            outcome: ``done``, or the code of the refusal.
            batch: the id of the batch that it was about.
            changes: what it changed: each with ``option``, ``old`` and ``new``.
        """
        fields: Document = {"actor": actor, "command": command, "args": dict(args), "outcome": outcome}
        if changes:
            fields["changes"] = [dict(change) for change in changes]
        self._insert({"event": COMMAND, **fields, "batch": batch})

    def of_batch(self, batch_id: str, limit: int) -> list[Document]:
        """Find the latest commands about a batch, newest first."""
        query = {"event": COMMAND, "batch": batch_id}
        # The embedded server uses a partial index only with a hint.
        return self.table.find(query, sort=[("at", -1)], limit=limit, hint=LOG_BATCH_COMMANDS.name)

    def note_read(self, record_id: object, fields: Document) -> None:
        """Add the record of a client's reads, or write it again with its new counts."""
        self.table.update({"_id": record_id}, {"$set": {"event": READ, **fields}}, upsert=True)

    def note_erasure(self, record_id: object, *, by: str, jobs: int, results: int, imports: int) -> None:
        """Add the record of an erasure, or write it again with its new counts; it names nobody."""
        counts = {"jobs": jobs, "results": results, "imports": imports}
        fields = {"event": ERASED, "actor": by, **counts, "at": self._now()}
        self.table.update({"_id": record_id}, {"$set": fields}, upsert=True)

    def of_job(self, job_id: str) -> list[Document]:
        """Find a job's lines, in order."""
        return self.table.find({"job_id": job_id}, sort=[("at", 1)])

    def latest(
        self,
        limit: int,
        *,
        job_id: str | None,
        event: str | None,
        after: str | None,
        batch: str | None = None,
        agent: str | None = None,
        by: str | None = None,
        days: Document | None = None,
    ) -> tuple[list[Document], str]:
        """Find the latest lines, or the first after a position; return them, oldest first, and a position.

        Up to the position every line was read. It lies ``OVERLAP_SECONDS`` in the past or more, since lines
        of other hosts may arrive late: a reader who goes on from it gets some lines again, and recognises
        them by their ``_id``.

        Args:
            limit: at most this many.
            job_id: of this job only.
            event: lines of this event only.
            after: a position, or the ``_id`` of a line as text: the first lines after it, by their ``_id``.
            batch: of this batch only, by its id.
            agent: of calls with this agent only.
            by: of this author only: a name, or as ``actor`` has it.
            days: a condition on the lines' times.

        Raises:
            ValueError: ``after`` is not a position.
        """
        query = _filter(job_id=job_id, event=event, batch=batch, agent=agent, by=by)
        if days:
            query["at"] = days
        position = str(ObjectId.from_datetime(self._now() - timedelta(seconds=OVERLAP_SECONDS)))
        if after is None:
            # The embedded server uses a partial index only with a hint; what has a smaller index needs none.
            hint = None if job_id or batch or agent or event is None else _INDEX_OF.get(event)
            latest_first = [("at" if query else "_id", -1)]
            lines = self.table.find(query, sort=latest_first, limit=limit, hint=hint)
            return lines[::-1], position
        later = {**query, "_id": {"$gt": _object_id(after)}}
        lines = self.table.find(later, sort=[("_id", 1)], limit=limit)
        return lines, min(position, str(lines[-1]["_id"])) if len(lines) == limit else position

    def has_line(
        self,
        line_id: str,
        *,
        job_id: str | None,
        event: str | None,
        batch: str | None,
        agent: str | None,
        by: str | None = None,
    ) -> bool:
        """Whether the line of this ``_id`` is stored, and is one of what ``latest`` is asked for.

        Raises:
            ValueError: it is no ``_id`` of a line.
        """
        query = _filter(job_id=job_id, event=event, batch=batch, agent=agent, by=by)
        return self.table.find_one({**query, "_id": _object_id(line_id)}, ("_id",)) is not None

    def commands(self, limit: int) -> list[Document]:
        """Find the latest commands, newest first."""
        return self.table.find({"event": COMMAND}, sort=[("at", -1)], limit=limit)

    def refusals(self, seconds: float, limit: int) -> list[str]:
        """What Retell said when it refused dials within the last ``seconds``, the latest first."""
        since = ObjectId.from_datetime(self._now() - timedelta(seconds=seconds))
        query = {"_id": {"$gt": since}, "event": "dial.refused"}
        rows = self.table.find(query, sort=[("_id", -1)], limit=limit, fields=("error",))
        return [str(row.get("error")) for row in rows]

    def _insert(self, fields: Document) -> None:
        kept = {name: value for name, value in fields.items() if value is not None}
        self.table.insert({**kept, "at": self._now()})


def new_record_id() -> object:
    """An id for ``CallLogs.note_read``."""
    return ObjectId()


def _object_id(position: str) -> ObjectId:
    try:
        return ObjectId(position)
    except InvalidId as exc:
        raise ValueError("not a position of an earlier answer") from exc


def position_before(line_id: str) -> str:
    """The position after which every line comes that may have arrived later than this one."""
    seconds = max(0, int(line_id[:8], 16) - int(OVERLAP_SECONDS))
    return f"{seconds:08x}" + "0" * 16


def _filter(*, by: str | None, **fields: str | None) -> Document:
    query: Document = {name: value for name, value in fields.items() if value is not None}
    if by is not None:
        query["actor"] = {"$regex": rf"^{re.escape(by)}($| \()"}
    return query
