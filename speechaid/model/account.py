"""A customer's account: plan, balance and limits, read leniently."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from speechaid.model import faults, reading
from speechaid.model.faults import FieldFault
from speechaid.model.reading import Document


class Plan(StrEnum):
    """How an account pays."""

    MINUTES = "minutes_based"
    CREDIT = "credit_based"
    UNLIMITED = "unlimited"


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The amounts that one open dial reserves, under the dial's key."""

    key: str
    minutes: float
    credit: float


@dataclass(frozen=True, kw_only=True)
class TopUp:
    """Minutes or credit that an operator added, or took back, under a key of its own.

    The account carries it from the write that changed the balance until ``transactions`` has it.
    """

    key: str
    #: Positive, or negative where an earlier top-up is corrected; one of the two is 0.
    minutes: float
    #: In the account's currency.
    credit: float
    #: What was purchased altogether, in minutes or credit, before and after.
    before: float
    after: float
    currency: str | None
    note: str | None
    by: str
    at: datetime

    def document(self) -> Document:
        """As the account stores it."""
        return dict(vars(self))

    @classmethod
    def read(cls, document: Document) -> TopUp:
        """Read what ``document`` made."""
        return cls(
            key=str(document.get("key")),
            minutes=reading.number(document.get("minutes")) or 0.0,
            credit=reading.number(document.get("credit")) or 0.0,
            before=reading.number(document.get("before")) or 0.0,
            after=reading.number(document.get("after")) or 0.0,
            currency=reading.text(document.get("currency")),
            note=reading.text(document.get("note")),
            by=reading.text(document.get("by")) or "",
            at=reading.instant(document.get("at")) or datetime.fromtimestamp(0, UTC),
        )


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account as read; money in currency units, time in minutes."""

    account_id: str
    #: None where the document names an unknown plan: not dialled.
    plan: Plan | None
    status: str
    name: str | None
    country: str | None
    #: A known zone; None also where the document names another, which is a fault.
    timezone: str | None
    #: ISO 4217; None where the document does not say, as SpeechAI's do not.
    currency: str | None
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
    #: Top-ups whose transaction is not recorded yet.
    top_ups: tuple[TopUp, ...]
    #: What cannot be read.
    field_faults: tuple[FieldFault, ...]
    document: Document = field(repr=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each field that forbids calls of this account, since it cannot be understood."""
        return tuple(fault.sentence for fault in self.field_faults if fault.forbids)

    @classmethod
    def read(cls, document: Document) -> Account:
        """Read an account document leniently; switches and limits that cannot be understood forbid calls."""
        account, broken = faults.read_leniently(cls._read, document)
        if not broken:
            return account
        return replace(account, field_faults=(*broken, *account.field_faults), document=document)

    @classmethod
    def _read(cls, document: Document) -> Account:
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
            name=reading.text(document.get("account_name")),
            country=reading.text(document.get("country")),
            currency=faults.read_currency(document.get("currency")),
            timezone=zone.strip() if isinstance(zone, str) and reading.find_zone(zone.strip()) else None,
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
            top_ups=tuple(
                TopUp.read(dict(entry))
                for entry in map(reading.mapping, reading.sequence(document.get("top_ups")))
                if entry.get("key")
            ),
            field_faults=faults.of_account(document),
            document=document,
        )
