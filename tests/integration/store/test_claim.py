"""Claims by many workers at once, by a whole turn, and under clocks that disagree, on a real server.

What each write promises by itself stands in ``tests.integration.contract``.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.dialer.claim import JobClaimer
from speechaid.model.job import Dial, Job
from speechaid.store.connection import Store, connect
from speechaid.store.jobs import Candidate
from tests.support.stage import Stage

A = "+12025550101"
LEASE = 120.0


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    return common_stage


def claim(stage: Stage, job_id: str = "job-1", worker_id: str = "worker-1@host-a:1") -> Job:
    """Claim this very job as it stands."""
    token = f"{worker_id}/{job_id}"
    found = candidate(stage, job_id)
    assert stage.store.jobs.claim(found, worker_id=worker_id, token=token, lease_seconds=LEASE)
    return Job.read(stage.job(job_id))


def candidate(stage: Stage, job_id: str = "job-1") -> Candidate:
    return Candidate.read(stage.job(job_id))


def dial_to(number: str, now: datetime, key: str = "key-1") -> Dial:
    return Dial(
        key=key, number=number, phone_index=0, attempt=0, intent_at=now, body="{}", api_key_fingerprint="f"
    )


def test_many_workers_on_one_pool_claim_each_job_once(stage: Stage) -> None:
    for number in range(60):
        stage.add_job(A, job_id=f"job-{number}", reserved_until=stage.store.now() - timedelta(seconds=number))
    kits = [stage.context(f"worker-{number}@host-{number % 2}:1") for number in range(6)]
    start = Barrier(len(kits))

    def work(context: Any) -> list[str]:
        turns, mine = JobClaimer(context), []
        start.wait()
        # A view of whose turn it is may be a second old: nothing found is no proof that nothing is left.
        while stage.database.jobs.count_documents({"status": "pending"}):
            while (found := turns.claim()) is not None:
                mine.append(found.job.job_id)
        return mine

    with ThreadPoolExecutor(len(kits)) as pool:
        claimed = [name for names in pool.map(work, kits) for name in names]
    assert Counter(claimed) == Counter(f"job-{number}" for number in range(60))


def test_a_number_that_is_being_called_for_another_job_puts_the_second_back_untouched(stage: Stage) -> None:
    stage.add_job(A, job_id="job-1")
    stage.add_job("(202) 555-0101", job_id="job-2", reserved_until=stage.store.now() - timedelta(hours=1))
    stage.store.jobs.record_intent(claim(stage, "job-1"), dial_to(A, stage.store.now()))

    assert stage.dial_next(stage.context(SPEECHAID_DEFAULT_COUNTRY="US"))

    job = stage.job("job-2")
    assert (job["status"], job["attempts"]) == ("pending", 0)
    assert job["reserved_until"] > stage.store.now() - timedelta(minutes=1)
    assert stage.placed_calls() == []


# -- whose clock -----------------------------------------------------------------------------------------


class SkewedClock(SystemClock):
    """A host whose wall clock is wrong."""

    def __init__(self, hours: float) -> None:
        self._error = timedelta(hours=hours)

    def now(self) -> datetime:
        return super().now() + self._error


@pytest.fixture(params=[-1.0, 1.0], ids=["an hour behind", "an hour ahead"])
def skewed(request: pytest.FixtureRequest, stage: Stage) -> Any:
    store = connect(stage.settings.database, clock=SkewedClock(request.param))
    assert store.skew_seconds() == pytest.approx(request.param * 3600, abs=60)
    yield store
    store.close()


def test_leases_are_written_and_judged_by_the_databases_clock(stage: Stage, skewed: Store) -> None:
    stage.add_job(A, reserved_until=stage.store.now() - timedelta(minutes=5))
    assert skewed.jobs.claim(candidate(stage), worker_id="w", token="t", lease_seconds=LEASE)
    job = Job.read(stage.job())
    assert job.reserved_until is not None
    local_time = stage.database.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    assert (job.reserved_until - local_time) / timedelta(seconds=1) == pytest.approx(LEASE, abs=60)

    assert skewed.jobs.lapsed(16) == []
    assert skewed.jobs.adopt(candidate(stage), worker_id="x", token="x", lease_seconds=LEASE) is None
    past = local_time - timedelta(minutes=5)
    stage.database.jobs.update_one({}, {"$set": {"reserved_until": past}})
    assert len(skewed.jobs.lapsed(16)) == 1


@pytest.mark.parametrize(("minutes", "due"), [(-5, True), (5, False)])
def test_a_host_with_a_wrong_clock_dials_what_is_due_and_nothing_else(
    stage: Stage, skewed: Store, minutes: int, due: bool
) -> None:
    stage.add_job(A, reserved_until=stage.store.now() + timedelta(minutes=minutes))
    context = stage.context()
    context.store.close()
    context.store = skewed
    assert (JobClaimer(context).claim() is not None) is due
