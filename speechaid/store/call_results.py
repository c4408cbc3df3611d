"""What came of each call: one document a dial, in SpeechAI's form, and the figures summed over them."""

from __future__ import annotations

from speechaid.model.reading import Document
from speechaid.store.table import Duplicate, Pipeline, Table


class CallResults:
    """The call_results collection."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def record(self, document: Document) -> bool:
        """Insert the result of a dial (``dial_key``); False where it is recorded already."""
        try:
            self.table.insert(dict(document))
        except Duplicate:
            return False
        return True

    def of_job(self, job_id: str) -> list[Document]:
        """A job's calls, in order."""
        return self.table.find({"job_id": job_id}, sort=[("created_at", 1)])

    def of_call(self, call_id: str) -> Document | None:
        """The result of a call, or None."""
        return self.table.find_one({"call_id": call_id})

    def aggregate(self, pipeline: Pipeline) -> list[Document]:
        """Figures over the results; ``campaign.report`` says which."""
        return self.table.aggregate(pipeline)
