"""Read documents of another program leniently: a wrong type counts as a missing field, never an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Document = dict[str, Any]


def text(value: object) -> str | None:
    """A non-blank string, stripped; a whole number as its digits; anything else is None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        return None
    return value.strip() or None


def number(value: object) -> float | None:
    """An int, float, Decimal128 or numeric string as a float; NaN and anything else is None."""
    if isinstance(value, bool) or value is None:
        return None
    to_decimal = getattr(value, "to_decimal", None)  # bson.Decimal128, without importing bson
    if callable(to_decimal):
        value = to_decimal()
    if not isinstance(value, int | float | Decimal | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if result == result and abs(result) != float("inf") else None  # noqa: PLR0124 - NaN


def whole(value: object, default: int = 0) -> int:
    """A number truncated to an integer, or the default."""
    result = number(value)
    return default if result is None else int(result)


def flag(value: object, *, default: bool) -> bool:
    """A boolean, a number, or one of yes, no, on, off, true, false, 1, 0; anything else is the default."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in {"true", "yes", "on", "1"}:
            return True
        if word in {"false", "no", "off", "0"}:
            return False
    return default


def yes_or_no(value: object) -> bool | None:
    """As ``flag``, but None for what is none of these, and for numbers other than 0 and 1.

    For what may forbid a call: there the caller takes None as a no.
    """
    if isinstance(value, int | float) and value not in {0, 1}:
        return None
    yes, no = flag(value, default=True), flag(value, default=False)
    return yes if yes is no else None


def instant(value: object) -> datetime | None:
    """A datetime or ISO string as aware UTC, else None; one without a zone is UTC, as SpeechAI writes it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:  # within hours of the first or the last year
        return None


def mapping(value: object) -> Mapping[str, Any]:
    """A sub-document, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> list[Any]:
    """A list; a single scalar counts as a list of one."""
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None or isinstance(value, Mapping) else [value]


def not_understood(name: str, value: object, allowed: str) -> str:
    """The sentence for an operator about a field that cannot be understood."""
    return f"{name} {shown(value)} cannot be understood: {allowed}"


def shown(value: object) -> str:
    """The ``repr`` of a stored value, cut to 60 characters."""
    result = repr(value)
    return result if len(result) <= 60 else f"{result[:57]}..."
