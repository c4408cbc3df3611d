"""When Retell is queried for a call's analysis, and when no more."""

from __future__ import annotations

import pytest

from speechaid.rules.analysis import (
    OUTAGE_RETRY_SECONDS,
    AnalysisPolicy,
    first_query_delay,
    next_query_delay,
)

POLICY = AnalysisPolicy(first_seconds=15, tries=4, longest_seconds=3600)


def test_query_delays_grow_and_queries_end_with_the_tries() -> None:
    queried_at, age = [], first_query_delay(POLICY) or 0.0
    for tries in range(10):
        queried_at.append(age)
        delay = next_query_delay(tries, age, POLICY, answered=True)
        if delay is None:
            break
        age += delay
    assert queried_at == [15, 45, 105, 225]


@pytest.mark.parametrize("answered", [True, False])
def test_past_the_longest_time_there_is_no_further_query(answered: bool) -> None:
    assert next_query_delay(0, 3600, POLICY, answered=answered) is None


def test_the_last_query_comes_when_the_time_is_up_not_after_it() -> None:
    assert next_query_delay(1, 3590, POLICY, answered=True) == 10


def test_an_outage_uses_up_time_but_no_try() -> None:
    assert next_query_delay(3, 100, POLICY, answered=False) == OUTAGE_RETRY_SECONDS


def test_with_no_tries_retell_is_never_queried() -> None:
    assert first_query_delay(AnalysisPolicy(first_seconds=15, tries=0, longest_seconds=60)) is None
