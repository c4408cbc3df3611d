"""When calls are covered: follower's pace, distrust of the list, and a worker's own polls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules import coverage
from speechaid.rules.coverage import (
    DISTRUST_SECONDS,
    FEWEST_IDS,
    GRANT_SECONDS,
    LATE_SECONDS,
    MOST_IDS,
    SAFETY_SECONDS,
    SILENT_SECONDS,
    SLOWEST_SECONDS,
    SUSPICIONS,
    THROTTLED_SECONDS,
    Gap,
    ListAnswer,
    ListPace,
    ListRecord,
    Suspicion,
    answer_of,
    find_gap,
    next_pace,
    renewal_after,
    seconds_to_poll,
    suspicion_of,
)

INTERVAL = 2.0
#: Passes and gaps are seen at this moment.
NOW = 1000.0


def record(*passes: tuple[ListAnswer, float]) -> ListRecord:
    """Passes of the follower, each so many seconds before ``NOW``."""
    found = ListRecord()
    for answer, ago in passes:
        found = found.after_pass(answer, NOW - ago)
    return found


LISTED, THROTTLED, FAILED = ListAnswer.LISTED, ListAnswer.THROTTLED, ListAnswer.FAILED


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(ListRecord(), Gap.NOT_YET, id="a follower that has just started"),
        pytest.param(record((FAILED, 1)), Gap.FAILING, id="no pass was ever complete"),
        pytest.param(record((LISTED, 1)), None, id="a fresh list"),
        pytest.param(record((LISTED, 10)), None, id="at the limit"),
        pytest.param(record((LISTED, 10.1)), Gap.SILENT, id="frozen for longer"),
        pytest.param(record((LISTED, 9), (FAILED, 1)), None, id="one failure"),
        pytest.param(record((LISTED, 11), (FAILED, 1)), Gap.FAILING, id="failures for ten seconds"),
        pytest.param(record((LISTED, 60), (THROTTLED, 20)), None, id="asked to go slower"),
        pytest.param(record((LISTED, 121), (THROTTLED, 1)), Gap.THROTTLED, id="refused for two minutes"),
        pytest.param(record((LISTED, 60), (THROTTLED, 39)), Gap.SILENT, id="frozen while going slower"),
        pytest.param(record((THROTTLED, 1)), Gap.FAILING, id="refused from the start"),
    ],
)
def test_calls_are_covered_only_while_the_list_works(found: ListRecord, expected: Gap | None) -> None:
    assert find_gap(found, NOW, interval=INTERVAL) is expected


def test_coverage_ends_before_it_is_granted_twice() -> None:
    # A worker that is told nothing polls again when its grant ends.
    assert coverage.RENEW_SECONDS < GRANT_SECONDS
    assert SILENT_SECONDS + INTERVAL <= 10
    assert THROTTLED_SECONDS > SILENT_SECONDS + SLOWEST_SECONDS


@pytest.mark.parametrize("kind", Suspicion)
def test_a_list_that_is_caught_three_times_is_not_used_for_ten_minutes(kind: Suspicion) -> None:
    found = record((LISTED, 1))
    for _ in range(SUSPICIONS - 1):
        found = found.after_suspicion(kind, NOW)
        assert find_gap(found, NOW, interval=INTERVAL) is None
    found = found.after_suspicion(kind, NOW)
    assert find_gap(found, NOW, interval=INTERVAL) is Gap.DISTRUSTED
    # A new follower asks the same list.
    assert find_gap(found.after_restart(), NOW, interval=INTERVAL) is Gap.DISTRUSTED
    later = NOW + DISTRUST_SECONDS
    found = found.after_pass(LISTED, later)
    assert find_gap(found, later, interval=INTERVAL) is None


def test_suspicions_of_both_kinds_are_counted_apart_and_expire() -> None:
    found = record((LISTED, 1))
    for kind in Suspicion:
        for _ in range(SUSPICIONS - 1):
            found = found.after_suspicion(kind, NOW)
    assert find_gap(found, NOW, interval=INTERVAL) is None
    later = NOW + DISTRUST_SECONDS
    found = found.after_suspicion(Suspicion.MISSED_END, later).after_pass(LISTED, later)
    assert find_gap(found, later, interval=INTERVAL) is None


@pytest.mark.parametrize(
    ("woken", "is_over", "since_end", "expected"),
    [
        (True, True, 1.0, None),
        (True, False, None, Suspicion.FALSE_END),
        (False, False, None, None),
        pytest.param(False, True, LATE_SECONDS, None, id="the list may still show it"),
        pytest.param(False, True, LATE_SECONDS + 0.1, Suspicion.MISSED_END, id="too late"),
        pytest.param(False, True, None, None, id="nobody knows when it ended"),
    ],
)
def test_what_get_call_says_against_the_list(
    woken: bool, is_over: bool, since_end: float | None, expected: Suspicion | None
) -> None:
    assert suspicion_of(woken=woken, is_over=is_over, since_end=since_end) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, ListAnswer.FAILED),
        (400, ListAnswer.TOO_MANY),
        (401, ListAnswer.FAILED),
        (403, ListAnswer.FAILED),
        (404, ListAnswer.FAILED),
        (413, ListAnswer.TOO_MANY),
        (422, ListAnswer.TOO_MANY),
        (429, ListAnswer.THROTTLED),
        (500, ListAnswer.FAILED),
        (503, ListAnswer.FAILED),
    ],
)
def test_what_a_refused_question_means(status: int | None, expected: ListAnswer) -> None:
    assert answer_of(status) is expected


def test_refused_ids_are_halved_down_to_a_few_and_then_the_refusal_is_no_matter_of_their_number() -> None:
    pace, sizes = ListPace(seconds=INTERVAL), []
    while pace.ids > FEWEST_IDS:
        pace = next_pace(pace, ListAnswer.TOO_MANY, interval=INTERVAL, asked=min(pace.ids, 300))
        sizes.append(pace.ids)
    assert sizes == [150, 75, 37, 18, 16]
    assert next_pace(pace, ListAnswer.LISTED, interval=INTERVAL, asked=16).ids == 16
    assert next_pace(pace, ListAnswer.TOO_MANY, interval=INTERVAL, asked=16).ids == MOST_IDS


def test_a_follower_goes_slower_while_retell_wants_it_and_then_as_before() -> None:
    pace, waits = ListPace(seconds=INTERVAL), []
    for _ in range(5):
        pace = next_pace(pace, ListAnswer.THROTTLED, interval=INTERVAL, asked=5)
        waits.append(pace.seconds)
    assert waits == [4, 8, 16, 30, 30]
    assert next_pace(pace, ListAnswer.LISTED, interval=INTERVAL, asked=5).seconds == INTERVAL
    slow = next_pace(
        ListPace(seconds=INTERVAL), ListAnswer.THROTTLED, interval=INTERVAL, asked=5, retry_after=20
    )
    assert slow.seconds == 20


@given(
    answers=st.lists(
        st.tuples(st.sampled_from(ListAnswer), st.integers(1, 5000), st.floats(0, 1e6)), max_size=30
    )
)
def test_a_pace_stays_within_its_bounds(answers: list[tuple[ListAnswer, int, float]]) -> None:
    pace = ListPace(seconds=INTERVAL)
    for answer, asked, retry_after in answers:
        pace = next_pace(pace, answer, interval=INTERVAL, asked=min(asked, pace.ids), retry_after=retry_after)
        assert FEWEST_IDS <= pace.ids <= MOST_IDS
        assert INTERVAL <= pace.seconds <= SLOWEST_SECONDS


def test_a_covered_call_is_polled_at_its_limit_or_after_four_minutes() -> None:
    assert seconds_to_poll(since_answer=0, to_limit=1e6, jitter=1) == SAFETY_SECONDS
    assert seconds_to_poll(since_answer=0, to_limit=1e6, jitter=0) == 0.75 * SAFETY_SECONDS
    assert seconds_to_poll(since_answer=100, to_limit=1e6, jitter=1) == SAFETY_SECONDS - 100
    assert seconds_to_poll(since_answer=0, to_limit=5, jitter=1) == 5
    assert seconds_to_poll(since_answer=0, to_limit=-1, jitter=1) < 0


@given(lease=st.floats(1, 86_400), interval=st.floats(0, 600), request=st.floats(0.1, 600))
def test_a_lease_that_outlasts_a_request_and_two_polls_is_renewed_before_it_ends(
    lease: float, interval: float, request: float
) -> None:
    after = renewal_after(lease=lease, interval=interval, request=request)
    assert 0 <= after <= lease / 2
    if lease > request + 2 * interval:
        # The last chance before it comes one poll earlier, at most.
        assert after + interval + request <= lease + 1e-6
