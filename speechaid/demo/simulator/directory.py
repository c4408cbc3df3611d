"""Agents, the prompts behind them, and phone numbers: what the workspace has beside calls. Read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from pydantic import BaseModel, ConfigDict, Field

from speechaid.demo.simulator.bodies import Refusal

Document = dict[str, Any]

#: Milliseconds since the epoch: agents and numbers were last changed then.
_CHANGED_AT: Final = 1_790_000_000_000
#: The largest page of a list.
_LARGEST_PAGE: Final = 1000
#: The agent whose setup every agent has that is not set up itself.
DEMO_AGENT: Final = "agent_demo"


class AgentSetup(BaseModel):
    """One agent, as far as it differs from a plain one; ``agent`` and ``prompt`` are fields of the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "Agente"
    version: int = Field(default=0, ge=0)
    language: str | list[str] = "es-419"
    is_published: bool = True
    #: The newest published version, where the latest one is a draft; None: none is published.
    published_version: int | None = Field(default=None, ge=0)
    #: Versions by the tag that points to them.
    tags: dict[str, int] = {}
    engine: Literal["retell-llm", "conversation-flow", "custom-llm"] = "retell-llm"
    agent: Document = {}
    #: Of the LLM or of the conversation flow.
    prompt: Document = {}

    def version_of(self, version: int | str | None) -> int | None:
        """The version that a request means: a number, a tag, ``latest``, ``latest_published``.

        None stands for the latest one; the answer None: there is no such version.
        """
        if version is None or version == "latest":
            return self.version
        if version == "latest_published":
            return self.version if self.is_published else self.published_version
        if isinstance(version, int):
            return version if 0 <= version <= self.version else None
        return self.tags.get(version)


#: How each engine names the document with its prompt, and what that name begins with.
_PROMPT_IDS: Final[Mapping[str, tuple[str, str]]] = {
    "retell-llm": ("llm_id", "llm_"),
    "conversation-flow": ("conversation_flow_id", "conversation_flow_"),
}

#: The agents of a workspace whose settings name none.
DEFAULT_AGENTS: Final[Mapping[str, AgentSetup]] = {
    DEMO_AGENT: AgentSetup(
        name="Cobranza de muestra",
        agent={
            "voicemail_option": {
                "action": {
                    "type": "static_text",
                    "text": "Buenas tardes, {{nombre}}. Llamo de {{empresa}}: devuélvanos la llamada.",
                }
            }
        },
        prompt={
            "begin_message": "Buenas tardes, llamo de {{empresa}}. ¿Hablo con {{nombre}}?",
            "general_prompt": (
                "Usted llama a {{nombre}} en nombre de {{empresa}}. Es {{current_time_America_Santiago}}.\n"
                "El saldo pendiente es de {{monto_total_texto}} y vence el {{fecha_limite_texto}}.\n"
                "Pregunte cuándo puede pagar, y anote la fecha. Sea breve y amable."
            ),
            "start_speaker": "agent",
        },
    ),
    "agent_demo_flow": AgentSetup(
        name="Recordatorio con flujo",
        version=1,
        language=["es-419", "pt-BR"],
        is_published=False,
        engine="conversation-flow",
        prompt={
            "global_prompt": "Usted recuerda una cita a {{nombre}}.",
            "default_dynamic_variables": {"lugar": "la sucursal central"},
            "start_speaker": "agent",
            "start_node_id": "saludo",
            "nodes": [
                {
                    "id": "saludo",
                    "name": "saludo",
                    "type": "conversation",
                    "instruction": {
                        "type": "prompt",
                        "text": "Salude a {{nombre}} y recuérdele su cita del {{fecha_cita}} en {{lugar}}.",
                    },
                }
            ],
        },
    ),
    "agent_demo_custom": AgentSetup(name="Programa propio", engine="custom-llm"),
}
#: The numbers of a workspace whose settings name none.
DEFAULT_NUMBERS: Final[Mapping[str, Document]] = {
    "+15005550006": {"nickname": "Simulador"},
    "+12125550100": {
        "nickname": "Demo",
        "phone_number_type": "retell-twilio",
        "outbound_agents": [{"agent_id": DEMO_AGENT, "weight": 1}],
    },
    "+56220000000": {
        "nickname": "Santiago",
        "outbound_agents": [
            {"agent_id": "agent_demo_flow", "agent_version": "latest_published", "weight": 1}
        ],
        "inbound_agents": [{"agent_id": DEMO_AGENT, "weight": 1}],
        "allowed_outbound_country_list": ["CL", "AR"],
    },
}


def agent_document(
    agents: Mapping[str, AgentSetup] | None, agent_id: str, query: Mapping[str, str] | None = None
) -> Document:
    """The answer of get-agent; ``version`` in the query asks for another version than the latest one.

    Raises:
        Refusal: 404.
    """
    asked = (query or {}).get("version")
    version = int(asked) if asked is not None and asked.isdecimal() else asked
    resolved = resolve_agent(agents, agent_id, version)
    setup = _setup(agents, agent_id)
    assert setup is not None  # noqa: S101 - resolved
    is_latest = resolved == setup.version
    return {
        "agent_id": agent_id,
        "agent_name": setup.name,
        "version": resolved,
        "is_published": setup.is_published if is_latest else resolved == setup.published_version,
        "language": setup.language,
        "last_modification_timestamp": _CHANGED_AT,
        "voice_id": "retell-Cimo",
        "response_engine": _engine(agent_id, setup),
        **setup.agent,
    }


def resolve_agent(
    agents: Mapping[str, AgentSetup] | None, agent_id: str, version: int | str | None = None
) -> int:
    """The version of an agent that a request means.

    Raises:
        Refusal: 404, there is no such agent, or no such version of it.
    """
    setup = _setup(agents, agent_id)
    if setup is None:
        raise Refusal(404, f"Item {agent_id} not found from agent")
    if agents is None and agent_id not in DEFAULT_AGENTS and isinstance(version, int):
        return version  # nobody has set it up: it has every version
    resolved = setup.version_of(version)
    if resolved is None:
        raise Refusal(404, f"Item {agent_id} version {version} not found from agent")
    return resolved


def check_caller(numbers: Mapping[str, Document] | None, from_number: str, to_number: str) -> None:
    """Refuse a number that the workspace does not have, or that may not call this country.

    Raises:
        Refusal: 404 or 400.
    """
    if numbers is not None and from_number not in numbers:
        raise Refusal(404, "from_number was not found in this workspace")
    allowed = number_document(numbers, from_number).get("allowed_outbound_country_list")
    if allowed and not {str(each).upper() for each in allowed} & _countries_of(to_number):
        message = "Country of to_number is not in the allowed outbound country list of the phone number"
        raise Refusal(400, message)


def _countries_of(number: str) -> set[str]:
    """The countries that share the calling code of a number in E.164."""
    digits = number.removeprefix("+")
    codes = (int(digits[:length]) for length in (1, 2, 3) if digits[:length].isdecimal())
    return {country for code in codes for country in COUNTRY_CODE_TO_REGION_CODE.get(code, ())}


def prompt_document(agents: Mapping[str, AgentSetup] | None, prompt_id: str, engine: str) -> Document:
    """The answer of get-retell-llm or get-conversation-flow.

    Raises:
        Refusal: 404.
    """
    kind, prefix = _PROMPT_IDS[engine]
    setup = _setup(agents, prompt_id.removeprefix(prefix)) if prompt_id.startswith(prefix) else None
    if setup is None or setup.engine != engine:
        raise Refusal(404, f"Item {prompt_id} not found from {engine}")
    return {
        kind: prompt_id,
        "version": setup.version,
        "is_published": setup.is_published,
        "last_modification_timestamp": _CHANGED_AT,
        **setup.prompt,
    }


def agents_page(agents: Mapping[str, AgentSetup] | None, query: Mapping[str, str]) -> Document:
    """One page of list-agents, which has neither versions nor languages.

    Raises:
        Refusal: 400.
    """
    known = DEFAULT_AGENTS if agents is None else agents
    rows = [
        {
            "agent_id": agent_id,
            "agent_name": setup.name,
            "channel": "voice",
            "is_suspended": False,
            "tags": {},
            "user_modified_timestamp": _CHANGED_AT,
        }
        for agent_id, setup in known.items()
    ]
    return _page(rows, "agent_id", query)


def number_document(numbers: Mapping[str, Document] | None, number: str) -> Document:
    """The answer of get-phone-number; without ``numbers`` the workspace has every number.

    Raises:
        Refusal: 404.
    """
    fields = (DEFAULT_NUMBERS if numbers is None else numbers).get(number)
    if fields is None and numbers is not None:
        raise Refusal(404, f"Item {number} not found from phone-number")
    return {
        "phone_number": number,
        "phone_number_type": "custom",
        "last_modification_timestamp": _CHANGED_AT,
        **(fields or {}),
    }


def numbers_page(numbers: Mapping[str, Document] | None, query: Mapping[str, str]) -> Document:
    """One page of list-phone-numbers.

    Raises:
        Refusal: 400.
    """
    known = DEFAULT_NUMBERS if numbers is None else numbers
    return _page([number_document(numbers, number) for number in known], "phone_number", query)


def _setup(agents: Mapping[str, AgentSetup] | None, agent_id: str) -> AgentSetup | None:
    """Without ``agents`` the workspace has every agent; those that are not set up are like the demo's."""
    if agents is not None:
        return agents.get(agent_id)
    return DEFAULT_AGENTS.get(agent_id, DEFAULT_AGENTS[DEMO_AGENT])


def _engine(agent_id: str, setup: AgentSetup) -> Document:
    engine: Document = {"type": setup.engine}
    if setup.engine == "custom-llm":
        return {**engine, "llm_websocket_url": "wss://llm.retell.invalid/socket"}
    kind, prefix = _PROMPT_IDS[setup.engine]
    return {**engine, kind: f"{prefix}{agent_id}", "version": setup.version}


def _page(rows: list[Document], key: str, query: Mapping[str, str]) -> Document:
    """The rows after the one that ``pagination_key`` names."""
    limit = query.get("limit", "50")
    if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
        raise Refusal(400, "Invalid request format: limit: must be from 1 to 1000")
    after = query.get("pagination_key")
    names = [row[key] for row in rows]
    if after is not None and after not in names:
        raise Refusal(400, "Invalid request format: pagination_key: invalid")
    rest = rows[names.index(after) + 1 :] if after is not None else rows
    shown = rest[: int(limit)]
    page: Document = {"items": shown, "has_more": len(rest) > len(shown)}
    return {**page, "pagination_key": shown[-1][key]} if page["has_more"] else page
