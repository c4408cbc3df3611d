"""How long to wait for a call: every case of the decision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.rules.call_limits import (
    CallLimits,
    CallProgress,
    FollowAction,
    next_action,
    seconds_to_limit,
)

#: Poll timeout 300 s, longest call 600 s, polls every 10 s: a connected call is late after 620 s.
LIMITS = CallLimits(poll_timeout_seconds=300, longest_call_seconds=600, polling_interval_seconds=10)


def progress(**changes: Any) -> CallProgress:
    """A call placed a minute ago that is ringing, as Retell just answered."""
    fields: dict[str, Any] = {
        "since_placed_seconds": 60.0,
        "since_connected_seconds": None,
        "since_answer_seconds": 0.0,
        "last_poll_answered": True,
        "since_stop_seconds": None,
        "unknown_to_retell": False,
    }
    return CallProgress(**fields | changes)


RINGING = [
    pytest.param(0.0, FollowAction.WAIT, id="just placed"),
    pytest.param(300.0, FollowAction.WAIT, id="at the limit"),
    pytest.param(300.1, FollowAction.STOP, id="past the limit"),
]
UNANSWERED_POLLS = [
    pytest.param(301.0, 10.0, FollowAction.WAIT, id="old, one poll unanswered"),
    pytest.param(5000.0, 300.0, FollowAction.WAIT, id="old, polls unanswered up to the limit"),
    pytest.param(5000.0, 300.1, FollowAction.STOP, id="old, polls unanswered beyond the limit"),
    pytest.param(10.0, 300.1, FollowAction.STOP, id="young by a clock set back, polls unanswered too long"),
]
CONNECTED = [
    pytest.param(0.0, 0.0, FollowAction.WAIT, id="just connected"),
    pytest.param(600.0, 0.0, FollowAction.WAIT, id="at its limit: Retell ends it"),
    pytest.param(620.0, 0.0, FollowAction.WAIT, id="two polls past its limit"),
    pytest.param(620.1, 0.0, FollowAction.STOP, id="longer"),
    pytest.param(610.0, 610.0, FollowAction.WAIT, id="no poll answered since it connected"),
    pytest.param(620.1, 620.1, FollowAction.STOP, id="longer, and no poll answered"),
]
STOPPED = [
    pytest.param(0.0, FollowAction.WAIT, id="just requested"),
    pytest.param(300.0, FollowAction.WAIT, id="at the limit"),
    pytest.param(300.1, FollowAction.PARK, id="past the limit"),
    pytest.param(float("inf"), FollowAction.PARK, id="parked before"),
]


@pytest.mark.parametrize(("placed", "expected"), RINGING)
def test_a_ringing_call_is_stopped_after_the_poll_timeout(placed: float, expected: FollowAction) -> None:
    assert next_action(progress(since_placed_seconds=placed), LIMITS) is expected


@pytest.mark.parametrize(("placed", "since_answer", "expected"), UNANSWERED_POLLS)
def test_if_polls_fail_only_the_time_since_the_last_answer_counts(
    placed: float, since_answer: float, expected: FollowAction
) -> None:
    call = progress(since_placed_seconds=placed, since_answer_seconds=since_answer, last_poll_answered=False)
    assert next_action(call, LIMITS) is expected


@pytest.mark.parametrize(("connected", "since_answer", "expected"), CONNECTED)
def test_a_connected_call_has_its_own_limit_whether_polls_fail_or_not(
    connected: float, since_answer: float, expected: FollowAction
) -> None:
    call = progress(
        since_placed_seconds=5000.0,
        since_connected_seconds=connected,
        since_answer_seconds=since_answer,
        last_poll_answered=since_answer == 0,
    )
    assert next_action(call, LIMITS) is expected


@pytest.mark.parametrize(("since_stop", "expected"), STOPPED)
def test_a_call_is_parked_if_it_does_not_end_after_a_stop_request(
    since_stop: float, expected: FollowAction
) -> None:
    assert next_action(progress(since_stop_seconds=since_stop), LIMITS) is expected


def test_a_call_unknown_to_retell_is_stopped_at_once_and_only_once() -> None:
    assert next_action(progress(unknown_to_retell=True), LIMITS) is FollowAction.STOP
    assert next_action(progress(unknown_to_retell=True, since_stop_seconds=1.0), LIMITS) is FollowAction.WAIT


seconds = st.floats(min_value=0, max_value=1e6)


@given(
    placed=seconds,
    connected=st.none() | seconds,
    since_answer=seconds,
    answered=st.booleans(),
    stop=st.none() | seconds,
    unknown=st.booleans(),
)
def test_no_call_is_parked_without_a_stop_request_and_none_is_stopped_twice(
    *,
    placed: float,
    connected: float | None,
    since_answer: float,
    answered: bool,
    stop: float | None,
    unknown: bool,
) -> None:
    decided = next_action(
        CallProgress(
            since_placed_seconds=placed,
            since_connected_seconds=connected,
            since_answer_seconds=since_answer,
            last_poll_answered=answered,
            since_stop_seconds=stop,
            unknown_to_retell=unknown,
        ),
        LIMITS,
    )
    assert decided is not (FollowAction.PARK if stop is None else FollowAction.STOP)


@given(
    placed=st.floats(0, 1e5),
    connected=st.none() | st.floats(0, 1e5),
    answer=st.floats(0, 1e5),
    answered=st.booleans(),
    stopped=st.none() | st.floats(0, 1e5),
)
def test_the_action_changes_when_the_seconds_to_the_limit_have_passed(
    placed: float, connected: float | None, answer: float, answered: bool, stopped: float | None
) -> None:
    def after(seconds: float) -> FollowAction:
        return next_action(
            progress(
                since_placed_seconds=placed + seconds,
                since_connected_seconds=None if connected is None else connected + seconds,
                since_answer_seconds=answer + seconds,
                last_poll_answered=answered,
                since_stop_seconds=None if stopped is None else stopped + seconds,
            ),
            LIMITS,
        )

    now = progress(
        since_placed_seconds=placed,
        since_connected_seconds=connected,
        since_answer_seconds=answer,
        last_poll_answered=answered,
        since_stop_seconds=stopped,
    )
    left = seconds_to_limit(now, LIMITS)
    assert (after(0.0) is FollowAction.WAIT) is (left >= 0)
    if left > 1:
        assert (after(left - 1), after(left + 1) is not FollowAction.WAIT) == (FollowAction.WAIT, True)
