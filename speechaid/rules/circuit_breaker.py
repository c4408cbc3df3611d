"""The circuit breaker of one API key: when faults hold its dials, and when dialling resumes.

Pure: no I/O, no clock.

    CLOSED --run of faults--> OPEN --probe_at is past, one dial becomes the probe--> PROBING
       ^                       ^                                                      |   |
       |                       +- fault: back-off doubled; no proof, or given back --+   |
       +------------------------------------ proof --------------------------------------+

What proves that a fault is gone depends on the fault (``CLEARED_BY``): an accepted create request says
nothing about an agent that breaks off every call, and an unanswered call never reached the agent.

Every way out of PROBING: a proof; a fault; the probe is given back, because its dial was withdrawn, made no
call, or ended without saying anything about the fault; or it expires. A dial that won the probe has
``create_timeout_seconds`` to be answered by Retell, and only an accepted one, where the proof is the end of
its call, ``call_timeout_seconds``. Past ``probe_at`` the next dial becomes the probe.

Two kinds of faults are told from the bad luck of one number by a second one: a refusal whose wording does not
say what is at fault (``after_unexplained``), and a fault of the carrier at a call's end
(``after_carrier_fault``). What the breaker remembers for that outlives the worker and is shared by all hosts
of the key.
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
from speechaid.protocol.translation import say


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
    #: Faults of the carrier, or of what it permits, ended calls to different numbers in a row.
    CARRIER = "carrier"
    #: A call ended because a payment is missing at Retell, or a limit is reached.
    UNPAID = "unpaid"
    #: A create request was refused for a reason other than the number called; also two numbers' creates, in
    #: the same words, which do not say why.
    BLOCKED = "blocked"


class Proof(StrEnum):
    """What succeeded."""

    #: Retell answered a request, or refused a create for the number alone.
    ANSWERED = "answered"
    #: A create request was answered with a call.
    ACCEPTED = "accepted"
    #: A call ended without having connected, and without a fault of the agent or of Retell.
    FINISHED = "finished"
    #: A connected call ended without such a fault.
    TALKED = "talked"


CLEARED_BY: Final[Mapping[FaultKind, frozenset[Proof]]] = MappingProxyType(
    {
        FaultKind.RATE_LIMITED: frozenset({Proof.ACCEPTED, Proof.ANSWERED}),
        FaultKind.OUTAGE: frozenset({Proof.ACCEPTED, Proof.ANSWERED}),
        FaultKind.AGENT: frozenset({Proof.TALKED}),
        FaultKind.CARRIER: frozenset({Proof.FINISHED, Proof.TALKED}),
        FaultKind.UNPAID: frozenset({Proof.FINISHED, Proof.TALKED}),
        FaultKind.BLOCKED: frozenset({Proof.ACCEPTED}),
    }
)

#: One of these is enough to open: the next dial would fail too.
_OPENS_AT_ONCE: Final = frozenset(
    {FaultKind.RATE_LIMITED, FaultKind.CARRIER, FaultKind.UNPAID, FaultKind.BLOCKED}
)
#: A probe for these ends only when its call ends.
_PROBED_BY_A_CALL: Final = frozenset({FaultKind.AGENT, FaultKind.CARRIER, FaultKind.UNPAID})
#: Proofs that the carrier connects calls, or at least rings: they end a run of its faults.
_ENDS_CARRIER_RUN: Final = frozenset({Proof.FINISHED, Proof.TALKED})
_SEVERITY: Final = {kind: rank for rank, kind in enumerate(FaultKind)}
#: The first back-off after 429, unless the policy's is shorter: a rate limit passes within seconds.
_RATE_LIMIT_BACKOFF_SECONDS: Final = 1.0
#: How long an unexplained refusal of one number is compared with those of others, and of how many wordings.
UNEXPLAINED_SECONDS: Final = 86_400.0
_WORDINGS_KEPT: Final = 8
#: Numbers of a run that are kept: as many as the setting may ask for.
_NUMBERS_KEPT: Final = 100


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """When to hold dialling, and how soon to probe."""

    #: Consecutive faults that hold dialling, for kinds of which one alone does not.
    faults: int
    #: Different numbers in a row whose calls the carrier's faults end, before dialling is held.
    carrier_faults: int = 5
    probe_min_seconds: float
    probe_max_seconds: float
    #: How long a probe may take before another dial may probe: until the create request is answered, and from
    #: then until its call ends.
    create_timeout_seconds: float = 150.0
    call_timeout_seconds: float = 1200.0
    #: Upper bound on a ``Retry-After``.
    retry_after_max_seconds: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class UnexplainedRefusal:
    """One number's create was refused in these words, which do not say why."""

    #: Numbers and ids masked.
    wording: str
    #: Stands for the number (``model.masking.fingerprint``).
    number: str
    at: datetime


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
    #: PROBING: the key of the dial that is the probe; None: made by an older version.
    probe: str | None = None
    #: One for each wording; the latest last.
    unexplained: tuple[UnexplainedRefusal, ...] = ()
    #: The different numbers, as fingerprints, of the current run of carrier faults.
    carrier_run: tuple[str, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether a success would change nothing."""
        return self.kind is None and not self.carrier_run

    def document(self) -> Document:
        """The stored form."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **fields,
            "unexplained": [vars(refusal) for refusal in self.unexplained],
            "carrier_run": list(self.carrier_run),
        }

    @classmethod
    def read(cls, document: Document | None) -> Breaker:
        """Read it from its document; closed if there is none.

        One that cannot be understood is open, and the next dial becomes its probe, which writes it anew.
        """
        fields = document or {}
        state, kind = reading.text(fields.get("state")), reading.text(fields.get("kind"))
        run = tuple(filter(None, map(reading.text, reading.sequence(fields.get("carrier_run")))))
        unexplained = _read_unexplained(fields.get("unexplained"))
        if document is None or (state == BreakerState.CLOSED and kind is None):
            return cls(unexplained=unexplained, carrier_run=run)
        if not is_understood(document):
            reason = say(
                "the stored circuit breaker cannot be understood: state {state}, kind {kind}",
                state=state,
                kind=kind,
            )
            return cls(
                state=BreakerState.OPEN,
                kind=FaultKind.OUTAGE,
                faults=1,
                reason=reason,
                unexplained=unexplained,
                carrier_run=run,
            )
        return cls(
            state=BreakerState(str(state)),
            kind=FaultKind(str(kind)),
            faults=reading.whole(fields.get("faults")),
            opened_at=reading.instant(fields.get("opened_at")),
            probe_at=reading.instant(fields.get("probe_at")),
            backoff_seconds=reading.number(fields.get("backoff_seconds")) or 0.0,
            reason=reading.text(fields.get("reason")),
            probe=reading.text(fields.get("probe")),
            unexplained=unexplained,
            carrier_run=run,
        )


def is_understood(document: Document) -> bool:
    """Whether a stored breaker says what it is: its state is known, and its kind unless it is closed."""
    state, kind = reading.text(document.get("state")), reading.text(document.get("kind"))
    return (state == BreakerState.CLOSED and kind is None) or (
        state in set(BreakerState) and kind in set(FaultKind)
    )


def may_dial(breaker: Breaker, now: datetime) -> bool:
    """Whether a dial may be placed; if the breaker is not closed, as its probe (``begin_probe``)."""
    return breaker.state is BreakerState.CLOSED or breaker.probe_at is None or breaker.probe_at <= now


def begin_probe(breaker: Breaker, now: datetime, policy: BreakerPolicy, probe: str | None = None) -> Breaker:
    """The breaker after a permitted dial (``probe``: its key) has become its probe; no change if closed."""
    if breaker.state is BreakerState.CLOSED:
        return breaker
    until = now + timedelta(seconds=policy.create_timeout_seconds)
    return replace(breaker, state=BreakerState.PROBING, probe_at=until, probe=probe)


def extend_probe(breaker: Breaker, now: datetime, policy: BreakerPolicy, probe: str) -> Breaker:
    """The breaker after this probe's create was accepted: its call has time to end, if that is the proof."""
    if not _is_probe(breaker, probe) or breaker.kind not in _PROBED_BY_A_CALL:
        return breaker
    return replace(breaker, probe_at=now + timedelta(seconds=policy.call_timeout_seconds))


def give_back_probe(breaker: Breaker, probe: str) -> Breaker:
    """The breaker after this probe will prove nothing: the next dial may become the probe at once."""
    if not _is_probe(breaker, probe):
        return breaker
    return replace(breaker, state=BreakerState.OPEN, probe_at=None, probe=None)


def _is_probe(breaker: Breaker, probe: str) -> bool:
    return breaker.state is BreakerState.PROBING and breaker.probe == probe


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
    return replace(breaker, state=BreakerState.OPEN, probe_at=max(due, not_before), probe=None)


def after_unexplained(
    breaker: Breaker, now: datetime, policy: BreakerPolicy, refusal: UnexplainedRefusal, *, reason: str
) -> Breaker:
    """The breaker after a refusal whose wording does not say what is at fault.

    One such refusal may concern its number alone, and is only remembered. Once another number meets the same
    wording it is a fault of the account: the breaker opens as for ``BLOCKED``, and so does its probe.

    Args:
        breaker: before the refusal.
        now: aware.
        policy: thresholds and back-offs.
        refusal: its wording and number.
        reason: a text for an operator.
    """
    oldest = now - timedelta(seconds=UNEXPLAINED_SECONDS)
    kept = [entry for entry in breaker.unexplained if entry.at >= oldest]
    earlier = next((entry for entry in kept if entry.wording == refusal.wording), None)
    is_held = breaker.state is not BreakerState.CLOSED and breaker.kind is FaultKind.BLOCKED
    if earlier is None:
        kept = [*kept, refusal][-_WORDINGS_KEPT:]
    breaker = replace(breaker, unexplained=tuple(kept))
    if is_held or (earlier is not None and earlier.number != refusal.number):
        return after_fault(breaker, now, policy, FaultKind.BLOCKED, reason=reason)
    return breaker


def after_carrier_fault(
    breaker: Breaker, now: datetime, policy: BreakerPolicy, number: str, *, reason: str
) -> Breaker:
    """The breaker after a call that a fault of the carrier ended, or what may be one.

    Args:
        breaker: before the fault.
        now: aware.
        policy: thresholds and back-offs.
        number: the fingerprint of the number called; the same one again proves nothing about others.
        reason: a text for an operator.
    """
    run = breaker.carrier_run if number in breaker.carrier_run else (*breaker.carrier_run, number)
    breaker = replace(breaker, carrier_run=run[-_NUMBERS_KEPT:])
    if breaker.state is BreakerState.CLOSED and len(run) < policy.carrier_faults:
        return breaker
    return after_fault(breaker, now, policy, FaultKind.CARRIER, reason=reason)


def after_success(breaker: Breaker, proof: Proof) -> Breaker:
    """The breaker after a success: closed if that proves the fault gone.

    A probe whose call never reached the faulty part proves nothing: the next probe may be placed at once.
    """
    if proof in _ENDS_CARRIER_RUN:
        breaker = replace(breaker, carrier_run=())
    if breaker.kind is None:
        return breaker
    if proof in CLEARED_BY[breaker.kind]:
        # The account works again: what was refused for no known reason until now must not hold it once more.
        forgotten = breaker.kind is FaultKind.BLOCKED
        return Breaker(unexplained=() if forgotten else breaker.unexplained, carrier_run=breaker.carrier_run)
    probed_by_call = breaker.state is BreakerState.PROBING and breaker.kind in _PROBED_BY_A_CALL
    if probed_by_call and proof in _ENDS_CARRIER_RUN:
        return replace(breaker, state=BreakerState.OPEN, probe_at=None, probe=None)
    return breaker


def after_answer(breaker: Breaker, answered_at: datetime, now: datetime) -> Breaker:
    """The breaker after Retell answered a request that is no create and concerns no call.

    It closes what such an answer disproves, but only once a probe is due: jobs that are due probe by a dial,
    which proves more, and a wait that Retell asked for is kept.

    Args:
        breaker: before the answer.
        answered_at: when Retell answered, aware.
        now: aware.
    """
    if breaker.state is BreakerState.CLOSED or breaker.kind is None or not may_dial(breaker, now):
        return breaker
    is_newer = breaker.probe_at is None or breaker.probe_at <= answered_at
    is_disproved = Proof.ANSWERED in CLEARED_BY[breaker.kind]
    return after_success(breaker, Proof.ANSWERED) if is_newer and is_disproved else breaker


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


def _read_unexplained(value: object) -> tuple[UnexplainedRefusal, ...]:
    read = []
    for entry in map(reading.mapping, reading.sequence(value)):
        wording, number = reading.text(entry.get("wording")), reading.text(entry.get("number"))
        at = reading.instant(entry.get("at"))
        if wording is not None and number is not None and at is not None:
            read.append(UnexplainedRefusal(wording=wording, number=number, at=at))
    return tuple(read)


def _first_backoff(kind: FaultKind, policy: BreakerPolicy) -> float:
    if kind is FaultKind.RATE_LIMITED:
        return min(_RATE_LIMIT_BACKOFF_SECONDS, policy.probe_min_seconds)
    return policy.probe_min_seconds
