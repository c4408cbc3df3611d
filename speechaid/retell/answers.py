"""Reading Retell's answers: JSON that the database can hold, waits, dates, and messages without secrets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from speechaid.model.masking import mask_bare_phones
from speechaid.model.verdict import storable

#: Upper bound of a wait that Retell asks for, in seconds: a wrong date must not stop dialling for a year.
LONGEST_WAIT_SECONDS: Final = 3600.0

_LONGEST_MESSAGE: Final = 200
#: Fields of an error answer that repeat the request: its field names blame nothing.
_ECHOES: Final = frozenset({"request", "input", "payload", "params", "headers", "metadata"})
_SECRET: Final = re.compile(r"\b(key_\w+|Bearer\s+\S+)", re.IGNORECASE)


def parse(content: bytes) -> Any:
    """JSON as values that the database can hold.

    Raises:
        ValueError: this is not JSON.
    """
    try:
        return storable(json.loads(content, parse_constant=_refuse))
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def message(body: object) -> str:
    """Retell's error message: one line of at most 200 characters, numbers and keys masked; may be empty."""
    text = next(_messages(body), "")
    line = " ".join(text.split())
    return mask(line)[:_LONGEST_MESSAGE]


def mask(text: str) -> str:
    """The text with its phone numbers and keys masked."""
    return mask_bare_phones(_SECRET.sub("***", text))


def refusal_text(body: object) -> str:
    """All keys and strings of a refusal in one line, without a request that it echoes."""
    return " ".join(_strings(body))


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """The header ``x-should-retry``; None where it was not sent."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds to wait, 0 to 3600: the header ``retry-after-ms``, else ``Retry-After`` (seconds or a date)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return _bounded(seconds)
    until = _date(value)
    # Retell's date is relative to Retell's clock, which the Date header shows.
    reference = date(headers) or now
    if until is None or reference is None:
        return None
    return _bounded((until - reference).total_seconds())


def date(headers: Mapping[str, str]) -> datetime | None:
    """The ``Date`` header as aware UTC; None where it is missing or unreadable."""
    return _date(headers.get("date"))


def _date(value: str | None) -> datetime | None:
    try:
        result = parsedate_to_datetime(value or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return result.replace(tzinfo=UTC) if result.tzinfo is None else result.astimezone(UTC)


def _number(value: str | None) -> float | None:
    try:
        result = float(value or "")
    except ValueError:
        return None
    return result if math.isfinite(result) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _messages(body: object) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for entry in body:
            yield from _messages(entry)
    elif isinstance(body, Mapping):
        for name in ("message", "error_message", "error", "detail", "msg", "errors"):
            if body.get(name):
                yield from _messages(body[name])


def _strings(body: object) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for entry in body:
            yield from _strings(entry)
    elif isinstance(body, Mapping):
        for key, entry in body.items():
            if key not in _ECHOES:
                yield str(key)
                yield from _strings(entry)
