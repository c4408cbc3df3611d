"""The agent, its version and the number of a batch."""

from __future__ import annotations

from speechaid.commands.batch_fields import level_of
from speechaid.commands.interfaces import HandlerContext
from speechaid.model.levels import Level
from speechaid.model.reading import Document


def require_level_of(context: HandlerContext, document: Document, *, by: str) -> None:
    """Before a batch is written: a daemon that would not heed its agent or number must not dial any more."""
    level = level_of(document)
    if level > Level.FIRST:
        context.store.holds.require_level(level, by=by)
