"""The circuit breaker of one API key: when faults hold its dials, and when dialling resumes.

Pure: no I/O, no clock.

    CLOSED --run of faults--> OPEN --probe_at is past, one dial becomes the probe--> PROBING
       ^                       ^                                                      |   |
       |                       +--------- fault: back-off doubled; no proof --------+   |
       +------------------------------------ proof --------------------------------------+

What proves that a fault is gone depends on the fault (``CLEARED_BY``): an accepted create request says
nothing about an agent that breaks off every call, and an unanswered call never reached the agent. A probe
that never reports a result does not hold the key for ever: past ``probe_at`` the next dial becomes a probe.
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
    """Whether dials may be placed."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class FaultKind(StrEnum):
    """What went wrong, by rising severity; a severe fault is not replaced by a lighter one."""

    #: 429: too many requests.
    RATE_LIMITED = "rate_limited"
    #: Retell cannot be reached, or answers with a server error.
    OUTAGE = "outage"
    #: A fault of the agent or of Retell ended a call.
    AGENT = "agent"
    #: A call ended because a payment is missing at Retell, or a limit is reached.
    UNPAID = "unpaid"
    #: A create request was refused for a reason other than the number called.
    BLOCKED = "blocked"


class Proof(StrEnum):
    """What succeeded."""

    #: A create request was answered with a call.
    ACCEPTED = "accepted"
    #: A call ended without having connected, and without a fault of the agent or of Retell.
    FINISHED = "finished"
    #: A connected call ended without such a fault.
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

#: One of these is enough to open: the next dial would fail too.
_OPENS_AT_ONCE: Final = frozenset({FaultKind.RATE_LIMITED, FaultKind.UNPAID, FaultKind.BLOCKED})
#: The reason of a stored breaker whose state or kind is none.
UNREAD: Final = "the stored circuit breaker cannot be read"
#: A probe for these ends only when its call ends.
_PROBED_BY_A_CALL: Final = frozenset({FaultKind.AGENT, FaultKind.UNPAID})
_SEVERITY: Final = {kind: rank for rank, kind in enumerate(FaultKind)}
#: The first back-off after 429, unless the policy's is shorter: a rate limit passes within seconds.
_RATE_LIMIT_BACKOFF_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """When to hold dialling, and how soon to probe."""

    #: Consecutive faults that hold dialling, for kinds of which one alone does not.
    faults: int
    probe_min_seconds: float
    probe_max_seconds: float
    #: How long a probe may take (until the create request is answered, or until its call ends) before another
    #: dial may probe.
    create_timeout_seconds: float = 150.0
    call_timeout_seconds: float = 1200.0
    #: Upper bound on a ``Retry-After``.
    retry_after_max_seconds: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """The state of one API key's breaker."""

    state: BreakerState = BreakerState.CLOSED
    #: Of the current run of faults; None: no faults.
    kind: FaultKind | None = None
    #: Consecutive faults.
    faults: int = 0
    opened_at: datetime | None = None
    #: OPEN: when a probe may be placed; PROBING: when the probe counts as lost.
    probe_at: datetime | None = None
    #: Seconds before the next probe.
    backoff_seconds: float = 0.0
    #: The fault, as a text for an operator.
    reason: str | None = None

    def document(self) -> Document:
        """The stored form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def read(cls, document: Document | None) -> Breaker:
        """Read it from its document; a missing one gives a closed breaker.

        One of unknown state holds, and the next dial is its probe: its success writes a readable document.
        """
        fields = document or {}
        state, kind = reading.text(fields.get("state")), reading.text(fields.get("kind"))
        if fields.get("state") is None or (state == BreakerState.CLOSED and kind is None):
            return cls()
        if state not in set(BreakerState) or kind not in set(FaultKind):
            return cls(state=BreakerState.OPEN, kind=FaultKind.OUTAGE, reason=UNREAD)
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
    """Whether a dial may be placed; if the breaker is not closed, as its probe (``begin_probe``)."""
    return breaker.state is BreakerState.CLOSED or breaker.probe_at is None or breaker.probe_at <= now


def begin_probe(breaker: Breaker, now: datetime, policy: BreakerPolicy) -> Breaker:
    """The breaker after a permitted dial has become its probe; a closed breaker stays as it is."""
    if breaker.state is BreakerState.CLOSED:
        return breaker
    by_call = breaker.kind in _PROBED_BY_A_CALL
    timeout = policy.call_timeout_seconds if by_call else policy.create_timeout_seconds
    return replace(breaker, state=BreakerState.PROBING, probe_at=now + timedelta(seconds=timeout))


def after_fault(
    breaker: Breaker,
    now: datetime,
    policy: BreakerPolicy,
    kind: FaultKind,
    retry_after: float | None = None,
    *,
    reason: str | None = None,
) -> Breaker:
    """The breaker after another fault.

    Args:
        breaker: before the fault.
        now: aware.
        policy: thresholds and back-offs.
        kind: of the fault.
        retry_after: Retell's ``Retry-After``, in seconds.
        reason: a text for an operator.
    """
    more_severe = breaker.kind is None or _SEVERITY[kind] >= _SEVERITY[breaker.kind]
    if breaker.state is BreakerState.CLOSED or more_severe:
        breaker = replace(breaker, kind=kind, reason=reason or str(kind))
    breaker = replace(breaker, faults=breaker.faults + 1)
    not_before = now + timedelta(seconds=min(retry_after or 0.0, policy.retry_after_max_seconds))
    if breaker.state is BreakerState.OPEN:
        # Dials that were in flight when the breaker opened: their faults must not lengthen the back-off.
        return replace(breaker, probe_at=max(breaker.probe_at or not_before, not_before))
    if breaker.state is BreakerState.CLOSED:
        if breaker.faults < policy.faults and kind not in _OPENS_AT_ONCE:
            return breaker
        breaker = replace(breaker, opened_at=now, backoff_seconds=_first_backoff(kind, policy))
    else:
        doubled = max(breaker.backoff_seconds * 2, _first_backoff(kind, policy))
        breaker = replace(breaker, backoff_seconds=min(doubled, policy.probe_max_seconds))
    due = now + timedelta(seconds=breaker.backoff_seconds)
    return replace(breaker, state=BreakerState.OPEN, probe_at=max(due, not_before))


def after_success(breaker: Breaker, proof: Proof) -> Breaker:
    """The breaker after a success: closed if that proves the fault gone.

    A probe whose call never reached the faulty part proves nothing: the next probe may be placed at once.
    """
    if breaker.kind is None or proof in CLEARED_BY[breaker.kind]:
        return Breaker()
    probed_by_call = breaker.state is BreakerState.PROBING and breaker.kind in _PROBED_BY_A_CALL
    if probed_by_call and proof is not Proof.ACCEPTED:
        return replace(breaker, state=BreakerState.OPEN, probe_at=None)
    return breaker


def as_hold(breaker: Breaker, now: datetime, scope: str) -> Hold | None:
    """The hold that the breaker imposes at this moment; None: a dial may be placed."""
    if may_dial(breaker, now):
        return None
    return Hold(
        scope=scope,
        reason=breaker.reason or str(breaker.kind),
        since=breaker.opened_at,
        until=breaker.probe_at,
    )


def _first_backoff(kind: FaultKind, policy: BreakerPolicy) -> float:
    if kind is FaultKind.RATE_LIMITED:
        return min(_RATE_LIMIT_BACKOFF_SECONDS, policy.probe_min_seconds)
    return policy.probe_min_seconds
