"""The fields of a batch from the options of ``create-batch`` and ``import``; pure.

An invalid calling window is refused here: its batch would not be called at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.commands.interfaces import CommandRefused
from speechaid.model.reading import Document
from speechaid.model.states import Priority
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.phones import is_country

#: 24:00 is the end of the day.
_HOURS: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|24:00)")
_DAYS: Final = re.compile(r"[1-7](-[1-7])?(,[1-7](-[1-7])?)*")
#: Options that are stored under the same name.
_UNCHANGED: Final = ("max_attempts", "retry_delay_hours", "ring_timeout", "max_call_duration")


def batch_fields(args: Mapping[str, Any], *, name: str, accept_unassigned: bool = False) -> Document:
    """The fields of the options that were given; the settings apply for the others.

    Args:
        args: the command's.
        name: of the batch.
        accept_unassigned: whether imported numbers that no numbering plan has are dialled.
    """
    fields = {
        "name": name,
        "description": args["description"],
        "account_id": args["account"],
        "country": country(args["country"]),
        "priority": int(Priority[args["priority"].upper()]),
        "is_active": not args["paused"],
        "accept_unassigned": accept_unassigned or None,
        "call_settings": call_settings(args),
    }
    return {key: value for key, value in fields.items() if value is not None}


def call_settings(args: Mapping[str, Any]) -> Document:
    """``call_settings`` in SpeechAI's form."""
    fields: Document = {name: args[name] for name in _UNCHANGED if args[name] is not None}
    if args["max_concurrent_calls"] is not None:
        fields["max_concurrent_calls"] = args["max_concurrent_calls"]
    if args["voicemail_counts"]:
        fields["voicemail_counts"] = True
    return fields | window_settings(args)


def window_settings(args: Mapping[str, Any]) -> Document:
    """The calling window's part of ``call_settings``; empty where no option was given."""
    fields: Document = {}
    if args["hours"] is not None:
        fields["allowed_hours"] = allowed_hours(args["hours"])
    if args["days"] is not None:
        fields["days_of_week"] = days_of_week(args["days"])
    if args["timezone"] is not None:
        fields["timezone"] = _zone(args["timezone"])
    return fields


def country(code: str | None) -> str | None:
    """A country code as two capital letters; None where none was given."""
    if code is not None and not is_country(code):
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            f"country: {code!r} is not a country code; write two letters, such as CL or MX",
        )
    return None if code is None else code.strip().upper()


def allowed_hours(text: str) -> Document:
    """``9:00-18:30`` as ``{"start": "09:00", "end": "18:30"}``."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT, f"hours: {text!r} is not a time range; write 09:00-18:00 (24-hour clock)"
        )
    start = f"{int(match[1]):02}:{match[2]}"
    end = "24:00" if match[3] is None else f"{int(match[3]):02}:{match[4]}"
    if start == end:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            f"hours: {text!r} begins and ends at the same time; for the whole day write 00:00-24:00",
        )
    return {"start": start, "end": end}


def night_warning(args: Mapping[str, Any]) -> str | None:
    """A warning about hours over midnight, which may be start and end swapped; None without such hours."""
    if args["hours"] is None:
        return None
    hours = allowed_hours(args["hours"])
    if hours["start"] < hours["end"] or hours["end"] == "00:00":
        return None
    return (
        f"people are called from {hours['start']} through midnight until {hours['end']} the next day; "
        f"for calls by day write --hours {hours['end']}-{hours['start']}"
    )


def days_of_week(text: str) -> list[int]:
    """``1-5`` or ``1,3,6-7`` as a sorted list; Monday is 1, and ``6-1`` runs over Sunday."""
    compact = text.replace(" ", "")
    if not _DAYS.fullmatch(compact):
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT, f"days: {text!r} are not weekdays; write 1-5 or 1,3,5 (Monday is 1)"
        )
    days: set[int] = set()
    for part in compact.split(","):
        first, last = int(part[0]), int(part[-1])
        days.update((first + step - 1) % 7 + 1 for step in range((last - first) % 7 + 1))
    return sorted(days)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as exc:
        message = f"timezone: {name!r} is unknown; write an IANA name such as America/Santiago"
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message) from exc
    return name
