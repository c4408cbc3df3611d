"""What to do about an ambiguous dial: every case, by its age."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.ambiguous_dials import (
    KEY_HOUR_SECONDS,
    LONGEST_RING_SECONDS,
    REPLAY_WITHIN_SECONDS,
    SearchAction,
    next_lookup,
)

#: A call of at most ten minutes, three empty look-ups: no look-up counts before 3600 + 300 + 600 s.
LONGEST, NEEDED = 600.0, 3
HORIZON = 4500.0


def test_the_horizon_is_key_lifetime_plus_longest_ring_plus_longest_call() -> None:
    assert KEY_HOUR_SECONDS + LONGEST_RING_SECONDS + LONGEST == HORIZON
    assert REPLAY_WITHIN_SECONDS == 45 * 60


@pytest.mark.parametrize(
    ("age", "may_replay", "delay"),
    [
        pytest.param(0.0, True, 10.0, id="at once"),
        pytest.param(59.9, True, 10.0, id="within the first minute"),
        pytest.param(60.0, True, 60.0, id="after the first minute"),
        pytest.param(599.9, True, 60.0, id="within ten minutes"),
        pytest.param(600.0, True, 300.0, id="after ten minutes"),
        pytest.param(2700.0, True, 300.0, id="at 45 minutes"),
        pytest.param(2700.1, False, 300.0, id="past 45 minutes"),
        pytest.param(3599.9, False, 300.0, id="within the key's hour"),
        pytest.param(3600.0, False, 300.0, id="after the key's hour"),
        pytest.param(HORIZON, False, 300.0, id="at the horizon"),
        pytest.param(-0.1, False, 10.0, id="negative: a clock was set back"),
    ],
)
@pytest.mark.parametrize("empty", [0, 2, 50])
def test_empty_lookups_do_not_count_while_the_call_may_still_be_live(
    age: float, may_replay: bool, delay: float, empty: int
) -> None:
    step = next_lookup(age, empty, LONGEST, NEEDED)
    assert (step.may_replay, step.counts, step.action_if_empty) == (
        may_replay,
        False,
        SearchAction.SEARCH_AGAIN,
    )
    assert step.delay_seconds == delay


@pytest.mark.parametrize(
    ("empty", "action"),
    [
        (0, SearchAction.SEARCH_AGAIN),
        (1, SearchAction.SEARCH_AGAIN),
        (2, SearchAction.PRESUME_NOT_PLACED),
        (3, SearchAction.PRESUME_NOT_PLACED),
    ],
)
def test_past_the_horizon_the_last_required_empty_lookup_presumes_not_placed(
    empty: int, action: SearchAction
) -> None:
    step = next_lookup(HORIZON + 0.1, empty, LONGEST, NEEDED)
    assert (step.may_replay, step.counts, step.action_if_empty) == (False, True, action)
    assert step.delay_seconds == 60.0


@given(
    age=st.floats(min_value=-1e6, max_value=1e6),
    empty=st.integers(min_value=0, max_value=100),
    longest=st.floats(min_value=60, max_value=7200),
    needed=st.integers(min_value=1, max_value=10),
)
def test_no_dial_is_presumed_not_placed_while_its_key_or_its_call_may_be_live(
    age: float, empty: int, longest: float, needed: int
) -> None:
    step = next_lookup(age, empty, longest, needed)
    if step.action_if_empty is SearchAction.PRESUME_NOT_PLACED:
        assert age > KEY_HOUR_SECONDS + LONGEST_RING_SECONDS + longest
        assert empty + 1 >= needed
    assert not (step.may_replay and step.counts)
    assert step.delay_seconds >= 10
