"""What a reload of the settings changes, and what waits for a restart."""

from __future__ import annotations

from speechaid.protocol.translation import say
from speechaid.settings.groups import Settings
from speechaid.settings.table import DECLARATIONS


def reload_changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """What differs, a line each: what a reload applies, and what needs a restart."""
    applies: list[str] = []
    needs_restart: list[str] = []
    for declared in DECLARATIONS:
        before, after = declared.of(old), declared.of(new)
        if before != after:
            change = say(
                "{variable}: {shown} -> {shown_2}",
                variable=declared.variable,
                shown=declared.shown(before),
                shown_2=declared.shown(after),
            )
            (applies if declared.live else needs_restart).append(change)
    return applies, needs_restart


def after_reload(old: Settings, new: Settings) -> Settings:
    """The new settings, with the old value of everything that needs a restart."""
    wire = new.to_wire()
    kept = old.to_wire()
    for declared in DECLARATIONS:
        if not declared.live:
            wire[declared.group][declared.field] = kept[declared.group][declared.field]
    return Settings.from_wire(wire)
