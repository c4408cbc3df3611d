"""When faults hold dialling, and how it comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.circuit_breaker import (
    CLEARED_BY,
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
AT_ONCE = [FaultKind.RATE_LIMITED, FaultKind.UNPAID, FaultKind.BLOCKED]
AFTER_A_RUN = [FaultKind.OUTAGE, FaultKind.AGENT]


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


def test_every_kind_of_fault_has_a_proof_that_clears_it() -> None:
    assert set(CLEARED_BY) == set(FaultKind)
    assert all(CLEARED_BY.values())


@pytest.mark.parametrize("kind", AFTER_A_RUN)
def test_a_run_of_faults_holds_dialling_a_single_one_does_not(kind: FaultKind) -> None:
    assert may_dial(faults(kind, 2), NOW)
    held = faults(kind, 3)
    assert not may_dial(held, NOW)
    assert (held.state, held.opened_at, held.probe_at) == (BreakerState.OPEN, NOW, later(15))


@pytest.mark.parametrize("kind", AT_ONCE)
def test_what_the_next_dial_would_meet_as_well_holds_at_once(kind: FaultKind) -> None:
    assert not may_dial(faults(kind), NOW)


@pytest.mark.parametrize("kind", AFTER_A_RUN)
def test_a_proof_in_between_ends_the_run(kind: FaultKind) -> None:
    cleared = after_success(faults(kind, 2), next(iter(CLEARED_BY[kind])))
    assert cleared == Breaker()
    assert may_dial(faults(kind, 2, cleared), NOW)


@pytest.mark.parametrize("proof", [Proof.ACCEPTED, Proof.FINISHED])
def test_calls_that_never_met_the_agent_do_not_end_a_run_of_its_faults(proof: Proof) -> None:
    assert not may_dial(faults(FaultKind.AGENT, 1, after_success(faults(FaultKind.AGENT, 2), proof)), NOW)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_one_probe_goes_through_at_a_time(kind: FaultKind) -> None:
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


def test_a_probe_that_was_not_answered_lets_the_next_one_go_at_once() -> None:
    after = after_success(probing(FaultKind.AGENT), Proof.FINISHED)
    assert after.state is BreakerState.OPEN
    assert may_dial(after, later(15))


def test_a_probe_whose_call_goes_on_stays_the_only_one() -> None:
    after = after_success(probing(FaultKind.AGENT), Proof.ACCEPTED)
    assert not may_dial(after, later(16))


def test_an_older_call_that_ends_is_no_news_to_a_probe_of_the_key() -> None:
    probe = probing(FaultKind.BLOCKED)
    assert after_success(probe, Proof.TALKED) == probe


def test_a_probe_that_never_reports_back_does_not_hold_the_key_for_ever() -> None:
    for kind in FaultKind:
        probe = probing(kind)
        assert probe.probe_at is not None
        assert may_dial(probe, probe.probe_at)


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    breaker, pauses = opened(FaultKind.OUTAGE), []
    for _ in range(5):
        pauses.append(breaker.backoff_seconds)
        assert breaker.probe_at is not None
        when = breaker.probe_at
        breaker = after_fault(begin_probe(breaker, when, POLICY), when, POLICY, FaultKind.OUTAGE)
        assert breaker.probe_at == when + timedelta(seconds=breaker.backoff_seconds)
    assert pauses == [15, 30, 60, 100, 100]
    assert breaker.opened_at == NOW


def test_answers_to_dials_that_were_on_their_way_do_not_lengthen_the_pause() -> None:
    held = opened(FaultKind.BLOCKED)
    straggler = after_fault(held, later(1), POLICY, FaultKind.BLOCKED)
    assert (straggler.probe_at, straggler.backoff_seconds) == (held.probe_at, held.backoff_seconds)
    assert straggler.faults == held.faults + 1


def test_retell_s_own_pause_is_obeyed_within_reason() -> None:
    asked = after_fault(Breaker(), NOW, POLICY, FaultKind.RATE_LIMITED, retry_after=40)
    assert asked.probe_at == later(40)
    longer = after_fault(asked, NOW, POLICY, FaultKind.RATE_LIMITED, retry_after=70)
    assert longer.probe_at == later(70)
    absurd = after_fault(Breaker(), NOW, POLICY, FaultKind.RATE_LIMITED, retry_after=1e9)
    assert absurd.probe_at == later(POLICY.retry_after_max_seconds)


def test_too_fast_is_a_short_pause() -> None:
    assert faults(FaultKind.RATE_LIMITED).probe_at == later(1)


def test_a_grave_fault_is_not_forgotten_for_a_lighter_one() -> None:
    breaker = faults(FaultKind.RATE_LIMITED, 1, opened(FaultKind.AGENT))
    assert breaker.kind is FaultKind.AGENT
    assert not may_dial(after_success(breaker, Proof.ACCEPTED), NOW)
    graver = after_fault(opened(FaultKind.OUTAGE), NOW, POLICY, FaultKind.BLOCKED, reason="401 key")
    assert (graver.kind, graver.reason) == (FaultKind.BLOCKED, "401 key")


def test_a_hold_tells_an_operator_what_and_until_when() -> None:
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
def test_a_breaker_survives_the_database(breaker: Breaker) -> None:
    assert Breaker.read(breaker.document()) == breaker


@pytest.mark.parametrize("document", [None, {}, {"state": "ajar"}, {"state": "open", "kind": "gremlins"}])
def test_a_document_that_makes_no_sense_is_a_closed_breaker(document: dict[str, object] | None) -> None:
    assert Breaker.read(document) == Breaker()


events = st.lists(
    st.tuples(st.sampled_from([*FaultKind, *Proof]), st.floats(0, 200), st.none() | st.floats(0, 9999)),
    max_size=50,
)


@given(events)
def test_whatever_happens_a_probe_is_never_further_off_than_the_longest_pause(
    happened: list[tuple[FaultKind | Proof, float, float | None]],
) -> None:
    breaker, now = Breaker(), NOW
    longest = timedelta(seconds=max(POLICY.retry_after_max_seconds, POLICY.call_patience_seconds))
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
