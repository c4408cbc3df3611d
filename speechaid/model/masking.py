"""Mask phone numbers, and name secrets by a fingerprint."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

#: The 8 to 15 digits of a number (E.164's maximum), with blanks and the usual separators between them.
_DIGITS: Final = r"\d(?:[ .()/-]{0,2}\d){7,14}"
#: A number in international form, also with the plus encoded for a URL; more digits may be two numbers.
_INTERNATIONAL: Final = re.compile(rf"(?i)(\+|%2B)(?:{_DIGITS}(?!\d)|\d{{16,}}+)")
#: A number without its plus; only the context shows that it is one.
_BARE: Final = re.compile(rf"(?<![\w+]){_DIGITS}(?!\w)")
_MONTH: Final = r"(?:0?[1-9]|1[0-2])"
_DAY: Final = r"(?:0?[1-9]|[12]\d|3[01])"
#: A date as people write it, or a number without its plus.
#: An id of ours from its day on, and as much of it as somebody has typed.
_ID: Final = r"(?:(?<=\bbatch-)|(?<=\bimport-)|(?<=\btest-))(?:19|20)\d{6}(?:-[0-9a-f]{0,8})?"
_DATE_OR_BARE: Final = re.compile(
    rf"(?<![\w+])(?:(?P<date>(?:19|20)\d\d(?P<sep>[-/.]){_MONTH}(?P=sep){_DAY}"
    rf"|{_DAY}(?P<sign>[-/.]){_MONTH}(?P=sign)(?:19|20)\d\d)|(?P<id>{_ID})|{_DIGITS})(?!\w)"
)


def mask_phone(number: str) -> str:
    """``+56912345634`` as ``+569******34``: the first three digits, and the last two.

    With fewer than ten digits the first three are masked too, with fewer than eight all.
    """
    plus = "+" if number.strip().startswith("+") else ""
    digits = re.sub(r"\D", "", number)
    shown, last = (3 if len(digits) >= 10 else 0), (2 if len(digits) >= 8 else 0)
    hidden = "*" * (len(digits) - shown - last)
    return plus + digits[:shown] + hidden + digits[len(digits) - last :]


def mask_each(numbers: Sequence[str]) -> list[str]:
    """Each number of a person masked; those that look alike then are told apart by their place, from 1.

    ``+569******34 (1)`` and ``+569******34 (3)`` are the first and the third phone.
    """
    masked = [mask_phone(number) for number in numbers]
    return [
        f"{shown} ({place})" if masked.count(shown) > 1 else shown for place, shown in enumerate(masked, 1)
    ]


def mask_phones(text: str) -> str:
    """Mask every number in international form in a text."""
    if "+" not in text and "%" not in text:
        return text  # saves a regular expression for most log fields
    return _INTERNATIONAL.sub(lambda match: mask_phone("+" + match[0].removeprefix(match[1])), text)


def mask_bare_phones(text: str) -> str:
    """As ``mask_phones``, and also what looks like a number without a plus; for fields that hold numbers."""
    return _BARE.sub(lambda match: mask_phone(match[0]), mask_phones(text))


def mask_prose(text: str) -> str:
    """As ``mask_bare_phones``, for what people type: a reason, a note, a name; dates and our ids stay."""
    return _DATE_OR_BARE.sub(
        lambda match: match[0] if match["date"] or match["id"] else mask_phone(match[0]), mask_phones(text)
    )


def fingerprint(secret: str) -> str:
    """A short name for a secret, from which the secret cannot be recovered."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]
