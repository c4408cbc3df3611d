"""The last read before a POST proves the claim by itself; where it cannot, a write renews the lease."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.errors import LeaseLost
from speechaid.store.preflight import PreflightDocuments, PreflightQueries
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage
from tests.support.stories import Steps, instrumented

BATCH = "batch-20260101-00000001"
POST = "POST create-phone-call"


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    common_stage.add_account(plan_type="minutes_based", minutes_purchased=1000)
    common_stage.add_job(phone(), batch_id=BATCH, account_id="acc-1")
    return common_stage


def writes_after_the_reservation(stage: Stage, context: WorkerContext) -> list[str]:
    """What is written between the reservation in the account and the POST."""
    steps = Steps()
    with instrumented(steps):
        assert stage.dial_next(context)
    before = steps.names[: steps.names.index(POST)]
    return before[before.index("update accounts") + 1 :]


def set_job(stage: Stage, **fields: Any) -> None:
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": fields})


def before_the_last_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, operation: Callable[[Stage], object]
) -> None:
    read = PreflightQueries.read_to_dial

    def meanwhile(queries: PreflightQueries, *args: Any, **fields: Any) -> PreflightDocuments | None:
        operation(stage)
        return read(queries, *args, **fields)

    monkeypatch.setattr(PreflightQueries, "read_to_dial", meanwhile)


def test_a_usual_dial_writes_nothing_between_its_reservation_and_the_post(stage: Stage) -> None:
    assert writes_after_the_reservation(stage, stage.context()) == []
    assert len(stage.placed_calls()) == 1


def test_a_lease_that_may_end_before_the_request_is_renewed_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = stage.settings.retell.timeout_seconds + dial.LEASE_MARGIN_SECONDS - 1
    before_the_last_look(
        stage,
        monkeypatch,
        lambda stage: set_job(stage, reserved_until=stage.store.now() + timedelta(seconds=soon)),
    )
    assert writes_after_the_reservation(stage, stage.context()) == ["update jobs"]
    assert len(stage.placed_calls()) == 1


def test_a_worker_whose_latest_write_is_old_renews_its_lease_before_the_last_look(stage: Stage) -> None:
    """The server that answers its read might not be the primary any more."""
    context = stage.context()
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    steps = Steps(old_after_the_intent(context))
    with instrumented(steps):
        dial.run(context, claimed.job, claimed.preflight)
    before = steps.names[: steps.names.index(POST)]
    assert before[before.index("update accounts") + 1 :] == ["update jobs"]


def old_after_the_intent(context: WorkerContext) -> Callable[[int, str, bool], None]:
    """The boot-time clock goes on by more than a preflight is valid, after the reservation in the account."""
    clock = context.clock
    late = [0.0]

    class Later(type(clock)):  # type: ignore[misc]
        def boottime(self) -> float:
            return clock.boottime() + late[0]

    context.clock = Later()

    def hook(_number: int, name: str, done: bool) -> None:
        if (name, done) == ("update accounts", True) and not late[0]:
            late[0] = dial.PREFLIGHT_VALID_SECONDS + 1

    return hook


def lose_the_claim(stage: Stage) -> None:
    set_job(stage, claim_token="another worker's")


def test_a_worker_that_has_lost_its_job_places_no_call(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    before_the_last_look(stage, monkeypatch, lose_the_claim)
    with pytest.raises(LeaseLost):
        stage.dial_next(stage.context())
    assert stage.placed_calls() == []


@pytest.mark.parametrize("action", ["cancel", "suspend", "hang_up"])
def test_a_request_of_an_operator_before_the_last_look_is_heeded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    before_the_last_look(
        stage, monkeypatch, lambda stage: set_job(stage, request={"action": action, "by": "maria"})
    )
    assert stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    job = stage.job()
    assert "dial" not in job
    assert account_of(stage)["open_dials"] == []


def account_of(stage: Stage) -> Document:
    found = stage.database.accounts.find_one({})
    assert found is not None
    return found


def test_the_write_of_the_call_s_id_renews_the_lease(stage: Stage) -> None:
    """The follower counts the lease from there."""
    context = stage.context()
    leases: list[Any] = []

    def hook(_number: int, name: str, done: bool) -> None:
        if name == POST:
            if not done:
                soon = stage.store.now() + timedelta(seconds=1)
                set_job(stage, reserved_until=soon)
        elif name == "update jobs" and done and "call_id" in stage.job().get("dial", {}) and not leases:
            leases.append(stage.job()["reserved_until"])

    with instrumented(Steps(hook)):
        stage.dial_next(context)
    least = stage.store.now() + timedelta(seconds=context.settings.worker.lease_seconds / 2)
    assert leases
    assert leases[0] > least
