"""The result of ``report`` as blocks; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechaid.protocol.report_text import CONTACT_RATE, scope_text, zone_text
from speechaid.protocol.translation import current_language, in_language, say, say_n
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, local_day, local_time_with_zone, percent


def report(result: Result) -> list[Block]:
    """The result of ``report``."""
    scope = scope_text(result)
    of = say(" of {scope}", scope=scope) if scope else ""
    calls, jobs = result["calls"], result["jobs"]
    blocks: list[Block] = [
        Heading(
            text=say(
                "Campaign report{of}, {local_time_with_zone}",
                of=of,
                local_time_with_zone=local_time_with_zone(result["at"]),
            )
        ),
        *_people(result),
        (
            say_n(
                "{count} job, {calls}, {connected} connected, {successes}",
                "{count} jobs, {calls}, {connected} connected, {successes}",
                int(jobs["total"]),
                calls=say_n("{count} call", "{count} calls", int(calls["total"])),
                connected=calls["connected"],
                successes=_successes(calls),
            )
        ),
        say(
            "{plain_amount} minutes, {cost}{charged}",
            plain_amount=plain_amount(calls["minutes"]),
            cost=_cost(calls),
            charged=_charged(calls["charged"]),
        ),
        *_each_person(calls["charged"]),
        *_money(result),
        *([zone_text(result)] if "timezones" in result else []),
    ]
    statuses = [[as_words(word), number] for word, number in jobs["by_status"].items()]
    outcomes = [
        [as_words(word), number, percent(number / calls["total"])]
        for word, number in calls["by_outcome"].items()
    ]
    title = say("Jobs with one of these calls, as they are now") if result.get("is_of_calls") else say("Jobs")
    blocks += [table(title, "status #jobs", statuses)] if statuses else []
    kept_back = [[row["rule"], row["jobs"]] for row in result.get("kept_back", [])]
    blocks += [table(say("the law keeps back"), "rule #jobs", kept_back)] if kept_back else []
    # A daemon of an older version does not send it.
    if listed := result.get("jobs_on_do_not_call_list"):
        blocks.append(
            say_n(
                "{count} job was cancelled by the do-not-call list",
                "{count} jobs were cancelled by the do-not-call list",
                int(listed),
            )
        )
    blocks += [table(say("Calls by outcome"), "outcome #calls #share", outcomes)] if outcomes else []
    blocks += _days(result)
    blocks += _rated(result["attempts"], say("Calls by attempt"), "attempt", str)
    blocks += _rated(
        result["hours"],
        say("Calls by hour ({zone})", zone=_zone(result)),
        "hour",
        lambda hour: f"{hour:02}:00",
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
    found = say(", {later} of these as Retell's later analysis found", later=later) if later else ""
    return [
        (
            say_n(
                "{reached} of {count} person reached: contact rate {rate}",
                "{reached} of {count} people reached: contact rate {rate}",
                int(people["called"]),
                reached=people["reached"],
                rate=rate,
            )
        ),
        say("contact rate: {CONTACT_RATE}", CONTACT_RATE=in_language(CONTACT_RATE, current_language())),
        say(
            "answered by a person: {by_person}; by a machine: {by_machine}{found}",
            by_person=calls["by_person"],
            by_machine=calls["by_machine"],
            found=found,
        ),
    ]


def _money(result: Result) -> list[Block]:
    """What is owed, was promised and was paid; a daemon of an older version sends promises alone."""
    if "debt" not in result:
        return []
    return [
        say(
            "debt {debt}; promised {promised}; recovered {recovered}",
            debt=_amounts(result["debt"]),
            promised=_amounts(result["promises"]),
            recovered=_amounts(result["recovered"]),
        )
    ]


def _amounts(sums: Mapping[str, Any]) -> str:
    return sums_by_currency(sums["by_currency"], "amount") or "0"


def _zone(result: Result) -> str:
    return say("each account's zone") if len(result.get("timezones", ())) > 1 else str(result["timezone"])


def _days(result: Result) -> list[Block]:
    """One row for each day; a daemon of an older version does not send them."""
    rows = [
        [
            local_day(row["day"]),
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
    by_day = table(
        say("By day ({zone})", zone=_zone(result)),
        "day #calls #people #reached #contact_rate #minutes #charged #promised #recovered",
        rows,
    )
    return [by_day] if rows else []


def _analyses(analyses: Result) -> list[Block]:
    """Retell's analyses of the conversations; a daemon of an older version does not send them."""
    if not analyses.get("calls") and not analyses.get("waiting"):
        return []
    waiting = (
        say_n("; {count} is yet to be analysed", "; {count} are yet to be analysed", analyses["waiting"])
        if analyses["waiting"]
        else ""
    )
    line = say(
        "Retell rated {successful} of {calls} conversations successful{waiting}",
        successful=analyses["successful"],
        calls=analyses["calls"],
        waiting=waiting,
    )
    rows = [[say(sentiment), number] for sentiment, number in analyses["by_sentiment"].items()]
    return [line, *([table(say("Conversations by sentiment"), "sentiment #calls", rows)] if rows else [])]


def _successes(calls: Result) -> str:
    return say(
        "{successful} successful ({success_rate})",
        successful=calls["successful"],
        success_rate=percent(calls["success_rate"]),
    )


def _cost(calls: Result) -> str:
    per_success = calls["cost_per_success"]
    each = (
        ""
        if per_success is None
        else say(" ({RETELL_CURRENCY} per success)", RETELL_CURRENCY=money(per_success, RETELL_CURRENCY))
    )
    return say(
        "cost {RETELL_CURRENCY} at Retell{each}",
        RETELL_CURRENCY=money(calls["cost"], RETELL_CURRENCY),
        each=each,
    )


def _charged(charged: Result) -> str:
    text = _of_accounts(charged)
    return say("; charged to accounts: {text}", text=text) if text else ""


def _of_accounts(charged: Result) -> str:
    """Minutes and credit that accounts were charged; empty for none."""
    parts = (
        [say("{plain_amount} minutes", plain_amount=plain_amount(charged["minutes"]))]
        if charged["minutes"]
        else []
    )
    # A daemon of an older version does not tell currencies.
    rows = charged.get("by_currency", [{**charged, "currency": None}])
    credit = sums_by_currency(row for row in rows if row["credit"])
    return ", ".join([*parts, *([credit] if credit else [])])


def _each_person(charged: Result) -> list[Block]:
    rows = [row for row in charged.get("by_currency", ()) if row.get("per_person_reached") is not None]
    sums = sums_by_currency(rows, "per_person_reached")
    return [say("charged for each person reached: {sums}", sums=sums)] if rows else []


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
    note = say(" ({unreadable} without a readable amount)", unreadable=unreadable) if unreadable else ""
    rows = [[local_day(row["day"]) or say("no day"), row["jobs"]] for row in promises["by_day"]]
    return [
        table(say("Promised payments"), "day #jobs", rows),
        say(
            "{jobs} promised to pay {sums} in all{note}",
            jobs=promises["jobs"],
            sums=_sums(promises),
            note=note,
        ),
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
    return [
        table(say("Calls by agent and number"), "agent #version from #calls #successful #rate #minutes", rows)
    ]


def _batches(batches: list[Result]) -> list[Block]:
    if len(batches) < 2:
        return []
    rows = [
        [
            row["batch_id"] or say("(none)"),
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
