"""A small pack, and its parts, for tests of this room."""

from __future__ import annotations

from datetime import date
from typing import Any

from speechaid.compliance.packs import (
    Cap,
    Confidence,
    DayHours,
    HolidayRule,
    Holidays,
    Pack,
    Span,
    Unit,
    Windows,
)
from speechaid.model.states import Purpose

HOUSE: dict[str, Any] = {"says": "house rule", "confidence": Confidence.LOW}


def hours(*rows: tuple[list[int], str, str]) -> Windows:
    return Windows(
        hours=tuple(DayHours(days=tuple(days), start=start, end=end) for days, start, end in rows), **HOUSE
    )


def holidays(rule: HolidayRule = HolidayRule.BARRED, *extra: date, calendar: str = "CL") -> Holidays:
    return Holidays(rule=rule, calendar=calendar, extra=extra, **HOUSE)


def cap(unit: Unit, number: int, span: Span, length: int | None = None, **more: Any) -> Cap:
    return Cap(
        name=more.pop("name", "cap"), unit=unit, number=number, span=span, length=length, **more, **HOUSE
    )


def pack(*caps: Cap, **more: Any) -> Pack:
    known: dict[str, Any] = {
        "kind": "pack",
        "format": 1,
        "country": "CL",
        "purpose": Purpose.COLLECTION,
        "reviewed": date(2026, 11, 30),
        "zones": ("America/Santiago",),
        "sources": {},
        "counted_purposes": (Purpose.COLLECTION, Purpose.REMINDER),
        "caps": caps,
    }
    return Pack(**(known | more))
