"""Commands about many jobs, in portions: release stuck jobs, cancel a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.wait_for_dials import wait_for_dials
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import JobStatus, counts_by_status
from speechaid.protocol.translation import say
from speechaid.rules import operator_requests
from speechaid.store.operator_requests import Requested

#: Jobs changed by one task of the database thread; other tasks run between two portions.
_PORTION: Final = 500
#: Passes over jobs that changed while their batch was being cancelled.
_MAX_PASSES: Final = 10
#: Jobs listed in the answer; of the others it has the number.
_MAX_LISTED: Final = 200


def release_stuck(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Requeue jobs without a dial whose worker is gone; workers adopt and settle those with a dial.

    With ``unknown_calls`` jobs are closed, too, whose call Retell does not know: by the worker that polls it
    next, if Retell answers the same then.
    """
    rows: list[Result] = []
    if command.args["unknown_calls"]:
        rows = _give_up(context, command)
    return _release(context, command, rows, after=None)


def _give_up(context: HandlerContext, command: Invocation) -> list[Result]:
    rows, after = [], None
    while found := context.store.operator_actions.with_unknown_call(_PORTION, after=after):
        after = found[-1].id
        for job in found:
            if not command.args["dry_run"]:
                context.store.requests.ask(
                    job.job_id, operator_requests.GIVE_UP, reason="unknown_call", by=command.actor
                )
            rows.append(_release_row(job, "given_up"))
        if len(found) < _PORTION:
            break
    return rows


def _release_row(job: Job, then: str) -> Result:
    return {
        "job_id": job.job_id,
        "batch_id": job.batch_id,
        "worker": job.worker_id,
        "lease_until": job.reserved_until,
        "then": then,
    }


def _release(
    context: HandlerContext, command: Invocation, rows: list[Result], after: Any
) -> Result | Continue:
    found = context.store.operator_actions.stuck(command.args["older_than"], _PORTION, after=after)
    dry = command.args["dry_run"]
    rows += [_release_row(job, _release_one(context, job, dry=dry)) for job in found]
    if len(found) == _PORTION:
        command.progress({"state": "releasing", "done": len(rows)})
        return Continue(
            after_seconds=0.0, step=lambda context: _release(context, command, rows, found[-1].id)
        )
    counts = {
        action: sum(1 for row in rows if row["then"] == action)
        for action in ("released", "left_to_workers", "given_up")
    }
    return {
        "dry_run": command.args["dry_run"],
        **counts,
        "moved_meanwhile": len(rows) - sum(counts.values()),
        "jobs": rows[:_MAX_LISTED],
        "workers_at_work": _workers(command),
    }


def _release_one(context: HandlerContext, job: Job, *, dry: bool) -> str:
    if job.dial is not None or job.foreign or job.claim_token is None:
        # A legacy job may have a call that is not recorded here: recovery searches for it first.
        return "left_to_workers"
    now = context.store.now()
    requeued: Document = {"status": JobStatus.PENDING, "reserved_until": now, "updated_at": now}
    if dry or context.store.operator_actions.release(
        job, operator_requests.apply_request(requeued, job.request)
    ):
        return "released"
    return "moved"


def cancel_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Pause the batch for good, cancel its waiting jobs, and request it for jobs in progress."""
    batch = resolve_batch(context.store, command.args["batch"])
    if command.args["dry_run"]:
        return Continue(after_seconds=0.0, step=lambda context: _counted(context, batch), at_leisure=True)
    reason = command.args["reason"]
    context.store.batches.cancel(batch.batch_id, by=command.actor, reason=reason)
    changes = {"cancel_reason": reason or "batch_cancelled"}

    def finish(context: HandlerContext, cancelled: int) -> Result | Continue:
        more, requested = _cancel_in_hand(context, command, batch.batch_id, reason)
        result: Result = {"dry_run": False, "batch_id": batch.batch_id, "name": batch.name}
        return wait_for_dials(
            context,
            command,
            batch.batch_id,
            done=say("batch {batch_id} is cancelled", batch_id=batch.batch_id),
            again="cancel-batch",
            result={**result, "cancelled": cancelled + more, "when_their_calls_end": requested},
        )

    def portion(context: HandlerContext) -> int:
        return context.store.operator_actions.cancel_waiting(batch.batch_id, _PORTION, changes)

    # The batch is closed: what remains to be done may take its time.
    return replace(in_portions(command, portion, finish), at_leisure=True)


def _counted(context: HandlerContext, batch: Batch) -> Result:
    counts = counts_by_status(context.store.jobs.counts(batch.batch_id))
    return {"dry_run": True, "batch_id": batch.batch_id, "name": batch.name, "jobs": counts}


def _cancel_in_hand(
    context: HandlerContext, command: Invocation, batch_id: str, reason: str | None
) -> tuple[int, int]:
    """How many jobs in progress were cancelled at once, and how many will be when their calls end."""
    answers: list[Requested] = []
    for _ in range(_MAX_PASSES):
        # A job may have become pending, or have got a call, since the last pass.
        context.store.operator_actions.cancel_waiting(
            batch_id, _PORTION, {"cancel_reason": reason or "batch_cancelled"}
        )
        remaining = [
            job for job in context.store.operator_actions.in_progress(batch_id) if not _is_ending(job)
        ]
        if not remaining:
            break
        answers += [
            context.store.requests.ask(
                job.job_id, "cancel", reason=reason or "batch_cancelled", by=command.actor
            )
            for job in remaining
        ]
    return answers.count(Requested.DONE), answers.count(Requested.RECORDED)


def _is_ending(job: Job) -> bool:
    """Whether an operator has already requested the end of this job."""
    return (job.request or {}).get("action") in {"cancel", "hang_up"}


def in_portions(
    command: Invocation,
    portion: Callable[[HandlerContext], int],
    finish: Callable[[HandlerContext, int], Result | Continue],
    done: int = 0,
) -> Continue:
    """Run portions until none changes anything, each as a separate task."""

    def step(context: HandlerContext) -> Result | Continue:
        changed = portion(context)
        if changed == 0:
            return finish(context, done)
        command.progress({"state": "changing", "done": done + changed})
        return in_portions(command, portion, finish, done + changed)

    return Continue(after_seconds=0.0, step=step)


def _workers(command: Invocation) -> int:
    """The number of running workers of this host, which adopt calls."""
    return sum(1 for worker in command.snapshot.get("workers", []) if worker.get("pid"))
