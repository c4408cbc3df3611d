"""Defaults where neither batch nor account sets a value. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from speechaid.rules.windows import DailyHours


@dataclass(frozen=True, kw_only=True)
class DiallingDefaults:
    """The settings that the rules about dialling need."""

    #: IANA name.
    timezone: str
    #: None: the whole day.
    hours: DailyHours | None
    #: 1 (Monday) to 7 (Sunday); None: every day.
    days: tuple[int, ...] | None
    #: ISO 3166 alpha-2, for numbers in national form.
    country: str | None
    #: Minutes that are reserved on the account before a dial.
    estimate_minutes: float
