"""The columns of a contacts file, and what each is taken for (``recognition`` says it). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from speechaid.campaign.cells import fold
from speechaid.campaign.dates import DateOrder
from speechaid.campaign.titles import MOBILE_WORDS, REMARK_COLUMNS, Role

#: Characters of a title in a sentence about one row.
_LONGEST_TITLE: Final = 60


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the file."""

    #: 0-based.
    position: int
    #: As people count, from 1, without the columns that speechctl put in front of a file of bad rows: a name
    #: that is made from it is the same in the mended file.
    number: int
    #: As written; empty where the column has none.
    title: str
    role: Role
    #: Why it is taken for that, in a sentence.
    why: str
    #: What the title says about an amount: ISO 4217, or ``CLF``; None where it says nothing.
    currency: str | None = None
    #: The same of a bare ``$``, which is the country's currency where neither cell nor column says another.
    assumed_currency: str | None = None
    #: The variable's name for the agent, where the column is one.
    variable: str | None = None
    #: Of dates, what ``--map`` says; None: the values show it, else the row's country.
    date_order: DateOrder | None = None
    #: Its first values, as written: people's data.
    values: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def short_title(self) -> str:
        """The title, for a sentence: a cell of a table without titles may be taken for one, and be long."""
        title = self.title
        return title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…"

    @cached_property
    def means_mobiles(self) -> bool:
        """Whether its title is one of mobiles."""
        return any(word.rstrip("0123456789") in MOBILE_WORDS for word in fold(self.title).split())


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a file and what they are taken for."""

    columns: tuple[Column, ...]
    #: Texts about columns that are not used as their name suggests.
    remarks: tuple[str, ...] = ()

    def of(self, role: Role) -> tuple[Column, ...]:
        """The columns of a role; phones in the order of dialling."""
        return self._by_role[role]

    # All are asked for in each row of the file.

    @cached_property
    def _by_role(self) -> Mapping[Role, tuple[Column, ...]]:
        return {role: tuple(column for column in self.columns if column.role is role) for role in Role}

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """The titles as written, in the order of the file."""
        return tuple(column.title for column in sorted(self.columns, key=lambda column: column.position))

    @cached_property
    def is_of_bad_rows(self) -> bool:
        """Whether ``speechctl`` wrote the file: one of bad rows."""
        return bool(self.reason_places)

    @cached_property
    def reason_places(self) -> tuple[int, ...]:
        """Where a file of bad rows has line and reason."""
        return tuple(place for place, title in enumerate(self.titles) if title in REMARK_COLUMNS)
