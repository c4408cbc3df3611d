"""Injected faults, switched on and off while the simulator runs; random choices come from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from speechaid.demo.simulator.workspace import retry_headers
from speechaid.rules.refusals import WORDINGS


class Endpoint(StrEnum):
    """The endpoints, for a fault's filter."""

    CREATE = "create"
    GET = "get"
    LIST = "list"
    STOP = "stop"
    CONCURRENCY = "concurrency"
    AGENT = "agent"
    AGENTS = "agents"
    LLM = "llm"
    FLOW = "flow"
    NUMBER = "number"
    NUMBERS = "numbers"


class Kind(StrEnum):
    """The kinds of faults."""

    #: Takes ``seconds`` longer. When ``before``, the operation runs late (even if the client has
    #: disconnected); when ``after``, only the response is late.
    LATENCY = "latency"
    #: Answers with ``status``, default 500.
    STATUS = "status"
    #: Refuses a create in words from the field: an example of the row ``wording`` of ``rules.refusals``.
    REFUSAL = "refusal"
    #: 429 with the headers that say when to retry.
    RATE_LIMIT = "rate_limit"
    #: 401.
    UNAUTHORIZED = "unauthorized"
    #: 402.
    PAYMENT_REQUIRED = "payment_required"
    #: 503.
    OUTAGE = "outage"
    #: The connection is reset.
    RESET = "reset"
    #: A success status with an invalid body (``style``).
    GARBAGE = "garbage"
    #: No response for ``seconds``; then a connection reset, or the response if the operation ran.
    HANG = "hang"
    #: get-call answers 404.
    NOT_FOUND = "not_found"
    #: An ended call is reported as ongoing.
    REVIVED = "revived"
    #: An ended call is reported with ``reason``, any text.
    UNKNOWN_REASON = "unknown_reason"
    #: A call, live or ended, is reported with ``fields``, without ``without``, with texts of ``fill``, and
    #: with the JSON of ``raw``.
    REWRITTEN = "rewritten"
    #: list-calls leaves the call out.
    UNLISTED = "unlisted"


#: These change the reported call; the others affect the request as a whole.
REWRITES: Final = frozenset({Kind.REVIVED, Kind.UNKNOWN_REASON, Kind.REWRITTEN})
#: Kinds that concern one endpoint only.
_OF_ENDPOINT: Final = {Kind.NOT_FOUND: frozenset({Endpoint.GET}), Kind.UNLISTED: frozenset({Endpoint.LIST})}

_STATUS: Final[dict[Kind, tuple[int, str]]] = {
    Kind.STATUS: (500, "An unexpected server error occurred."),
    Kind.REFUSAL: (400, ""),
    Kind.RATE_LIMIT: (429, "Account rate limited, please throttle your requests."),
    Kind.UNAUTHORIZED: (401, "API key is missing or invalid."),
    Kind.PAYMENT_REQUIRED: (402, "Please add a payment method."),
    Kind.OUTAGE: (503, "Service unavailable."),
    Kind.NOT_FOUND: (404, "Requested call was not found."),
}

#: What carriers and Retell say, by row of the daemon's table.
_EXAMPLES: Final = {wording.name: wording.examples for wording in WORDINGS}

Style = Literal["html", "truncated", "empty", "array", "wrong_types"]
Seconds = Annotated[float, Field(ge=0)]


class Fault(BaseModel):
    """One fault; a filter that is left out matches every request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    endpoints: frozenset[Endpoint] | None = None
    call_id: str | None = None
    to_number: str | None = None
    #: Fingerprint of the API key, as in the record of placed calls.
    api_key_fingerprint: str | None = None
    probability: float = Field(default=1.0, ge=0, le=1)
    #: Number of matching requests that pass first.
    skip: int = Field(default=0, ge=0)
    #: Number of hits after which it is used up; None: no limit.
    count: int | None = Field(default=None, ge=1)
    #: Before: the operation does not run. After: it runs, and its response is faulty.
    when: Literal["before", "after"] = "before"
    #: A fixed time, or the bounds of a uniform distribution.
    seconds: Seconds | tuple[Seconds, Seconds] = 1.0
    status: int | None = Field(default=None, ge=200, le=599)
    #: ``{to}`` and ``{from}`` stand for the numbers of the request.
    message: str | None = None
    wording: str = "country"
    #: Which of the wording's examples, from 0 on.
    example: int = Field(default=0, ge=0)
    #: For 429 and 503.
    retry_after_seconds: Seconds | None = None
    retry_after_form: Literal["seconds", "date"] = "seconds"
    headers: dict[str, str] = {}
    style: Style = "html"
    reason: str = "a_reason_of_tomorrow"
    #: Fields that replace those of the reported call.
    fields: dict[str, Any] = {}
    #: Fields that are left out.
    without: frozenset[str] = frozenset()
    #: Fields that hold a text of so many characters.
    fill: dict[str, Annotated[int, Field(ge=0)]] = {}
    #: Further members of the call object, sent as they are: JSON that no serialiser writes. Not in lists.
    raw: str = ""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Fault:
        if isinstance(self.seconds, tuple) and self.seconds[0] > self.seconds[1]:
            raise ValueError("seconds: the first bound must not exceed the second")
        return self

    @model_validator(mode="after")
    def _wording_is_known(self) -> Fault:
        if self.kind is Kind.REFUSAL:
            examples = _EXAMPLES.get(self.wording, ())
            if self.example >= len(examples):
                raise ValueError(f"wording, example: {self.wording} has {len(examples)} examples")
        return self

    @property
    def answer(self) -> tuple[int, str] | None:
        """Status and message of the kinds that answer with an error."""
        if self.kind not in _STATUS:
            return None
        status, message = _STATUS[self.kind]
        if self.kind is Kind.REFUSAL:
            message = _EXAMPLES[self.wording][self.example]
        return self.status or status, self.message or message

    def answer_headers(self, now: float) -> dict[str, str]:
        """The headers of that answer."""
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
    """The request as fault filters see it, as far as known."""

    endpoint: Endpoint
    call_id: str | None = None
    to_number: str | None = None
    from_number: str | None = None
    api_key_fingerprint: str | None = None

    def with_numbers(self, message: str) -> str:
        """A message with the request's numbers in place of ``{to}`` and ``{from}``."""
        return message.replace("{to}", self.to_number or "").replace("{from}", self.from_number or "")


@dataclass(frozen=True)
class Injection:
    """The faults that apply to one request."""

    #: Seconds before the operation, and between it and the response.
    delay_before: float = 0.0
    delay_after: float = 0.0
    fault: Fault | None = None
    #: The fault's duration, if it has one.
    seconds: float = 0.0


class _Active:
    """A fault with its counters and random number generator."""

    def __init__(self, fault_id: str, fault: Fault, seed: int) -> None:
        self.id = fault_id
        self.fault = fault
        self.matched = 0
        self.hits = 0
        self._rng = random.Random(f"{seed}/{fault_id}")

    def hit(self) -> bool:
        """Count a matching request; return whether the fault applies to it."""
        self.matched += 1
        used_up = self.fault.count is not None and self.hits >= self.fault.count
        if used_up or self.matched <= self.fault.skip or self._rng.random() >= self.fault.probability:
            return False
        self.hits += 1
        return True

    def seconds(self) -> float:
        seconds = self.fault.seconds
        return self._rng.uniform(*seconds) if isinstance(seconds, tuple) else seconds

    def document(self) -> dict[str, Any]:
        fields = self.fault.model_dump(mode="json", exclude_defaults=True)
        return {"id": self.id, "matched": self.matched, "hits": self.hits, **fields}


class FaultTable:
    """The active faults, in the order in which they were added."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self._active: dict[str, _Active] = {}

    def add(self, fault: Fault) -> str:
        """Switch a fault on; returns its id."""
        self._count += 1
        fault_id = f"fault-{self._count}"
        self._active[fault_id] = _Active(fault_id, fault, self._seed)
        return fault_id

    def remove(self, fault_id: str) -> bool:
        """Switch one off; False where there is none of that id."""
        return self._active.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def document(self) -> list[dict[str, Any]]:
        """Each fault, with how often it matched and hit."""
        return [active.document() for active in self._active.values()]

    def inject(self, subject: Subject) -> Injection:
        """The faults that apply to this request: the sum of all latencies, and the first other fault."""
        before = after = 0.0
        hit: _Active | None = None
        for active in self._active.values():
            fault = active.fault
            if fault.kind in {*REWRITES, Kind.UNLISTED} or not _matches(fault, subject):
                continue
            if fault.kind is Kind.LATENCY and active.hit():
                seconds = active.seconds()
                before, after = (
                    (before + seconds, after) if fault.when == "before" else (before, after + seconds)
                )
            elif fault.kind is not Kind.LATENCY and hit is None and active.hit():
                hit = active
        if hit is None:
            return Injection(before, after)
        return Injection(before, after, hit.fault, hit.seconds())

    def leaves_out(self, subject: Subject) -> bool:
        """Whether a fault keeps this call out of the list."""
        hits = [
            active.hit()
            for active in self._active.values()
            if active.fault.kind is Kind.UNLISTED and _matches(active.fault, subject)
        ]
        return any(hits)

    def rewrites(self, subject: Subject, *, over: bool) -> list[Fault]:
        """The faults that misreport this call; ``over``: whether it has ended."""
        kinds = REWRITES if over else {Kind.REWRITTEN}
        return [
            active.fault
            for active in self._active.values()
            if active.fault.kind in kinds and _matches(active.fault, subject) and active.hit()
        ]


def _matches(fault: Fault, subject: Subject) -> bool:
    endpoints = _OF_ENDPOINT.get(fault.kind, fault.endpoints)
    return (endpoints is None or subject.endpoint in endpoints) and all(
        wanted is None or wanted == present
        for wanted, present in (
            (fault.call_id, subject.call_id),
            (fault.to_number, subject.to_number),
            (fault.api_key_fingerprint, subject.api_key_fingerprint),
        )
    )
