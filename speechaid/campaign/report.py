"""What came of a campaign: figures counted by the database, shaped for programs and for people.

Pure: ``figures.gather`` asks the database, ``shape`` computes, ``to_markdown`` writes. Results that SpeechAI
left have no outcome: they are counted as ``unrecorded``, with their minutes and Retell's price.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.campaign import cells
from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import STATUS_ALIASES, JobStatus, Outcome
from speechaid.protocol.text import plural
from speechaid.store.report_queries import ReportFigures

#: The outcomes for which a job is done.
SUCCESSES: Final = frozenset({Outcome.ANSWERED, Outcome.CALLBACK_REQUESTED})
#: These say nothing about the people called, and stay out of rates.
NOT_RATED: Final = frozenset({Outcome.TEMPORARY, Outcome.NO_CREDIT, Outcome.BLOCKED})
#: A result without an outcome of ours.
UNRECORDED: Final = "unrecorded"


def shape(figures: ReportFigures) -> Document:
    """The report, fit for JSON: money in currency units, rates from 0 to 1 or None where nothing counts."""
    calls = _tally(figures.outcomes)
    jobs: Counter[str] = Counter()
    for counts in figures.jobs.values():
        jobs.update(_by_status(counts))
    return {
        "at": figures.at.isoformat(),
        "timezone": figures.zone,
        "batch_id": figures.batch_id,
        "jobs": {"total": sum(jobs.values()), "by_status": _in_order(jobs, JobStatus)},
        "calls": calls,
        "attempts": _attempts(figures.attempts),
        "hours": _hours(figures.hours, figures.zone),
        "promises": _promises(figures.promises),
        "analyses": _analyses(figures.analyses),
        "batches": _batches(figures),
    }


def to_markdown(report: Document) -> str:
    """The shaped report as one reads it."""
    calls, jobs, promises = report["calls"], report["jobs"], report["promises"]
    charged = calls["charged"]
    scope = report["batch_id"] or "all batches"
    return "\n".join(
        [
            f"# Campaign report: {_escaped(scope)}",
            "",
            f"As of {report['at']}; hours in {report['timezone']}.",
            "",
            f"- **Jobs**: {jobs['total']} ({_listed(jobs['by_status'])})",
            f"- **Calls**: {calls['total']}, {calls['connected']} connected, {calls['minutes']:.1f} minutes",
            f"- **Success rate**: {_percent(calls['success_rate'])} ({plural(calls['successful'], 'call')})",
            f"- **Cost**: {calls['cost']:.2f}, {_money(calls['cost_per_success'])} for each success",
            f"- **Charged**: {charged['minutes']:.1f} minutes, {charged['credit']:.2f} credit",
            f"- **Promises to pay**: {promises['jobs']}, {promises['amount']:.2f} altogether",
            *_section(
                "Calls by outcome",
                ("Outcome", "Calls", "Share"),
                [
                    (name, count, _percent(count / calls["total"]))
                    for name, count in calls["by_outcome"].items()
                ],
            ),
            *_section(
                "By attempt",
                ("Attempt", "Calls", "Successful", "Rate"),
                [_rated_row(row["attempt"], row) for row in report["attempts"]],
            ),
            *_section(
                "By hour of the day",
                ("Hour", "Calls", "Successful", "Rate"),
                [_rated_row(f"{row['hour']:02d}:00", row) for row in report["hours"]],
            ),
            *_section(
                "By batch",
                ("Batch", "Name", "Jobs", "Calls", "Successful", "Rate", "Minutes", "Cost"),
                [_batch_row(row) for row in report["batches"]],
            ),
            *_section(
                "What Retell made of the conversations",
                ("Mood", "Calls"),
                [(name, count) for name, count in report["analyses"]["by_sentiment"].items()],
            ),
            *_section(
                "Promises to pay",
                ("Day", "Jobs"),
                [(row["day"] or "not told", row["jobs"]) for row in promises["by_day"]],
            ),
            "",
        ]
    )


def _section(title: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A heading and a table; nothing where there are no rows."""
    if not rows:
        return []
    lines = [names, ["---"] * len(names), *rows]
    return ["", f"## {title}", "", *("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)]


def _rated_row(name: object, row: Document) -> tuple[object, ...]:
    return (name, row["calls"], row["successful"], _percent(row["success_rate"]))


def _batch_row(row: Document) -> tuple[object, ...]:
    return (
        row["batch_id"] or "(none)",
        row["name"] or "",
        row["jobs"],
        row["calls"],
        row["successful"],
        _percent(row["success_rate"]),
        f"{row['minutes']:.1f}",
        f"{row['cost']:.2f}",
    )


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"


def _money(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:.2f}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _escaped(value: object) -> str:
    """Names come from people: no cell may end the table or begin markup of its own."""
    return cells.one_line(re.sub(r"([\\`*\[\]<>|])", r"\\\1", cells.clean(str(value))))


def _tally(rows: Iterable[Document]) -> Document:
    """Totals over rows of ``outcomes_pipeline``."""
    outcomes: Counter[str] = Counter()
    sums: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        outcome = _outcome_of(row)
        outcomes[outcome] += int(row["calls"])
        for name in ("connected", "duration_ms", "charged_minutes", "charged_credit"):
            sums[name] += _number(row, name)
        ours = outcome != UNRECORDED
        sums["cost"] += _number(row, "cost") if ours else _number(row, "retell_cents") / 100
    successes = sum(outcomes[name] for name in SUCCESSES)
    cost = round(sums["cost"], 4)
    return {
        "total": sum(outcomes.values()),
        "connected": int(sums["connected"]),
        **_rate(outcomes),
        "by_outcome": _in_order(outcomes, [*Outcome, UNRECORDED]),
        "minutes": round(sums["duration_ms"] / 60_000, 2),
        "cost": cost,
        "cost_per_success": round(cost / successes, 4) if successes else None,
        "charged": {
            "minutes": round(sums["charged_minutes"], 2),
            "credit": round(sums["charged_credit"], 4),
        },
    }


def _rate(outcomes: Mapping[str, int]) -> Document:
    """Successes, and their share of the calls that say anything about people."""
    successes = sum(outcomes.get(name, 0) for name in SUCCESSES)
    rated = sum(count for name, count in outcomes.items() if name not in NOT_RATED and name != UNRECORDED)
    return {"successful": successes, "success_rate": round(successes / rated, 4) if rated else None}


def _attempts(rows: Iterable[Document]) -> list[Document]:
    counted: dict[int, Counter[str]] = {}
    for row in rows:
        attempt = reading.number(row["_id"].get("attempt"))
        if attempt is not None:
            counted.setdefault(int(attempt) + 1, Counter())[_outcome_of(row)] += int(row["calls"])
    return [
        {"attempt": attempt, "calls": sum(outcomes.values()), **_rate(outcomes)}
        for attempt, outcomes in sorted(counted.items())
    ]


def _hours(rows: Iterable[Document], zone: str) -> list[Document]:
    """By hour of the day in the zone: when do people answer?"""
    counted: dict[int, Counter[str]] = {}
    place = ZoneInfo(zone)
    for row in rows:
        moment = reading.instant(f"{row['_id'].get('hour')}+00:00")
        if moment is None:
            continue
        minute = 30 if row["_id"].get("half") else 0
        hour = moment.replace(minute=minute).astimezone(place).hour
        counted.setdefault(hour, Counter())[_outcome_of(row)] += int(row["calls"])
    return [
        {"hour": hour, "calls": sum(outcomes.values()), **_rate(outcomes)}
        for hour, outcomes in sorted(counted.items())
    ]


def _promises(rows: Iterable[Document]) -> Document:
    """How many promised, how much, and for which days, as far as the agent's words can be read."""
    jobs, amount, unread = 0, 0.0, 0
    days: Counter[str] = Counter()
    for row in rows:
        count = int(row["jobs"])
        jobs += count
        sum_promised = cells.amount(row["_id"].get("amount"))
        if sum_promised is None:
            unread += count
        else:
            amount += sum_promised * count
        day = cells.day(cells.clean(row["_id"].get("day")), "")
        days[day.isoformat() if day else ""] += count
    return {
        "jobs": jobs,
        "amount": round(amount, 2),
        "jobs_without_amount": unread,
        "by_day": [{"day": day or None, "jobs": count} for day, count in sorted(days.items())],
    }


def _analyses(rows: Iterable[Document]) -> Document:
    """What Retell made of the conversations: how many it has analysed, in what mood they were."""
    moods: Counter[str] = Counter()
    analysed, successful, waiting = 0, 0, 0
    for row in rows:
        count, key = int(row["calls"]), row["_id"]
        if key.get("analysed"):
            analysed += count
            successful += count if key.get("successful") is True else 0
            moods[reading.text(key.get("sentiment")) or "not told"] += count
        elif key.get("waiting"):
            waiting += count
    return {
        "calls": analysed,
        "successful": successful,
        "waiting": waiting,
        "by_sentiment": dict(sorted(moods.items(), key=lambda mood: (-mood[1], mood[0]))),
    }


def _batches(figures: ReportFigures) -> list[Document]:
    """One row a batch, those with the most calls first."""
    rows: dict[str | None, list[Document]] = {}
    for row in figures.outcomes:
        rows.setdefault(reading.text(row["_id"].get("batch_id")), []).append(row)
    shaped = []
    for batch_id in rows.keys() | figures.jobs.keys():
        statuses = _by_status(figures.jobs.get(batch_id, {}))
        calls = _tally(rows.get(batch_id, []))
        shaped.append(
            {
                "batch_id": batch_id,
                "name": figures.names.get(batch_id) if batch_id else None,
                "jobs": sum(statuses.values()),
                "jobs_by_status": _in_order(statuses, JobStatus),
                "calls": calls["total"],
                **{
                    name: calls[name]
                    for name in ("successful", "success_rate", "minutes", "cost", "cost_per_success")
                },
            }
        )
    return sorted(shaped, key=lambda row: (-row["calls"], -row["jobs"], str(row["batch_id"])))


def _by_status(counts: Mapping[str, int]) -> Counter[str]:
    statuses: Counter[str] = Counter()
    for word, count in counts.items():
        statuses[str(STATUS_ALIASES.get(word, word))] += count
    return statuses


def _in_order(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """What is not zero, in the order of the names, then whatever has another name."""
    known = [str(name) for name in names]
    others = sorted(set(counts) - set(known))
    return {name: counts[name] for name in [*known, *others] if counts.get(name)}


def _outcome_of(row: Document) -> str:
    return reading.text(row["_id"].get("outcome")) or UNRECORDED


def _number(row: Document, name: str) -> float:
    return reading.number(row.get(name)) or 0.0
