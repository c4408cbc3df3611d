"""Statuses, and the allowed changes between them."""

from __future__ import annotations

import pytest

from speechaid.model.states import (
    ALLOWED_TRANSITIONS,
    FINISHED,
    NO_CALL_OUTCOMES,
    OUTCOME_CLASSES,
    STATUS_ALIASES,
    SUCCESSFUL_OUTCOMES,
    TERMINAL_CALL_STATUSES,
    CallStatus,
    JobStatus,
    Outcome,
    OutcomeClass,
    Priority,
    counts_by_status,
    spellings_of,
    transition,
)

#: No worker holds a job with one of these; time or an operator makes it due again.
WAITING = frozenset({JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.SUSPENDED})


def reachable(start: JobStatus) -> set[JobStatus]:
    found, ahead = set[JobStatus](), {start}
    while ahead:
        status = ahead.pop()
        found.add(status)
        ahead |= ALLOWED_TRANSITIONS[status] - found
    return found


def test_every_status_has_a_row_of_transitions() -> None:
    assert set(ALLOWED_TRANSITIONS) == set(JobStatus)


def test_no_transition_leads_to_its_origin() -> None:
    assert not [status for status in JobStatus if status in ALLOWED_TRANSITIONS[status]]


def test_the_groups_are_disjoint_and_complete() -> None:
    assert not FINISHED & WAITING
    assert set(JobStatus) - FINISHED - WAITING == {JobStatus.IN_PROGRESS}


def test_every_status_but_scheduled_can_be_reached_from_pending() -> None:
    assert reachable(JobStatus.PENDING) == set(JobStatus) - {JobStatus.SCHEDULED}


@pytest.mark.parametrize("status", list(JobStatus))
def test_pending_can_be_reached_from_every_status(status: JobStatus) -> None:
    assert JobStatus.PENDING in reachable(status)


def test_only_pending_and_scheduled_jobs_can_be_claimed() -> None:
    claimable = {status for status in JobStatus if JobStatus.IN_PROGRESS in ALLOWED_TRANSITIONS[status]}
    assert claimable == {JobStatus.PENDING, JobStatus.SCHEDULED}


def test_only_a_job_in_progress_can_become_done() -> None:
    assert {status for status in JobStatus if JobStatus.DONE in ALLOWED_TRANSITIONS[status]} == {
        JobStatus.IN_PROGRESS
    }


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_a_finished_job_can_only_become_pending_or_cancelled(status: JobStatus) -> None:
    assert ALLOWED_TRANSITIONS[status] <= {JobStatus.PENDING, JobStatus.CANCELLED}


PAIRS = [(origin, status) for origin in JobStatus for status in JobStatus]


@pytest.mark.parametrize(("origin", "status"), PAIRS)
def test_a_status_changes_only_by_allowed_transitions_or_stays(origin: JobStatus, status: JobStatus) -> None:
    if origin is status or status in ALLOWED_TRANSITIONS[origin]:
        assert transition(status, origin) is status
    else:
        with pytest.raises(ValueError, match=f"cannot change from {origin} to {status}"):
            transition(status, origin)


def test_every_origin_of_a_write_to_many_jobs_must_allow_the_status() -> None:
    assert transition("cancelled", JobStatus.PENDING, JobStatus.SUSPENDED) is JobStatus.CANCELLED
    with pytest.raises(ValueError, match="cannot change from done to cancelled"):
        transition("cancelled", JobStatus.PENDING, JobStatus.DONE)


def test_aliases_are_not_statuses() -> None:
    assert not set(STATUS_ALIASES) & set(JobStatus)
    assert set(STATUS_ALIASES.values()) <= set(JobStatus)


def test_every_outcome_is_in_exactly_one_class() -> None:
    assert set(OUTCOME_CLASSES) == set(Outcome)
    unsuccessful = {outcome for outcome in Outcome if OUTCOME_CLASSES[outcome] is OutcomeClass.NO_SUCCESS}
    assert SUCCESSFUL_OUTCOMES | NO_CALL_OUTCOMES | unsuccessful == set(Outcome)
    assert not SUCCESSFUL_OUTCOMES & NO_CALL_OUTCOMES


def test_every_call_status_is_terminal_or_live() -> None:
    assert set(CallStatus) - TERMINAL_CALL_STATUSES == {CallStatus.REGISTERED, CallStatus.ONGOING}


def test_priorities_have_speechai_s_numbers() -> None:
    assert [int(priority) for priority in sorted(Priority, reverse=True)] == [3, 2, 1]
    assert max(Priority) is Priority.URGENT


def test_counts_have_our_names_and_order_and_jobs_of_other_programs_are_counted_too() -> None:
    found = {"completed": 2, "odd": 1, "done": 3, "pending": 4}
    assert list(counts_by_status(found).items()) == [("pending", 4), ("done", 5), ("odd", 1)]


def test_a_status_is_found_under_every_spelling() -> None:
    assert spellings_of(JobStatus.DONE) == ["done", "completed"]
    assert spellings_of(JobStatus.PENDING) == ["pending"]
