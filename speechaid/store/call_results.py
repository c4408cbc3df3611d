"""The results of calls: one document per dial, in SpeechAI's form."""

from __future__ import annotations

from speechaid.model.reading import Document
from speechaid.store.table import Duplicate, Pipeline, Table


class CallResults:
    """The call_results collection."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def record(self, document: Document) -> bool:
        """Insert the result of a dial; False where one with its ``dial_key`` exists."""
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

    def aggregate(self, pipeline: Pipeline) -> list[Document]:
        """Run a pipeline over the results (``store.report_queries``)."""
        return self.table.aggregate(pipeline)
