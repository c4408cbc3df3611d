"""What Retell is asked before a batch starts: has it agent and number, and what does the prompt need?

A Retell that does not answer delays a start by ``RETELL_SECONDS`` and forbids nothing: the answer says what
was not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from speechaid.commands.agent_check import (
    AgentReading,
    Sample,
    lacking_sentence,
    read_prompt_of,
    sample_variables,
)
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Result
from speechaid.commands.retell_questions import ask_retell
from speechaid.dialer.context import agent_choice
from speechaid.model.agent import Agent
from speechaid.model.agent_settings import AgentPin
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say, say_later
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import ItemUnknown, RetellError
from speechaid.retell.variables import DERIVED
from speechaid.rules.agent_choice import AgentChoice, AtRetell, Source, fault_at_retell
from speechaid.rules.prompt_variables import compare_variables

#: The longest that a start waits for Retell, in seconds.
RETELL_SECONDS: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class StartCheck:
    """What Retell said about agent and number; where it answered, it has both."""

    choice: AgentChoice
    #: None where nothing was checked.
    reading: AgentReading | None
    #: Why something was not checked.
    not_checked: str | None
    #: The version that the agent has at Retell now: the published one, else its draft.
    current: Agent | None = None

    def pin_for(self, context: HandlerContext, by: str) -> AgentPin | None:
        """The version to pin; None where one is chosen or pinned already, or Retell did not say it."""
        if self.choice.version_source is not Source.RETELL or self.current is None:
            return None
        if self.current.version is None:
            return None
        return AgentPin(
            agent_id=self.choice.agent_id, version=self.current.version, at=context.store.now(), by=by
        )

    def version_remark(self, batch_id: str) -> str | None:
        """A sentence about the version where an operator may not expect it; None: there is nothing to say."""
        choice, current = self.choice, None if self.current is None else self.current.version
        take_it = say("edit-batch {batch_id} --agent {agent_id}", batch_id=batch_id, agent_id=choice.agent_id)
        if choice.version_source is Source.RETELL and current is None:
            return say(
                "the agent's version is not pinned, so Retell chooses it at each call: {take_it} pins it",
                take_it=take_it,
            )
        if choice.version_source is Source.PINNED and current is not None and current != choice.version:
            return say(
                "the batch keeps version {version} of its agent; Retell has {current}: {take_it}",
                version=choice.version,
                current=current,
                take_it=take_it,
            )
        if choice.version is None and self.current is not None and self.current.is_published is False:
            return say(
                "no version of the agent is published: its draft {current} is called with", current=current
            )
        return None


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """Retell's answers."""

    found: AtRetell
    reading: AgentReading | None
    current: Agent | None


T = TypeVar("T")
Then = Callable[[HandlerContext, StartCheck], Result | Continue]


def check_before_start(
    context: HandlerContext,
    choice: AgentChoice,
    country: str | None,
    then: Then,
    *,
    refused: str = say_later("not started"),
) -> Result | Continue:
    """Refuse agent, version or number that Retell does not have: it would refuse each call.

    Args:
        context: the handler's.
        choice: agent, version and number of the batch.
        country: of the batch (ISO 3166 alpha-2), which the number must be allowed to call; None: unknown.
        then: goes on.
        refused: what does not happen, for the text of a refusal.
    """

    def checked(context: HandlerContext, answer: _Answers | RetellError) -> Result | Continue:
        if isinstance(answer, RetellError):
            why = say("agent, number and variables were not checked: {answer}", answer=answer)
            return then(context, StartCheck(choice=choice, reading=None, not_checked=why))
        fault = fault_at_retell(choice, answer.found, country)
        if fault is not None:
            message = say(
                "{refused}, for Retell would refuse each call: {fault}", refused=refused, fault=fault
            )
            raise CommandRefused(ErrorCode.REFUSED, message)
        not_shown = None if answer.reading is None else answer.reading.not_shown
        text = (
            None
            if not_shown is None
            else say("the variables were not checked: {not_shown}", not_shown=not_shown)
        )
        check = StartCheck(choice=choice, reading=answer.reading, not_checked=text, current=answer.current)
        return then(context, check)

    return ask_retell(
        context,
        lambda client: _ask(RetellDirectory(client, RETELL_SECONDS), choice),
        checked,
        within_seconds=RETELL_SECONDS,
    )


def warn_of_variables(
    context: HandlerContext, batch_id: str, check: StartCheck, answer: Result
) -> Result | Continue:
    """Add to the answer of a start its agent and number, and what about them an operator should know.

    That is which variables of the prompt have no value, or why that is not known, and which version speaks.
    """
    batch = context.store.batches.get(batch_id)
    reading, remark = check.reading, check.version_remark(batch_id)
    answer = {**answer, "agent": describe_choice(agent_choice(context.settings, batch))}
    if reading is None or not reading.prompt.is_shown:
        return {**answer, "agent_warning": _joined(check.not_checked, remark)}

    def finish(_context: HandlerContext, sample: Sample) -> Result:
        found = compare_variables(reading.prompt, sample.variables, DERIVED)
        lacking = lacking_sentence(found, sample, batch_id)
        return {**answer, "agent_warning": _joined(lacking, remark)}

    return sample_variables(context, batch, finish)


def describe_choice(choice: AgentChoice) -> Result:
    """Agent, version and number with where each comes from."""
    return {
        "agent_id": choice.agent_id,
        "agent_source": choice.agent_source,
        "version": choice.version,
        "version_source": choice.version_source,
        "from_number": choice.from_number,
        "number_source": choice.number_source,
        "language": choice.language,
    }


def _joined(*sentences: str | None) -> str | None:
    return joined("; ", (sentence for sentence in sentences if sentence is not None)) or None


def _ask(directory: RetellDirectory, choice: AgentChoice) -> _Answers:
    current = _known(lambda: directory.get_current_agent(choice.agent_id))
    speaks = current
    if current is not None and choice.version is not None and current.version != choice.version:
        speaks = _known(lambda: directory.get_agent(choice.agent_id, choice.version))
    found = AtRetell(
        has_agent=current is not None,
        has_version=speaks is not None,
        number=_known(lambda: directory.get_number(choice.from_number)),
    )
    reading = None if speaks is None else read_prompt_of(directory, speaks)
    return _Answers(found=found, reading=reading, current=current)


def _known(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ItemUnknown:
        return None
