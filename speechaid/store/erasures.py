"""Erase people's data: find what is to be erased, and write what is left, each under the state that was read.

What is left is decided elsewhere (``campaign.erasure``). A job comes last, after its results and its history:
until it has its mark it is found again, so that a run which was interrupted is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from speechaid.model.erasure import ERASED, FORGETTING, Erasure, What
from speechaid.model.job import Job
from speechaid.model.reading import Document, instant, text
from speechaid.model.states import FINISHED, spellings_of
from speechaid.model.test_calls import TESTS
from speechaid.store.jobs import Jobs, read_job
from speechaid.store.table import Table, as_stored, suppress_faults

#: What is known of the end of a job that has no ``finished_at``, the best first.
_ENDED_AT: Final = ("completed_at", "failed_at", "call_ended_at", "updated_at", "created_at")
#: Their spellings in the database.
_ENDED: Final = tuple(spelling for status in sorted(FINISHED) for spelling in spellings_of(status))
#: What is still to be erased of documents from which this much is to go.
_BEFORE: Final = {What.CALLS: (None,), What.PERSON: (None, What.CALLS), What.FILE: (None,)}
_JOB_INDEX: Final = "speechaid_job_retention"
_RESULT_INDEX: Final = "speechaid_result_retention"
_IMPORT_INDEX: Final = "speechaid_import_retention"
_FORGETTING_INDEX: Final = "speechaid_forgetting"


@dataclass(kw_only=True)
class Position:
    """How far a walk over the documents of one kind has come; those behind it are read in the next walk."""

    at: datetime | None = None
    #: Documents of that very time that were read.
    seen: set[Any] = field(default_factory=set)

    def move(self, at: datetime, document_id: Any) -> None:
        """Go on after a document."""
        if at != self.at:
            self.at, self.seen = at, set()
        self.seen.add(document_id)


@dataclass(frozen=True, kw_only=True)
class _Walked:
    """Documents of one kind that are walked over, the oldest first."""

    table: Table
    #: Conditions, of which the index has one range each.
    kinds: tuple[Document, ...]
    #: The field by which they are old.
    time: str
    index: str


class Erasures:
    """What is to be erased in jobs, results, their history, and records of imports."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        results: Table,
        logs: Table,
        imports: Table,
        batches: Table,
        now: Callable[[], datetime],
    ) -> None:
        self._all_jobs = jobs
        self._jobs = jobs.table
        self._results = results
        self._logs = logs
        self._imports = imports
        self._batches = batches
        self._now = now
        ended: tuple[Document, ...] = tuple({"status": status} for status in _ENDED)
        self._ended_jobs = _Walked(table=self._jobs, kinds=ended, time="finished_at", index=_JOB_INDEX)
        self._old_results = _Walked(table=results, kinds=({},), time="created_at", index=_RESULT_INDEX)

    # -- what is older than the settings allow -----------------------------------------------------------

    def add_missing_ends(self, limit: int) -> int:
        """Write ``finished_at`` on at most ``limit`` ended jobs without a readable one; return how many.

        SpeechAI's jobs may have none, or a text. The end is then the latest time that the job has of it.
        """
        written = 0
        for status in _ENDED:
            for missing in (None, {"$gte": ""}):
                # Whatever is erased has its end already.
                query = {"status": status, "erased.what": None, "finished_at": missing}
                rows = self._jobs.find(
                    query,
                    limit=limit - written,
                    fields=("finished_at", *_ENDED_AT),
                    hint=_JOB_INDEX,
                )
                for row in rows:
                    ends = (instant(row.get(name)) for name in ("finished_at", *_ENDED_AT))
                    ended_at = next((end for end in ends if end is not None), self._now())
                    as_read = {
                        "_id": row["_id"],
                        "status": status,
                        "finished_at": as_stored(row.get("finished_at")),
                    }
                    with suppress_faults():
                        written += self._jobs.update(as_read, {"$set": {"finished_at": ended_at}})
                if written >= limit:
                    return written
        return written

    def jobs_ended_before(
        self, before: datetime, what: What, position: Position, limit: int
    ) -> list[tuple[datetime, Any]]:
        """Find ended jobs that still have this, after a position: when each ended, and its ``_id``.

        Args:
            before: they ended before that time.
            what: to be erased.
            position: where the walk is; whoever has read one moves it.
            limit: at most this many; fewer are the end of the walk.
        """
        return _find_next(self._ended_jobs, what, before, position, limit)

    def results_before(
        self, before: datetime, what: What, position: Position, limit: int
    ) -> list[tuple[datetime, Any]]:
        """Find results that still have this: of deleted jobs, and of jobs that have not ended.

        The arguments are those of ``jobs_ended_before``; the time is that of the result.
        """
        return _find_next(self._old_results, what, before, position, limit)

    def results(self, ids: Sequence[Any]) -> list[Document]:
        """Read the results with these ``_id``."""
        return self._results.find({"_id": {"$in": list(ids)}}) if ids else []

    def without_job(self, results: Sequence[Document]) -> list[Document]:
        """Those of the results whose jobs are not there any more."""
        names = {name for result in results if (name := text(result.get("job_id"))) is not None}
        there = {name for name in names if self._all_jobs.has_job(name)}
        return [result for result in results if text(result.get("job_id")) not in there]

    def imports_before(self, before: datetime, limit: int) -> list[str]:
        """Find at most ``limit`` imports that began before then, and whose files are still named."""
        query = {"erased.what": None, "started_at": {"$lt": before}}
        rows = self._imports.find(
            query, sort=[("started_at", 1)], limit=limit, fields=("_id",), hint=_IMPORT_INDEX
        )
        return [str(row["_id"]) for row in rows]

    def count_late(self, before: datetime, what: What, limit: int) -> int:
        """How many jobs ended before then and still have this; at most ``limit``, by the index alone."""
        late = 0
        for status in _ENDED:
            for mark in _BEFORE[what]:
                query = {"status": status, "erased.what": mark, "finished_at": {"$lt": before}}
                rows = self._jobs.find(query, limit=limit - late, fields=("_id",), hint=_JOB_INDEX)
                late += len(rows)
                if late >= limit:
                    return late
        return late

    # -- who is being forgotten --------------------------------------------------------------------------

    def mark_forgetting(self, ids: Sequence[Any], *, by: str, reason: str | None) -> int:
        """Mark jobs: what is left of their person goes, and none of them is dialled any more; how many.

        Args:
            ids: their ``_id``.
            by: the operator.
            reason: in the operator's words.
        """
        mark = {"at": self._now(), "by": by, **({} if reason is None else {"reason": reason})}
        query = {"_id": {"$in": list(ids)}, "erased.what": {"$ne": What.PERSON}}
        return self._jobs.update_many(query, {"$set": {FORGETTING: mark}})

    def tests_of(self, names: Sequence[str]) -> list[Any]:
        """Find the test calls that had the variables of these jobs: their jobs' ``_id``."""
        query = {"batch_id": TESTS, "test.job_id": {"$in": list(names)}}
        return [row["_id"] for row in self._jobs.find(query, fields=("_id",))]

    def being_forgotten(self, limit: int) -> list[Job]:
        """Find jobs whose person is being forgotten."""
        query: Document = {"forgetting.at": {"$exists": True}}
        rows = self._jobs.find(query, limit=limit, hint=_FORGETTING_INDEX)
        return [read_job(row) for row in rows]

    # -- one job, with what belongs to it ----------------------------------------------------------------

    def find_job(self, job_id: Any) -> Job | None:
        """Read a job by its ``_id``; None where it is gone."""
        document = self._jobs.find_one({"_id": job_id})
        return None if document is None else read_job(document)

    def results_of(self, job: Job) -> list[Document]:
        """Find the results of a job that still have its person's data."""
        names = {job.job_id, str(job.id)}
        query = {"job_id": {"$in": [*names, *([] if isinstance(job.id, str) else [job.id])]}}
        return [row for row in self._results.find(query) if _what(row) is not What.PERSON]

    def results_to(self, numbers: Sequence[str]) -> list[Document]:
        """Find the results of calls to these numbers that still have their person's data."""
        query = {"contact.phone_used": {"$in": list(numbers)}}
        return [row for row in self._results.find(query) if _what(row) is not What.PERSON]

    def lines_of(self, job: Job) -> list[Document]:
        """Find the lines of a job's history."""
        return self._logs.find({"job_id": job.job_id})

    def write_result(self, result: Document, left: Document) -> bool:
        """Replace a result by what is left of it; False where it was erased or deleted meanwhile.

        False, too, where it was added to its batch's sums meanwhile: it would be added once more.
        """
        due = {"batch_due": as_stored(result.get("batch_due"))}
        query = {"_id": result["_id"], "erased.what": _mark(result), **due}
        return self._results.replace_one(query, left)

    def write_result_without_call(self, result: Document, call: Document, erasure: Erasure) -> bool:
        """Leave of a result's call this, and its person as it is; False where it was erased meanwhile."""
        query = {"_id": result["_id"], "erased.what": _mark(result), "analysis_wait": None}
        without = {"cut_fields": "", "decision": "", "test.variables": ""}
        change = {"$set": {"call_data": call, ERASED: erasure.document()}, "$unset": without}
        return self._results.update(query, change)

    def write_line(self, line: Document, left: Document) -> bool:
        """Replace a line of the history."""
        return self._logs.replace_one({"_id": line["_id"]}, left)

    def write_job(self, job: Job, left: Document) -> bool:
        """Replace a job by what is left of it; False where it changed meanwhile: read it again.

        Expected: status, revision, time of the last change and mark as read, and no dial.
        """
        return self._jobs.replace_one(self._as_read(job), {**left, "revision": job.revision + 1})

    def write_job_without_call(self, job: Job, summary: Document | None, erasure: Erasure) -> bool:
        """Leave of a job's latest call this summary, and its person as it is; as ``write_job``."""
        kept = {} if summary is None else {"call_result.summary": summary}
        change = {
            "$set": {**kept, ERASED: erasure.document(), "revision": job.revision + 1},
            "$unset": {"call_result.cut_fields": ""} if summary is not None else {"cut_fields": ""},
        }
        return self._jobs.update(self._as_read(job), change)

    def _as_read(self, job: Job) -> Document:
        fields = ("status", "revision", "updated_at")
        as_read = {name: as_stored(job.document.get(name)) for name in fields}
        return {"_id": job.id, **as_read, "dial": None, "erased.what": _mark(job.document)}

    # -- imports -----------------------------------------------------------------------------------------

    def forget_file(self, import_id: str, erasure: Erasure) -> bool:
        """Erase the name and the fingerprint of an import's file; the import and its counts stay."""
        latest = {"last_import.import_id": import_id}
        mark = erasure.document()
        change = {"$set": {f"last_import.{ERASED}": mark}, "$unset": {"last_import.file": ""}}
        self._batches.update_many(latest, change)
        return self._imports.update(
            {"_id": import_id}, {"$set": {ERASED: mark}, "$unset": {"file": "", "sha256": ""}}
        )


def _find_next(
    walked: _Walked, what: What, before: datetime, position: Position, limit: int
) -> list[tuple[datetime, Any]]:
    times: Document = {"$lt": before} if position.at is None else {"$gte": position.at, "$lt": before}
    found: list[tuple[datetime, Any]] = []
    for kind in walked.kinds:
        for mark in _BEFORE[what]:
            rows = walked.table.find(
                {**kind, "erased.what": mark, walked.time: times},
                sort=[(walked.time, 1)],
                limit=limit + len(position.seen),
                fields=(walked.time,),
                hint=walked.index,
            )
            found += [(row[walked.time], row["_id"]) for row in rows]
    new = [one for one in found if one[0] != position.at or one[1] not in position.seen]
    return sorted(new, key=lambda one: one[0])[:limit]


def _what(document: Document) -> What | None:
    found = Erasure.read(document)
    return None if found is None else found.what


def _mark(document: Document) -> Any:
    """The mark as stored, for the condition that it is still that."""
    fields = document.get(ERASED)
    return as_stored(fields.get("what")) if isinstance(fields, dict) else None
