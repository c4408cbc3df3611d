"""``agents`` and ``numbers``: what the Retell workspace of this host's key has."""

from __future__ import annotations

from typing import Final

from speechaid.commands.agent_check import retell_refusal
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.retell_questions import ask_retell
from speechaid.model.agent import Agent, BoundAgent, ListedAgent, PhoneNumber
from speechaid.protocol.translation import N_
from speechaid.retell.client import RetellClient
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import ItemUnknown, RetellError, RetellUnavailable

#: The longest that these commands wait for Retell, in seconds: each agent is a request.
RETELL_SECONDS: Final = 20.0


def agents(context: HandlerContext, command: Invocation) -> Result | Continue:
    """The agents for voice calls, with what only the agent itself tells: version, language, publication."""

    def question(client: RetellClient) -> tuple[list[tuple[ListedAgent, Agent | None]], bool]:
        directory = RetellDirectory(client, RETELL_SECONDS)
        listed, has_more = directory.list_agents(command.args["limit"])
        return [(each, _details(directory, each)) for each in listed if each.channel != "chat"], has_more

    def then(
        context: HandlerContext,
        answer: tuple[list[tuple[ListedAgent, Agent | None]], bool] | RetellError,
    ) -> Result:
        if isinstance(answer, RetellError):
            raise retell_refusal(answer, str(answer))
        rows, has_more = answer
        used = context.settings.retell.agent_id
        return {
            "agents": [_agent_row(listed, agent, used) for listed, agent in rows],
            "has_more": has_more,
            "in_use": used,
        }

    command.progress({"state": N_("asking Retell")})
    return ask_retell(context, question, then, within_seconds=RETELL_SECONDS)


def _details(directory: RetellDirectory, listed: ListedAgent) -> Agent | None:
    """The agent's latest version; None where it is gone meanwhile, or the time is over."""
    try:
        return directory.get_agent(listed.agent_id)
    except (ItemUnknown, RetellUnavailable):
        return None


def _agent_row(listed: ListedAgent, agent: Agent | None, used: str) -> Result:
    return {
        "agent_id": listed.agent_id,
        "name": listed.name,
        "version": None if agent is None else agent.version,
        "languages": [] if agent is None else list(agent.languages),
        "published": None if agent is None else agent.is_published,
        "engine": None if agent is None else agent.engine,
        "suspended": listed.is_suspended,
        "in_use": listed.agent_id == used,
        "details": agent is not None,
    }


def numbers(context: HandlerContext, command: Invocation) -> Result | Continue:
    """The phone numbers: who speaks on them, and which countries they may call."""

    def then(context: HandlerContext, answer: tuple[list[PhoneNumber], bool] | RetellError) -> Result:
        if isinstance(answer, RetellError):
            raise retell_refusal(answer, str(answer))
        found, has_more = answer
        used = context.settings.retell.from_number
        return {
            "numbers": [_number_row(number, used) for number in found],
            "has_more": has_more,
            "in_use": used,
        }

    command.progress({"state": N_("asking Retell")})
    limit = command.args["limit"]
    return ask_retell(
        context,
        lambda client: RetellDirectory(client, RETELL_SECONDS).list_numbers(limit),
        then,
        within_seconds=RETELL_SECONDS,
    )


def _number_row(number: PhoneNumber, used: str) -> Result:
    return {
        "number": number.number,
        "nickname": number.nickname,
        "type": number.kind,
        "outbound_agents": _bound(number.outbound_agents),
        "inbound_agents": _bound(number.inbound_agents),
        "outbound_countries": list(number.outbound_countries),
        "inbound_countries": list(number.inbound_countries),
        "in_use": number.number == used,
    }


def _bound(bound: tuple[BoundAgent, ...]) -> list[Result]:
    return [{"agent_id": each.agent_id, "version": each.version} for each in bound]
