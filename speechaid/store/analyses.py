"""Calls whose analysis is still to be fetched: a mark on the result, removed by the write that adds it.

The settlement writes ``analysis_wait {due_at, tries, key}`` into the result; ``key`` is the fingerprint of
the API key with which the call was placed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from logging import WARNING

from speechaid.errors import StoreError, StoreForbidden, StoreUnavailable
from speechaid.model.erasure import ERASED
from speechaid.model.reading import Document
from speechaid.store.jobs import Jobs
from speechaid.store.table import Table
from speechaid.telemetry.logs import get_logger

log = get_logger("speechaid.store.analyses")

#: The mark, and the index on it.
WAIT = "analysis_wait"
DUE_INDEX = "speechaid_analysis_due"
#: Seconds that a claimed result belongs to one host; then another may claim it.
CLAIM_SECONDS = 120.0
#: A result overdue by this many seconds is fetched under any key: no host seems to use its own any more.
ORPHANED_SECONDS = 900.0
#: The fields of a result that are needed.
_FIELDS = ("call_id", "job_id", "batch_id", "dial_key", "created_at", WAIT)


class Analyses:
    """Analyses in the results, and in the jobs that show their latest call."""

    def __init__(self, results: Table, jobs: Jobs, now: Callable[[], datetime]) -> None:
        self._results = results
        self._jobs = jobs
        self._now = now

    def due(self, fingerprint: str, limit: int) -> list[Document]:
        """Find results whose analysis is due, the longest due first."""
        now = self._now()
        orphaned = now - timedelta(seconds=ORPHANED_SECONDS)
        query = {
            f"{WAIT}.due_at": {"$exists": True, "$lte": now},
            "$or": [{f"{WAIT}.key": fingerprint}, {f"{WAIT}.due_at": {"$lte": orphaned}}],
        }
        sort = [(f"{WAIT}.due_at", 1)]
        return self._results.find(query, sort=sort, limit=limit, fields=_FIELDS, hint=DUE_INDEX)

    def claim(self, result: Document) -> Document | None:
        """Claim a due result for ``CLAIM_SECONDS``; None where its ``due_at`` is no longer as read."""
        due_at = self._now() + timedelta(seconds=CLAIM_SECONDS)
        expected = {"_id": result["_id"], f"{WAIT}.due_at": result[WAIT]["due_at"]}
        if not self._results.update(expected, {"$set": {f"{WAIT}.due_at": due_at}}):
            return None
        return {**result, WAIT: {**result[WAIT], "due_at": due_at}}

    def is_settled(self, result: Document) -> bool:
        """Whether the call's dial is settled: no job has it open."""
        return not self._jobs.has_dial(str(result.get("dial_key")))

    def postpone(self, result: Document, seconds: float, tries: int) -> bool:
        """Set the next try to this many seconds from now; False where the claim was lost."""
        due_at = self._now() + timedelta(seconds=seconds)
        return self._results.update(
            self._claimed(result), {"$set": {f"{WAIT}.due_at": due_at, f"{WAIT}.tries": tries}}
        )

    def add(self, result: Document, analysis: Document, cut_fields: Sequence[Document] = ()) -> bool:
        """Add the analysis to the result, and to the job if this is still its latest call.

        The result comes last, since it holds the mark: after a crash in between, both writes are repeated.
        False where the claim was lost.

        Args:
            result: as claimed.
            analysis: short enough to be stored.
            cut_fields: what had to be cut from it, to be noted with the result.
        """
        # A job whose data were erased meanwhile gets none again.
        latest = {"job_id": result.get("job_id"), "call_id": result["call_id"], ERASED: None}
        try:
            self._jobs.table.update(latest, {"$set": {"call_result.summary.call_analysis": analysis}})
        except (StoreForbidden, StoreUnavailable):
            raise
        except StoreError:
            # The job's document is full, or another program has changed its shape: the result has it all.
            log.event(WARNING, "analysis.not_in_job", job=result.get("job_id"))
        change: Document = {"$set": {"call_data.call_analysis": analysis}, "$unset": {WAIT: ""}}
        if cut_fields:
            change["$push"] = {"cut_fields": {"$each": [*cut_fields]}}
        return self._results.update(self._claimed(result), change)

    def give_up(self, result: Document) -> bool:
        """Record that the analysis never came; False where the claim was lost."""
        change = {"$set": {"analysis_missing": True}, "$unset": {WAIT: ""}}
        return self._results.update(self._claimed(result), change)

    @staticmethod
    def _claimed(result: Document) -> Document:
        return {"_id": result["_id"], f"{WAIT}.due_at": result[WAIT]["due_at"]}
