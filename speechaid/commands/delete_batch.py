"""``delete-batch``: deletes a batch with its contacts, as long as nobody of it was called.

It is paused first, so that no worker claims its jobs meanwhile; whoever had claimed one puts it back.
"""

from __future__ import annotations

from typing import Final

from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.model.batch import Batch
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say, say_n

#: Jobs deleted by one task of the database thread.
_PORTION: Final = 500
#: Wait for a worker that puts a job back: seconds between two looks, and looks at most.
_WAIT_SECONDS: Final = 0.5
_MAX_WAITS: Final = 40
_DELETED_SOON: Final = "being deleted"


def delete_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Delete the batch; refuse where somebody was called, or is being called."""
    batch = resolve_batch(context.store, command.args["batch"])
    _refuse_called(context, batch)
    result: Result = {"batch_id": batch.batch_id, "name": batch.name, "dry_run": command.args["dry_run"]}
    if command.args["dry_run"]:
        would = context.store.operator_actions.count_never_called(batch.batch_id)
        return {**result, "would_delete": would, "deleted": 0}
    if batch.is_active:
        context.store.batches.pause(batch.batch_id, by=command.actor, reason=_DELETED_SOON)
    return _delete(context, command, batch, result)


def _refuse_called(context: HandlerContext, batch: Batch) -> None:
    called = context.store.operator_actions.count_called(batch.batch_id)
    calls = context.store.results.has_batch(batch.batch_id)
    if not called and not calls and not batch.open_dials:
        return
    message = say_n(
        "{count} contact of batch {batch_id} was called, so it stays with its results:"
        " cancel-batch {batch_id} ends its calls for good, pause-batch stops them",
        "{count} contacts of batch {batch_id} were called, so it stays with its"
        " results: cancel-batch {batch_id} ends its calls for good, pause-batch stops them",
        max(called, 1),
        batch_id=batch.batch_id,
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def _delete(context: HandlerContext, command: Invocation, batch: Batch, result: Result) -> Result | Continue:
    deleted = waits = 0

    def step(context: HandlerContext) -> Result | Continue:
        nonlocal deleted, waits
        portion = context.store.operator_actions.delete_never_called(batch.batch_id, _PORTION)
        deleted += portion
        if portion:
            command.progress({"state": "deleting", "done": deleted})
            return Continue(after_seconds=0.0, step=step)
        if not context.store.jobs.counts(batch.batch_id):
            return _finish(context, batch, {**result, "deleted": deleted})
        _refuse_called(context, context.store.batches.get(batch.batch_id))
        waits += 1
        if waits > _MAX_WAITS:
            message = say_n(
                "a worker still has a job of batch {batch_id} in hand; the batch is paused, {count}"
                " contact deleted: repeat delete-batch",
                "a worker still has a job of batch {batch_id} in hand; the batch is paused, {count}"
                " contacts deleted: repeat delete-batch",
                deleted,
                batch_id=batch.batch_id,
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
        return Continue(after_seconds=_WAIT_SECONDS, step=step)

    return step(context)


def _finish(context: HandlerContext, batch: Batch, result: Result) -> Result:
    if not context.store.batches.delete(batch.batch_id):
        # Jobs without a batch are not dialled, so one that comes after this look does no harm.
        message = say(
            "batch {batch_id} has an open dial: nothing is left to delete but that, repeat later",
            batch_id=batch.batch_id,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    context.store.imports.forget_batch(batch.batch_id)
    return result
