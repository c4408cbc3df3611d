"""Commands about single jobs and calls: cancel, suspend, resume, hang up."""

from __future__ import annotations

from typing import Final

from speechaid.commands.ids import refuse_cancelled, resolve_job
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model.job import Job
from speechaid.model.states import JobStatus, SuspendReason
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.store.operator_requests import Requested

#: Attempts on a job that keeps changing meanwhile.
_MAX_TRIES: Final = 10


def cancel_job(context: HandlerContext, command: Invocation) -> Result:
    """Cancel a job; a call in progress is not ended, and is charged."""
    return _ask(context, command, "cancel", command.args["reason"])


def suspend_job(context: HandlerContext, command: Invocation) -> Result:
    """Set a job aside until resume-job."""
    return _ask(context, command, "suspend", command.args["reason"] or SuspendReason.OPERATOR)


def hang_up(context: HandlerContext, command: Invocation) -> Result:
    """Request the worker that follows the job's call to stop it in Retell."""
    job = resolve_job(context.store, command.args["job"])
    if job.dial is None:
        raise CommandRefused(
            ErrorCode.REFUSED,
            say("job {job_id} has no call: it is {described}", job_id=job.job_id, described=_described(job)),
        )
    return _ask(context, command, "hang_up", command.args["reason"]) | {"call_id": job.dial.call_id}


def resume_job(context: HandlerContext, command: Invocation) -> Result:
    """Resume a suspended job, or withdraw a suspension that waits for the end of a call."""
    for _ in range(_MAX_TRIES):
        job = resolve_job(context.store, command.args["job"])
        _refuse_of_cancelled_batch(context, job)
        if (job.request or {}).get("action") == "suspend" and job.dial is not None:
            if context.store.operator_actions.drop_request(job):
                return _answer(job, job.status, say("taken back"))
        elif job.status is JobStatus.SUSPENDED:
            if context.store.operator_actions.resume(job):
                return _answer(job, JobStatus.PENDING, Requested.DONE)
        else:
            message = say(
                "job {job_id} is not suspended: it is {described}",
                job_id=job.job_id,
                described=_described(job),
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
    raise _contended(command)


def _refuse_of_cancelled_batch(context: HandlerContext, job: Job) -> None:
    """A job of a cancelled batch is not called again."""
    batch = None if job.batch_id is None else context.store.batches.find(job.batch_id)
    if batch is not None:
        refuse_cancelled(batch, say("called again"))


def _ask(context: HandlerContext, command: Invocation, action: str, reason: str | None) -> Result:
    before = resolve_job(context.store, command.args["job"])
    answer = context.store.requests.ask(before.job_id, action, reason=reason, by=command.actor)
    job = context.store.jobs.get(before.job_id)
    if answer is Requested.REFUSED:
        raise CommandRefused(
            ErrorCode.REFUSED,
            say(
                "job {job_id} is {described}{remedy}",
                job_id=job.job_id,
                described=_described(job),
                remedy=_remedy(job, action),
            ),
        )
    return _answer(job, job.status, answer) | {"was": before.status, "reason": reason}


def _answer(job: Job, status: JobStatus, how: str) -> Result:
    return {
        "job_id": job.job_id,
        "status": status,
        "how": str(how),
        "live_call": None if job.dial is None else job.dial.call_id,
    }


def _described(job: Job) -> str:
    reason = job.suspend_reason if job.status is JobStatus.SUSPENDED else job.document.get("cancel_reason")
    shown = reason if job.status in {JobStatus.SUSPENDED, JobStatus.CANCELLED} else None
    return say("{status} ({shown})", status=job.status, shown=shown) if shown else str(job.status)


def _remedy(job: Job, action: str) -> str:
    if job.status in {JobStatus.DONE, JobStatus.FAILED}:
        return say(": there is nothing to {action}", action=action.replace("_", " "))
    return say(" already")


def _contended(command: Invocation) -> CommandRefused:
    message = say("job {job} kept changing meanwhile: repeat the command", job=command.args["job"])
    return CommandRefused(ErrorCode.REFUSED, message)
