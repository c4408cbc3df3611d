"""What can go wrong, switched on and off while the simulator runs; chance comes from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.demo.simulator.exchange import retry_headers


class Endpoint(StrEnum):
    """The five endpoints that a fault may be bound to."""

    CREATE = "create"
    GET = "get"
    LIST = "list"
    STOP = "stop"
    CONCURRENCY = "concurrency"


class Kind(StrEnum):
    """Every fault there is."""

    #: Works, but takes ``seconds``: before it the work is done late (also when the client has left), after
    #: it only the answer is.
    LATENCY = "latency"
    #: Answers with ``status``, 500 unless told otherwise.
    STATUS = "status"
    #: 429 with the headers that say when to come back.
    RATE_LIMIT = "rate_limit"
    #: 401.
    UNAUTHORIZED = "unauthorized"
    #: 402.
    PAYMENT_REQUIRED = "payment_required"
    #: 503.
    OUTAGE = "outage"
    #: The connection is reset.
    RESET = "reset"
    #: A good status with a body that is none (``style``).
    GARBAGE = "garbage"
    #: No answer for ``seconds``; then the connection is reset, or where the work was done the answer comes.
    HANG = "hang"
    #: get-call knows nothing of the call.
    NOT_FOUND = "not_found"
    #: A call that is over is told as ongoing.
    REVIVED = "revived"
    #: A call that is over has ``reason``, whatever that word is.
    UNKNOWN_REASON = "unknown_reason"


#: These change what is told of a call; the others hit the request as a whole.
TALES: Final = frozenset({Kind.REVIVED, Kind.UNKNOWN_REASON})

_STATUS: Final[dict[Kind, tuple[int, str]]] = {
    Kind.STATUS: (500, "An unexpected server error occurred."),
    Kind.RATE_LIMIT: (429, "Account rate limited, please throttle your requests."),
    Kind.UNAUTHORIZED: (401, "API key is missing or invalid."),
    Kind.PAYMENT_REQUIRED: (402, "Please add a payment method."),
    Kind.OUTAGE: (503, "Service unavailable."),
    Kind.NOT_FOUND: (404, "Requested call was not found."),
}

Style = Literal["html", "truncated", "empty", "array", "wrong_types"]
Seconds = Annotated[float, Field(ge=0)]


class Fault(BaseModel):
    """One fault that is switched on; filters that are left out match everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    endpoints: frozenset[Endpoint] | None = None
    call_id: str | None = None
    to_number: str | None = None
    #: Digest of the API key, as the ledger shows it.
    api_key_fingerprint: str | None = None
    probability: float = Field(default=1.0, ge=0, le=1)
    #: Lets so many matching requests pass first.
    skip: int = Field(default=0, ge=0)
    #: Hits so many and is used up then; None: for ever.
    count: int | None = Field(default=None, ge=1)
    #: Before: the request is not carried out. After: it is, and its answer is spoilt.
    when: Literal["before", "after"] = "before"
    #: A fixed time, or the bounds of an even draw.
    seconds: Seconds | tuple[Seconds, Seconds] = 1.0
    status: int | None = Field(default=None, ge=200, le=599)
    message: str | None = None
    #: For 429 and 503.
    retry_after_seconds: Seconds | None = None
    retry_after_form: Literal["seconds", "date"] = "seconds"
    headers: dict[str, str] = {}
    style: Style = "html"
    reason: str = "a_reason_of_tomorrow"

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Fault:
        if isinstance(self.seconds, tuple) and self.seconds[0] > self.seconds[1]:
            raise ValueError("seconds: the first bound must not exceed the second")
        return self

    @property
    def answer(self) -> tuple[int, str] | None:
        """Status and message for the kinds that answer with an error."""
        if self.kind not in _STATUS:
            return None
        status, message = _STATUS[self.kind]
        return self.status or status, self.message or message

    def answer_headers(self, now: float) -> dict[str, str]:
        """The headers that go with it."""
        seconds = self.retry_after_seconds
        if seconds is None and self.kind is Kind.RATE_LIMIT:
            seconds = 1.0
        if seconds is None:
            return self.headers
        if self.retry_after_form == "date":
            return {"retry-after": formatdate(now + seconds, usegmt=True), **self.headers}
        return {**retry_headers(seconds), **self.headers}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a request is about, as far as it can be told."""

    endpoint: Endpoint
    call_id: str | None = None
    to_number: str | None = None
    api_key_fingerprint: str | None = None


@dataclass(frozen=True)
class Strike:
    """What befalls one request."""

    #: Seconds that pass before the work, and between it and the answer.
    delay_before: float = 0.0
    delay_after: float = 0.0
    fault: Fault | None = None
    #: How long the fault lasts, where it has a length.
    seconds: float = 0.0


class _Active:
    """A fault with its count and its dice."""

    def __init__(self, fault_id: str, fault: Fault, seed: int) -> None:
        self.id = fault_id
        self.fault = fault
        self.matched = 0
        self.hits = 0
        self._dice = random.Random(f"{seed}/{fault_id}")

    def hit(self) -> bool:
        """Whether it strikes this matching request."""
        self.matched += 1
        used_up = self.fault.count is not None and self.hits >= self.fault.count
        if used_up or self.matched <= self.fault.skip or self._dice.random() >= self.fault.probability:
            return False
        self.hits += 1
        return True

    def seconds(self) -> float:
        seconds = self.fault.seconds
        return self._dice.uniform(*seconds) if isinstance(seconds, tuple) else seconds

    def shown(self) -> dict[str, Any]:
        fields = self.fault.model_dump(mode="json", exclude_defaults=True)
        return {"id": self.id, "matched": self.matched, "hits": self.hits, **fields}


class FaultTable:
    """The faults that are switched on, in the order in which they were."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made = 0
        self._active: dict[str, _Active] = {}

    def add(self, fault: Fault) -> str:
        """Switch a fault on; returns its id."""
        self._made += 1
        fault_id = f"fault-{self._made}"
        self._active[fault_id] = _Active(fault_id, fault, self._seed)
        return fault_id

    def remove(self, fault_id: str) -> bool:
        """Switch one off; False where there is none of that id."""
        return self._active.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def shown(self) -> list[dict[str, Any]]:
        """Each with how often it matched and struck."""
        return [active.shown() for active in self._active.values()]

    def strike(self, subject: Subject) -> Strike:
        """What befalls this request: all latencies together, and the first other fault that strikes."""
        before = after = 0.0
        struck: _Active | None = None
        for active in self._active.values():
            fault = active.fault
            if fault.kind in TALES or not _concerns(fault, subject):
                continue
            if fault.kind is Kind.LATENCY and active.hit():
                seconds = active.seconds()
                before, after = (
                    (before + seconds, after) if fault.when == "before" else (before, after + seconds)
                )
            elif fault.kind is not Kind.LATENCY and struck is None and active.hit():
                struck = active
        if struck is None:
            return Strike(before, after)
        return Strike(before, after, struck.fault, struck.seconds())

    def tales(self, subject: Subject) -> list[Fault]:
        """The lies that are told about a call that is over."""
        return [
            active.fault
            for active in self._active.values()
            if active.fault.kind in TALES and _concerns(active.fault, subject) and active.hit()
        ]


def _concerns(fault: Fault, subject: Subject) -> bool:
    endpoints = frozenset({Endpoint.GET}) if fault.kind is Kind.NOT_FOUND else fault.endpoints
    return (endpoints is None or subject.endpoint in endpoints) and all(
        wanted is None or wanted == present
        for wanted, present in (
            (fault.call_id, subject.call_id),
            (fault.to_number, subject.to_number),
            (fault.api_key_fingerprint, subject.api_key_fingerprint),
        )
    )
