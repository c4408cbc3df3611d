"""The report of a campaign, pure: ``store.report_queries`` counts, ``shape`` shapes, ``to_markdown`` formats.

Results of SpeechAI have no outcome: they count as ``unrecorded``, with their minutes and Retell's price.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from speechaid.campaign import cells
from speechaid.campaign.amounts import promised_sum
from speechaid.campaign.dates import day_or_none
from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import (
    NO_CALL_OUTCOMES,
    STATUS_ALIASES,
    SUCCESSFUL_OUTCOMES,
    JobStatus,
    Outcome,
)
from speechaid.protocol.money import PLACES, RETELL_CURRENCY, money, plain_amount, sums_by_currency
from speechaid.protocol.text import plural
from speechaid.rules.currencies import OF_COUNTRY
from speechaid.store.report_queries import ReportFigures

#: A result without an outcome.
UNRECORDED: Final = "unrecorded"


def shape(figures: ReportFigures) -> Document:
    """The report, JSON-compatible: money in currency units; rates from 0 to 1, or None without calls."""
    calls = _totals(figures.outcomes)
    calls["charged"]["by_currency"] = _charged_by_currency(figures)
    jobs: Counter[str] = Counter()
    for counts in figures.jobs.values():
        jobs.update(_by_status(counts))
    return {
        "at": figures.at.isoformat(),
        "timezone": figures.zone,
        "batch_id": figures.batch_id,
        "jobs": {"total": sum(jobs.values()), "by_status": _ordered(jobs, JobStatus)},
        "jobs_on_do_not_call_list": figures.jobs_on_list,
        "calls": calls,
        "attempts": _attempts(figures.attempts),
        "hours": _hours(figures.hours, figures.zone),
        "agents": _agents(figures.agents),
        "promises": _promises(figures.promises, figures.country or ""),
        "analyses": _analyses(figures.analyses),
        "batches": _batches(figures),
    }


def to_markdown(report: Document) -> str:
    """The shaped report as Markdown."""
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
            *_on_list(report["jobs_on_do_not_call_list"]),
            f"- **Calls**: {calls['total']}, {calls['connected']} connected, {calls['minutes']:.1f} minutes",
            f"- **Success rate**: {_percent(calls['success_rate'])} ({plural(calls['successful'], 'call')})",
            f"- **Cost at Retell**: {_cost(calls['cost'])}, {_cost(calls['cost_per_success'])} each success",
            f"- **Charged to accounts**: {_charged(charged) or 'nothing'}",
            f"- **Promises to pay**: {promises['jobs']}, {_sums(promises)} altogether",
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
                "By agent and number",
                ("Agent", "Version", "From", "Calls", "Successful", "Rate", "Minutes"),
                [_agent_row(row) for row in report["agents"]],
            ),
            *_section(
                "By batch",
                ("Batch", "Name", "Jobs", "Calls", "Successful", "Rate", "Minutes", "Cost"),
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


def _rated_row(name: object, row: Document) -> tuple[object, ...]:
    return (name, row["calls"], row["successful"], _percent(row["success_rate"]))


def _agent_row(row: Document) -> tuple[object, ...]:
    version = "-" if row["version"] is None else row["version"]
    _, *rated = _rated_row("", row)
    return (row["agent_id"], version, row["from_number"] or "-", *rated, f"{row['minutes']:.1f}")


def _batch_row(row: Document) -> tuple[object, ...]:
    return (
        row["batch_id"] or "(none)",
        row["name"] or "",
        row["jobs"],
        row["calls"],
        row["successful"],
        _percent(row["success_rate"]),
        f"{row['minutes']:.1f}",
        _cost(row["cost"]),
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


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _escaped(value: object) -> str:
    """A cell without markup: names come from people, and must not end the table."""
    return cells.one_line(re.sub(r"([\\`*\[\]<>|])", r"\\\1", cells.clean(str(value))))


def _totals(rows: Iterable[Document]) -> Document:
    """Totals of rows of ``outcomes_pipeline``."""
    outcomes: Counter[str] = Counter()
    sums: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        outcome = _outcome_of(row)
        outcomes[outcome] += int(row["calls"])
        for name in ("connected", "duration_ms", "charged_minutes", "charged_credit"):
            sums[name] += _number(row, name)
        recorded = outcome != UNRECORDED
        sums["cost"] += _number(row, "cost") if recorded else _number(row, "retell_cents") / 100
    successes = sum(outcomes[name] for name in SUCCESSFUL_OUTCOMES)
    cost = round(sums["cost"], PLACES)
    return {
        "total": sum(outcomes.values()),
        "connected": int(sums["connected"]),
        **_rate(outcomes),
        "by_outcome": _ordered(outcomes, [*Outcome, UNRECORDED]),
        "minutes": round(sums["duration_ms"] / 60_000, 2),
        "cost": cost,
        "cost_per_success": round(cost / successes, PLACES) if successes else None,
        "charged": {
            "minutes": round(sums["charged_minutes"], 2),
            "credit": round(sums["charged_credit"], PLACES),
        },
    }


def _charged_by_currency(figures: ReportFigures) -> list[Document]:
    """The credit that accounts were charged, one sum for each currency."""
    sums: defaultdict[str | None, float] = defaultdict(float)
    for row in figures.outcomes:
        credit = _number(row, "charged_credit")
        if credit:
            sums[figures.currencies.get(reading.text(row["_id"].get("account_id")) or "")] += credit
    return [
        {"currency": code, "credit": round(sums[code], PLACES)}
        for code in sorted(sums, key=lambda code: code or "")
    ]


def _rate(outcomes: Mapping[str, int]) -> Document:
    """Successes, and their share of the calls with a rated outcome."""
    successes = sum(outcomes.get(name, 0) for name in SUCCESSFUL_OUTCOMES)
    rated = sum(
        count for name, count in outcomes.items() if name not in NO_CALL_OUTCOMES and name != UNRECORDED
    )
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
    """Calls by hour of the day in the zone."""
    counted: dict[int, Counter[str]] = {}
    timezone = ZoneInfo(zone)
    for row in rows:
        moment = reading.instant(f"{row['_id'].get('hour')}+00:00")
        if moment is None:
            continue
        minute = 30 if row["_id"].get("half") else 0
        hour = moment.replace(minute=minute).astimezone(timezone).hour
        counted.setdefault(hour, Counter())[_outcome_of(row)] += int(row["calls"])
    return [
        {"hour": hour, "calls": sum(outcomes.values()), **_rate(outcomes)}
        for hour, outcomes in sorted(counted.items())
    ]


def _agents(rows: Iterable[Document]) -> list[Document]:
    """Calls by agent, version and calling number, those with the most first."""
    counted: dict[tuple[str, int | None, str | None], Counter[str]] = {}
    spoken: defaultdict[tuple[str, int | None, str | None], float] = defaultdict(float)
    for row in rows:
        version = reading.number(row["_id"].get("agent_version"))
        agent = reading.text(row["_id"].get("agent_id")) or ""
        key = (agent, None if version is None else int(version), reading.text(row["_id"].get("from_number")))
        counted.setdefault(key, Counter())[_outcome_of(row)] += int(row["calls"])
        spoken[key] += _number(row, "duration_ms")
    shaped = [
        {
            **dict(zip(("agent_id", "version", "from_number"), key, strict=True)),
            "calls": sum(outcomes.values()),
            **_rate(outcomes),
            "minutes": round(spoken[key] / 60_000, 2),
        }
        for key, outcomes in counted.items()
    ]
    return sorted(shaped, key=lambda row: (-row["calls"], row["agent_id"], str(row["version"])))


def _sums(promises: Document) -> str:
    return sums_by_currency(promises["by_currency"], "amount") or "0.00"


def _promises(rows: Iterable[Document], country: str) -> Document:
    """Number, amounts and days of promises, as far as the agent's texts can be read.

    One sum for each currency: ``amount`` is that of the only one, and None where there are several.
    """
    jobs, without_amount = 0, 0
    own = OF_COUNTRY.get(country.upper())
    sums: defaultdict[str | None, float] = defaultdict(float)
    jobs_of: Counter[str | None] = Counter()
    days: Counter[str] = Counter()
    for row in rows:
        count = int(row["jobs"])
        jobs += count
        currency = reading.text(row["_id"].get("currency")) or own
        promised = promised_sum(row["_id"].get("amount"), currency)
        if promised is None:
            without_amount += count
        else:
            sums[promised.currency] += promised.value * count
            jobs_of[promised.currency] += count
        day = day_or_none(cells.clean(row["_id"].get("day")))
        days[day.isoformat() if day else ""] += count
    return {
        "jobs": jobs,
        "amount": round(sum(sums.values()), 2) if len(sums) <= 1 else None,
        "by_currency": [
            {"currency": code, "amount": round(sums[code], 2), "jobs": jobs_of[code]}
            for code in sorted(sums, key=lambda code: code or "")
        ],
        "jobs_without_amount": without_amount,
        "by_day": [{"day": day or None, "jobs": count} for day, count in sorted(days.items())],
    }


def _analyses(rows: Iterable[Document]) -> Document:
    """Retell's analyses: how many there are, are successful and are due, and their sentiment."""
    sentiments: Counter[str] = Counter()
    analysed, successful, waiting = 0, 0, 0
    for row in rows:
        count, key = int(row["calls"]), row["_id"]
        if key.get("analysed"):
            analysed += count
            successful += count if key.get("successful") is True else 0
            sentiments[reading.text(key.get("sentiment")) or "not told"] += count
        elif key.get("waiting"):
            waiting += count
    return {
        "calls": analysed,
        "successful": successful,
        "waiting": waiting,
        "by_sentiment": dict(sorted(sentiments.items(), key=lambda item: (-item[1], item[0]))),
    }


def _batches(figures: ReportFigures) -> list[Document]:
    """One row for each batch, those with the most calls first."""
    rows: dict[str | None, list[Document]] = {}
    for row in figures.outcomes:
        rows.setdefault(reading.text(row["_id"].get("batch_id")), []).append(row)
    shaped = []
    for batch_id in rows.keys() | figures.jobs.keys():
        statuses = _by_status(figures.jobs.get(batch_id, {}))
        calls = _totals(rows.get(batch_id, []))
        shaped.append(
            {
                "batch_id": batch_id,
                "name": figures.names.get(batch_id) if batch_id else None,
                "jobs": sum(statuses.values()),
                "jobs_by_status": _ordered(statuses, JobStatus),
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
    for status, count in counts.items():
        statuses[str(STATUS_ALIASES.get(status, status))] += count
    return statuses


def _ordered(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """The counts above zero, in the order of ``names``, then those of other names."""
    known = [str(name) for name in names]
    others = sorted(set(counts) - set(known))
    return {name: counts[name] for name in [*known, *others] if counts.get(name)}


def _outcome_of(row: Document) -> str:
    return reading.text(row["_id"].get("outcome")) or UNRECORDED


def _number(row: Document, name: str) -> float:
    return reading.number(row.get(name)) or 0.0
