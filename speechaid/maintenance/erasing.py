"""Erase a job's data: its results and its history first, the job last, each only as it was read.

A run that is interrupted leaves the job without its mark, so that the next one finds it and repeats what was
done: erasing twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from speechaid.campaign import erasure as left
from speechaid.model.erasure import Erasure, of_person
from speechaid.model.job import Job
from speechaid.model.reading import instant, mapping
from speechaid.monitoring.thread_counters import ThreadCounters
from speechaid.store.connection import Store


class Step(Enum):
    """What came of one job."""

    DONE = auto()
    #: It has not ended, or Retell is still to be asked for the analysis of a call: later.
    WAITS = auto()
    #: It changed meanwhile, or is gone: read it again.
    CHANGED = auto()


@dataclass(kw_only=True)
class Counts:
    """How many documents lost data."""

    jobs: int = 0
    results: int = 0
    imports: int = 0

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.jobs + self.results + self.imports

    def add(self, other: Counts) -> None:
        """Add those of another run."""
        self.jobs += other.jobs
        self.results += other.results
        self.imports += other.imports

    def as_fields(self) -> dict[str, int]:
        """For a record or an answer."""
        return {"jobs": self.jobs, "results": self.results, "imports": self.imports}


def erase_calls(
    store: Store, job_id: Any, erasure: Erasure, counts: Counts, *, ended_before: datetime
) -> Step:
    """Erase what the calls of a job that ended before then have left; its person stays known."""
    job = store.erasures.find_job(job_id)
    if job is None:
        return Step.CHANGED
    results = store.erasures.results_of(job)
    if not (left.may_be_erased(job) and _ended_before(job, ended_before)) or left.awaits_analysis(results):
        return Step.WAITS
    for result in results:
        if Erasure.read(result) is None:
            call = left.kept_of_call(result)
            counts.results += store.erasures.write_result_without_call(result, call, erasure)
    latest = mapping(job.document.get("call_result"))
    summary = left.kept_of_call(dict(latest), "summary") if "summary" in latest else None
    return _counted(counts, store.erasures.write_job_without_call(job, summary, erasure))


def erase_person(
    store: Store,
    job_id: Any,
    erasure: Erasure,
    counts: Counts,
    *,
    ended_before: datetime | None = None,
    is_forgotten: bool = False,
) -> Step:
    """Erase whose an ended job was, and what its calls have left.

    Args:
        store: the database.
        job_id: the job's ``_id``.
        erasure: when, and by whom.
        counts: what was erased is added to it.
        ended_before: it waits where the job has ended later, as one does that was called again; None: never.
        is_forgotten: the person asks for it: no analysis is waited for, and the history goes, too.
    """
    job = store.erasures.find_job(job_id)
    if job is None or of_person(job.document) is not None:
        return Step.CHANGED
    if ended_before is not None and not _ended_before(job, ended_before):
        return Step.WAITS
    results = store.erasures.results_of(job)
    if not left.may_be_erased(job) or (left.awaits_analysis(results) and not is_forgotten):
        return Step.WAITS
    for result in results:
        counts.results += store.erasures.write_result(result, left.result_without_person(result, erasure))
    if is_forgotten:
        _erase_history(store, job)
    return _counted(counts, store.erasures.write_job(job, left.job_without_person(job.document, erasure)))


def _ended_before(job: Job, before: datetime) -> bool:
    ended_at = instant(job.document.get("finished_at"))
    return ended_at is not None and ended_at < before


def _erase_history(store: Store, job: Job) -> None:
    for line in store.erasures.lines_of(job):
        kept = left.line_without_person(line)
        if kept != line:
            store.erasures.write_line(line, kept)


def _counted(counts: Counts, is_done: bool) -> Step:
    counts.jobs += is_done
    return Step.DONE if is_done else Step.CHANGED


def count_erased(counters: ThreadCounters, counts: Counts, *, by: str) -> None:
    """Count for metrics what was erased.

    Args:
        counters: of the thread that erased it.
        counts: how much.
        by: ``retention`` or ``forget``.
    """
    for what, erased in counts.as_fields().items():
        for _ in range(erased):
            counters.count("speechaid_erased_total", what=what, by=by)
