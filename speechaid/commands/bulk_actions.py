"""Orders about many jobs: release what is stuck, reset, call a batch off. Portion by portion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from speechaid.commands.ids import the_batch
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.wait_for_dials import wait_for_dials
from speechaid.model.job import Job
from speechaid.model.reading import Document
from speechaid.model.states import STATUS_ALIASES, JobStatus
from speechaid.rules import operator_requests
from speechaid.store.operator_requests import Requested

#: Jobs changed between two looks at what else the clerk has to do.
_PORTION: Final = 500
#: Looks at what changed while a batch was being called off.
_TRIES: Final = 10
#: Jobs told one by one; beyond that only their number.
_MOST_LISTED: Final = 200


def release_stuck(context: HandlerContext, call: Invocation) -> Result | Continue:
    """Give back what a gone holder left without a dial; what has one is the workers' to adopt and settle."""
    return _release(context, call, [], after=None)


def _release(context: HandlerContext, call: Invocation, rows: list[Result], after: Any) -> Result | Continue:
    found = context.store.operator_actions.stuck(call.args["older_than"], _PORTION, after=after)
    for job in found:
        then = _let_loose(context, job, dry=call.args["dry_run"])
        rows.append(
            {
                "job_id": job.job_id,
                "batch_id": job.batch_id,
                "worker": job.worker_id,
                "lease_until": job.reserved_until,
                "then": then,
            }
        )
    if len(found) == _PORTION:
        call.progress({"state": "releasing", "done": len(rows)})
        return Continue(after_seconds=0.0, step=lambda context: _release(context, call, rows, found[-1].id))
    counts = {word: sum(1 for row in rows if row["then"] == word) for word in ("released", "left_to_workers")}
    return {
        "dry_run": call.args["dry_run"],
        **counts,
        "moved_meanwhile": len(rows) - sum(counts.values()),
        "jobs": rows[:_MOST_LISTED],
        "workers_at_work": _workers(call),
    }


def _let_loose(context: HandlerContext, job: Job, *, dry: bool) -> str:
    if job.dial is not None or job.foreign or job.claim_token is None:
        # Another program's job may have a call that nobody here knows of: recovery looks for it first.
        return "left_to_workers"
    now = context.store.now()
    untouched: Document = {"status": JobStatus.PENDING, "reserved_until": now, "updated_at": now}
    if dry or context.store.operator_actions.release(
        job, operator_requests.reclassify(untouched, job.request)
    ):
        return "released"
    return "moved"


def reset_jobs(context: HandlerContext, call: Invocation) -> Result | Continue:
    """Jobs that ended begin anew; whoever asked not to be called is never among them."""
    batch = None if call.args["batch"] is None else the_batch(context.store, call.args["batch"]).batch_id
    status = JobStatus(call.args["status"])
    words = [str(status), *(word for word, meant in STATUS_ALIASES.items() if meant is status)]
    hours = call.args["max_age_hours"]
    query = context.store.operator_actions.resettable(
        words, max_age_seconds=None if hours is None else hours * 3600, batch_id=batch
    )
    result = {"dry_run": call.args["dry_run"], "status": status, "batch_id": batch, "max_age_hours": hours}
    if call.args["dry_run"]:
        return {**result, "reset": 0, "would_reset": context.store.operator_actions.count(query)}
    return _portions(
        call,
        lambda context: context.store.operator_actions.reset(query, _PORTION),
        lambda _, done: {**result, "reset": done},
    )


def cancel_batch(context: HandlerContext, call: Invocation) -> Result | Continue:
    """Pause the batch for good, cancel what waits, ask it of what is in hand."""
    batch = the_batch(context.store, call.args["batch"])
    if call.args["dry_run"]:
        counts = context.store.jobs.counts(batch.batch_id)
        return {"dry_run": True, "batch_id": batch.batch_id, "name": batch.name, "jobs": counts}
    reason = call.args["reason"]
    context.store.batches.cancel(batch.batch_id, by=call.actor, reason=reason)
    changes = {"cancel_reason": reason or "batch_cancelled", "finished_at": context.store.now()}

    def finish(context: HandlerContext, cancelled: int) -> Result | Continue:
        more, requested = _cancel_in_hand(context, call, batch.batch_id, reason)
        result: Result = {"dry_run": False, "batch_id": batch.batch_id, "name": batch.name}
        return wait_for_dials(
            context,
            call,
            lambda context: context.store.jobs.open_dials(batch.batch_id),
            done=f"batch {batch.batch_id} is cancelled",
            again="cancel-batch",
            result={**result, "cancelled": cancelled + more, "when_their_calls_end": requested},
        )

    def portion(context: HandlerContext) -> int:
        return context.store.operator_actions.cancel_waiting(batch.batch_id, _PORTION, changes)

    return _portions(call, portion, finish)


def _cancel_in_hand(
    context: HandlerContext, call: Invocation, batch_id: str, reason: str | None
) -> tuple[int, int]:
    """Jobs that were cancelled after all, and those that will be once their calls are over."""
    answers: list[Requested] = []
    for _ in range(_TRIES):
        # What changed under the order is looked at again: it may be pending by now, or in a call.
        context.store.operator_actions.cancel_waiting(
            batch_id, _PORTION, {"cancel_reason": reason or "batch_cancelled"}
        )
        unasked = [
            job for job in context.store.operator_actions.in_progress(batch_id) if not _is_called_off(job)
        ]
        if not unasked:
            break
        answers += [
            context.store.requests.ask(
                job.job_id, "cancel", reason=reason or "batch_cancelled", by=call.actor
            )
            for job in unasked
        ]
    return answers.count(Requested.DONE), answers.count(Requested.RECORDED)


def _is_called_off(job: Job) -> bool:
    return (job.request or {}).get("action") in {"cancel", "hang_up"}


def _portions(
    call: Invocation,
    portion: Callable[[HandlerContext], int],
    finish: Callable[[HandlerContext, int], Result | Continue],
    done: int = 0,
) -> Continue:
    """Portion after portion until none is left, each a task of its own."""

    def step(context: HandlerContext) -> Result | Continue:
        changed = portion(context)
        if changed == 0:
            return finish(context, done)
        call.progress({"state": "changing", "done": done + changed})
        return _portions(call, portion, finish, done + changed)

    return Continue(after_seconds=0.0, step=step)


def _workers(call: Invocation) -> int:
    """Workers of this host that would adopt."""
    return sum(1 for worker in call.fleet.get("workers", []) if worker.get("pid"))
