"""The circuit breaker of one API key: when faults hold all its dials, and how dialling comes back.

    CLOSED --run of faults--> OPEN --probe_at is past, one dial begins the probe--> PROBING
       ^                       ^                                                      |   |
       |                       +--------- fault: twice the back-off; no proof --------+   |
       +------------------------------------ proof --------------------------------------+

What proves that a fault is gone depends on the fault (``CLEARED_BY``): a create that is accepted says nothing
about an agent that breaks off every call, and a call that nobody answered never met the agent. A probe that
never reports back does not hold the key for ever: past ``probe_at`` the next dial is a probe again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from speechaid.model import reading
from speechaid.model.hold import Hold
from speechaid.model.reading import Document


class BreakerState(StrEnum):
    """Whether dials go out."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class FaultKind(StrEnum):
    """What went wrong; the graver stands later, and is not forgotten for a lighter one."""

    #: 429: too fast.
    RATE_LIMITED = "rate_limited"
    #: Retell cannot be reached, or fails.
    OUTAGE = "outage"
    #: A call ended by a fault of the agent or of Retell.
    AGENT = "agent"
    #: A call ended because Retell is not paid or a limit is reached.
    UNPAID = "unpaid"
    #: A create was refused, and not because of the number called.
    BLOCKED = "blocked"


class Proof(StrEnum):
    """What went right."""

    #: A create was answered with a call.
    ACCEPTED = "accepted"
    #: A call is over that never connected, and no fault of agent or Retell ended it.
    FINISHED = "finished"
    #: A call is over that had connected, likewise.
    TALKED = "talked"


CLEARED_BY: Final[Mapping[FaultKind, frozenset[Proof]]] = MappingProxyType(
    {
        FaultKind.RATE_LIMITED: frozenset({Proof.ACCEPTED}),
        FaultKind.OUTAGE: frozenset({Proof.ACCEPTED}),
        FaultKind.AGENT: frozenset({Proof.TALKED}),
        FaultKind.UNPAID: frozenset({Proof.FINISHED, Proof.TALKED}),
        FaultKind.BLOCKED: frozenset({Proof.ACCEPTED}),
    }
)

#: One of these is enough: the next dial would fare no better.
_OPENS_AT_ONCE: Final = frozenset({FaultKind.RATE_LIMITED, FaultKind.UNPAID, FaultKind.BLOCKED})
#: A probe for these is over only when its call is.
_PROBED_BY_A_CALL: Final = frozenset({FaultKind.AGENT, FaultKind.UNPAID})
_GRAVITY: Final = {kind: rank for rank, kind in enumerate(FaultKind)}
#: 429 passes in seconds: the first pause after it, where the policy's own is not shorter.
_RATE_LIMIT_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """When to hold and how soon to probe."""

    #: Faults running that hold dialling, where one alone does not.
    faults: int
    probe_min_seconds: float
    probe_max_seconds: float
    #: How long a probe may take whose create must answer, or whose call must end, before another is let go.
    create_patience_seconds: float = 150.0
    call_patience_seconds: float = 1200.0
    #: The longest ``Retry-After`` that is obeyed.
    retry_after_max_seconds: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """Where the breaker of one API key stands."""

    state: BreakerState = BreakerState.CLOSED
    #: Of the run of faults; None where there is none.
    kind: FaultKind | None = None
    #: Faults running.
    faults: int = 0
    opened_at: datetime | None = None
    #: OPEN: when a probe may go; PROBING: when the probe counts as lost.
    probe_at: datetime | None = None
    #: The pause before the next probe.
    backoff_seconds: float = 0.0
    #: The latest fault, for an operator.
    reason: str | None = None

    def document(self) -> Document:
        """As stored."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def read(cls, document: Document | None) -> Breaker:
        """From its document; none, or one that makes no sense, is a closed breaker."""
        fields = document or {}
        state, kind = reading.text(fields.get("state")), reading.text(fields.get("kind"))
        if state not in set(BreakerState) or kind not in set(FaultKind):
            return cls()
        return cls(
            state=BreakerState(state),
            kind=FaultKind(kind),
            faults=reading.whole(fields.get("faults")),
            opened_at=reading.instant(fields.get("opened_at")),
            probe_at=reading.instant(fields.get("probe_at")),
            backoff_seconds=reading.number(fields.get("backoff_seconds")) or 0.0,
            reason=reading.text(fields.get("reason")),
        )


def may_dial(breaker: Breaker, now: datetime) -> bool:
    """Whether a dial may go out; unless the breaker is closed it must become the probe (``begin_probe``)."""
    return breaker.state is BreakerState.CLOSED or breaker.probe_at is None or breaker.probe_at <= now


def begin_probe(breaker: Breaker, now: datetime, policy: BreakerPolicy) -> Breaker:
    """The breaker once a dial that may go out has become its probe; a closed one needs none."""
    if breaker.state is BreakerState.CLOSED:
        return breaker
    by_call = breaker.kind in _PROBED_BY_A_CALL
    patience = policy.call_patience_seconds if by_call else policy.create_patience_seconds
    return replace(breaker, state=BreakerState.PROBING, probe_at=now + timedelta(seconds=patience))


def after_fault(
    breaker: Breaker,
    now: datetime,
    policy: BreakerPolicy,
    kind: FaultKind,
    retry_after: float | None = None,
    *,
    reason: str | None = None,
) -> Breaker:
    """The breaker after one more fault.

    Args:
        breaker: before it.
        now: aware.
        policy: thresholds and pauses.
        kind: of the fault.
        retry_after: seconds for which Retell asks to be left alone.
        reason: what was said, for an operator.
    """
    graver = breaker.kind is None or _GRAVITY[kind] >= _GRAVITY[breaker.kind]
    if breaker.state is BreakerState.CLOSED or graver:
        breaker = replace(breaker, kind=kind, reason=reason or str(kind))
    breaker = replace(breaker, faults=breaker.faults + 1)
    asked = now + timedelta(seconds=min(retry_after or 0.0, policy.retry_after_max_seconds))
    if breaker.state is BreakerState.OPEN:
        # The answers to dials that were on their way when it opened: no reason to wait longer each time.
        return replace(breaker, probe_at=max(breaker.probe_at or asked, asked))
    if breaker.state is BreakerState.CLOSED:
        if breaker.faults < policy.faults and kind not in _OPENS_AT_ONCE:
            return breaker
        breaker = replace(breaker, opened_at=now, backoff_seconds=_first_pause(kind, policy))
    else:
        doubled = max(breaker.backoff_seconds * 2, _first_pause(kind, policy))
        breaker = replace(breaker, backoff_seconds=min(doubled, policy.probe_max_seconds))
    due = now + timedelta(seconds=breaker.backoff_seconds)
    return replace(breaker, state=BreakerState.OPEN, probe_at=max(due, asked))


def after_success(breaker: Breaker, proof: Proof) -> Breaker:
    """The breaker after something went right: closed where that proves the fault gone.

    A probe whose call never met what is broken proves nothing: the next may go at once.
    """
    if breaker.kind is None or proof in CLEARED_BY[breaker.kind]:
        return Breaker()
    probed_by_call = breaker.state is BreakerState.PROBING and breaker.kind in _PROBED_BY_A_CALL
    if probed_by_call and proof is not Proof.ACCEPTED:
        return replace(breaker, state=BreakerState.OPEN, probe_at=None)
    return breaker


def as_hold(breaker: Breaker, now: datetime, scope: str) -> Hold | None:
    """The hold that the breaker is for a dial at this moment, or None where one may go out."""
    if may_dial(breaker, now):
        return None
    return Hold(
        scope=scope,
        reason=breaker.reason or str(breaker.kind),
        since=breaker.opened_at,
        until=breaker.probe_at,
    )


def _first_pause(kind: FaultKind, policy: BreakerPolicy) -> float:
    if kind is FaultKind.RATE_LIMITED:
        return min(_RATE_LIMIT_PAUSE_SECONDS, policy.probe_min_seconds)
    return policy.probe_min_seconds
