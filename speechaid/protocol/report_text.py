"""Sentences about a report that its Markdown and ``speechctl`` share; pure.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechaid.protocol.translation import joined, say, say_later

#: What the contact rate is; stands beside the figure.
CONTACT_RATE: Final = say_later(
    "the share of the people called whom a call reached: a person answered, and"
    " Retell's analysis does not call it a machine"
)


def scope_text(report: Mapping[str, Any]) -> str:
    """What a report is about: ``batch-1, 2026-11-29``; empty for everything."""
    parts = [
        report.get("batch_id"),
        None
        if report.get("account_id") is None
        else say("account {account_id}", account_id=report["account_id"]),
        None if report.get("agent") is None else say("agent {agent}", agent=report["agent"]),
        None
        if report.get("from_number") is None
        else say("calls from {from_number}", from_number=report["from_number"]),
        None if report.get("number") is None else say("calls to {number}", number=report["number"]),
        _days(report.get("from"), report.get("to")),
    ]
    return joined(", ", (str(part) for part in parts if part is not None))


def zone_text(report: Mapping[str, Any]) -> str:
    """In which time zones its days and hours are."""
    zones = report.get("timezones") or []
    if len(zones) < 2:
        return say("Days and hours are those of {timezone}.", timezone=report["timezone"])
    named = joined(
        "; ",
        (
            say("{timezone} ({accounts})", timezone=row["timezone"], accounts=_accounts(row["accounts"]))
            for row in zones
        ),
    )
    return say("Days and hours are those of each account's own zone: {named}.", named=named)


def _accounts(names: list[str | None]) -> str:
    shown = [name or say("calls without an account") for name in names[:3]]
    more = say(" and {names} more", names=len(names) - 3) if len(names) > 3 else ""
    return joined(", ", shown) + more


def _days(first: str | None, last: str | None) -> str | None:
    if first is None and last is None:
        return None
    if first == last:
        return first
    if last is None:
        return say("from {first} on", first=first)
    return (
        say("up to {last}", last=last) if first is None else say("{first} to {last}", first=first, last=last)
    )
