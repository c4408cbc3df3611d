"""Agents and phone numbers as Retell describes them, read leniently; what is left out is None or empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from speechaid.model import reading
from speechaid.model.reading import Document


class Engine(StrEnum):
    """What makes an agent's sentences (``response_engine.type``)."""

    RETELL_LLM = "retell-llm"
    CONVERSATION_FLOW = "conversation-flow"
    #: A program of the customer's, at a websocket: Retell does not know its prompt.
    CUSTOM_LLM = "custom-llm"


#: The field of ``response_engine`` that names the document with the prompt.
_ENGINE_IDS: Final[Mapping[str, str]] = {
    Engine.RETELL_LLM: "llm_id",
    Engine.CONVERSATION_FLOW: "conversation_flow_id",
}


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One version of an agent."""

    agent_id: str
    name: str | None
    version: int | None
    #: Locales such as ``es-419``; empty where Retell names none, which it takes for ``en-US``.
    languages: tuple[str, ...]
    #: None where Retell does not say.
    is_published: bool | None
    #: As Retell names it; a kind that ``Engine`` does not have stays a text.
    engine: str | None
    #: The document with the prompt; None where there is none that Retell could show.
    engine_id: str | None
    engine_version: int | None
    document: Document = field(repr=False)

    @classmethod
    def read(cls, document: Document) -> Agent:
        """From the answer of get-agent.

        Raises:
            ValueError: it names no agent.
        """
        agent_id = reading.text(document.get("agent_id"))
        if agent_id is None:
            raise ValueError("no agent_id")
        engine = reading.mapping(document.get("response_engine"))
        kind = reading.text(engine.get("type"))
        of_engine = _ENGINE_IDS.get(kind or "")
        languages = document.get("language")
        return cls(
            agent_id=agent_id,
            name=reading.text(document.get("agent_name")),
            version=_version(document.get("version")),
            languages=tuple(
                locale
                for each in (languages if isinstance(languages, list) else [languages])
                if (locale := reading.text(each)) is not None
            ),
            is_published=reading.yes_or_no(document.get("is_published")),
            engine=kind,
            engine_id=None if of_engine is None else reading.text(engine.get(of_engine)),
            engine_version=_version(engine.get("version")),
            document=document,
        )


@dataclass(frozen=True, kw_only=True)
class ListedAgent:
    """An agent in Retell's list, which has neither version nor language."""

    agent_id: str
    name: str | None
    #: ``voice`` or ``chat``.
    channel: str | None
    is_suspended: bool

    @classmethod
    def read(cls, document: Document) -> ListedAgent:
        """From an item of list-agents.

        Raises:
            ValueError: it names no agent.
        """
        agent_id = reading.text(document.get("agent_id"))
        if agent_id is None:
            raise ValueError("no agent_id")
        return cls(
            agent_id=agent_id,
            name=reading.text(document.get("agent_name")),
            channel=reading.text(document.get("channel")),
            is_suspended=reading.yes_or_no(document.get("is_suspended")) is True,
        )


@dataclass(frozen=True, kw_only=True)
class BoundAgent:
    """An agent that a number is bound to for one direction."""

    agent_id: str
    #: A number, a tag, ``latest`` or ``latest_published``; None where Retell does not say.
    version: str | None


@dataclass(frozen=True, kw_only=True)
class PhoneNumber:
    """A number of the workspace."""

    #: E.164.
    number: str
    nickname: str | None
    #: ``retell-twilio``, ``retell-telnyx`` or ``custom``.
    kind: str | None
    inbound_agents: tuple[BoundAgent, ...]
    outbound_agents: tuple[BoundAgent, ...]
    #: ISO 3166 alpha-2, in upper case; empty: all countries.
    inbound_countries: tuple[str, ...]
    outbound_countries: tuple[str, ...]

    def may_call(self, country: str) -> bool:
        """Whether Retell lets it call numbers of this country (ISO 3166 alpha-2)."""
        return not self.outbound_countries or country.upper() in self.outbound_countries

    @classmethod
    def read(cls, document: Document) -> PhoneNumber:
        """From get-phone-number, or an item of list-phone-numbers.

        Raises:
            ValueError: it names no number.
        """
        number = reading.text(document.get("phone_number"))
        if number is None:
            raise ValueError("no phone_number")
        return cls(
            number=number,
            nickname=reading.text(document.get("nickname")),
            kind=reading.text(document.get("phone_number_type")),
            inbound_agents=_bound(document.get("inbound_agents")),
            outbound_agents=_bound(document.get("outbound_agents")),
            inbound_countries=_countries(document.get("allowed_inbound_country_list")),
            outbound_countries=_countries(document.get("allowed_outbound_country_list")),
        )


def _version(value: object) -> int | None:
    found = reading.number(value)
    return None if found is None else int(found)


def _bound(value: object) -> tuple[BoundAgent, ...]:
    rows = [reading.mapping(entry) for entry in reading.sequence(value)]
    return tuple(
        BoundAgent(
            agent_id=agent_id,
            version=None if row.get("agent_version") is None else str(row["agent_version"]),
        )
        for row in rows
        if (agent_id := reading.text(row.get("agent_id"))) is not None
    )


def _countries(value: object) -> tuple[str, ...]:
    return tuple(name.upper() for each in reading.sequence(value) if (name := reading.text(each)))
