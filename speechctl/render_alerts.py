"""``alerts`` for people: what fires, the gravest first, each with its remedy; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechctl.blocks import Block, Heading, grid
from speechctl.words import duration, instant

Result = Mapping[str, Any]


def alerts(result: Result) -> list[Block]:
    """The answer to ``alerts``."""
    firing, quiet = result["firing"], result["quiet"]
    blocks: list[Block] = []
    if not firing:
        blocks.append(f"nothing fires; {result['quiet_count']} alerts are quiet")
    for row in firing:
        blocks += [
            Heading(text=f"{row['alert']} ({row['severity']}) since {instant(row['since'])}"),
            summary_of(row),
            f"  means: {row['meaning']}",
            f"  do: {row['remedy']}",
            "",
        ]
    if quiet:
        rows = [[row["alert"], row["severity"], row["meaning"]] for row in quiet]
        blocks.append(grid("quiet", "alert severity meaning", rows))
    return blocks


def summary_of(row: Result) -> str:
    """Why an alert fires; where the cause is gone, that it was so, and when the alert is over."""
    seconds = row.get("clears_in_seconds")
    if seconds is None:
        return str(row.get("summary"))
    return f"its cause is gone; over in {duration(seconds)} unless it returns (was: {row.get('summary')})"
