"""Read and write the circuit breaker of this host's API key, as ``rules.circuit_breaker`` decides.

A change that cannot be written while the database is away is dropped: nothing is dialled without the database
anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from logging import INFO, WARNING

from speechaid.dialer.context import WorkerContext, log
from speechaid.errors import StoreError
from speechaid.model.hold import Hold
from speechaid.model.job import Dial
from speechaid.model.masking import fingerprint
from speechaid.model.reading import Document
from speechaid.model.states import Outcome
from speechaid.retell.faults import (
    Ambiguous,
    BatchRefused,
    Blocked,
    DoNotCallRefused,
    NotSent,
    NumberRefused,
    RateLimited,
    RetellError,
    RetellUnavailable,
    TooLarge,
    Unexplained,
    WrongCall,
)
from speechaid.rules import circuit_breaker
from speechaid.rules.circuit_breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    FaultKind,
    Proof,
    UnexplainedRefusal,
)
from speechaid.rules.numbers import line_identity
from speechaid.rules.outcomes import CarrierFault, Classified
from speechaid.store.connection import Store

#: The breaker's kind of each Retell fault. A refusal of the called number, of one request or of one batch's
#: agent is no fault: Retell works. What one call's answer is like (``AnswerUnreadable``) says nothing about
#: others.
KINDS: dict[type[RetellError], FaultKind] = {
    Blocked: FaultKind.BLOCKED,
    RateLimited: FaultKind.RATE_LIMITED,
    NotSent: FaultKind.OUTAGE,
    Ambiguous: FaultKind.OUTAGE,
    WrongCall: FaultKind.OUTAGE,
    RetellUnavailable: FaultKind.OUTAGE,
}

#: Tries against other workers that write the same breaker.
WRITE_TRIES = 10
#: For this many seconds a success is compared with the breaker as read last, instead of reading it again.
READING_VALID_SECONDS = 0.5


def policy(context: WorkerContext) -> BreakerPolicy:
    """The settings' thresholds; a probe is given longer than its create or its call may take."""
    settings = context.settings
    longest_call = settings.call.max_duration_minutes * 60 + 2 * settings.call.poll_timeout_seconds
    return BreakerPolicy(
        faults=settings.breaker.faults,
        carrier_faults=settings.breaker.carrier_faults,
        probe_min_seconds=settings.breaker.probe_min_seconds,
        probe_max_seconds=settings.breaker.probe_max_seconds,
        create_timeout_seconds=settings.retell.timeout_seconds + 120.0,
        call_timeout_seconds=longest_call,
    )


def holds(context: WorkerContext, document: Document | None) -> list[Hold]:
    """The hold that the key's breaker imposes now, if any."""
    hold = circuit_breaker.as_hold(
        Breaker.read(document), context.store.now(), scope=f"key {context.retell.fingerprint}"
    )
    return [] if hold is None else [hold]


def admit_dial(context: WorkerContext, document: Document | None, dial_key: str) -> bool:
    """Whether the dial may go out: the breaker is closed, or this dial has just become its only probe.

    A dial that does not go out after all gives the probe back (``give_back_probe``).
    """
    breaker = Breaker.read(document)
    if breaker.state is BreakerState.CLOSED:
        return True
    now = context.store.now()
    if not circuit_breaker.may_dial(breaker, now):
        return False
    probing = circuit_breaker.begin_probe(breaker, now, policy(context), dial_key)
    won = context.store.holds.write_breaker(
        context.retell.fingerprint, probing.document(), expected_revision=_revision(document)
    )
    if won:
        log.event(INFO, "breaker.probe", kind=breaker.kind, key=context.retell.fingerprint)
    return won


def give_back_probe(context: WorkerContext, dial_key: str) -> None:
    """Note that a dial placed no call, or one that proves nothing; if it was the probe, the next dial is.

    Where the database does not answer, the probe expires.
    """
    _note(context, lambda breaker: circuit_breaker.give_back_probe(breaker, dial_key))


def after_create_fault(
    context: WorkerContext, fault: RetellError, dial: Dial, *, is_replay: bool = False
) -> RetellError:
    """Note that a create failed or was refused.

    A replay whose answer is unclear again is no further vote: one job's answers must not hold the others.

    Returns:
        The fault; ``Blocked`` instead of an unexplained refusal that other numbers have met too.
    """
    if isinstance(fault, NumberRefused | DoNotCallRefused | TooLarge | BatchRefused):
        # Retell works; but there is no call that could show more.
        _note(
            context,
            lambda breaker: circuit_breaker.give_back_probe(
                circuit_breaker.after_success(breaker, Proof.ANSWERED), dial.key
            ),
        )
    elif isinstance(fault, Unexplained):
        return _note_unexplained(context, fault, dial)
    else:
        has_vote = not (is_replay and isinstance(fault, Ambiguous))
        _note_fault(context, KINDS[type(fault)], fault, even_if_closed=has_vote)
    return fault


def after_query_fault(context: WorkerContext, fault: RetellError) -> None:
    """Note that a poll or a search failed; an open breaker does not change for it."""
    kind = KINDS.get(type(fault))
    if kind is not None and kind is not FaultKind.BLOCKED:
        _note_fault(context, kind, fault, only_if_closed=True)


def after_create(context: WorkerContext, dial_key: str) -> None:
    """Note that a create was answered with a call."""
    _note(
        context,
        lambda breaker: circuit_breaker.extend_probe(
            circuit_breaker.after_success(breaker, Proof.ACCEPTED),
            context.store.now(),
            policy(context),
            dial_key,
        ),
    )


def after_call(context: WorkerContext, classified: Classified, dial: Dial) -> int:
    """Note how the call of a dial ended.

    Returns:
        To how many different numbers in a row calls ended by faults of the carrier, or what may be such; 1
        where that is not known.
    """
    reason = f"calls end with {classified.reason}"
    if classified.carrier_fault is not CarrierFault.NONE:
        return _note_carrier_fault(context, dial.number, reason)
    if classified.blocks_dialling:
        _note_fault(context, FaultKind.UNPAID, reason=reason)
    elif classified.agent_fault:
        _note_fault(context, FaultKind.AGENT, reason=reason)
    elif classified.outcome is Outcome.TEMPORARY:  # reaching a limit proves nothing
        give_back_probe(context, dial.key)
    else:
        proof = Proof.TALKED if classified.connected else Proof.FINISHED
        _note(context, lambda breaker: circuit_breaker.after_success(breaker, proof))
    return 1


def after_answer(store: Store, key: str, age_seconds: float) -> bool:
    """Close a breaker whose fault Retell's answer to another request disproves; return whether it did.

    Args:
        store: of the breaker.
        key: the fingerprint of the API key that the request was sent with.
        age_seconds: how long ago Retell answered.
    """
    document = store.holds.read(key).breaker
    before, now = Breaker.read(document), store.now()
    after = circuit_breaker.after_answer(before, now - timedelta(seconds=age_seconds), now)
    return after != before and store.holds.write_breaker(
        key, after.document(), expected_revision=_revision(document)
    )


def _note_unexplained(context: WorkerContext, fault: Unexplained, dial: Dial) -> RetellError:
    now = context.store.now()
    refusal = UnexplainedRefusal(
        wording=fault.wording, number=fingerprint(line_identity(dial.number)), at=now
    )
    after = _change(
        context,
        lambda breaker: circuit_breaker.give_back_probe(
            circuit_breaker.after_unexplained(breaker, now, policy(context), refusal, reason=str(fault)),
            dial.key,
        ),
    )
    if after is None or after.state is BreakerState.CLOSED or after.kind is not FaultKind.BLOCKED:
        return fault
    context.link.count("speechaid_breaker_faults_total", kind=FaultKind.BLOCKED)
    return Blocked(str(fault), status=fault.status, retry_after_seconds=fault.retry_after_seconds)


def _note_carrier_fault(context: WorkerContext, number: str, reason: str) -> int:
    context.link.count("speechaid_breaker_faults_total", kind=FaultKind.CARRIER)
    after = _change(
        context,
        lambda breaker: circuit_breaker.after_carrier_fault(
            breaker, context.store.now(), policy(context), fingerprint(line_identity(number)), reason=reason
        ),
    )
    return 1 if after is None else max(1, len(after.carrier_run))


def _note(context: WorkerContext, decide: Callable[[Breaker], Breaker]) -> None:
    """Record what is no fault; nothing changes if a recent reading shows a breaker without faults."""
    reading = context.breaker_reading
    fresh = reading is not None and context.clock.boottime() - reading.at <= READING_VALID_SECONDS
    if reading is None or not fresh or not Breaker.read(reading.document).is_clear:
        _change(context, decide)


def _note_fault(
    context: WorkerContext,
    kind: FaultKind,
    fault: RetellError | None = None,
    *,
    reason: str | None = None,
    only_if_closed: bool = False,
    even_if_closed: bool = True,
) -> None:
    retry_after = None if fault is None else fault.retry_after_seconds
    reason = reason if fault is None else str(fault)

    def after(breaker: Breaker) -> Breaker:
        is_closed = breaker.state is BreakerState.CLOSED
        if (only_if_closed and not is_closed) or (is_closed and not even_if_closed):
            return breaker
        return circuit_breaker.after_fault(
            breaker, context.store.now(), policy(context), kind, retry_after, reason=reason
        )

    context.link.count("speechaid_breaker_faults_total", kind=kind)
    _change(context, after)


def _change(context: WorkerContext, decide: Callable[[Breaker], Breaker]) -> Breaker | None:
    """Read, decide, and write if the document is still the one read; no change costs one read.

    Returns:
        The breaker after that; None where it could not be written.
    """
    key = context.retell.fingerprint
    context.breaker_reading = None
    try:
        for _ in range(WRITE_TRIES):
            document = context.store.holds.read(key).breaker
            before = Breaker.read(document)
            after = decide(before)
            if after == before:
                return after
            written = context.store.holds.write_breaker(
                key, after.document(), expected_revision=_revision(document)
            )
            if written:
                _log_change(context, before, after)
                return after
    except StoreError as exc:
        log.event(WARNING, "breaker.not_written", error=str(exc))
    return None


def _log_change(context: WorkerContext, before: Breaker, after: Breaker) -> None:
    if before.state is after.state or replace(before, state=after.state) == after:
        return
    opened = after.state is BreakerState.OPEN
    context.link.count("speechaid_breaker_changes_total", state=after.state)
    log.event(
        WARNING if opened else INFO,
        f"breaker.{after.state}",
        key=context.retell.fingerprint,
        kind=after.kind,
        reason=after.reason,
        probe_at=None if after.probe_at is None else after.probe_at.isoformat(),
    )


def _revision(document: Document | None) -> object:
    if document is None:
        return None
    revision = document.get("revision")
    return 0 if revision is None else revision
