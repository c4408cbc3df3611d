"""Agent, number and language of a batch: values of ``call_settings``, read leniently. Pure.

``agent_id``, ``agent_version``, ``from_number``, ``language``, ``voicemail_option`` and ``dnc_detection``.
What is set and cannot be read forbids the batch's calls: another agent than the one that was meant would
speak, or another number would call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.protocol.translation import say_later

#: Versions that Retell resolves at each call.
FLOATING_VERSIONS: Final = ("latest", "latest_published")
#: What ``voicemail_option`` begins with where a text is to be left.
LEAVE: Final = "leave "
#: Characters of a message that is left at a voicemail, at most.
LONGEST_MESSAGE: Final = 1000
#: Retell's languages of an agent (``agent_override.agent.language`` of retell-sdk 6.2.13).
LANGUAGES: Final = frozenset(
    (
        *("en-US", "en-IN", "en-GB", "en-AU", "en-NZ", "de-DE", "es-ES", "es-419", "hi-IN"),
        *("fr-FR", "fr-CA", "ja-JP", "pt-PT", "pt-BR", "zh-CN", "ru-RU", "it-IT", "ko-KR"),
        *("nl-NL", "nl-BE", "pl-PL", "tr-TR", "vi-VN", "ro-RO", "bg-BG", "ca-ES", "th-TH"),
        *("da-DK", "fi-FI", "el-GR", "hu-HU", "id-ID", "no-NO", "sk-SK", "sv-SE", "lt-LT"),
        *("lv-LV", "cs-CZ", "ms-MY", "af-ZA", "ar-SA", "az-AZ", "bs-BA", "cy-GB", "fa-IR"),
        *("fil-PH", "gl-ES", "he-IL", "hr-HR", "hy-AM", "is-IS", "kk-KZ", "kn-IN", "mk-MK"),
        *("mr-IN", "ne-NP", "sl-SI", "sr-RS", "sw-KE", "ta-IN", "ur-IN", "yue-CN", "uk-UA"),
    )
)

_ID: Final = re.compile(r"[\w.:-]{1,200}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
_E164: Final = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_LANGUAGE_BY_LOWER: Final = {language.lower(): language for language in LANGUAGES}
#: Retell's versions are small numbers.
_LARGEST_VERSION: Final = 1_000_000


def read_agent_id(value: object) -> str | None:
    """An agent's id; None: it cannot be one."""
    found = reading.text(value)
    return found if found is not None and _ID.fullmatch(found) else None


def read_version(value: object) -> int | str | None:
    """A version of an agent: a number from 0 on, a tag, ``latest`` or ``latest_published``; None: neither."""
    found = reading.text(value)
    if found is None:
        return None
    if found.isascii() and found.isdigit():
        return int(found) if len(found) < 8 and int(found) <= _LARGEST_VERSION else None
    return found if _TAG.fullmatch(found) else None


def read_caller_number(value: object) -> str | None:
    """A number in E.164; None: it is none."""
    found = value.strip() if isinstance(value, str) else None
    return found if found is not None and _E164.fullmatch(found) else None


def read_language(value: object) -> str | None:
    """One of ``LANGUAGES``, whatever its case; None: Retell has no such language."""
    found = reading.text(value)
    return None if found is None else _LANGUAGE_BY_LOWER.get(found.lower())


def read_voicemail(value: object) -> str | None:
    """``agent``, ``hangup`` or ``leave TEXT``; None: neither of them."""
    found = reading.text(value)
    if found is None:
        return None
    word, _, message = found.partition(" ")
    message = message.strip()
    if word.lower() in {"agent", "hangup"} and not message:
        return word.lower()
    if word.lower() == LEAVE.strip() and message and len(message) <= LONGEST_MESSAGE:
        return f"{LEAVE}{message}"
    return None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a value is read, and what it may be."""

    read: Callable[[object], object]
    allowed: str


#: By field of ``call_settings``.
RULES: Final[Mapping[str, Rule]] = {
    "agent_id": Rule(read=read_agent_id, allowed=say_later("an agent's id, such as speechctl agents lists")),
    "agent_version": Rule(
        read=read_version,
        allowed=say_later("a version's number, a tag, latest or latest_published, such as 3"),
    ),
    "from_number": Rule(
        read=read_caller_number, allowed=say_later("a number in E.164, such as +56223456789")
    ),
    "language": Rule(read=read_language, allowed=say_later("a language of Retell's, such as es-419")),
    "voicemail_option": Rule(
        read=read_voicemail,
        allowed=say_later(
            "agent, hangup, or leave and a text of {LONGEST_MESSAGE} characters at most",
            LONGEST_MESSAGE=LONGEST_MESSAGE,
        ),
    ),
    "dnc_detection": Rule(read=reading.yes_or_no, allowed=say_later("true or false")),
}


def faults(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each field that is set and cannot be read."""
    return tuple(
        reading.not_understood(name, fields[name], rule.allowed)
        for name, rule in RULES.items()
        if fields.get(name) is not None and rule.read(fields[name]) is None
    )


@dataclass(frozen=True, kw_only=True)
class AgentPin:
    """The version of an agent with which a batch was started (``batch.agent_pin``)."""

    #: It holds for this agent alone.
    agent_id: str
    version: int | str
    at: datetime | None
    by: str | None

    @classmethod
    def read(cls, document: object) -> AgentPin | None:
        """From the sub-document; None where it names no agent or no version: then nothing is pinned."""
        fields = reading.mapping(document)
        agent_id, version = read_agent_id(fields.get("agent_id")), read_version(fields.get("version"))
        if agent_id is None or version is None:
            return None
        at, by = reading.instant(fields.get("at")), reading.text(fields.get("by"))
        return cls(agent_id=agent_id, version=version, at=at, by=by)

    def document(self) -> Document:
        """The sub-document to store."""
        return {"agent_id": self.agent_id, "version": self.version, "at": self.at, "by": self.by}
