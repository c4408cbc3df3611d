"""What may be shown of a phone number and of a secret."""

from __future__ import annotations

import hashlib
import re
from typing import Final

#: Digits of a number, blanks and the usual marks between them; at most E.164's 15.
_DIGITS: Final = r"\d(?:[ .()/-]{0,2}\d){7,14}"
#: A number in international form, also as a URL spells the plus.
_INTERNATIONAL: Final = re.compile(rf"(?i)(\+|%2B){_DIGITS}(?!\d)")
#: A number without its plus: only its place can tell that it is one.
_BARE: Final = re.compile(rf"(?<![\w+]){_DIGITS}(?!\w)")


def mask_phone(number: str) -> str:
    """``+56912345634`` as ``+569******34``: the beginning of the country and area, and the last two digits.

    Of a number of fewer than ten digits the beginning would tell too much, of one below eight any part.
    """
    plus = "+" if number.strip().startswith("+") else ""
    digits = re.sub(r"\D", "", number)
    shown, last = (3 if len(digits) >= 10 else 0), (2 if len(digits) >= 8 else 0)
    hidden = "*" * (len(digits) - shown - last)
    return plus + digits[:shown] + hidden + digits[len(digits) - last :]


def mask_phones(text: str) -> str:
    """Any text with every number in international form masked."""
    if "+" not in text and "%" not in text:
        return text  # no regular expression for each word of each line of a log
    return _INTERNATIONAL.sub(lambda match: mask_phone("+" + match[0].removeprefix(match[1])), text)


def mask_bare_phones(text: str) -> str:
    """As ``mask_phones``, and what looks like a number without its plus; for places where numbers stand."""
    return _BARE.sub(lambda match: mask_phone(match[0]), mask_phones(text))


def fingerprint(secret: str) -> str:
    """A short name for a secret, from which it cannot be had."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]
