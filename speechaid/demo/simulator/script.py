"""The outcome of the next call to a number: scripted, or drawn from a seed by odds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.model.states import CallStatus

#: In a script, stands for every number without an entry.
ANY_NUMBER = "*"


class Outcome(BaseModel):
    """How one call ends; in a script the reason alone may stand for it.

    Fields left out are drawn, or follow the reason's row in ``reasons``. Seconds are call seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Any text, also reasons that Retell does not have yet.
    reason: str
    status: CallStatus | None = None
    ring_seconds: float | None = Field(default=None, ge=0)
    #: Duration of the connected part; 0: it never connects, even with a reason that usually does.
    talk_seconds: float | None = Field(default=None, ge=0)
    #: ``collected_dynamic_variables``; an empty object: none.
    collected: dict[str, str] | None = None
    #: False: ``call_analysis`` never appears.
    analysis: bool = True
    #: True: continues beyond its ring and duration limits until it is stopped.
    endless: bool = False

    @model_validator(mode="before")
    @classmethod
    def _bare_reason(cls, value: Any) -> Any:
        return {"reason": value} if isinstance(value, str) else value


def rng_for(seed: int, to_number: str, nth: int) -> random.Random:
    """The random numbers of the n-th call (0-based) to a number: independent of who dials it, and when."""
    return random.Random(f"{seed}/{to_number}/{nth}")


def choose(
    script: Mapping[str, Sequence[Outcome]],
    odds: Mapping[str, float],
    to_number: str,
    nth: int,
    rng: random.Random,
) -> Outcome:
    """The outcome of the n-th call (0-based) to a number."""
    outcomes = script.get(to_number) or script.get(ANY_NUMBER)
    if outcomes:
        return outcomes[min(nth, len(outcomes) - 1)]
    reason = rng.choices(list(odds), weights=list(odds.values()))[0]
    return Outcome(reason=reason)
