"""When a call's analysis is asked for again, and when it is given up."""

from __future__ import annotations

import pytest

from speechaid.rules.analysis import (
    OUTAGE_REST_SECONDS,
    AnalysisPolicy,
    first_question,
    next_question,
)

POLICY = AnalysisPolicy(first_seconds=15, tries=4, longest_seconds=3600)


def test_questions_come_ever_more_seldom_and_end_with_the_tries() -> None:
    asked, age = [], first_question(POLICY) or 0.0
    for tries in range(10):
        asked.append(age)
        rest = next_question(tries, age, POLICY, told=True)
        if rest is None:
            break
        age += rest
    assert asked == [15, 45, 105, 225]


@pytest.mark.parametrize("told", [True, False])
def test_past_the_longest_wait_nothing_is_asked_again(told: bool) -> None:
    assert next_question(0, 3600, POLICY, told=told) is None


def test_the_last_question_comes_when_the_time_is_up_not_after_it() -> None:
    assert next_question(1, 3590, POLICY, told=True) == 10


def test_an_outage_costs_time_but_no_try() -> None:
    assert next_question(3, 100, POLICY, told=False) == OUTAGE_REST_SECONDS


def test_with_no_tries_retell_is_never_asked() -> None:
    assert first_question(AnalysisPolicy(first_seconds=15, tries=0, longest_seconds=60)) is None
