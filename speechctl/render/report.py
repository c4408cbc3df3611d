"""The result of ``report`` as blocks; pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, local_time_with_zone, percent, plural


def report(result: Result) -> list[Block]:
    """The result of ``report``."""
    of = f" of {result['batch_id']}" if result.get("batch_id") else ""
    calls, jobs = result["calls"], result["jobs"]
    blocks: list[Block] = [
        Heading(text=f"Campaign report{of}, {local_time_with_zone(result['at'])}"),
        (
            f"{plural(int(jobs['total']), 'job')}, {plural(int(calls['total']), 'call')}, "
            f"{calls['connected']} connected, {_successes(calls)}"
        ),
        f"{plain_amount(calls['minutes'])} minutes, {_cost(calls)}{_charged(calls['charged'])}",
    ]
    statuses = [[as_words(word), number] for word, number in jobs["by_status"].items()]
    outcomes = [
        [as_words(word), number, percent(number / calls["total"])]
        for word, number in calls["by_outcome"].items()
    ]
    blocks += [table("Jobs", "status #jobs", statuses)] if statuses else []
    # A daemon of an older version does not send it.
    if listed := result.get("jobs_on_do_not_call_list"):
        blocks.append(f"{plural(int(listed), 'job was', 'jobs were')} cancelled by the do-not-call list")
    blocks += [table("Calls by outcome", "outcome #calls #share", outcomes)] if outcomes else []
    blocks += _rated(result["attempts"], "Calls by attempt", "attempt", str)
    blocks += _rated(
        result["hours"], f"Calls by hour ({result['timezone']})", "hour", lambda hour: f"{hour:02}:00"
    )
    return (
        blocks
        + _analyses(result.get("analyses", {}))
        + _promises(result["promises"])
        # A daemon of an older version does not send them.
        + _agents(result.get("agents", []))
        + _batches(result["batches"])
    )


def _analyses(analyses: Result) -> list[Block]:
    """Retell's analyses of the conversations; a daemon of an older version does not send them."""
    if not analyses.get("calls") and not analyses.get("waiting"):
        return []
    waiting = (
        f"; {plural(analyses['waiting'], 'is', 'are')} yet to be analysed" if analyses["waiting"] else ""
    )
    line = f"Retell rated {analyses['successful']} of {analyses['calls']} conversations successful{waiting}"
    rows = [[sentiment, number] for sentiment, number in analyses["by_sentiment"].items()]
    return [line, *([table("Conversations by sentiment", "sentiment #calls", rows)] if rows else [])]


def _successes(calls: Result) -> str:
    return f"{calls['successful']} successful ({percent(calls['success_rate'])})"


def _cost(calls: Result) -> str:
    per_success = calls["cost_per_success"]
    each = "" if per_success is None else f" ({money(per_success, RETELL_CURRENCY)} per success)"
    return f"cost {money(calls['cost'], RETELL_CURRENCY)} at Retell{each}"


def _charged(charged: Result) -> str:
    parts = [f"{plain_amount(charged['minutes'])} minutes"] if charged["minutes"] else []
    if charged["credit"]:
        # A daemon of an older version does not tell currencies.
        parts.append(sums_by_currency(charged.get("by_currency") or [{**charged, "currency": None}]))
    return f"; charged to accounts: {', '.join(parts)}" if parts else ""


def _rated(rows: list[Result], title: str, name: str, label: Callable[[Any], str]) -> list[Block]:
    """Calls and success rate, one row for each value of ``name``."""
    if not rows:
        return []
    cells = [
        [label(row[name]), row["calls"], row["successful"], percent(row["success_rate"])] for row in rows
    ]
    return [table(title, f"{name} #calls #successful #rate", cells)]


def _sums(promises: Result) -> str:
    # A daemon of an older version has one sum of all currencies.
    sums = promises.get("by_currency") or [{"amount": promises["amount"] or 0, "currency": None}]
    return sums_by_currency(sums, "amount")


def _promises(promises: Result) -> list[Block]:
    if not promises["jobs"]:
        return []
    unreadable = promises["jobs_without_amount"]
    note = f" ({unreadable} without a readable amount)" if unreadable else ""
    rows = [[row["day"] or "no day", row["jobs"]] for row in promises["by_day"]]
    return [
        table("Promised payments", "day #jobs", rows),
        f"{promises['jobs']} promised to pay {_sums(promises)} in all{note}",
    ]


def _agents(agents: list[Result]) -> list[Block]:
    if len(agents) < 2:
        return []
    rows = [
        [
            row["agent_id"],
            "" if row["version"] is None else row["version"],
            row["from_number"],
            row["calls"],
            row["successful"],
            percent(row["success_rate"]),
            f"{row['minutes']:g}",
        ]
        for row in agents
    ]
    return [table("Calls by agent and number", "agent #version from #calls #successful #rate #minutes", rows)]


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
            plain_amount(row["minutes"]),
            money(row["cost"], RETELL_CURRENCY),
        ]
        for row in batches
    ]
    return [table("Batches", "batch name #jobs #calls #successful #rate #minutes #cost", rows)]
