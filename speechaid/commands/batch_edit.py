"""``edit-batch``: changes single settings of a batch, in force for the next dial on every host.

Workers read the batch right before each dial, so a change needs no word to them. A new retry delay also moves
the jobs that wait for one already: from when their last call ended, as if the delay had been in force then.
They are moved before the setting is written, so that an interrupted command is completed by repeating it, and
once more afterwards, for jobs whose calls ended in between.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from typing import Final

from speechaid.commands.batch_agent import check_changed_choice, require_level_of
from speechaid.commands.batch_copy import refuse_opposites, same_name_remark
from speechaid.commands.batch_fields import OPTIONS, START_AT, given_options, night_warning
from speechaid.commands.batch_start import count_waiting, has_hours, refuse_past_start
from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.ids import refuse_cancelled, resolve_open_batch
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.options import (
    MAX_TRIES,
    Wanted,
    change_rows,
    differing_values,
    edited_document,
    with_unset,
)
from speechaid.commands.packs import release_waiting
from speechaid.commands.start_check import StartCheck
from speechaid.model.agent_settings import AgentPin
from speechaid.model.batch import Batch
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say, say_n
from speechaid.rules import retries
from speechaid.rules.retries import RetryPolicy
from speechaid.store.batches import INACTIVE

#: Jobs read by one task of the database thread.
_PORTION: Final = 500
_RETRY_DELAY: Final = "retry_delay_hours"
_WINDOW: Final = frozenset({"hours", "days", "timezone", "start_at"})
#: Settings by which calling rules decide: jobs that wait for a rule are looked at again.
_OF_RULES: Final = _WINDOW | {"purpose", "pack_variant", "country"}


def edit_batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Change the given settings, and no other; the answer has old and new values."""
    batch = resolve_open_batch(context.store, command.args["batch"], "edited")
    wanted = _wanted(command)
    _check(context, batch, wanted)
    edited = edited_document(batch.document, wanted)
    options = {option.name for option, _ in wanted}
    if not {"agent", "agent_version"}.isdisjoint(options):
        edited["agent_pin"] = None  # what is given now is pinned anew
    return check_changed_choice(
        context,
        edited,
        options,
        lambda context, check: _edit(context, command, batch, wanted, check),
        refused=say("not changed"),
    )


def _edit(
    context: HandlerContext, command: Invocation, batch: Batch, wanted: Wanted, check: StartCheck
) -> Result | Continue:
    has_started = batch.is_active or batch.agent_pin is not None
    pin = check.pin_for(context, command.actor) if has_started else None

    options = {option.name for option, _ in wanted}

    def write(context: HandlerContext, moved: int) -> Result | Continue:
        gets_purpose = any(option.name == "purpose" and value is not None for option, value in wanted)
        if gets_purpose:
            # Other programs' calls are in no ledger: caps wait until they are entered.
            context.store.packs.request_fill(secrets.token_hex(8))
        changes = apply_edit(context, command, batch.batch_id, wanted, pin)
        if gets_purpose:
            # What was placed since the request began to be served.
            context.store.packs.request_fill(secrets.token_hex(8))

        def finish(context: HandlerContext, more: int) -> Result | Continue:
            return _answer(context, command, batch.batch_id, changes, moved=moved + more, check=check)

        def move(context: HandlerContext, _released: int) -> Result | Continue:
            return _move_retries(context, command, batch, wanted, finish)

        if _OF_RULES.isdisjoint(options):
            return move(context, 0)
        return release_waiting(context, batch.batch_id, move)

    return _move_retries(context, command, batch, wanted, write)


def apply_edit(
    context: HandlerContext, command: Invocation, batch_id: str, wanted: Wanted, pin: AgentPin | None = None
) -> list[Document]:
    """Write the settings that differ; return each change with ``option``, ``old`` and ``new``.

    With ``pin`` the agent's version is pinned by the same write.

    A setting that another operator has changed since it was read is read again, so that the recorded old
    value is the one that was replaced.
    """
    for _ in range(MAX_TRIES):
        batch = context.store.batches.get(batch_id)
        refuse_cancelled(batch, say("edited"))
        if any(option.path == START_AT and value is not None for option, value in wanted):
            refuse_past_start(context, edited_document(batch.document, wanted))
        changes = differing_values(batch.document, wanted)
        pinned = _pin_change(batch, pin)
        if pin is not None and pinned is not None:
            changes["agent_pin"] = pin.document()
        if not changes:
            return []
        expected = _expected(context, batch, wanted)
        after = edited_document(batch.document, wanted) | ({} if pinned is None else {"agent_pin": pin})
        require_level_of(context, after, by=command.actor)
        if context.store.batches.write_settings(batch, changes, expected, by=command.actor):
            rows = change_rows(batch.document, wanted, changes)
            return rows if pinned is None else [*rows, pinned]
        _check(context, context.store.batches.get(batch_id), wanted)
    message = say("batch {batch_id} kept changing meanwhile: repeat the command", batch_id=batch_id)
    raise CommandRefused(ErrorCode.REFUSED, message)


def _pin_change(batch: Batch, pin: AgentPin | None) -> Document | None:
    """The change of the pinned version, as it is recorded; None where it stays."""
    old = batch.agent_pin
    if pin is None or (old is not None and (old.agent_id, old.version) == (pin.agent_id, pin.version)):
        return None
    return {
        "option": "pinned_version",
        "old": None
        if old is None
        else say("{version} of {agent_id}", version=old.version, agent_id=old.agent_id),
        "new": say("{version} of {agent_id}", version=pin.version, agent_id=pin.agent_id),
    }


def _wanted(command: Invocation) -> Wanted:
    """The settings that were given with their new values; None: back to the default."""
    refuse_opposites(command)
    given = given_options(command.args)
    return with_unset(
        OPTIONS,
        given,
        command.args["unset"] or (),
        example=say("give a setting (--hours 09:00-18:00), or --unset hours"),
    )


def _check(context: HandlerContext, batch: Batch, wanted: Wanted) -> None:
    """Refuse what would let people be called whom a rule protects, or be charged to the wrong account."""
    refuse_cancelled(batch, say("edited"))
    by_name = {option.name: value for option, value in wanted}
    if "account" in by_name and by_name["account"] != batch.account_id:
        _check_account(context, batch, by_name["account"])
    if batch.is_active and _loses_hours(context, batch, wanted):
        message = say(
            "without hours people would be called day and night: pause-batch first, or set"
            " SPEECHAID_DEFAULT_ALLOWED_HOURS (--hours 00:00-24:00 calls at any time)"
        )
        raise CommandRefused(ErrorCode.REFUSED, message)


def _check_account(context: HandlerContext, batch: Batch, account: object) -> None:
    if account is not None and context.store.accounts.find(str(account)) is None:
        raise CommandRefused(ErrorCode.NOT_FOUND, say("there is no account {account!r}", account=account))
    jobs = sum(context.store.jobs.counts(batch.batch_id).values())
    if jobs:
        message = say_n(
            "{count} job of batch {batch_id} is in account {account_id} already, which pays"
            " for their calls: create-batch NAME --copy-from {batch_id} --account ID makes"
            " another batch",
            "{count} jobs of batch {batch_id} are in account {account_id} already, which"
            " pays for their calls: create-batch NAME --copy-from {batch_id} --account ID makes"
            " another batch",
            jobs,
            batch_id=batch.batch_id,
            account_id=batch.account_id or say("(none)"),
        )
        raise CommandRefused(ErrorCode.REFUSED, message)


def _loses_hours(context: HandlerContext, batch: Batch, wanted: Wanted) -> bool:
    """Whether the batch has calling hours, and none afterwards."""
    document = edited_document(batch.document, wanted)
    return has_hours(batch, context.settings) and not has_hours(Batch.read(document), context.settings)


def _expected(context: HandlerContext, batch: Batch, wanted: Wanted) -> Document:
    """What must still hold when the settings are written: a batch resumed meanwhile keeps its hours."""
    return {"is_active": {"$in": INACTIVE}} if _loses_hours(context, batch, wanted) else {}


# -- jobs that wait for a retry ----------------------------------------------------------------------------


def _move_retries(
    context: HandlerContext,
    command: Invocation,
    batch: Batch,
    wanted: Wanted,
    finish: Callable[[HandlerContext, int], Result | Continue],
) -> Result | Continue:
    """Move the jobs that wait for a retry to where the new delay puts them; finish with their number."""
    before, after = _policies(context, batch, wanted)
    if before == after:
        return finish(context, 0)
    rows = context.store.operator_actions.waiting_for_retry(batch.batch_id)
    moved = 0

    def step(context: HandlerContext) -> Result | Continue:
        nonlocal moved
        portion = list(itertools.islice(rows, _PORTION))
        for job in portion:
            due = retries.moved_retry(job, before, after)
            if due is not None and context.store.operator_actions.move(job, due):
                moved += 1
        if len(portion) < _PORTION:
            return finish(context, moved)
        command.progress({"state": "changing", "done": moved})
        return Continue(after_seconds=0.0, step=step)

    return step(context)


def _policies(context: HandlerContext, batch: Batch, wanted: Wanted) -> tuple[RetryPolicy, RetryPolicy]:
    """The retry policy before and after the edit; equal where the delay is not edited."""
    worker_context = dry_run_context(context)
    before = worker_context.retry_policy(batch)
    only_delay = [(option, value) for option, value in wanted if option.name == _RETRY_DELAY]
    after = worker_context.retry_policy(Batch.read(edited_document(batch.document, only_delay)))
    return before, after


def _unpinned(batch: Batch, check: StartCheck) -> str | None:
    """A remark where Retell was asked for the version of a batch that is called, and did not say it."""
    is_open = check.not_checked is not None and batch.is_active and check.current is None
    return check.version_remark(batch.batch_id) if is_open else None


# -- the answer --------------------------------------------------------------------------------------------


def _answer(
    context: HandlerContext,
    command: Invocation,
    batch_id: str,
    changes: list[Document],
    *,
    moved: int,
    check: StartCheck,
) -> Result | Continue:
    batch = context.store.batches.get(batch_id)
    renamed = any(change["option"] == "name" for change in changes)
    remark = same_name_remark(context, batch_id, batch.name, batch.account_id) if renamed else None
    sentences = (night_warning(command.args), remark, check.not_checked, _unpinned(batch, check))
    warnings = [sentence for sentence in sentences if sentence is not None]
    result: Result = {
        "batch_id": batch_id,
        "name": batch.name,
        "active": batch.is_active,
        "changes": changes,
        "moved_retries": moved,
        "warning": joined("; ", warnings) or None,
    }
    if not _WINDOW & {str(change["option"]) for change in changes}:
        return result
    return count_waiting(context, batch_id, lambda _, first: {**result, **first})
