"""``undo-import``: takes an import back, as long as nobody of it was called."""

from __future__ import annotations

import itertools
from typing import Final

from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.jobs import erased_fields
from speechaid.errors import NotFound
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say, say_n

#: Jobs deleted by one task of the database thread.
_PORTION: Final = 100


def undo_import(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Delete the import's jobs; refuse where one was dialled, or is in a worker's hand."""
    record = _record(context, command.args["import"])
    import_id, batch_id = str(record["_id"]), str(record["batch_id"])
    begun = context.store.imports.count_begun(import_id)
    if begun:
        message = say_n(
            "{count} contact of the import {import_id} was called, or changed since:"
            " nothing was taken back; cancel-batch {batch_id} ends the calls of its batch",
            "{count} contacts of the import {import_id} were called, or changed since:"
            " nothing was taken back; cancel-batch {batch_id} ends the calls of its batch",
            begun,
            import_id=import_id,
            batch_id=batch_id,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    result: Result = {
        "import_id": import_id,
        "batch_id": batch_id,
        "file": record.get("file"),
        **erased_fields(record),
    }
    if command.args["dry_run"]:
        would = context.store.imports.count_untouched(import_id)
        return {**result, "dry_run": True, "would_delete": would, "deleted": 0}
    return _delete(context, command, record, result)


def _record(context: HandlerContext, name: str) -> Document:
    """The import of that id, else the latest into the batch of that id."""
    found = context.store.imports.find(name)
    if found is None:
        try:
            batch = resolve_batch(context.store, name)
        except (NotFound, CommandRefused) as exc:
            message = say(
                "there is no import {name!r}, and no batch: speechctl imports lists them", name=name
            )
            raise CommandRefused(ErrorCode.NOT_FOUND, message) from exc
        found = context.store.imports.latest_of_batch(batch.batch_id)
        if found is None:
            message = say(
                "no import into the batch {batch_id} is recorded that could be taken back",
                batch_id=batch.batch_id,
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
    if found.get("undone") is not None:
        raise CommandRefused(
            ErrorCode.REFUSED, say("the import {name} has been taken back already", name=name)
        )
    return found


def _delete(
    context: HandlerContext, command: Invocation, record: Document, result: Result
) -> Result | Continue:
    rows = context.store.imports.find_untouched(str(record["_id"]))
    deleted = 0

    def step(context: HandlerContext) -> Result | Continue:
        nonlocal deleted
        portion = list(itertools.islice(rows, _PORTION))
        if not portion:
            return _finish(context, command, record, result | {"dry_run": False, "deleted": deleted})
        deleted += context.store.imports.delete_untouched(portion)
        command.progress({"state": "deleting", "done": deleted})
        return Continue(after_seconds=0.0, step=step)

    return step(context)


def _finish(context: HandlerContext, command: Invocation, record: Document, result: Result) -> Result:
    import_id, batch_id = str(record["_id"]), str(record["batch_id"])
    left = context.store.imports.count_begun(import_id)
    undone = {"by": command.actor, "at": context.store.now(), "deleted": result["deleted"], "left": left}
    context.store.imports.note(import_id, {"undone": undone})
    is_empty = not context.store.jobs.counts(batch_id)
    batch_deleted = bool(record.get("created_batch")) and is_empty and context.store.batches.delete(batch_id)
    return {**result, "left": left, "batch_deleted": batch_deleted}
