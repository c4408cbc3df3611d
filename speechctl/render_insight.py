"""``explain``, ``forecast``, ``doctor`` and ``keys`` for people; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechctl.blocks import Block, Heading, grid
from speechctl.words import call_word, duration, instant, localised, plural

Result = Mapping[str, Any]
_MARKS: Final = {"fault": "FAULT", "ordered": "note", "warning": "warning"}


def explain(result: Result) -> list[Block]:
    """The answer to ``explain``."""
    heading = Heading(text=f"{result['job_id']}: {call_word(result['status'])}")
    blocks: list[Block] = [heading, localised(result["sentence"])]
    chance = result.get("next_chance")
    if chance is not None and any(not check["passed"] for check in result["checks"]):
        blocks.append(f"next chance: {instant(chance)}")
    hand = result.get("in_hand")
    if hand is not None and hand.get("worker"):
        lease = "ran out at" if hand["lease_ran_out"] else "until"
        blocks.append(f"held by {hand['worker']}, lease {lease} {instant(hand['lease_until'])}")
    rows = [
        ["ok" if check["passed"] else "NO", check["name"], localised(check["value"])]
        for check in result["checks"]
    ]
    return [*blocks, grid("", "_ check found", rows)]


def forecast(result: Result) -> list[Block]:
    """The answer to ``forecast``."""
    of = f" of {result['batch_id']}" if result.get("batch_id") else ""
    dials, cost = result["dials"], result.get("retell_cost")
    with_whom = (
        f"with {plural(int(result['workers']), 'worker')} and {duration(result['call_seconds'])} a call"
    )
    waiting = plural(int(result["pending"]), "job that waits", "jobs that wait")
    at_retell = "" if cost is None else f"; {cost:g} at Retell"
    blocks: list[Block] = [
        Heading(text=f"Forecast{of}, {instant(result['at'])}: nothing is dialled by this"),
        f"{plural(len(dials), 'dial')} shown of {waiting}, {with_whom}",
        f"estimated: {result['minutes']:g} minutes and {result['credit']:g} credit of accounts{at_retell}",
    ]
    if result.get("as_if_unheld"):
        blocks.append("dialling is held: this is what comes after speechctl unhold")
    if result.get("as_if_resumed"):
        blocks.append(
            f"the batch is paused: this is what comes after speechctl resume-batch {result['batch_id']}"
        )
    rows = [
        [
            instant(row["at"]),
            row["job_id"],
            row["batch_id"],
            row["phone"],
            row["attempt"] + 1,
            _estimate(row),
        ]
        for row in dials
    ]
    blocks += (
        [grid("would be called, at the earliest", "at job batch phone #pass estimate", rows)] if rows else []
    )
    skipped = [
        [call_word(row["reason"]), row["jobs"], ", ".join(row["examples"][:2])] for row in result["skipped"]
    ]
    blocks += [grid("would be skipped", "why #jobs for_example", skipped)] if skipped else []
    if result["beyond"]:
        more = plural(int(result["beyond"]), "job more waits", "jobs more wait")
        blocks.append(f"{more} behind these; --limit looks further")
    return blocks


def _estimate(row: Result) -> str:
    parts = [
        f"{row[name]:g} {word}" for name, word in (("minutes", "min"), ("credit", "credit")) if row.get(name)
    ]
    return ", ".join(parts)


def doctor(result: Result) -> list[Block]:
    """The answer to ``doctor``."""
    findings = result["findings"]
    took = ", ".join(
        f"{name} answered in {result[key]:g} ms"
        for name, key in (("database", "database_ms"), ("Retell", "retell_ms"))
        if result.get(key) is not None
    )
    if not findings:
        return [Heading(text="Nothing keeps calls from being made"), took]
    blocks: list[Block] = [
        Heading(text=plural(len(findings), "finding")),
        *([took] if took else []),
    ]
    for finding in findings:
        blocks += [
            "",
            f"{_MARKS.get(finding['weight'], finding['weight'])}: {finding['cause']}",
            f"  found: {finding['evidence']}",
            f"  do:    {finding['remedy']}",
        ]
    return blocks


def keys(result: Result) -> list[Block]:
    """The answer to ``keys``."""
    if "clients" in result:
        rows = [[row["name"], row["access"], row["public"]] for row in result["clients"]]
        head = f"server key {result['server']} in {result['directory']}"
        return [head, grid("", "client access key", rows)] if rows else [head, "no client may come in yet"]
    if "key_file" in result:
        head = f"{result['client']} may {result['access']}; its keys: {result['key_file']}"
        return [head, "hand it over by a safe way, it is as good as a password", result["next"]]
    if "revoked" in result:
        return [f"{result['revoked']} may come in no more", result["next"]]
    return [f"made {result['made']}", result["next"]]


def ids(result: Result) -> list[Block]:
    """The answer to ``ids``: one a line."""
    return list(result["ids"])
