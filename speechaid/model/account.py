"""A customer's account: plan, balance and limits, read leniently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.model import reading
from speechaid.model.reading import Document


class Plan(StrEnum):
    """How an account pays."""

    MINUTES = "minutes_based"
    CREDIT = "credit_based"
    UNLIMITED = "unlimited"


_LIMITS: Final = ("daily_call_limit", "max_concurrent_calls")
#: The amounts on which the balance of a plan rests.
_AMOUNTS: Final[Mapping[Plan, tuple[str, ...]]] = MappingProxyType(
    {
        Plan.MINUTES: ("minutes_purchased", "minutes_used", "minutes_reserved"),
        Plan.CREDIT: (
            "credit_balance",
            "credit_used",
            "credit_reserved",
            "cost_per_minute",
            "cost_per_call_setup",
            "cost_failed_call",
        ),
        Plan.UNLIMITED: (),
    }
)


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The amounts that one open dial reserves, under the dial's key."""

    key: str
    minutes: float
    credit: float


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account as read; money in currency units, time in minutes."""

    account_id: str
    #: None where the document names an unknown plan: not dialled.
    plan: Plan | None
    status: str
    country: str | None
    timezone: str | None
    minutes_purchased: float
    minutes_used: float
    minutes_reserved: float
    credit_balance: float
    credit_used: float
    credit_reserved: float
    cost_per_minute: float
    cost_per_call_setup: float
    cost_failed_call: float
    max_concurrent_calls: int | None
    daily_call_limit: int | None
    calls_today: int
    #: The day that ``calls_today`` counts, ``YYYY-MM-DD`` in the account's zone; None in SpeechAI's
    #: documents.
    calls_today_date: str | None
    reservations: tuple[Reservation, ...]
    #: A sentence for each field that cannot be understood and may forbid calls: none is placed.
    faults: tuple[str, ...]
    document: Document = field(repr=False)

    @classmethod
    def read(cls, document: Document) -> Account:
        """Read an account document leniently; switches and limits that cannot be understood forbid calls."""

        def amount(name: str) -> float:
            return reading.number(document.get(name)) or 0.0

        def limit(name: str) -> int | None:
            value = reading.number(document.get(name))
            return None if value is None else int(value)

        word = reading.text(document.get("plan_type"))
        plan = Plan(word) if word in set(Plan) else None
        status = document.get("status")
        zone = document.get("timezone")
        reservations = [reading.mapping(entry) for entry in reading.sequence(document.get("open_dials"))]
        return cls(
            account_id=reading.text(document.get("account_id")) or str(document.get("_id")),
            plan=plan,
            status="active" if status is None else (reading.text(status) or "not understood").lower(),
            country=reading.text(document.get("country")),
            # What is no text is no known zone either, and the calling window says so.
            timezone=reading.text(zone) if zone is None or isinstance(zone, str) else reading.shown(zone),
            minutes_purchased=amount("minutes_purchased"),
            minutes_used=amount("minutes_used"),
            minutes_reserved=amount("minutes_reserved"),
            credit_balance=amount("credit_balance"),
            credit_used=amount("credit_used"),
            credit_reserved=amount("credit_reserved"),
            cost_per_minute=amount("cost_per_minute"),
            cost_per_call_setup=amount("cost_per_call_setup"),
            cost_failed_call=amount("cost_failed_call"),
            max_concurrent_calls=limit("max_concurrent_calls"),
            daily_call_limit=limit("daily_call_limit"),
            calls_today=reading.whole(document.get("calls_today")),
            calls_today_date=reading.text(document.get("calls_today_date")),
            reservations=tuple(
                Reservation(
                    key=str(entry.get("key")),
                    minutes=reading.number(entry.get("minutes")) or 0.0,
                    credit=reading.number(entry.get("credit")) or 0.0,
                )
                for entry in reservations
                if entry.get("key")
            ),
            faults=_faults(document, plan),
            document=document,
        )


def _faults(document: Document, plan: Plan | None) -> tuple[str, ...]:
    """Fields without which more calls would be placed, and that cannot be understood."""
    status = document.get("status")
    found = {}
    if status is not None and reading.text(status) is None:
        found["status"] = "active, suspended, expired or pending_activation"
    numbers = [*_LIMITS, *_AMOUNTS.get(plan, ())] if plan is not None else [*_LIMITS]
    if document.get("daily_call_limit") is not None:
        numbers.append("calls_today")
        if not _is_day(document.get("calls_today_date")):
            found["calls_today_date"] = "YYYY-MM-DD"
    for name in numbers:
        if document.get(name) is not None and reading.number(document[name]) is None:
            found[name] = "a number"
    # Amounts that had to be replaced when a call was charged (``store.accounts``).
    replaced = reading.mapping(document.get("not_understood"))
    return (
        *(reading.not_understood(name, document[name], allowed) for name, allowed in sorted(found.items())),
        *(
            reading.not_understood(name, replaced[name], f"correct {name}, and remove not_understood.{name}")
            for name in numbers
            if name in replaced
        ),
    )


def _is_day(value: object) -> bool:
    """Whether it is missing, or a day; a time counts as missing (``Account.calls_today_date``)."""
    if not isinstance(value, str):
        return True
    try:
        date.fromisoformat(value.strip())
    except ValueError:
        return not value.strip()
    return True
