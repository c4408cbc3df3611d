"""The result of ``report`` as blocks; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechaid.protocol.report_text import CONTACT_RATE, scope_text, zone_text
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, local_time_with_zone, percent, plural


def report(result: Result) -> list[Block]:
    """The result of ``report``."""
    scope = scope_text(result)
    of = f" of {scope}" if scope else ""
    calls, jobs = result["calls"], result["jobs"]
    blocks: list[Block] = [
        Heading(text=f"Campaign report{of}, {local_time_with_zone(result['at'])}"),
        *_people(result),
        (
            f"{plural(int(jobs['total']), 'job')}, {plural(int(calls['total']), 'call')}, "
            f"{calls['connected']} connected, {_successes(calls)}"
        ),
        f"{plain_amount(calls['minutes'])} minutes, {_cost(calls)}{_charged(calls['charged'])}",
        *_each_person(calls["charged"]),
        *_money(result),
        *([zone_text(result)] if "timezones" in result else []),
    ]
    statuses = [[as_words(word), number] for word, number in jobs["by_status"].items()]
    outcomes = [
        [as_words(word), number, percent(number / calls["total"])]
        for word, number in calls["by_outcome"].items()
    ]
    title = "Jobs with one of these calls, as they are now" if result.get("is_of_calls") else "Jobs"
    blocks += [table(title, "status #jobs", statuses)] if statuses else []
    # A daemon of an older version does not send it.
    if listed := result.get("jobs_on_do_not_call_list"):
        blocks.append(f"{plural(int(listed), 'job was', 'jobs were')} cancelled by the do-not-call list")
    blocks += [table("Calls by outcome", "outcome #calls #share", outcomes)] if outcomes else []
    blocks += _days(result)
    blocks += _rated(result["attempts"], "Calls by attempt", "attempt", str)
    blocks += _rated(
        result["hours"], f"Calls by hour ({_zone(result)})", "hour", lambda hour: f"{hour:02}:00"
    )
    return (
        blocks
        + _analyses(result.get("analyses", {}))
        + _promises(result["promises"])
        # A daemon of an older version does not send them.
        + _agents(result.get("agents", []))
        + _batches(result["batches"])
    )


def _people(result: Result) -> list[Block]:
    """Who was reached; a daemon of an older version does not count people."""
    people, calls = result.get("people"), result["calls"]
    if people is None:
        return []
    rate = percent(people["contact_rate"])
    later = calls["machines_found_later"]
    found = f", {later} of these as Retell's later analysis found" if later else ""
    return [
        (
            f"{people['reached']} of {plural(int(people['called']), 'person', 'people')} reached: "
            f"contact rate {rate}"
        ),
        f"contact rate: {CONTACT_RATE}",
        f"answered by a person: {calls['by_person']}; by a machine: {calls['by_machine']}{found}",
    ]


def _money(result: Result) -> list[Block]:
    """What is owed, was promised and was paid; a daemon of an older version sends promises alone."""
    if "debt" not in result:
        return []
    parts = [
        f"{name} {_amounts(result[key])}"
        for name, key in (("debt", "debt"), ("promised", "promises"), ("recovered", "recovered"))
    ]
    return ["; ".join(parts)]


def _amounts(sums: Mapping[str, Any]) -> str:
    return sums_by_currency(sums["by_currency"], "amount") or "0"


def _zone(result: Result) -> str:
    return "each account's zone" if len(result.get("timezones", ())) > 1 else str(result["timezone"])


def _days(result: Result) -> list[Block]:
    """One row for each day; a daemon of an older version does not send them."""
    rows = [
        [
            row["day"],
            row["calls"],
            row["people"]["called"],
            row["people"]["reached"],
            percent(row["people"]["contact_rate"]),
            plain_amount(row["minutes"]),
            _of_accounts(row["charged"]),
            sums_by_currency(row["promised"]["by_currency"], "amount"),
            sums_by_currency(row["recovered"]["by_currency"], "amount"),
        ]
        for row in result.get("days", [])
    ]
    headers = "day #calls #people #reached #contact_rate #minutes #charged #promised #recovered"
    return [table(f"By day ({_zone(result)})", headers, rows)] if rows else []


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
    text = _of_accounts(charged)
    return f"; charged to accounts: {text}" if text else ""


def _of_accounts(charged: Result) -> str:
    """Minutes and credit that accounts were charged; empty for none."""
    parts = [f"{plain_amount(charged['minutes'])} minutes"] if charged["minutes"] else []
    # A daemon of an older version does not tell currencies.
    rows = charged.get("by_currency", [{**charged, "currency": None}])
    credit = sums_by_currency(row for row in rows if row["credit"])
    return ", ".join([*parts, *([credit] if credit else [])])


def _each_person(charged: Result) -> list[Block]:
    rows = [row for row in charged.get("by_currency", ()) if row.get("per_person_reached") is not None]
    sums = sums_by_currency(rows, "per_person_reached")
    return [f"charged for each person reached: {sums}"] if rows else []


def _rated(rows: list[Result], title: str, name: str, label: Callable[[Any], str]) -> list[Block]:
    """Calls and success rate, one row for each value of ``name``."""
    if not rows:
        return []
    # A daemon of an older version does not say who answered.
    with_person = all("by_person" in row for row in rows)
    cells = [
        [
            label(row[name]),
            row["calls"],
            *([row["by_person"]] if with_person else []),
            row["successful"],
            percent(row["success_rate"]),
        ]
        for row in rows
    ]
    person = "#by_a_person " if with_person else ""
    return [table(title, f"{name} #calls {person}#successful #rate", cells)]


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
