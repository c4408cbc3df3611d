"""What to do about a dial of which nobody knows whether it became a call: every row, by its age."""

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

#: A call of ten minutes at most, three empty look-ups: nothing counts before 3600 + 300 + 600 s.
LONGEST, NEEDED = 600.0, 3
HORIZON = 4500.0


def test_the_horizon_is_the_keys_hour_the_longest_ring_and_the_longest_call() -> None:
    assert KEY_HOUR_SECONDS + LONGEST_RING_SECONDS + LONGEST == HORIZON
    assert REPLAY_WITHIN_SECONDS == 45 * 60


@pytest.mark.parametrize(
    ("age", "may_replay", "rest"),
    [
        pytest.param(0.0, True, 10.0, id="this very moment"),
        pytest.param(59.9, True, 10.0, id="within the first minute"),
        pytest.param(60.0, True, 60.0, id="after the first minute"),
        pytest.param(599.9, True, 60.0, id="within ten minutes"),
        pytest.param(600.0, True, 300.0, id="after ten minutes"),
        pytest.param(2700.0, True, 300.0, id="at 45 minutes"),
        pytest.param(2700.1, False, 300.0, id="past 45 minutes"),
        pytest.param(3599.9, False, 300.0, id="within the key's hour"),
        pytest.param(3600.0, False, 300.0, id="after the key's hour"),
        pytest.param(HORIZON, False, 300.0, id="at the horizon"),
        pytest.param(-0.1, False, 10.0, id="from the future: a clock was set back"),
    ],
)
@pytest.mark.parametrize("empty", [0, 2, 50])
def test_until_every_call_must_be_over_empty_lookups_prove_nothing(
    age: float, may_replay: bool, rest: float, empty: int
) -> None:
    step = next_lookup(age, empty, LONGEST, NEEDED)
    assert (step.may_replay, step.counts, step.then) == (may_replay, False, SearchAction.LOOK_AGAIN)
    assert step.rest_seconds == rest


@pytest.mark.parametrize(
    ("empty", "then"),
    [
        (0, SearchAction.LOOK_AGAIN),
        (1, SearchAction.LOOK_AGAIN),
        (2, SearchAction.PRESUME_NOT_PLACED),
        (3, SearchAction.PRESUME_NOT_PLACED),
    ],
)
def test_past_the_horizon_the_last_of_several_spaced_lookups_settles_it(
    empty: int, then: SearchAction
) -> None:
    step = next_lookup(HORIZON + 0.1, empty, LONGEST, NEEDED)
    assert (step.may_replay, step.counts, step.then) == (False, True, then)
    assert step.rest_seconds == 60.0


@given(
    age=st.floats(min_value=-1e6, max_value=1e6),
    empty=st.integers(min_value=0, max_value=100),
    longest=st.floats(min_value=60, max_value=7200),
    needed=st.integers(min_value=1, max_value=10),
)
def test_no_dial_is_presumed_away_while_its_key_or_its_call_may_live(
    age: float, empty: int, longest: float, needed: int
) -> None:
    step = next_lookup(age, empty, longest, needed)
    if step.then is SearchAction.PRESUME_NOT_PLACED:
        assert age > KEY_HOUR_SECONDS + LONGEST_RING_SECONDS + longest
        assert empty + 1 >= needed
    assert not (step.may_replay and step.counts)
    assert step.rest_seconds >= 10
