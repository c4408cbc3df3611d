"""Understands one row of a contacts file: a contact that can be called, or why not. Pure.

Nothing is changed in silence: what is not understood makes the row bad, what is assumed is a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import phonenumbers

from speechaid.campaign import cells
from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.countries import calling_code, country_named
from speechaid.campaign.kinds import Kind, KindChoices
from speechaid.campaign.names import in_spoken_order
from speechaid.campaign.national_ids import compact_id, plain_id, wrong_id
from speechaid.campaign.opt_outs import WORDS as OPT_OUT_WORDS
from speechaid.campaign.opt_outs import asks_not_to_be_called
from speechaid.campaign.row_debts import DebtReader
from speechaid.campaign.row_phones import PhoneReader
from speechaid.campaign.row_texts import clean_texts, remark_ambiguous, text_of
from speechaid.campaign.rows import LeftOutRowError, Remark, Remarking, Row, UnusableRowError
from speechaid.campaign.tables import QUOTE_FAULTS, Line
from speechaid.campaign.titles import COMPANY_IDS, REMARK_COLUMNS, Role
from speechaid.campaign.words_for_nothing import is_ambiguous, is_nothing
from speechaid.model.reading import Document
from speechaid.protocol.translation import LANGUAGES, in_language, joined, say

#: Roles of which a row of totals has nothing.
_OF_PERSON: Final = (Role.PHONE, Role.DNI)
#: First words of rows below a table that are of no person.
TOTAL_WORDS: Final = frozenset(
    {"total", "totales", "subtotal", "subtotales", "sub", "suma", "sumas", "sumatoria", "grand", "gran"}
    | {"fuente", "fuentes", "source", "nota", "notas", "note", "soma", "fonte"}
)
_Part = TypeVar("_Part")


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """Reads rows under the columns and choices of one file."""

    columns: Columns
    #: ISO 3166 alpha-2, of national numbers without a country of their own.
    country: str
    choices: KindChoices
    #: The columns of the heading, with those behind the last title.
    width: int
    phones: PhoneReader
    debts: DebtReader

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
            if self.choices.is_bad(kind):
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
        phones = part(lambda: self.phones.read(texts, country, remark)) if known else None
        name = part(lambda: self._name(texts, remark))
        dni = part(lambda: self._id(texts, country, remark))
        amount = part(lambda: self.debts.amount(line, texts, country, remark))
        due_date = part(lambda: self.debts.due_date(line, texts, country, remark))
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

    def _variables(self, texts: Sequence[str], remark: Remarking) -> Document:
        found: Document = {}
        for column in self.columns.of(Role.VARIABLE):
            text = texts[column.position]
            if not is_nothing(text):
                found[str(column.variable)] = text
            elif text:
                remark_ambiguous(column, text, remark)
        return found

    def _refuse_broken_quotes(self, texts: Sequence[str]) -> None:
        """Refuse a row of a file of bad rows whose quotes were broken, and that has them still."""
        if self.columns.is_of_bad_rows and any('"' in text for text in texts):
            reasons = [texts[place] for place in self.columns.reason_places]
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
        return self.phones.titles_of_lines(texts, self._country(texts, lambda _kind, _text: None))

    def _texts(self, line: Line) -> list[str]:
        return clean_texts(line, self.columns, self.width)

    def _remark_lost_letters(self, texts: Sequence[str], remark: Remarking) -> None:
        """Remark the character that programs write for a letter that they could not read."""
        for column in self.columns.columns if "\ufffd" in "".join(texts) else ():
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
        return text_of(role, self.columns, texts)

    def _name(self, texts: Sequence[str], remark: Remarking) -> str | None:
        columns = (*self.columns.of(Role.NAME), *self.columns.of(Role.SURNAME))
        parts = [cells.one_line(texts[column.position]) for column in columns]
        # A number is nobody's name: the agent would say it.
        name = " ".join(part for part in parts if not is_nothing(part) and any(map(str.isalpha, part)))
        for column, part in zip(columns, parts, strict=True) if any(map(is_ambiguous, parts)) else ():
            remark_ambiguous(column, part, remark)
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

    def _id(self, texts: Sequence[str], country: str, remark: Remarking) -> str | None:
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

    def _country(self, texts: Sequence[str], remark: Remarking) -> str:
        """The country of the row: by the first of its columns that says one, else the file's.

        Raises:
            UnusableRowError: what the columns say is no country.
        """
        found: dict[str, str] = {}
        unknown: dict[str, str] = {}
        for column in self.columns.of(Role.COUNTRY_CODE):
            text = cells.one_line(texts[column.position]).removeprefix("'")
            if is_ambiguous(text):
                remark_ambiguous(column, text, remark)
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


def _not_to_be_called(column: Column, text: str) -> str:
    return say(
        "{short_title}: {one_line!r}: the person is not called; speechctl dnc-add puts the"
        " number on the do-not-call list, which holds for every file",
        short_title=column.short_title,
        one_line=cells.one_line(text)[:40],
    )


def _without_repeated_codes(found: Mapping[str, str]) -> list[str]:
    """The texts without calling codes that another one is more exact about: 1 beside ``PR`` says nothing."""
    named = {
        phonenumbers.country_code_for_region(country)
        for text, country in found.items()
        if calling_code(text) is None
    }
    return [text for text in found if calling_code(text) not in named]
