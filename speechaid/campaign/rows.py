"""Understands one row of a contacts file: a contact that can be called, or why not. Pure.

Nothing is changed in silence: what is not understood makes the row bad, what is assumed is a remark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, TypeVar

import phonenumbers
from babel.numbers import get_currency_precision

from speechaid.campaign import cells
from speechaid.campaign.amounts import Amount, AmountFault, read_amount, unknown_words
from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.countries import calling_code, country_named
from speechaid.campaign.date_warnings import ReadDay, date_warning
from speechaid.campaign.dates import DateFault, read_date
from speechaid.campaign.national_ids import compact_id, wrong_id
from speechaid.campaign.number_formats import ShownNumber
from speechaid.campaign.tables import MAX_COLUMNS, Line
from speechaid.campaign.titles import COMPANY_IDS, MOBILE_WORDS, REMARK_COLUMNS, Role
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.model.reading import Document
from speechaid.protocol.translation import joined, say, say_later
from speechaid.rules.currencies import CODES, OF_COUNTRY, SYMBOLS
from speechaid.rules.numbers import Fault, Number, is_placeholder, line_of, read_cell

#: A longer cell is a broken file.
MAX_CELL_CHARACTERS: Final = 10_000

#: What a file of bad rows has before each part of a cell that a spreadsheet would calculate, also behind a
#: sign that separates cells elsewhere (``speechctl.sheets`` writes it): ``$ 1.500,'-``.
_ADDED: Final = re.compile(
    r"(?:^|(?<=[,;\t\r\n]))'(?=[ \"\0\v\f\x1c-\x1f\x85\xa0\u200b\u2028\u2029\u3000\ufeff]*"
    r"[=@+\-\uff1d\uff20\uff0b\uff0d])"
)
#: What ``_undecorated`` looks at.
_DECORATIONS: Final = ("'", "=", "\u201c")
_QUOTED: Final = re.compile("'([^']+)'|\u201c([^\u201c\u201d]+)\u201d")
_KEPT_AS_TEXT: Final = re.compile(r"'[\s\"]*[=+\-@\d(\uff1d\uff0b\uff0d\uff20]")
_TEXT_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')


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
    LETTERS = "letters"
    COLUMN = "column"
    FILE = "file"


#: From 1899-12-30 to 1904-01-01.
_DAYS_TO_1904: Final = 1462
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
    Kind.UNASSIGNED: KindPolicy(say_later("the numbering plan has no such number"), is_bad=True),
    Kind.PLACEHOLDER: KindPolicy(say_later("a number that only fills the field"), is_bad=True),
    Kind.SHARED: KindPolicy(say_later("one number under three or more people"), is_bad=True),
    Kind.SERVICE: KindPolicy(
        say_later("a service number (toll-free, shared cost), not a person's"), is_bad=True
    ),
    Kind.FOREIGN: KindPolicy(say_later("a number of another country than the file's")),
    Kind.LANDLINE: KindPolicy(say_later("a landline under a title of mobiles")),
    Kind.ASSUMED: KindPolicy(say_later("something was assumed to read the cell")),
    Kind.NOTE: KindPolicy(say_later("words stand beside the number")),
    Kind.PHONE: KindPolicy(say_later("one of several phones cannot be used"), can_change=False),
    Kind.NAME: KindPolicy(say_later("the contact has no name")),
    Kind.AMOUNT: KindPolicy(say_later("the amount is missing or zero")),
    Kind.DATE: KindPolicy(say_later("the date is probably wrong")),
    Kind.ID: KindPolicy(say_later("the id is probably mistyped")),
    Kind.LETTERS: KindPolicy(say_later("letters were lost before the file was written")),
    Kind.COLUMN: KindPolicy(say_later("a column is not used as its title suggests"), can_change=False),
    Kind.FILE: KindPolicy(say_later("the file was not read as it stands"), can_change=False),
}


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
    #: The columns of the heading, with those behind the last title.
    width: int
    #: Whether a workbook's numbers of the day count from 1904.
    counts_from_1904: bool = False

    @cached_property
    def _is_of_bad_rows(self) -> bool:
        """Whether ``speechctl`` wrote the file."""
        return bool(REMARK_COLUMNS.intersection(self.columns.titles))

    def _cells(self, line: Line) -> list[Any]:
        """The cells without what a file of bad rows added to them."""
        if not self._is_of_bad_rows:
            return line.cells
        return [_ADDED.sub("", cell) if isinstance(cell, str) else cell for cell in line.cells]

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
            if self.is_bad(kind):
                raise UnusableRowError(text, kind)
            remarks.append(Remark(line=line.number, text=text, kind=kind))

        faults: list[UnusableRowError] = []

        def part(read: Callable[[], _Part]) -> _Part | None:
            try:
                return read()
            except UnusableRowError as fault:
                faults.append(fault)
                return None

        part(lambda: self._remark_lost_letters(texts, remark))
        known = part(lambda: self._country(texts, remark))
        country = known or self.country
        phones = part(lambda: self._phones(texts, country, remark)) if known else None
        name = part(lambda: self._name(texts, remark))
        dni = part(lambda: self._id(texts, country, remark))
        amount = part(lambda: self._amount(line, texts, country, remark))
        due_date = part(lambda: self._due_date(line, texts, country, remark))
        if faults:
            kind = faults[0].kind if len(faults) == 1 else None
            raise UnusableRowError(joined("; ", map(str, faults)), kind)
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

    def as_written(self, line: Line) -> list[str | int | float]:
        """The cells of a bad row as the file has them."""
        of_amount = {column.position for column in self.columns.of(Role.DEBT_AMOUNT)}
        written = [
            _as_typed(cell) if place in of_amount else _as_written(cell)
            for place, cell in enumerate(self._cells(line)[:MAX_COLUMNS])
        ]
        for column in self.columns.of(Role.DUE_DATE) if self.counts_from_1904 else ():
            cell = written[column.position] if column.position < len(written) else ""
            # The file that it is written to counts from 1900.
            written[column.position : column.position + 1] = [_days_from_1900(cell)]
        return written

    def _texts(self, line: Line) -> list[str]:
        """The cells as clean text, padded to the width of the heading."""
        width = len(self.columns.titles)
        if any(isinstance(cell, str) and "\0" in cell for cell in line.cells):
            raise UnusableRowError(say("the row has NUL characters"))
        texts = [
            _undecorated(text) if (text := cells.clean(cell))[:1] in _DECORATIONS else text
            for cell in self._cells(line)
        ]
        if any(texts[max(width, self.width) :]):
            raise UnusableRowError(
                say(
                    "the row has {texts} cells, the header {width}: a quote may be missing",
                    texts=len(texts),
                    width=width,
                )
            )
        if any(len(text) > MAX_CELL_CHARACTERS for text in texts):
            raise UnusableRowError(
                say(
                    "a cell has more than {MAX_CELL_CHARACTERS:,} characters",
                    MAX_CELL_CHARACTERS=MAX_CELL_CHARACTERS,
                )
            )
        return texts[:width] + [""] * (width - len(texts))

    def _remark_lost_letters(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> None:
        """Remark the character that programs write for a letter that they could not read."""
        for column in self.columns.columns:
            text = texts[column.position]
            if "\ufffd" in text and column.role is not Role.LEFT_OUT:
                remark(
                    Kind.LETTERS,
                    say(
                        "{title}: {one_line!r} has lost letters",
                        title=column.title,
                        one_line=cells.one_line(text)[:40],
                    ),
                )
                return

    def _one(self, texts: Sequence[str], role: Role) -> str | None:
        """The text of a role that a file has once; None for nothing."""
        found = self.columns.of(role)
        text = cells.one_line(texts[found[0].position]) if found else ""
        return None if is_nothing(text) else text.removeprefix("'")

    def _name(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> str | None:
        columns = (*self.columns.of(Role.NAME), *self.columns.of(Role.SURNAME))
        parts = [cells.one_line(texts[column.position]) for column in columns]
        # A number is nobody's name: the agent would say it.
        name = " ".join(part for part in parts if not is_nothing(part) and any(map(str.isalpha, part)))
        if columns and not name:
            remark(
                Kind.NAME, say("{short_title}: the contact has no name", short_title=columns[0].short_title)
            )
        return name or None

    def _id(self, texts: Sequence[str], country: str, remark: Callable[[Kind, str], None]) -> str | None:
        text = self._one(texts, Role.DNI)
        digit = self._one(texts, Role.CHECK_DIGIT)
        if text is not None and digit is not None and len(digit) == 1:
            text = text if text.endswith(f"-{digit}") else f"{text}-{digit}"
        if text is not None:
            column = self.columns.of(Role.DNI)[0]
            # Who lives in another country than the file's may have an id of either.
            is_checked = country == self.country and cells.fold(column.title) not in COMPANY_IDS
            wrong = wrong_id(text, country) if is_checked else None
            if wrong is not None:
                remark(Kind.ID, say("{short_title}: {wrong}", short_title=column.short_title, wrong=wrong))
        return text

    def _phones(
        self, texts: Sequence[str], country: str, remark: Callable[[Kind, str], None]
    ) -> dict[str, Any]:
        """The usable numbers in their order, and their lines.

        Raises:
            UnusableRowError: there is none.
        """
        area = self._one(texts, Role.AREA_CODE)
        found: dict[str, str] = {}
        faults: list[str] = []
        kinds: list[Kind | None] = []
        for column in self.columns.of(Role.PHONE):
            text = texts[column.position]
            if is_nothing(text):
                continue
            parts = _readings(text, area, country)
            for place, (part, reading) in enumerate(parts, 1):
                fault = self._add_phone(column, part, reading, found, remark)
                if fault is not None:
                    which = (
                        say(", number {place} of {parts} in the cell", place=place, parts=len(parts))
                        if len(parts) > 1
                        else ""
                    )
                    faults.append(
                        say(
                            "{short_title}{which}: {fault}",
                            short_title=column.short_title,
                            which=which,
                            fault=fault[0],
                        )
                    )
                    kinds.append(fault[1])
        if not found:
            text = joined("; ", dict.fromkeys(faults)) or say("no phone number")
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
            return say(
                "{reading} ({part} characters, {digits} digits)",
                reading=reading,
                part=len(part),
                digits=digits,
            ), None
        doubts = list(_doubts_about(reading, self.country))
        if not _means_mobiles(column.title) and Kind.LANDLINE not in self.refused:
            doubts = [doubt for doubt in doubts if doubt[0] is not Kind.LANDLINE]
        refused = next(((text, kind) for kind, text in doubts if self.is_bad(kind)), None)
        if refused is not None:
            return refused
        for doubt, words in doubts:
            remark(doubt, say("{short_title}: {words}", short_title=column.short_title, words=words))
        found.setdefault(line_of(reading), reading.e164)
        return None

    def _country(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> str:
        """The country of the row: by the first of its columns that says one, else the file's.

        Raises:
            UnusableRowError: what the columns say is no country.
        """
        found: dict[str, str] = {}
        unknown: dict[str, str] = {}
        for column in self.columns.of(Role.COUNTRY_CODE):
            text = cells.one_line(texts[column.position]).removeprefix("'")
            if not is_nothing(text):
                country = country_named(text)
                (unknown if country is None else found)[text] = country or column.title
        for text, title in unknown.items():
            if not found:
                known = say("write CL, 56 or Chile")
                raise UnusableRowError(
                    say("the country {text!r} is not known: {known}", text=text[:40], known=known)
                )
            remark(
                Kind.ASSUMED,
                say(
                    "{title}: the country {text!r} is not known, and another column's is used",
                    title=title,
                    text=text[:40],
                ),
            )
        if not found:
            return self.country
        used, *others = _without_repeated_codes(found)
        different = [text for text in others if found[text] != found[used]]
        if different:
            texts_of = say("{different!r}, and {used!r} is used", different=different[0][:40], used=used[:40])
            remark(
                Kind.ASSUMED, say("the row's columns of countries disagree: {texts_of}", texts_of=texts_of)
            )
        return found[used]

    def _amount(
        self, line: Line, texts: Sequence[str], country: str, remark: Callable[[Kind, str], None]
    ) -> dict[str, Any]:
        found = self.columns.of(Role.DEBT_AMOUNT)
        if not found:
            return {"debt_amount": None}
        column = found[0]
        cell = line.cells[column.position] if column.position < len(line.cells) else None
        text = cell.typed_text if isinstance(cell, ShownNumber) else texts[column.position]
        if is_nothing(text):
            error = say(": the sheet has the error {text}", text=text) if text.startswith("#") else ""
            remark(
                Kind.AMOUNT,
                say("{short_title}: there is no amount{error}", short_title=column.short_title, error=error),
            )
            return {"debt_amount": None}
        said = self._currency(texts, column.currency)
        amount = read_amount(cell if isinstance(cell, int | float) else text, self.country, said)
        if isinstance(amount, AmountFault):
            which = unknown_words(text, self.country) if amount is AmountFault.UNKNOWN_WORD else []
            named = say(": {which}", which=joined(", ", which)[:40]) if which else ""
            raise UnusableRowError(
                say(
                    "{short_title}: {text!r}: {amount}{named}",
                    short_title=column.short_title,
                    text=text[:40],
                    amount=amount,
                    named=named,
                )
            )
        if said is not None and amount.currency not in {None, said} and said not in amount.may_be:
            whose = say("its title") if column.currency else say("the currency column")
            raise UnusableRowError(
                say(
                    "the amount is in {currency}, and {whose} says {said}",
                    currency=amount.currency,
                    whose=whose,
                    said=said,
                )
            )
        if amount.assumed is not None:
            remark(
                Kind.ASSUMED,
                say(
                    "{short_title}: {text!r} is read as {value}: {assumed}",
                    short_title=column.short_title,
                    text=text[:40],
                    value=amount.value,
                    assumed=amount.assumed,
                ),
            )
        if amount.value == 0:
            remark(Kind.AMOUNT, say("{short_title}: the amount is 0", short_title=column.short_title))
        self._remark_currency(
            say("{short_title}: {text!r}", short_title=column.short_title, text=text[:40]),
            amount,
            said,
            country,
            remark,
        )
        whole = amount.value == amount.value.to_integral_value()
        value = int(amount.value) if whole else float(amount.value)
        return {"debt_amount": value, "currency": said or amount.currency}

    def _remark_currency(
        self, cell: str, amount: Amount, said: str | None, country: str, remark: Callable[[Kind, str], None]
    ) -> None:
        """Remark a fraction of a currency without one, and a currency that only the file's country says."""
        own = OF_COUNTRY.get(self.country)
        currency = said or amount.currency or own
        has_fraction = amount.value != amount.value.to_integral_value()
        if currency is not None and has_fraction and get_currency_precision(currency) == 0:
            remark(
                Kind.ASSUMED,
                say(
                    "{cell} is read as {value}, and {currency} has no decimals",
                    cell=cell,
                    value=amount.value,
                    currency=currency,
                ),
            )
        is_named = said is not None or (amount.currency is not None and not amount.may_be)
        if not is_named and own is not None and OF_COUNTRY.get(country, own) != own:
            remark(
                Kind.ASSUMED,
                say(
                    "{cell} is taken for {own}, and the row's country is {country}",
                    cell=cell,
                    own=own,
                    country=country,
                ),
            )

    def _currency(self, texts: Sequence[str], of_title: str | None) -> str | None:
        """The currency by the title of the amounts and by a column of currencies, which must agree."""
        text = self._one(texts, Role.CURRENCY)
        if text is None:
            return of_title
        word = cells.fold_accents(text.casefold()).strip(" .")
        code = SYMBOLS.get(word, text.upper() if text.upper() in CODES else None)
        may_be: frozenset[str] = frozenset()
        if code is None:
            read = read_amount(f"1 {text}", self.country)
            code, may_be = (read.currency, read.may_be) if isinstance(read, Amount) else (None, may_be)
        if code is None:
            raise UnusableRowError(
                say("the currency {text!r} is not known: write its code, such as CLP", text=text[:40])
            )
        if of_title not in {None, code} and of_title not in may_be:
            raise UnusableRowError(
                say(
                    "the amount is in {of_title}, and the currency column says {code}",
                    of_title=of_title,
                    code=code,
                )
            )
        return of_title or code

    def _due_date(
        self, line: Line, texts: Sequence[str], country: str, remark: Callable[[Kind, str], None]
    ) -> str | None:
        text = self._one(texts, Role.DUE_DATE)
        if self.counts_from_1904 and text is not None:
            cell = line.cells[self.columns.of(Role.DUE_DATE)[0].position]
            text = cells.clean(_days_from_1900(cell))
        found = None if text is None else read_date(text, country)
        if text is None or found is None:
            return None
        title = self.columns.of(Role.DUE_DATE)[0].short_title
        if isinstance(found, DateFault):
            raise UnusableRowError(
                say("{title}: {text!r}: {found}", title=title, text=text[:40], found=found)
            )
        if found.assumed is not None:
            remark(
                Kind.ASSUMED,
                say(
                    "{title}: {text!r} is read as {day}: {assumed}",
                    title=title,
                    text=text[:40],
                    day=found.day.isoformat(),
                    assumed=found.assumed,
                ),
            )
        read = ReadDay(
            text=text,
            day=found.day,
            country=country,
            today=self.today,
            in_other_order=found.in_other_order,
        )
        warning = date_warning(read)
        if warning is not None:
            remark(Kind.DATE, say("{title}: {warning}", title=title, warning=warning))
        return found.day.isoformat()


def _undecorated(text: str) -> str:
    """Without what keeps a text in a spreadsheet: the apostrophe of ``'0123`` or ``'=1``, and ``="0123"``."""
    match = _TEXT_FORMULA.fullmatch(text)
    if match is not None:
        return match[1].replace('""', '"').strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return (quoted[1] or quoted[2]).strip()
    return text[1:].strip() if _KEPT_AS_TEXT.match(text) else text


def _days_from_1900(cell: Any) -> Any:
    return cell + _DAYS_TO_1904 if isinstance(cell, int | float) else cell


def _as_typed(cell: object) -> str | int | float:
    """As its format shows it, in words and decimals: the file of bad rows has no formats."""
    if not isinstance(cell, ShownNumber):
        return _as_written(cell)
    shown = ShownNumber(cell.rounded_value, cell.form)
    return shown.typed_text if cell.form.before or cell.form.behind else _as_written(float(shown))


def _as_written(cell: object) -> str | int | float:
    if isinstance(cell, ShownNumber):
        return cell.text if cell.form.sign else _as_written(float(cell))
    if isinstance(cell, float) and math.isfinite(cell):
        return int(cell) if cell.is_integer() else cell
    return cell if isinstance(cell, int) else cells.clean(cell)[:MAX_CELL_CHARACTERS]


def _readings(text: str, area: str | None, country: str) -> list[tuple[str, Number | Fault]]:
    """The numbers of a cell; the area code of its own column counts where the number needs it."""
    found = read_cell(text, country)
    if area is None or any(isinstance(reading, Number) and reading.is_valid for _, reading in found):
        return found
    whole = read_cell(f"{area.strip('()')} {text}", country)
    return whole if all(isinstance(reading, Number) and reading.is_valid for _, reading in whole) else found


def _means_mobiles(title: str) -> bool:
    return any(word.rstrip("0123456789") in MOBILE_WORDS for word in cells.fold(title).split())


def _doubts_about(number: Number, country: str) -> Iterable[tuple[Kind, str]]:
    if not number.is_valid:
        yield Kind.UNASSIGNED, say("the numbering plan has no such number")
    if is_placeholder(number):
        yield Kind.PLACEHOLDER, say("the number looks like one that only fills the field")
    if number.kind == "service":
        yield Kind.SERVICE, say("a service number, not a person's")
    if number.kind == "landline":
        yield Kind.LANDLINE, say("a landline")
    if number.country is not None and number.country != country.upper():
        yield Kind.FOREIGN, say("a number of {country}", country=number.country)
    if number.assumed is not None:
        yield Kind.ASSUMED, say("assumed: {assumed}", assumed=number.assumed)
    if number.note is not None:
        yield Kind.NOTE, say("words beside the number are not used")


def _without_repeated_codes(found: Mapping[str, str]) -> list[str]:
    """The texts without calling codes that another one is more exact about: 1 beside ``PR`` says nothing."""
    named = {
        phonenumbers.country_code_for_region(country)
        for text, country in found.items()
        if calling_code(text) is None
    }
    return [text for text in found if calling_code(text) not in named]


class SharedLines:
    """The lines (by their identity) that stand under so many people of a file, told row by row."""

    def __init__(self, at_least: int = 3) -> None:
        self._at_least = at_least
        #: Of each line the first person, and of most lines there is no other: who, and in which row.
        self._first: dict[str, tuple[str, int]] = {}
        self._further: dict[str, list[tuple[str, int]]] = {}

    def add(self, row: Row) -> None:
        """Note the people of a row's lines."""
        who = compact_id(cells.fold(row.dni)) if row.dni else cells.fold(row.name or f"line {row.line}")
        note = (who, row.line)
        for line in row.lines:
            if self._first.setdefault(line, note) is not note:
                self._further.setdefault(line, []).append(note)

    def find_shared(self) -> tuple[frozenset[str], frozenset[int]]:
        """Those lines, and the rows (by their line in the file) that have one."""
        shared: set[str] = set()
        rows: set[int] = set()
        for line, further in self._further.items():
            notes = [self._first[line], *further]
            if len({who for who, _ in notes}) >= self._at_least:
                shared.add(line)
                rows.update(row for _, row in notes)
        return frozenset(shared), frozenset(rows)
