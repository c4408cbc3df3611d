"""Warnings about dates that can be read but are probably wrong: one table. Pure.

A row with such a date is imported: only the author of the file knows what is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from speechaid.protocol.translation import N_, say

#: A due date further than this from today, in years, gets a warning.
YEARS: Final = 10
#: Epoch days of spreadsheets and programs, which write them for an empty date.
EMPTY: Final = frozenset(date(*day) for day in ((1900, 1, 1), (1901, 1, 1), (1904, 1, 1), (1970, 1, 1)))


@dataclass(frozen=True, kw_only=True)
class ReadDay:
    """A cell and the date that was read from it."""

    #: The cell as written.
    text: str
    day: date
    today: date
    #: Whether day and month can only be in the other order than the owner of the file says.
    contradicts_order: bool = False

    def years_ahead(self) -> float:
        """Years from today; negative for the past."""
        return (self.day - self.today).days / 365.25


@dataclass(frozen=True)
class DateWarning:
    """One reason to doubt a date."""

    name: str
    applies: Callable[[ReadDay], bool]
    reason: str


#: The first that applies is reported.
DATE_WARNINGS: Final = (
    DateWarning("empty", lambda read: read.day in EMPTY, N_("many programs write this for an empty date")),
    DateWarning(
        "past",
        lambda read: read.years_ahead() < -YEARS,
        N_("more than {years} years ago"),
    ),
    DateWarning(
        "ahead",
        lambda read: read.years_ahead() > YEARS,
        N_("more than {years} years ahead"),
    ),
    DateWarning(
        "order",
        lambda read: read.contradicts_order,
        N_("day and month are not in the order that --map says, which is used where both are 12 or less"),
    ),
)


@lru_cache(maxsize=4096)  # many rows of a file have one date
def date_warning(read: ReadDay) -> str | None:
    """The date that was read and why it is probably wrong; None where no warning applies."""
    for row in DATE_WARNINGS:
        if row.applies(read):
            return say(
                "{text!r} is read as {day}: {reason}",
                text=read.text[:40],
                day=read.day.isoformat(),
                reason=say(row.reason, years=YEARS),
            )
    return None
