"""All settings of the simulator; most can be changed while it runs."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.demo.simulator.directory import AgentSetup
from speechaid.demo.simulator.script import Outcome
from speechaid.model.masking import fingerprint

#: Weights of a typical campaign: about a third is answered, most of the rest is unanswered or busy.
TYPICAL_ODDS: Final[dict[str, float]] = {
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

#: Bounds of a uniform distribution, in seconds.
Span = Annotated[tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]], Field()]


class Settings(BaseModel):
    """How the simulated Retell behaves.

    Ring, talk and analysis times are call seconds: ``speed`` of them pass in one second of the clock, so that
    calls of realistic length fit into a short demo. All other times are seconds of the clock.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_keys: frozenset[str] = Field(min_length=1, repr=False)
    #: The same seed gives the n-th call to a number the same outcome, in any order of calls.
    seed: int = 1
    speed: float = Field(default=1.0, gt=0)
    ring_seconds: Span = (3.0, 20.0)
    talk_seconds: Span = (15.0, 120.0)
    #: The network ends ringing after this time, even if ``ring_duration_ms`` is longer. None: never.
    carrier_ring_seconds: float | None = Field(default=None, gt=0)
    analysis_delay_seconds: float = Field(default=5.0, ge=0)
    #: ``disconnection_reason`` to weight, for numbers without a script.
    odds: dict[str, Annotated[float, Field(ge=0)]] = Field(default=TYPICAL_ODDS, min_length=1)
    #: Outcomes by number, one per call; the last one repeats. ``*`` stands for all other numbers.
    script: dict[str, Annotated[list[Outcome], Field(min_length=1)]] = {}
    #: Fraction of the answered calls with a promise to pay.
    promise_odds: float = Field(default=0.4, ge=0, le=1)
    cents_per_minute: float = Field(default=11.0, ge=0)
    concurrency_limit: int = Field(default=20, ge=0)
    reserved_inbound: int = Field(default=0, ge=0)
    burst: bool = False
    #: Create requests per from_number and second; more get 429. None: no limit.
    calls_per_second: float | None = Field(default=None, gt=0)
    #: Delay until a new call appears in list-calls.
    list_delay_seconds: float = Field(default=0.0, ge=0)
    #: list-calls shows every call as it was so many seconds ago.
    list_lag_seconds: float = Field(default=0.0, ge=0)
    #: list-calls leaves out calls that ring.
    list_lacks_ringing: bool = False
    #: list-calls refuses a filter with more call ids, by this status. None: any number.
    list_most_ids: int | None = Field(default=None, ge=1)
    list_most_ids_status: Literal[400, 413] = 413
    #: Lifetime of an idempotency key.
    key_seconds: float = Field(default=3600.0, ge=0)
    do_not_call: frozenset[str] = frozenset()
    #: Caller numbers of this workspace; None: any number.
    from_numbers: frozenset[str] | None = None
    #: By id; None: the demo's, and every other id is an agent like the demo's first.
    agents: dict[str, AgentSetup] | None = None
    #: Fields of the API by number; None: the demo's, and every other number is known as well.
    numbers: dict[str, dict[str, Any]] | None = None
    #: Added to the ``Date`` header of every response.
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
        """A validated copy with these fields changed.

        Raises:
            pydantic.ValidationError: a field is unknown or its value is not allowed.
        """
        return Settings.model_validate({**self.model_dump(), **changes})

    def document(self) -> dict[str, Any]:
        """As JSON, with fingerprints instead of the keys."""
        fields: dict[str, Any] = self.model_dump(mode="json")
        fields["api_keys"] = sorted(map(fingerprint, self.api_keys))
        return fields

    @property
    def burst_limit(self) -> int:
        """Concurrent calls in burst mode; 0 if burst is off."""
        return min(3 * self.concurrency_limit, self.concurrency_limit + 300) if self.burst else 0

    @property
    def outbound_limit(self) -> int:
        """Concurrent outbound calls before a further one is refused."""
        return max(0, (self.burst_limit or self.concurrency_limit) - self.reserved_inbound)


#: The sort orders of list-calls.
SortOrder = Literal["ascending", "descending"]
