"""What Retell is asked before a batch starts: are agent and number there, and what does the prompt need?

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
    read_agent,
    sample_variables,
)
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Result
from speechaid.commands.retell_questions import ask_retell
from speechaid.model.agent import PhoneNumber
from speechaid.protocol.messages import ErrorCode
from speechaid.retell.client import RetellClient
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import ItemUnknown, RetellError
from speechaid.retell.variables import DERIVED
from speechaid.rules.prompt_variables import compare_variables

#: The longest that a start waits for Retell, in seconds.
RETELL_SECONDS: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class StartCheck:
    """What Retell said about the agent before a start; it knows agent and number."""

    #: None where nothing was checked.
    reading: AgentReading | None
    #: Why something was not checked.
    not_checked: str | None


@dataclass(frozen=True, kw_only=True)
class _AtRetell:
    """Retell's answers; None where it does not have it."""

    reading: AgentReading | None
    number: PhoneNumber | None


T = TypeVar("T")
Then = Callable[[HandlerContext, StartCheck], Result | Continue]


def check_before_start(context: HandlerContext, country: str | None, then: Then) -> Result | Continue:
    """Refuse a start whose calls Retell would refuse: an agent or a number that it does not have.

    Args:
        context: the handler's.
        country: of the batch (ISO 3166 alpha-2), which the number must be allowed to call; None: unknown.
        then: goes on with the start.
    """
    retell = context.settings.retell

    def question(client: RetellClient) -> _AtRetell:
        directory = RetellDirectory(client, RETELL_SECONDS)
        return _AtRetell(
            reading=_known(lambda: read_agent(directory, retell.agent_id)),
            number=_known(lambda: directory.get_number(retell.from_number)),
        )

    def checked(context: HandlerContext, answer: _AtRetell | RetellError) -> Result | Continue:
        if isinstance(answer, RetellError):
            why = f"agent, number and variables were not checked: {answer}"
            return then(context, StartCheck(reading=None, not_checked=why))
        _refuse(answer, retell.agent_id, country)
        reading = answer.reading
        not_shown = None if reading is None else reading.not_shown
        text = None if not_shown is None else f"the variables were not checked: {not_shown}"
        return then(context, StartCheck(reading=reading, not_checked=text))

    return ask_retell(context, question, checked, within_seconds=RETELL_SECONDS)


def warn_of_variables(
    context: HandlerContext, batch_id: str, check: StartCheck, answer: Result
) -> Result | Continue:
    """Add to the answer of a start which variables of the prompt have no value, or why that is not known."""
    reading = check.reading
    if reading is None or not reading.prompt.is_shown:
        return {**answer, "agent_warning": check.not_checked}

    def finish(_context: HandlerContext, sample: Sample) -> Result:
        found = compare_variables(reading.prompt, sample.variables, DERIVED)
        return {**answer, "agent_warning": lacking_sentence(found, sample, batch_id)}

    return sample_variables(context, context.store.batches.get(batch_id), finish)


def _known(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ItemUnknown:
        return None


def _refuse(known: _AtRetell, agent_id: str, country: str | None) -> None:
    number, fault = known.number, None
    if known.reading is None:
        fault = f"Retell has no agent RETELL_AGENT_ID={agent_id} (speechctl agents lists those that it has)"
    elif number is None:
        fault = "Retell has not the number RETELL_FROM_NUMBER (speechctl numbers lists those that it has)"
    elif country is not None and not number.may_call(country):
        fault = (
            f"RETELL_FROM_NUMBER may call {', '.join(number.outbound_countries)} alone, not {country}, "
            "the batch's country: change that in Retell's dashboard, or take another number"
        )
    if fault is not None:
        raise CommandRefused(ErrorCode.REFUSED, f"not started, for Retell would refuse each call: {fault}")
