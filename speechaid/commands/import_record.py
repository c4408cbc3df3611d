"""What an import leaves on its batch, and ``imports``: how far each is, or what came of it.

An import outlives whoever asked for it. Its last word stands in the batch's ``last_import``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.model.batch import Batch
from speechaid.model.reading import Document, instant, mapping

#: An import writes down how far it is with each portion; after so much silence it is over.
_SILENCE: Final = timedelta(minutes=3)
#: What is told of an import, as it stands in the batch.
_TOLD: Final = (
    "file",
    "by",
    "started_at",
    "finished_at",
    "done",
    "of",
    "imported",
    "already_there",
    "bad_rows",
)


def note(context: HandlerContext, batch: Batch, fields: Document) -> None:
    """Write down how far the batch's import is."""
    context.store.batches.note_import(batch.batch_id, {**fields, "at": context.store.now()})


def imports(context: HandlerContext, command: Invocation) -> Result:
    """The latest import of each batch, newest first."""
    rows = [_row(context, batch) for batch in context.store.batches.imported_into(command.args["limit"])]
    return {"imports": rows}


def _row(context: HandlerContext, batch: Batch) -> Result:
    noted = mapping(batch.document.get("last_import"))
    return {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "active": batch.is_active,
        "state": _state(context, noted),
        **{name: noted.get(name) for name in _TOLD},
    }


def _state(context: HandlerContext, noted: Mapping[str, Any]) -> str:
    if noted.get("finished_at") is not None:
        return "done"
    at = instant(noted.get("at"))
    return "importing" if at is not None and context.store.now() - at < _SILENCE else "broke_off"
