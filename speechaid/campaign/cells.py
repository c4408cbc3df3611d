"""Reads cells as people write them: clean text, amounts, dates. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Final

from speechaid.campaign.number_formats import ShownNumber
from speechaid.retell.variables import plain

#: Deleted: control characters except tab and line feed, and invisible marks of copied numbers.
_INVISIBLE: Final = dict.fromkeys(
    [code for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"]
    + [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
)

#: Small letters of names that no decomposition leads to those that everybody can type, and apostrophes.
_OF_NAMES: Final = str.maketrans(
    {
        **dict(zip("øłđðħ\u0131", "olddhi", strict=True)),
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        **dict.fromkeys("'`\u2019\u2018\u02bc\u00b4", ""),
    }
)
#: Spreadsheets show no number with more.
_DIGITS: Final = 15
_ASCII_WORDS: Final = re.compile("[a-z0-9]+")


def clean(value: object) -> str:
    """A cell as text without invisible characters and surrounding blanks; numbers and dates in plain form."""
    if isinstance(value, ShownNumber):
        return value.text
    if isinstance(value, float) and math.isfinite(value):
        # As spreadsheets show it: 514.0999999999999 is the sum of a formula, and 514.1 is meant.
        value = float(f"{value:.{_DIGITS}g}")
    text = value if isinstance(value, str) else plain(value) or ("" if value is None else str(value))
    if not text.isprintable():
        text = text.translate(_INVISIBLE).replace("\xa0", " ")
    return text.strip()


def one_line(text: str) -> str:
    """Text without line ends and repeated blanks."""
    return " ".join(text.split())


def fold(text: str) -> str:
    """Text for comparison: lower case, no accents, words separated by one blank."""
    if text.isascii():
        return " ".join(_ASCII_WORDS.findall(text.lower()))  # the same result, five times faster
    letters = "".join(
        character if character.isalnum() else " "
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )
    return " ".join(letters.split())


def fold_name(text: str) -> str:
    """A name for comparison: as ``fold``, with ``O'Higgins`` as one word and ``Łukasz`` as ``lukasz``."""
    return fold(text.casefold().translate(_OF_NAMES))


def fold_accents(text: str) -> str:
    """Remove accents and keep everything else."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
