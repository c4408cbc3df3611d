"""An operator's change of single fields, written only where they are still as the command read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from speechaid.model.reading import Document, mapping
from speechaid.store.table import as_stored


def field_changes(
    document: Document, changes: Mapping[str, object], *, by: str, now: datetime
) -> tuple[Document, Document]:
    """The condition and the update of an edit.

    By the condition, of two edits of one field the second one knows what it replaces, and edits of different
    fields do not undo each other.

    Args:
        document: as read.
        changes: by dotted path, the new value; None removes the field.
        by: the operator.
        now: by the database's clock.
    """
    as_read = {path: as_stored(value_at(document, path)) for path in changes}
    set_ = {path: value for path, value in changes.items() if value is not None}
    unset = {path: "" for path, value in changes.items() if value is None}
    change: Document = {"$set": {**set_, "edited": {"by": by, "at": now}, "updated_at": now}}
    if unset:
        change["$unset"] = unset
    return as_read, change


def value_at(document: Document, path: str) -> object:
    """The value at a dotted path, None where it is missing."""
    found: object = document
    for name in path.split("."):
        found = mapping(found).get(name)
    return found
