"""What a pack is: the calling rules of one country for one purpose, as data. Pure: no I/O, no clock.

These classes are also the schema of the files (``pack_files``): the text of each field's ``description`` says
what is allowed in it. A pack is no legal advice; each statement carries its sources and how sure they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.model.states import Purpose

#: 1 (Monday) to 7 (Sunday).
WEEKDAYS: Final = range(1, 8)
SUNDAY: Final = 7
_DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TEXT: Final = "a text of 1 to 1000 characters"
_NAME: Final = "a name of lower-case letters, digits and _, beginning with a letter"
_NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,59}$"


class Confidence(StrEnum):
    """How sure a statement is."""

    #: Law text, or several sources that agree.
    HIGH = "H"
    #: One good secondary source.
    MEDIUM = "M"
    #: Conflicting or unsourced: a house rule.
    LOW = "L"


class HolidayRule(StrEnum):
    """What a public holiday means for calls."""

    BARRED = "barred"
    #: The hours of Sunday hold.
    AS_SUNDAY = "as_sunday"
    #: The hours of its weekday hold.
    IGNORED = "ignored"


class Unit(StrEnum):
    """What a cap counts."""

    #: Every call placed.
    ATTEMPT = "attempt"
    #: A person answered, or a message was left.
    CONTACT = "contact"
    #: A call placed that was no contact.
    UNANSWERED_ATTEMPT = "unanswered_attempt"


class Span(StrEnum):
    """The time over which a cap counts; calendar spans are the callee's."""

    CALENDAR_DAY = "calendar_day"
    #: Monday first.
    CALENDAR_WEEK = "calendar_week"
    ROLLING_HOURS = "rolling_hours"
    ROLLING_DAYS = "rolling_days"
    #: The days after a call that a person answered; the cap counts these calls.
    DAYS_AFTER_TALK = "days_after_talk"


#: Spans that need a length.
SPANS_WITH_LENGTH: Final = frozenset({Span.ROLLING_HOURS, Span.ROLLING_DAYS, Span.DAYS_AFTER_TALK})


class Scope(StrEnum):
    """Whose calls a cap counts, within one account."""

    PERSON = "person"
    #: Of the person about one debt; about any where the debt is not known.
    DEBT = "debt"


def _field(allowed: str, default: Any = ..., **limits: Any) -> Any:
    """A field of a file; ``allowed`` completes "must be"."""
    return Field(default, description=allowed, **limits)


def _text() -> Any:
    return _field(_TEXT, min_length=1, max_length=1000)


def _name() -> Any:
    return _field(_NAME, pattern=_NAME_PATTERN)


class Part(BaseModel):
    """A part of a pack; nothing changes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Statement(Part):
    """A part with what it says in words, its sources, and how sure they are."""

    says: str = _text()
    sources: tuple[str, ...] = _field("a list of names from the table of sources", ())
    confidence: Confidence = _field("H, M or L")

    @model_validator(mode="after")
    def _check_confidence(self) -> Self:
        if self.confidence is Confidence.LOW and "house rule" not in self.says:
            raise ValueError("a statement of confidence L says that it is a house rule")
        if self.confidence is not Confidence.LOW and not self.sources:
            raise ValueError("a statement of confidence H or M names its sources")
        return self


class DayHours(Part):
    """The hours of some weekdays, in the callee's local time; the end is exclusive."""

    days: tuple[int, ...] = _field("a list of days from 1 (Monday) to 7 (Sunday)", min_length=1, max_length=7)
    start: str = _field("a time as HH:MM", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    end: str = _field("a time as HH:MM, at most 24:00", pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not set(self.days) <= set(WEEKDAYS):
            raise ValueError("days are numbers from 1 (Monday) to 7 (Sunday)")
        if self.start >= self.end:
            raise ValueError("the start is before the end; hours over midnight are two entries")
        return self

    @property
    def span(self) -> tuple[int, int]:
        """Start and end in minutes since local midnight."""
        return _minutes(self.start), _minutes(self.end)

    def __str__(self) -> str:
        return f"{days_text(self.days)} {self.start}-{self.end}"


class Windows(Statement):
    """When people may be called."""

    hours: tuple[DayHours, ...] = _field("a list of {days, start, end}", max_length=50)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for day in WEEKDAYS:
            if any(first[1] > second[0] for first, second in pairwise(self.spans_of(day))):
                raise ValueError(f"the hours of {_DAY_NAMES[day - 1]} overlap")
        return self

    def spans_of(self, weekday: int) -> list[tuple[int, int]]:
        """The hours of a weekday in minutes since midnight, in order; empty: no call."""
        return sorted(each.span for each in self.hours if weekday in each.days)

    def __str__(self) -> str:
        return ", ".join(map(str, self.hours)) or "no calls"


class Holidays(Statement):
    """What public holidays mean; their dates come from the library ``holidays`` and from ``extra``."""

    rule: HolidayRule = _field("barred, as_sunday or ignored")
    calendar: str = _field("the ISO 3166 code of a country: CL", pattern=r"^[A-Z]{2}$")
    #: Their holidays count everywhere in the country: a number does not say in which of them its line is.
    subdivisions: tuple[str, ...] = _field("a list of codes of the library holidays", ())
    extra: tuple[date, ...] = _field("a list of dates as 2026-12-24", (), max_length=1000)


class Cap(Statement):
    """How many calls there may be; a further one is refused once so many are counted."""

    name: str = _name()
    unit: Unit = _field("attempt, contact or unanswered_attempt")
    number: int = _field("a whole number from 0 to 1000", ge=0, le=1000)
    span: Span = _field("calendar_day, calendar_week, rolling_hours, rolling_days or days_after_talk")
    length: int | None = _field(
        "a whole number from 1 to 366; only of rolling_hours, rolling_days and days_after_talk",
        None,
        ge=1,
        le=366,
    )
    scope: Scope = _field("person or debt", Scope.PERSON)
    #: After the last contact allowed, one call more on the same local day.
    one_more_same_day: bool = _field("true or false; true only of contacts in a calendar span", False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.span in SPANS_WITH_LENGTH) != (self.length is not None):
            raise ValueError(
                "length belongs to rolling_hours, rolling_days and days_after_talk, and they to it"
            )
        if self.span is Span.DAYS_AFTER_TALK:
            if self.number != 0 or self.unit is not Unit.CONTACT:
                raise ValueError("days_after_talk allows no call: its number is 0, its unit contact")
        elif self.number == 0:
            raise ValueError("a number of 0 would bar every call: it belongs to days_after_talk alone")
        if self.one_more_same_day and (self.unit is not Unit.CONTACT or self.span in SPANS_WITH_LENGTH):
            raise ValueError("one_more_same_day belongs to contacts in a calendar span")
        return self

    def __str__(self) -> str:
        if self.span is Span.DAYS_AFTER_TALK:
            text = f"no call for {self.length} days after a talk"
        else:
            unit = self.unit.value.replace("_", " ")
            if self.unit is Unit.UNANSWERED_ATTEMPT:
                unit = "unanswered attempt"
            text = f"{self.number} {unit}{'' if self.number == 1 else 's'} {_span_text(self)}"
        more = ", then one call more the same day" if self.one_more_same_day else ""
        return f"{text}{more} per {self.scope}"


class NumberExemption(Part):
    """Whom the rule about calling numbers does not bind, by the name under which an operator claims it."""

    name: str = _name()
    says: str = _text()
    sources: tuple[str, ...] = _field("a list of names from the table of sources", ())


class CallerNumbers(Statement):
    """From which numbers people may be called. Data: nothing in this version heeds it."""

    prefixes: tuple[str, ...] = _field("a list of beginnings of numbers as +56600", min_length=1)
    exemptions: tuple[NumberExemption, ...] = _field("a list of {name, says, sources}", ())


class Registry(Statement):
    """A list of people who are not to be called, kept by an authority. Data: nothing here heeds it."""

    name: str = _text()
    purposes: tuple[Purpose, ...] = _field("a list of purposes", min_length=1)
    #: How old a copy may be; None: not said.
    valid_days: int | None = _field("a whole number from 1 to 366", None, ge=1, le=366)


class Records(Statement):
    """How long the record of a call is kept at least."""

    days: int = _field("a whole number from 1 to 7300", ge=1, le=7300)


class Option(Statement):
    """A stricter reading under a name, which an operator may choose."""

    name: str = _name()
    #: Instead of all hours of the days that they name.
    hours: tuple[DayHours, ...] = _field("a list of {days, start, end}", (), max_length=50)
    holidays: HolidayRule | None = _field("barred, as_sunday or ignored", None)
    subdivisions: tuple[str, ...] = _field("a list of codes of the library holidays", ())
    #: Each instead of the cap of its name, else beside the others.
    caps: tuple[Cap, ...] = _field("a list of caps", ())


class LooserPart(StrEnum):
    """Which part of a pack an exemption loosens."""

    HOURS = "hours"
    HOLIDAYS = "holidays"
    CAPS = "caps"
    RECORDS = "records"
    CALLER_NUMBERS = "caller_numbers"


class Exemption(Part):
    """Why an operator's file is looser than the shipped pack; it stays in the pack that results."""

    name: str = _name()
    loosens: tuple[LooserPart, ...] = _field(
        "a list of hours, holidays, caps, records, caller_numbers", min_length=1
    )
    said_by: str = _field("who said so, a text of 1 to 1000 characters", min_length=1, max_length=1000)
    at: date = _field("the day on which it was said: 2026-11-30")
    reason: str = _text()


class Pack(Part):
    """The calling rules of a country for a purpose."""

    kind: Literal["pack"] = _field("pack, reference or overlay")
    format: Literal[1] = _field("1")
    country: str = _field("the ISO 3166 code of a country: CL", pattern=r"^[A-Z]{2}$")
    purpose: Purpose = _field("collection, marketing, survey or reminder")
    reviewed: date = _field("the day of the last review: 2026-11-30")
    #: IANA names of the country's time zones, the one with most people first.
    zones: tuple[str, ...] = _field("a list of IANA names: America/Santiago", min_length=1, max_length=40)
    #: The name under which single batches ask for it, beside the pack of all others; None: it is that one.
    variant: str | None = _field(_NAME, None, pattern=_NAME_PATTERN)
    #: After an attempt that reached nobody, the next 24 hours are for the other parts of the day.
    spread_attempts: bool = _field("true or false", False)
    #: What is said of the whole pack.
    remark: str | None = _field(_TEXT, None, min_length=1, max_length=1000)
    sources: dict[str, str] = _field("a table of names and texts")
    windows: Windows | None = _field("a table", None)
    holidays: Holidays | None = _field("a table", None)
    caps: tuple[Cap, ...] = _field("a list of caps", (), max_length=20)
    #: Calls of these purposes count in the caps.
    counted_purposes: tuple[Purpose, ...] = _field("a list of purposes", min_length=1)
    caller_numbers: CallerNumbers | None = _field("a table", None)
    registries: tuple[Registry, ...] = _field("a list of registries", ())
    records: Records | None = _field("a table", None)
    options: tuple[Option, ...] = _field("a list of options", ())
    #: What an operator has to see to, a sentence each.
    operator_must: tuple[str, ...] = _field("a list of texts", ())
    #: What the law asks and speechaid does not see to, a sentence each.
    not_covered: tuple[str, ...] = _field("a list of texts", ())
    #: The options that an operator's file has chosen; a file of a pack has none.
    chosen: tuple[str, ...] = _field("a list of names of options", ())
    exemptions: tuple[Exemption, ...] = _field("a list of exemptions", ())

    @property
    def name(self) -> str:
        """Country, purpose and variant: ``CL collection``, ``CL collection (retail)``."""
        return f"{self.country} {self.purpose}" + (f" ({self.variant})" if self.variant else "")

    @property
    def counts_calls(self) -> bool:
        """Whether earlier calls to a person decide about the next one."""
        return bool(self.caps) or self.spread_attempts

    def all_statements(self) -> Iterator[tuple[str, Statement]]:
        """Each statement with its place in the file."""
        for place, one in (
            ("windows", self.windows),
            ("holidays", self.holidays),
            ("caller_numbers", self.caller_numbers),
            ("records", self.records),
        ):
            if one is not None:
                yield place, one
        groups: tuple[tuple[str, Sequence[Cap | Registry | Option]], ...] = (
            ("caps", self.caps),
            ("registries", self.registries),
            ("options", self.options),
        )
        for place, several in groups:
            yield from ((f"{place} {one.name}", one) for one in several)
        for option in self.options:
            yield from ((f"options {option.name} caps {cap.name}", cap) for cap in option.caps)

    def source_of(self, statement: Statement) -> str:
        """The sources of a statement as one text."""
        return "; ".join(self.sources[name] for name in statement.sources) or "house rule"


class Reference(Part):
    """A pack that takes all rules of another purpose of its country."""

    kind: Literal["reference"] = _field("pack, reference or overlay")
    format: Literal[1] = _field("1")
    country: str = _field("the ISO 3166 code of a country: CL", pattern=r"^[A-Z]{2}$")
    purpose: Purpose = _field("collection, marketing, survey or reminder")
    rules_of: Purpose = _field("the purpose whose rules hold")
    reviewed: date = _field("the day of the last review: 2026-11-30")
    remark: str = _text()


class Overlay(Part):
    """An operator's stricter values for a shipped pack."""

    kind: Literal["overlay"] = _field("pack, reference or overlay")
    format: Literal[1] = _field("1")
    country: str = _field("the ISO 3166 code of a country: CL", pattern=r"^[A-Z]{2}$")
    purpose: Purpose = _field("collection, marketing, survey or reminder")
    #: For the batches alone that name it (``pack_variant``); None: for all.
    variant: str | None = _field(_NAME, None, pattern=_NAME_PATTERN)
    spread_attempts: bool = _field("true or false", False)
    options: tuple[str, ...] = _field("a list of names of options of the pack", ())
    #: Instead of all hours of the days that they name.
    hours: tuple[DayHours, ...] = _field("a list of {days, start, end}", (), max_length=50)
    #: Days without any call.
    closed_days: tuple[int, ...] = _field("a list of days from 1 (Monday) to 7 (Sunday)", (), max_length=7)
    holidays: HolidayRule | None = _field("barred, as_sunday or ignored", None)
    subdivisions: tuple[str, ...] = _field("a list of codes of the library holidays", ())
    extra_holidays: tuple[date, ...] = _field("a list of dates as 2026-12-24", (), max_length=1000)
    #: Each instead of the cap of its name, else beside the others.
    caps: tuple[Cap, ...] = _field("a list of caps", (), max_length=20)
    records_days: int | None = _field("a whole number from 1 to 7300", None, ge=1, le=7300)
    exemptions: tuple[Exemption, ...] = _field("a list of exemptions", (), max_length=20)


@dataclass(frozen=True, kw_only=True)
class InvalidPack:
    """A pack that cannot be used: nobody is called under it."""

    #: None where the file does not tell.
    country: str | None
    purpose: Purpose | None
    #: What is wrong, a sentence each, with file and field; at least one.
    faults: tuple[str, ...]


def days_text(days: Sequence[int]) -> str:
    """Weekdays as ``Mon-Fri`` or ``Mon, Wed``."""
    ordered = sorted(set(days))
    runs: list[list[int]] = []
    for day in ordered:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(
        _DAY_NAMES[run[0] - 1] if len(run) == 1 else f"{_DAY_NAMES[run[0] - 1]}-{_DAY_NAMES[run[-1] - 1]}"
        for run in runs
    )


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _span_text(cap: Cap) -> str:
    match cap.span:
        case Span.CALENDAR_DAY:
            return "a calendar day"
        case Span.CALENDAR_WEEK:
            return "a calendar week"
        case Span.ROLLING_HOURS:
            return f"in {cap.length} hours"
        case _:
            return f"in {cap.length} days"
