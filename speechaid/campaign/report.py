"""The report of a campaign, pure: ``report_reading`` counts, ``shape`` shapes, ``report_markdown`` formats.

Results of SpeechAI have no outcome: they count as ``unrecorded``, with their minutes and Retell's price.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from speechaid.campaign.report_reading import (
    MICRO,
    UNRECORDED,
    AmountSums,
    CallKey,
    PeopleCounts,
    Promise,
    ReportReading,
    Scope,
    Sums,
    promised_amount,
    promised_day,
)
from speechaid.model.reading import Document
from speechaid.model.states import (
    NO_CALL_OUTCOMES,
    STATUS_ALIASES,
    SUCCESSFUL_OUTCOMES,
    AnsweredBy,
    JobStatus,
    Outcome,
)
from speechaid.protocol.money import PLACES

#: The calls of one row of a table.
Calls = list[tuple[CallKey, Sums]]
_Key = TypeVar("_Key", bound=Hashable)


def shape(found: ReportReading, names: Mapping[str, str | None] | None = None) -> Document:
    """The report, JSON-compatible: money in currency units; rates from 0 to 1, or None without calls.

    Args:
        found: after ``finish``.
        names: of batches, by their ids.
    """
    calls: Calls = list(found.calls.items())
    jobs: Counter[str] = Counter()
    for counts in found.jobs.values():
        jobs.update(_by_status(counts))
    return {
        "at": found.scope.at.isoformat(),
        **_scope(found),
        "jobs": {"total": sum(jobs.values()), "by_status": _ordered(jobs, JobStatus)},
        "jobs_on_do_not_call_list": found.jobs_on_list,
        "kept_back": [{"rule": rule, "jobs": jobs} for rule, jobs in sorted(found.kept_back.items())],
        "people": _people(found.people.values()),
        "calls": _totals(found.scope, calls) | {"charged": _charged(found, calls)},
        "debt": _amounts(found.debt),
        "promises": _promises(found.latest_promises()),
        "recovered": _amounts(found.recovered),
        "days": _days(found, calls),
        "hours": _hours(calls),
        "attempts": _attempts(calls),
        "agents": _agents(calls),
        "analyses": _analyses(found),
        "batches": _batches(found, calls, names or {}),
    }


def _scope(found: ReportReading) -> Document:
    """What the report is about, and in which zones its days and hours are."""
    scope, zones = found.scope, found.zones
    ends = [scope.days.days_in(facts.zone, scope.at) for facts in (scope.default, *scope.accounts.values())]
    if scope.account_id is not None or scope.batch_id is not None:
        ends = ends[:1]
    firsts, lasts = zip(*ends, strict=True)
    return {
        "timezone": next(iter(zones)) if len(zones) == 1 else scope.default.zone.key,
        "timezones": [{"timezone": zone, "accounts": accounts} for zone, accounts in zones.items()],
        "from": None if firsts[0] is None else min(firsts).isoformat(),
        "to": None if lasts[0] is None else max(lasts).isoformat(),
        "batch_id": scope.batch_id,
        "account_id": scope.account_id,
        "agent": scope.agent,
        "from_number": scope.from_number,
        "number": scope.number,
        "is_of_calls": scope.is_of_calls,
    }


def _people(counts: Iterable[PeopleCounts]) -> Document:
    """How many people were called and reached, and the contact rate: the share that was reached."""
    called: set[int] = set()
    reached: set[int] = set()
    for count in counts:
        called |= count.called
        reached |= count.reached
    return {
        "called": len(called),
        "reached": len(reached),
        "contact_rate": round(len(reached) / len(called), 4) if called else None,
    }


def _totals(scope: Scope, calls: Calls) -> Document:
    outcomes = _outcomes(calls)
    sums = _sum(calls)
    answered = _answered(calls)
    successes = sum(outcomes[name] for name in SUCCESSFUL_OUTCOMES)
    cost = _units(sums.cost)
    return {
        "total": sums.calls,
        "connected": sums.connected,
        "by_person": answered[AnsweredBy.PERSON],
        "by_machine": answered[AnsweredBy.MACHINE],
        "machines_found_later": sum(sums.calls for key, sums in calls if key.found_later),
        **_rate(outcomes),
        "by_outcome": _ordered(outcomes, [*Outcome, UNRECORDED]),
        "seconds": sums.duration_ms / 1000,
        "minutes": round(sums.duration_ms / 60_000, 2),
        "cost": cost,
        "cost_per_success": round(cost / successes, PLACES) if successes else None,
        "charged": {
            "minutes": _units(sums.charged_minutes),
            "credit": _units(sums.charged_credit),
            "by_currency": _credit(scope, calls),
        },
    }


def _charged(found: ReportReading, calls: Calls) -> Document:
    """What accounts were charged: for each currency the credit, altogether and for each person reached."""
    sums = _sum(calls)
    by_currency = _credit(found.scope, calls)
    for row in by_currency:
        reached = len(found.people[row["currency"]].reached)
        row["people_reached"] = reached
        row["per_person_reached"] = round(row["credit"] / reached, PLACES) if reached else None
    return {
        "minutes": _units(sums.charged_minutes),
        "credit": _units(sums.charged_credit),
        "by_currency": by_currency,
    }


def _credit(scope: Scope, calls: Calls) -> list[Document]:
    """The credit that accounts were charged, one sum for each currency."""
    credit: defaultdict[str | None, int] = defaultdict(int)
    for key, sums in calls:
        if sums.charged_credit:
            credit[scope.facts_of(key.account_id).currency] += sums.charged_credit
    return [{"currency": code, "credit": _units(credit[code])} for code in _by_code(credit)]


def _rate(outcomes: Mapping[str, int]) -> Document:
    """Successes, and their share of the calls with a rated outcome."""
    successes = sum(outcomes.get(name, 0) for name in SUCCESSFUL_OUTCOMES)
    rated = sum(
        count for name, count in outcomes.items() if name not in NO_CALL_OUTCOMES and name != UNRECORDED
    )
    return {"successful": successes, "success_rate": round(successes / rated, 4) if rated else None}


def _row(calls: Calls) -> Document:
    """The figures that every table has."""
    outcomes = _outcomes(calls)
    return {
        "calls": sum(outcomes.values()),
        "by_person": _answered(calls)[AnsweredBy.PERSON],
        **_rate(outcomes),
    }


def _days(found: ReportReading, calls: Calls) -> list[Document]:
    """One row for each day, in the zone of each account, on which something happened."""
    by_day = _grouped(calls, lambda key: key.day)
    promises = found.promises_by_day()
    rows = []
    for day in sorted((by_day.keys() | found.recovered_by_day.keys()) - {None}, key=str):
        assert day is not None  # noqa: S101
        of_day = by_day.get(day, [])
        sums = _sum(of_day)
        rows.append(
            {
                "day": day.isoformat(),
                **_row(of_day),
                "connected": sums.connected,
                "people": _people([found.people_by_day.get(day, PeopleCounts())]),
                "seconds": sums.duration_ms / 1000,
                "minutes": round(sums.duration_ms / 60_000, 2),
                "cost": _units(sums.cost),
                "charged": {
                    "minutes": _units(sums.charged_minutes),
                    "by_currency": _credit(found.scope, of_day),
                },
                "promised": _amounts(_amount_sums(promises.get(day, []))),
                "recovered": _amounts(found.recovered_by_day.get(day, AmountSums())),
            }
        )
    return rows


def _hours(calls: Calls) -> list[Document]:
    """Calls by hour of the day, in the zone of each account."""
    return [
        {"hour": hour, **_row(rows)}
        for hour, rows in sorted(_grouped(calls, lambda key: key.hour).items(), key=_none_last)
        if hour is not None
    ]


def _attempts(calls: Calls) -> list[Document]:
    return [
        {"attempt": attempt, **_row(rows)}
        for attempt, rows in sorted(_grouped(calls, lambda key: key.attempt).items(), key=_none_last)
        if attempt is not None
    ]


def _agents(calls: Calls) -> list[Document]:
    """Calls by agent, version and calling number, those with the most first; without calls of no agent."""
    grouped = _grouped(
        [row for row in calls if row[0].agent_id is not None],
        lambda key: (key.agent_id or "", key.agent_version, key.from_number),
    )
    shaped = [
        {
            "agent_id": agent_id,
            "version": version,
            "from_number": from_number,
            **_row(rows),
            "minutes": round(_sum(rows).duration_ms / 60_000, 2),
        }
        for (agent_id, version, from_number), rows in grouped.items()
    ]
    return sorted(shaped, key=lambda row: (-row["calls"], row["agent_id"], str(row["version"])))


def _promises(promises: Iterable[Promise]) -> Document:
    """Number, amounts and days of promises, as far as the agent's texts can be read.

    One sum for each currency: ``amount`` is that of the only one, and None where there are several.
    """
    promises = list(promises)
    sums = _amounts(_amount_sums(promises))
    days = Counter(promised_day(promise) for promise in promises)
    several = len(sums["by_currency"]) > 1
    return {
        "jobs": len(promises),
        "amount": None if several else sum(row["amount"] for row in sums["by_currency"]),
        "by_currency": sums["by_currency"],
        "jobs_without_amount": sums["jobs_without_amount"],
        "by_day": [
            {"day": None if day is None else day.isoformat(), "jobs": jobs}
            for day, jobs in sorted(days.items(), key=lambda item: str(item[0] or ""))
        ],
    }


def _amount_sums(promises: Iterable[Promise]) -> AmountSums:
    sums = AmountSums()
    for promise in promises:
        sums.add(promised_amount(promise))
    return sums


def _amounts(sums: AmountSums) -> Document:
    """Amounts by currency, to two decimals, with the jobs that have one."""
    return {
        "jobs": sums.counts.total() + sums.without_amount,
        "by_currency": [
            {"currency": code, "amount": round(_units(sums.sums[code]), 2), "jobs": sums.counts[code]}
            for code in _by_code(sums.sums)
        ],
        "jobs_without_amount": sums.without_amount,
    }


def _analyses(found: ReportReading) -> Document:
    """Retell's analyses: how many there are, are successful and are due, and their sentiment."""
    sentiments: Counter[str] = Counter()
    analysed, successful, waiting = 0, 0, 0
    for (sentiment, is_successful, is_analysed, waits), count in found.analyses.items():
        if is_analysed:
            analysed += count
            successful += count if is_successful else 0
            sentiments[sentiment or "not told"] += count
        elif waits:
            waiting += count
    return {
        "calls": analysed,
        "successful": successful,
        "waiting": waiting,
        "by_sentiment": dict(sorted(sentiments.items(), key=lambda item: (-item[1], item[0]))),
    }


def _batches(found: ReportReading, calls: Calls, names: Mapping[str, str | None]) -> list[Document]:
    """One row for each batch, those with the most calls first."""
    rows = _grouped(calls, lambda key: key.batch_id)
    shaped = []
    for batch_id in rows.keys() | found.jobs.keys():
        statuses = _by_status(found.jobs.get(batch_id, {}))
        of_batch = _totals(found.scope, rows.get(batch_id, []))
        shaped.append(
            {
                "batch_id": batch_id,
                "name": names.get(batch_id) if batch_id else None,
                "jobs": sum(statuses.values()),
                "jobs_by_status": _ordered(statuses, JobStatus),
                "calls": of_batch["total"],
                **{
                    name: of_batch[name]
                    for name in (
                        *("by_person", "successful", "success_rate", "minutes", "cost", "cost_per_success"),
                        "charged",
                    )
                },
            }
        )
    return sorted(shaped, key=lambda row: (-row["calls"], -row["jobs"], str(row["batch_id"])))


def _sum(calls: Calls) -> Sums:
    total = Sums()
    for _, sums in calls:
        for name in Sums.__slots__:
            setattr(total, name, getattr(total, name) + getattr(sums, name))
    return total


def _outcomes(calls: Calls) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for key, sums in calls:
        outcomes[key.outcome] += sums.calls
    return outcomes


def _answered(calls: Calls) -> Counter[AnsweredBy]:
    answered: Counter[AnsweredBy] = Counter()
    for key, sums in calls:
        answered[key.answered_by] += sums.calls
    return answered


def _grouped(calls: Calls, name: Callable[[CallKey], _Key]) -> dict[_Key, Calls]:
    groups: dict[_Key, Calls] = {}
    for key, sums in calls:
        groups.setdefault(name(key), []).append((key, sums))
    return groups


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


def _by_code(sums: Mapping[str | None, int]) -> list[str | None]:
    return sorted(sums, key=lambda code: code or "")


def _units(millionths: int) -> float:
    return millionths / MICRO


def _none_last(item: tuple[Any, object]) -> tuple[bool, Any]:
    return item[0] is None, item[0] or 0
