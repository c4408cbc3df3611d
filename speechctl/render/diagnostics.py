"""The results of ``explain``, ``forecast`` and ``doctor`` as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import (
    as_words,
    duration,
    local_time,
    local_time_with_zone,
    plural,
    with_local_times,
)

#: How findings are marked, by their weight.
_SEVERITIES: Final = {"fault": "FAULT", "ordered": "note", "warning": "warning"}


def explain(result: Result) -> list[Block]:
    """The result of ``explain``."""
    heading = Heading(text=f"{result['job_id']}: {as_words(result['status'])}")
    blocks: list[Block] = [heading, with_local_times(result["sentence"])]
    chance = result.get("next_chance")
    if chance is not None and any(not check["passed"] for check in result["checks"]):
        blocks.append(f"next chance: {local_time_with_zone(chance)}")
    holder = result.get("in_hand")
    if holder is not None and holder.get("worker"):
        lease = "ran out at" if holder["lease_ran_out"] else "until"
        blocks.append(f"held by {holder['worker']}, lease {lease} {local_time(holder['lease_until'])}")
    rows = [
        ["ok" if check["passed"] else "NO", check["name"], with_local_times(check["value"])]
        for check in result["checks"]
    ]
    return [*blocks, table("", "_ check found", rows)]


def forecast(result: Result) -> list[Block]:
    """The result of ``forecast``."""
    of = f" of {result['batch_id']}" if result.get("batch_id") else ""
    dials, cost = result["dials"], result.get("retell_cost")
    assumed = (
        f"assuming {plural(int(result['workers']), 'worker')} and {duration(result['call_seconds'])} a call"
    )
    waiting = plural(int(result["pending"]), "waiting job")
    at_retell = "" if cost is None else f"; {money(cost, RETELL_CURRENCY)} at Retell"
    blocks: list[Block] = [
        Heading(text=f"Forecast{of}, {local_time_with_zone(result['at'])} (nothing is dialled)"),
        f"{plural(len(dials), 'dial')} shown of {waiting}, {assumed}",
        *_whole(result),
        f"estimated: {_of_accounts(result)} of accounts{at_retell}",
    ]
    if result.get("as_if_unheld"):
        blocks.append("dialling is held: this is what would happen after speechctl unhold")
    if result.get("as_if_resumed"):
        resume = f"speechctl resume-batch {result['batch_id']}"
        blocks.append(f"the batch is paused: this is what would happen after {resume}")
    rows = [
        [
            local_time(row["at"]),
            row["job_id"],
            row["batch_id"],
            row["phone"],
            row["attempt"] + 1,
            _estimate(row),
        ]
        for row in dials
    ]
    blocks += (
        [table("would be called, at the earliest", "at job batch phone #pass estimate", rows)] if rows else []
    )
    skipped = [
        [as_words(row["reason"]), row["jobs"], ", ".join(row["examples"][:2])] for row in result["skipped"]
    ]
    blocks += [table("would be skipped", "why #jobs for_example", skipped)] if skipped else []
    if result["beyond"]:
        more = plural(int(result["beyond"]), "more job waits", "more jobs wait")
        blocks.append(f"{more} after these; --limit shows more")
    return blocks


def _whole(result: Result) -> list[Block]:
    """The schedule as a whole; a daemon of an older version knows only what it shows."""
    if not result.get("dials_total"):
        return []
    dials, ends = plural(int(result["dials_total"]), "dial"), local_time_with_zone(result["ends_at"])
    at_once = plural(int(result["calls_at_once"]), "call")
    return [f"all of it: {dials}, at most {at_once} at once, the last one ends at {ends}"]


def _of_accounts(result: Result) -> str:
    """The minutes and the credit that the dials would take."""
    # A daemon of an older version does not tell currencies.
    rows = result.get("credit_by_currency") or [{"credit": result["credit"], "currency": None}]
    credit = f" and {sums_by_currency(rows)}" if result["credit"] else ""
    return f"{plain_amount(result['minutes'])} minutes{credit}"


def _estimate(row: Result) -> str:
    minutes = [f"{plain_amount(row['minutes'])} min"] if row.get("minutes") else []
    return ", ".join([*minutes, *([money(row["credit"], row.get("currency"))] if row.get("credit") else [])])


def doctor(result: Result) -> list[Block]:
    """The result of ``doctor``."""
    findings = result["findings"]
    took = ", ".join(
        f"{name} answered in {result[key]:g} ms"
        for name, key in (("database", "database_ms"), ("Retell", "retell_ms"))
        if result.get(key) is not None
    )
    if not findings:
        return [Heading(text="No problem found: nothing prevents calls"), took]
    blocks: list[Block] = [
        Heading(text=plural(len(findings), "finding")),
        *([took] if took else []),
    ]
    for finding in findings:
        blocks += [
            "",
            f"{_SEVERITIES.get(finding['weight'], finding['weight'])}: {finding['cause']}",
            f"  found: {finding['evidence']}",
            f"  do:    {finding['remedy']}",
        ]
    return blocks
