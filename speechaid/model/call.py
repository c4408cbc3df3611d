"""A Retell call object, read leniently: Retell's names, speechaid's types."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from speechaid.model import reading
from speechaid.model.reading import Document
from speechaid.model.states import TERMINAL_CALL_STATUSES, CallStatus

#: In ms, far longer than any call that Retell allows; a longer duration is ignored, and would not fit BSON.
LONGEST_CALL_MS = 7 * 24 * 3_600_000.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call as Retell describes it; ``document`` is its whole answer."""

    call_id: str
    #: None where Retell sends an unknown status.
    call_status: CallStatus | None
    disconnection_reason: str | None
    to_number: str | None
    from_number: str | None
    #: When the call connected, aware UTC.
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int
    #: Retell's price in cents (``call_cost.combined_cost``); None until Retell reports it.
    cost_cents: float | None
    metadata: Document
    #: Retell's answer, made storable where it was read (``retell.answers.parse``).
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
    def read(cls, document: Document) -> Call:
        """Read Retell's call object.

        Raises:
            ValueError: there is no ``call_id``: this is not a call object.
        """
        call_id = reading.text(document.get("call_id"))
        if call_id is None:
            raise ValueError("a call object without call_id")
        word = reading.text(document.get("call_status"))
        started, ended = (
            _milliseconds(document.get("start_timestamp")),
            _milliseconds(document.get("end_timestamp")),
        )
        duration = reading.number(document.get("duration_ms"))
        if duration is not None and duration > LONGEST_CALL_MS:
            duration = None  # not a duration, and not to be charged
        if duration is None and started is not None and ended is not None:
            duration = (ended - started).total_seconds() * 1000
        return cls(
            call_id=call_id,
            call_status=CallStatus(word) if word in set(CallStatus) else None,
            disconnection_reason=reading.text(document.get("disconnection_reason")),
            to_number=reading.text(document.get("to_number")),
            from_number=reading.text(document.get("from_number")),
            started_at=started,
            ended_at=ended,
            duration_ms=max(0, int(duration or 0)),
            cost_cents=reading.number(reading.mapping(document.get("call_cost")).get("combined_cost")),
            metadata=dict(reading.mapping(document.get("metadata"))),
            document=document,
        )


def _milliseconds(value: object) -> datetime | None:
    stamp = reading.number(value)
    # Until the year 3000: datetime's range is too wide to catch wrong values.
    if stamp is None or not 0 < stamp < 32_503_680_000_000:
        return None
    return datetime.fromtimestamp(stamp / 1000, UTC)
