"""The settings of a batch: from options to what is stored, and back; pure.

``OPTIONS`` has one row for each option of ``create-batch`` that sets a field; ``edit-batch``, ``--copy-from``
and ``batch`` work by the same rows. An invalid calling window is refused here: its batch would not be called
at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final

from speechaid.commands import options
from speechaid.commands.interfaces import CommandRefused
from speechaid.commands.options import (
    Option,
    Wanted,
    as_it_is,
    country,
    number_option,
    stored_value,
    zone_name,
)
from speechaid.model import agent_settings, reading
from speechaid.model.batch import batch_name, read_pack_variant, read_purpose
from speechaid.model.levels import Level
from speechaid.model.reading import Document
from speechaid.model.states import Priority
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say
from speechaid.rules import windows
from speechaid.rules.windows import Window, WindowFault, read_window

#: 24:00 is the end of the day.
_HOURS: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|24:00)")
#: A batch's id, or the beginning of one.
_BATCH_ID: Final = re.compile(r"batch-\d{8}-[0-9a-f]{0,8}")
#: Where the time of a batch's start is stored.
START_AT: Final = "call_settings.start_at"
_START: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ]+(\d?\d):(\d\d)")
_DAYS: Final = re.compile(r"[1-7](-[1-7])?(,[1-7](-[1-7])?)*")


def batch_fields(args: Mapping[str, Any], *, name: str, accept_unassigned: bool = False) -> Document:
    """The document of the options that were given; the settings apply for the others.

    Args:
        args: the command's.
        name: of the batch.
        accept_unassigned: whether imported numbers that no numbering plan has are dialled.
    """
    fields: Document = {"is_active": not args["paused"], "call_settings": {}}
    if accept_unassigned:
        fields["accept_unassigned"] = True
    for option, value in given_options({**args, "name": name}):
        group, _, field = option.path.rpartition(".")
        (fields[group] if group else fields)[field] = value
    return fields


def given_options(args: Mapping[str, Any]) -> Wanted:
    """The options that were given, each with the value to store.

    Raises:
        CommandRefused: a value cannot be used; the text says which part of it.
    """
    given = options.given_options(OPTIONS, args)
    return [*given, (_BY_NAME["voicemail_counts"], False)] if args.get("no_voicemail_counts") else given


def options_of(document: Document) -> dict[str, object]:
    """The settings of a batch as arguments, for another batch; those that it has not are left out.

    Raises:
        CommandRefused: one of them cannot be understood.
    """
    found: dict[str, object] = {}
    for option in OPTIONS:
        stored = stored_value(document, option)
        if stored is None or not option.is_setting:
            continue
        value = option.to_option(stored)
        if value is None:
            message = say(
                "its {name} {shown} cannot be understood: edit-batch corrects it",
                name=option.name,
                shown=reading.shown(stored),
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
        if option.name == "voicemail_counts" and value is False:
            found["no_voicemail_counts"] = True
        else:
            found[option.name] = value
    return found


def level_of(document: Document) -> Level:
    """What a daemon must be able to heed, to dial this batch."""
    pinned = Level.FIRST if document.get("agent_pin") is None else Level.PEOPLE_AND_AGENTS
    found = [option.level for option in OPTIONS if stored_value(document, option) is not None]
    return max([pinned, *found])


def window_settings(args: Mapping[str, Any]) -> Wanted:
    """The calling window's part of ``given_options``; empty where no such option was given."""
    return given_options({name: args.get(name) for name in ("hours", "days", "timezone", "start_at")})


def allowed_hours(text: str) -> Document:
    """``9:00-18:30`` as ``{"start": "09:00", "end": "18:30"}``."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            say("hours: {text!r} is not a time range; write 09:00-18:00 (24-hour clock)", text=text),
        )
    start = f"{int(match[1]):02}:{match[2]}"
    end = "24:00" if match[3] is None else f"{int(match[3]):02}:{match[4]}"
    if start == end:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            say(
                "hours: {text!r} begins and ends at the same time; for the whole day write 00:00-24:00",
                text=text,
            ),
        )
    return {"start": start, "end": end}


def pack_variant_option(text: str) -> str:
    """The name of a pack's variant."""
    name = read_pack_variant(text)
    if name is None:
        message = say(
            "pack-variant: {text!r} is no name of a pack; write small letters, digits and _", text=text
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return name


def start_time(text: str) -> str:
    """``2026-12-01 9:00`` as ``2026-12-01T09:00``: by the clock of the batch's hours, whatever it is."""
    match = _START.fullmatch(text.strip())
    typed = "" if match is None else f"{match[1]}T{int(match[2]):02}:{match[3]}"
    if windows.read_start(typed, UTC) is None:
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            say("start-at: {text!r} is not a time; write 2026-12-01T09:00 (24-hour clock)", text=text),
        )
    return typed


def night_warning(args: Mapping[str, Any]) -> str | None:
    """A warning about hours over midnight, which may be start and end swapped; None without such hours."""
    if args["hours"] is None:
        return None
    hours = allowed_hours(args["hours"])
    if hours["start"] < hours["end"] or hours["end"] == "00:00":
        return None
    return say(
        "people are called from {start} through midnight until {end} the next day; for"
        " calls by day write --hours {end}-{start}",
        start=hours["start"],
        end=hours["end"],
    )


def days_of_week(text: str) -> list[int]:
    """``1-5`` or ``1,3,6-7`` as a sorted list; Monday is 1, and ``6-1`` runs over Sunday."""
    compact = text.replace(" ", "")
    if not _DAYS.fullmatch(compact):
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            say("days: {text!r} are not weekdays; write 1-5 or 1,3,5 (Monday is 1)", text=text),
        )
    days: set[int] = set()
    for part in compact.split(","):
        first, last = int(part[0]), int(part[-1])
        days.update((first + step - 1) % 7 + 1 for step in range((last - first) % 7 + 1))
    return sorted(days)


def days_text(days: list[int] | tuple[int, ...] | frozenset[int]) -> str:
    """``1-5`` or ``1,3,6``, of days from 1 to 7."""
    ordered = sorted(days)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]}-{ordered[-1]}"
    return joined(",", map(str, ordered))


def hours_text(window: Window) -> str:
    """``09:00-18:00``."""
    return joined(
        "-", (f"{at // 3600:02}:{at // 60 % 60:02}" for at in (window.start_seconds, window.end_seconds))
    )


def _window(hours: object = None, days: object = None, zone: object = None) -> Window | None:
    found = read_window(hours, days, zone, default_hours=None, default_days=None, default_timezone="Etc/UTC")
    return None if isinstance(found, WindowFault) else found


def _hours_option(stored: object) -> object:
    window = _window(hours=stored)
    whole = window is not None and window.start_seconds % 60 == window.end_seconds % 60 == 0
    return hours_text(window) if window is not None and whole else None


def _days_option(stored: object) -> object:
    window = _window(days=stored)
    return None if window is None else days_text(window.days)


def _start_option(stored: object) -> object:
    """As typed; None for a moment that another program has stored."""
    return stored if isinstance(stored, str) and _START.fullmatch(stored.strip()) else None


def _zone_option(stored: object) -> object:
    window = _window(zone=stored)
    return None if window is None else window.zone.key


def _name(text: str) -> str:
    """A batch's name in one form, by which it is found again; the form of an id is left to ids."""
    name = batch_name(text)
    if _BATCH_ID.fullmatch(name):
        message = say(
            "name: {name!r} has the form of a batch's id, which would be taken for it; give another one",
            name=name,
        )
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return name


def _priority(word: str) -> int:
    return int(Priority[word.upper()])


def priority_word(number: object) -> str:
    """``normal``, ``high`` or ``urgent``; values outside are read as the nearest one, as for the order."""
    whole = reading.whole(number, Priority.NORMAL)
    return Priority(min(max(whole, Priority.NORMAL), Priority.URGENT)).name.lower()


def _yes_or_no_option(stored: object) -> object:
    return {True: "yes", False: "no"}.get(reading.yes_or_no(stored))  # type: ignore[arg-type]


def _agent_setting(name: str, rule: agent_settings.Rule) -> Callable[[Any], object]:
    def to_stored(typed: str) -> object:
        value = rule.read(typed)
        if value is None:
            sentence = say(
                "{name}: {wrong_value}", name=name, wrong_value=reading.wrong_value(typed, rule.allowed)
            )
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, sentence)
        return value

    return to_stored


DESCRIPTION: Final = Option(
    name="description", path="description", to_stored=str, to_option=reading.text, is_prose=True
)
OPTIONS: Final[tuple[Option, ...]] = (
    Option(name="name", path="name", to_stored=_name, to_option=reading.text, is_setting=False),
    DESCRIPTION,
    Option(name="account", path="account_id", to_stored=str, to_option=reading.text),
    Option(name="country", path="country", to_stored=country, to_option=reading.text),
    Option(name="priority", path="priority", to_stored=_priority, to_option=priority_word),
    Option(
        name="hours",
        path="call_settings.allowed_hours",
        to_stored=allowed_hours,
        to_option=_hours_option,
    ),
    Option(name="days", path="call_settings.days_of_week", to_stored=days_of_week, to_option=_days_option),
    Option(name="timezone", path="call_settings.timezone", to_stored=zone_name, to_option=_zone_option),
    Option(
        name="start_at",
        path=START_AT,
        to_stored=start_time,
        to_option=_start_option,
        # A copy starts when it is told to.
        is_setting=False,
        level=Level.START_TIMES,
    ),
    *(
        Option(name=name, path=f"call_settings.{name}", to_stored=as_it_is, to_option=number_option)
        for name in (
            "max_attempts",
            "retry_delay_hours",
            "ring_timeout",
            "max_call_duration",
            "max_concurrent_calls",
        )
    ),
    Option(
        name="voicemail_counts",
        path="call_settings.voicemail_counts",
        to_stored=bool,
        to_option=reading.yes_or_no,
    ),
    *(
        Option(
            name=name,
            path=f"call_settings.{field}",
            to_stored=_agent_setting(name, agent_settings.RULES[field]),
            to_option=agent_settings.RULES[field].read,
            level=Level.PEOPLE_AND_AGENTS,
        )
        for name, field in (
            ("agent", "agent_id"),
            ("agent_version", "agent_version"),
            ("from_number", "from_number"),
            ("language", "language"),
            ("voicemail_option", "voicemail_option"),
        )
    ),
    Option(
        name="dnc_detection",
        path="call_settings.dnc_detection",
        to_stored=lambda word: word == "yes",
        to_option=_yes_or_no_option,
        level=Level.PEOPLE_AND_AGENTS,
    ),
    Option(
        name="purpose",
        path="call_settings.purpose",
        to_stored=str,
        to_option=read_purpose,
        level=Level.CALLING_RULES,
    ),
    Option(
        name="pack_variant",
        path="call_settings.pack_variant",
        to_stored=pack_variant_option,
        to_option=read_pack_variant,
        level=Level.CALLING_RULES,
    ),
)
_BY_NAME: Final = {option.name: option for option in OPTIONS}
