"""A campaign report as the sheets of a workbook; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from speechaid.protocol.report_text import CONTACT_RATE, scope_text, zone_text
from speechaid.protocol.sheets import Share, Sheet, date_or_text, local_time
from speechaid.protocol.translation import N_, current_language, in_language, say

#: The titles of the columns of a table, by the names in the report.
_TITLES: Final[Mapping[str, str]] = {
    "calls": N_("Calls"),
    "by_person": N_("By a person"),
    "successful": N_("Successful"),
    "success_rate": N_("Success rate"),
    "attempt": N_("Attempt"),
    "agent_id": N_("Agent"),
    "version": N_("Version"),
    "from_number": N_("From"),
    "minutes": N_("Minutes"),
    "batch_id": N_("Batch"),
    "name": N_("Name"),
    "jobs": N_("Jobs"),
    "cost": N_("Cost at Retell (USD)"),
}
_RATED: Final = ("calls", "by_person", "successful", "success_rate")
_AGENT: Final = ("agent_id", "version", "from_number", *_RATED, "minutes")
_BATCH: Final = ("batch_id", "name", "jobs", *_RATED, "minutes", "cost")


def report_sheets(report: Mapping[str, Any]) -> list[Sheet]:
    """A report as tables, in the zones that it names; each currency has columns of its own."""
    calls, promises, zone = report["calls"], report["promises"], report["timezone"]
    hours = say("Hour") if len(report.get("timezones", ())) > 1 else say("Hour ({zone})", zone=zone)
    return [
        (say("Summary"), (say("Figure"), say("Value")), _summary(report)),
        (
            say("Outcomes"),
            (say("Outcome"), say("Calls")),
            [(say(name.replace("_", " ")), count) for name, count in calls["by_outcome"].items()],
        ),
        (say("Attempts"), _titles("attempt", *_RATED), _rows(report["attempts"], "attempt", *_RATED)),
        _days(report),
        (say("Hours"), (hours, *_titles(*_RATED)), _rows(report["hours"], "hour", *_RATED)),
        (say("Agents"), _titles(*_AGENT), _rows(report.get("agents", []), *_AGENT)),
        (say("Batches"), _titles(*_BATCH), _rows(report["batches"], *_BATCH)),
        (
            say("Promises by day"),
            (say("Day"), say("Jobs")),
            [(date_or_text(row["day"]), row["jobs"]) for row in promises["by_day"]],
        ),
    ]


def _summary(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    calls, jobs, promises, zone = report["calls"], report["jobs"], report["promises"], report["timezone"]
    return [
        (say("As of ({zone})", zone=zone), local_time(report["at"], zone)),
        (say("Report of"), scope_text(report) or say("all batches")),
        *([(say("Days and hours"), zone_text(report))] if "timezones" in report else []),
        (say("Batch"), report["batch_id"] or say("all")),
        *_people(report),
        (say("Jobs"), jobs["total"]),
        *(
            (say("Jobs {status}", status=say(name.replace("_", " "))), count)
            for name, count in jobs["by_status"].items()
        ),
        (say("Calls"), calls["total"]),
        (say("Connected"), calls["connected"]),
        (say("Successful"), calls["successful"]),
        (say("Success rate"), _share(calls["success_rate"])),
        (say("Minutes"), calls["minutes"]),
        (say("Cost at Retell (USD)"), calls["cost"]),
        (say("Cost per success (USD)"), calls["cost_per_success"]),
        (say("Charged minutes"), calls["charged"]["minutes"]),
        *_charged_credit(calls["charged"]),
        *_amounts(say("Debt"), report.get("debt")),
        (say("Promises to pay"), promises["jobs"]),
        *_promised(promises),
        *_amounts(say("Recovered"), report.get("recovered")),
    ]


def _people(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    """A daemon of an older version does not count people."""
    people, calls = report.get("people"), report["calls"]
    if people is None:
        return []
    return [
        (say("People called"), people["called"]),
        (say("People reached"), people["reached"]),
        (say("Contact rate"), _share(people["contact_rate"])),
        (say("The contact rate is"), in_language(CONTACT_RATE, current_language())),
        (say("Calls answered by a person"), calls["by_person"]),
        (say("Calls answered by a machine"), calls["by_machine"]),
        (say("Machines found by Retell's later analysis"), calls["machines_found_later"]),
    ]


def _days(report: Mapping[str, Any]) -> Sheet:
    """One row for each day; a daemon of an older version does not send them."""
    rows = report.get("days", [])
    charged = _currencies(row["charged"]["by_currency"] for row in rows)
    promised = _currencies(row["promised"]["by_currency"] for row in rows)
    recovered = _currencies(row["recovered"]["by_currency"] for row in rows)
    titles = [
        *(
            say("Day"),
            say("Calls"),
            say("By a person"),
            say("People called"),
            say("People reached"),
            say("Contact rate"),
            say("Minutes"),
        ),
        *(say("Cost at Retell (USD)"), say("Charged minutes")),
        *(_with_currency(say("Charged"), code) for code in charged),
        *(_with_currency(say("Promised"), code) for code in promised),
        *(_with_currency(say("Recovered"), code) for code in recovered),
    ]
    return (
        say("Days"),
        titles,
        [
            [
                *(date_or_text(row["day"]), row["calls"], row["by_person"]),
                *(row["people"]["called"], row["people"]["reached"], _share(row["people"]["contact_rate"])),
                *(row["minutes"], row["cost"], row["charged"]["minutes"]),
                *_sums(row["charged"]["by_currency"], "credit", charged),
                *_sums(row["promised"]["by_currency"], "amount", promised),
                *_sums(row["recovered"]["by_currency"], "amount", recovered),
            ]
            for row in rows
        ],
    )


def _currencies(tables: Iterable[Iterable[Mapping[str, Any]]]) -> list[str | None]:
    return sorted({row["currency"] for rows in tables for row in rows}, key=lambda code: code or "")


def _sums(rows: Iterable[Mapping[str, Any]], name: str, currencies: Sequence[str | None]) -> list[object]:
    found = {row["currency"]: row[name] for row in rows}
    return [found.get(code, 0) for code in currencies]


def _charged_credit(charged: Mapping[str, Any]) -> list[tuple[str, object]]:
    """For each currency the sum, and what a person reached has cost; an older daemon has one sum of all."""
    rows = charged.get("by_currency", [{**charged, "currency": None}])
    found: list[tuple[str, object]] = []
    for row in rows:
        found.append((_with_currency(say("Charged credit"), row["currency"]), row["credit"]))
        if row.get("per_person_reached") is not None:
            title = _with_currency(say("Charged for each person reached"), row["currency"])
            found.append((title, row["per_person_reached"]))
    return found or [(say("Charged credit"), 0)]


def _promised(promises: Mapping[str, Any]) -> list[tuple[str, object]]:
    """One sum for each currency; a daemon of an older version has one of all."""
    sums = promises.get("by_currency") or []
    if len(sums) > 1:
        return _amounts(say("Promised amount"), promises)
    currency = [(say("Promised currency"), row["currency"]) for row in sums if row["currency"]]
    return [(say("Promised amount"), promises["amount"]), *currency]


def _amounts(title: str, sums: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    rows = [] if sums is None else sums["by_currency"]
    found: list[tuple[str, object]] = [
        (_with_currency(title, row["currency"]), row["amount"]) for row in rows
    ]
    return found if found or sums is None else [(title, 0)]


def _with_currency(title: str, currency: str | None) -> str:
    return f"{title} ({currency})" if currency else title


def _in_words(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Counts by statuses or outcomes, as words."""
    return [(say(name.replace("_", " ")), count) for name, count in counts.items()]


def _titles(*names: str) -> tuple[str, ...]:
    return tuple(say(_TITLES[name]) for name in names)


def _rows(entries: Iterable[Mapping[str, Any]], *names: str) -> list[list[object]]:
    """Rows of these fields; one that a daemon of an older version does not send stays empty."""
    return [
        [_share(entry[name]) if name == "success_rate" else entry.get(name) for name in names]
        for entry in entries
    ]


def _share(rate: float | None) -> Share | None:
    return None if rate is None else Share(rate)
