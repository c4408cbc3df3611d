"""Every knob of the simulator; most may be turned while it runs."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.demo.simulator.script import Outcome
from speechaid.model.masking import fingerprint

#: Weights of a lively campaign: about a third is answered, most of the rest rings out or is busy.
LIVELY: Final[dict[str, float]] = {
    "user_hangup": 18,
    "agent_hangup": 16,
    "call_transfer": 1,
    "user_requested_callback": 2,
    "user_requested_dnc": 1,
    "inactivity": 1,
    "voicemail_reached": 14,
    "ivr_reached": 1,
    "dial_no_answer": 27,
    "dial_busy": 9,
    "user_declined": 4,
    "dial_failed": 3,
    "invalid_destination": 2,
    "error_llm_websocket_lost_connection": 1,
}

#: Lower and upper bound of an even draw, in seconds.
Span = Annotated[tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]], Field()]


class Settings(BaseModel):
    """How this Retell behaves.

    Ring, talk and analysis spans are call seconds: ``speed`` of them pass in one second of the clock, so
    that calls of a natural length fit into a short demo. Everything else counts the clock's own seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_keys: frozenset[str] = Field(min_length=1, repr=False)
    #: The same seed gives the n-th call to a number the same fate, in whatever order calls arrive.
    seed: int = 1
    speed: float = Field(default=1.0, gt=0)
    ring_seconds: Span = (3.0, 20.0)
    talk_seconds: Span = (15.0, 120.0)
    #: The network gives up ringing then, where ``ring_duration_ms`` would go on. None: never.
    carrier_ring_seconds: float | None = Field(default=None, gt=0)
    analysis_delay_seconds: float = Field(default=5.0, ge=0)
    #: ``disconnection_reason`` to weight, for numbers without a script.
    odds: dict[str, Annotated[float, Field(ge=0)]] = Field(default=LIVELY, min_length=1)
    #: Number to its outcomes, one a call, the last one for ever after; ``*`` stands for every other number.
    script: dict[str, Annotated[list[Outcome], Field(min_length=1)]] = {}
    #: Share of the answered calls in which a payment is promised.
    promise_odds: float = Field(default=0.4, ge=0, le=1)
    cents_per_minute: float = Field(default=11.0, ge=0)
    concurrency_limit: int = Field(default=20, ge=0)
    reserved_inbound: int = Field(default=0, ge=0)
    burst: bool = False
    #: Creates that one from_number may make in a second; more get 429. None: no limit.
    calls_per_second: float | None = Field(default=None, gt=0)
    #: A new call appears in list-calls only so long after it was placed.
    list_delay_seconds: float = Field(default=0.0, ge=0)
    #: How long an idempotency key is remembered.
    key_seconds: float = Field(default=3600.0, ge=0)
    do_not_call: frozenset[str] = frozenset()
    #: Caller numbers of this workspace; None: any.
    from_numbers: frozenset[str] | None = None
    #: Added to the ``Date`` header of every answer.
    date_skew_seconds: float = 0.0

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Settings:
        for name in ("ring_seconds", "talk_seconds"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the first bound must not exceed the second")
        if sum(self.odds.values()) <= 0:
            raise ValueError("odds: at least one weight must be above 0")
        return self

    def changed(self, changes: dict[str, Any]) -> Settings:
        """A checked copy with these fields changed.

        Raises:
            pydantic.ValidationError: a field is unknown or its value is not allowed.
        """
        return Settings.model_validate({**self.model_dump(), **changes})

    def shown(self) -> dict[str, Any]:
        """As JSON, with fingerprints in the place of the keys."""
        fields: dict[str, Any] = self.model_dump(mode="json")
        fields["api_keys"] = sorted(map(fingerprint, self.api_keys))
        return fields

    @property
    def burst_limit(self) -> int:
        """Calls at once in burst mode; 0 where burst is off."""
        return min(3 * self.concurrency_limit, self.concurrency_limit + 300) if self.burst else 0

    @property
    def outbound_limit(self) -> int:
        """Calls that may be live before a further one is turned away."""
        return max(0, (self.burst_limit or self.concurrency_limit) - self.reserved_inbound)


#: The two ways of sorting that list-calls knows.
SortOrder = Literal["ascending", "descending"]
