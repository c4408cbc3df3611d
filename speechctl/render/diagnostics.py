"""The results of ``explain``, ``forecast`` and ``doctor`` as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import (
    as_words,
    duration,
    local_time,
    local_time_with_zone,
    with_local_times,
)

#: How findings are marked, by their weight.
_SEVERITIES: Final = {"fault": N_("FAULT"), "ordered": N_("note"), "warning": N_("warning")}


def explain(result: Result) -> list[Block]:
    """The result of ``explain``."""
    heading = Heading(text=f"{result['job_id']}: {as_words(result['status'])}")
    blocks: list[Block] = [heading, with_local_times(result["sentence"])]
    chance = result.get("next_chance")
    if chance is not None and any(not check["passed"] for check in result["checks"]):
        blocks.append(
            say("next chance: {local_time_with_zone}", local_time_with_zone=local_time_with_zone(chance))
        )
    holder = result.get("in_hand")
    if holder is not None and holder.get("worker"):
        lease = say("ran out at") if holder["lease_ran_out"] else say("until")
        blocks.append(
            say(
                "held by {worker}, lease {lease} {lease_until}",
                worker=holder["worker"],
                lease=lease,
                lease_until=local_time(holder["lease_until"]),
            )
        )
    rows = [
        [say("ok") if check["passed"] else say("NO"), say(check["name"]), with_local_times(check["value"])]
        for check in result["checks"]
    ]
    return [*blocks, table("", "_ check found", rows)]


def forecast(result: Result) -> list[Block]:
    """The result of ``forecast``."""
    of = say(" of {batch_id}", batch_id=result["batch_id"]) if result.get("batch_id") else ""
    dials, cost = result["dials"], result.get("retell_cost")
    assumed = say_n(
        "assuming {count} worker and {call_seconds} a call",
        "assuming {count} workers and {call_seconds} a call",
        int(result["workers"]),
        call_seconds=duration(result["call_seconds"]),
    )
    waiting = say_n("{count} waiting job", "{count} waiting jobs", int(result["pending"]))
    at_retell = (
        ""
        if cost is None
        else say("; {RETELL_CURRENCY} at Retell", RETELL_CURRENCY=money(cost, RETELL_CURRENCY))
    )
    blocks: list[Block] = [
        Heading(
            text=say(
                "Forecast{of}, {local_time_with_zone} (nothing is dialled)",
                of=of,
                local_time_with_zone=local_time_with_zone(result["at"]),
            )
        ),
        say_n(
            "{count} dial shown of {waiting}, {assumed}",
            "{count} dials shown of {waiting}, {assumed}",
            len(dials),
            waiting=waiting,
            assumed=assumed,
        ),
        *_whole(result),
        say(
            "estimated: {of_accounts} of accounts{at_retell}",
            of_accounts=_of_accounts(result),
            at_retell=at_retell,
        ),
    ]
    if result.get("as_if_unheld"):
        blocks.append(say("dialling is held: this is what would happen after speechctl unhold"))
    if result.get("as_if_resumed"):
        resume = say("speechctl resume-batch {batch_id}", batch_id=result["batch_id"])
        blocks.append(say("the batch is paused: this is what would happen after {resume}", resume=resume))
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
        [table(say("would be called, at the earliest"), "at job batch phone #pass estimate", rows)]
        if rows
        else []
    )
    skipped = [
        [as_words(row["reason"]), row["jobs"], ", ".join(row["examples"][:2])] for row in result["skipped"]
    ]
    kept_back = [
        [row["rule"], row["jobs"], local_time(row["first_at"])] for row in result.get("kept_back", [])
    ]
    blocks += [table(say("the law keeps back"), "rule #jobs first_at", kept_back)] if kept_back else []
    blocks += [table(say("would be skipped"), "why #jobs for_example", skipped)] if skipped else []
    if result["beyond"]:
        more = say_n("{count} more job waits", "{count} more jobs wait", int(result["beyond"]))
        blocks.append(say("{more} after these; --limit shows more", more=more))
    return blocks


def _whole(result: Result) -> list[Block]:
    """The schedule as a whole; a daemon of an older version knows only what it shows."""
    if not result.get("dials_total"):
        return []
    dials, ends = (
        say_n("{count} dial", "{count} dials", int(result["dials_total"])),
        local_time_with_zone(result["ends_at"]),
    )
    at_once = say_n("{count} call", "{count} calls", int(result["calls_at_once"]))
    return [
        say(
            "all of it: {dials}, at most {at_once} at once, the last one ends at {ends}",
            dials=dials,
            at_once=at_once,
            ends=ends,
        )
    ]


def _of_accounts(result: Result) -> str:
    """The minutes and the credit that the dials would take."""
    # A daemon of an older version does not tell currencies.
    rows = result.get("credit_by_currency") or [{"credit": result["credit"], "currency": None}]
    credit = (
        say(" and {sums_by_currency}", sums_by_currency=sums_by_currency(rows)) if result["credit"] else ""
    )
    return say("{plain_amount} minutes{credit}", plain_amount=plain_amount(result["minutes"]), credit=credit)


def _estimate(row: Result) -> str:
    minutes = (
        [say("{plain_amount} min", plain_amount=plain_amount(row["minutes"]))] if row.get("minutes") else []
    )
    return ", ".join([*minutes, *([money(row["credit"], row.get("currency"))] if row.get("credit") else [])])


def doctor(result: Result) -> list[Block]:
    """The result of ``doctor``."""
    findings = result["findings"]
    took = ", ".join(
        say("{name} answered in {result:g} ms", name=name, result=result[key])
        for name, key in ((say("database"), "database_ms"), ("Retell", "retell_ms"))
        if result.get(key) is not None
    )
    if not findings:
        return [Heading(text=say("No problem found: nothing prevents calls")), took]
    blocks: list[Block] = [
        Heading(text=say_n("{count} finding", "{count} findings", len(findings))),
        *([took] if took else []),
    ]
    for finding in findings:
        blocks += [
            "",
            f"{say(_SEVERITIES.get(finding['weight'], finding['weight']))}: {finding['cause']}",
            say("  found: {evidence}", evidence=finding["evidence"]),
            say("  do:    {remedy}", remedy=finding["remedy"]),
        ]
    return blocks
