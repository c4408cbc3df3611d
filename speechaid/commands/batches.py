"""Commands about batches."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from speechaid.commands.batch_agent import (
    check_changed_choice,
    check_choice,
    pin_version,
    require_level_of,
)
from speechaid.commands.batch_copy import same_name_remark, with_copied_settings
from speechaid.commands.batch_edit import apply_edit
from speechaid.commands.batch_fields import (
    batch_fields,
    given_options,
    night_warning,
    window_settings,
)
from speechaid.commands.batch_start import (
    CREATED_PAUSED,
    has_hours,
    needs_own_hours,
    refuse_past_start,
    require_hours,
    start_imported,
)
from speechaid.commands.ids import refuse_cancelled, resolve_batch, resolve_open_batch
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.start_check import StartCheck, warn_of_variables
from speechaid.commands.wait_for_dials import wait_for_dials
from speechaid.dialer.context import dialling_defaults
from speechaid.errors import NotFound
from speechaid.model.batch import Batch
from speechaid.model.reading import Document
from speechaid.model.states import counts_by_status
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say
from speechaid.rules import eligibility

#: Batches paused by one task of the emergency thread; other tasks run between two portions.
_PORTION: Final = 500


def create_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Create an empty batch, on request with the settings of another."""
    command = with_copied_settings(context, command)
    check_account(context, command)
    fields = batch_fields(command.args, name=command.args["name"])
    refuse_past_start(context, fields)
    given = {option.name for option, _ in given_options(command.args)}
    return check_changed_choice(
        context,
        {"_id": fields["name"], **fields},
        given,
        lambda context, check: _create(context, command, fields, check),
        refused=say("not created"),
    )


def _create(context: HandlerContext, command: Invocation, fields: Document, check: StartCheck) -> Result:
    if command.args["paused"]:
        fields["pause"] = {"by": command.actor, "reason": CREATED_PAUSED, "at": context.store.now()}
    require_level_of(context, fields, by=command.actor)
    batch_id = context.store.batches.create({**fields, "created_by": command.actor})
    if not command.args["paused"]:
        pin_version(context, batch_id, check, by=command.actor)
    remark = same_name_remark(context, batch_id, fields["name"], fields.get("account_id"))
    sentences = (_hours_warning(context, batch_id, command), remark, check.not_checked)
    warnings = [sentence for sentence in sentences if sentence is not None]
    created = {"batch_id": batch_id, "name": fields["name"], "active": fields["is_active"]}
    return {**created, "warning": joined("; ", warnings) or None}


def _hours_warning(context: HandlerContext, batch_id: str, command: Invocation) -> str | None:
    """What is wrong with the hours of a new batch; None: nothing."""
    if has_hours(context.store.batches.get(batch_id), context.settings):
        return night_warning(command.args)
    return say("the batch has no calling hours: it cannot be resumed before it has some")


def check_account(context: HandlerContext, command: Invocation) -> None:
    """Refuse an account that does not exist: its jobs would all be suspended."""
    account = command.args["account"]
    if account is not None and context.store.accounts.find(account) is None:
        raise CommandRefused(ErrorCode.NOT_FOUND, say("there is no account {account!r}", account=account))


def pause_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Pause, then wait until no dial of the batch is in flight: after the answer, no call is placed."""
    batch = resolve_batch(context.store, command.args["batch"])
    pause = context.store.batches.pause(batch.batch_id, by=command.actor, reason=command.args["reason"])
    return wait_for_dials(
        context,
        command,
        batch.batch_id,
        done=say("batch {batch_id} is paused", batch_id=batch.batch_id),
        again="pause-batch",
        result={**_identity(batch), "was_active": batch.is_active, "pause": pause},
    )


def resume_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Allow calls of the batch, and start what was imported into it and waits for that."""
    batch = resolve_open_batch(context.store, command.args["batch"], "resumed")
    require_hours(
        batch,
        context.settings,
        command.args,
        remedy=say("resume-batch {batch_id} --hours 09:00-19:00", batch_id=batch.batch_id),
    )
    return check_choice(
        context,
        batch,
        lambda context, check: _start(context, command, batch, check),
        refused=say("not started"),
    )


def _start(
    context: HandlerContext, command: Invocation, batch: Batch, check: StartCheck
) -> Result | Continue:
    if context.store.batches.get(batch.batch_id).pause != batch.pause:
        # It came after this command, while Retell was asked: the later one holds.
        message = say(
            "batch {batch_id} was paused or resumed meanwhile: see speechctl batches", batch_id=batch.batch_id
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    changes = apply_edit(context, command, batch.batch_id, window_settings(command.args))
    pin_version(context, batch.batch_id, check, by=command.actor)
    _resume(context, command, batch)

    def finish(context: HandlerContext, started: Result) -> Result | Continue:
        fault = batch_faults(context, [context.store.batches.get(batch.batch_id)]).get(batch.batch_id)
        answer = {
            **_identity(batch),
            "was_active": batch.is_active,
            "changes": changes,
            **started,
            "warning": night_warning(command.args),
            **({} if fault is None else {"fault": fault}),
        }
        return warn_of_variables(context, batch.batch_id, check, answer)

    return start_imported(context, command, batch.batch_id, finish)


def _resume(context: HandlerContext, command: Invocation, batch: Batch) -> None:
    """Make the batch active, unless it was cancelled, or lost its hours, since it was read."""
    with_hours = needs_own_hours(batch, context.settings)
    try:
        context.store.batches.resume(batch.batch_id, by=command.actor, with_hours=with_hours)
    except NotFound as exc:
        refuse_cancelled(context.store.batches.get(batch.batch_id), say("resumed"))
        message = say(
            "batch {batch_id} was edited by someone else meanwhile: repeat the command",
            batch_id=batch.batch_id,
        )
        raise CommandRefused(ErrorCode.REFUSED, message) from exc


def pause_all(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Hold all batches, pause every active one, then wait until none of their dials is in flight.

    The hold is one write and concerns every host at once; the pauses, which stay, are written in portions.
    """
    token = secrets.token_hex(8)
    context.store.holds.hold_batches(token, by=command.actor, reason=command.args["reason"])
    return _pause_portion(context, command, token, 0)


def _pause_portion(
    context: HandlerContext, command: Invocation, token: str, paused: int
) -> Result | Continue:
    more = context.store.batches.pause_all(by=command.actor, reason=command.args["reason"], limit=_PORTION)
    if more:
        return Continue(
            after_seconds=0.0, step=lambda context: _pause_portion(context, command, token, paused + more)
        )
    context.store.holds.release_batches(token)
    return wait_for_dials(
        context,
        command,
        of_batches=True,
        done=say("every batch is paused"),
        again="pause-all",
        result={"paused": paused},
    )


def resume_all(context: HandlerContext, command: Invocation) -> Result:
    """Resume only the batches that pause-all paused."""
    resumed = context.store.batches.resume_all(by=command.actor)
    # Of a pause-all that did not come to its end.
    context.store.holds.release_batches()
    return {"resumed": resumed}


def batches(context: HandlerContext, command: Invocation) -> Result:
    """The newest batches and their jobs by status.

    ``left_out`` is the number of older batches with jobs, ``missing`` the jobs of batches that do not exist.
    """
    as_of = context.store.now()
    counts = context.store.jobs.counts_by_batch()
    newest = context.store.batches.newest(command.args["limit"])
    faults = batch_faults(context, newest)
    rows = [
        {
            **_identity(batch),
            "active": batch.is_active,
            "pause": batch.pause,
            "fault": faults.get(batch.batch_id),
            "cancelled": batch.cancelled,
            "priority": batch.priority,
            "account_id": batch.account_id,
            "created_at": batch.document.get("created_at"),
            "jobs": counts_by_status(counts.get(batch.batch_id, {})),
        }
        for batch in newest
    ]
    others = sorted(counts.keys() - {None, *(batch.batch_id for batch in newest)}, key=str)
    existing = {batch.batch_id for batch in context.store.batches.among([str(name) for name in others])}
    missing = {str(name): counts_by_status(counts[name]) for name in others if name not in existing}
    return {
        "as_of": as_of,
        "batches": rows,
        "left_out": len(existing),
        "missing": missing,
        "without_batch": counts_by_status(counts.get(None, {})),
    }


def batch_faults(context: HandlerContext, batches: Sequence[Batch]) -> dict[str, str]:
    """What of these batches cannot be understood, by batch; such a batch is never dialled."""
    account_ids = sorted({batch.account_id for batch in batches if batch.account_id is not None})
    zones = {account.account_id: account.timezone for account in context.store.accounts.among(account_ids)}
    defaults = dialling_defaults(context.settings)
    faults = {
        batch.batch_id: eligibility.batch_fault(batch, zones.get(batch.account_id or ""), defaults)
        for batch in batches
    }
    return {name: sentence for name, sentence in faults.items() if sentence is not None}


def _identity(batch: Batch) -> Result:
    return {"batch_id": batch.batch_id, "name": batch.name}
