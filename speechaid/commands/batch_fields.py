"""The settings of a batch: from options to what is stored, and back; pure.

``OPTIONS`` has one row for each option of ``create-batch`` that sets a field; ``edit-batch``, ``--copy-from``
and ``batch`` work by the same rows. An invalid calling window is refused here: its batch would not be called
at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.commands.interfaces import CommandRefused
from speechaid.model import agent_settings, reading
from speechaid.model.levels import Level
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document, mapping
from speechaid.model.states import Priority
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.phones import is_country
from speechaid.rules.windows import Window, WindowFault, read_window

#: 24:00 is the end of the day.
_HOURS: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|24:00)")
_DAYS: Final = re.compile(r"[1-7](-[1-7])?(,[1-7](-[1-7])?)*")


@dataclass(frozen=True, kw_only=True)
class BatchOption:
    """One setting of a batch: its option, and where and how it is stored."""

    #: The argument's name.
    name: str
    #: Dotted field of the batch's document.
    path: str
    #: From an argument's value to the stored one; raises ``CommandRefused``.
    to_stored: Callable[[Any], object]
    #: From the stored value to the argument's; None where an argument cannot say it.
    to_option: Callable[[Any], object]
    #: Whether ``--copy-from`` copies it, and ``--unset`` removes it.
    is_setting: bool = True
    #: What a daemon must be able to heed, to dial a batch that has it.
    level: Level = Level.FIRST


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


def given_options(args: Mapping[str, Any]) -> list[tuple[BatchOption, object]]:
    """The options that were given, each with the value to store.

    Raises:
        CommandRefused: a value cannot be used; the text says which part of it.
    """
    return [
        (option, option.to_stored(args[option.name]))
        for option in OPTIONS
        if args.get(option.name) is not None and args[option.name] is not False
    ] + ([(_BY_NAME["voicemail_counts"], False)] if args.get("no_voicemail_counts") else [])


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
            message = (
                f"its {option.name} {reading.shown(stored)} cannot be understood: edit-batch corrects it"
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
        if option.name == "voicemail_counts" and value is False:
            found["no_voicemail_counts"] = True
        else:
            found[option.name] = value
    return found


def stored_value(document: Document, option: BatchOption) -> object:
    """What a batch has for this option, as stored; None: nothing, so the settings' default applies."""
    group, _, field = option.path.rpartition(".")
    found = mapping(document.get(group)) if group else document
    return found.get(field)


def level_of(document: Document) -> Level:
    """What a daemon must be able to heed, to dial this batch."""
    pinned = Level.FIRST if document.get("agent_pin") is None else Level.PEOPLE_AND_AGENTS
    found = [option.level for option in OPTIONS if stored_value(document, option) is not None]
    return max([pinned, *found])


def shown_value(document: Document, option: BatchOption) -> object:
    """The same as an operator would type it; as stored where that cannot be typed."""
    stored = stored_value(document, option)
    shown = None if stored is None else option.to_option(stored)
    return mask_prose(reading.as_printable(stored)) if shown is None and stored is not None else shown


def window_settings(args: Mapping[str, Any]) -> list[tuple[BatchOption, object]]:
    """The calling window's part of ``given_options``; empty where no such option was given."""
    return given_options({name: args.get(name) for name in ("hours", "days", "timezone")})


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


def days_text(days: list[int] | tuple[int, ...] | frozenset[int]) -> str:
    """``1-5`` or ``1,3,6``, of days from 1 to 7."""
    ordered = sorted(days)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]}-{ordered[-1]}"
    return ",".join(map(str, ordered))


def hours_text(window: Window) -> str:
    """``09:00-18:00``."""
    return "-".join(
        f"{at // 3600:02}:{at // 60 % 60:02}" for at in (window.start_seconds, window.end_seconds)
    )


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as exc:
        message = f"timezone: {name!r} is unknown; write an IANA name such as America/Santiago"
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message) from exc
    return name


def _as_it_is(value: object) -> object:
    return value


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


def _zone_option(stored: object) -> object:
    window = _window(zone=stored)
    return None if window is None else window.zone.key


def _priority(word: str) -> int:
    return int(Priority[word.upper()])


def priority_word(number: object) -> str:
    """``normal``, ``high`` or ``urgent``; values outside are read as the nearest one, as for the order."""
    whole = reading.whole(number, Priority.NORMAL)
    return Priority(min(max(whole, Priority.NORMAL), Priority.URGENT)).name.lower()


def _number_option(stored: object) -> object:
    found = reading.number(stored)
    return found if found is None or not found.is_integer() else int(found)


def _yes_or_no_option(stored: object) -> object:
    return {True: "yes", False: "no"}.get(reading.yes_or_no(stored))  # type: ignore[arg-type]


def _agent_setting(name: str, rule: agent_settings.Rule) -> Callable[[Any], object]:
    def to_stored(typed: str) -> object:
        value = rule.read(typed)
        if value is None:
            sentence = f"{name}: {reading.wrong_value(typed, rule.allowed)}"
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, sentence)
        return value

    return to_stored


OPTIONS: Final[tuple[BatchOption, ...]] = (
    BatchOption(name="name", path="name", to_stored=str, to_option=reading.text, is_setting=False),
    BatchOption(name="description", path="description", to_stored=str, to_option=reading.text),
    BatchOption(name="account", path="account_id", to_stored=str, to_option=reading.text),
    BatchOption(name="country", path="country", to_stored=country, to_option=reading.text),
    BatchOption(name="priority", path="priority", to_stored=_priority, to_option=priority_word),
    BatchOption(
        name="hours",
        path="call_settings.allowed_hours",
        to_stored=allowed_hours,
        to_option=_hours_option,
    ),
    BatchOption(
        name="days", path="call_settings.days_of_week", to_stored=days_of_week, to_option=_days_option
    ),
    BatchOption(name="timezone", path="call_settings.timezone", to_stored=_zone, to_option=_zone_option),
    *(
        BatchOption(name=name, path=f"call_settings.{name}", to_stored=_as_it_is, to_option=_number_option)
        for name in (
            "max_attempts",
            "retry_delay_hours",
            "ring_timeout",
            "max_call_duration",
            "max_concurrent_calls",
        )
    ),
    BatchOption(
        name="voicemail_counts",
        path="call_settings.voicemail_counts",
        to_stored=bool,
        to_option=reading.yes_or_no,
    ),
    *(
        BatchOption(
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
    BatchOption(
        name="dnc_detection",
        path="call_settings.dnc_detection",
        to_stored=lambda word: word == "yes",
        to_option=_yes_or_no_option,
        level=Level.PEOPLE_AND_AGENTS,
    ),
)
_BY_NAME: Final = {option.name: option for option in OPTIONS}
