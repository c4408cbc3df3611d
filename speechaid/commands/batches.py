"""Commands about batches."""

from __future__ import annotations

from typing import Final

from speechaid.commands.batch_fields import batch_fields
from speechaid.commands.contract import Call, Desk, Later, Refused, Result
from speechaid.commands.ids import the_batch
from speechaid.model.batch import Batch
from speechaid.protocol import ErrorCode

#: Seconds between two looks at the dials that a pause waits for.
_LOOK_AGAIN_SECONDS: Final = 0.2
#: Beyond one Retell request, a dial on its way has this long to be recorded or given up, in seconds.
_GRACE_SECONDS: Final = 20.0


def create_batch(desk: Desk, call: Call) -> Result:
    """Make an empty batch."""
    check_account(desk, call)
    fields = batch_fields(call.args, name=call.args["name"])
    if call.args["paused"]:
        fields["pause"] = {"by": call.actor, "reason": "created paused", "at": desk.store.now()}
    batch_id = desk.store.batches.create({**fields, "created_by": call.actor})
    return {"batch_id": batch_id, "name": fields["name"], "active": fields["is_active"]}


def check_account(desk: Desk, call: Call) -> None:
    """Refuse an account that does not exist: its jobs would all be suspended."""
    account = call.args["account"]
    if account is not None and desk.store.accounts.find(account) is None:
        raise Refused(ErrorCode.NOT_FOUND, f"there is no account {account!r}")


def pause_batch(desk: Desk, call: Call) -> Result | Later:
    """Pause, then wait until no dial of the batch is on its way: from the answer on, none is placed.

    The write makes every later dial of the batch fail its last look; those that had it already hold an
    open intent under a live lease. Calls that are going on are left alone.
    """
    batch = the_batch(desk.store, call.args["batch"])
    paused = desk.store.batches.pause(batch.batch_id, by=call.actor, reason=call.args["reason"])
    deadline = desk.store.now().timestamp() + 2 * desk.settings.retell.timeout_seconds + _GRACE_SECONDS
    return _until_quiet(desk, call, paused, was_active=batch.is_active, seen=0, deadline=deadline)


def _until_quiet(
    desk: Desk, call: Call, batch: Batch, *, was_active: bool, seen: int, deadline: float
) -> Result | Later:
    dials = desk.store.jobs.open_dials(batch.batch_id)
    waited_for = max(seen, dials.on_their_way)
    if dials.on_their_way == 0:
        return {
            **_named(batch),
            "was_active": was_active,
            "waited_for": waited_for,
            "live_calls": dials.live_calls,
            "ambiguous": dials.ambiguous,
            "pause": batch.pause,
        }
    if desk.store.now().timestamp() > deadline:
        message = (
            f"batch {batch.batch_id} is paused, but {dials.on_their_way} of its dials have been on their way "
            f"for too long to wait: they may still become calls; ask again with pause-batch"
        )
        raise Refused(ErrorCode.TIMEOUT, message)
    call.progress({"state": "waiting", "on_their_way": dials.on_their_way})
    return Later(
        after_seconds=_LOOK_AGAIN_SECONDS,
        step=lambda desk: _until_quiet(
            desk, call, batch, was_active=was_active, seen=waited_for, deadline=deadline
        ),
    )


def resume_batch(desk: Desk, call: Call) -> Result:
    """The batch's jobs may be called again."""
    batch = the_batch(desk.store, call.args["batch"])
    desk.store.batches.resume(batch.batch_id, by=call.actor)
    return {**_named(batch), "was_active": batch.is_active}


def batches(desk: Desk, call: Call) -> Result:
    """The newest batches and how far they are."""
    counts = desk.store.jobs.counts_by_batch()
    rows = [
        {
            **_named(batch),
            "active": batch.is_active,
            "pause": batch.pause,
            "priority": batch.priority,
            "account_id": batch.account_id,
            "created_at": batch.document.get("created_at"),
            "jobs": counts.get(batch.batch_id, {}),
        }
        for batch in desk.store.batches.newest(call.args["limit"])
    ]
    return {"batches": rows, "without_batch": counts.get(None, {})}


def _named(batch: Batch) -> Result:
    return {"batch_id": batch.batch_id, "name": batch.name}
