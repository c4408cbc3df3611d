"""What an operator wants of one job: done at once, or recorded until its open dial is settled.

Nothing is done to a job whose dial is open, since nobody may know yet whether there is a call; the request
waits in ``request`` and bends what the settlement, or the withdrawal of the dial, makes of the job.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import ARROWS, JobStatus
from speechaid.rules import operator_requests
from speechaid.store.jobs import Jobs, clear_claim


class Requested(StrEnum):
    """What became of a request."""

    DONE = "done"
    #: A dial is open: done when that is settled, unless the call serves its purpose.
    RECORDED = "recorded"
    #: From where the job stands nothing leads to what is asked.
    REFUSED = "refused"


class OperatorRequests:
    """Requests about single jobs."""

    def __init__(self, jobs: Jobs, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._now = now

    def ask(self, job_id: str, action: str, *, reason: str | None, by: str) -> Requested:
        """Do it, record it, or refuse it; against workers, whoever writes first is heeded by the other.

        A worker that has claimed the job and written no intent yet finds its lease gone, and calls nobody.

        Args:
            job_id: the job's name.
            action: ``cancel``, ``suspend``, ``reset`` or ``hang_up`` (of an open dial alone).
            reason: in the operator's words.
            by: who asks.

        Raises:
            NotFound: there is no such job.
        """
        while True:
            job, now = self._jobs.get(job_id), self._now()
            if _may_have_a_call(job):
                wanted = {"action": action, "reason": reason, "by": by, "at": now}
                change: Document = {"$set": {"request": wanted, "updated_at": now}}
                answer = Requested.RECORDED
            elif _leads_there(job, action):
                change = clear_claim(_as_asked(action, reason, now), now, job.status)
                answer = Requested.DONE
            else:
                return Requested.REFUSED
            query = {
                "_id": job.id,
                "status": job.document.get("status"),
                "claim_token": job.claim_token,
                **({"dial": None} if job.dial is None else {"dial.key": job.dial.key}),
            }
            if self._jobs.table.update(query, change):
                return answer


def _may_have_a_call(job: Job) -> bool:
    """Whether a dial is open, or another program left it in progress with a call that we have yet to find."""
    left = job.status is JobStatus.IN_PROGRESS and (job.foreign or job.claim_token is None)
    return job.dial is not None or left


def _leads_there(job: Job, action: str) -> bool:
    """Whether the job may become what is asked; who asked not to be called again is not revived."""
    if action == "hang_up" or (action == "reset" and job.document.get("cancel_reason") == "do_not_call"):
        return False
    wanted = operator_requests.REQUESTED_STATUS[action]
    return wanted in ARROWS[job.status] or (action == "reset" and job.status is wanted)


def _as_asked(action: str, reason: str | None, now: datetime) -> Document:
    """The changes to a job without a dial: as if one that led nowhere had just been withdrawn."""
    untouched: Document = {"status": JobStatus.PENDING, "updated_at": now}
    if action == "reset":
        untouched["reserved_until"] = now
    return operator_requests.reclassify(untouched, {"action": action, "reason": reason})
