"""Which agent, version and number a call has, and what else its agent is told. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from speechaid.model.batch import Batch


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
