"""Two jobs with one open number, which another program or a restored copy left: the live-call rule holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.store.indexes import OPEN_NUMBERS
from speechaid.store.inspection import missing_indexes
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage
from tests.support.stories import Steps, instrumented, uncounted


@pytest.fixture
def stage(common_stage: Stage) -> Iterator[Stage]:
    """A database that was started on two jobs with one open number."""
    common_stage.database.jobs.drop_index("speechaid_live_number")
    number = phone()
    for name in ("job-copy-1", "job-copy-2"):
        add_open(common_stage, number, name)
    assert any("job-copy-1 and job-copy-2" in remark for remark in common_stage.store.prepare())
    yield common_stage
    common_stage.database.jobs.delete_many({})
    common_stage.store.prepare()


def add_open(stage: Stage, number: str, job_id: str, **fields: Any) -> Document:
    """A job with an open dial under a live lease."""
    dial = {"key": f"key-of-{job_id}", "number": number, "intent_at": stage.store.now(), "body": "{}"}
    held = {
        "status": "in_progress",
        "claim_token": "t",
        "reserved_until": stage.store.now().replace(year=2999),
    }
    stage.add_job(number, job_id=job_id, dial=dial, **{**held, **fields})
    return stage.job(job_id)


def test_a_number_with_an_open_dial_is_not_dialled_for_another_job(stage: Stage) -> None:
    number = stage.job("job-copy-1")["dial"]["number"]
    stage.add_job(number)
    assert stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    assert stage.job()["status"] == "pending"
    assert "dial" not in stage.job()


def test_of_two_jobs_that_write_their_intents_at_once_at_least_one_finds_the_other(stage: Stage) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    stage.add_job(number)

    def intent_of_another(_n: int, name: str, done: bool) -> None:
        # After our look and before our write.
        job = stage.job()
        claimed = job["status"] == "in_progress" and "dial" not in job
        if claimed and name == "update jobs" and not done and not others:
            with uncounted():
                others.append(add_open(stage, number, "job-2"))

    others: list[Document] = []
    context = stage.context()
    with instrumented(Steps(intent_of_another)):
        assert stage.dial_next(context)
    assert others
    assert stage.placed_calls() == []
    assert (stage.job()["status"], "dial" in stage.job()) == ("pending", False)
    assert context.link.counts["speechaid_put_back_total reason=number_busy"] == 1  # type: ignore[attr-defined]

    stage.database.jobs.delete_one({"job_id": "job-2"})
    assert stage.run_until_finished(context)["status"] == "done"
    assert len(stage.placed_calls()) == 1


def test_the_index_is_created_once_the_two_dials_are_settled(stage: Stage) -> None:
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(stage.settings, SystemClock().boottime())
    assert missing_indexes(stage.store) == ["jobs.speechaid_live_number"]

    stage.database.jobs.update_one({"job_id": "job-copy-2"}, {"$unset": {"dial": ""}})
    Housekeeper(stage.store).tick(stage.settings, SystemClock().boottime())

    assert missing_indexes(stage.store) == []
    assert stage.store.jobs.numbers_are_unique()
    assert OPEN_NUMBERS.name not in stage.database.jobs.index_information()
