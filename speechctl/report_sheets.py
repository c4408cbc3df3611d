"""A campaign report as the sheets of a workbook; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from speechaid.protocol.money import RETELL_CURRENCY
from speechaid.protocol.report_text import CONTACT_RATE, scope_text, zone_text
from speechctl.sheets import Share, Sheet, date_or_text, local_time

#: The titles of the columns of a table, by the names in the report.
_TITLES: Final[Mapping[str, str]] = {
    "calls": "Calls",
    "by_person": "By a person",
    "successful": "Successful",
    "success_rate": "Success rate",
    "attempt": "Attempt",
    "agent_id": "Agent",
    "version": "Version",
    "from_number": "From",
    "minutes": "Minutes",
    "batch_id": "Batch",
    "name": "Name",
    "jobs": "Jobs",
    "cost": f"Cost at Retell ({RETELL_CURRENCY})",
}
_RATED: Final = ("calls", "by_person", "successful", "success_rate")
_AGENT: Final = ("agent_id", "version", "from_number", *_RATED, "minutes")
_BATCH: Final = ("batch_id", "name", "jobs", *_RATED, "minutes", "cost")


def report_sheets(report: Mapping[str, Any]) -> list[Sheet]:
    """A report as tables, in the zones that it names; each currency has columns of its own."""
    calls, promises, zone = report["calls"], report["promises"], report["timezone"]
    hours = "Hour" if len(report.get("timezones", ())) > 1 else f"Hour ({zone})"
    return [
        ("Summary", ("Figure", "Value"), _summary(report)),
        ("Outcomes", ("Outcome", "Calls"), list(calls["by_outcome"].items())),
        ("Attempts", _titles("attempt", *_RATED), _rows(report["attempts"], "attempt", *_RATED)),
        _days(report),
        ("Hours", (hours, *_titles(*_RATED)), _rows(report["hours"], "hour", *_RATED)),
        ("Agents", _titles(*_AGENT), _rows(report.get("agents", []), *_AGENT)),
        ("Batches", _titles(*_BATCH), _rows(report["batches"], *_BATCH)),
        (
            "Promises by day",
            ("Day", "Jobs"),
            [(date_or_text(row["day"]), row["jobs"]) for row in promises["by_day"]],
        ),
    ]


def _summary(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    calls, jobs, promises, zone = report["calls"], report["jobs"], report["promises"], report["timezone"]
    return [
        (f"As of ({zone})", local_time(report["at"], zone)),
        ("Report of", scope_text(report) or "all batches"),
        *([("Days and hours", zone_text(report))] if "timezones" in report else []),
        ("Batch", report["batch_id"] or "all"),
        *_people(report),
        ("Jobs", jobs["total"]),
        *((f"Jobs {name}", count) for name, count in jobs["by_status"].items()),
        ("Calls", calls["total"]),
        ("Connected", calls["connected"]),
        ("Successful", calls["successful"]),
        ("Success rate", _share(calls["success_rate"])),
        ("Minutes", calls["minutes"]),
        (f"Cost at Retell ({RETELL_CURRENCY})", calls["cost"]),
        (f"Cost per success ({RETELL_CURRENCY})", calls["cost_per_success"]),
        ("Charged minutes", calls["charged"]["minutes"]),
        *_charged_credit(calls["charged"]),
        *_amounts("Debt", report.get("debt")),
        ("Promises to pay", promises["jobs"]),
        *_promised(promises),
        *_amounts("Recovered", report.get("recovered")),
    ]


def _people(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    """A daemon of an older version does not count people."""
    people, calls = report.get("people"), report["calls"]
    if people is None:
        return []
    return [
        ("People called", people["called"]),
        ("People reached", people["reached"]),
        ("Contact rate", _share(people["contact_rate"])),
        ("The contact rate is", CONTACT_RATE),
        ("Calls answered by a person", calls["by_person"]),
        ("Calls answered by a machine", calls["by_machine"]),
        ("Machines found by Retell's later analysis", calls["machines_found_later"]),
    ]


def _days(report: Mapping[str, Any]) -> Sheet:
    """One row for each day; a daemon of an older version does not send them."""
    rows = report.get("days", [])
    charged = _currencies(row["charged"]["by_currency"] for row in rows)
    promised = _currencies(row["promised"]["by_currency"] for row in rows)
    recovered = _currencies(row["recovered"]["by_currency"] for row in rows)
    titles = [
        *("Day", "Calls", "By a person", "People called", "People reached", "Contact rate", "Minutes"),
        *(f"Cost at Retell ({RETELL_CURRENCY})", "Charged minutes"),
        *(_with_currency("Charged", code) for code in charged),
        *(_with_currency("Promised", code) for code in promised),
        *(_with_currency("Recovered", code) for code in recovered),
    ]
    return (
        "Days",
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
        found.append((_with_currency("Charged credit", row["currency"]), row["credit"]))
        if row.get("per_person_reached") is not None:
            title = _with_currency("Charged for each person reached", row["currency"])
            found.append((title, row["per_person_reached"]))
    return found or [("Charged credit", 0)]


def _promised(promises: Mapping[str, Any]) -> list[tuple[str, object]]:
    """One sum for each currency; a daemon of an older version has one of all."""
    sums = promises.get("by_currency") or []
    if len(sums) > 1:
        return _amounts("Promised amount", promises)
    currency = [("Promised currency", row["currency"]) for row in sums if row["currency"]]
    return [("Promised amount", promises["amount"]), *currency]


def _amounts(title: str, sums: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    rows = [] if sums is None else sums["by_currency"]
    found: list[tuple[str, object]] = [
        (_with_currency(title, row["currency"]), row["amount"]) for row in rows
    ]
    return found if found or sums is None else [(title, 0)]


def _with_currency(title: str, currency: str | None) -> str:
    return f"{title} ({currency})" if currency else title


def _titles(*names: str) -> tuple[str, ...]:
    return tuple(_TITLES[name] for name in names)


def _rows(entries: Iterable[Mapping[str, Any]], *names: str) -> list[list[object]]:
    """Rows of these fields; one that a daemon of an older version does not send stays empty."""
    return [
        [_share(entry[name]) if name == "success_rate" else entry.get(name) for name in names]
        for entry in entries
    ]


def _share(rate: float | None) -> Share | None:
    return None if rate is None else Share(rate)
