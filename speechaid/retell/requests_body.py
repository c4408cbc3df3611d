"""The body of a create request, built once: it is stored with the intent and sent again byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from speechaid.model.agent_settings import LEAVE
from speechaid.model.reading import Document, mapping
from speechaid.rules.agent_choice import AgentChoice

#: The metadata entry with the dial key, by which a dial with a lost answer is looked up.
DIAL_KEY: Final = "speechaid_dial_key"

#: The field with the variables for the agent.
VARIABLES: Final = "retell_llm_dynamic_variables"
#: The fields of ``settings_fields``.
_SETTINGS_FIELDS: Final = ("from_number", "override_agent_id", "override_agent_version", "agent_override")

#: Limits in milliseconds; Retell refuses values outside them.
RING_LIMITS_MS: Final = (5_000, 300_000)
DURATION_LIMITS_MS: Final = (60_000, 7_200_000)


def create_body(
    *,
    choice: AgentChoice,
    timezone: str,
    to_number: str,
    variables: Mapping[str, str],
    metadata: Mapping[str, object],
    key: str,
    ring_seconds: float | None,
    max_call_seconds: float | None,
) -> Document:
    """The request for one call.

    Args:
        choice: agent, version and number.
        timezone: IANA name of the zone in which the agent tells the time.
        to_number: the number called, in E.164.
        variables: dynamic variables for the agent's prompt; all strings.
        metadata: Retell returns it with the call; values become strings (the list filters on strings), None
            is left out.
        key: the dial key; sent as ``idempotency_key`` and in the metadata.
        ring_seconds: how long to let it ring, clamped to 5 to 300 s; None uses the agent's setting.
        max_call_seconds: longest connected call, clamped to 60 to 7200 s; None uses the agent's setting.
    """
    body: Document = {
        "to_number": to_number,
        "idempotency_key": key,
        "honor_internal_dnc": True,
        "metadata": {
            **{name: str(value) for name, value in metadata.items() if value is not None},
            DIAL_KEY: key,
        },
        **settings_fields(
            choice, timezone=timezone, ring_seconds=ring_seconds, max_call_seconds=max_call_seconds
        ),
    }
    if variables:
        body[VARIABLES] = dict(variables)
    return body


def settings_fields(
    choice: AgentChoice, *, timezone: str, ring_seconds: float | None, max_call_seconds: float | None
) -> Document:
    """The part of the request that settings and batch decide; the arguments are those of ``create_body``."""
    limits = {
        "ring_duration_ms": _clamped(ring_seconds, RING_LIMITS_MS),
        "max_call_duration_ms": _clamped(max_call_seconds, DURATION_LIMITS_MS),
    }
    agent: Document = {
        **{name: value for name, value in limits.items() if value is not None},
        "timezone": timezone,
        "enable_dnc_detection": choice.dnc_detection,
    }
    if choice.language is not None:
        agent["language"] = choice.language
    if choice.voicemail is not None:
        agent["voicemail_option"] = {"action": _voicemail_action(choice.voicemail)}
    fields: Document = {
        "from_number": choice.from_number,
        "override_agent_id": choice.agent_id,
        "agent_override": {"agent": agent},
    }
    if choice.version is not None:
        fields["override_agent_version"] = choice.version
    return fields


def settings_fields_of(body: Mapping[str, object]) -> Document:
    """The same part of a stored request."""
    return {name: body[name] for name in _SETTINGS_FIELDS if name in body}


def language_of(body: Mapping[str, object]) -> str | None:
    """The language that a stored request asks for; None: the agent's own."""
    language = mapping(mapping(body.get("agent_override")).get("agent")).get("language")
    return language if isinstance(language, str) else None


def _voicemail_action(option: str) -> Document:
    if option.startswith(LEAVE):
        return {"type": "static_text", "text": option.removeprefix(LEAVE)}
    return {"type": "hangup"}


def _clamped(seconds: float | None, limits: tuple[int, int]) -> int | None:
    if seconds is None:
        return None
    least, most = limits
    return min(max(round(seconds * 1000), least), most)
