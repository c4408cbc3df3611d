"""What a spreadsheet's number format shows beside a number, and how much of the number it shows. Pure.

Source of the syntax: ECMA-376 part 1, 18.8.31.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final, Self

from speechaid.rules.currencies import SYMBOLS, currency_named

#: Formats that every spreadsheet knows by their number (ECMA-376 part 1, 18.8.30).
BUILT_IN: Final = {
    "1": "0",
    "2": "0.00",
    "3": "#,##0",
    "4": "#,##0.00",
    "5": '"$"#,##0',
    "6": '"$"#,##0',
    "7": '"$"#,##0.00',
    "8": '"$"#,##0.00',
    "9": "0%",
    "10": "0.00%",
    "37": "#,##0",
    "38": "#,##0",
    "39": "#,##0.00",
    "40": "#,##0.00",
    "41": "#,##0",
    "42": '"$"#,##0',
    "43": "#,##0.00",
    "44": '"$"#,##0.00',
}
#: Longer codes are read as no format: a spreadsheet refuses them.
_MAX_CHARACTERS: Final = 255
#: One token of a format code: text in quotes, an escaped character, a blank of a character's width, a filling
#: character, something in square brackets, the digits, or any other character.
_TOKEN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.?)|_.?|\*.?|\[(?P<bracket>[^\]]*)\]?'
    r"|(?P<digits>general|[0#?]+(?:[., ]+[0#?]+)*[.,]*(?:e[+\-][0#?]+)?)|(?P<marks>[.,]+)"
    r"|(?P<other>;|[^\"\\_*\[0-9#?.,;g]+|.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION: Final = re.compile(r"[<>=]")
#: Letters of the codes for dates and times, which show no sum; ``@`` is for texts.
_OF_OTHERS: Final = frozenset("ymdhs@")


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """What a format shows for a positive number."""

    #: Words before and behind the number, as shown.
    before: str = ""
    behind: str = ""
    #: How many decimals are shown; None where the format does not say.
    decimals: int | None = None
    #: Whether the format itself says that a word is a currency: ``[$Q-100A]``.
    has_currency: bool = False
    #: The number is shown divided by this: 1,000 for each comma behind the last digit.
    divisor: int = 1

    @property
    def sign(self) -> str | None:
        """``%``, or the currency that the words name wherever they stand (ISO 4217 or ``CLF``).

        A dollar sign alone is the country's own currency, as in a text: it is not named here.
        """
        if "%" in self.before + self.behind:
            return "%"
        for words in (self.before, self.behind):
            letters = unicodedata.normalize("NFKD", words.casefold())
            word = "".join(letter for letter in letters if not unicodedata.combining(letter)).strip(" .")
            found = currency_named(word) or (SYMBOLS.get(word) if self.has_currency else None)
            if found is not None:
                return found
        return None

    @property
    def is_plain(self) -> bool:
        """Whether the number alone says everything that is shown."""
        return not self.before and not self.behind and self.decimals is None and self.divisor == 1


class ShownNumber(float):
    """A number of a spreadsheet, and the format that it is shown in."""

    form: NumberFormat

    def __new__(cls, value: float | Decimal, form: NumberFormat) -> Self:
        """Keep the format beside the number."""
        number = super().__new__(cls, value)
        number.form = form
        return number

    @property
    def text(self) -> str:
        """With the percent sign or the currency of its format: ``15%``, ``12.50 CLF``; else the number."""
        sign = self.form.sign
        if sign == "%":
            return f"{round(self * 100, 10):g}%"
        return f"{self._digits} {sign}" if sign else repr(float(self)).removesuffix(".0")

    @property
    def typed_text(self) -> str:
        """As a person would type what is shown: with every word of the format."""
        if "%" in self.form.before + self.form.behind:
            return self.text
        return " ".join(filter(None, (self.form.before, self._digits, self.form.behind)))

    @property
    def rounded_value(self) -> Decimal:
        """The number as its format rounds it."""
        exact = Decimal(repr(float(self)))
        places = self.form.decimals
        if places is None or self.form.divisor != 1 or abs(self) >= 10**15:
            return exact
        return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)

    @property
    def _digits(self) -> str:
        if self.is_integer() and abs(self) < 10**15:
            return f"{self:.0f}"
        # With two decimals or four: three would be read as thousands.
        return f"{self:.2f}" if round(self, 2) == round(self, 9) else f"{self:.4f}"


@lru_cache(maxsize=1024)
def read_format(code: str) -> NumberFormat | None:
    """What a format code shows; None for dates and texts, and where nothing is added or left out."""
    if len(code) > _MAX_CHARACTERS:
        return None
    sections = _sections(code)
    # Only where a section has a condition, the others are for positive numbers, too.
    shown = sections if any(section.has_condition for section in sections) else sections[:1]
    if any(section.is_for_others for section in shown):
        return None
    first = shown[0]
    found = NumberFormat(
        before=" ".join(filter(None, (section.before for section in shown))),
        behind=" ".join(filter(None, (section.behind for section in shown))),
        decimals=first.decimals if len({section.decimals for section in shown}) == 1 else None,
        divisor=max(section.divisor for section in shown),
        has_currency=any(section.has_currency for section in shown),
    )
    return None if found.is_plain else found


@dataclass
class _Section:
    before: str = ""
    behind: str = ""
    decimals: int | None = None
    divisor: int = 1
    has_digits: bool = False
    has_condition: bool = False
    has_currency: bool = False
    #: ``.00``, or the end of a word: it is not known which.
    begins_with_mark: bool = False
    letters: str = ""

    @property
    def is_for_others(self) -> bool:
        """Whether it is for dates, times or texts: of digits they have only those of seconds."""
        return bool(self.letters) and (not self.has_digits or "s" in self.letters)

    def add_text(self, text: str) -> None:
        if self.has_digits:
            self.behind += text
        else:
            self.before += text


def _sections(code: str) -> list[_Section]:
    sections = [_Section()]
    position = 0
    while match := _TOKEN.match(code, position):
        position = match.end()
        section = sections[-1]
        kind, text = match.lastgroup, match[match.lastgroup] if match.lastgroup else " "
        if kind == "other" and text == ";":
            sections.append(_Section())
        elif kind == "bracket":
            _add_bracket(section, text)
        elif kind == "digits":
            _add_digits(section, text.casefold())
        elif kind == "marks" and not section.has_digits:
            section.begins_with_mark = True
        else:
            section.add_text(text)
            section.letters += "".join(_OF_OTHERS.intersection(text.casefold())) if kind == "other" else ""
    for section in sections:
        section.before, section.behind = (" ".join(text.split()) for text in (section.before, section.behind))
    return sections


def _add_bracket(section: _Section, text: str) -> None:
    if text.startswith("$"):
        section.add_text(text[1:].partition("-")[0])
        section.has_currency = True
    elif _CONDITION.match(text):
        section.has_condition = True
    elif text.casefold() in ("h", "hh", "m", "mm", "s", "ss"):
        section.letters += "s"


def _add_digits(section: _Section, text: str) -> None:
    if section.has_digits:  # such as ``##\.###\.###\-0``: the characters between are no decimals
        section.decimals = None
        section.behind = ""
        return
    section.has_digits = True
    if text == "general" or "e" in text or section.begins_with_mark:
        return
    whole, point, fraction = text.partition(".")
    section.decimals = sum(character in "0#?" for character in fraction) if point else 0
    last = fraction if point else whole
    section.divisor = 1000 ** (len(last) - len(last.rstrip(",")))
