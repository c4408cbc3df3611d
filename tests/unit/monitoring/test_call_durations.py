"""The estimate of when a drain ends."""

from __future__ import annotations

from speechaid.monitoring.call_durations import CallDurations


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def after_calls(*lengths: float) -> tuple[CallDurations, Clock]:
    clock = Clock()
    times = CallDurations(clock)
    for number, length in enumerate(lengths):
        times.note("worker-1", "call.placed", {"call": f"old-{number}"})
        clock.now += length
        times.note("worker-1", "call.settled", {"call": f"old-{number}"})
    return times, clock


def left(times: CallDurations, *calls: str) -> dict[str, float | None]:
    return times.left([times.elapsed(call) or 0.0 for call in calls], 600.0)


def test_without_calls_the_drain_is_over() -> None:
    times, _ = after_calls(10.0)
    assert left(times) == {"estimate_seconds": 0.0, "at_most_seconds": 0.0}


def test_before_the_first_ended_call_only_the_upper_bound_is_known() -> None:
    times, clock = after_calls()
    times.note("worker-1", "call.placed", {"call": "a"})
    clock.now += 60
    assert left(times, "a") == {"estimate_seconds": None, "at_most_seconds": 540.0}


def test_calls_are_estimated_to_last_as_long_as_the_latest_ones() -> None:
    times, clock = after_calls(*[30.0] * 9, 90.0)
    times.note("worker-1", "call.placed", {"call": "a"})
    clock.now += 20
    assert left(times, "a")["estimate_seconds"] == 70.0


def test_the_call_that_ends_last_decides() -> None:
    times, clock = after_calls(*[30.0] * 10)
    times.note("worker-1", "call.placed", {"call": "a"})
    clock.now += 25
    times.note("worker-2", "call.adopted", {"call": "b"})
    assert left(times, "a", "b")["estimate_seconds"] == 30.0


def test_a_call_longer_than_all_others_does_not_make_the_estimate_negative() -> None:
    times, clock = after_calls(*[30.0] * 10)
    times.note("worker-1", "call.placed", {"call": "a"})
    clock.now += 700
    assert left(times, "a") == {"estimate_seconds": 0.0, "at_most_seconds": 0.0}


def test_a_call_handed_over_does_not_count_as_a_length() -> None:
    times, clock = after_calls()
    times.note("worker-1", "call.placed", {"call": "a"})
    clock.now += 5
    times.note("worker-1", "call.handed_over", {"call": "a"})
    assert times.elapsed("a") is None
    assert left(times, "b")["estimate_seconds"] is None
