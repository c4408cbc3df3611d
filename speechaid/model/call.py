"""Retell's call objects, read leniently: Retell's names, speechaid's types.

Three endpoints tell about a call, and only one of them tells all: ``Call`` is the answer of get-call, and the
only one from which a call may be settled. A create's answer (``ReportedCall``) and an item of the list
(``ListedCall``) say that there is a call; they have no transcript, and may be older than the call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import TERMINAL_CALL_STATUSES, CallStatus

#: In ms, far longer than any call that Retell allows; a longer duration is ignored, and would not fit BSON.
LONGEST_CALL_MS = 7 * 24 * 3_600_000.0
#: More than any call costs, in cents; a higher or a negative cost is ignored, and would ruin a batch's sums.
HIGHEST_COST_CENTS: Final = 10_000_000.0
#: Longer texts are no id, number or reason: an id is refused, a number ignored, a reason cut.
LONGEST_ID: Final = 256
#: What a person promised, as the agent collected it: a day and a sum.
PROMISE_FIELDS: Final = ("fecha_pago_cliente", "monto_pago_cliente")
#: A longer promise is no date and no amount: it is cut.
LONGEST_PROMISE: Final = 1000
#: From here on a number is no version of an agent.
_TOO_LARGE_VERSION: Final = 1e9


@dataclass(frozen=True, kw_only=True)
class ReportedCall:
    """A call as one of Retell's answers reports it; ``document`` is the whole object."""

    call_id: str
    #: None where Retell sends an unknown status.
    call_status: CallStatus | None
    disconnection_reason: str | None
    to_number: str | None
    from_number: str | None
    #: The agent that speaks, and its version, as Retell has chosen it.
    agent_id: str | None
    agent_version: int | None
    #: When the call connected, aware UTC.
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int
    #: Retell's price in cents (``call_cost.combined_cost``); None until Retell reports it.
    cost_cents: float | None
    metadata: Document
    #: Retell's object, made storable where it was read (``retell.answers.parse``).
    document: Document = field(repr=False)

    @property
    def is_over(self) -> bool:
        """Whether Retell reports that the call has ended."""
        return self.call_status in TERMINAL_CALL_STATUSES

    @property
    def connected(self) -> bool:
        """Whether the call was answered: it has a duration, or is ongoing."""
        return self.duration_ms > 0 or self.call_status is CallStatus.ONGOING

    @property
    def minutes(self) -> float:
        """``duration_ms`` in minutes, not rounded."""
        return self.duration_ms / 60_000

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read Retell's call object.

        Raises:
            ValueError: there is no ``call_id``, or one too long for an id: this is not a call object.
        """
        call_id = reading.text(document.get("call_id"))
        if call_id is None or len(call_id) > LONGEST_ID:
            raise ValueError("a call object without call_id")
        word = reading.text(document.get("call_status"))
        started, ended = (
            instant_of_milliseconds(document.get("start_timestamp")),
            instant_of_milliseconds(document.get("end_timestamp")),
        )
        reason = reading.text(document.get("disconnection_reason"))
        return cls(
            call_id=call_id,
            call_status=CallStatus(word) if word in set(CallStatus) else None,
            disconnection_reason=None if reason is None else reason[:LONGEST_ID],
            to_number=_short(document.get("to_number")),
            from_number=_short(document.get("from_number")),
            agent_id=_short(document.get("agent_id")),
            agent_version=_version(document.get("agent_version")),
            started_at=started,
            ended_at=ended,
            duration_ms=_duration(document.get("duration_ms"), started, ended),
            cost_cents=_cents(reading.mapping(document.get("call_cost")).get("combined_cost")),
            metadata=dict(reading.mapping(document.get("metadata"))),
            document=document,
        )


class Call(ReportedCall):
    """The whole answer of get-call; what a call is settled from."""


class ListedCall(ReportedCall):
    """An item of list-calls, which has no transcript: a hint to ask get-call, never what is settled."""


def collected_promises(document: Document) -> Document:
    """What the person promised in a call, of Retell's object; empty where nothing was promised."""
    collected = reading.mapping(document.get("collected_dynamic_variables"))
    promises = {name: _promise(collected.get(name)) for name in PROMISE_FIELDS}
    return {name: promise for name, promise in promises.items() if promise is not None}


def _promise(value: object) -> object:
    """A collected date or amount; None where it is none, or neither a text nor a number."""
    if isinstance(value, str):
        return value[:LONGEST_PROMISE] or None
    return value if reading.text(value) is not None or reading.number(value) is not None else None


def _short(value: object) -> str | None:
    found = reading.text(value)
    return None if found is None or len(found) > LONGEST_ID else found


def _version(value: object) -> int | None:
    found = reading.number(value)
    return int(found) if found is not None and 0 <= found < _TOO_LARGE_VERSION else None


def _cents(value: object) -> float | None:
    cents = reading.number(value)
    return None if cents is None or not 0 <= cents <= HIGHEST_COST_CENTS else cents


def _duration(value: object, started: datetime | None, ended: datetime | None) -> int:
    """In ms; 0 where neither the value nor the two times are a duration: it must not be charged."""
    span = None if started is None or ended is None else (ended - started).total_seconds() * 1000
    found = (ms for ms in (reading.number(value), span) if ms is not None and 0 <= ms <= LONGEST_CALL_MS)
    return int(next(found, 0))


def instant_of_milliseconds(value: object) -> datetime | None:
    """A time of Retell's, in ms since 1970, as aware UTC; None where it is none."""
    stamp = reading.number(value)
    # Until the year 3000: datetime's range is too wide to catch wrong values.
    if stamp is None or not 0 < stamp < 32_503_680_000_000:
        return None
    return datetime.fromtimestamp(stamp / 1000, UTC)
