"""The shaped report as Markdown; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from speechaid.campaign import cells
from speechaid.model.reading import Document
from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechaid.protocol.report_text import CONTACT_RATE, scope_text, zone_text
from speechaid.protocol.text import plural

_ANSWERED: Final = ("Calls", "By a person", "Successful", "Success rate")


def to_markdown(report: Document) -> str:
    """The report with a table for each part that has rows."""
    calls, jobs, people = report["calls"], report["jobs"], report["people"]
    charged, promises = calls["charged"], report["promises"]
    return "\n".join(
        [
            f"# Campaign report: {_escaped(scope_text(report) or 'all batches')}",
            "",
            f"As of {report['at']}. {_escaped(zone_text(report))}",
            "",
            f"- **People**: {people['called']} called, {people['reached']} reached",
            f"- **Contact rate**: {_percent(people['contact_rate'])} ({CONTACT_RATE})",
            f"- **Jobs**: {jobs['total']} ({_listed(jobs['by_status'])})",
            *_on_list(report["jobs_on_do_not_call_list"]),
            f"- **Calls**: {calls['total']}, {calls['connected']} connected, {calls['minutes']:.1f} minutes",
            f"- **Answered by**: a person {calls['by_person']}, a machine {calls['by_machine']}",
            f"- **Machines found by Retell's later analysis**: {calls['machines_found_later']}",
            f"- **Success rate**: {_percent(calls['success_rate'])} ({plural(calls['successful'], 'call')})",
            f"- **Cost at Retell**: {_cost(calls['cost'])}, {_cost(calls['cost_per_success'])} each success",
            f"- **Charged to accounts**: {_charged(charged) or 'nothing'}",
            *([f"- **Charged for each person reached**: {each}"] if (each := _each_person(charged)) else []),
            f"- **Debt**: {_amounts(report['debt'])}",
            f"- **Promises to pay**: {promises['jobs']}, {_amounts(promises)} altogether",
            f"- **Recovered**: {_amounts(report['recovered'])}",
            *_section(
                "Calls by outcome",
                ("Outcome", "Calls", "Share"),
                [
                    (name, count, _percent(count / calls["total"]))
                    for name, count in calls["by_outcome"].items()
                ],
            ),
            *_section(
                "By day",
                (
                    *("Day", "Calls", "People called", "People reached", "Contact rate", "Minutes"),
                    *("Charged", "Promised", "Recovered"),
                ),
                [_day_row(row) for row in report["days"]],
            ),
            *_section(
                "By hour of the day",
                ("Hour", *_ANSWERED),
                [_rated_row(f"{row['hour']:02d}:00", row) for row in report["hours"]],
            ),
            *_section(
                "By attempt",
                ("Attempt", *_ANSWERED),
                [_rated_row(row["attempt"], row) for row in report["attempts"]],
            ),
            *_section(
                "By agent and number",
                ("Agent", "Version", "From", *_ANSWERED, "Minutes"),
                [_agent_row(row) for row in report["agents"]],
            ),
            *_section(
                "By batch",
                ("Batch", "Name", "Jobs", *_ANSWERED, "Minutes", "Cost at Retell", "Charged"),
                [_batch_row(row) for row in report["batches"]],
            ),
            *_section(
                "Sentiment of the conversations, by Retell",
                ("Sentiment", "Calls"),
                [(name, count) for name, count in report["analyses"]["by_sentiment"].items()],
            ),
            *_section(
                "Promises to pay",
                ("Day", "Jobs"),
                [(row["day"] or "unknown", row["jobs"]) for row in promises["by_day"]],
            ),
            "",
        ]
    )


def _on_list(jobs: int) -> list[str]:
    return [f"- **Cancelled by the do-not-call list**: {plural(jobs, 'job')}"] if jobs else []


def _section(title: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A heading and a table, or nothing without rows."""
    if not rows:
        return []
    lines = [names, ["---"] * len(names), *rows]
    return ["", f"## {title}", "", *("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)]


def _day_row(row: Document) -> tuple[object, ...]:
    people = row["people"]
    return (
        row["day"],
        row["calls"],
        people["called"],
        people["reached"],
        _percent(people["contact_rate"]),
        f"{row['minutes']:.1f}",
        _charged(row["charged"]) or "-",
        sums_by_currency(row["promised"]["by_currency"], "amount") or "-",
        sums_by_currency(row["recovered"]["by_currency"], "amount") or "-",
    )


def _rated_row(name: object, row: Document) -> tuple[object, ...]:
    return (name, row["calls"], row["by_person"], row["successful"], _percent(row["success_rate"]))


def _agent_row(row: Document) -> tuple[object, ...]:
    version = "-" if row["version"] is None else row["version"]
    _, *rated = _rated_row("", row)
    return (row["agent_id"], version, row["from_number"] or "-", *rated, f"{row['minutes']:.1f}")


def _batch_row(row: Document) -> tuple[object, ...]:
    _, *rated = _rated_row("", row)
    return (
        row["batch_id"] or "(none)",
        row["name"] or "",
        row["jobs"],
        *rated,
        f"{row['minutes']:.1f}",
        _cost(row["cost"]),
        _charged(row["charged"]) or "-",
    )


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"


def _cost(amount: float | None) -> str:
    """What Retell wants for calls."""
    return "-" if amount is None else money(amount, RETELL_CURRENCY)


def _charged(charged: Document) -> str:
    """What accounts were charged: ``12.5 minutes, 9,000 CLP``."""
    minutes = [f"{plain_amount(charged['minutes'])} minutes"] if charged["minutes"] else []
    return ", ".join([*minutes, *filter(None, [sums_by_currency(charged["by_currency"])])])


def _each_person(charged: Document) -> str:
    rows = [row for row in charged["by_currency"] if row["per_person_reached"] is not None]
    return sums_by_currency(rows, "per_person_reached")


def _amounts(sums: Document) -> str:
    return sums_by_currency(sums["by_currency"], "amount") or "0.00"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _escaped(value: object) -> str:
    """A cell without markup: names come from people, and must not end the table."""
    return cells.one_line(re.sub(r"([\\`*\[\]<>|])", r"\\\1", cells.clean(str(value))))
