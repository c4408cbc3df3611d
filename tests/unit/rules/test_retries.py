"""What happens to a job after a dial."""

from __future__ import annotations

import dataclasses

import pytest

from speechaid.model.batch import CallSettings
from speechaid.model.states import (
    ALLOWED_TRANSITIONS,
    SUCCESSFUL_OUTCOMES,
    JobStatus,
    Outcome,
    Stopper,
    SuspendReason,
)
from speechaid.rules.retries import (
    NextStep,
    Position,
    RetryCause,
    RetryPolicy,
    decide,
    is_exhausted,
    no_phone_left,
    policy_for,
)
from speechaid.rules.retry_table import RULES, SUCCESS

A, B, C = "+56911111111", "+56922222222", "+56933333333"
POLICY = RetryPolicy(
    max_attempts=3,
    retry_delay_seconds=1800,
    no_answer_delay_seconds=3600,
    temporary_min_seconds=60,
    temporary_max_seconds=120,
    voicemail_is_success=False,
)


def at(
    index: int = 0, *, phones: tuple[str, ...] = (A, B), dead: frozenset[str] = frozenset(), attempts: int = 0
) -> Position:
    return Position(phones=phones, dead=dead, index=index, attempts=attempts)


def after(
    outcome: Outcome,
    position: Position,
    *,
    connected: bool = False,
    stopped_by: Stopper | None = None,
    policy: RetryPolicy = POLICY,
    jitter: float = 0.0,
) -> NextStep:
    return decide(
        outcome,
        position=position,
        connected=connected,
        stopped_by=stopped_by,
        policy=policy,
        jitter=jitter,
    )


def pending(
    index: int, attempts: int, delay: float, cause: RetryCause, dead_phone: str | None = None
) -> NextStep:
    return NextStep(
        status=JobStatus.PENDING,
        attempts=attempts,
        next_phone_index=index,
        delay_seconds=delay,
        cause=cause,
        dead_phone=dead_phone,
    )


def failed(attempts: int, cause: RetryCause, dead_phone: str | None = None) -> NextStep:
    return NextStep(
        status=JobStatus.FAILED,
        attempts=attempts,
        next_phone_index=0,
        delay_seconds=0,
        cause=cause,
        dead_phone=dead_phone,
    )


def test_the_successful_outcomes_are_those_that_complete_the_job() -> None:
    assert {outcome for outcome, rule in RULES.items() if rule is SUCCESS} == SUCCESSFUL_OUTCOMES


def test_every_outcome_has_a_row() -> None:
    assert set(RULES) == set(Outcome)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("stopped_by", [None, *Stopper])
def test_every_step_is_a_valid_transition_of_a_job_in_progress(
    outcome: Outcome, connected: bool, stopped_by: Stopper | None
) -> None:
    for position in (at(0), at(1), at(1, attempts=2), at(0, phones=())):
        step = after(outcome, position, connected=connected, stopped_by=stopped_by)
        assert step.status in ALLOWED_TRANSITIONS[JobStatus.IN_PROGRESS]
        assert (step.suspend_reason is not None) == (step.status is JobStatus.SUSPENDED)
        assert (step.cancel_reason is not None) == (step.status is JobStatus.CANCELLED)


@pytest.mark.parametrize(
    "outcome",
    [Outcome.NO_ANSWER, Outcome.VOICEMAIL, Outcome.BUSY, Outcome.FAILED],
)
def test_a_failed_dial_rotates_to_the_next_phone_at_once_without_spending_an_attempt(
    outcome: Outcome,
) -> None:
    assert after(outcome, at(0)) == pending(1, 0, 0, RetryCause.ROTATED)


@pytest.mark.parametrize(
    ("outcome", "delay"),
    [
        (Outcome.NO_ANSWER, 3600),
        (Outcome.VOICEMAIL, 3600),
        (Outcome.BUSY, 1800),
        (Outcome.FAILED, 1800),
    ],
)
def test_the_last_dial_of_a_pass_spends_an_attempt_and_sets_the_delay(outcome: Outcome, delay: float) -> None:
    assert after(outcome, at(1)) == pending(0, 1, delay, RetryCause.RETRY)


@pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.VOICEMAIL, Outcome.BUSY, Outcome.FAILED])
def test_the_last_dial_of_the_last_pass_fails_the_job(outcome: Outcome) -> None:
    assert after(outcome, at(1, attempts=2)) == failed(3, RetryCause.EXHAUSTED)


def test_two_unanswered_phones_are_dialled_six_times_in_three_passes() -> None:
    position, dials, waits = at(0), [], []
    for _ in range(6):
        dials.append(position.phones[position.index])
        step = after(Outcome.NO_ANSWER, position)
        waits.append(step.delay_seconds)
        position = dataclasses.replace(position, index=step.next_phone_index, attempts=step.attempts)
    assert dials == [A, B, A, B, A, B]
    assert waits == [0, 3600, 0, 3600, 0, 0]
    assert step == failed(3, RetryCause.EXHAUSTED)


@pytest.mark.parametrize("outcome", [Outcome.ANSWERED, Outcome.CALLBACK_REQUESTED])
def test_a_successful_call_finishes_the_job(outcome: Outcome) -> None:
    step = after(outcome, at(1, attempts=1), connected=True)
    assert step == NextStep(
        status=JobStatus.DONE, attempts=1, next_phone_index=1, delay_seconds=0, cause=RetryCause.SERVED
    )


def test_a_voicemail_is_a_success_if_the_policy_counts_it() -> None:
    counts = dataclasses.replace(POLICY, voicemail_is_success=True)
    assert after(Outcome.VOICEMAIL, at(0), connected=True, policy=counts).status is JobStatus.DONE


def test_a_voicemail_connects_but_still_rotates() -> None:
    assert after(Outcome.VOICEMAIL, at(0), connected=True) == pending(1, 0, 0, RetryCause.ROTATED)


@pytest.mark.parametrize("index", [0, 1], ids=["phones left", "last phone"])
def test_a_connected_call_that_broke_off_ends_the_pass_and_waits_for_the_retry_delay(index: int) -> None:
    assert after(Outcome.FAILED, at(index), connected=True) == pending(0, 1, 1800, RetryCause.RETRY)


def test_connected_calls_that_always_break_off_use_up_the_attempts() -> None:
    assert after(Outcome.FAILED, at(0, attempts=2), connected=True) == failed(3, RetryCause.EXHAUSTED)


def test_an_invalid_number_is_marked_dead_and_the_next_phone_is_dialled_at_once() -> None:
    assert after(Outcome.INVALID_NUMBER, at(0)) == pending(1, 0, 0, RetryCause.ROTATED, dead_phone=A)


def test_an_invalid_number_at_the_end_of_a_pass_ends_the_pass() -> None:
    assert after(Outcome.INVALID_NUMBER, at(1)) == pending(0, 1, 1800, RetryCause.RETRY, dead_phone=B)


def test_the_job_fails_at_once_when_its_last_usable_phone_is_marked_dead() -> None:
    step = after(Outcome.INVALID_NUMBER, at(1, dead=frozenset({A})))
    assert step == failed(1, RetryCause.ALL_PHONES_DEAD, dead_phone=B)


def test_dead_phones_are_skipped_in_the_rotation() -> None:
    position = at(0, phones=(A, B, C), dead=frozenset({B}))
    assert after(Outcome.BUSY, position) == pending(2, 0, 0, RetryCause.ROTATED)


def test_a_pass_whose_remaining_phones_are_dead_is_over() -> None:
    assert after(Outcome.BUSY, at(0, dead=frozenset({B}))) == pending(0, 1, 1800, RetryCause.RETRY)


def test_a_phone_that_is_listed_twice_is_dialled_once_per_pass() -> None:
    assert after(Outcome.BUSY, at(0, phones=(A, A))) == pending(0, 1, 1800, RetryCause.RETRY)


def test_a_contact_without_phones_fails_at_once() -> None:
    assert after(Outcome.INVALID_NUMBER, at(0, phones=())).cause is RetryCause.ALL_PHONES_DEAD


def test_a_do_not_call_request_cancels_the_job_and_marks_the_phone_dead() -> None:
    step = after(Outcome.DO_NOT_CALL, at(1, attempts=1), connected=True)
    assert step == NextStep(
        status=JobStatus.CANCELLED,
        attempts=1,
        next_phone_index=1,
        delay_seconds=0,
        cause=RetryCause.DO_NOT_CALL,
        cancel_reason="do_not_call",
        dead_phone=B,
    )


@pytest.mark.parametrize(
    ("jitter", "delay"), [(0.0, 60.0), (0.5, 90.0), (0.999, 119.94)], ids=["least", "middle", "most"]
)
def test_a_temporary_fault_is_retried_after_a_random_delay_at_no_cost(jitter: float, delay: float) -> None:
    step = after(Outcome.TEMPORARY, at(1, attempts=2), jitter=jitter)
    assert step.delay_seconds == pytest.approx(delay)
    assert dataclasses.replace(step, delay_seconds=0) == pending(1, 2, 0, RetryCause.TEMPORARY)


def test_a_blocked_dial_returns_the_job_unchanged() -> None:
    assert after(Outcome.BLOCKED, at(1, attempts=2)) == pending(1, 2, 0, RetryCause.BLOCKED)


@pytest.mark.parametrize("outcome", [Outcome.TEMPORARY, Outcome.BLOCKED])
def test_a_free_fault_on_a_connected_call_costs_an_attempt(outcome: Outcome) -> None:
    assert after(outcome, at(0), connected=True) == pending(0, 1, 1800, RetryCause.RETRY)


def test_no_credit_suspends_the_job_with_nothing_spent() -> None:
    assert after(Outcome.NO_CREDIT, at(1, attempts=1)) == NextStep(
        status=JobStatus.SUSPENDED,
        attempts=1,
        next_phone_index=1,
        delay_seconds=0,
        cause=RetryCause.NO_CREDIT,
        suspend_reason=SuspendReason.NO_CREDIT,
    )


def test_an_operator_s_hang_up_cancels() -> None:
    step = after(Outcome.STOPPED, at(0), connected=True, stopped_by=Stopper.OPERATOR)
    assert (step.status, step.cause, step.cancel_reason) == (
        JobStatus.CANCELLED,
        RetryCause.STOPPED_BY_OPERATOR,
        "hang_up",
    )


def test_a_stop_in_retell_s_dashboard_suspends() -> None:
    step = after(Outcome.STOPPED, at(0), connected=True)
    assert (step.status, step.cause, step.suspend_reason) == (
        JobStatus.SUSPENDED,
        RetryCause.STOPPED_IN_RETELL,
        SuspendReason.STOPPED_IN_RETELL,
    )


def test_a_stop_by_our_limit_is_an_answer_or_a_failure() -> None:
    assert after(Outcome.STOPPED, at(0), connected=True, stopped_by=Stopper.LIMIT).status is JobStatus.DONE
    assert after(Outcome.STOPPED, at(0), stopped_by=Stopper.LIMIT) == pending(1, 0, 0, RetryCause.ROTATED)


def test_a_limit_lowered_during_the_call_fails_the_job_without_counting_beyond_it() -> None:
    lowered = dataclasses.replace(POLICY, max_attempts=1)
    assert after(Outcome.BUSY, at(1, attempts=2), policy=lowered) == failed(2, RetryCause.EXHAUSTED)
    assert is_exhausted(2, lowered)
    assert not is_exhausted(0, lowered)


class TestSkippingTheRestOfAPass:
    def test_do_not_call_entries_during_a_pass_end_it(self) -> None:
        position = at(1, dead=frozenset({B}))
        assert no_phone_left(position, POLICY) == pending(0, 1, 1800, RetryCause.RETRY)

    def test_a_contact_without_usable_phones_fails_at_once_without_spending_an_attempt(self) -> None:
        assert no_phone_left(at(0, dead=frozenset({A, B})), POLICY) == failed(0, RetryCause.ALL_PHONES_DEAD)

    def test_a_pass_with_a_dial_counts_as_an_attempt(self) -> None:
        assert no_phone_left(at(1, dead=frozenset({A, B})), POLICY) == failed(1, RetryCause.ALL_PHONES_DEAD)


class TestPolicyOfABatch:
    def test_without_a_batch_the_defaults_apply(self) -> None:
        assert policy_for(POLICY, None) == POLICY

    def test_a_batch_that_sets_nothing_changes_nothing(self) -> None:
        assert policy_for(POLICY, CallSettings()) == POLICY

    def test_a_batch_overrides_the_defaults_and_its_delay_replaces_both(self) -> None:
        policy = policy_for(
            POLICY, CallSettings(max_attempts=5, retry_delay_hours=0.5, voicemail_counts=True)
        )
        assert policy == dataclasses.replace(
            POLICY,
            max_attempts=5,
            retry_delay_seconds=1800.0,
            no_answer_delay_seconds=1800.0,
            voicemail_is_success=True,
        )

    def test_a_batch_can_exclude_voicemail_from_success(self) -> None:
        counts = dataclasses.replace(POLICY, voicemail_is_success=True)
        assert policy_for(counts, CallSettings(voicemail_counts=False)) == POLICY
