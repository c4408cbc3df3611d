"""Read and write the circuit breaker of this host's API key, as ``rules.circuit_breaker`` decides.

A change that cannot be written while the database is away is dropped: nothing is dialled without the database
anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from logging import INFO, WARNING

from speechaid.dialer.context import WorkerContext, log
from speechaid.errors import StoreError
from speechaid.model.hold import Hold
from speechaid.model.reading import Document
from speechaid.model.states import Outcome
from speechaid.retell.faults import (
    Ambiguous,
    Blocked,
    DoNotCallRefused,
    NotSent,
    NumberRefused,
    RateLimited,
    RetellError,
    RetellUnavailable,
)
from speechaid.rules import circuit_breaker
from speechaid.rules.circuit_breaker import Breaker, BreakerPolicy, BreakerState, FaultKind, Proof
from speechaid.rules.outcomes import Classified

#: The breaker's kind of each Retell fault. A refusal of the called number is no fault: Retell works.
KINDS: dict[type[RetellError], FaultKind] = {
    Blocked: FaultKind.BLOCKED,
    RateLimited: FaultKind.RATE_LIMITED,
    NotSent: FaultKind.OUTAGE,
    Ambiguous: FaultKind.OUTAGE,
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


def admit_dial(context: WorkerContext, document: Document | None) -> bool:
    """Whether the dial may go out: the breaker is closed, or this dial has just become its only probe."""
    breaker = Breaker.read(document)
    if breaker.state is BreakerState.CLOSED:
        return True
    now = context.store.now()
    if not circuit_breaker.may_dial(breaker, now):
        return False
    probing = circuit_breaker.begin_probe(breaker, now, policy(context))
    won = context.store.holds.write_breaker(
        context.retell.fingerprint, probing.document(), expected_revision=_revision(document)
    )
    if won:
        log.event(INFO, "breaker.probe", kind=breaker.kind, key=context.retell.fingerprint)
    return won


def after_create_fault(context: WorkerContext, fault: RetellError) -> None:
    """Note that a create failed or was refused."""
    if isinstance(fault, NumberRefused | DoNotCallRefused):
        after_create(context)
    else:
        _note_fault(context, KINDS[type(fault)], fault)


def after_query_fault(context: WorkerContext, fault: RetellError) -> None:
    """Note that a poll or a search failed; an open breaker does not change for it."""
    kind = KINDS.get(type(fault))
    if kind is not None and kind is not FaultKind.BLOCKED:
        _note_fault(context, kind, fault, only_if_closed=True)


def after_create(context: WorkerContext) -> None:
    """Note that a create was answered."""
    _note_success(context, Proof.ACCEPTED)


def after_call(context: WorkerContext, classified: Classified) -> None:
    """Note how a call ended."""
    if classified.blocks_dialling:
        _note_fault(context, FaultKind.UNPAID, None)
    elif classified.agent_fault:
        _note_fault(context, FaultKind.AGENT, None)
    elif classified.outcome is not Outcome.TEMPORARY:  # reaching a limit proves nothing
        proof = Proof.TALKED if classified.connected else Proof.FINISHED
        _note_success(context, proof)


def _note_success(context: WorkerContext, proof: Proof) -> None:
    """Record a success, unless a recent reading shows a breaker without faults: then it changes nothing."""
    reading = context.breaker_reading
    fresh = reading is not None and context.clock.boottime() - reading.at <= READING_VALID_SECONDS
    if reading is None or not fresh or Breaker.read(reading.document) != Breaker():
        _change(context, lambda breaker: circuit_breaker.after_success(breaker, proof))


def _note_fault(
    context: WorkerContext, kind: FaultKind, fault: RetellError | None, *, only_if_closed: bool = False
) -> None:
    retry_after = None if fault is None else fault.retry_after_seconds
    reason = None if fault is None else str(fault)

    def after(breaker: Breaker) -> Breaker:
        if only_if_closed and breaker.state is not BreakerState.CLOSED:
            return breaker
        return circuit_breaker.after_fault(
            breaker, context.store.now(), policy(context), kind, retry_after, reason=reason
        )

    context.link.count("speechaid_breaker_faults_total", kind=kind)
    _change(context, after)


def _change(context: WorkerContext, decide: Callable[[Breaker], Breaker]) -> None:
    """Read, decide, and write if the document is still the one read; no change costs one read."""
    key = context.retell.fingerprint
    context.breaker_reading = None
    try:
        for _ in range(WRITE_TRIES):
            document = context.store.holds.read(key).breaker
            before = Breaker.read(document)
            after = decide(before)
            if after == before:
                return
            written = context.store.holds.write_breaker(
                key, after.document(), expected_revision=_revision(document)
            )
            if written:
                _log_change(context, before, after)
                return
    except StoreError as exc:
        log.event(WARNING, "breaker.not_written", error=str(exc))


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


def _revision(document: Document | None) -> int | None:
    return None if document is None else int(document.get("revision", 0))
