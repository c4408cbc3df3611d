"""Calls whose analysis has yet to come: a mark on the result, consumed by the write that adds it.

``analysis_wait {due_at, tries, key}`` stands in a result from the settlement on; ``key`` is the fingerprint
of the API key under which the call was placed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from speechaid.model.reading import Document
from speechaid.store.jobs import Jobs
from speechaid.store.table import Table

#: The mark, and the index on it.
WAIT = "analysis_wait"
DUE_INDEX = "speechaid_analysis_due"
#: Whoever takes a result asks Retell and writes within so many seconds, or another one takes it.
CLAIM_SECONDS = 120.0
#: A result that is overdue by so much is asked for under any key: nobody seems to have its own any more.
ORPHANED_SECONDS = 900.0
#: Of a result, what is needed to ask and to write.
_FIELDS = ("call_id", "job_id", "batch_id", "dial_key", "created_at", WAIT)


class Analyses:
    """What is done to results, and to the jobs that show them, once Retell has analysed a call."""

    def __init__(self, results: Table, jobs: Jobs, now: Callable[[], datetime]) -> None:
        self._results = results
        self._jobs = jobs
        self._now = now

    def due(self, fingerprint: str, limit: int) -> list[Document]:
        """Results whose analysis is to be asked for now, the longest due first."""
        now = self._now()
        orphaned = now - timedelta(seconds=ORPHANED_SECONDS)
        query = {
            f"{WAIT}.due_at": {"$exists": True, "$lte": now},
            "$or": [{f"{WAIT}.key": fingerprint}, {f"{WAIT}.due_at": {"$lte": orphaned}}],
        }
        sort = [(f"{WAIT}.due_at", 1)]
        return self._results.find(query, sort=sort, limit=limit, fields=_FIELDS, hint=DUE_INDEX)

    def claim(self, result: Document) -> Document | None:
        """Have one to oneself for a while; None where another was quicker."""
        due_at = self._now() + timedelta(seconds=CLAIM_SECONDS)
        expected = {"_id": result["_id"], f"{WAIT}.due_at": result[WAIT]["due_at"]}
        if not self._results.update(expected, {"$set": {f"{WAIT}.due_at": due_at}}):
            return None
        return {**result, WAIT: {**result[WAIT], "due_at": due_at}}

    def is_settled(self, result: Document) -> bool:
        """Whether the job has had its last write about this call."""
        return not self._jobs.has_dial(str(result.get("dial_key")))

    def postpone(self, result: Document, seconds: float, tries: int) -> bool:
        """Ask again so much later."""
        due_at = self._now() + timedelta(seconds=seconds)
        return self._results.update(
            self._claimed(result), {"$set": {f"{WAIT}.due_at": due_at, f"{WAIT}.tries": tries}}
        )

    def add(self, result: Document, analysis: Document) -> bool:
        """Add the analysis to the job, if this is still its latest call, and to the result; False: too late.

        The result comes last, since it holds the mark: whoever dies in between leaves all to be repeated.
        """
        shown = {"job_id": result.get("job_id"), "call_id": result["call_id"]}
        self._jobs.table.update(shown, {"$set": {"call_result.summary.call_analysis": analysis}})
        change = {"$set": {"call_data.call_analysis": analysis}, "$unset": {WAIT: ""}}
        return self._results.update(self._claimed(result), change)

    def give_up(self, result: Document) -> bool:
        """It never came, and that is put on record."""
        change = {"$set": {"analysis_missing": True}, "$unset": {WAIT: ""}}
        return self._results.update(self._claimed(result), change)

    @staticmethod
    def _claimed(result: Document) -> Document:
        return {"_id": result["_id"], f"{WAIT}.due_at": result[WAIT]["due_at"]}
