"""Jobs that could not be claimed are left out, each time for longer."""

from __future__ import annotations

from speechaid.clock import SystemClock
from speechaid.dialer.context import FIRST_LEFT_OUT_SECONDS, LEFT_OUT_AT_MOST, LEFT_OUT_SECONDS, LeftOut


class SetClock(SystemClock):
    """A boot-time clock that a test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def boottime(self) -> float:
        return self.at


def left_out_for(jobs: LeftOut, clock: SetClock) -> float:
    """Seconds after which a job that is left out now is not any more."""
    began = clock.at
    while jobs.job_ids():
        clock.at += 5
    return clock.at - began


def test_a_job_is_left_out_each_time_for_twice_as_long_up_to_a_limit() -> None:
    clock = SetClock()
    jobs = LeftOut(clock)
    times = []
    for _ in range(8):
        jobs.add("job-1")
        times.append(left_out_for(jobs, clock))
    assert times == [15, 30, 60, 120, 240, 480, 600, 600]
    assert (times[0], times[-1]) == (FIRST_LEFT_OUT_SECONDS, LEFT_OUT_SECONDS)


def test_a_job_that_was_well_for_long_begins_anew() -> None:
    clock = SetClock()
    jobs = LeftOut(clock)
    for _ in range(3):
        jobs.add("job-1")
        left_out_for(jobs, clock)
    clock.at += LEFT_OUT_SECONDS
    assert jobs.job_ids() == []
    jobs.add("job-1")
    assert left_out_for(jobs, clock) == FIRST_LEFT_OUT_SECONDS


def test_a_job_that_is_left_out_already_stays_so_for_the_rest_of_its_time() -> None:
    clock = SetClock()
    jobs = LeftOut(clock)
    jobs.add("job-1")
    clock.at += 5
    assert jobs.add("job-1") == FIRST_LEFT_OUT_SECONDS - 5


def test_of_too_many_jobs_the_latest_are_left_out() -> None:
    jobs = LeftOut(SetClock())
    for number in range(LEFT_OUT_AT_MOST + 1):
        jobs.add(number)
    assert jobs.job_ids() == list(range(1, LEFT_OUT_AT_MOST + 1))
