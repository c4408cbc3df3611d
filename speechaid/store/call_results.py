"""The results of calls: one document per dial, in SpeechAI's form."""

from __future__ import annotations

from speechaid.model.reading import Document
from speechaid.store.indexes import RESULT_DIAL_KEYS
from speechaid.store.table import Duplicate, Pipeline, Table


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

    def has_batch(self, batch_id: str) -> bool:
        """Whether a call of this batch is recorded."""
        return bool(self.table.find({"batch_id": batch_id}, limit=1, fields=("_id",)))

    def aggregate(self, pipeline: Pipeline) -> list[Document]:
        """Run a pipeline over the results."""
        return self.table.aggregate(pipeline)
