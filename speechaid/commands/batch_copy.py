"""``--copy-from``: a new batch with the settings of another, and the remark about a name that is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from speechaid.commands.batch_fields import options_of
from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation
from speechaid.model.batch import Batch
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say

#: Ids that the remark about a taken name gives.
_SHOWN: Final = 5
#: An option that is given leaves out what says the opposite.
_OPPOSITES: Final = {"voicemail_counts": "no_voicemail_counts", "no_voicemail_counts": "voicemail_counts"}


def with_copied_settings(context: HandlerContext, command: Invocation) -> Invocation:
    """The command with the options of the batch that ``copy_from`` names; options that were given win."""
    refuse_opposites(command)
    if command.args["copy_from"] is None or command.args.get("batch") is not None:
        return command
    source = resolve_batch(context.store, command.args["copy_from"])
    return replace(command, args={**command.args, **_left_open(command, copied_options(source))})


def copied_options(source: Batch) -> dict[str, object]:
    """The settings of a batch as options.

    Raises:
        CommandRefused: some of them cannot be understood: the copy would not be called either.
    """
    faults = (*source.faults, *source.call_settings.faults)
    if faults:
        message = say(
            "the settings of batch {batch_id} cannot be copied: {faults}",
            batch_id=source.batch_id,
            faults=joined("; ", faults),
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    try:
        return options_of(source.document)
    except CommandRefused as exc:
        message = say(
            "the settings of batch {batch_id} cannot be copied: {exc}", batch_id=source.batch_id, exc=exc
        )
        raise CommandRefused(exc.code, message) from exc


def _left_open(command: Invocation, copied: dict[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in copied.items()
        if command.args.get(name) in {None, False} and not command.args.get(_OPPOSITES.get(name, ""))
    }


def refuse_opposites(command: Invocation) -> None:
    """Refuse ``--voicemail-counts`` together with its opposite."""
    if command.args["voicemail_counts"] and command.args["no_voicemail_counts"]:
        message = say("--voicemail-counts and --no-voicemail-counts exclude each other")
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)


def same_name_remark(
    context: HandlerContext, batch_id: str, name: str | None, account_id: str | None
) -> str | None:
    """A sentence where other batches of the account have the same name: then only ids tell them apart."""
    if name is None:
        return None
    others = context.store.batches.of_same_name(batch_id, name, account_id, _SHOWN)
    if not others:
        return None
    which = (
        say("another batch of the account has")
        if len(others) == 1
        else say("other batches of the account have")
    )
    return say(
        "{which} the name {name!r} ({others}): give ids, or edit-batch ID --name",
        which=which,
        name=name,
        others=joined(", ", others),
    )
