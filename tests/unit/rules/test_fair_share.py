"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.states import Priority
from speechaid.rules.fair_share import EligibleBatch, order

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def turn(name: str | None, priority: int = Priority.NORMAL, *, minutes_due: int | None = 0) -> EligibleBatch:
    first_due = None if minutes_due is None else NOON - timedelta(minutes=minutes_due)
    return EligibleBatch(batch_id=name, priority=priority, first_due=first_due)


def names(turns: list[EligibleBatch]) -> list[str | None]:
    return [entry.batch_id for entry in turns]


def serve(turns: list[EligibleBatch], times: int) -> list[str | None]:
    """Whom a worker serves that always serves the first."""
    served: dict[str | None, int] = {}
    line = []
    for count in range(times):
        first = order(turns, served)[0].batch_id
        served[first] = count
        line.append(first)
    return line


def test_a_higher_priority_goes_first_however_long_others_wait() -> None:
    turns = [
        turn("normal", minutes_due=600),
        turn("urgent", Priority.URGENT),
        turn("high", Priority.HIGH, minutes_due=60),
    ]
    assert names(order(turns, {"urgent": 9, "high": 5})) == ["urgent", "high", "normal"]


def test_the_longest_due_goes_first_among_equals() -> None:
    turns = [turn("b", minutes_due=1), turn("c", minutes_due=30), turn("a", minutes_due=None)]
    assert names(order(turns, {})) == ["a", "c", "b"]


def test_the_longest_unserved_goes_first_within_a_priority() -> None:
    turns = [turn("a", minutes_due=90), turn("b"), turn("c")]
    assert names(order(turns, {"a": 2, "b": 1})) == ["c", "b", "a"]


def test_jobs_without_a_batch_take_their_turn_like_a_batch() -> None:
    assert serve([turn(None), turn("a", minutes_due=5)], 4) == ["a", None, "a", None]


def test_a_batch_of_many_does_not_starve_a_batch_of_few() -> None:
    turns = [turn("many", minutes_due=600), turn("few")]
    assert Counter(serve(turns, 100)) == {"many": 50, "few": 50}


def test_nobody_due_is_nobody_s_turn() -> None:
    assert order([], {"a": 1}) == []


@given(
    st.lists(
        st.builds(
            turn,
            st.sampled_from(["a", "b", "c", "d", None]),
            st.sampled_from(list(Priority)),
            minutes_due=st.none() | st.integers(0, 600),
        ),
        unique_by=lambda entry: entry.batch_id,
        min_size=1,
    ),
    st.integers(1, 30),
)
def test_only_the_highest_priority_is_served_and_evenly(turns: list[EligibleBatch], times: int) -> None:
    highest = max(entry.priority for entry in turns)
    line = Counter(serve(turns, times))
    mine = [entry.batch_id for entry in turns if entry.priority == highest]
    assert set(line) <= set(mine)
    counts = [line[name] for name in mine]
    assert max(counts) - min(counts) <= 1
