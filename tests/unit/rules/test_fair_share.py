"""The order in which batches are served."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.states import Priority
from speechaid.rules.fair_share import EligibleBatch, order

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def batch(name: str | None, priority: int = Priority.NORMAL, *, minutes_due: int | None = 0) -> EligibleBatch:
    first_due = None if minutes_due is None else NOON - timedelta(minutes=minutes_due)
    return EligibleBatch(batch_id=name, priority=priority, first_due=first_due)


def names(batches: list[EligibleBatch]) -> list[str | None]:
    return [entry.batch_id for entry in batches]


def serve(batches: list[EligibleBatch], times: int) -> list[str | None]:
    """The batches that a worker serves if it always serves the first."""
    served: dict[str | None, int] = {}
    served_in_order = []
    for count in range(times):
        first = order(batches, served)[0].batch_id
        served[first] = count
        served_in_order.append(first)
    return served_in_order


def test_a_higher_priority_goes_first_however_long_others_wait() -> None:
    batches = [
        batch("normal", minutes_due=600),
        batch("urgent", Priority.URGENT),
        batch("high", Priority.HIGH, minutes_due=60),
    ]
    assert names(order(batches, {"urgent": 9, "high": 5})) == ["urgent", "high", "normal"]


def test_the_longest_due_goes_first_among_equals() -> None:
    batches = [batch("b", minutes_due=1), batch("c", minutes_due=30), batch("a", minutes_due=None)]
    assert names(order(batches, {})) == ["a", "c", "b"]


def test_the_least_recently_served_goes_first_within_a_priority() -> None:
    batches = [batch("a", minutes_due=90), batch("b"), batch("c")]
    assert names(order(batches, {"a": 2, "b": 1})) == ["c", "b", "a"]


def test_jobs_without_a_batch_are_served_like_a_batch() -> None:
    assert serve([batch(None), batch("a", minutes_due=5)], 4) == ["a", None, "a", None]


def test_a_large_batch_does_not_starve_a_small_one() -> None:
    batches = [batch("many", minutes_due=600), batch("few")]
    assert Counter(serve(batches, 100)) == {"many": 50, "few": 50}


def test_without_due_batches_the_order_is_empty() -> None:
    assert order([], {"a": 1}) == []


@given(
    st.lists(
        st.builds(
            batch,
            st.sampled_from(["a", "b", "c", "d", None]),
            st.sampled_from(list(Priority)),
            minutes_due=st.none() | st.integers(0, 600),
        ),
        unique_by=lambda entry: entry.batch_id,
        min_size=1,
    ),
    st.integers(1, 30),
)
def test_only_the_highest_priority_is_served_and_evenly(batches: list[EligibleBatch], times: int) -> None:
    highest = max(entry.priority for entry in batches)
    times_served = Counter(serve(batches, times))
    expected = [entry.batch_id for entry in batches if entry.priority == highest]
    assert set(times_served) <= set(expected)
    counts = [times_served[name] for name in expected]
    assert max(counts) - min(counts) <= 1
