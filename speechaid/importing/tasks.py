"""What reader processes do, and which refusals of theirs the daemon passes on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from speechaid.errors import ImportFailed, NotFound, SpeechaidError, StoreError, StoreUnavailable


class FileTask(StrEnum):
    """What a file is read as; its value is the module of this package that reads it."""

    CONTACTS = "contacts"
    NUMBERS = "numbers"
    IDS = "ids"


#: By the name that the child sends; the more special first.
REFUSALS: Final[Mapping[str, type[SpeechaidError]]] = {
    "file": ImportFailed,
    "not_found": NotFound,
    "database_away": StoreUnavailable,
    "database": StoreError,
    "other": SpeechaidError,
}
