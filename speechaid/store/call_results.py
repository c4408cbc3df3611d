"""The results of calls: one document per dial, in SpeechAI's form.

The result of a dial also holds what was decided about it (``dialer.verdict.decision_of``), so its ``_id`` is
made from the dial key: of two workers that decide at once, the database takes one result.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final

from bson import ObjectId

from speechaid.model.reading import Document
from speechaid.store.indexes import RESULT_DIAL_KEYS
from speechaid.store.table import Duplicate, Pipeline, Table

#: What the ledger has to know of a call that was placed under no pack.
LEDGER_FIELDS: Final = (
    *("call_id", "job_id", "dial_key", "account_id", "batch_id", "contact.dni", "contact.phone_used"),
    *("placed_at", "created_at", "outcome", "connected", "is_successful"),
)

#: Digits of an ``ObjectId``.
_ID_DIGITS: Final = 24


def result_id(key: str) -> ObjectId:
    """The ``_id`` of the result of a dial: the beginning of its key, where that is an id.

    Keys begin with their time (``WorkerContext.new_dial_key``), so new results lie together in the index.
    """
    beginning = key[:_ID_DIGITS]
    if ObjectId.is_valid(beginning):
        return ObjectId(beginning)
    return ObjectId(sha256(key.encode()).digest()[: _ID_DIGITS // 2])


class CallResults:
    """The call_results collection."""

    def __init__(self, table: Table) -> None:
        self.table = table
        #: Whether the unique index on dials is known to exist.
        self._unique = False

    def record(self, document: Document) -> bool:
        """Insert the result of a dial; False where there is one.

        Versions up to 0.2 gave their results any ``_id``: such a one is found by the unique index of dial
        keys, or, where the collection holds duplicates and so has none, looked for first.
        """
        key = document.get("dial_key")
        own_id = {"_id": result_id(key)} if isinstance(key, str) else {}
        self._unique = self._unique or self.table.has_unique_index(RESULT_DIAL_KEYS)
        if not self._unique:
            same = {"job_id": document.get("job_id"), "dial_key": document.get("dial_key")}
            if self.table.find_one(same, fields=("_id",)) is not None:
                return False
        try:
            self.table.insert({**own_id, **document})
        except Duplicate:
            return False
        return True

    def with_decision(self, key: str) -> Document | None:
        """The result of a dial with what was decided about it; None where there is none.

        One that a version up to 0.2 wrote is not found.
        """
        return self.table.find_one({"_id": result_id(key), "dial_key": key})

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
