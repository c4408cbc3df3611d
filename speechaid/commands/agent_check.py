"""An agent's prompt beside the variables of a batch: for ``check-agent``, and before a batch starts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.retell_questions import ask_retell
from speechaid.dialer.context import agent_choice
from speechaid.model.agent import Agent, Engine
from speechaid.model.batch import Batch
from speechaid.model.job import Job
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import N_, joined, say
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import ItemUnknown, RetellError, RetellUnavailable
from speechaid.retell.variables import DERIVED, SAID_WITH_ANOTHER, own_variables, variables_in
from speechaid.rules.prompt_variables import (
    JobVariables,
    PromptComparison,
    PromptReading,
    compare_variables,
    read_prompt,
)

#: The longest that check-agent waits for Retell, in seconds.
RETELL_SECONDS: Final = 10.0
#: Waiting jobs of a batch whose variables are looked at, at most; and by one task of the database thread.
SAMPLE: Final = 1000
_PORTION: Final = 100
#: Variables that one sentence names.
_NAMED: Final = 3


@dataclass(frozen=True, kw_only=True)
class AgentReading:
    """An agent and its prompt, as Retell showed them."""

    agent: Agent
    prompt: PromptReading
    #: Why the prompt is not shown; None where it is.
    not_shown: str | None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The variables of a batch's waiting jobs."""

    variables: JobVariables
    #: Whether that is all of them.
    is_all: bool


def check_agent(context: HandlerContext, command: Invocation) -> Result | Continue:
    """The variables that the agent's prompt names, and those that the batch's jobs have."""
    batch = None if command.args["batch"] is None else resolve_batch(context.store, command.args["batch"])
    choice = agent_choice(context.settings, batch)
    agent_id = command.args["agent"] or choice.agent_id
    # Of another agent than the batch's, the latest version is looked at.
    version = choice.version if agent_id == choice.agent_id else None

    def then(context: HandlerContext, answer: AgentReading | RetellError) -> Result | Continue:
        if isinstance(answer, RetellError):
            raise retell_refusal(
                answer,
                say("Retell has no agent {agent_id!r} (speechctl agents lists them)", agent_id=agent_id),
            )
        if batch is None:
            return _answer(answer, None, Sample(variables=JobVariables(), is_all=True))
        return sample_variables(context, batch, lambda _, sample: _answer(answer, batch, sample))

    command.progress({"state": N_("asking Retell")})
    return ask_retell(
        context,
        lambda client: read_agent(RetellDirectory(client, RETELL_SECONDS), agent_id, version),
        then,
        within_seconds=RETELL_SECONDS,
    )


def read_agent(directory: RetellDirectory, agent_id: str, version: int | str | None = None) -> AgentReading:
    """Read an agent and what its prompt says about variables.

    Args:
        directory: of the workspace.
        agent_id: Retell's id.
        version: as for ``RetellDirectory.get_agent``.

    Raises:
        ItemUnknown: Retell has no such agent, or no such version.
        RetellUnavailable: ask again later.
        Blocked: the key is refused.
    """
    return read_prompt_of(directory, directory.get_agent(agent_id, version))


def read_prompt_of(directory: RetellDirectory, agent: Agent) -> AgentReading:
    """Read what the prompt of an agent says about variables.

    Raises:
        RetellUnavailable: ask again later.
        Blocked: the key is refused.
    """
    try:
        prompt = directory.get_prompt(agent)
        not_shown = None if prompt is not None else _why_not_shown(agent)
    except ItemUnknown:
        prompt, not_shown = (
            None,
            say("Retell does not have the {engine} that the agent names", engine=agent.engine),
        )
    return AgentReading(agent=agent, prompt=read_prompt(agent.document, prompt), not_shown=not_shown)


def _why_not_shown(agent: Agent) -> str:
    if agent.engine == Engine.CUSTOM_LLM:
        return say(
            "its sentences come from a program of yours (custom LLM), whose prompt Retell does not know"
        )
    return say(
        "this speechaid does not know where Retell keeps the prompt of {engine!r}",
        engine=agent.engine or say("this agent"),
    )


def retell_refusal(fault: RetellError, unknown: str) -> CommandRefused:
    """The refusal of a command that needs Retell's answer; ``unknown`` is the text where there is no such."""
    if isinstance(fault, ItemUnknown):
        return CommandRefused(ErrorCode.NOT_FOUND, unknown)
    code = ErrorCode.UNAVAILABLE if isinstance(fault, RetellUnavailable) else ErrorCode.REFUSED
    return CommandRefused(code, say("Retell cannot be asked: {fault}", fault=fault))


def sample_variables(
    context: HandlerContext, batch: Batch, then: Callable[[HandlerContext, Sample], Result | Continue]
) -> Result | Continue:
    """Read the variables of the batch's waiting jobs in portions, at most ``SAMPLE``, then go on."""
    rows = context.store.imports.waiting_variables(batch.batch_id)
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    found = JobVariables()
    # One job more than the sample tells whether there are others.
    wanted = itertools.islice(rows, SAMPLE + 1)

    def step(context: HandlerContext) -> Result | Continue:
        settings, now = context.settings.dialling, context.store.now()
        chunk = list(itertools.islice(wanted, _PORTION))
        before = found.jobs
        for document in chunk[: SAMPLE - before]:
            job = Job.read(document)
            variables = variables_in(
                job,
                batch=batch,
                account=account,
                now=now,
                default_timezone=settings.default_timezone,
                default_country=settings.default_country,
            )
            found.add(variables, own_variables(job).keys() - SAID_WITH_ANOTHER)
        left_out = len(chunk) - (found.jobs - before)
        if len(chunk) == _PORTION and not left_out:
            return Continue(after_seconds=0.0, step=step)
        rows.close()
        return then(context, Sample(variables=found, is_all=not left_out))

    return step(context)


def _answer(reading: AgentReading, batch: Batch | None, sample: Sample) -> Result:
    agent, found = reading.agent, compare_variables(reading.prompt, sample.variables, DERIVED)
    return {
        "agent_id": agent.agent_id,
        "agent_name": agent.name,
        "version": agent.version,
        "published": agent.is_published,
        "languages": list(agent.languages),
        "engine": agent.engine,
        "prompt_shown": reading.prompt.is_shown,
        "not_shown": reading.not_shown,
        "batch_id": None if batch is None else batch.batch_id,
        "name": None if batch is None else batch.name,
        "jobs": sample.variables.jobs,
        "all_jobs": sample.is_all,
        "variables": [
            {
                "name": each.name,
                "given_by": each.given,
                "jobs_without": each.jobs_without,
                "places": list(each.places),
                "similar": each.similar,
            }
            for each in found.variables
        ],
        "lacking": [each.name for each in found.lacking],
        "unused": list(found.unused),
        "other_agents": list(reading.prompt.other_agents),
    }


def lacking_sentence(found: PromptComparison, sample: Sample, batch_id: str) -> str | None:
    """One sentence about the variables that the agent would not know; None where it knows all."""
    lacking = found.lacking
    if not lacking:
        return None
    jobs = sample.variables.jobs
    of = say("of {jobs}", jobs=jobs) if sample.is_all else say("of the first {jobs}", jobs=jobs)
    named = joined(
        ", ",
        (
            say(
                "{{{{{name}}}}} ({jobs_without} {of} jobs)",
                name=each.name,
                jobs_without=each.jobs_without,
                of=of,
            )
            for each in lacking[:_NAMED]
        ),
    )
    more = say(" and {lacking} more", lacking=len(lacking) - _NAMED) if len(lacking) > _NAMED else ""
    return say(
        "the agent's prompt names variables that have no value: {named}{more}; the agent"
        " would say the braces: speechctl check-agent --batch {batch_id}",
        named=named,
        more=more,
        batch_id=batch_id,
    )
