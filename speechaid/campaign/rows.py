"""The rows of a contacts file as they are understood: contacts, bad rows, remarks. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from speechaid.campaign import cells
from speechaid.campaign.kinds import Kind
from speechaid.campaign.national_ids import compact_id
from speechaid.model.reading import Document

#: Notes a remark on the row that is read; it may find that such a row is bad.
Remarking = Callable[[Kind, str], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A contact that can be called."""

    line: int
    name: str | None
    dni: str | None
    #: E.164 without two spellings of one line, in the order of dialling.
    phones: tuple[str, ...]
    #: The line of each phone (``rules.numbers.line_identity``).
    lines: tuple[str, ...]
    company_name: str | None
    debt_amount: int | float | None
    #: ISO 4217, or ``CLF``; None where the file does not say.
    currency: str | None = None
    #: ``YYYY-MM-DD``.
    due_date: str | None
    reference_number: str | None
    additional_info: Document

    @cached_property
    def person(self) -> str:
        """The person: by id, else by the first phone's line and the name."""
        if self.dni:
            return compact_id(cells.fold(self.dni))
        return f"{self.lines[0]}|{cells.fold(self.name or '')}"

    @cached_property
    def identity(self) -> str:
        """Person and reference: equal for two rows that would call one person twice for one debt."""
        return f"{self.person}|{cells.fold(self.reference_number or '')}"


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that becomes no job; ``cells`` are as written, which are personal data."""

    line: int
    reason: str
    #: What was refused, where ``--accept KIND`` would keep the row.
    kind: Kind | None = None
    #: Numbers of a workbook are numbers here, too: ``150.125`` as a text means another amount.
    cells: list[str | int | float] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A note on a row that becomes a job, or on the file."""

    line: int
    text: str
    kind: Kind


class LeftOutRowError(Exception):
    """The row is no contact to call, and there is nothing to mend; the text says why."""

    def __init__(self, text: str, kind: Kind) -> None:
        super().__init__(text)
        self.kind = kind


class UnusableRowError(Exception):
    """The row cannot become a job; the text says why, the kind what ``--accept`` would change."""

    def __init__(self, text: str, kind: Kind | None = None) -> None:
        super().__init__(text)
        self.kind = kind
