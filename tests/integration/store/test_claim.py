"""Claims, leases and the fence, against the real wire database."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.dialer.claim import JobClaimer
from speechaid.errors import LeaseLost, NumberBusy
from speechaid.model.job import Dial, Job
from speechaid.store.connection import Store, connect
from speechaid.store.jobs import Candidate, Jobs
from tests.support.stage import Stage

A, B = "+12025550101", "+12025550102"
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


def test_a_candidate_that_was_dialled_and_returned_meanwhile_is_not_claimed(stage: Stage) -> None:
    stage.add_job(A)
    stale = candidate(stage)
    stage.store.jobs.requeue(claim(stage))

    assert stage.job()["status"] == "pending"
    assert not stage.store.jobs.claim(stale, worker_id="w", token="t", lease_seconds=LEASE)


def test_a_candidate_that_another_program_scheduled_anew_is_not_claimed(stage: Stage) -> None:
    stage.add_job(A)
    stale = candidate(stage)
    later = stage.store.now() + timedelta(hours=1)
    stage.database.jobs.update_one({}, {"$set": {"reserved_until": later}})  # it knows of no revision

    assert not stage.store.jobs.claim(stale, worker_id="w", token="t", lease_seconds=LEASE)


def test_a_lease_that_was_renewed_after_the_look_is_not_taken_over(stage: Stage) -> None:
    stage.add_job(A)
    job = claim(stage)
    stage.lapse()
    stale = candidate(stage)
    stage.store.jobs.renew(job, LEASE)
    stage.lapse()  # were it not for the time, it would look the same

    assert stage.store.jobs.adopt(stale, worker_id="w", token="t", lease_seconds=LEASE) is None
    fresh = stage.store.jobs.adopt(candidate(stage), worker_id="w", token="t", lease_seconds=LEASE)
    assert fresh is not None
    assert fresh.claim_token == "t"


def test_a_live_lease_is_nobody_elses(stage: Stage) -> None:
    stage.add_job(A)
    claim(stage)
    assert stage.store.jobs.lapsed(16) == []
    assert stage.store.jobs.adopt(candidate(stage), worker_id="w", token="t", lease_seconds=LEASE) is None


#: Every write and look that a worker makes of a job in hand.
GUARDED: dict[str, Callable[[Jobs, Job, datetime], object]] = {
    "renew": lambda jobs, job, _: jobs.renew(job, LEASE),
    "renew_to_dial": lambda jobs, job, _: jobs.renew_to_dial(job, LEASE),
    "reread": lambda jobs, job, _: jobs.reread(job),
    "record_intent": lambda jobs, job, now: jobs.record_intent(job, dial_to(B, now, "key-2")),
    "record_call": lambda jobs, job, _: jobs.record_call(job, "call_1"),
    "note_on_dial": lambda jobs, job, now: jobs.note_on_dial(job, parked_at=now),
    "record_verdict": lambda jobs, job, _: jobs.record_verdict(job, {"outcome": "answered"}),
    "drop_reserved_amount": lambda jobs, job, _: jobs.drop_reserved_amount(job),
    "finish": lambda jobs, job, _: jobs.finish(job, {"status": "done"}),
    "requeue": lambda jobs, job, _: jobs.requeue(job),
    "release_lease": lambda jobs, job, _: jobs.release_lease(job),
}


def test_the_table_of_guarded_methods_is_complete() -> None:
    takes_a_job = {
        name
        for name, method in inspect.getmembers(Jobs, inspect.isfunction)
        if not name.startswith("_") and "job" in inspect.signature(method).parameters
    }
    assert takes_a_job == set(GUARDED)


@pytest.mark.parametrize("name", GUARDED)
def test_with_a_token_that_is_not_the_jobs_nothing_is_written(stage: Stage, name: str) -> None:
    stage.add_job(A)
    now = stage.store.now()
    mine = stage.store.jobs.record_intent(claim(stage), dial_to(A, now))
    stage.lapse()
    stage.store.jobs.adopt(
        candidate(stage), worker_id="worker-2@host-b:2", token="theirs", lease_seconds=LEASE
    )
    before = stage.job()

    for foreign in (mine, replace(mine, claim_token=None), replace(mine, claim_token="made up")):
        with pytest.raises(LeaseLost):
            GUARDED[name](stage.store.jobs, foreign, now)
    assert stage.job() == before


@pytest.mark.parametrize("name", ["record_call", "note_on_dial", "record_verdict", "finish"])
def test_what_is_written_about_a_dial_names_that_dial(stage: Stage, name: str) -> None:
    stage.add_job(A)
    now = stage.store.now()
    job = stage.store.jobs.record_intent(claim(stage), dial_to(A, now))
    before = stage.job()

    with pytest.raises(LeaseLost):
        GUARDED[name](stage.store.jobs, replace(job, dial=dial_to(A, now, "another key")), now)
    assert stage.job() == before


def test_a_second_intent_never_replaces_the_first(stage: Stage) -> None:
    stage.add_job(A)
    now = stage.store.now()
    job = claim(stage)
    stage.store.jobs.record_intent(job, dial_to(A, now))
    with pytest.raises(LeaseLost):
        stage.store.jobs.record_intent(job, dial_to(B, now, "key-2"))
    assert stage.job()["dial"]["key"] == "key-1"


def test_the_first_verdict_stands_and_is_told_to_whoever_comes_second(stage: Stage) -> None:
    stage.add_job(A)
    job = stage.store.jobs.record_intent(claim(stage), dial_to(A, stage.store.now()))
    stage.store.jobs.record_verdict(job, {"outcome": "answered"})

    again = stage.store.jobs.record_verdict(job, {"outcome": "failed"})

    assert again.dial is not None
    assert again.dial.verdict == stage.job()["dial"]["verdict"] == {"outcome": "answered"}


def test_one_number_has_one_open_dial_across_jobs(stage: Stage) -> None:
    stage.add_job(A, job_id="job-1")
    stage.add_job(A, job_id="job-2")
    now = stage.store.now()
    first = stage.store.jobs.record_intent(claim(stage, "job-1"), dial_to(A, now))
    second = claim(stage, "job-2")
    with pytest.raises(NumberBusy):
        stage.store.jobs.record_intent(second, dial_to(A, now, "key-2"))
    assert "dial" not in stage.job("job-2")

    stage.store.jobs.requeue(first)
    stage.store.jobs.record_intent(second, dial_to(A, now, "key-2"))
    assert stage.job("job-2")["dial"]["number"] == A


def test_a_number_that_is_being_called_for_another_job_puts_the_second_back_untouched(stage: Stage) -> None:
    stage.add_job(A, job_id="job-1")
    stage.add_job("(202) 555-0101", job_id="job-2", reserved_until=stage.store.now() - timedelta(hours=1))
    stage.store.jobs.record_intent(claim(stage, "job-1"), dial_to(A, stage.store.now()))

    assert stage.dial_next(stage.context(SPEECHAID_DEFAULT_COUNTRY="US"))

    job = stage.job("job-2")
    assert (job["status"], job["attempts"]) == ("pending", 0)
    assert job["reserved_until"] > stage.store.now() - timedelta(minutes=1)
    assert stage.ledger() == []


# -- workers that crash ----------------------------------------------------------------------------------


def test_a_job_in_hand_of_a_crashed_worker_goes_back_and_the_third_crash_fails_it(
    stage: Stage,
) -> None:
    stage.add_job(A)
    for expected in ("returned", "returned", "failed"):
        claim(stage)
        ((left, what),) = stage.store.jobs.worker_crashed("worker-1@host-a:1", 3)
        assert (left.job_id, what) == ("job-1", expected)
    job = stage.job()
    assert (job["status"], job["last_error"], job["attempts"]) == ("failed", "crashed_worker", 0)
    assert "claim_token" not in job


def test_a_call_between_two_crashes_shows_that_the_job_kills_nobody(stage: Stage) -> None:
    stage.add_job(A, crashes=2)
    job = stage.store.jobs.record_intent(claim(stage), dial_to(A, stage.store.now()))
    stage.store.jobs.record_call(job, "call_1")
    assert stage.job()["crashes"] == 0


def test_an_open_dial_of_a_crashed_worker_can_be_taken_over_at_once(stage: Stage) -> None:
    stage.add_job(A, crashes=7)
    stage.store.jobs.record_intent(claim(stage), dial_to(A, stage.store.now()))
    assert stage.store.jobs.lapsed(16) == []

    ((_, what),) = stage.store.jobs.worker_crashed("worker-1@host-a:1", 3)

    assert what == "adoptable"
    assert stage.job()["dial"]["key"] == "key-1"
    assert [found.id for found in stage.store.jobs.lapsed(16)] == [stage.job()["_id"]]


def test_an_open_dial_that_keeps_killing_workers_waits_longer_each_time_and_is_never_given_up(
    stage: Stage,
) -> None:
    stage.add_job(A)
    stage.store.jobs.record_intent(claim(stage), dial_to(A, stage.store.now()))
    waits = []
    for expected in ("adoptable", "adoptable", "quarantined", "quarantined"):
        ((_, what),) = stage.store.jobs.worker_crashed("worker-1@host-a:1", 3)
        waits.append(stage.job()["reserved_until"])
        assert what == expected
        stage.lapse()
        stage.store.jobs.adopt(
            candidate(stage), worker_id="worker-1@host-a:1", token=f"after {len(waits)}", lease_seconds=LEASE
        )
    now = stage.store.now()
    assert waits[1] <= now < now + timedelta(seconds=20) < waits[2] < waits[3]
    assert (stage.job()["status"], stage.job()["dial"]["crashes"]) == ("in_progress", 4)
    assert stage.job().get("crashes", 0) == 0  # that count is for jobs that were never dialled


def test_a_job_that_rests_is_in_nobodys_hand_when_its_last_holder_crashes(stage: Stage) -> None:
    stage.add_job(A)
    until = stage.store.now() + timedelta(minutes=2)
    job = stage.store.jobs.record_intent(claim(stage), dial_to(A, stage.store.now()))
    stage.store.jobs.release_lease(job, until=until)
    assert stage.store.jobs.worker_crashed("worker-1@host-a:1", 3) == []
    assert stage.job()["reserved_until"] == until


def test_other_workers_jobs_are_left_alone(stage: Stage) -> None:
    stage.add_job(A, job_id="theirs")
    stage.add_job(B, job_id="SpeechAI's", status="in_progress", worker_id="worker-1@host-a:1")
    claim(stage, "theirs", "worker-1@host-b:1")
    assert stage.store.jobs.worker_crashed("worker-1@host-a:1", 3) == []
    assert stage.job("theirs")["status"] == stage.job("SpeechAI's")["status"] == "in_progress"


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
