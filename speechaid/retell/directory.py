"""What a workspace has beside calls: agents, the prompts behind them, and phone numbers. Read-only.

Unknown fields are left alone, and an item that cannot be read is left out of a list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar
from urllib.parse import quote

from speechaid.model import reading
from speechaid.model.agent import Agent, Engine, ListedAgent, PhoneNumber
from speechaid.model.reading import Document
from speechaid.protocol.translation import say
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import ItemUnknown, RetellUnavailable
from speechaid.rules.agent_choice import AgentChoice, AtRetell

#: Items asked for in one page of a list.
PAGE_SIZE: Final = 100
#: Pages of one list that are read at most, whatever Retell says.
MAX_PAGES: Final = 50

#: Where the prompt is, by the kind of the agent's engine.
_PROMPT_PATHS: Final[Mapping[str, str]] = {
    Engine.RETELL_LLM: "/get-retell-llm",
    Engine.CONVERSATION_FLOW: "/get-conversation-flow",
}

#: The word for an agent's newest published version.
LATEST_PUBLISHED: Final = "latest_published"

T = TypeVar("T")


class RetellDirectory:
    """Reads agents, prompts and numbers, all together within one time. For one thread."""

    def __init__(self, client: RetellClient, seconds: float) -> None:
        """Send nothing yet.

        Args:
            client: its time-out bounds each request as well.
            seconds: the longest that all requests together may take, from now on.
        """
        self._client = client
        self._deadline = time.monotonic() + seconds

    def get_agent(self, agent_id: str, version: int | str | None = None) -> Agent:
        """One version of an agent.

        Args:
            agent_id: Retell's id.
            version: a number, a tag, ``latest`` or ``latest_published``; None: the latest.

        Raises:
            ItemUnknown: Retell has no such agent, or no such version of it.
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        query = None if version is None else {"version": version}
        agent = self._get(Agent.read, "/get-agent", agent_id, query=query)
        if agent.agent_id != agent_id:
            raise RetellUnavailable(say("Retell answered with another agent"))
        return agent

    def get_current_agent(self, agent_id: str) -> Agent:
        """The agent's published version; its draft where none is published.

        Raises:
            ItemUnknown: Retell has no such agent.
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        latest = self.get_agent(agent_id)
        if latest.is_published is not False:
            return latest
        try:
            return self.get_agent(agent_id, LATEST_PUBLISHED)
        except ItemUnknown:
            return latest

    def get_prompt(self, agent: Agent) -> Document | None:
        """The document that holds the agent's prompt, of the version that the agent uses.

        None where Retell shows none: a custom LLM, or a kind of engine that is not known here.

        Raises:
            ItemUnknown: the agent names a document that Retell does not have.
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        path = _PROMPT_PATHS.get(agent.engine or "")
        if path is None or agent.engine_id is None:
            return None
        version = None if agent.engine_version is None else {"version": agent.engine_version}
        return self._ask("GET", _item_path(path, agent.engine_id), query=version)

    def list_agents(self, limit: int) -> tuple[list[ListedAgent], bool]:
        """The agents, at most ``limit``, and whether there are more.

        Raises:
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        return _first(self._items("POST", "/v2/list-agents"), ListedAgent.read, limit)

    def get_number(self, number: str) -> PhoneNumber:
        """One of the workspace's numbers, which is given in E.164.

        Raises:
            ItemUnknown: the workspace has no such number.
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        found = self._get(PhoneNumber.read, "/get-phone-number", number)
        if found.number != number:
            raise RetellUnavailable(say("Retell answered with another number"))
        return found

    def find_choice(self, choice: AgentChoice) -> AtRetell:
        """What Retell has of an agent, its version and a number.

        Raises:
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        has_agent = _is_known(lambda: self.get_agent(choice.agent_id))
        has_version = has_agent and (
            choice.version is None or _is_known(lambda: self.get_agent(choice.agent_id, choice.version))
        )
        try:
            number: PhoneNumber | None = self.get_number(choice.from_number)
        except ItemUnknown:
            number = None
        return AtRetell(has_agent=has_agent, has_version=has_version, number=number)

    def list_numbers(self, limit: int) -> tuple[list[PhoneNumber], bool]:
        """The numbers, at most ``limit``, and whether there are more.

        Raises:
            RetellUnavailable: ask again later.
            Blocked: the key is refused.
        """
        return _first(self._items("GET", "/v2/list-phone-numbers"), PhoneNumber.read, limit)

    def _get(
        self,
        read: Callable[[Document], T],
        path: str,
        name: str,
        *,
        query: Mapping[str, str | int] | None = None,
    ) -> T:
        document = self._ask("GET", _item_path(path, name), query=query)
        try:
            return read(document)
        except ValueError as exc:
            raise RetellUnavailable(say("Retell's answer cannot be read: {exc}", exc=exc)) from exc

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Document | None = None,
    ) -> Document:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise RetellUnavailable(say("Retell took too long"))
        seconds = min(remaining, self._client.timeout_seconds)
        return self._client.ask(method, path, query=query, body=body, seconds=seconds)

    def _items(self, method: str, path: str) -> Iterator[Document]:
        query: dict[str, str | int] = {"limit": PAGE_SIZE}
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = self._ask(method, path, query=query, body=None if method == "GET" else {})
            items = page.get("items")
            if not isinstance(items, list):
                raise RetellUnavailable(say("Retell's answer is not a list"))
            yield from (dict(reading.mapping(item)) for item in items)
            if not page.get("has_more"):
                return
            key = reading.text(page.get("pagination_key"))
            if key is None or key in seen:
                raise RetellUnavailable(say("Retell's list does not say how to go on"))
            seen.add(key)
            query = {**query, "pagination_key": key}
        raise RetellUnavailable(say("Retell's list does not end"))


def _is_known(get: Callable[[], object]) -> bool:
    try:
        get()
    except ItemUnknown:
        return False
    return True


def _first(documents: Iterator[Document], read: Callable[[Document], T], limit: int) -> tuple[list[T], bool]:
    found: list[T] = []
    for document in documents:
        try:
            item = read(document)
        except ValueError:
            continue
        if len(found) == limit:
            return found, True
        found.append(item)
    return found, False


def _item_path(prefix: str, name: str) -> str:
    if name in {"", ".", ".."}:  # would climb to another path
        raise ItemUnknown(say("this cannot be a name at Retell"))
    return f"{prefix}/{quote(name, safe='')}"
