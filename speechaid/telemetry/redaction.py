"""Redaction of all log fields, whatever the caller passes: numbers are masked and known secrets removed."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from speechaid.model.identity import TOKEN_PREFIX
from speechaid.model.masking import mask_phones, mask_prose
from speechaid.protocol.text import hide_passwords

#: Names of fields that hold phone numbers, with or without a plus, or what operators type, and may quote.
_PHONE_FIELD: Final = re.compile(
    r"(?i)phone|number|msisdn|telefono|celular|caller|callee|^to$|^from$|reason|^note|^summary$"
)
#: Names of fields that are not shown at all.
_SECRET_FIELD: Final = re.compile(r"(?i)api_?key$|password|authorization|secret|curve_?key")
HIDDEN: Final = "(hidden)"
#: A token of the HTTP API; the settings know none.
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{20,}}")
#: Removing a shorter secret would remove harmless text as well.
_SHORTEST_SECRET: Final = 4
_MAX_DEPTH: Final = 6
#: An integer below this is a count, not a phone number.
_SMALLEST_PHONE: Final = 10_000_000


@dataclass(frozen=True)
class Redactor:
    """Turns any value into plain JSON types, without phone numbers and secrets.

    Attributes:
        secrets: in clear, as the settings hold them; also found where quoted for a URL.
    """

    secrets: tuple[str, ...] = ()

    def fields(self, fields: Mapping[str, object]) -> dict[str, Any]:
        """The fields as JSON types."""
        return {self.text(name): self._value(value, name, 0) for name, value in fields.items()}

    def text(self, text: str, *, of_phones: bool = False) -> str:
        """A text without secrets and with numbers masked; ``of_phones``: also numbers without a plus."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        # Passwords that the settings do not know, too: the embedded database makes its own.
        text = hide_passwords(text)
        if TOKEN_PREFIX in text:
            text = _TOKEN.sub(HIDDEN, text)
        return mask_prose(text) if of_phones else mask_phones(text)

    @functools.cached_property
    def _forms(self) -> tuple[str, ...]:
        """Every form in which a secret may appear in a text; computed once."""
        forms = {form for one in self.secrets for form in (one, quote(one, safe=""), repr(one)[1:-1])}
        return tuple(sorted((form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True))

    def _value(self, value: object, name: str, depth: int) -> Any:
        of_phones, of_secrets = _meaning(name)
        if of_secrets and isinstance(value, str | bytes):
            return HIDDEN
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {
                self.text(str(key)): self._value(each, str(key), depth + 1) for key, each in value.items()
            }
        if depth < _MAX_DEPTH and isinstance(value, list | tuple | AbstractSet):
            return [self._value(each, name, depth + 1) for each in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and not (of_phones and abs(value) >= _SMALLEST_PHONE):
            return _number(value)
        return self.text(_as_text(value), of_phones=of_phones)


@functools.lru_cache(maxsize=1024)
def _meaning(name: str) -> tuple[bool, bool]:
    """Whether a field of this name holds a phone number, and whether it holds a secret."""
    return _PHONE_FIELD.search(name) is not None, _SECRET_FIELD.search(name) is not None


def _number(value: float) -> object:
    """Rounded to three decimals; JSON has no infinity, so that becomes text."""
    if isinstance(value, int):
        return int(value)
    return round(value, 3) if math.isfinite(value) else str(value)


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001 - whatever the fault, the log line must be written
        return f"(a {type(value).__name__} that cannot be shown: {type(exc).__name__})"
