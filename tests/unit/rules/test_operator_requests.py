"""What a request that waited makes of a job: every action against every end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from speechaid.model.states import JobStatus
from speechaid.rules.operator_requests import REQUESTED_STATUS, reclassify

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
ENDS = (JobStatus.PENDING, JobStatus.FAILED, JobStatus.SUSPENDED, JobStatus.CANCELLED)


def changes(status: JobStatus, **fields: Any) -> dict[str, Any]:
    return {"status": status, "attempts": 2, "contact.next_phone_index": 1, "updated_at": NOW, **fields}


@pytest.mark.parametrize("status", [*ENDS, JobStatus.DONE])
@pytest.mark.parametrize("request_", [None, {}, {"action": "dance"}, {"action": None}])
def test_without_a_request_that_means_something_nothing_is_bent(
    status: JobStatus, request_: dict[str, Any] | None
) -> None:
    assert reclassify(changes(status), request_) == changes(status)


@pytest.mark.parametrize("action", REQUESTED_STATUS)
@pytest.mark.parametrize(
    "end",
    [changes(JobStatus.DONE), changes(JobStatus.CANCELLED, cancel_reason="do_not_call")],
    ids=["served", "do not call"],
)
def test_what_served_its_purpose_or_must_not_be_called_stays_so(action: str, end: dict[str, Any]) -> None:
    assert reclassify(end, {"action": action, "reason": "because"}) == end


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("action", ["cancel", "hang_up"])
def test_cancelling_keeps_what_the_call_cost_and_says_why(action: str, status: JobStatus) -> None:
    bent = reclassify(changes(status), {"action": action, "reason": "because"})
    assert (bent["status"], bent["cancel_reason"], bent["finished_at"]) == ("cancelled", "because", NOW)
    assert (bent["attempts"], bent["contact.next_phone_index"]) == (2, 1)
    assert reclassify(changes(status), {"action": action})["cancel_reason"] == action


@pytest.mark.parametrize("status", ENDS)
def test_suspending_keeps_the_place_to_go_on_from(status: JobStatus) -> None:
    bent = reclassify(changes(status), {"action": "suspend", "reason": None})
    assert (bent["status"], bent["suspend_reason"], bent["suspended_at"]) == ("suspended", "suspend", NOW)
    assert (bent["attempts"], bent["contact.next_phone_index"]) == (2, 1)


@pytest.mark.parametrize("status", ENDS)
def test_a_reset_begins_with_the_first_phone_and_no_attempt(status: JobStatus) -> None:
    bent = reclassify(changes(status), {"action": "reset"})
    assert (bent["status"], bent["attempts"], bent["contact.next_phone_index"]) == ("pending", 0, 0)


def test_a_reset_names_no_path_inside_a_contact_that_is_written_whole() -> None:
    whole = {"status": JobStatus.PENDING, "updated_at": NOW, "contact": {"next_phone_index": 1}}
    assert reclassify(whole, {"action": "reset"})["contact"] == {"next_phone_index": 0}
    assert "contact.next_phone_index" not in reclassify(whole, {"action": "reset"})
