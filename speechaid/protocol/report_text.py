"""Sentences about a report that its Markdown and ``speechctl`` share; pure.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: What the contact rate is; stands beside the figure.
CONTACT_RATE: Final = (
    "the share of the people called whom a call reached: a person answered, and Retell's analysis does not "
    "call it a machine"
)


def scope_text(report: Mapping[str, Any]) -> str:
    """What a report is about: ``batch-1, 2026-11-29``; empty for everything."""
    parts = [
        report.get("batch_id"),
        None if report.get("account_id") is None else f"account {report['account_id']}",
        None if report.get("agent") is None else f"agent {report['agent']}",
        None if report.get("from_number") is None else f"calls from {report['from_number']}",
        None if report.get("number") is None else f"calls to {report['number']}",
        _days(report.get("from"), report.get("to")),
    ]
    return ", ".join(str(part) for part in parts if part is not None)


def zone_text(report: Mapping[str, Any]) -> str:
    """In which time zones its days and hours are."""
    zones = report.get("timezones") or []
    if len(zones) < 2:
        return f"Days and hours are those of {report['timezone']}."
    named = "; ".join(f"{row['timezone']} ({_accounts(row['accounts'])})" for row in zones)
    return f"Days and hours are those of each account's own zone: {named}."


def _accounts(names: list[str | None]) -> str:
    shown = [name or "calls without an account" for name in names[:3]]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown) + more


def _days(first: str | None, last: str | None) -> str | None:
    if first is None and last is None:
        return None
    if first == last:
        return first
    if last is None:
        return f"from {first} on"
    return f"up to {last}" if first is None else f"{first} to {last}"
