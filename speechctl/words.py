"""Times, spans and numbers as people read them; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from speechaid.protocol.text import plural

__all__ = ["call_word", "duration", "instant", "localised", "paused", "percent", "plural", "zoned"]

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")


def duration(seconds: float | None) -> str:
    """``42s``, ``3m 05s``, ``2h 10m``, ``3d 4h``; empty for None."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def zoned(value: object) -> str:
    """As ``instant``, with the name of the reader's zone: for the head of what may travel."""
    try:
        name = datetime.fromisoformat(str(value)).astimezone().strftime("%Z")
    except ValueError:
        return instant(value)
    return f"{instant(value)} {name}"


def instant(value: object) -> str:
    """An ISO instant in the reader's own zone, to the second; anything else as it is, None as nothing."""
    if value is None:
        return ""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    if moment.tzinfo is None:
        return str(value)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def localised(sentence: str) -> str:
    """A sentence of the daemon's, each time in it as ``instant`` writes it."""
    return _INSTANT.sub(lambda match: instant(match[0]), sentence)


def call_word(status: object) -> str:
    """A status as a word: ``in progress``."""
    return str(status).replace("_", " ")


def paused(pause: Mapping[str, Any] | None) -> str:
    """A batch's pause with what is on record of it: ``paused by maria (uid 1000): wrong amounts``."""
    by, reason = (pause or {}).get("by"), (pause or {}).get("reason")
    return f"paused{f' by {by}' if by else ''}{f': {reason}' if reason else ''}"


def percent(share: float | None) -> str:
    """``0.25`` as ``25 %``; a dash where there is nothing to divide by."""
    return "-" if share is None else f"{share * 100:.0f} %"
