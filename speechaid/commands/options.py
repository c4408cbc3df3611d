"""Options that set fields of a document: from what an operator types to what is stored, and back; pure.

Batches (``batch_fields``) and accounts (``account_fields``) have a table of these each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.commands.interfaces import CommandRefused
from speechaid.model import reading
from speechaid.model.levels import Level
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document, mapping
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules.phones import is_country

#: Attempts on a document that others edit at the same time.
MAX_TRIES: Final = 10


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting: its option, and where and how it is stored."""

    #: The argument's name.
    name: str
    #: Dotted field of the document.
    path: str
    #: From an argument's value to the stored one; raises ``CommandRefused``.
    to_stored: Callable[[Any], object]
    #: From the stored value to the argument's; None where an argument cannot say it.
    to_option: Callable[[Any], object]
    #: Whether ``--copy-from`` copies it; of accounts, whether ``--unset`` removes it.
    is_setting: bool = True
    #: What a daemon must be able to heed, to dial where this is set.
    level: Level = Level.FIRST
    #: A note for colleagues, in whatever words: numbers in it are masked where it is shown, as in records.
    is_prose: bool = False


#: Options with their new values; None: back to the default.
Wanted = list[tuple[Option, object]]


def given_options(options: Iterable[Option], args: Mapping[str, Any]) -> Wanted:
    """The options that were given, each with the value to store.

    Raises:
        CommandRefused: a value cannot be used; the text says which part of it.
    """
    return [
        (option, option.to_stored(args[option.name]))
        for option in options
        if args.get(option.name) is not None and args[option.name] is not False
    ]


def with_unset(options: Sequence[Option], given: Wanted, unset: Iterable[str], *, example: str) -> Wanted:
    """The options that were given, and those of ``--unset`` without a value.

    Args:
        options: all.
        given: as ``given_options`` returns them.
        unset: as typed.
        example: what to give where nothing was.

    Raises:
        CommandRefused: one is in both, or there is none.
    """
    removed = {name.replace("-", "_") for name in unset}
    both = sorted(removed & {option.name for option, _ in given})
    if both:
        message = say("--{both} and --unset {both} exclude each other", both=both[0].replace("_", "-"))
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    wanted = [*given, *((option, None) for option in options if option.name in removed)]
    if not wanted:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("nothing to change: {example}", example=example))
    return wanted


def stored_value(document: Document, option: Option) -> object:
    """What a document has for this option, as stored; None: nothing, so the default applies."""
    group, _, field = option.path.rpartition(".")
    found = mapping(document.get(group)) if group else document
    return found.get(field)


def shown_value(document: Document, option: Option) -> object:
    """The same as an operator would type it; as stored where that cannot be typed."""
    stored = stored_value(document, option)
    shown = None if stored is None else option.to_option(stored)
    if option.is_prose and isinstance(shown, str):
        return mask_prose(shown)
    return mask_prose(reading.as_printable(stored)) if shown is None and stored is not None else shown


def edited_document(document: Document, wanted: Wanted) -> Document:
    """The document as it will be."""
    groups = {option.path.rpartition(".")[0] for option, _ in wanted} - {""}
    result = {**document, **{group: dict(mapping(document.get(group))) for group in groups}}
    for option, value in wanted:
        group, _, field = option.path.rpartition(".")
        (result[group] if group else result)[field] = value
    return result


def differing_values(document: Document, wanted: Wanted) -> Document:
    """The values to write, by path: those that the document has not already."""
    return {option.path: value for option, value in wanted if stored_value(document, option) != value}


def change_rows(document: Document, wanted: Wanted, paths: Iterable[str]) -> list[Document]:
    """Each change that was written with ``option``, ``old`` and ``new``, for the answer and the record.

    Args:
        document: as it was.
        wanted: the options of the command.
        paths: those that were written.
    """
    after = edited_document(document, wanted)
    written = set(paths)
    return [
        {"option": option.name, "old": shown_value(document, option), "new": shown_value(after, option)}
        for option, _ in wanted
        if option.path in written
    ]


# -- values ------------------------------------------------------------------------------------------------


def as_it_is(value: object) -> object:
    """The value itself."""
    return value


def country(code: str | None) -> str | None:
    """A country code as two capital letters; None where none was given."""
    if code is not None and not is_country(code):
        raise CommandRefused(
            ErrorCode.BAD_ARGUMENT,
            say("country: {code!r} is not a country code; write two letters, such as CL or MX", code=code),
        )
    return None if code is None else code.strip().upper()


def zone_name(name: str) -> str:
    """The name of a time zone."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as exc:
        message = say("timezone: {name!r} is unknown; write an IANA name such as America/Santiago", name=name)
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message) from exc
    return name


def number_option(stored: object) -> object:
    """A whole stored number as an integer; None for any other."""
    found = reading.number(stored)
    return found if found is None or not found.is_integer() else int(found)
