"""Times, durations, statuses and shares as people read them; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from speechaid.protocol.text import plural
from speechaid.protocol.translation import N_, current_language, say, say_n

__all__ = [
    "as_words",
    "cause_text",
    "counted_words",
    "dials_first",
    "duration",
    "erased_text",
    "local_day",
    "local_time",
    "local_time_with_zone",
    "pause_text",
    "percent",
    "plural",
    "priority_text",
    "with_local_times",
    "zone_name",
]

#: A time as it is written in each language; what is typed is ISO 8601 in all of them.
_TIME_FORMATS: Final = {"en": "%Y-%m-%d %H:%M:%S", "es": "%d-%m-%Y %H:%M:%S"}
#: Batches that a line names.
_NAMED: Final = 3
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
#: The stored cause of a settled call (``rules.retry_table.RetryCause``) in words.
CAUSES: Final[Mapping[str, str]] = {
    "served": N_("goal reached"),
    "rotated": N_("next phone"),
    "retry": N_("another attempt later"),
    "exhausted": N_("no attempts left"),
    "all_phones_dead": N_("no usable phone left"),
    "on_do_not_call_list": N_("its phones are on the do-not-call list"),
    "temporary": N_("temporary fault, no attempt used"),
    "do_not_call": N_("asked not to be called"),
    "no_credit": N_("account has no credit"),
    "blocked": N_("Retell refuses all calls, no attempt used"),
    "rejected": N_("Retell cannot take this job's request"),
    "stopped_by_operator": N_("stopped by an operator"),
    "call_unknown": N_("Retell does not know the call"),
    "stopped_in_retell": N_("stopped in Retell"),
    "answer_unreadable": N_("Retell's answer about the call cannot be read"),
}


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


def local_time(value: object) -> str:
    """An ISO time in the reader's time zone, to the second; other values unchanged, None as ``""``."""
    if value is None:
        return ""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    if moment.tzinfo is None:
        return str(value)
    return moment.astimezone().strftime(_TIME_FORMATS[current_language()])


def local_day(value: object) -> str:
    """A day as the reader's language writes it: ``30-11-2026``; other values unchanged, None as ``""``."""
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        return "" if value is None else str(value)
    return day.strftime(_TIME_FORMATS[current_language()].partition(" ")[0])


def local_time_with_zone(value: object) -> str:
    """``local_time`` with the zone's name: for the head of what may be sent to others."""
    try:
        name = datetime.fromisoformat(str(value)).astimezone().strftime("%Z")
    except ValueError:
        return local_time(value)
    return f"{local_time(value)} {name}"


def zone_name(value: object = None) -> str:
    """The name of the reader's time zone: at an ISO time, else now."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = datetime.now(UTC)
    return moment.astimezone().strftime("%Z")


def with_local_times(sentence: str) -> str:
    """A sentence of the daemon with each ISO time in it replaced by ``local_time``."""
    return _INSTANT.sub(lambda match: local_time(match[0]), sentence)


def as_words(code: object) -> str:
    """A status or outcome as words: ``in progress``."""
    return say(str(code).replace("_", " "))


def counted_words(counts: Mapping[str, Any], separator: str = ", ") -> str:
    """Counts by status: ``5 pending, 2 in progress``; empty without any."""
    return separator.join(_counted(code, number) for code, number in counts.items())


def _counted(code: object, number: int) -> str:
    sentence = "{count} " + str(code).replace("_", " ")
    return say_n(sentence, sentence, number)


def cause_text(cause: object) -> str:
    """Why a job moved on after a call, in quoted words; a cause of a newer daemon as it is."""
    words = CAUSES.get(str(cause))
    return str(cause) if words is None else f'"{say(words)}"'


def pause_text(pause: Mapping[str, Any] | None, *, cancelled: bool = False) -> str:
    """A batch's pause with what is recorded about it: ``paused by maria (uid 1000): wrong amounts``.

    Args:
        pause: its record, as far as there is one.
        cancelled: it is the record of a cancelled batch.
    """
    by, reason = (pause or {}).get("by"), (pause or {}).get("reason")
    if cancelled:
        state = say("cancelled by {by}", by=by) if by else say("cancelled")
    else:
        state = say("paused by {by}", by=by) if by else say("paused")
    return f"{state}: {say(str(reason))}" if reason else state


def priority_text(row: Mapping[str, Any]) -> str:
    """A batch's priority where it is above normal: ``urgent`` or ``high``; else nothing."""
    return {3: say("urgent"), 2: say("high")}.get(row.get("priority") or 1, "")


def dials_first(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Which of the active batches with jobs that wait are dialled before the others; None: all take turns."""
    waiting = [row for row in rows if row.get("active") and (row.get("jobs") or {}).get("pending")]
    priorities = sorted({row.get("priority") or 1 for row in waiting}, reverse=True)
    if len(priorities) < 2:
        return None
    first = [row for row in waiting if (row.get("priority") or 1) == priorities[0]]
    names = ", ".join(str(row.get("name") or row["batch_id"]) for row in first[:_NAMED])
    more = say(" and {number} more", number=len(first) - _NAMED) if len(first) > _NAMED else ""
    return say(
        "dialled first: {names}{more} ({priority_text})",
        names=names,
        more=more,
        priority_text=priority_text(first[0]),
    )


def percent(share: float | None) -> str:
    """``0.25`` as ``25 %``; ``-`` for None."""
    return "-" if share is None else f"{share * 100:.0f} %"


#: What was erased, by ``erased.what``.
ERASED_WORDS: Final = {
    "calls": N_("transcripts and recordings"),
    "person": N_("the person"),
    "file": N_("the file"),
}


def erased_text(row: Mapping[str, Any]) -> str | None:
    """In place of what is not stored any more; None where everything is."""
    erased = row.get("erased")
    return None if erased is None else str(erased["text"])
