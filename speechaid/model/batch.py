"""A batch of jobs and its call settings, read leniently."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from speechaid.model import agent_settings, faults, reading
from speechaid.model.agent_settings import AgentPin
from speechaid.model.faults import FieldFault
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document
from speechaid.model.states import Priority, Purpose
from speechaid.protocol.translation import say

#: Characters of a typed name or id that a host remembers of a batch whose dials it holds itself.
LONGEST_TYPED: Final = 256
#: Limits that must be readable where they are set, and the minimum of each.
_LIMITS: Final = {"max_attempts": 1, "max_concurrent_calls": 0}
#: Spans that must be readable where they are set, and the most of each: a call of a day, in seconds, and a
#: delay of a year, in hours. Longer ones are mistakes.
_SPANS: Final = {"retry_delay_hours": 8784, "ring_timeout": 86_400, "max_call_duration": 86_400}
#: The counter of jobs in progress, which housekeeping writes beside SpeechAI's.
LIVE_CALLS: Final = "live_calls"
#: The name of a variant, as files of packs have it (``compliance.packs``).
_PACK_VARIANT: Final = re.compile(r"^[a-z][a-z0-9_]{0,59}$")
#: No limit of attempts or calls at a time is larger.
_MOST: Final = 1_000_000


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
    #: As stored: from when on it is called; ``rules.windows`` evaluates it.
    start_at: Any = None
    #: Seconds that a phone may ring.
    ring_timeout: float | None = None
    #: Seconds that a connected call may last.
    max_call_duration: float | None = None
    max_concurrent_calls: int | None = None
    #: Whether reaching a voicemail counts as done; None leaves it to the environment.
    voicemail_counts: bool | None = None
    #: Retell's id of the agent that speaks; None: the environment's.
    agent_id: str | None = None
    #: Its version: a number, a tag, ``latest`` or ``latest_published``; None: the one pinned at the start.
    agent_version: int | str | None = None
    #: E.164; None: the environment's.
    from_number: str | None = None
    #: Such as ``es-419``; None: the agent's own.
    language: str | None = None
    #: ``agent`` (its own setting), ``hangup`` or ``leave TEXT``; None is as ``agent``.
    voicemail_option: str | None = None
    #: Whether the agent listens for a wish not to be called again; None is yes.
    dnc_detection: bool | None = None
    #: What its calls are for: the calling rules of each number's country for it hold. None: no rules do.
    purpose: Purpose | None = None
    #: The variant of packs that holds for it, where a number's country has one of this name.
    pack_variant: str | None = None
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
            max_attempts=int(min(attempts, _MOST)) if attempts is not None and attempts >= 1 else None,
            retry_delay_hours=_span(fields, "retry_delay_hours"),
            allowed_hours=fields.get("allowed_hours"),
            days_of_week=fields.get("days_of_week"),
            timezone=fields.get("timezone"),
            start_at=fields.get("start_at"),
            ring_timeout=_span(fields, "ring_timeout"),
            max_call_duration=_span(fields, "max_call_duration"),
            max_concurrent_calls=(
                int(min(concurrent, _MOST)) if concurrent is not None and concurrent >= 0 else None
            ),
            voicemail_counts=None if counts is None else reading.flag(counts, default=False),
            agent_id=agent_settings.read_agent_id(fields.get("agent_id")),
            agent_version=agent_settings.read_version(fields.get("agent_version")),
            from_number=agent_settings.read_caller_number(fields.get("from_number")),
            language=agent_settings.read_language(fields.get("language")),
            voicemail_option=agent_settings.read_voicemail(fields.get("voicemail_option")),
            dnc_detection=reading.yes_or_no(fields.get("dnc_detection")),
            purpose=read_purpose(fields.get("purpose")),
            pack_variant=read_pack_variant(fields.get("pack_variant")),
            faults=_faults(document),
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as read; ``document`` holds all of it."""

    batch_id: str
    account_id: str | None
    name: str | None
    #: False also where ``is_active`` cannot be understood (``active_fault`` is the sentence then), and where
    #: the batch is cancelled, whatever another program writes into ``is_active``.
    is_active: bool
    priority: int
    #: ISO 3166 alpha-2, as stored, for phones in national form; None: the account's.
    country: str | None
    #: Whether numbers that no numbering plan has are dialled (``rules.phones.accepts_unassigned``).
    accept_unassigned: bool | None
    call_settings: CallSettings
    #: The agent's version in force when the batch was started; None: not pinned.
    agent_pin: AgentPin | None
    #: Who paused it, when and why, if speechctl did.
    pause: Document | None
    #: Who cancelled it, when and why: for good, it takes no import, no edit and no resume. None: it is not.
    cancelled: Document | None
    #: Keys of its open dials.
    open_dials: frozenset[str]
    #: What cannot be read, beside the call settings' own faults.
    field_faults: tuple[FieldFault, ...]
    document: Document = field(repr=False)

    @property
    def is_limited(self) -> bool:
        """Whether its calls at a time are limited, or have been: then it has an entry of each open dial."""
        return self.call_settings.max_concurrent_calls is not None or self.has_all_entries

    @property
    def has_all_entries(self) -> bool:
        """Whether ``open_dials`` has an entry of each open dial, and will have."""
        return self.document.get("has_all_entries") is True

    @property
    def live_calls(self) -> int:
        """Its calls in progress: by its entries, or by what housekeeping counted last, whichever is more."""
        return max(len(self.open_dials), reading.whole(self.document.get(LIVE_CALLS)))

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each field that cannot be understood and forbids calls, beside the call settings."""
        return tuple(fault.sentence for fault in self.field_faults if fault.forbids)

    @property
    def active_fault(self) -> str | None:
        """The sentence where ``is_active`` cannot be understood."""
        return next((fault.sentence for fault in self.field_faults if fault.field == "is_active"), None)

    @classmethod
    def read(cls, document: Document) -> Batch:
        """Read a batch document leniently; switches and limits that cannot be understood forbid calls."""
        batch, broken = faults.read_leniently(cls._read, document)
        if not broken:
            return batch
        return replace(batch, field_faults=(*broken, *batch.field_faults), document=document)

    @classmethod
    def _read(cls, document: Document) -> Batch:
        pause = document.get("pause")
        priority = reading.whole(document.get("priority"), Priority.NORMAL)
        cancelled = _cancelled(document)
        dials = [reading.mapping(entry).get("key") for entry in reading.sequence(document.get("open_dials"))]
        return cls(
            batch_id=reading.text(document.get("batch_id")) or str(document.get("_id")),
            account_id=reading.text(document.get("account_id")),
            name=reading.text(document.get("name")),
            is_active=cancelled is None and reading.read_active(document.get("is_active")) is True,
            priority=min(max(priority, Priority.NORMAL), Priority.URGENT),
            country=reading.text(document.get("country")),
            accept_unassigned=reading.yes_or_no(document.get("accept_unassigned")),
            call_settings=CallSettings.read(document.get("call_settings")),
            agent_pin=AgentPin.read(document.get("agent_pin")),
            pause=_read_pause(pause) if isinstance(pause, dict) else None,
            cancelled=cancelled,
            open_dials=frozenset(key for key in dials if isinstance(key, str)),
            field_faults=faults.of_batch(document),
            document=document,
        )


class BatchStatus(StrEnum):
    """The state of a batch, in SpeechAI's words; it is worked out, not stored."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    #: It has jobs, none of them waits or is in a call, and not all are set aside.
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


def batch_status(batch: Batch, *, total: int, waiting: int, set_aside: int) -> BatchStatus:
    """The status of a batch.

    Args:
        batch: the batch.
        total: how many jobs it has.
        waiting: how many of them are not finished and not set aside.
        set_aside: how many of them are suspended, as those are that wait for the batch's start.
    """
    if batch.cancelled is not None:
        return BatchStatus.CANCELLED
    if total > 0 and waiting == 0:
        # Where all are set aside, nobody was called.
        return BatchStatus.COMPLETED if set_aside < total else BatchStatus.PAUSED
    return BatchStatus.RUNNING if batch.is_active else BatchStatus.PAUSED


def _read_pause(pause: Document) -> Document:
    """Its reason, as an earlier version or another program wrote it, may quote a phone number."""
    reason = pause.get("reason")
    return {**pause, "reason": mask_prose(reason)} if isinstance(reason, str) else dict(pause)


def may_mean(typed: Collection[str], batch_id: str | None, name: str | None) -> bool:
    """Whether one of these, as typed into ``pause-batch``, may mean a batch: its name, or its id's beginning.

    So a host holds a batch's dials before the database has said which one is meant.
    """
    if batch_id is None:
        return False
    return batch_id.startswith(tuple(typed)) or (name is not None and name[:LONGEST_TYPED] in typed)


def _cancelled(document: Document) -> Document | None:
    """``cancelled`` as ``cancel-batch`` writes it; a field of that name by another program is none."""
    found = reading.mapping(document.get("cancelled"))
    return dict(found) if found.get("at") is not None else None


def batch_name(text: str) -> str:
    """A batch's name in one form: without blanks around it, and composed (a Mac's file names are not)."""
    return unicodedata.normalize("NFC", text.strip())


def _faults(document: object) -> tuple[str, ...]:
    """Limits and switches that cannot be read: without them more calls would be placed, or longer ones."""
    if document is None:
        return ()
    if not isinstance(document, Mapping):
        return (reading.not_understood("call_settings", document, say("they must be a document")),)
    set_ = {name: value for name, value in document.items() if value is not None}
    allowed = {
        **{
            name: say("a whole number from {least} on", least=least)
            for name, least in _LIMITS.items()
            if name in set_ and not _at_least(set_[name], least)
        },
        **{
            name: say("a number from 0 to {most}", most=most)
            for name, most in _SPANS.items()
            if name in set_ and _span(set_, name) is None
        },
    }
    if "purpose" in set_ and read_purpose(set_["purpose"]) is None:
        allowed["purpose"] = say("collection, marketing, survey or reminder")
    if "pack_variant" in set_ and read_pack_variant(set_["pack_variant"]) is None:
        allowed["pack_variant"] = say("the name of a pack: small letters, digits and _")
    elif "pack_variant" in set_ and "purpose" not in set_:
        allowed["pack_variant"] = say("none without a purpose")
    if "voicemail_counts" in set_ and reading.yes_or_no(set_["voicemail_counts"]) is None:
        allowed["voicemail_counts"] = say("true or false")
    sentences = (reading.not_understood(name, set_[name], words) for name, words in allowed.items())
    return (*sentences, *agent_settings.faults(set_))


def read_purpose(value: object) -> Purpose | None:
    """What calls are for, whatever its case; None: it cannot be understood."""
    word = (reading.text(value) or "").lower()
    return Purpose(word) if word in set(Purpose) else None


def read_pack_variant(value: object) -> str | None:
    """The name of a pack's variant; None: it cannot be one."""
    name = reading.text(value) or ""
    return name if _PACK_VARIANT.fullmatch(name) else None


def _at_least(value: object, least: int) -> bool:
    result = reading.number(value)
    return result is not None and result >= least


def _span(fields: Mapping[str, Any], name: str) -> float | None:
    result = reading.number(fields.get(name))
    return result if result is not None and 0 <= result <= _SPANS[name] else None
