"""What tests of the Retell client send: a key, a number, a create body, a client."""

from __future__ import annotations

from typing import Any

from speechaid.model.reading import Document
from speechaid.retell.client import RetellClient
from speechaid.retell.requests_body import create_body
from speechaid.rules.agent_choice import AgentChoice, choose_agent

KEY = "key_of_the_tests"
NUMBER = "+56900000001"


def choice_of(agent: str = "agent_1", number: str = "+56200000001") -> AgentChoice:
    """Agent and number of a job without a batch."""
    return choose_agent(None, default_agent=agent, default_number=number)


def body(key: str, to_number: str = NUMBER, **metadata: str) -> Document:
    return create_body(
        choice=choice_of(),
        timezone="America/Santiago",
        to_number=to_number,
        variables={"nombre": "Ana"},
        metadata=metadata,
        key=key,
        ring_seconds=10,
        max_call_seconds=120,
    )


def client_of(base_url: str, seconds: float = 20.0, **fields: Any) -> RetellClient:
    return RetellClient(
        base_url=base_url, api_key=KEY, timeout_seconds=seconds, user_agent="speechaid/test", **fields
    )
