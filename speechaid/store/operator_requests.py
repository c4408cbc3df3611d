"""Operators' requests about one job: done at once, or recorded until its open dial is settled.

A job with an open dial is not changed, since it may be unknown whether there is a call. The request waits in
``request``, and the settlement or the withdrawal of the dial applies it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from speechaid.model.erasure import FORGETTING, of_person
from speechaid.model.job import Job
from speechaid.model.reading import Document, text
from speechaid.model.states import ALLOWED_TRANSITIONS, JobStatus
from speechaid.rules import operator_requests
from speechaid.store.indexes import REQUESTS
from speechaid.store.jobs import Jobs, clear_claim
from speechaid.store.table import as_stored


class Requested(StrEnum):
    """The answer to a request."""

    DONE = "done"
    #: A dial is open: applied when that is settled, unless the call succeeds.
    RECORDED = "recorded"
    #: The job's status does not allow it.
    REFUSED = "refused"


class OperatorRequests:
    """Requests about single jobs."""

    def __init__(self, jobs: Jobs, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._now = now

    def ask(self, job_id: str, action: str, *, reason: str | None, by: str) -> Requested:
        """Do it, record it, or refuse it; in a race with a worker the first write wins.

        Expected by the write: status, token and dial as read; else the job is read again. A worker that has
        claimed the job and not yet written an intent finds its lease lost and places no call.

        Args:
            job_id: the job's name.
            action: ``cancel``, ``suspend``, ``reset``; with an open dial only: ``hang_up``, ``give_up``.
            reason: in the operator's words.
            by: the operator.

        Raises:
            NotFound: there is no such job.
        """
        while True:
            job, now = self._jobs.get(job_id), self._now()
            if _may_have_call(job):
                wanted: Document = {"action": action, "reason": reason, "by": by, "at": now}
                if action == operator_requests.GIVE_UP:
                    wanted = {**wanted, **(job.request or {}), action: True}
                change: Document = {"$set": {"request": wanted, "updated_at": now}}
                answer = Requested.RECORDED
            elif _is_allowed(job, action):
                change = clear_claim(_changes(action, reason, now), now, job.status)
                answer = Requested.DONE
            else:
                return Requested.REFUSED
            query = {
                "_id": job.id,
                "status": job.document.get("status"),
                "claim_token": job.claim_token,
                **_same_dial(job),
            }
            if self._jobs.table.update(query, change):
                return answer

    def hang_ups(self, limit: int) -> list[str]:
        """Names of jobs whose call an operator wants ended, and no worker has asked Retell to yet."""
        query = {
            # ``$exists``: so that every server sees that the sparse index covers the query.
            "request.action": {"$exists": True, "$in": ["hang_up"]},
            "status": JobStatus.IN_PROGRESS,
            "dial.call_id": {"$ne": None},
            "dial.stop_asked_by": None,
        }
        rows = self._jobs.table.find(query, limit=limit, fields=("job_id",), hint=REQUESTS)
        return [text(row.get("job_id")) or str(row["_id"]) for row in rows]


def _same_dial(job: Job) -> Document:
    """The condition that the dial is as read: one that cannot be read is compared as it is stored."""
    if job.dial is not None:
        return {"dial.key": job.dial.key}
    return {"dial": as_stored(job.document.get("dial"))}


def _may_have_call(job: Job) -> bool:
    """Whether a dial is open, or another program left the job in progress, perhaps with a call."""
    left = job.status is JobStatus.IN_PROGRESS and (job.foreign or job.claim_token is None)
    return job.dial is not None or job.has_unreadable_dial or left


def _is_allowed(job: Job, action: str) -> bool:
    """Whether the status allows the action; a job whose person opted out, or is erased, is never reset."""
    if action in {"hang_up", operator_requests.GIVE_UP}:
        return False
    is_gone = of_person(job.document) is not None or FORGETTING in job.document
    if action == "reset" and (is_gone or job.document.get("cancel_reason") == "do_not_call"):
        return False
    wanted = operator_requests.REQUESTED_STATUS[action]
    return wanted in ALLOWED_TRANSITIONS[job.status] or (action == "reset" and job.status is wanted)


def _changes(action: str, reason: str | None, now: datetime) -> Document:
    """The changes to a job without a dial: as if a dial had just been withdrawn."""
    untouched: Document = {"status": JobStatus.PENDING, "updated_at": now}
    if action == "reset":
        untouched["reserved_until"] = now
    return operator_requests.apply_request(untouched, {"action": action, "reason": reason})
