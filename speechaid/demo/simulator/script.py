"""Which outcome the next call to a number has: scripted for the number, or drawn from a seed by odds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.model.states import CallStatus

#: In a script, the number that stands for every number without an entry of its own.
ANY_NUMBER = "*"


class Outcome(BaseModel):
    """How one call ends; in a script the bare reason may stand for it.

    Fields left out are drawn, or follow the reason's row in the table. Seconds are call seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Any word: one that Retell does not know yet is allowed.
    reason: str
    status: CallStatus | None = None
    ring_seconds: float | None = Field(default=None, ge=0)
    #: How long the connected part lasts; 0 for a reason that usually connects: it never does.
    talk_seconds: float | None = Field(default=None, ge=0)
    #: ``collected_dynamic_variables``; an empty object: none.
    collected: dict[str, str] | None = None
    #: False: ``call_analysis`` never comes.
    analysis: bool = True
    #: True: goes on past its ring and duration limits until it is stopped.
    endless: bool = False

    @model_validator(mode="before")
    @classmethod
    def _bare_reason(cls, value: Any) -> Any:
        return {"reason": value} if isinstance(value, str) else value


def dice_for(seed: int, to_number: str, nth: int) -> random.Random:
    """The dice of the n-th call (0-based) to a number: independent of which worker dials it, and when."""
    return random.Random(f"{seed}/{to_number}/{nth}")


def choose(
    script: Mapping[str, Sequence[Outcome]],
    odds: Mapping[str, float],
    to_number: str,
    nth: int,
    dice: random.Random,
) -> Outcome:
    """The outcome of the n-th call (0-based) to a number."""
    outcomes = script.get(to_number) or script.get(ANY_NUMBER)
    if outcomes:
        return outcomes[min(nth, len(outcomes) - 1)]
    reason = dice.choices(list(odds), weights=list(odds.values()))[0]
    return Outcome(reason=reason)
