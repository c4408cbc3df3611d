from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.errors import ExitStatus
from speechaid.rules.respawn import (
    CRASHES,
    RESPAWN,
    ExitCause,
    ExitHistory,
    Pace,
    Respawn,
    RespawnPolicy,
    cause_of,
    decide,
)

POLICY = RespawnPolicy(
    first_delay_seconds=1.0, longest_delay_seconds=20.0, outage_delay_seconds=5.0, crash_loop_after=3
)


def ends(*causes: ExitCause, ran_well: bool = False) -> list[Respawn]:
    """The decisions for successive exits of one slot; jitter in the middle of its range."""
    history, decisions = ExitHistory(), []
    for cause in causes:
        decisions.append(decide(cause, history, POLICY, ran_well=ran_well, jitter=0.5))
        history = decisions[-1].history
    return decisions


def test_every_cause_has_a_row() -> None:
    assert set(RESPAWN) == set(ExitCause)


def test_only_a_requested_exit_never_backs_off() -> None:
    assert {cause for cause, rule in RESPAWN.items() if rule.pace is Pace.IMMEDIATE} == {ExitCause.ASKED}


def test_exits_blamed_on_the_job_count_as_crashes() -> None:
    assert all(RESPAWN[cause].counts_as_crash for cause in CRASHES)


@pytest.mark.parametrize("cause", [c for c, rule in RESPAWN.items() if rule.pace is Pace.BACK_OFF])
def test_the_first_restart_is_immediate_and_later_delays_double_up_to_the_longest(cause: ExitCause) -> None:
    assert [d.delay_seconds for d in ends(*[cause] * 8)] == [0, 1, 2, 4, 8, 16, 20, 20]


def test_workers_that_ran_well_are_always_replaced_at_once() -> None:
    decisions = ends(*[ExitCause.KILLED] * 20, ran_well=True)
    assert {d.delay_seconds for d in decisions} == {0}
    assert not any(d.crash_loop for d in decisions)


def test_repeated_crashes_are_a_crash_loop() -> None:
    assert [d.crash_loop for d in ends(*[ExitCause.CRASHED] * 4)] == [False, False, True, True]


def test_quick_clean_exits_are_a_crash_loop_too() -> None:
    assert ends(ExitCause.QUIT, ExitCause.QUIT, ExitCause.QUIT)[-1].crash_loop


def test_a_missing_dependency_gives_constant_delays_and_no_crash_loop() -> None:
    decisions = ends(*[ExitCause.UNAVAILABLE] * 50)
    assert {d.delay_seconds for d in decisions} == {5}
    assert not any(d.crash_loop for d in decisions)
    assert decisions[-1].history.dependency_away


def test_an_outage_between_crashes_does_not_reset_their_count() -> None:
    decisions = ends(ExitCause.CRASHED, ExitCause.CRASHED, ExitCause.UNAVAILABLE, ExitCause.CRASHED)
    assert decisions[-1].crash_loop
    assert not decisions[-1].history.dependency_away


def test_quick_recycling_backs_off_without_a_crash_loop() -> None:
    last = ends(*[ExitCause.RECYCLED] * 8)[-1]
    assert last.delay_seconds == 20
    assert not last.crash_loop


def test_a_requested_exit_resets_the_history() -> None:
    assert ends(ExitCause.CRASHED, ExitCause.CRASHED, ExitCause.ASKED)[-1].history == ExitHistory()


@given(
    st.lists(st.tuples(st.sampled_from(ExitCause), st.booleans()), max_size=200),
    st.floats(min_value=0, max_value=1),
)
def test_no_sequence_of_exits_gives_a_slot_up(sequence: list[tuple[ExitCause, bool]], jitter: float) -> None:
    history = ExitHistory()
    for cause, ran_well in sequence:
        decision = decide(cause, history, POLICY, ran_well=ran_well, jitter=jitter)
        assert 0 <= decision.delay_seconds <= 1.25 * POLICY.longest_delay_seconds
        history = decision.history


def test_a_thousand_crashes_do_not_overflow() -> None:
    history = ExitHistory(ends=5000, faults=5000)
    assert decide(ExitCause.CRASHED, history, POLICY, ran_well=False, jitter=0.5).delay_seconds == 20


KILL = int(signal.SIGKILL)


@pytest.mark.parametrize(
    ("status", "number", "ready", "asked", "hung", "cause"),
    [
        (ExitStatus.OK, None, True, True, False, ExitCause.ASKED),
        (None, KILL, True, True, False, ExitCause.ASKED),  # killed by us after the hand-over time
        (ExitStatus.OK, None, True, False, False, ExitCause.QUIT),
        (ExitStatus.RECYCLE, None, True, False, False, ExitCause.RECYCLED),
        (ExitStatus.UNAVAILABLE, None, True, False, False, ExitCause.UNAVAILABLE),
        (ExitStatus.UNAVAILABLE, None, False, False, False, ExitCause.UNAVAILABLE),
        (ExitStatus.SOFTWARE, None, True, False, False, ExitCause.CRASHED),
        (ExitStatus.CONFIG, None, True, False, False, ExitCause.CRASHED),
        (1, None, True, False, False, ExitCause.CRASHED),
        (1, None, False, False, False, ExitCause.NEVER_READY),
        (None, KILL, True, False, False, ExitCause.KILLED),
        (None, KILL, False, False, False, ExitCause.NEVER_READY),
        (None, KILL, True, False, True, ExitCause.HUNG),
        (None, KILL, False, False, True, ExitCause.NEVER_READY),
    ],
)
def test_the_cause_follows_from_status_signal_and_state_of_the_worker(
    *, status: int | None, number: int | None, ready: bool, asked: bool, hung: bool, cause: ExitCause
) -> None:
    assert cause_of(status=status, signal=number, ready=ready, asked=asked, hung=hung) is cause


@pytest.mark.parametrize("ready", [True, False])
def test_a_worker_that_was_killed_in_an_overload_is_no_crash(*, ready: bool) -> None:
    cause = cause_of(status=None, signal=KILL, ready=ready, hung=True, overloaded=True)
    assert cause is ExitCause.OVERLOADED
    assert cause not in CRASHES
    assert not any(decision.crash_loop for decision in ends(*[cause] * 50))
