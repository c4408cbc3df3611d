"""When faults hold dialling, and how it resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.circuit_breaker import (
    CLEARED_BY,
    UNEXPLAINED_SECONDS,
    Breaker,
    BreakerPolicy,
    BreakerState,
    FaultKind,
    Proof,
    UnexplainedRefusal,
    after_answer,
    after_carrier_fault,
    after_fault,
    after_success,
    after_unexplained,
    as_hold,
    begin_probe,
    extend_probe,
    give_back_probe,
    may_dial,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = BreakerPolicy(faults=3, probe_min_seconds=15, probe_max_seconds=100)
OPENS_AT_ONCE = [FaultKind.RATE_LIMITED, FaultKind.CARRIER, FaultKind.UNPAID, FaultKind.BLOCKED]
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
    return begin_probe(opened(kind), later(15), POLICY, "own")


def accepted(probe: Breaker) -> Breaker:
    """After the probe's create was answered with a call."""
    return extend_probe(after_success(probe, Proof.ACCEPTED), later(15), POLICY, "own")


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


#: Every way in which a dial that has won the probe may go on, and the seconds until another dial may probe;
#: None: dialling is free.
WAYS_OUT_OF_PROBING: dict[str, tuple[Callable[[Breaker], Breaker], float | None]] = {
    "withdrawn before its create": (lambda probe: give_back_probe(probe, "own"), 0),
    "withdrawn by a dial that is not the probe": (
        lambda probe: give_back_probe(probe, "another"),
        POLICY.create_timeout_seconds,
    ),
    "its worker died before the create": (lambda probe: probe, POLICY.create_timeout_seconds),
    "the number was refused": (
        lambda probe: give_back_probe(after_success(probe, Proof.ACCEPTED), "own"),
        0,
    ),
    "refused again": (lambda probe: after_fault(probe, later(15), POLICY, FaultKind.AGENT), 30),
    "its worker died in the call": (accepted, POLICY.call_timeout_seconds),
    "its call ended unanswered": (lambda probe: after_success(accepted(probe), Proof.FINISHED), 0),
    "its call ended at a limit of Retell": (lambda probe: give_back_probe(accepted(probe), "own"), 0),
    "its call ended by the fault": (
        lambda probe: after_fault(accepted(probe), later(15), POLICY, FaultKind.AGENT),
        30,
    ),
    "somebody talked": (lambda probe: after_success(accepted(probe), Proof.TALKED), None),
}


@pytest.mark.parametrize("way", WAYS_OUT_OF_PROBING)
def test_every_way_out_of_probing_lets_another_dial_probe(way: str) -> None:
    leave, seconds = WAYS_OUT_OF_PROBING[way]
    after = leave(probing(FaultKind.AGENT))
    if seconds is None:
        assert after == Breaker()
        return
    assert may_dial(after, later(15 + seconds))
    assert seconds == 0 or not may_dial(after, later(15 + seconds - 1))
    assert begin_probe(after, later(15 + seconds), POLICY, "next").probe == "next"


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_probe_that_is_given_back_changes_neither_fault_nor_back_off(kind: FaultKind) -> None:
    before, after = opened(kind), give_back_probe(probing(kind), "own")
    assert after == replace(before, probe_at=None)


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.OUTAGE, FaultKind.BLOCKED])
def test_an_accepted_create_is_all_that_such_a_probe_waits_for(kind: FaultKind) -> None:
    assert accepted(probing(kind)) == Breaker()


def test_a_probe_of_another_dial_is_not_extended() -> None:
    probe = probing(FaultKind.AGENT)
    assert extend_probe(probe, later(100), POLICY, "another") == probe


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


def test_a_missing_document_reads_as_a_closed_breaker() -> None:
    assert Breaker.read(None) == Breaker()


@pytest.mark.parametrize(
    "document", [{}, {"state": None}, {"state": "ajar"}, {"state": 7}, {"state": "open", "kind": "gremlins"}]
)
def test_an_invalid_document_lets_one_probe_through_that_writes_it_anew(document: dict[str, object]) -> None:
    breaker = Breaker.read(document)
    assert breaker.state is BreakerState.OPEN
    assert breaker.reason is not None
    probe = begin_probe(breaker, NOW, POLICY, "own")
    assert not may_dial(probe, NOW)
    assert Breaker.read(probe.document()) == probe
    assert after_success(probe, Proof.ACCEPTED) == Breaker()


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


# -- what two numbers prove and one does not -----------------------------------------------------------------


def refused(breaker: Breaker, number: str, wording: str = "no", at: datetime = NOW) -> Breaker:
    refusal = UnexplainedRefusal(wording=wording, number=number, at=at)
    return after_unexplained(breaker, at, POLICY, refusal, reason="Retell answered 400: no")


def test_one_number_never_holds_dialling_by_a_refusal_that_does_not_say_why() -> None:
    breaker = Breaker()
    for _ in range(9):
        breaker = refused(breaker, "a")
    assert may_dial(breaker, NOW)
    assert len(breaker.unexplained) == 1


def test_a_second_number_with_the_same_wording_holds_dialling() -> None:
    other_wording = refused(refused(Breaker(), "a"), "b", "not now")
    assert may_dial(other_wording, NOW)
    held = refused(other_wording, "b")
    assert (held.state, held.kind, held.reason) == (
        BreakerState.OPEN,
        FaultKind.BLOCKED,
        "Retell answered 400: no",
    )


def test_success_between_two_refusals_does_not_make_them_forgotten_but_a_day_does() -> None:
    once = refused(Breaker(), "a")
    for proof in Proof:
        assert after_success(once, proof) == once
    late = NOW + timedelta(seconds=UNEXPLAINED_SECONDS + 1)
    assert may_dial(refused(once, "b", at=late), late)


def test_a_probe_that_is_refused_in_unclear_words_opens_the_key_again_whatever_its_number() -> None:
    held = refused(refused(Breaker(), "a"), "b")
    assert held.probe_at is not None
    probe = begin_probe(held, held.probe_at, POLICY)
    again = refused(probe, "a", at=held.probe_at)
    assert (again.state, again.backoff_seconds) == (BreakerState.OPEN, 2 * held.backoff_seconds)


def test_an_accepted_probe_forgets_what_was_refused_until_then() -> None:
    held = refused(refused(Breaker(), "a"), "b")
    assert after_success(begin_probe(held, later(15), POLICY), Proof.ACCEPTED) == Breaker()


def test_few_wordings_are_remembered() -> None:
    breaker = Breaker()
    for index in range(50):
        breaker = refused(breaker, "a", f"wording {index}")
    assert len(breaker.unexplained) == 8
    assert breaker.unexplained[-1].wording == "wording 49"


def carrier_faults(*numbers: str, breaker: Breaker | None = None) -> Breaker:
    breaker = breaker or Breaker()
    for number in numbers:
        breaker = after_carrier_fault(breaker, NOW, POLICY, number, reason="calls end with x")
    return breaker


def test_carrier_faults_of_different_numbers_in_a_row_hold_dialling() -> None:
    assert may_dial(carrier_faults("a", "b", "c", "d"), NOW)
    held = carrier_faults("a", "b", "c", "d", "e")
    assert (held.state, held.kind, held.reason) == (BreakerState.OPEN, FaultKind.CARRIER, "calls end with x")


def test_carrier_faults_of_few_numbers_again_and_again_hold_nothing() -> None:
    assert may_dial(carrier_faults(*"abcd" * 9), NOW)


@pytest.mark.parametrize("proof", list(Proof))
def test_only_a_call_that_ended_otherwise_ends_a_run_of_carrier_faults(proof: Proof) -> None:
    between = after_success(carrier_faults("a", "b", "c", "d"), proof)
    held = not may_dial(carrier_faults("e", breaker=between), NOW)
    assert held is (proof in {Proof.ACCEPTED, Proof.ANSWERED})


def test_faults_of_other_kinds_do_not_hide_a_run_of_carrier_faults() -> None:
    between = after_success(faults(FaultKind.OUTAGE, 2, carrier_faults("a", "b", "c", "d")), Proof.ACCEPTED)
    assert not may_dial(carrier_faults("e", breaker=between), NOW)


def test_a_probe_after_carrier_faults_ends_with_its_call() -> None:
    held = carrier_faults(*"abcde")
    probe = begin_probe(held, later(15), POLICY)
    assert after_success(probe, Proof.ACCEPTED) == probe
    assert after_success(probe, Proof.FINISHED) == Breaker()
    assert carrier_faults("a", breaker=probe).backoff_seconds == 2 * held.backoff_seconds


# -- answers to other requests -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(FaultKind))
def test_an_answer_closes_only_what_it_disproves_and_only_once_a_probe_is_due(kind: FaultKind) -> None:
    held = opened(kind)
    due = held.probe_at
    assert due is not None
    assert after_answer(held, due - timedelta(seconds=1), due - timedelta(seconds=1)) == held
    assert after_answer(held, due - timedelta(seconds=1), due) == held
    closed = after_answer(held, due, due).state is BreakerState.CLOSED
    assert closed is (kind in {FaultKind.RATE_LIMITED, FaultKind.OUTAGE})


def test_an_answer_does_not_end_a_run_of_faults_that_has_not_opened_the_breaker() -> None:
    run = faults(FaultKind.OUTAGE, 2)
    assert after_answer(run, NOW, NOW) == run


def test_what_the_breaker_remembers_survives_its_document() -> None:
    breaker = carrier_faults("a", "b", breaker=refused(refused(Breaker(), "a"), "b", "other"))
    assert Breaker.read(breaker.document()) == breaker
    nonsense = {
        "state": "closed",
        "carrier_run": [None, {}],
        "unexplained": [None, {"wording": 3}, {"wording": "x", "number": "y"}],
    }
    assert Breaker.read(nonsense) == Breaker()
