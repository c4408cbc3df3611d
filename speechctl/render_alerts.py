"""``alerts`` for people: what fires, the gravest first, each with its remedy; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechctl.blocks import Block, Heading, grid
from speechctl.words import instant

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
            row["summary"],
            f"  means: {row['meaning']}",
            f"  do: {row['remedy']}",
            "",
        ]
    if quiet:
        rows = [[row["alert"], row["severity"], row["meaning"]] for row in quiet]
        blocks.append(grid("quiet", "alert severity meaning", rows))
    return blocks
