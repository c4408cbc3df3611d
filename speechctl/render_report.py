"""``report`` for people: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechctl.blocks import Block, Heading, grid
from speechctl.words import call_word, percent, plural, zoned

Result = Mapping[str, Any]


def report(result: Result) -> list[Block]:
    """The answer to ``report``."""
    of = f" of {result['batch_id']}" if result.get("batch_id") else ""
    calls, jobs = result["calls"], result["jobs"]
    blocks: list[Block] = [
        Heading(text=f"Campaign report{of}, {zoned(result['at'])}"),
        (
            f"{plural(int(jobs['total']), 'job')}, {plural(int(calls['total']), 'call')}, "
            f"{calls['connected']} connected, {_successes(calls)}"
        ),
        f"{calls['minutes']:g} minutes, cost {calls['cost']:g}{_each(calls)}{_charged(calls['charged'])}",
    ]
    statuses = [[call_word(word), number] for word, number in jobs["by_status"].items()]
    outcomes = [
        [call_word(word), number, percent(number / calls["total"])]
        for word, number in calls["by_outcome"].items()
    ]
    blocks += [grid("Jobs", "status #jobs", statuses)] if statuses else []
    blocks += [grid("Calls by outcome", "outcome #calls #share", outcomes)] if outcomes else []
    blocks += _rated(result["attempts"], "Calls by attempt", "attempt", str)
    blocks += _rated(
        result["hours"], f"Calls by hour ({result['timezone']})", "hour", lambda hour: f"{hour:02}:00"
    )
    return (
        blocks
        + _analyses(result.get("analyses", {}))
        + _promises(result["promises"])
        + _batches(result["batches"])
    )


def _analyses(analyses: Result) -> list[Block]:
    """What Retell made of the conversations; a daemon of an older version does not tell."""
    if not analyses.get("calls") and not analyses.get("waiting"):
        return []
    waiting = (
        f"; {plural(analyses['waiting'], 'is', 'are')} yet to be analysed" if analyses["waiting"] else ""
    )
    line = f"Retell found {analyses['successful']} of {analyses['calls']} conversations successful{waiting}"
    moods = [[mood, number] for mood, number in analyses["by_sentiment"].items()]
    return [line, *([grid("Conversations by mood", "mood #calls", moods)] if moods else [])]


def _successes(calls: Result) -> str:
    return f"{calls['successful']} successful ({percent(calls['success_rate'])})"


def _each(calls: Result) -> str:
    each = calls["cost_per_success"]
    return "" if each is None else f" ({each:g} per success)"


def _charged(charged: Result) -> str:
    parts = [f"{charged[name]:g} {name}" for name in ("minutes", "credit") if charged[name]]
    return f"; charged to accounts: {', '.join(parts)}" if parts else ""


def _rated(rows: list[Result], title: str, name: str, shown: Any) -> list[Block]:
    if not rows:
        return []
    cells = [
        [shown(row[name]), row["calls"], row["successful"], percent(row["success_rate"])] for row in rows
    ]
    return [grid(title, f"{name} #calls #successful #rate", cells)]


def _promises(promises: Result) -> list[Block]:
    if not promises["jobs"]:
        return []
    unread = promises["jobs_without_amount"]
    note = f" ({unread} without a readable amount)" if unread else ""
    rows = [[row["day"] or "no day", row["jobs"]] for row in promises["by_day"]]
    return [
        grid("Promised payments", "day #jobs", rows),
        f"{promises['jobs']} promised to pay {promises['amount']:,.2f} in all{note}",
    ]


def _batches(batches: list[Result]) -> list[Block]:
    if len(batches) < 2:
        return []
    rows = [
        [
            row["batch_id"] or "(none)",
            row["name"],
            row["jobs"],
            row["calls"],
            row["successful"],
            percent(row["success_rate"]),
            f"{row['minutes']:g}",
            f"{row['cost']:g}",
        ]
        for row in batches
    ]
    return [grid("Batches", "batch name #jobs #calls #successful #rate #minutes #cost", rows)]
