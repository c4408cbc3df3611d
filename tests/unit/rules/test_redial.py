"""Who is called again in a new batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.model.job import Job
from speechaid.model.states import SUCCESSFUL_OUTCOMES, Outcome
from speechaid.rules.redial import NOT_REACHED, LeftOut, left_out
from speechaid.rules.retry_table import RULES

ENDED = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER, EARLIER = ENDED + timedelta(hours=1), ENDED - timedelta(hours=1)


def job(name: str = "j1", batch: str = "source", status: str = "failed", **fields: Any) -> Job:
    document = {"_id": name, "job_id": name, "batch_id": batch, "status": status, "finished_at": ENDED}
    return Job.read({**document, "last_outcome": "busy", **fields})


def reason(*others: Job, own: Job | None = None, listed: bool = False, phone: bool = True) -> LeftOut | None:
    family = {"source", "redial"}
    return left_out(own or job(), others, family=family, is_listed=listed, has_phone=phone)


def test_the_outcomes_are_those_after_which_the_next_phone_is_tried() -> None:
    assert set(NOT_REACHED) == {Outcome.NO_ANSWER, Outcome.BUSY, Outcome.VOICEMAIL, Outcome.FAILED}
    assert not set(NOT_REACHED) & SUCCESSFUL_OUTCOMES
    assert not any(RULES[outcome].marks_phone_dead for outcome in NOT_REACHED)


def test_whoever_no_call_reached_is_called_again() -> None:
    assert reason() is None
    assert reason(job("j2", status="failed")) is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"status": "done", "last_outcome": "answered"}, LeftOut.REACHED),
        ({"status": "completed", "last_outcome": None}, LeftOut.REACHED),
        ({"status": "failed", "call_result": {"success": True}, "crashes": 1}, LeftOut.REACHED),
        ({"status": "cancelled", "cancel_reason": "by order"}, LeftOut.CANCELLED),
        ({"status": "cancelled", "cancel_reason": "paid"}, LeftOut.PAID),
        ({"status": "failed", "paid": {"at": EARLIER}}, LeftOut.PAID),
        ({"status": "cancelled", "cancel_reason": "do_not_call"}, LeftOut.OPTED_OUT),
        ({"status": "failed", "last_outcome": "do_not_call"}, LeftOut.OPTED_OUT),
        ({"status": "pending"}, LeftOut.WAITING),
        ({"status": "in_progress"}, LeftOut.WAITING),
        ({"status": "suspended", "suspend_reason": "not_started"}, LeftOut.WAITING),
    ],
)
def test_another_job_of_the_person_in_the_batch_leaves_them_out(
    other: dict[str, Any], expected: LeftOut
) -> None:
    assert reason(job("j2", finished_at=EARLIER, **other)) is expected


@pytest.mark.parametrize(
    ("ended_at", "expected"), [(EARLIER, None), (LATER, LeftOut.REACHED)], ids=["before", "after"]
)
def test_a_call_of_another_campaign_counts_if_it_came_after(
    ended_at: datetime, expected: LeftOut | None
) -> None:
    other = job("j2", batch="other", status="done", last_outcome="answered", finished_at=ended_at)
    assert reason(other) is expected


def test_who_has_paid_is_not_called_again_and_a_debt_of_another_campaign_is_another() -> None:
    assert reason(own=job(paid={"at": EARLIER})) is LeftOut.PAID
    assert reason(job("j2", batch="other", finished_at=EARLIER, paid={"at": EARLIER})) is None


def test_another_campaign_that_was_cancelled_is_no_reason() -> None:
    assert reason(job("j2", batch="other", status="cancelled", finished_at=LATER)) is None
    assert reason(job("j2", batch="redial", status="cancelled", finished_at=LATER)) is LeftOut.CANCELLED


def test_an_opt_out_in_any_campaign_counts_whenever_it_was() -> None:
    other = job("j2", batch="other", status="cancelled", cancel_reason="do_not_call", finished_at=EARLIER)
    assert reason(other) is LeftOut.OPTED_OUT
    assert reason(listed=True, phone=False) is LeftOut.OPTED_OUT


def test_without_a_phone_that_may_be_dialled_nobody_is_called_again() -> None:
    assert reason(phone=False) is LeftOut.NO_PHONE


def test_a_voicemail_that_counted_does_not_mean_that_the_person_was_reached() -> None:
    assert reason(own=job(status="done", last_outcome="voicemail")) is None
    assert reason(job("j2", status="done", last_outcome="voicemail")) is None
