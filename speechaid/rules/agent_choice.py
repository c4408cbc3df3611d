"""Which agent, version and number a call has, and what else its agent is told. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from speechaid.model.agent import PhoneNumber
from speechaid.model.batch import Batch
from speechaid.model.masking import mask_phone
from speechaid.protocol.translation import joined, say
from speechaid.rules.refusals import wording_of


class Source(StrEnum):
    """Where a value comes from."""

    BATCH = "batch"
    SETTINGS = "settings"
    #: The version that was in force when the batch was started.
    PINNED = "pinned"
    #: Neither says anything: Retell, or the agent as it is there, decides.
    RETELL = "retell"


@dataclass(frozen=True, kw_only=True)
class AgentChoice:
    """Agent, version and number of a call, and what overrides the agent's own settings."""

    agent_id: str
    agent_source: Source
    #: None: Retell chooses.
    version: int | str | None
    version_source: Source
    #: E.164.
    from_number: str
    number_source: Source
    #: None: as the agent is set at Retell.
    language: str | None
    #: ``hangup`` or ``leave TEXT``; None: as the agent is set at Retell.
    voicemail: str | None
    #: Whether the agent listens for a wish not to be called again.
    dnc_detection: bool


#: Refusals (``rules.refusals``) that can be about the number that calls.
_ABOUT_NUMBER: Final = frozenset({"caller_number", "country"})


def is_own_fault(choice: AgentChoice, refusal: str) -> bool:
    """Whether a refused create faults what the batch has chosen itself: other batches may be called.

    Args:
        choice: of the refused request.
        refusal: the text of the refusal.
    """
    wording = wording_of(refusal)
    if wording is None:
        return False
    if wording.name == "agent":
        return choice.agent_source is Source.BATCH or choice.version is not None
    return wording.name in _ABOUT_NUMBER and choice.number_source is Source.BATCH


def choose_agent(batch: Batch | None, *, default_agent: str, default_number: str) -> AgentChoice:
    """What the next dial of a batch is placed with.

    Args:
        batch: None for a job without one.
        default_agent: ``RETELL_AGENT_ID``.
        default_number: ``RETELL_FROM_NUMBER``.
    """
    settings = None if batch is None else batch.call_settings
    agent_id = (settings.agent_id if settings else None) or default_agent
    number = settings.from_number if settings else None
    version = settings.agent_version if settings else None
    pin = None if batch is None else batch.agent_pin
    source = Source.BATCH
    if version is None:
        is_pinned = pin is not None and pin.agent_id == agent_id
        version = pin.version if pin is not None and is_pinned else None
        source = Source.PINNED if is_pinned else Source.RETELL
    voicemail = settings.voicemail_option if settings else None
    return AgentChoice(
        agent_id=agent_id,
        agent_source=Source.BATCH if settings and settings.agent_id else Source.SETTINGS,
        version=version,
        version_source=source,
        from_number=number or default_number,
        number_source=Source.BATCH if number else Source.SETTINGS,
        language=settings.language if settings else None,
        voicemail=None if voicemail == "agent" else voicemail,
        dnc_detection=settings is None or settings.dnc_detection is not False,
    )


@dataclass(frozen=True, kw_only=True)
class AtRetell:
    """What Retell has of a choice."""

    has_agent: bool
    #: Whether the agent has the version; True where none is chosen.
    has_version: bool
    #: None: the workspace has no such number.
    number: PhoneNumber | None


def fault_at_retell(choice: AgentChoice, found: AtRetell, country: str | None) -> str | None:
    """Why Retell would refuse each call of a choice; None: it would not.

    Args:
        choice: agent, version and number.
        found: what Retell has of it.
        country: of the numbers that are called (ISO 3166 alpha-2); None: unknown.
    """
    agent = choice.agent_id
    if choice.agent_source is Source.SETTINGS:
        agent = f"RETELL_AGENT_ID={agent}"
    number = "RETELL_FROM_NUMBER"
    if choice.number_source is Source.BATCH:
        number = say("the batch's number {from_number}", from_number=mask_phone(choice.from_number))
    if not found.has_agent:
        return say("Retell has no agent {agent} (speechctl agents lists those that it has)", agent=agent)
    if not found.has_version:
        return say(
            "the agent {agent} has no version {version} at Retell (edit-batch --agent-version)",
            agent=agent,
            version=choice.version,
        )
    if found.number is None:
        return say("Retell does not have {number} (speechctl numbers lists those that it has)", number=number)
    if country is not None and not found.number.may_call(country):
        countries = joined(", ", found.number.outbound_countries)
        return say(
            "{number} may call {countries} alone, not {country}, the batch's country: change"
            " that in Retell's dashboard, or take another number",
            number=number,
            countries=countries,
            country=country,
        )
    return None
