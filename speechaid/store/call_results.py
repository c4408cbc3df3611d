"""The results of calls: one document per dial, in SpeechAI's form."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from speechaid.model.reading import Document
from speechaid.store.indexes import RESULT_DIAL_KEYS
from speechaid.store.table import Duplicate, Pipeline, Table

#: What the ledger has to know of a call that was placed under no pack.
LEDGER_FIELDS: Final = (
    *("call_id", "job_id", "dial_key", "account_id", "batch_id", "contact.dni", "contact.phone_used"),
    *("placed_at", "created_at", "outcome", "connected", "is_successful"),
)


class CallResults:
    """The call_results collection."""

    def __init__(self, table: Table) -> None:
        self.table = table
        #: Whether the unique index on dials is known to exist.
        self._unique = False

    def record(self, document: Document) -> bool:
        """Insert the result of a dial; False where one with its ``dial_key`` exists.

        Where the collection holds duplicates, and so has no unique index, the result is looked for first.
        """
        self._unique = self._unique or self.table.has_unique_index(RESULT_DIAL_KEYS)
        if not self._unique:
            same = {"job_id": document.get("job_id"), "dial_key": document.get("dial_key")}
            if self.table.find_one(same, fields=("_id",)) is not None:
                return False
        try:
            self.table.insert(dict(document))
        except Duplicate:
            return False
        return True

    def of_job(self, job_id: str) -> list[Document]:
        """Find a job's results, in order."""
        return self.table.find({"job_id": job_id}, sort=[("created_at", 1)])

    def of_call(self, call_id: str) -> Document | None:
        """Find the result of a call; None where there is none."""
        return self.table.find_one({"call_id": call_id})

    def has_calls_since(self, since: datetime) -> bool:
        """Whether a call was recorded from a time on."""
        return bool(self.table.find({"created_at": {"$gte": since}}, limit=1, fields=("_id",)))

    def of_dial(self, key: str) -> Document | None:
        """The result of a dial, but for Retell's answer."""
        return self.table.find_one({"dial_key": key}, fields=LEDGER_FIELDS)

    def recorded_since(self, since: datetime, limit: int) -> list[Document]:
        """At most so many results from a time on, the oldest first, as the ledger needs them."""
        return self.table.find(
            {"created_at": {"$gte": since}}, sort=[("created_at", 1)], limit=limit, fields=LEDGER_FIELDS
        )

    def has_batch(self, batch_id: str) -> bool:
        """Whether a call of this batch is recorded."""
        return bool(self.table.find({"batch_id": batch_id}, limit=1, fields=("_id",)))

    def aggregate(self, pipeline: Pipeline) -> list[Document]:
        """Run a pipeline over the results."""
        return self.table.aggregate(pipeline)
