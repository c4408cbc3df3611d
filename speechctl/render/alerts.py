"""The result of ``alerts`` as blocks: firing alerts, the most severe first, each with its remedy; pure."""

from __future__ import annotations

from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import duration, local_time_with_zone


def alerts(result: Result) -> list[Block]:
    """The result of ``alerts``."""
    firing, quiet = result["firing"], result["quiet"]
    blocks: list[Block] = []
    if not firing:
        blocks.append(f"no alert fires; {result['quiet_count']} are quiet")
    for row in firing:
        blocks += [
            Heading(text=f"{row['alert']} ({row['severity']}) since {local_time_with_zone(row['since'])}"),
            summary_of(row),
            f"  means: {row['meaning']}",
            f"  do: {row['remedy']}",
            "",
        ]
    if quiet:
        rows = [[row["alert"], row["severity"], row["meaning"]] for row in quiet]
        blocks.append(table("quiet", "alert severity meaning", rows))
    return blocks


def summary_of(row: Result) -> str:
    """Why an alert fires; once the cause is gone, what it was and when the alert clears."""
    seconds = row.get("clears_in_seconds")
    if seconds is None:
        return str(row.get("summary"))
    return (
        f"the cause is gone; clears in {duration(seconds)} unless it returns (it was: {row.get('summary')})"
    )
