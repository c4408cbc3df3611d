"""Understands one row of a contacts file: a contact that can be called, or why not. Pure.

Nothing is changed in silence: what is not understood makes the row bad, what is assumed is a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar

import phonenumbers
from babel import Locale

from speechaid.campaign import cells
from speechaid.campaign.amounts import Amount, AmountFault, read_amount, unknown_words
from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.date_warnings import ReadDay, date_warning
from speechaid.campaign.dates import DateFault, read_date
from speechaid.campaign.national_ids import compact_id, wrong_id
from speechaid.campaign.tables import MAX_COLUMNS, Line
from speechaid.campaign.titles import COMPANY_IDS, MOBILE_WORDS, Role
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.model.reading import Document
from speechaid.rules.currencies import CODES, SYMBOLS
from speechaid.rules.numbers import Fault, Number, is_placeholder, line_of, read_cell

#: A longer cell is a broken file.
MAX_CELL_CHARACTERS: Final = 10_000


class Kind(StrEnum):
    """The kinds of remark; ``--accept KIND`` keeps such rows, ``--refuse KIND`` makes them bad."""

    UNASSIGNED = "unassigned"
    PLACEHOLDER = "placeholder"
    SHARED = "shared"
    SERVICE = "service"
    FOREIGN = "foreign"
    LANDLINE = "landline"
    ASSUMED = "assumed"
    NOTE = "note"
    PHONE = "phone"
    NAME = "name"
    AMOUNT = "amount"
    DATE = "date"
    ID = "id"
    COLUMN = "column"
    FILE = "file"


_Part = TypeVar("_Part")


@dataclass(frozen=True)
class KindPolicy:
    """What a kind of remark means, and what is done about it unless told otherwise."""

    #: For people.
    meaning: str
    #: Whether the phone (for the kinds of phones) or the row is refused by default.
    is_bad: bool = False
    #: Whether ``--accept`` and ``--refuse`` change it.
    can_change: bool = True


#: One row a kind.
KINDS: Final[dict[Kind, KindPolicy]] = {
    Kind.UNASSIGNED: KindPolicy("the numbering plan has no such number", is_bad=True),
    Kind.PLACEHOLDER: KindPolicy("a number that only fills the field", is_bad=True),
    Kind.SHARED: KindPolicy("one number under three or more people", is_bad=True),
    Kind.SERVICE: KindPolicy("a service number (toll-free, shared cost), not a person's", is_bad=True),
    Kind.FOREIGN: KindPolicy("a number of another country than the file's"),
    Kind.LANDLINE: KindPolicy("a landline"),
    Kind.ASSUMED: KindPolicy("something was assumed to read the cell"),
    Kind.NOTE: KindPolicy("words stand beside the number"),
    Kind.PHONE: KindPolicy("one of several phones cannot be used", can_change=False),
    Kind.NAME: KindPolicy("the contact has no name"),
    Kind.AMOUNT: KindPolicy("the amount is missing or zero"),
    Kind.DATE: KindPolicy("the date is probably wrong"),
    Kind.ID: KindPolicy("the id is probably mistyped"),
    Kind.COLUMN: KindPolicy("a column is not used as its title suggests", can_change=False),
    Kind.FILE: KindPolicy("the file was not read as it stands", can_change=False),
}
#: Kinds that concern one phone: a refused one is left out, and the row is bad only if it has no other.
_OF_PHONES: Final = frozenset(
    {Kind.UNASSIGNED, Kind.PLACEHOLDER, Kind.SERVICE, Kind.FOREIGN, Kind.LANDLINE, Kind.ASSUMED, Kind.NOTE}
)


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
    cells: list[str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A note on a row that becomes a job, or on the file."""

    line: int
    text: str
    kind: Kind


class UnusableRowError(Exception):
    """The row cannot become a job; the text says why, the kind what ``--accept`` would change."""

    def __init__(self, text: str, kind: Kind | None = None) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """Reads rows under the columns and choices of one file."""

    columns: Columns
    #: ISO 3166 alpha-2, of national numbers without a country of their own.
    country: str
    today: date
    #: Kinds whose rows are kept, and kinds whose rows are bad, whatever their default.
    accepted: frozenset[Kind] = frozenset()
    refused: frozenset[Kind] = frozenset()

    def is_bad(self, kind: Kind) -> bool:
        """Whether such a row, or such a phone, is left out."""
        if kind in self.accepted:
            return False
        return KINDS[kind].is_bad or (kind in self.refused and KINDS[kind].can_change)

    def read(self, line: Line) -> tuple[Row, list[Remark]]:
        """Read one row.

        Raises:
            UnusableRowError: it cannot become a job; with every reason, so that it is corrected once.
        """
        if line.fault:
            raise UnusableRowError(line.fault)
        texts = self._texts(line)
        remarks: list[Remark] = []

        def remark(kind: Kind, text: str) -> None:
            if self.is_bad(kind) and kind not in _OF_PHONES:
                raise UnusableRowError(text, kind)
            remarks.append(Remark(line=line.number, text=text, kind=kind))

        faults: list[UnusableRowError] = []

        def part(read: Callable[[], _Part]) -> _Part | None:
            try:
                return read()
            except UnusableRowError as fault:
                faults.append(fault)
                return None

        phones = part(lambda: self._phones(texts, remark))
        name = part(lambda: self._name(texts, remark))
        dni = part(lambda: self._id(texts, remark))
        amount = part(lambda: self._amount(line, texts, remark))
        due_date = part(lambda: self._due_date(texts, remark))
        if faults:
            kind = faults[0].kind if len(faults) == 1 else None
            raise UnusableRowError("; ".join(map(str, faults)), kind)
        row = Row(
            line=line.number,
            **(phones or {}),
            name=name,
            dni=dni,
            company_name=self._one(texts, Role.COMPANY_NAME),
            **(amount or {}),
            due_date=due_date,
            reference_number=self._one(texts, Role.REFERENCE_NUMBER),
            additional_info={
                str(column.variable): texts[column.position]
                for column in self.columns.of(Role.VARIABLE)
                if not is_nothing(texts[column.position])
            },
        )
        return row, remarks

    def as_written(self, line: Line) -> list[str]:
        """The cells of a bad row as the file has them."""
        return [cells.clean(cell)[:MAX_CELL_CHARACTERS] for cell in line.cells[:MAX_COLUMNS]]

    def _texts(self, line: Line) -> list[str]:
        """The cells as clean text, padded to the width of the heading."""
        width = len(self.columns.titles)
        if any(isinstance(cell, str) and "\0" in cell for cell in line.cells):
            raise UnusableRowError("the row has NUL characters")
        texts = [cells.clean(cell) for cell in line.cells]
        if any(texts[width:]):
            raise UnusableRowError(
                f"the row has {len(texts)} cells, the header {width}: a quote may be missing"
            )
        if any(len(text) > MAX_CELL_CHARACTERS for text in texts):
            raise UnusableRowError(f"a cell has more than {MAX_CELL_CHARACTERS:,} characters")
        return texts[:width] + [""] * (width - len(texts))

    def _one(self, texts: Sequence[str], role: Role) -> str | None:
        """The text of a role that a file has once; None for nothing."""
        found = self.columns.of(role)
        text = cells.one_line(texts[found[0].position]) if found else ""
        return None if is_nothing(text) else text.removeprefix("'")

    def _name(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> str | None:
        columns = (*self.columns.of(Role.NAME), *self.columns.of(Role.SURNAME))
        parts = [cells.one_line(texts[column.position]) for column in columns]
        name = " ".join(part for part in parts if not is_nothing(part))
        if columns and not name:
            remark(Kind.NAME, f"{columns[0].title}: the contact has no name")
        return name or None

    def _id(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> str | None:
        text = self._one(texts, Role.DNI)
        if text is not None:
            title = self.columns.of(Role.DNI)[0].title
            wrong = None if cells.fold(title) in COMPANY_IDS else wrong_id(text, self.country)
            if wrong is not None:
                remark(Kind.ID, f"{title}: {wrong}")
        return text

    def _phones(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> dict[str, Any]:
        """The usable numbers in their order, and their lines.

        Raises:
            UnusableRowError: there is none.
        """
        country = self._country(texts)
        found: dict[str, str] = {}
        faults: list[str] = []
        kinds: list[Kind | None] = []
        for column in self.columns.of(Role.PHONE):
            text = texts[column.position]
            if is_nothing(text):
                continue
            parts = read_cell(text, country)
            for place, (part, reading) in enumerate(parts, 1):
                fault = self._add_phone(column, part, reading, found, remark)
                if fault is not None:
                    which = f", number {place} of {len(parts)} in the cell" if len(parts) > 1 else ""
                    faults.append(f"{column.title}{which}: {fault[0]}")
                    kinds.append(fault[1])
        if not found:
            text = "; ".join(dict.fromkeys(faults)) or "no phone number"
            raise UnusableRowError(text, next(filter(None, kinds), None))
        for text in faults:
            remark(Kind.PHONE, text)
        return {"phones": tuple(found.values()), "lines": tuple(found)}

    def _add_phone(
        self,
        column: Column,
        part: str,
        reading: Number | Fault,
        found: dict[str, str],
        remark: Callable[[Kind, str], None],
    ) -> tuple[str, Kind | None] | None:
        """Add one number, or say why it is not used."""
        if isinstance(reading, Fault):
            digits = sum(character.isdecimal() for character in part)
            return f"{reading} ({len(part)} characters, {digits} digits)", None
        doubts = list(_doubts_about(reading, self.country))
        if not _means_mobiles(column.title) and Kind.LANDLINE not in self.refused:
            doubts = [doubt for doubt in doubts if doubt[0] is not Kind.LANDLINE]
        refused = next(((text, kind) for kind, text in doubts if self.is_bad(kind)), None)
        if refused is not None:
            return refused
        for doubt, words in doubts:
            remark(doubt, f"{column.title}: {words}")
        found.setdefault(line_of(reading), reading.e164)
        return None

    def _country(self, texts: Sequence[str]) -> str:
        text = self._one(texts, Role.COUNTRY_CODE)
        if text is None:
            return self.country
        country = country_named(text)
        if country is None:
            raise UnusableRowError(f"the country {text[:40]!r} is not known: write CL, 56 or Chile")
        return country

    def _amount(
        self, line: Line, texts: Sequence[str], remark: Callable[[Kind, str], None]
    ) -> dict[str, Any]:
        found = self.columns.of(Role.DEBT_AMOUNT)
        if not found:
            return {"debt_amount": None}
        column = found[0]
        cell = line.cells[column.position] if column.position < len(line.cells) else None
        text = texts[column.position]
        if is_nothing(text):
            remark(Kind.AMOUNT, f"{column.title}: there is no amount")
            return {"debt_amount": None}
        amount = read_amount(cell if isinstance(cell, int | float) else text, self.country)
        if isinstance(amount, AmountFault):
            which = unknown_words(text, self.country) if amount is AmountFault.UNKNOWN_WORD else []
            named = f": {', '.join(which)[:40]}" if which else ""
            raise UnusableRowError(f"{column.title}: {text[:40]!r}: {amount}{named}")
        if amount.value == 0:
            remark(Kind.AMOUNT, f"{column.title}: the amount is 0")
        whole = amount.value == amount.value.to_integral_value()
        value = int(amount.value) if whole else float(amount.value)
        return {"debt_amount": value, "currency": self._currency(texts, amount)}

    def _currency(self, texts: Sequence[str], amount: Amount) -> str | None:
        text = self._one(texts, Role.CURRENCY)
        if text is None:
            return amount.currency
        word = cells.fold_accents(text.casefold()).strip(" .")
        code = SYMBOLS.get(word, text.upper() if text.upper() in CODES else None)
        if code is None:
            read = read_amount(f"1 {text}", self.country)
            code = read.currency if isinstance(read, Amount) else None
        if code is None:
            raise UnusableRowError(f"the currency {text[:40]!r} is not known: write its code, such as CLP")
        if amount.currency is not None and amount.currency != code:
            raise UnusableRowError(f"the amount is in {amount.currency}, and the currency column says {code}")
        return code

    def _due_date(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> str | None:
        text = self._one(texts, Role.DUE_DATE)
        found = None if text is None else read_date(text, self.country)
        if text is None or found is None:
            return None
        title = self.columns.of(Role.DUE_DATE)[0].title
        if isinstance(found, DateFault):
            raise UnusableRowError(f"{title}: {text[:40]!r}: {found}")
        if found.assumed is not None:
            remark(
                Kind.ASSUMED, f"{title}: {text[:40]!r} is read as {found.day.isoformat()}: {found.assumed}"
            )
        read = ReadDay(
            text=text,
            day=found.day,
            country=self.country,
            today=self.today,
            in_other_order=found.in_other_order,
        )
        warning = date_warning(read)
        if warning is not None:
            remark(Kind.DATE, f"{title}: {warning}")
        return found.day.isoformat()


def _means_mobiles(title: str) -> bool:
    return any(word.rstrip("0123456789") in MOBILE_WORDS for word in cells.fold(title).split())


def _doubts_about(number: Number, country: str) -> Iterable[tuple[Kind, str]]:
    if not number.is_valid:
        yield Kind.UNASSIGNED, "the numbering plan has no such number"
    if is_placeholder(number):
        yield Kind.PLACEHOLDER, "the number looks like one that only fills the field"
    if number.kind == "service":
        yield Kind.SERVICE, "a service number, not a person's"
    if number.kind == "landline":
        yield Kind.LANDLINE, "a landline"
    if number.country is not None and number.country != country.upper():
        yield Kind.FOREIGN, f"a number of {number.country}"
    if number.assumed is not None:
        yield Kind.ASSUMED, f"assumed: {number.assumed}"
    if number.note is not None:
        yield Kind.NOTE, "words beside the number are not used"


@lru_cache(maxsize=256)
def country_named(text: str) -> str | None:
    """The country (ISO 3166 alpha-2) of a code (CL), a calling code (56, +56, 0056) or a name (Brasil)."""
    plain = text.strip().removesuffix(".0")
    if plain.upper() in phonenumbers.SUPPORTED_REGIONS:
        return plain.upper()
    digits = plain.lstrip("+").lstrip("0")
    if digits.isdecimal() and len(digits) <= 3:
        region = phonenumbers.region_code_for_country_code(int(digits))
        return None if region in ("ZZ", "001") else region
    return _countries().get(cells.fold(plain))


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    return {
        cells.fold(name): code
        for language in ("es", "pt", "en")
        for code, name in Locale(language).territories.items()
        if code in phonenumbers.SUPPORTED_REGIONS
    }


def shared_lines(rows: Sequence[Row], at_least: int = 3) -> frozenset[str]:
    """The lines (by their identity) that stand under so many people of a file."""
    people: dict[str, set[str]] = {}
    for row in rows:
        who = compact_id(cells.fold(row.dni)) if row.dni else cells.fold(row.name or f"line {row.line}")
        for line in row.lines:
            people.setdefault(line, set()).add(who)
    return frozenset(line for line, who in people.items() if len(who) >= at_least)
