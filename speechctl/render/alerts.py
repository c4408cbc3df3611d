"""The result of ``alerts`` as blocks: firing alerts, the most severe first, each with its remedy; pure."""

from __future__ import annotations

from speechaid.protocol.translation import say
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import duration, local_time_with_zone


def alerts(result: Result) -> list[Block]:
    """The result of ``alerts``."""
    firing, quiet = result["firing"], result["quiet"]
    blocks: list[Block] = []
    if not firing:
        blocks.append(say("no alert fires; {quiet_count} are quiet", quiet_count=result["quiet_count"]))
    for row in firing:
        blocks += [
            Heading(
                text=say(
                    "{alert} ({severity}) since {local_time_with_zone}",
                    alert=row["alert"],
                    severity=say(row["severity"]),
                    local_time_with_zone=local_time_with_zone(row["since"]),
                )
            ),
            summary_of(row),
            say("  means: {meaning}", meaning=row["meaning"]),
            say("  do: {remedy}", remedy=row["remedy"]),
            "",
        ]
    if quiet:
        rows = [[row["alert"], say(row["severity"]), row["meaning"]] for row in quiet]
        blocks.append(table("quiet", "alert severity meaning", rows))
    return blocks


def summary_of(row: Result) -> str:
    """Why an alert fires; once the cause is gone, what it was and when the alert clears."""
    seconds = row.get("clears_in_seconds")
    if seconds is None:
        return str(row.get("summary"))
    return say(
        "the cause is gone; clears in {seconds} unless it returns (it was: {summary})",
        seconds=duration(seconds),
        summary=row.get("summary"),
    )
