"""Days that a file may not mean, though they can be read: a table of doubts. Pure.

A row with such a day is imported all the same: only who wrote the file knows what it means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from speechaid.campaign import cells

#: How old a debt, or how far ahead a term, is before it is doubted, in years.
YEARS: Final = 10
#: Day zero or one of spreadsheets and programs: what they write for an empty date.
EMPTY: Final = frozenset(date(*day) for day in ((1900, 1, 1), (1901, 1, 1), (1904, 1, 1), (1970, 1, 1)))


@dataclass(frozen=True, kw_only=True)
class ReadDay:
    """A cell, and the day that was read in it."""

    #: As written.
    text: str
    day: date
    #: ISO 3166 alpha-2, by whose custom it was read.
    country: str
    today: date

    def years_ahead(self) -> float:
        """From today; below zero for the past."""
        return (self.day - self.today).days / 365.25


@dataclass(frozen=True)
class DateWarning:
    """One reason to ask who wrote the file."""

    name: str
    applies: Callable[[ReadDay], bool]
    #: What is said; ``{country}`` is filled in.
    why: str


#: The first that applies is told.
DOUBTS: Final = (
    DateWarning("empty", lambda read: read.day in EMPTY, "programs write an empty date so"),
    DateWarning("past", lambda read: read.years_ahead() < -YEARS, f"more than {YEARS} years ago"),
    DateWarning("ahead", lambda read: read.years_ahead() > YEARS, f"more than {YEARS} years ahead"),
    DateWarning(
        "order",
        lambda read: cells.is_turned_round(read.text, read.country),
        "day and month stand the other way round than in {country}, and where both are 12 or less they are "
        "read as {country} writes them: is the whole file so?",
    ),
)


def date_warning(read: ReadDay) -> str | None:
    """What was read and why it looks wrong; None where it does not."""
    for row in DOUBTS:
        if row.applies(read):
            why = row.why.format(country=read.country.upper())
            return f"{read.text[:40]!r} is read as {read.day.isoformat()}: {why}"
    return None
