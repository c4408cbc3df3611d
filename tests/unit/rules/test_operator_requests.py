"""How an operator request changes a job at settlement: every action with every final status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.model.states import JobStatus
from speechaid.rules.operator_requests import REQUESTED_STATUS, apply_request

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
ENDS = (JobStatus.PENDING, JobStatus.FAILED, JobStatus.SUSPENDED, JobStatus.CANCELLED)


def changes(status: JobStatus, **fields: Any) -> dict[str, Any]:
    return {"status": status, "attempts": 2, "contact.next_phone_index": 1, "updated_at": NOW, **fields}


@pytest.mark.parametrize("status", [*ENDS, JobStatus.DONE])
@pytest.mark.parametrize("request_", [None, {}, {"action": "dance"}, {"action": None}])
def test_without_a_valid_request_the_changes_stay_as_they_are(
    status: JobStatus, request_: dict[str, Any] | None
) -> None:
    assert apply_request(changes(status), request_) == changes(status)


@pytest.mark.parametrize("action", REQUESTED_STATUS)
@pytest.mark.parametrize(
    "end",
    [changes(JobStatus.DONE), changes(JobStatus.CANCELLED, cancel_reason="do_not_call")],
    ids=["done", "do not call"],
)
def test_no_request_changes_a_done_or_do_not_call_job(action: str, end: dict[str, Any]) -> None:
    assert apply_request(end, {"action": action, "reason": "because"}) == end


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("action", ["cancel", "hang_up"])
def test_a_cancelled_job_keeps_its_attempts_and_gets_a_reason(action: str, status: JobStatus) -> None:
    changed = apply_request(changes(status), {"action": action, "reason": "because"})
    assert (changed["status"], changed["cancel_reason"], changed["finished_at"]) == (
        "cancelled",
        "because",
        NOW,
    )
    assert (changed["attempts"], changed["contact.next_phone_index"]) == (2, 1)
    assert apply_request(changes(status), {"action": action})["cancel_reason"] == action


@pytest.mark.parametrize("status", ENDS)
def test_a_suspended_job_keeps_its_attempts_and_next_phone(status: JobStatus) -> None:
    changed = apply_request(changes(status), {"action": "suspend", "reason": None})
    assert (changed["status"], changed["suspend_reason"], changed["suspended_at"]) == (
        "suspended",
        "suspend",
        NOW,
    )
    assert (changed["attempts"], changed["contact.next_phone_index"]) == (2, 1)


@pytest.mark.parametrize("status", ENDS)
def test_a_reset_job_starts_again_with_the_first_phone_and_no_attempts(status: JobStatus) -> None:
    changed = apply_request(changes(status), {"action": "reset"})
    assert (changed["status"], changed["attempts"], changed["contact.next_phone_index"]) == ("pending", 0, 0)


def test_a_reset_sets_no_path_inside_a_contact_that_is_written_whole() -> None:
    whole = {"status": JobStatus.PENDING, "updated_at": NOW, "contact": {"next_phone_index": 1}}
    assert apply_request(whole, {"action": "reset"})["contact"] == {"next_phone_index": 0}
    assert "contact.next_phone_index" not in apply_request(whole, {"action": "reset"})
