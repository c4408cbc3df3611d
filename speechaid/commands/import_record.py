"""The progress of an import in its batch's ``last_import``, and ``imports``, which lists all imports.

An import goes on when its client has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.commands.jobs import erased_fields
from speechaid.model.batch import Batch
from speechaid.model.reading import Document, instant, mapping

#: An import records its progress with each portion; after this time without progress it has broken off.
_TIMEOUT: Final = timedelta(minutes=3)
#: What an import has come to; its record has it, too, once it is finished.
RESULT_FIELDS: Final = ("done", "of", "imported", "already_there", "left_out", "bad_rows")
_FIELDS: Final = ("file", "by", "started_at", "finished_at", *RESULT_FIELDS)


def record_progress(context: HandlerContext, batch: Batch, fields: Document) -> None:
    """Record the progress of the batch's import."""
    context.store.batches.note_import(batch.batch_id, {**fields, "at": context.store.now()})


def imports(context: HandlerContext, command: Invocation) -> Result:
    """The imports, newest first: those with a record, and of earlier versions the latest of each batch."""
    limit = command.args["limit"]
    records = context.store.imports.find_latest(limit)
    wanted = sorted({str(record.get("batch_id")) for record in records})
    batches = {batch.batch_id: batch for batch in context.store.batches.among(wanted)}
    rows = [_row(context, record, batches.get(str(record.get("batch_id")))) for record in records]
    known = {row["import_id"] for row in rows}
    for batch in context.store.batches.imported_into(limit):
        progress = mapping(batch.document.get("last_import"))
        is_recorded = progress.get("import_id") in known or _has_record(context, progress)
        if not is_recorded:
            rows.append(_row(context, {**progress, "batch_id": batch.batch_id}, batch))
    rows.sort(key=lambda row: str(instant(row["started_at"])), reverse=True)
    return {"imports": rows[:limit]}


def _has_record(context: HandlerContext, progress: Mapping[str, Any]) -> bool:
    import_id = progress.get("import_id")
    return isinstance(import_id, str) and context.store.imports.find(import_id) is not None


def _row(context: HandlerContext, record: Mapping[str, Any], batch: Batch | None) -> Result:
    """One import, from its record and what its batch knows of the latest one."""
    import_id = record.get("_id", record.get("import_id"))
    latest = {} if batch is None else mapping(batch.document.get("last_import"))
    progress = latest if latest.get("import_id") == import_id else {}
    # Records of earlier versions have the sum alone.
    known = {"imported": record.get("contacts"), **record, **progress}
    return {
        "import_id": import_id,
        "batch_id": record.get("batch_id"),
        "name": None if batch is None else batch.name,
        "active": batch is not None and batch.is_active,
        "state": _state(context, known),
        **{name: known.get(name) for name in _FIELDS},
        **erased_fields(known),
    }


def _state(context: HandlerContext, known: Mapping[str, Any]) -> str:
    if known.get("undone") is not None:
        return "undone"
    if known.get("finished_at") is not None:
        return "done"
    at = instant(known.get("at", known.get("started_at")))
    return "importing" if at is not None and context.store.now() - at < _TIMEOUT else "broke_off"
