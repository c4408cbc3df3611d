"""The record of an import in its batch's ``last_import``, and ``imports``, which lists these records.

An import goes on when its client has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.model.batch import Batch
from speechaid.model.reading import Document, instant, mapping

#: An import records its progress with each portion; after this time without progress it has broken off.
_TIMEOUT: Final = timedelta(minutes=3)
#: The fields of ``last_import`` that the answer has.
_FIELDS: Final = (
    "import_id",
    "file",
    "by",
    "started_at",
    "finished_at",
    "done",
    "of",
    "imported",
    "already_there",
    "left_out",
    "bad_rows",
)


def record_progress(context: HandlerContext, batch: Batch, fields: Document) -> None:
    """Record the progress of the batch's import."""
    context.store.batches.note_import(batch.batch_id, {**fields, "at": context.store.now()})


def imports(context: HandlerContext, command: Invocation) -> Result:
    """The latest import of each batch, newest first."""
    rows = [_row(context, batch) for batch in context.store.batches.imported_into(command.args["limit"])]
    return {"imports": rows}


def _row(context: HandlerContext, batch: Batch) -> Result:
    last_import = mapping(batch.document.get("last_import"))
    return {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "active": batch.is_active,
        "state": _state(context, last_import),
        **{name: last_import.get(name) for name in _FIELDS},
    }


def _state(context: HandlerContext, last_import: Mapping[str, Any]) -> str:
    if last_import.get("finished_at") is not None:
        return "done"
    at = instant(last_import.get("at"))
    return "importing" if at is not None and context.store.now() - at < _TIMEOUT else "broke_off"
