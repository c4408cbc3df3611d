"""The shaped report as Markdown, translatable; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from speechaid.campaign import cells
from speechaid.model.reading import Document
from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechaid.protocol.report_text import CONTACT_RATE, scope_text, zone_text
from speechaid.protocol.translation import joined, say, say_n


def to_markdown(report: Document) -> str:
    """The report with a table for each part that has rows."""
    # What people typed is escaped first: a sentence is put into the reader's language later.
    report = _escaped(report)
    return joined("\n", [*_summary(report), *_tables(report), ""])


def _summary(report: Document) -> list[str]:
    calls, jobs, people = report["calls"], report["jobs"], report["people"]
    promises = report["promises"]
    counts = {"calls": calls["total"], "connected": calls["connected"], "minutes": calls["minutes"]}
    rate = {"rate": _percent(people["contact_rate"]), "meaning": CONTACT_RATE}
    costs = {"cost": _cost(calls["cost"]), "each": _cost(calls["cost_per_success"])}
    each = _each_person(calls["charged"])
    return [
        say("# Campaign report: {scope}", scope=scope_text(report) or say("all batches")),
        "",
        say("As of {time}. {zones}", time=report["at"], zones=zone_text(report)),
        "",
        say("- **People**: {called} called, {reached} reached", **people),
        say("- **Contact rate**: {rate} ({meaning})", **rate),
        say("- **Jobs**: {jobs} ({statuses})", jobs=jobs["total"], statuses=_listed(jobs["by_status"])),
        *_on_list(report["jobs_on_do_not_call_list"]),
        say("- **Calls**: {calls}, {connected} connected, {minutes:.1f} minutes", **counts),
        say("- **Answered by**: a person {by_person}, a machine {by_machine}", **calls),
        say("- **Machines found by Retell's later analysis**: {machines_found_later}", **calls),
        say(
            "- **Success rate**: {rate} ({calls})",
            rate=_percent(calls["success_rate"]),
            calls=say_n("{count} call", "{count} calls", calls["successful"]),
        ),
        say("- **Cost at Retell**: {cost}, {each} each success", **costs),
        say("- **Charged to accounts**: {charged}", charged=_charged(calls["charged"]) or say("nothing")),
        *([say("- **Charged for each person reached**: {each}", each=each)] if each else []),
        say("- **Debt**: {amounts}", amounts=_amounts(report["debt"])),
        say(
            "- **Promises to pay**: {jobs}, {amounts} altogether",
            jobs=promises["jobs"],
            amounts=_amounts(promises),
        ),
        say("- **Recovered**: {amounts}", amounts=_amounts(report["recovered"])),
    ]


def _tables(report: Document) -> list[str]:
    calls = report["calls"]
    answered = (say("Calls"), say("By a person"), say("Successful"), say("Success rate"))
    return [
        *_section(
            say("Calls by outcome"),
            (say("Outcome"), say("Calls"), say("Share")),
            [
                (_as_words(name), count, _percent(count / calls["total"]))
                for name, count in calls["by_outcome"].items()
            ],
        ),
        *_section(
            say("By day"),
            (
                *(say("Day"), say("Calls"), say("People called"), say("People reached")),
                *(say("Contact rate"), say("Minutes"), say("Charged"), say("Promised"), say("Recovered")),
            ),
            [_day_row(row) for row in report["days"]],
        ),
        *_section(
            say("By hour of the day"),
            (say("Hour"), *answered),
            [_rated_row(f"{row['hour']:02d}:00", row) for row in report["hours"]],
        ),
        *_section(
            say("By attempt"),
            (say("Attempt"), *answered),
            [_rated_row(row["attempt"], row) for row in report["attempts"]],
        ),
        *_section(
            say("By agent and number"),
            (say("Agent"), say("Version"), say("From"), *answered, say("Minutes")),
            [_agent_row(row) for row in report["agents"]],
        ),
        *_section(
            say("By batch"),
            (
                *(say("Batch"), say("Name"), say("Jobs"), *answered, say("Minutes")),
                *(say("Cost at Retell"), say("Charged")),
            ),
            [_batch_row(row) for row in report["batches"]],
        ),
        *_section(
            say("Sentiment of the conversations, by Retell"),
            (say("Sentiment"), say("Calls")),
            [(say(name), count) for name, count in report["analyses"]["by_sentiment"].items()],
        ),
        *_section(
            say("Promises to pay"),
            (say("Day"), say("Jobs")),
            [(row["day"] or say("unknown"), row["jobs"]) for row in report["promises"]["by_day"]],
        ),
    ]


def _on_list(jobs: int) -> list[str]:
    counted = say_n("{count} job", "{count} jobs", jobs)
    return [say("- **Cancelled by the do-not-call list**: {jobs}", jobs=counted)] if jobs else []


def _section(title: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A heading and a table, or nothing without rows."""
    if not rows:
        return []
    lines = [names, ["---"] * len(names), *rows]
    return ["", joined("", ("## ", title)), "", *map(_line, lines)]


def _line(values: Sequence[object]) -> str:
    texts = (value if isinstance(value, str) else str(value) for value in values)
    return joined("", ("| ", joined(" | ", texts), " |"))


def _day_row(row: Document) -> tuple[object, ...]:
    people = row["people"]
    return (
        row["day"],
        row["calls"],
        people["called"],
        people["reached"],
        _percent(people["contact_rate"]),
        _minutes(row),
        _charged(row["charged"]) or "-",
        sums_by_currency(row["promised"]["by_currency"], "amount") or "-",
        sums_by_currency(row["recovered"]["by_currency"], "amount") or "-",
    )


def _rated_row(name: object, row: Document) -> tuple[object, ...]:
    return (name, row["calls"], row["by_person"], row["successful"], _percent(row["success_rate"]))


def _agent_row(row: Document) -> tuple[object, ...]:
    version = "-" if row["version"] is None else row["version"]
    _, *rated = _rated_row("", row)
    return (row["agent_id"], version, row["from_number"] or "-", *rated, _minutes(row))


def _batch_row(row: Document) -> tuple[object, ...]:
    _, *rated = _rated_row("", row)
    return (
        row["batch_id"] or say("(none)"),
        row["name"] or "",
        row["jobs"],
        *rated,
        _minutes(row),
        _cost(row["cost"]),
        _charged(row["charged"]) or "-",
    )


def _as_words(code: str) -> str:
    """An outcome or status as words: ``no answer``."""
    return say(code.replace("_", " "))


def _percent(rate: float | None) -> str:
    return "-" if rate is None else say("{rate:.1%}", rate=rate)


def _minutes(row: Document) -> str:
    return say("{minutes:.1f}", minutes=row["minutes"])


def _cost(amount: float | None) -> str:
    """What Retell wants for calls."""
    return "-" if amount is None else money(amount, RETELL_CURRENCY)


def _charged(charged: Document) -> str:
    """What accounts were charged: ``12.5 minutes, 9,000 CLP``."""
    amount = plain_amount(charged["minutes"])
    minutes = [say("{plain_amount} minutes", plain_amount=amount)] if charged["minutes"] else []
    return joined(", ", [*minutes, *filter(None, [sums_by_currency(charged["by_currency"])])])


def _each_person(charged: Document) -> str:
    rows = [row for row in charged["by_currency"] if row["per_person_reached"] is not None]
    return sums_by_currency(rows, "per_person_reached")


def _amounts(sums: Document) -> str:
    return sums_by_currency(sums["by_currency"], "amount") or say("{amount:,.2f}", amount=0)


def _listed(counts: Mapping[str, int]) -> str:
    words = (
        say_n(f"{{count}} {_plain(name)}", f"{{count}} {_plain(name)}", count)
        for name, count in counts.items()
    )
    return joined(", ", words) or say("none")


def _plain(code: str) -> str:
    """A status as words, without what a sentence's placeholders are made of."""
    return re.sub("[{}]", "", code.replace("_", " "))


def _escaped(value: Any) -> Any:
    """All texts without markup: names come from people, and must not end a table."""
    if isinstance(value, Mapping):
        return {_escaped(name): _escaped(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_escaped(part) for part in value]
    if isinstance(value, str):
        return cells.one_line(re.sub(r"([\\`*\[\]<>|])", r"\\\1", cells.clean(value)))
    return value
