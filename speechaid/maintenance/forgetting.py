"""Forget a person: cancel what waits, erase what has ended; what is under way follows when it is over.

The mark on the jobs (``forgetting``) is removed by the write that erases them, so that each host's
housekeeping completes what an interrupted command has begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from speechaid.campaign import erasure as left
from speechaid.campaign.people import id_key
from speechaid.clock import Clock
from speechaid.errors import NotFound
from speechaid.maintenance.erasing import Counts, Step, erase_person
from speechaid.model.erasure import FORGETTING, Erasure, What
from speechaid.model.job import Job
from speechaid.model.reading import mapping, text
from speechaid.model.states import FINISHED, JobStatus
from speechaid.store.connection import Store
from speechaid.store.operator_requests import Requested

#: ``cancel_reason`` of a job that waited.
FORGOTTEN: Final = "forgotten"
#: Tries with a job that changes meanwhile.
_MAX_TRIES: Final = 5
#: Jobs that one tick of the housekeeping looks at, and for how long, in seconds.
PORTION: Final = 50
TICK_BUDGET_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is left to do about one job."""

    was_cancelled: bool = False
    #: The job's name where it is erased later.
    later: str | None = None


def forget_job(store: Store, job_id: Any, erasure: Erasure, counts: Counts) -> Left:
    """Cancel a marked job where it waits, and erase it where nothing is under way.

    Args:
        store: the database.
        job_id: the job's ``_id``.
        erasure: when, and by whom.
        counts: what was erased is added to it.
    """
    was_cancelled, name = False, str(job_id)
    for _ in range(_MAX_TRIES):
        job = store.erasures.find_job(job_id)
        if job is None or FORGETTING not in job.document:
            return Left(was_cancelled=was_cancelled)
        name = job.job_id
        was_cancelled |= _cancel(store, job, erasure.by)
        step = erase_person(store, job_id, erasure, counts, is_forgotten=True)
        if step is Step.DONE:
            return Left(was_cancelled=was_cancelled)
        if step is Step.WAITS:
            return Left(was_cancelled=was_cancelled, later=job.job_id)
    return Left(was_cancelled=was_cancelled, later=name)


def _cancel(store: Store, job: Job, by: str) -> bool:
    """Cancel a job that may still be called; whether that was done at once."""
    will_be_retried = job.status is JobStatus.FAILED and job.document.get("next_try_at") is not None
    is_asked = (job.request or {}).get("reason") == FORGOTTEN
    if (job.status in FINISHED and not will_be_retried) or is_asked:
        return False
    try:
        return store.requests.ask(job.job_id, "cancel", reason=FORGOTTEN, by=by) is Requested.DONE
    except NotFound:
        return False


def erase_orphans(
    store: Store, numbers: Sequence[str], dni: str | None, erasure: Erasure, counts: Counts
) -> None:
    """Erase the results of calls to these numbers whose jobs were deleted, unless they name another id."""
    results = store.erasures.results_to(numbers)
    for result in store.erasures.without_job(results):
        other = text(mapping(result.get("contact")).get("dni"))
        if other is None or dni is None or id_key(other) == id_key(dni):
            counts.results += store.erasures.write_result(result, left.result_without_person(result, erasure))


def begin_forgetting(store: Store, jobs: Sequence[Any], *, by: str, reason: str | None) -> int:
    """Mark all jobs of a person, then cancel those that wait; return how many were cancelled.

    Two writes of the whole set: none of the jobs is dialled any more, whatever happens next.

    Args:
        store: the database.
        jobs: their ``_id``.
        by: the operator.
        reason: in the operator's words.
    """
    store.erasures.mark_forgetting(jobs, by=by, reason=reason)
    return cancel_waiting(store, jobs)


def cancel_waiting(store: Store, jobs: Sequence[Any]) -> int:
    """Cancel those of the marked jobs that wait and have no dial; return how many."""
    return store.operator_actions.cancel_jobs(jobs, {"cancel_reason": FORGOTTEN})


def complete_forgetting(store: Store, clock: Clock) -> tuple[Counts, bool]:
    """Go on with what commands have left: after a crash, or until a call was over.

    Returns:
        What was erased, and whether there was no time for all.
    """
    counts, until = Counts(), clock.boottime() + TICK_BUDGET_SECONDS
    jobs = store.erasures.being_forgotten(PORTION)
    if jobs:
        cancel_waiting(store, [job.id for job in jobs])
    for job in jobs:
        by = text(mapping(job.document.get(FORGETTING)).get("by")) or FORGOTTEN
        forget_job(store, job.id, Erasure(at=store.now(), by=by, what=What.PERSON), counts)
        if clock.boottime() >= until:
            return counts, True
    return counts, len(jobs) == PORTION and counts.jobs > 0
