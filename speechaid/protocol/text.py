"""Numbers with nouns, names of files whatever bytes they have, passwords in addresses; pure.

Standard library only.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

#: Control characters, lone surrogates and marks that reorder text; they must not reach a log or a terminal.
UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: The user in an address, as far as the colon before the password.
_USER: Final = re.compile("://[^:/?#]*:")
_WORD: Final = re.compile(r"\S+")
#: An id that no shell expands, splits or takes for an option; all ids that speechaid makes are such.
SAFE_ID: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
#: Python's stand-ins for bytes of a name or an argument that are not UTF-8, and other lone surrogates.
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 call``, ``2 calls``; ``many`` is a plural without s: ``1 job waits``, ``2 jobs wait``."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def printable_name(name: object) -> str:
    r"""A file's name in printable characters: ``campa\xf1a.csv`` if in Latin-1, ``a\nb`` with a line end."""
    return UNPRINTABLE.sub(_escape, str(name))


def encodable_text(text: str) -> str:
    r"""The text with what UTF-8 and strict readers of JSON refuse as an escape: ``campa\xf1a.csv``."""
    return _SURROGATES.sub(_escape, text)


def encode_json(value: object, **options: Any) -> bytes:
    """A value as JSON in UTF-8, lone surrogates in its texts as ``encodable_text`` writes them.

    ``json.dumps`` alone writes them as escapes that strict readers refuse, or cannot encode them.
    """
    return json.dumps(value, ensure_ascii=False, **options).encode("utf-8", _IN_JSON)


def split_at_password(address: str) -> tuple[str, str, str] | None:
    """Split an address at its password: before it, the password, from the last ``@`` on; None without one.

    The last ``@`` is looked for first: one pattern for both ends takes time with the square of the length.
    """
    before, at, rest = address.rpartition("@")
    user = _USER.search(before)
    return (before[: user.end()], before[user.end() :], at + rest) if user else None


def hide_passwords(text: str) -> str:
    """The text with ``mongodb://user:***@host`` for each word that is an address with a password."""
    return _WORD.sub(lambda match: hide_password(match[0]), text) if "://" in text else text


def hide_password(address: str) -> str:
    """``mongodb://user:***@host``; an address may have blanks."""
    parts = split_at_password(address)
    return f"{parts[0]}***{parts[2]}" if parts else address


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return ascii(match[0])[1:-1]


def _escape_in_json(error: UnicodeError) -> tuple[str, int]:
    """The error handler: a backslash within a text of JSON is written twice."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - only ``encode_json`` names this handler
    return encodable_text(error.object[error.start : error.end]).replace("\\", "\\\\"), error.end


_IN_JSON: Final = "speechaid.escape_in_json"
codecs.register_error(_IN_JSON, _escape_in_json)
