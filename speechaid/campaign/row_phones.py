"""The phones of a row: the numbers that may be dialled, in their order, or why there is none. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.kinds import Kind, KindChoices
from speechaid.campaign.row_texts import text_of
from speechaid.campaign.rows import Remarking, UnusableRowError
from speechaid.campaign.titles import Role
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.model.masking import mask_phone
from speechaid.protocol.translation import LANGUAGES, in_language, joined, say, say_later
from speechaid.rules.numbering_plans import usual_lengths
from speechaid.rules.numbers import Fault, Number, is_placeholder, line_of, read_cell

_SHARED: Final = say_later("the number {phone} stands under", phone="\0")
#: The reason that says so, in each language: a file of bad rows has them in that of who wrote it.
_SHARED_IN_REASON: Final = tuple(
    re.compile(r"(\+[\d*]+)".join(map(re.escape, in_language(_SHARED, language).split("\0"))))
    for language in LANGUAGES
)
_SHARED_BEFORE: Final = say_later(
    "three people or more of the file that this row comes from: enter another number, or empty _reason"
)


@dataclass(frozen=True, kw_only=True)
class PhoneReader:
    """Reads the phones of rows under the columns and choices of one file."""

    columns: Columns
    #: ISO 3166 alpha-2, of the file.
    country: str
    choices: KindChoices

    def read(self, texts: Sequence[str], country: str, remark: Remarking) -> dict[str, Any]:
        """The usable numbers in their order, and their lines.

        Raises:
            UnusableRowError: there is none.
        """
        area = text_of(Role.AREA_CODE, self.columns, texts)
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
                if shared and isinstance(reading, Number) and mask_phone(reading.e164) in shared:
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

    def titles_of_lines(self, texts: Sequence[str], country: str) -> dict[str, str]:
        """The title under which each line (by its identity) of a row stands first."""
        area = text_of(Role.AREA_CODE, self.columns, texts)
        found: dict[str, str] = {}
        for column in self.columns.of(Role.PHONE):
            for _, reading in _readings(texts[column.position], area, country):
                if isinstance(reading, Number):
                    found.setdefault(line_of(reading), column.short_title)
        return found

    def _shared_before(self, texts: Sequence[str]) -> frozenset[str]:
        """Of a row of a file of bad rows: the masked numbers that its reason says others have, too."""
        if not self.columns.is_of_bad_rows or not self.choices.is_bad(Kind.SHARED):
            return frozenset()
        return frozenset(
            number
            for place in self.columns.reason_places
            for pattern in _SHARED_IN_REASON
            for number in pattern.findall(texts[place])
        )

    def _add_phone(
        self,
        column: Column,
        part: str,
        reading: Number | Fault,
        found: dict[str, str],
        remark: Remarking,
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
        if doubts and not column.means_mobiles and Kind.LANDLINE not in self.choices.refused:
            doubts = [doubt for doubt in doubts if doubt[0] is not Kind.LANDLINE]
        refused = next(((text, kind) for kind, text in doubts if self.choices.is_bad(kind)), None)
        if refused is not None:
            return refused
        for doubt, words in doubts:
            remark(doubt, say("{short_title}: {words}", short_title=column.short_title, words=words))
        found.setdefault(line_of(reading), reading.e164)
        return None


def shared_sentence(phone: str) -> str:
    """The begin of the reason of a row whose number others have; the number is masked.

    A file of bad rows has it in ``_reason``: there the row is bad until the number is another one, however
    few rows that file has.
    """
    return say("the number {phone} stands under", phone=mask_phone(phone))


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


def _readings(text: str, area: str | None, country: str) -> list[tuple[str, Number | Fault]]:
    """The numbers of a cell; the area code of its own column counts where the number needs it."""
    found = read_cell(text, country)
    if area is None or any(isinstance(reading, Number) and reading.is_valid for _, reading in found):
        return found
    whole = read_cell(f"{area.strip('()')} {text}", country)
    return whole if all(isinstance(reading, Number) and reading.is_valid for _, reading in whole) else found


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
