"""The diagnosis of a late worker, and overload mode."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from speechaid.rules.overload import (
    CLEAN_SECONDS,
    DATABASE_LIMIT_SECONDS,
    DIAGNOSES,
    VERDICTS_WITHIN_SECONDS,
    LateWorker,
    OverloadMode,
    Verdict,
    diagnose,
    kill_at,
    next_mode,
)

#: A worker that is 5 seconds late, on an idle machine and beside a quick database.
QUIET = LateWorker(seconds=5.0, in_database=True, probe_seconds=0.003, workers_in_database=1, workers_late=1)

#: Facts and verdict, just at and just below each threshold.
CASES: list[tuple[LateWorker, Verdict]] = [
    (QUIET, Verdict.HUNG),
    (replace(QUIET, in_database=False), Verdict.HUNG),
    (replace(QUIET, state="T"), Verdict.STOPPED),
    (replace(QUIET, cpu_seconds=5.0), Verdict.SPINNING),
    (replace(QUIET, cpu_seconds=4.9), Verdict.HUNG),
    (replace(QUIET, run_delay_seconds=2.5), Verdict.NO_PROCESSOR),
    (replace(QUIET, run_delay_seconds=2.4), Verdict.HUNG),
    (replace(QUIET, in_database=False, run_delay_seconds=40.0), Verdict.NO_PROCESSOR),
    (replace(QUIET, state="R"), Verdict.NO_PROCESSOR),  # it waits for one, or computes what ends soon
    (replace(QUIET, state="R", cpu_seconds=5.0), Verdict.SPINNING),
    (replace(QUIET, state="t"), Verdict.STOPPED),
    (replace(QUIET, state="D"), Verdict.HUNG),
    (replace(QUIET, probe_seconds=1.1), Verdict.SLOW_DATABASE),
    (replace(QUIET, probe_seconds=1.0), Verdict.HUNG),
    (replace(QUIET, probe_seconds=45.0, in_database=False), Verdict.HUNG),
    (replace(QUIET, workers_in_database=3, workers_late=3), Verdict.SLOW_DATABASE),
    (replace(QUIET, workers_in_database=3, workers_late=2), Verdict.HUNG),
    (replace(QUIET, workers_in_database=3, workers_late=3, in_database=False), Verdict.HUNG),
    (replace(QUIET, workers_in_database=30, workers_late=3), Verdict.SLOW_DATABASE),
    (replace(QUIET, workers_in_database=31, workers_late=3), Verdict.HUNG),
    (replace(QUIET, workers_in_database=1000, workers_late=100), Verdict.SLOW_DATABASE),
    (replace(QUIET, workers_in_database=1000, workers_late=99), Verdict.HUNG),
]


@pytest.mark.parametrize(("late", "verdict"), CASES)
def test_a_late_worker_is_diagnosed(late: LateWorker, verdict: Verdict) -> None:
    assert diagnose(late).verdict is verdict


def test_every_verdict_has_one_row_and_cases() -> None:
    rows = [row.verdict for row in DIAGNOSES]
    assert rows == list(Verdict)
    assert {verdict for _, verdict in CASES} == set(Verdict)


def test_a_row_decides_before_those_below_it() -> None:
    """A spinning or stopped worker is no healthy one, whatever load there is beside it."""
    everything = LateWorker(
        seconds=5.0,
        state="T",
        cpu_seconds=6.0,
        run_delay_seconds=40.0,
        in_database=True,
        probe_seconds=9.0,
        workers_in_database=3,
        workers_late=3,
    )
    assert all(row.applies(everything) for row in DIAGNOSES)
    assert diagnose(everything).verdict is Verdict.STOPPED
    assert diagnose(replace(everything, state="S")).verdict is Verdict.SPINNING
    assert diagnose(replace(everything, state="S", cpu_seconds=0)).verdict is Verdict.NO_PROCESSOR


@pytest.mark.parametrize(
    ("verdict", "deadline", "killed_at"),
    [
        (Verdict.STOPPED, 145.0, 145.0),
        (Verdict.SPINNING, 145.0, 145.0),
        (Verdict.HUNG, 145.0, 145.0),
        (Verdict.NO_PROCESSOR, 145.0, inf),
        (Verdict.SLOW_DATABASE, 145.0, 100.0 + DATABASE_LIMIT_SECONDS),
        (Verdict.SLOW_DATABASE, 400.0, 420.0),  # a step that promised more than the limit
    ],
)
def test_only_an_overload_extends_a_deadline(verdict: Verdict, deadline: float, killed_at: float) -> None:
    row = next(row for row in DIAGNOSES if row.verdict is verdict)
    assert kill_at(row, beat_at=100.0, deadline=deadline) == killed_at


def after(
    mode: OverloadMode, now: float, *, probe: float = 0.0, slowed: int = 0, extended: bool = False
) -> OverloadMode:
    return next_mode(mode, now, probe_seconds=probe, slowed=slowed, extended=extended)


def test_a_slow_probe_begins_overload_mode() -> None:
    assert after(OverloadMode(), 0.0, probe=1.0).reason is None
    reason = after(OverloadMode(), 0.0, probe=1.1).reason
    assert reason is not None
    assert "database" in reason


def test_two_workers_that_are_slowed_down_begin_overload_mode_and_one_does_not() -> None:
    first = after(OverloadMode(), 0.0, slowed=1)
    assert first.reason is None
    assert after(first, VERDICTS_WITHIN_SECONDS, slowed=1).reason is not None
    assert after(first, VERDICTS_WITHIN_SECONDS + 0.1, slowed=1).reason is None
    assert after(OverloadMode(), 0.0, slowed=2).reason is not None


def test_one_worker_that_stays_silent_is_one_sign_however_often_it_is_looked_at() -> None:
    mode = after(OverloadMode(), 0.0, slowed=1, extended=True)
    for second in range(1, 60):
        mode = after(mode, float(second), extended=True)
    assert mode.reason is None


def test_overload_mode_ends_after_a_time_without_a_sign() -> None:
    mode = after(OverloadMode(), 0.0, probe=5.0)
    assert after(mode, CLEAN_SECONDS).reason is not None
    assert after(mode, CLEAN_SECONDS + 0.1).reason is None


@pytest.mark.parametrize("sign", [{"probe": 2.0}, {"slowed": 1}, {"extended": True}])
def test_each_sign_prolongs_overload_mode(sign: dict[str, float]) -> None:
    mode = after(OverloadMode(), 0.0, probe=5.0)
    mode = after(mode, 20.0, **sign)  # type: ignore[arg-type]
    assert after(mode, 20.0 + CLEAN_SECONDS).reason == mode.reason
    assert after(mode, 20.1 + CLEAN_SECONDS).reason is None
