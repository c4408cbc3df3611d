"""Batches: their settings, their state, their forecast."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import (
    BATCH_OPTIONS,
    BATCH_SETTINGS,
    DAYS,
    DRY_RUN,
    HOURS,
    OF_BATCH,
    REASON,
    START_AT,
    TIMEZONE,
    at_most,
)
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, background_write

_BATCH: Final = Argument(
    name="batch",
    help="the batch's id, its name, or the unique beginning of its id",
    positional=True,
    required=True,
    completes="batch",
)

#: What ``edit-batch --unset`` takes: the options of a batch, without what every batch has.
_UNSETTABLE: Final = tuple(
    argument.name.replace("_", "-") for argument in BATCH_OPTIONS if argument.name != "no_voicemail_counts"
)
SPECS: Final = (
    CommandSpec(
        name="batches",
        help="the batches, newest first, with their jobs by status",
        access=Access.STATUS,
        arguments=(at_most(20),),
    ),
    CommandSpec(
        name="batch",
        help="one batch with all its settings, where each comes from, counts, cost, imports and who did what",
        access=Access.READ,
        arguments=(_BATCH,),
        timeout_seconds=120.0,
    ),
    background_write(
        "create-batch",
        "create an empty batch; import fills it",
        Argument(name="name", positional=True, required=True, help="the batch's name"),
        *BATCH_SETTINGS,
    ),
    background_write(
        "edit-batch",
        "change settings of a batch, in force for the next dial on every host; the others stay",
        _BATCH,
        Argument(name="name", help="the batch's new name"),
        *BATCH_OPTIONS,
        Argument(
            name="unset",
            repeatable=True,
            choices=_UNSETTABLE,
            help="back to the default, for example hours; may be given several times",
        ),
        timeout_seconds=600.0,
    ),
    background_write(
        "pause-batch",
        "stop new calls of this batch on all hosts, from the answer on",
        _BATCH,
        REASON,
        timeout_seconds=120.0,
        urgent=True,
    ),
    background_write(
        "resume-batch",
        "allow calls of the batch, and start what was imported into it",
        _BATCH,
        HOURS,
        DAYS,
        TIMEZONE,
        START_AT,
        timeout_seconds=600.0,
    ),
    background_write(
        "redial-batch",
        "a new batch, paused, of those of a batch whom no call reached",
        _BATCH,
        Argument(
            name="outcomes",
            is_id=True,
            required=True,
            help="the last call's outcomes: no-answer,busy,voicemail,failed",
        ),
        Argument(name="name", help="the new batch's name"),
        DRY_RUN,
        timeout_seconds=600.0,
    ),
    background_write(
        "cancel-batch",
        "cancel a batch: waiting jobs at once, jobs in a call when it ends",
        _BATCH,
        REASON,
        DRY_RUN,
        question="Cancel every job of {batch} that is not finished?",
        timeout_seconds=600.0,
        urgent=True,
    ),
    background_write(
        "delete-batch",
        "delete a batch of which nobody was called, with its contacts",
        _BATCH,
        DRY_RUN,
        question="Delete the batch {batch} and all its contacts?",
        timeout_seconds=600.0,
    ),
    CommandSpec(
        name="forecast",
        help="a dry run: who would be called, when, on which number, at what cost; who not, and why",
        access=Access.READ,
        timeout_seconds=300.0,
        arguments=(
            OF_BATCH,
            at_most(50),
        ),
    ),
)
