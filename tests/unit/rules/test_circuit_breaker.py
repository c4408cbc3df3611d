"""When faults hold dialling, and how it resumes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.circuit_breaker import (
    CLEARED_BY,
    UNREAD,
    Breaker,
    BreakerPolicy,
    BreakerState,
    FaultKind,
    Proof,
    after_fault,
    after_success,
    as_hold,
    begin_probe,
    may_dial,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = BreakerPolicy(faults=3, probe_min_seconds=15, probe_max_seconds=100)
OPENS_AT_ONCE = [FaultKind.RATE_LIMITED, FaultKind.UNPAID, FaultKind.BLOCKED]
OPENS_AFTER_A_RUN = [FaultKind.OUTAGE, FaultKind.AGENT]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def faults(kind: FaultKind, times: int = 1, breaker: Breaker | None = None) -> Breaker:
    breaker = breaker or Breaker()
    for _ in range(times):
        breaker = after_fault(breaker, NOW, POLICY, kind)
    return breaker


def opened(kind: FaultKind) -> Breaker:
    return faults(kind, POLICY.faults)


def probing(kind: FaultKind) -> Breaker:
    return begin_probe(opened(kind), later(15), POLICY)


def test_every_fault_kind_has_a_proof_that_clears_it() -> None:
    assert set(CLEARED_BY) == set(FaultKind)
    assert all(CLEARED_BY.values())


@pytest.mark.parametrize("kind", OPENS_AFTER_A_RUN)
def test_a_run_of_faults_holds_dialling_but_a_single_one_does_not(kind: FaultKind) -> None:
    assert may_dial(faults(kind, 2), NOW)
    held = faults(kind, 3)
    assert not may_dial(held, NOW)
    assert (held.state, held.opened_at, held.probe_at) == (BreakerState.OPEN, NOW, later(15))


@pytest.mark.parametrize("kind", OPENS_AT_ONCE)
def test_a_fault_that_the_next_dial_would_repeat_holds_at_once(kind: FaultKind) -> None:
    assert not may_dial(faults(kind), NOW)


@pytest.mark.parametrize("kind", OPENS_AFTER_A_RUN)
def test_a_proof_between_faults_ends_the_run(kind: FaultKind) -> None:
    cleared = after_success(faults(kind, 2), next(iter(CLEARED_BY[kind])))
    assert cleared == Breaker()
    assert may_dial(faults(kind, 2, cleared), NOW)


@pytest.mark.parametrize("proof", [Proof.ACCEPTED, Proof.FINISHED])
def test_calls_that_never_reached_the_agent_do_not_end_a_run_of_agent_faults(proof: Proof) -> None:
    assert not may_dial(faults(FaultKind.AGENT, 1, after_success(faults(FaultKind.AGENT, 2), proof)), NOW)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_only_one_probe_is_placed_at_a_time(kind: FaultKind) -> None:
    held = opened(kind)
    due = held.probe_at
    assert due is not None
    assert not may_dial(held, due - timedelta(seconds=1))
    assert may_dial(held, due)
    probe = begin_probe(held, due, POLICY)
    assert probe.state is BreakerState.PROBING
    assert not may_dial(probe, due)
    assert not may_dial(probe, due + timedelta(seconds=60))


@pytest.mark.parametrize("kind", list(FaultKind))
@pytest.mark.parametrize("proof", list(Proof))
def test_what_a_probe_proves_depends_on_the_fault(kind: FaultKind, proof: Proof) -> None:
    after = after_success(probing(kind), proof)
    assert (after.state is BreakerState.CLOSED) is (proof in CLEARED_BY[kind])


def test_after_an_unanswered_probe_the_next_one_may_be_placed_at_once() -> None:
    after = after_success(probing(FaultKind.AGENT), Proof.FINISHED)
    assert after.state is BreakerState.OPEN
    assert may_dial(after, later(15))


def test_no_second_probe_while_the_call_of_the_first_is_live() -> None:
    after = after_success(probing(FaultKind.AGENT), Proof.ACCEPTED)
    assert not may_dial(after, later(16))


def test_the_end_of_an_older_call_does_not_change_a_probe_of_the_key() -> None:
    probe = probing(FaultKind.BLOCKED)
    assert after_success(probe, Proof.TALKED) == probe


def test_a_probe_without_a_result_does_not_hold_the_key_for_ever() -> None:
    for kind in FaultKind:
        probe = probing(kind)
        assert probe.probe_at is not None
        assert may_dial(probe, probe.probe_at)


def test_each_failed_probe_doubles_the_backoff_up_to_the_maximum() -> None:
    breaker, backoffs = opened(FaultKind.OUTAGE), []
    for _ in range(5):
        backoffs.append(breaker.backoff_seconds)
        assert breaker.probe_at is not None
        when = breaker.probe_at
        breaker = after_fault(begin_probe(breaker, when, POLICY), when, POLICY, FaultKind.OUTAGE)
        assert breaker.probe_at == when + timedelta(seconds=breaker.backoff_seconds)
    assert backoffs == [15, 30, 60, 100, 100]
    assert breaker.opened_at == NOW


def test_faults_of_dials_in_flight_do_not_lengthen_the_backoff() -> None:
    held = opened(FaultKind.BLOCKED)
    after = after_fault(held, later(1), POLICY, FaultKind.BLOCKED)
    assert (after.probe_at, after.backoff_seconds) == (held.probe_at, held.backoff_seconds)
    assert after.faults == held.faults + 1


def test_retry_after_is_obeyed_up_to_a_maximum() -> None:
    short = after_fault(Breaker(), NOW, POLICY, FaultKind.RATE_LIMITED, retry_after=40)
    assert short.probe_at == later(40)
    longer = after_fault(short, NOW, POLICY, FaultKind.RATE_LIMITED, retry_after=70)
    assert longer.probe_at == later(70)
    absurd = after_fault(Breaker(), NOW, POLICY, FaultKind.RATE_LIMITED, retry_after=1e9)
    assert absurd.probe_at == later(POLICY.retry_after_max_seconds)


def test_the_first_backoff_after_429_is_short() -> None:
    assert faults(FaultKind.RATE_LIMITED).probe_at == later(1)


def test_a_lighter_fault_does_not_replace_a_severe_one() -> None:
    breaker = faults(FaultKind.RATE_LIMITED, 1, opened(FaultKind.AGENT))
    assert breaker.kind is FaultKind.AGENT
    assert not may_dial(after_success(breaker, Proof.ACCEPTED), NOW)
    severe = after_fault(opened(FaultKind.OUTAGE), NOW, POLICY, FaultKind.BLOCKED, reason="401 key")
    assert (severe.kind, severe.reason) == (FaultKind.BLOCKED, "401 key")


def test_a_hold_has_its_reason_and_end_for_the_operator() -> None:
    held = after_fault(Breaker(), NOW, POLICY, FaultKind.BLOCKED, reason="401: unknown key")
    hold = as_hold(held, NOW, "key:abc")
    assert hold is not None
    assert (hold.scope, hold.reason, hold.since, hold.until) == (
        "key:abc",
        "401: unknown key",
        NOW,
        later(15),
    )
    assert as_hold(held, later(15), "key:abc") is None
    assert as_hold(Breaker(), NOW, "key:abc") is None


@pytest.mark.parametrize(
    "breaker",
    [faults(FaultKind.AGENT, 1), opened(FaultKind.BLOCKED), probing(FaultKind.OUTAGE)],
    ids=["closed", "open", "probing"],
)
def test_a_breaker_is_the_same_after_storing_and_reading(breaker: Breaker) -> None:
    assert Breaker.read(breaker.document()) == breaker


@pytest.mark.parametrize("document", [None, {}, {"state": None}, {"state": "closed"}])
def test_a_missing_document_or_state_reads_as_a_closed_breaker(document: dict[str, object] | None) -> None:
    assert Breaker.read(document) == Breaker()


@pytest.mark.parametrize("document", [{"state": "ajar"}, {"state": 7}, {"state": "open", "kind": "gremlins"}])
def test_an_unreadable_breaker_admits_one_probe_whose_success_closes_it(document: dict[str, object]) -> None:
    read = Breaker.read(document)
    assert (read.state, read.reason) == (BreakerState.OPEN, UNREAD)
    probing_ = begin_probe(read, NOW, POLICY)
    assert not may_dial(probing_, NOW)
    assert after_success(probing_, Proof.ACCEPTED) == Breaker()


events = st.lists(
    st.tuples(st.sampled_from([*FaultKind, *Proof]), st.floats(0, 200), st.none() | st.floats(0, 9999)),
    max_size=50,
)


@given(events)
def test_for_any_events_the_next_probe_is_never_later_than_the_longest_backoff(
    happened: list[tuple[FaultKind | Proof, float, float | None]],
) -> None:
    breaker, now = Breaker(), NOW
    longest = timedelta(seconds=max(POLICY.retry_after_max_seconds, POLICY.call_timeout_seconds))
    for what, seconds, retry_after in happened:
        now += timedelta(seconds=seconds)
        if breaker.state is not BreakerState.CLOSED and may_dial(breaker, now):
            breaker = begin_probe(breaker, now, POLICY)
        if isinstance(what, FaultKind):
            breaker = after_fault(breaker, now, POLICY, what, retry_after)
        else:
            breaker = after_success(breaker, what)
        assert breaker.backoff_seconds <= POLICY.probe_max_seconds
        assert breaker.probe_at is None or breaker.probe_at <= now + longest
        assert may_dial(breaker, now + longest)
