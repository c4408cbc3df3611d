"""Orders about single jobs and calls: cancel, suspend, resume, hang up."""

from __future__ import annotations

from typing import Final

from speechaid.commands.ids import the_job
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model.job import Job
from speechaid.model.states import JobStatus, SuspendReason
from speechaid.protocol.messages import ErrorCode
from speechaid.store.operator_requests import Requested

#: A job that changes under an order is read again so often; then somebody fights over it.
_TRIES: Final = 10


def cancel_job(context: HandlerContext, call: Invocation) -> Result:
    """Call a job off; a call that is going on ends as it may, and is charged."""
    return _ask(context, call, "cancel", call.args["reason"])


def suspend_job(context: HandlerContext, call: Invocation) -> Result:
    """Set a job aside until resume-job."""
    return _ask(context, call, "suspend", call.args["reason"] or SuspendReason.OPERATOR)


def hang_up(context: HandlerContext, call: Invocation) -> Result:
    """Have the worker that follows a job's call stop it in Retell."""
    job = the_job(context.store, call.args["job"])
    if job.dial is None:
        raise CommandRefused(ErrorCode.REFUSED, f"job {job.job_id} has no call: it is {_standing(job)}")
    return _ask(context, call, "hang_up", call.args["reason"]) | {"call_id": job.dial.call_id}


def resume_job(context: HandlerContext, call: Invocation) -> Result:
    """A suspended job may be called again; one whose suspension waits for its call goes on as before."""
    for _ in range(_TRIES):
        job = the_job(context.store, call.args["job"])
        if (job.request or {}).get("action") == "suspend" and job.dial is not None:
            if context.store.operator_actions.drop_request(job):
                return _told(job, job.status, "taken back")
        elif job.status is JobStatus.SUSPENDED:
            if context.store.operator_actions.resume(job):
                return _told(job, JobStatus.PENDING, Requested.DONE)
        else:
            message = f"job {job.job_id} is not suspended: it is {_standing(job)}"
            raise CommandRefused(ErrorCode.REFUSED, message)
    raise _contended(call)


def _ask(context: HandlerContext, call: Invocation, action: str, reason: str | None) -> Result:
    before = the_job(context.store, call.args["job"])
    answer = context.store.requests.ask(before.job_id, action, reason=reason, by=call.actor)
    job = context.store.jobs.get(before.job_id)
    if answer is Requested.REFUSED:
        raise CommandRefused(ErrorCode.REFUSED, f"job {job.job_id} is {_standing(job)}{_remedy(job, action)}")
    return _told(job, job.status, answer) | {"was": before.status, "reason": reason}


def _told(job: Job, status: JobStatus, how: str) -> Result:
    return {
        "job_id": job.job_id,
        "status": status,
        "how": str(how),
        "live_call": None if job.dial is None else job.dial.call_id,
    }


def _standing(job: Job) -> str:
    reason = job.suspend_reason if job.status is JobStatus.SUSPENDED else job.document.get("cancel_reason")
    shown = reason if job.status in {JobStatus.SUSPENDED, JobStatus.CANCELLED} else None
    return f"{job.status} ({shown})" if shown else str(job.status)


def _remedy(job: Job, action: str) -> str:
    if job.status in {JobStatus.DONE, JobStatus.FAILED}:
        return f": there is nothing to {action.replace('_', ' ')}"
    return " already"


def _contended(call: Invocation) -> CommandRefused:
    message = f"job {call.args['job']} changed under the order time and again: give it once more"
    return CommandRefused(ErrorCode.REFUSED, message)
