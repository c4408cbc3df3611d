"""Understands one row of a contacts file: a contact that can be called, or why not. Pure.

Nothing is changed in silence: what is not understood makes the row bad, what is assumed is a remark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final, TypeVar

import phonenumbers
from babel.numbers import get_currency_precision

from speechaid.campaign import cells
from speechaid.campaign.amounts import Amount, AmountFault, read_amount, thousands_mark, unknown_words
from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.countries import calling_code, country_named
from speechaid.campaign.date_warnings import ReadDay, date_warning
from speechaid.campaign.dates import DateFault, order_of, read_date
from speechaid.campaign.kinds import KINDS, Kind
from speechaid.campaign.names import in_spoken_order
from speechaid.campaign.national_ids import compact_id, plain_id, wrong_id
from speechaid.campaign.number_formats import ShownNumber
from speechaid.campaign.opt_outs import WORDS as OPT_OUT_WORDS
from speechaid.campaign.opt_outs import asks_not_to_be_called
from speechaid.campaign.tables import MAX_COLUMNS, QUOTE_FAULTS, Line
from speechaid.campaign.titles import COMPANY_IDS, MOBILE_WORDS, REMARK_COLUMNS, Role
from speechaid.campaign.whole_file import DateOrders, ThousandsMarks
from speechaid.campaign.words_for_nothing import is_ambiguous, is_nothing
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document
from speechaid.protocol.translation import LANGUAGES, in_language, joined, say, say_later
from speechaid.rules.currencies import CODES, OF_COUNTRY, SYMBOLS
from speechaid.rules.numbering_plans import usual_lengths
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
_SHARED: Final = say_later("the number {phone} stands under", phone="\0")
#: The reason that says so, in each language: a file of bad rows has them in that of who wrote it.
_SHARED_IN_REASON: Final = tuple(
    re.compile(r"(\+[\d*]+)".join(map(re.escape, in_language(_SHARED, language).split("\0"))))
    for language in LANGUAGES
)
_SHARED_BEFORE: Final = say_later(
    "three people or more of the file that this row comes from: enter another number, or empty _reason"
)
#: Roles of which a row of totals has nothing.
_OF_PERSON: Final = (Role.PHONE, Role.DNI)
#: First words of rows below a table that are of no person.
TOTAL_WORDS: Final = frozenset(
    {"total", "totales", "subtotal", "subtotales", "sub", "suma", "sumas", "sumatoria", "grand", "gran"}
    | {"fuente", "fuentes", "source", "nota", "notas", "note", "soma", "fonte"}
)
_TEXT_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')


#: From 1899-12-30 to 1904-01-01.
_DAYS_TO_1904: Final = 1462
_Part = TypeVar("_Part")


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
    #: What the rows show about each other, told row by row.
    dates: DateOrders = field(default_factory=DateOrders)
    thousands: ThousandsMarks = field(default_factory=ThousandsMarks)

    @cached_property
    def _is_of_bad_rows(self) -> bool:
        """Whether ``speechctl`` wrote the file."""
        return bool(REMARK_COLUMNS.intersection(self.columns.titles))

    @cached_property
    def _reason_places(self) -> tuple[int, ...]:
        """Where a file of bad rows has line and reason."""
        return tuple(place for place, title in enumerate(self.columns.titles) if title in REMARK_COLUMNS)

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
            LeftOutRowError: the file says that the person is not to be called.
        """
        if line.fault:
            raise UnusableRowError(line.fault)
        texts = self._texts(line)
        self._refuse_broken_quotes(texts)
        self._leave_out_opted_out(texts)
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
            additional_info=self._variables(texts, remark),
        )
        return row, remarks

    def _variables(self, texts: Sequence[str], remark: Callable[[Kind, str], None]) -> Document:
        found: Document = {}
        for column in self.columns.of(Role.VARIABLE):
            text = texts[column.position]
            if not is_nothing(text):
                found[str(column.variable)] = text
            elif text:
                _remark_ambiguous(column, text, remark)
        return found

    def _refuse_broken_quotes(self, texts: Sequence[str]) -> None:
        """Refuse a row of a file of bad rows whose quotes were broken, and that has them still."""
        if self._is_of_bad_rows and any('"' in text for text in texts):
            reasons = [texts[place] for place in self._reason_places]
            # The file of bad rows may have been written for a reader of another language.
            spoken = [in_language(fault, language) for fault in QUOTE_FAULTS for language in LANGUAGES]
            fault = next((fault for fault in spoken if any(fault in text for text in reasons)), None)
            if fault is not None:
                raise UnusableRowError(
                    say("{fault}: take out the quotes, or empty the cell under _reason", fault=fault)
                )

    def _leave_out_opted_out(self, texts: Sequence[str]) -> None:
        """Leave out who asked not to be called; what is not understood there is not called either."""
        for column in self.columns.of(Role.DO_NOT_CALL):
            text = texts[column.position]
            is_asked = asks_not_to_be_called(text) if text else False
            if is_asked is None:
                key = column.title or column.number
                raise UnusableRowError(
                    say(
                        "{short_title}: {one_line!r} is neither yes nor no: nobody is called on a guess;"
                        " --map '{key}=variable' takes the column for something else",
                        short_title=column.short_title,
                        one_line=cells.one_line(text)[:40],
                        key=key,
                    )
                )
            if is_asked:
                raise LeftOutRowError(_not_to_be_called(column, text), Kind.DO_NOT_CALL)
        for column in self.columns.of(Role.VARIABLE):
            text = texts[column.position]
            if text.lower() in OPT_OUT_WORDS:
                raise LeftOutRowError(_not_to_be_called(column, text), Kind.DO_NOT_CALL)

    def is_of_totals(self, line: Line) -> bool:
        """Whether a bad row is one of totals, or a note below the table: no phone, no id, and such a word."""
        try:
            texts = [] if line.fault else self._texts(line)
        except UnusableRowError:
            return False
        if not texts:
            return False
        of_person = [texts[column.position] for role in _OF_PERSON for column in self.columns.of(role)]
        first = next(
            (
                text
                for title, text in zip(self.columns.titles, texts, strict=True)
                if title not in REMARK_COLUMNS and not is_nothing(text)
            ),
            "",
        )
        has_word = not TOTAL_WORDS.isdisjoint(cells.fold(first).split()[:1])
        return has_word and all(is_nothing(text) or text == first for text in of_person)

    def person_of(self, line: Line) -> tuple[str | None, frozenset[str]]:
        """The id for comparison and the lines (by their identity) of a row that need not be usable."""
        texts = self._texts(line)
        dni = plain_id(self._one(texts, Role.DNI))
        try:
            lines = frozenset(self.titles_of_lines(line))
        except UnusableRowError:
            lines = frozenset()
        return compact_id(cells.fold(dni)) if dni else None, lines

    def titles_of_lines(self, line: Line) -> dict[str, str]:
        """The title under which each line (by its identity) of a row stands first."""
        texts = self._texts(line)
        country = self._country(texts, lambda _kind, _text: None)
        area = self._one(texts, Role.AREA_CODE)
        found: dict[str, str] = {}
        for column in self.columns.of(Role.PHONE):
            for _, reading in _readings(texts[column.position], area, country):
                if isinstance(reading, Number):
                    found.setdefault(line_of(reading), column.short_title)
        return found

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
        for column, part in zip(columns, parts, strict=True) if any(map(is_ambiguous, parts)) else ():
            _remark_ambiguous(column, part, remark)
        if "," in name and len(columns) == 1:
            spoken = in_spoken_order(name)
            if spoken is not None:
                remark(
                    Kind.ASSUMED,
                    say(
                        "{short_title}: {name!r} is said as {spoken!r}",
                        short_title=columns[0].short_title,
                        name=name[:40],
                        spoken=spoken[:40],
                    ),
                )
                name = spoken
        if columns and not name:
            remark(
                Kind.NAME, say("{short_title}: the contact has no name", short_title=columns[0].short_title)
            )
        return name or None

    def _id(self, texts: Sequence[str], country: str, remark: Callable[[Kind, str], None]) -> str | None:
        text = plain_id(self._one(texts, Role.DNI))
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
        shared = self._shared_before(texts)
        for column in self.columns.of(Role.PHONE):
            text = texts[column.position]
            if is_nothing(text):
                continue
            parts = _readings(text, area, country)
            for place, (part, reading) in enumerate(parts, 1):
                if isinstance(reading, Number) and mask_phone(reading.e164) in shared:
                    faults.append(
                        say(
                            "{short_title}: {shared_sentence} {SHARED_BEFORE}",
                            short_title=column.short_title,
                            shared_sentence=shared_sentence(reading.e164),
                            SHARED_BEFORE=_SHARED_BEFORE,
                        )
                    )
                    kinds.append(Kind.SHARED)
                    continue
                fault = self._add_phone(column, part, reading, found, remark)
                if fault is not None:
                    usual = _usual_digits(part, country) if reading is Fault.NOT_OF_THE_PLAN else ""
                    which = (
                        say(", number {place} of {parts} in the cell", place=place, parts=len(parts))
                        if len(parts) > 1
                        else ""
                    )
                    faults.append(
                        say(
                            "{short_title}{which}: {fault}{usual}",
                            short_title=column.short_title,
                            which=which,
                            fault=fault[0],
                            usual=usual,
                        )
                    )
                    kinds.append(fault[1])
        if not found:
            text = joined("; ", dict.fromkeys(faults)) or say("no phone number")
            raise UnusableRowError(text, next(filter(None, kinds), None))
        for text in faults:
            remark(Kind.PHONE, text)
        return {"phones": tuple(found.values()), "lines": tuple(found)}

    def _shared_before(self, texts: Sequence[str]) -> frozenset[str]:
        """Of a row of a file of bad rows: the masked numbers that its reason says others have, too."""
        if not self._is_of_bad_rows or not self.is_bad(Kind.SHARED):
            return frozenset()
        return frozenset(
            number
            for place in self._reason_places
            for pattern in _SHARED_IN_REASON
            for number in pattern.findall(texts[place])
        )

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
            if is_ambiguous(text):
                _remark_ambiguous(column, text, remark)
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
        mark = None if isinstance(cell, int | float) else thousands_mark(text)
        if mark is not None:
            self.thousands.add(line.number, text, mark[0], is_certain=mark[1])
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
        return {"debt_amount": value, "currency": said or amount.currency or column.assumed_currency}

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
        if said is None and amount.may_be and own is not None and own not in amount.may_be:
            remark(
                Kind.ASSUMED,
                say("{cell} is taken for {own}, which is not written so", cell=cell, own=own),
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
        column = self.columns.of(Role.DUE_DATE)[0] if text is not None else None
        if text is None or column is None:
            return None
        order = column.date_order or order_of(country)
        found = read_date(text, order)
        if found is None:
            return None
        title = column.short_title
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
        contradicts = column.date_order is not None and found.written_in not in {None, order}
        read = ReadDay(text=text, day=found.day, today=self.today, contradicts_order=contradicts)
        warning = date_warning(read)
        if warning is not None:
            remark(Kind.DATE, say("{title}: {warning}", title=title, warning=warning))
        if column.date_order is None:
            self.dates.add(line.number, text, found, order)
        return found.day.isoformat()


def _usual_digits(text: str, country: str) -> str:
    """How many digits a country's numbers have, for the sentence on one that no plan has; may be empty."""
    lengths = usual_lengths(country) if "+" not in text else ()
    return (
        say(
            "; numbers of {country} have {lengths} digits",
            country=country,
            lengths=joined(say(" or "), map(str, lengths)),
        )
        if lengths
        else ""
    )


def _remark_ambiguous(column: Column, text: str, remark: Callable[[Kind, str], None]) -> None:
    if is_ambiguous(text):
        remark(
            Kind.ASSUMED,
            say(
                "{short_title}: {text!r} is taken for an empty cell",
                short_title=column.short_title,
                text=text,
            ),
        )


def _not_to_be_called(column: Column, text: str) -> str:
    return say(
        "{short_title}: {one_line!r}: the person is not called; speechctl dnc-add puts the"
        " number on the do-not-call list, which holds for every file",
        short_title=column.short_title,
        one_line=cells.one_line(text)[:40],
    )


def _undecorated(text: str) -> str:
    """Without what keeps a text in a spreadsheet: the apostrophe of ``'0123`` or ``'=1``, and ``="0123"``."""
    match = _TEXT_FORMULA.fullmatch(text)
    if match is not None:
        return match[1].replace('""', '"').strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return (quoted[1] or quoted[2]).strip()
    return text[1:].strip() if _KEPT_AS_TEXT.match(text) else text


def shared_sentence(phone: str) -> str:
    """The begin of the reason of a row whose number others have; the number is masked.

    A file of bad rows has it in ``_reason``: there the row is bad until the number is another one, however
    few rows that file has.
    """
    return say("the number {phone} stands under", phone=mask_phone(phone))


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
