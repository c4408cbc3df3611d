"""A batch of jobs and its call settings, read leniently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import Priority

#: Values of ``is_active`` that mean yes; None is also a missing field. The store's queries use them as well.
ACTIVE_VALUES: Final = (None, True, 1, "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "1")
#: Limits that must be readable where they are set, and the minimum of each.
_LIMITS: Final = {"max_attempts": 1, "max_concurrent_calls": 0}
#: Spans that must be readable where they are set, in the unit of their name or in seconds.
_SPANS: Final = ("retry_delay_hours", "ring_timeout", "max_call_duration")


@dataclass(frozen=True, kw_only=True)
class CallSettings:
    """``batch.call_settings``: values set here take precedence over the environment."""

    max_attempts: int | None = None
    #: Hours; replaces both retry delays.
    retry_delay_hours: float | None = None
    #: As stored: ``{start, end}`` or anything else; ``rules.windows`` evaluates it.
    allowed_hours: Any = None
    #: As stored; ``rules.windows`` evaluates it.
    days_of_week: Any = None
    timezone: Any = None
    #: Seconds that a phone may ring.
    ring_timeout: float | None = None
    #: Seconds that a connected call may last.
    max_call_duration: float | None = None
    max_concurrent_calls: int | None = None
    #: Whether reaching a voicemail counts as done; None leaves it to the environment.
    voicemail_counts: bool | None = None
    #: A sentence for each limit or switch that cannot be read: no call is placed under such settings.
    faults: tuple[str, ...] = ()

    @classmethod
    def read(cls, document: object) -> CallSettings:
        """From the sub-document; unreadable values count as not set.

        Where that would allow more calls they do not: the window's values are kept as stored, and unreadable
        limits and switches are named in ``faults``.
        """
        fields = reading.mapping(document)
        attempts = reading.number(fields.get("max_attempts"))
        concurrent = reading.number(fields.get("max_concurrent_calls"))
        counts = fields.get("voicemail_counts")
        return cls(
            max_attempts=int(attempts) if attempts is not None and attempts >= 1 else None,
            retry_delay_hours=_positive(fields.get("retry_delay_hours")),
            allowed_hours=fields.get("allowed_hours"),
            days_of_week=fields.get("days_of_week"),
            timezone=fields.get("timezone"),
            ring_timeout=_positive(fields.get("ring_timeout")),
            max_call_duration=_positive(fields.get("max_call_duration")),
            max_concurrent_calls=int(concurrent) if concurrent is not None and concurrent >= 0 else None,
            voicemail_counts=None if counts is None else reading.flag(counts, default=False),
            faults=_faults(document),
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as read; ``document`` holds all of it."""

    batch_id: str
    account_id: str | None
    name: str | None
    #: False also where ``is_active`` cannot be understood; ``active_fault`` is the sentence then.
    is_active: bool
    active_fault: str | None
    priority: int
    #: ISO 3166 alpha-2, as stored, for phones in national form; None: the account's.
    country: str | None
    call_settings: CallSettings
    #: Who paused it, when and why, if speechctl did.
    pause: Document | None
    #: Keys of its open dials.
    open_dials: frozenset[str]
    document: Document = field(repr=False)

    @classmethod
    def read(cls, document: Document) -> Batch:
        """Read a batch document leniently; switches and limits that cannot be understood forbid calls."""
        pause = document.get("pause")
        active = document.get("is_active")
        is_active = active in ACTIVE_VALUES
        understood = is_active or reading.yes_or_no(active) is False
        priority = reading.whole(document.get("priority"), Priority.NORMAL)
        dials = [reading.mapping(entry).get("key") for entry in reading.sequence(document.get("open_dials"))]
        return cls(
            batch_id=reading.text(document.get("batch_id")) or str(document.get("_id")),
            account_id=reading.text(document.get("account_id")),
            name=reading.text(document.get("name")),
            is_active=is_active,
            active_fault=None if understood else reading.not_understood("is_active", active, "true or false"),
            priority=min(max(priority, Priority.NORMAL), Priority.URGENT),
            country=reading.text(document.get("country")),
            call_settings=CallSettings.read(document.get("call_settings")),
            pause=dict(pause) if isinstance(pause, dict) else None,
            open_dials=frozenset(key for key in dials if isinstance(key, str)),
            document=document,
        )


def _faults(document: object) -> tuple[str, ...]:
    """Limits and switches that cannot be read: without them more calls would be placed, or longer ones."""
    if document is None:
        return ()
    if not isinstance(document, Mapping):
        return (reading.not_understood("call_settings", document, "they must be a document"),)
    set_ = {name: value for name, value in document.items() if value is not None}
    allowed = {
        **{
            name: f"a whole number from {least} on"
            for name, least in _LIMITS.items()
            if name in set_ and not _at_least(set_[name], least)
        },
        **{name: "a number from 0 on" for name in _SPANS if name in set_ and not _at_least(set_[name], 0)},
    }
    if "voicemail_counts" in set_ and reading.yes_or_no(set_["voicemail_counts"]) is None:
        allowed["voicemail_counts"] = "true or false"
    return tuple(reading.not_understood(name, set_[name], words) for name, words in allowed.items())


def _at_least(value: object, least: int) -> bool:
    result = reading.number(value)
    return result is not None and result >= least


def _positive(value: object) -> float | None:
    result = reading.number(value)
    return result if result is not None and result >= 0 else None
