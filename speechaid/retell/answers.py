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
from speechaid.model.storable import MAX_DEPTH, storable

#: Upper bound of a wait that Retell asks for, in seconds: a wrong date must not stop dialling for a year.
LONGEST_WAIT_SECONDS: Final = 3600.0

_LONGEST_MESSAGE: Final = 200
#: Fields of an error answer that repeat the request: its field names blame nothing.
_ECHOES: Final = frozenset({"request", "input", "payload", "params", "headers", "metadata"})
_SECRET: Final = re.compile(r"\b(key_\w+|Bearer\s+\S+)", re.IGNORECASE)


#: Brackets, and strings, whose brackets mean nothing.
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
#: The longest number that is surely a 64-bit integer or close to one.
_LONGEST_INT: Final = 20


def parse(content: bytes) -> Any:
    """JSON as values that the database can hold.

    What other programs write is read too: NaN and infinities (as None), control characters in texts, bytes
    that are not UTF-8 (replaced), integers of any length (as text), any depth (cut off).

    Raises:
        ValueError: this is not JSON.
    """
    text = _text(content)
    try:
        return storable(_decode(text))
    except RecursionError:
        return storable(_decode(_without_depth(text)))


def _text(content: bytes) -> str:
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("utf-8", "replace")


def _decode(text: str) -> Any:
    return json.loads(text, parse_constant=lambda _: None, parse_int=_integer, strict=False)


def _integer(digits: str) -> int | str:
    """Python refuses to convert thousands of digits, and BSON holds 19."""
    return int(digits) if len(digits) <= _LONGEST_INT else digits


def _without_depth(text: str) -> str:
    """The JSON with null in the place of what lies too deep for Python's parser."""
    kept: list[str] = []
    depth = start = 0
    for match in _NESTING.finditer(text):
        token = match[0]
        if token in {"[", "{"}:
            depth += 1
            if depth == MAX_DEPTH + 2:
                kept.append(text[start : match.start()])
        elif token in {"]", "}"}:
            depth -= 1
            if depth == MAX_DEPTH + 1:
                kept.append("null")
                start = match.end()
    if depth:
        raise ValueError("brackets that do not match")
    return "".join([*kept, text[start:]])


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
